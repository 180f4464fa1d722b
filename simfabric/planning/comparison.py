"""A comparison: several designs under the same luck, their differences with intervals, and a winner for each metric where the data tell one.

All differences between designs of one metric hold together with the stated level (Bonferroni over all pairs), so the winner, which the data
choose, is named wrongly with at most one minus the level. Different metrics are different questions: each has the level by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simfabric.analysis.intervals import Interval, mean_interval
from simfabric.analysis.paired import Paired, paired
from simfabric.planning import tables
from simfabric.planning.designs import Design
from simfabric.planning.grid import Grid
from simfabric.planning.metrics import METRICS, written, written_change
from simfabric.planning.study import ending_notes, finite_list, interval_figures, why_not
from simfabric.running.text import plain
from simfabric.topology import Topology
from simfabric.units import format_duration

if TYPE_CHECKING:
    import pandas

HEAD = ("metric", "design", "mean", "difference to the first", "interval", "", "correlation", "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which design is best in a metric: its place, or None and why; `rivals` are those that the data do not tell from the best mean."""

    winner: int | None
    rivals: tuple[int, ...]
    says: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """What replications of several designs say of their differences; see `compare`."""

    topology: Topology
    vary: Mapping[str, Sequence[object]]
    designs: tuple[Design, ...] = field(repr=False)
    grid: Grid = field(repr=False)
    level: float
    asked: int  # Replications asked for.

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return self.grid.metrics

    @property
    def partial(self) -> bool:
        """Whether it was interrupted; what there is is valid."""
        return self.grid.partial

    @property
    def lawful(self) -> bool:
        """Whether no run broke a law."""
        return not self.grid.broken

    @property
    def pairs(self) -> int:
        """Pairs of designs."""
        return len(self.designs) * (len(self.designs) - 1) // 2

    @property
    def pair_level(self) -> float:
        """The level of each pair's interval, so that all of a metric's hold together with `level` (Bonferroni)."""
        return 1.0 - (1.0 - self.level) / max(1, self.pairs)

    def values(self, name: str, design: int) -> list[float]:
        """A metric of a design in each replication; NaN where the run does not tell."""
        return self.grid.of(name, design)

    def interval(self, name: str, design: int) -> Interval | None:
        """The mean of a metric of a design, with an interval that holds by itself."""
        return mean_interval(self.values(name, design), self.level)

    def paired(self, name: str, design: int, against: int = 0) -> Paired | None:
        """The difference of a design to another one, with its simultaneous interval; None where a run does not tell."""
        return paired(self.values(name, against), self.values(name, design), self.pair_level)

    def verdict(self, name: str) -> Verdict:
        """The winner in a metric, if the data tell."""
        columns = [self.values(name, i) for i in range(len(self.designs))]
        for column in columns:
            if not all(map(math.isfinite, column)):
                return Verdict(None, (), f"the data do not tell: {why_not(column)} of one design")
        sign = 1.0 if METRICS[name].better == "lower" else -1.0
        means = [sign * math.fsum(column) for column in columns]
        best = means.index(min(means))
        rivals = [i for i in range(len(columns)) if i != best and not self._beaten(name, i, best, sign)]
        if not rivals:
            return Verdict(best, (), f"best: {self.designs[best].label}")
        if all(columns[i] == columns[best] for i in rivals):
            same = "all designs are" if len(rivals) == len(columns) - 1 else ", ".join(self.designs[i].label for i in sorted([best, *rivals])) + " are"
            return Verdict(None, tuple(rivals), f"{same} the same in every replication")
        others = ", ".join(self.designs[i].label for i in rivals)
        if all(self._alike(name, i, best) for i in rivals):
            return Verdict(
                None, tuple(rivals), f"{self.designs[best].label} and {others} differ by less than a bin of the histogram, {METRICS[name].grain:.1%}"
            )
        return Verdict(None, tuple(rivals), f"the data do not tell {self.designs[best].label} (best mean) from {others}{self._needed(name, rivals, best)}")

    def _beaten(self, name: str, design: int, best: int, sign: float) -> bool:
        """Whether this design is surely worse than the best."""
        found = self.paired(name, design, best)
        return found is not None and found.decided and sign * found.difference.estimate > 0.0 and not self._alike(name, design, best)

    def _alike(self, name: str, design: int, best: int) -> bool:
        """Whether all that may lie between two designs is less than what the metric can tell apart."""
        found, mean = self.paired(name, design, best), self.interval(name, best)
        grain = METRICS[name].grain
        return found is not None and mean is not None and max(abs(found.difference.low), abs(found.difference.high)) <= grain * abs(mean.estimate)

    def _needed(self, name: str, rivals: list[int], best: int) -> str:
        """How many replications might tell, if the means and spreads stay as they are."""
        found = [pair.difference for i in rivals if (pair := self.paired(name, i, best)) is not None and pair.difference.estimate != 0.0]
        if len(found) < len(rivals):
            return ""
        needed = max(len(self.grid.replications) * one.relative**2 for one in found)
        return f"; about {math.ceil(1.2 * needed)} replications might" if needed < 10_000 else ""

    def summary(self) -> str:
        """A table of text for people."""
        return "\n".join([self._title(), "", *tables.aligned(HEAD, self._rows(), left=2), "", *self._notes()])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return tables.as_html(self._title(), HEAD, self._rows(), self._notes())

    def table(self) -> pandas.DataFrame:
        """One row for each run: the changed keys, the replication, the digest, and the metrics in their units (times in seconds)."""
        import pandas

        rows = []
        for i, one in enumerate(self.designs):
            for j, number in enumerate(self.grid.replications):
                values = dict(zip(self.metrics, self.grid.values[i, j].tolist()))
                rows.append({**{key: str(value) for key, value in one.changes.items()}, "replication": number, "digest": self.grid.digests[i][j], **values})
        return pandas.DataFrame(rows)

    def figures(self) -> dict[str, Any]:
        """The comparison as JSON takes it; what is not told or not finite is None."""
        return {
            "name": self.topology.name,
            "seed": self.topology.run.seed,
            "replications": list(self.grid.replications),
            "asked": self.asked,
            "partial": self.partial,
            "level": self.level,
            "pair_level": self.pair_level,
            "broken": list(self.grid.broken),
            "designs": [{"changes": {key: str(value) for key, value in one.changes.items()}, "digests": list(self.grid.digests[i])}
                        for i, one in enumerate(self.designs)],
            "metrics": {name: self._metric_figures(name) for name in self.metrics},
        }  # fmt: skip

    def _metric_figures(self, name: str) -> dict[str, Any]:
        verdict = self.verdict(name)
        rows = []
        for i in range(len(self.designs)):
            pair = self.paired(name, i) if i else None
            told = {"difference": interval_figures(pair.difference if pair else None), "correlation": pair.correlation if pair else None}
            rows.append({**interval_figures(self.interval(name, i)), **told, "values": finite_list(self.values(name, i))})
        winner = None if verdict.winner is None else self.designs[verdict.winner].label
        return {"unit": METRICS[name].unit, "better": METRICS[name].better, "winner": winner, "verdict": verdict.says, "designs": rows}

    def _title(self) -> str:
        runs = f"{len(self.designs)} designs x {len(self.grid.replications)} replications of {format_duration(self.topology.run.duration)}"
        return f"{plain(self.topology.name or 'topology')} by {plain(' x '.join(self.vary))}: {runs}"

    def _rows(self) -> list[tables.Row]:
        rows: list[tables.Row] = []
        for name in self.metrics:
            unit, verdict = METRICS[name].unit, self.verdict(name)
            for i, one in enumerate(self.designs):
                mark = "best" if verdict.winner == i else ""
                interval = self.interval(name, i)
                mean = written(interval.estimate, unit) if interval else why_not(self.values(name, i))
                rows.append((name if i == 0 else "", plain(one.label), mean, *self._difference(name, i), mark))
        return rows

    def _difference(self, name: str, design: int) -> tuple[str, str, str, str]:
        """Difference, interval, share of the first design's mean, and correlation of a row."""
        pair = self.paired(name, design) if design else None
        if pair is None:
            return "", "", "", ""
        unit, away, first = METRICS[name].unit, pair.difference, self.interval(name, 0)
        share = f"{100 * away.estimate / abs(first.estimate):+.2g} %" if first is not None and first.estimate else ""
        correlation = "-" if pair.correlation is None else f"{pair.correlation:.2f}"
        return written_change(away.estimate, unit), f"{written_change(away.low, unit)} .. {written_change(away.high, unit)}", share, correlation

    def _notes(self) -> list[str]:
        wide = max(map(len, self.metrics))
        notes = [f"{name:<{wide}}  {METRICS[name].better} is better; {plain(self.verdict(name).says)}" for name in self.metrics]
        together = f"the {self.pairs} differences between designs of a metric hold together" if self.pairs > 1 else "the difference of a metric holds"
        how = " (Bonferroni)" if self.pairs > 1 else ""
        notes += ["", f"same luck in every design (common random numbers); {together} with {self.level:.0%}{how}, each metric by itself"]
        return [*notes, *ending_notes(self.grid)]
