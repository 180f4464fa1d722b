"""Sensitivity: which keys move a metric, one at a time (tornado) or together (Morris)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

import numpy as np

from simfabric.analysis.intervals import LEVEL, mean_interval
from simfabric.analysis.morris import effect, slopes, trajectories
from simfabric.errors import SimfabricError
from simfabric.planning.designs import Design, design
from simfabric.planning.grid import known_metrics, replication_numbers, run_grid, run_rows
from simfabric.planning.influence import Morris, Tornado
from simfabric.planning.ranges import Range, ranges
from simfabric.planning.replicating import check_asked
from simfabric.planning.telling import Tell, runs_bar
from simfabric.topology import Topology


def sensitivity(
    topology: Topology,
    keys: Mapping[str, Sequence[object]],
    metric: str = "delivery.p99",
    method: str = "tornado",
    replications: int = 10,
    *,
    level: float = LEVEL,
    processes: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Tornado | Morris:
    """What numeric keys, each between (low, high), do to a metric, as {"gateways.work.delivery": ("5us", "20us")}.

    tornado: each key at both ends, all else as the topology says, under the same luck: 2 x keys + 1 runs for each of the `replications`.
    morris: elementary effects over all keys at once: keys + 1 runs for each of the `replications`, which are its trajectories.
    Ctrl-C ends it early with whole replications. Raises TopologyError for keys that hold no number or ends that cannot be, UnknownMetricError.
    """
    (name,) = known_metrics([metric])
    check_asked([name], replications, level)
    if method not in METHODS:
        raise SimfabricError(f"method {method!r}: must be one of {', '.join(METHODS)}\n    cure: write tornado")
    varied = ranges(topology, keys)
    numbers = replication_numbers(topology, 0, replications)
    with runs_bar(method, progress) as tell:
        return METHODS[method](topology, varied, name, numbers, level, executor, processes, tell)


def _tornado(
    topology: Topology, keys: tuple[Range, ...], name: str, numbers: range, level: float, executor: Executor | None, processes: int | None, tell: Tell | None
) -> Tornado:
    designs = [design(topology, {}), *(design(topology, {key.path: key.at(end)}) for key in keys for end in (0.0, 1.0))]
    grid = run_grid(designs, numbers, (name,), executor=executor, processes=processes, tell=tell)
    return Tornado(topology, name, keys, grid, level)


def _morris(
    topology: Topology, keys: tuple[Range, ...], name: str, numbers: range, level: float, executor: Executor | None, processes: int | None, tell: Tell | None
) -> Morris:
    """Each trajectory is one replication: its points share their luck."""
    walked = trajectories(len(keys), len(numbers), topology.run.seed)

    def point(replication: int, place: int) -> Design:
        return design(topology, {key.path: key.at(float(share)) for key, share in zip(keys, walked[replication, place])})

    rows = [[point(i, place) for place in range(len(keys) + 1)] for i in range(len(numbers))]
    grid = run_rows(rows, numbers, (name,), executor=executor, processes=processes, tell=tell)
    values = grid.values[:, :, 0].T
    walked = walked[[number - numbers.start for number in grid.replications]]
    if not np.isfinite(values).all():
        silent = int((~np.isfinite(values)).sum())
        raise SimfabricError(f"{name}: not told by {silent} of {values.size} runs\n    cure: lengthen run.duration, narrow the ranges, or take another metric")
    found = slopes(walked, values)
    intervals = tuple(mean_interval(own.tolist(), level) for own in found)
    return Morris(topology, name, keys, tuple(map(effect, found)), intervals, grid, level)


METHODS: Mapping[str, Callable[..., Tornado | Morris]] = {"tornado": _tornado, "morris": _morris}
