"""Replications: the same topology under independent luck, until its figures are as sure as asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Literal

import numpy as np

from simfabric.analysis.intervals import LEVEL
from simfabric.analysis.warmup import mser5
from simfabric.errors import SimfabricError
from simfabric.planning.designs import design
from simfabric.planning.fitting import processes_that_fit
from simfabric.planning.grid import Grid, known_metrics, replication_numbers, run_grid
from simfabric.planning.many import process_pool, run_many
from simfabric.planning.metrics import USUAL
from simfabric.planning.study import Study
from simfabric.planning.telling import runs_bar
from simfabric.running import Result
from simfabric.running.result import MESSAGE_NAMES
from simfabric.topology import Topology
from simfabric.world import SECOND

MILLISECOND = SECOND // 1000
PILOTS = 3


def replicate(
    topology: Topology,
    metrics: Sequence[str] = USUAL,
    replications: int = 10,
    *,
    precision: float | None = None,
    level: float = LEVEL,
    most: int = 1000,
    warmup: Literal["given", "found"] = "given",
    processes: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Study:
    """Run a topology in `replications` independent replications and tell each metric with its interval.

    With `precision` (0.05: within 5 % of the truth, with probability `level`) replications are added until every metric that the runs tell has it,
    or `most` are made. `warmup`: as `run.warmup` says, or found by MSER-5 from three pilot runs without one. Numbers count from the topology's
    `run.replication`. Ctrl-C ends it early with a partial study. Raises UnknownMetricError, TooLargeError, SimfabricError.
    """
    names = known_metrics(metrics)
    check_asked(names, replications, level)
    if precision is not None and not 0.0 < precision < 10.0:
        raise SimfabricError(f"precision {precision}: must be above 0, relative to the mean\n    cure: give one such as 0.05")
    if warmup == "found":
        topology = topology.with_({"run.warmup": f"{found_warmup(topology, processes=processes, executor=executor)}ns"})
    one = design(topology, {})
    with ExitStack() as stack:
        tell = stack.enter_context(runs_bar("replications", progress))
        if executor is None and precision is not None and (count := processes_that_fit([topology], processes)) > 1:
            executor = stack.enter_context(process_pool(count))  # One pool for all rounds: workers take a second to start.

        def more(first: int, count: int) -> Grid:
            numbers = replication_numbers(topology, first, count)
            return run_grid([one], numbers, names, executor=executor, processes=processes, tell=tell)

        grid = more(0, replications)
        while precision is not None and not grid.partial and len(grid.replications) < most:
            study = Study(topology, grid, level, precision, warmup == "found")
            if study.reached or all(study.interval(name) is None for name in names):
                break
            added = _added(study, precision, most)
            try:
                grid = grid.and_(more(len(grid.replications), added))
            except KeyboardInterrupt:
                grid = Grid(names, grid.replications, grid.values, grid.digests, grid.broken, True, grid.run_s)
    return Study(topology, grid, level, precision, warmup == "found")


def check_asked(names: Sequence[str], replications: int, level: float, fewest: int = 2) -> None:
    """Refuse what no interval can be made of."""
    if not names:
        raise SimfabricError("metrics: must be at least one\n    cure: name one such as delivery.p99")
    if replications < fewest:
        raise SimfabricError(f"replications {replications}: must be at least {fewest}, for an interval\n    cure: give 10")
    if not 0.0 < level < 1.0:
        raise SimfabricError(f"level {level}: must be between 0 and 1\n    cure: give 0.95")


def found_warmup(topology: Topology, *, processes: int | None = None, executor: Executor | None = None) -> int:
    """The warm-up [ns] that MSER-5 finds in three pilot runs without one: the longest, in whole milliseconds. Raises SimfabricError where a run is
    too short to tell."""
    pilots = [topology.with_({"run.warmup": "0s", "run.replication": number}) for number in replication_numbers(topology, 0, PILOTS)]
    cuts = run_many(pilots, first_steady, executor=executor, processes=processes_that_fit(pilots[:1], processes))
    told = [cut for cut in cuts if cut is not None]
    if len(told) < len(cuts):
        raise SimfabricError(
            f"run.duration: too short for MSER-5 to find a warm-up ({len(cuts) - len(told)} of {len(cuts)} pilot runs do not settle in their first half)\n"
            "    cure: lengthen run.duration, or give run.warmup and leave warmup='found' out"
        )
    return -(-max(told) // MILLISECOND) * MILLISECOND


def first_steady(result: Result) -> int | None:
    """When the delay from publication to the gateways' fan-out settles [ns], by MSER-5 over the messages in order; None where it does not."""
    column = {name: result.messages[:, i] for i, name in enumerate(MESSAGE_NAMES)}
    ends = np.stack([column[name] for name in ("routed_at", "visible_at", "appended_at")]).max(axis=0)
    passed = np.flatnonzero(ends > column["published_at"])
    cut = mser5((ends - column["published_at"])[passed])
    return None if cut is None else int(column["published_at"][passed[cut]]) if cut else 0


def _added(study: Study, precision: float, most: int) -> int:
    """How many replications to add: what the spread so far asks for, at most as many again, at least a tenth. The number of processes plays no part."""
    count = len(study.replications)
    told = [interval for name in study.metrics if (interval := study.interval(name)) is not None]
    wide = max(interval.relative for interval in told) / (precision / (1.0 + precision))
    wanted = 2 * count if math.isinf(wide) else min(2 * count, math.ceil(count * wide * wide))
    return min(max(wanted, count + -(-count // 10)), most) - count
