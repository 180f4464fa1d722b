"""A grid of runs: designs by replications, each with the same luck in every design, and the metrics of each.

Replications come first, so that an interrupt leaves whole replications: every design met the same luck in each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from simfabric.errors import SimfabricError
from simfabric.planning.designs import Design
from simfabric.planning.fitting import processes_that_fit
from simfabric.planning.many import Interrupted, run_many
from simfabric.planning.metrics import measure, metric
from simfabric.running import Result
from simfabric.topology import Topology

Array = np.ndarray[Any, Any]
MOST_REPLICATION = 1_000_000
MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What travels back from one run."""

    values: tuple[float | None, ...]
    digest: str
    broken: tuple[str, ...]  # Laws.
    wall_s: float


@dataclass(frozen=True, eq=False)
class Grid:
    """The metrics of every run. Values that a run does not tell are NaN."""

    metrics: tuple[str, ...]
    replications: tuple[int, ...]
    values: Array = field(repr=False)  # float64[designs, replications, metrics].
    digests: tuple[tuple[str, ...], ...] = field(repr=False)  # By design, by replication.
    broken: tuple[str, ...]  # Broken laws, with design and replication.
    partial: bool  # Whether it was interrupted.
    run_s: float  # The runs' own wall time, all of them [s].

    def of(self, name: str, design: int = 0) -> list[float]:
        """The values of a metric in one design, by replication."""
        column: list[float] = self.values[design, :, self.metrics.index(name)].tolist()
        return column

    def and_(self, later: Grid) -> Grid:
        """These replications and later ones."""
        return Grid(
            self.metrics,
            self.replications + later.replications,
            np.concatenate([self.values, later.values], axis=1),
            tuple(ours + theirs for ours, theirs in zip(self.digests, later.digests)),
            self.broken + later.broken,
            later.partial,
            self.run_s + later.run_s,
        )


def figures(result: Result, names: tuple[str, ...]) -> Figures:
    """What a worker sends back of a result."""
    broken = tuple(verdict.law for verdict in result.laws if verdict.verdict == "invalid")
    return Figures(measure(result, names), result.digest, broken, result.wall_s)


def known_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, after looking them up; raises UnknownMetricError."""
    return tuple(dict.fromkeys(metric(name).name for name in names))


def replication_numbers(topology: Topology, first: int, count: int) -> range:
    """The replications number `first`, … of this topology, counted from its own `run.replication`."""
    start = topology.run.replication + first
    if start + count - 1 > MOST_REPLICATION:
        raise SimfabricError(f"replication {start + count - 1}: must be at most {MOST_REPLICATION}\n    cure: fewer replications, or a smaller run.replication")
    return range(start, start + count)


def run_grid(
    designs: Sequence[Design],
    replications: Sequence[int],
    metrics: tuple[str, ...],
    *,
    executor: Executor | None,
    processes: int | None,
    tell: Callable[[int, int], None] | None,
) -> Grid:
    """Run every design in every replication. Ctrl-C keeps the replications that all designs have; without any it goes on as KeyboardInterrupt."""
    return run_rows([designs] * len(replications), replications, metrics, executor=executor, processes=processes, tell=tell)


def run_rows(
    rows: Sequence[Sequence[Design]],
    replications: Sequence[int],
    metrics: tuple[str, ...],
    *,
    executor: Executor | None,
    processes: int | None,
    tell: Callable[[int, int], None] | None,
) -> Grid:
    """The same where each replication has designs of its own, as many as the others. Raises SimfabricError for too many runs."""
    wide, interrupted = len(rows[0]), False
    if len(rows) * wide > MOST_RUNS:
        raise SimfabricError(f"{len(rows)} x {wide} runs: must be at most {MOST_RUNS} in all\n    cure: fewer replications, designs or keys")
    if executor is None:
        processes = processes_that_fit({id(one.topology): one.topology for row in rows for one in row}.values(), processes)
    topologies = [one.replication(number) for row, number in zip(rows, replications, strict=True) for one in row]
    try:
        done = run_many(topologies, partial(figures, names=metrics), executor=executor, processes=processes, tell=tell)
    except Interrupted as stop:
        whole = [i for i in range(len(rows)) if all(i * wide + j in stop.done for j in range(wide))]
        if not whole:
            raise
        done, interrupted = [stop.done[i * wide + j] for i in whole for j in range(wide)], True
        rows, replications = [rows[i] for i in whole], [replications[i] for i in whole]
    return _grid(rows, tuple(replications), metrics, done, interrupted)


def _grid(rows: Sequence[Sequence[Design]], replications: tuple[int, ...], metrics: tuple[str, ...], done: list[Figures], interrupted: bool) -> Grid:
    wide = len(rows[0])
    values = np.array([[np.nan if value is None else value for value in one.values] for one in done], np.float64)
    broken = tuple(f"{law} ({rows[i // wide][i % wide].says}, replication {replications[i // wide]})" for i, one in enumerate(done) for law in one.broken)
    return Grid(
        metrics,
        replications,
        values.reshape(len(replications), wide, len(metrics)).transpose(1, 0, 2),
        tuple(tuple(one.digest for one in done[i::wide]) for i in range(wide)),
        broken,
        interrupted,
        sum(one.wall_s for one in done),
    )
