"""Capacity: how many servers a promise needs, or how much load it bears, with an interval on the answer.

    operational laws ─▶ bracket ─▶ runs with common luck ─▶ knee curve ─▶ root with interval ─▶ again with runs twice as long

Every point is run with the same replications, so with the same luck: that makes the metric monotone in what is varied, but for noise that does not
matter. Runs are short, first; a queue close to saturation needs long ones to show it, so the answer is asked for again with runs of twice the
length until it moves by less than half the precision; the interval holds the last such move. Topologies in which something happens at stated times
(faults, churn, a start, bursts, the course of a day) are run as they stand.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from simfabric.analysis.roots import Estimate
from simfabric.planning import clauses as promises
from simfabric.planning.capacity_plan import CapacityPlan, Point, plan_of
from simfabric.planning.clauses import Clause, Sample
from simfabric.planning.estimate import plan
from simfabric.planning.many import process_pool, processes_here, run_many
from simfabric.planning.prices import Prices
from simfabric.planning.search import Root, Search, Setting
from simfabric.planning.varying import Varied, buildable, first_bracket, varied
from simfabric.topology import Topology
from simfabric.world import SECOND

MOST_DOUBLINGS = 3
MESSAGES = 1500  # Publications that a run should have, at least,
SHORTEST_S = 5.0
BOUNDS = 10  # and how many times the bound of the slowest clause it should last.

__all__ = ["CapacityPlan", "Point", "capacity"]


def capacity(
    topology: Topology,
    *,
    vary: str,
    slo: str | None = None,
    between: tuple[str, str] | None = None,
    level: float = 0.95,
    precision: float = 0.05,
    prices: Prices | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> CapacityPlan:
    """The least count of servers that keeps a promise, or the highest load at which it is kept.

    `vary`: a key such as gateways.count or traffic.chat.rate; `slo`: clauses such as "delivery.p99 < 2s" (not given: the topology's delivery
    p99); the worst clause decides. `between`: the range of the key, as text. `level` of the interval, `precision`: half its length as a share
    of the answer, to aim at. `prices`: tells the cost of the answer. `tell` hears a line before every round of runs. Raises Refusal for a promise or a
    key that there is not, and what `run_many` raises.
    """
    began = time.perf_counter()
    asked = promises.parse_slo(f"delivery.p99 < {topology.slo.delivery_p99}ns" if slo is None else slo)
    what = buildable(topology, varied(topology, vary, between))
    count = min(processes_here(), 64) if processes is None else max(1, processes)
    with _workers(executor, count) as workers:
        rounds = _Rounds(topology, what, asked, workers, tell or (lambda _: None))
        if what.falling is None:
            what = rounds.directed()
        root, search, shift = rounds.found(level, precision)
    return plan_of(topology, what, asked, root, search, rounds, shift, time.perf_counter() - began, level, prices)


@contextlib.contextmanager
def _workers(executor: Executor | None, processes: int) -> Iterator[Executor | None]:
    """Somebody's executor, or processes of our own that stay for all rounds; none where one process is enough."""
    if executor is not None or processes == 1:
        yield executor
        return
    pool = process_pool(processes)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Rounds:
    """The runs that a search asks for, round by round."""

    def __init__(self, topology: Topology, what: Varied, clauses: tuple[Clause, ...], workers: Executor | None, tell: Callable[[str], None]) -> None:
        self.topology, self.what, self.clauses = topology, what, clauses
        self.workers, self.tell = workers, tell
        self.runs = 0
        self.fixed = happens_at_stated_times(topology)
        self.warmup, self.duration = topology.run.warmup, topology.run.duration
        if not self.fixed:
            self.warmup, self.duration = first_length(topology, what, clauses)

    def ask(self, wanted: Sequence[tuple[float, int]]) -> list[Sample]:
        """A sample of each (value, replication)."""
        self.runs += len(wanted)
        points = sorted({x for x, _ in wanted})
        self.tell(f"{len(wanted)} runs of {self.duration / SECOND:.4g} s at {self.what.path} = {', '.join(self.what.shown(x) for x in points)}")
        measure = functools.partial(promises.observe, clauses=self.clauses)
        return run_many([self._topology(x, replication) for x, replication in wanted], measure, executor=self.workers, processes=1)

    def _topology(self, x: float, replication: int) -> Topology:
        length = {} if self.fixed else {"run.warmup": f"{self.warmup}ns", "run.duration": f"{self.duration}ns"}
        base = self.topology.with_({"run.replication": self.topology.run.replication + replication, **length})
        return self.what.at(base, x)

    def room(self, samples: Sequence[Sample]) -> float:
        """The headroom of the worst clause."""
        return promises.headroom(samples, self.clauses)

    def directed(self) -> Varied:
        """The key with its direction, from runs at both ends of its range."""
        what = self.what
        ends = self.ask([(x, r) for x in (what.least, what.most) for r in range(3)])
        falling = self.room(ends[3:]) < self.room(ends[:3])
        self.what = Varied(what.path, what.kind, what.now, what.least, what.most, falling)
        return self.what

    def found(self, level: float, precision: float) -> tuple[Root, Search[Sample], float]:
        """The root, the search that found it last, and by what share longer runs moved it."""
        what = self.what
        first = Setting(what.least, what.most, bool(what.falling), what.whole, level, precision, replications=6, most_replications=6)
        last = Setting(what.least, what.most, bool(what.falling), what.whole, level, precision)
        search = Search(last if self.fixed else first, self.ask, self.room)
        root = search.root(*first_bracket(self.topology, what))
        shift = math.nan
        for _ in range(0 if self.fixed else MOST_DOUBLINGS):
            self.duration, self.warmup = 2 * self.duration, 2 * self.warmup
            search = Search(last, self.ask, self.room)
            before = root
            around = (before.at.value * (1 - precision / 2), before.at.value * (1 + precision / 2))
            root = search.root(*around) if before.edge else search.settled(*around)
            shift = abs(root.at.value / before.at.value - 1.0) if not root.edge and before.at.value else 0.0
            if shift <= precision / 2 or (what.whole and root.answer == before.answer):
                break
        return (root if root.edge or what.whole or math.isnan(shift) else search.answer(widened(root.at, shift))), search, shift


def widened(found: Estimate, shift: float) -> Estimate:
    """An interval that also holds what longer runs moved the answer by: they may move it by as much again."""
    return Estimate(found.value, min(found.low, found.value * (1.0 - shift)), max(found.high, found.value * (1.0 + shift)))


def happens_at_stated_times(topology: Topology) -> bool:
    """Whether something depends on when it happens, so that the run may not be shortened."""
    sources = any(source.bursts or source.daily or source.kind == "trace" for source in topology.traffic)
    clients = topology.clients
    return bool(topology.faults or clients.churn or clients.start or sources or topology.presence.enabled)


def first_length(topology: Topology, what: Varied, clauses: Sequence[Clause]) -> tuple[int, int]:
    """Warm-up and duration of the first runs [ns]: as short as the metric allows, and half of it, since the last runs are at least twice as long."""
    start = min(max(what.now, what.least), what.most)
    rate = max(plan(what.at(topology, start)).publications, 1e-3)
    bound = max([clause.bound for clause in clauses if clause.timed], default=0.0)
    warmup = max(SHORTEST_S / 5.0, 2.0 * bound)
    measured = max(SHORTEST_S, BOUNDS * bound, MESSAGES / rate)
    return round(warmup * SECOND), round((warmup + measured) * SECOND)
