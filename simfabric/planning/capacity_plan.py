"""The answer of a capacity search, as a frozen value: the answer with its interval, the knee curve, what binds, what it costs; and in words."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simfabric.analysis.bottleneck import bottleneck
from simfabric.analysis.roots import Estimate, jackknife
from simfabric.errors import shown
from simfabric.planning import clauses as promises
from simfabric.planning.clauses import Clause, Sample
from simfabric.planning.prices import Cost, Prices, cost
from simfabric.planning.search import Root, Search
from simfabric.planning.varying import Varied
from simfabric.topology import Topology
from simfabric.units import format_duration

if TYPE_CHECKING:
    from simfabric.planning.capacity import _Rounds


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the knee curve: the value varied, every clause's metric with its interval [s, share, messages], the headroom, what is busiest."""

    x: float
    replications: int
    metrics: tuple[Estimate | None, ...]
    headroom: float
    component: str
    utilisation: float


@dataclass(frozen=True, eq=False)
class CapacityPlan:
    """What a capacity search found. `answer` is within [low, high] with probability `level`; NaN where nothing in the range keeps the promise."""

    topology: Topology
    vary: str
    clauses: tuple[Clause, ...]
    answer: float
    low: float
    high: float
    level: float
    edge: str  # "met": all of the range keeps the promise; "missed": nothing does; "": the answer lies within.
    load: bool  # Whether more of it leaves less headroom.
    points: tuple[Point, ...]
    component: str  # What binds: the component whose busiest row is nearest to saturation at the answer,
    utilisation: float  # and how busy that is there.
    duration: int  # Of the last runs [ns].
    shift: float  # By what share the answer moved when runs became twice as long; NaN where they keep their length.
    runs: int
    wall_s: float
    cost: Cost | None
    what: Varied

    @property
    def saturation(self) -> float:
        """By how much the load may grow from the answer until the component that binds is saturated: 0.05 means 5 % more."""
        return max(0.0, 1.0 / self.utilisation - 1.0) if self.utilisation > 0 else math.inf

    def rows(self) -> list[dict[str, Any]]:
        """The knee curve for plots: one row for each point and clause, durations in seconds."""
        found = []
        for point in self.points:
            for clause, seen in zip(self.clauses, point.metrics, strict=True):
                value, low, high = (seen.value, seen.low, seen.high) if seen else (None, None, None)
                row = {"vary": self.vary, "x": point.x, "replications": point.replications, "metric": clause.metric, "bound": clause.bound, "value": value}
                row |= {"low": low, "high": high, "met": point.headroom >= 0.0, "component": point.component, "utilisation": point.utilisation}
                found.append(row)
        return found

    def figures(self) -> dict[str, Any]:
        """Everything as JSON knows it; what is not a number is None."""
        numbers = {"answer": self.answer, "low": self.low, "high": self.high, "level": self.level, "utilisation": self.utilisation}
        numbers |= {"distance_to_saturation": self.saturation, "shift": self.shift, "wall_s": self.wall_s, "duration_s": self.duration / 1e9}
        told = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        rows = [{name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()} for row in self.rows()]
        words = {"vary": self.vary, "slo": [str(clause) for clause in self.clauses], "asked": "highest load" if self.load else "least count", "edge": self.edge}
        words |= {"component": self.component, "topology_sha256": self.topology.digest}
        return {**words, **told, "runs": self.runs, "curve": rows, "cost": self.cost.figures() if self.cost else None}

    def text(self) -> str:
        """The plan for people."""
        return "\n".join([*self._answer(), "", *self._curve(), "", *self._notes()])

    def _answer(self) -> list[str]:
        what, promise = self.what, " and ".join(str(clause) for clause in self.clauses)
        title = f"{shown(self.topology.name) or 'topology'}: {'the highest' if self.load else 'the least'} {self.vary} with {promise}"
        if self.edge == "missed":
            return [title, f"  none from {what.shown(what.least)} to {what.shown(what.most)} keeps it; what binds is {self._bound()}"]
        if self.edge == "met":
            return [title, f"  {what.shown(self.answer)}: the {'most' if self.load else 'least'} of the range keeps it"]
        interval = f"[{what.shown(self.low)}, {what.shown(self.high)}] at {100 * self.level:g} %"
        width = f" (+-{50 * (self.high - self.low) / self.answer:.2g} %)" if self.high > self.low and self.answer else ""
        return [title, f"  {what.shown(self.answer)}, {interval}{width}"]

    def _bound(self) -> str:
        return f"{self.component}, its busiest row {100 * self.utilisation:.3g} % busy"

    def _curve(self) -> list[str]:
        lines = ["  " + f"{self.vary:>24}{'runs':>6}" + "".join(f"{clause.metric:>34}" for clause in self.clauses) + f"{'kept':>7}{'busiest':>22}"]
        for point in self.points:
            cells = "".join(f"{_with_interval(clause, seen):>34}" for clause, seen in zip(self.clauses, point.metrics, strict=True))
            busy = f"{point.component} {100 * point.utilisation:.1f} %"
            lines.append(f"  {self.what.shown(point.x):>24}{point.replications:>6}{cells}{'yes' if point.headroom >= 0 else 'no':>7}{busy:>22}")
        return lines

    def _notes(self) -> list[str]:
        rest = f"{100 * self.saturation:.3g} % more load saturates it" if self.saturation > 0 else "it is saturated"
        lines = [f"  binds:      {self._bound()} at the answer; {rest}"]
        if self.cost is not None:
            lines += [f"  cost:       {self.cost.line()}"]
        lines.append("  luck:       every point has the same (common random numbers), which makes the metric monotone but for noise that does not matter")
        moved = (
            ""
            if math.isnan(self.shift) or (self.what.whole and self.answer < 100)
            else f"; runs of twice the length moved the answer by {100 * self.shift:.2g} %"
        )
        lines.append(f"  runs:       {self.runs}, the last of {format_duration(self.duration)} each, in {self.wall_s:.0f} s{moved}")
        return lines

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def _with_interval(clause: Clause, seen: Estimate | None) -> str:
    if seen is None:
        return "-"
    return f"{clause.shown(seen.value)} [{clause.shown(max(0.0, seen.low))}, {clause.shown(seen.high)}]"


def plan_of(
    topology: Topology, what: Varied, asked: tuple[Clause, ...], root: Root, search: Search[Sample], rounds: _Rounds, shift: float, wall_s: float, level: float,
    prices: Prices | None,
) -> CapacityPlan:  # fmt: skip
    """The plan that a search's samples make."""
    points = tuple(point(x, search.samples[x], asked, level) for x in sorted(search.samples))
    near = min(points, key=lambda each: (abs(each.x - (root.at.value if math.isnan(root.answer) else root.answer)), -each.replications))
    answered = None if math.isnan(root.answer) else what.at(topology, root.answer)
    return CapacityPlan(
        topology=topology,
        vary=what.path,
        clauses=asked,
        answer=root.answer,
        low=root.low,
        high=root.high,
        level=level,
        edge=root.edge,
        load=bool(what.falling),
        points=points,
        component=near.component,
        utilisation=near.utilisation,
        duration=rounds.duration,
        shift=shift,
        runs=rounds.runs,
        wall_s=wall_s,
        cost=None if answered is None or prices is None else cost(answered, prices=prices),
        what=what,
    )


def point(x: float, samples: Sequence[Sample], asked: tuple[Clause, ...], level: float) -> Point:
    """One point of the knee curve."""
    mean = {name: math.fsum(sample.busiest[name] for sample in samples) / len(samples) for name in samples[0].busiest}
    weakest = bottleneck(mean)
    seen = tuple(_estimated(samples, asked, place, level) for place in range(len(asked)))
    return Point(x, len(samples), seen, promises.headroom(samples, asked), weakest.component, weakest.utilisation)


def _estimated(samples: Sequence[Sample], asked: tuple[Clause, ...], place: int, level: float) -> Estimate | None:
    """A metric with its interval by the jackknife; without one where leaving out a replication leaves too few samples."""
    if promises.metric(samples, asked, place) is None:
        return None

    def of(kept: Sequence[int]) -> float:
        value = promises.metric([samples[r] for r in kept], asked, place)
        return math.nan if value is None else value

    return jackknife(of, len(samples), level)
