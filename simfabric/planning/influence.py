"""What a sensitivity study found: a tornado (each key alone, from low to high) or Morris's effects (keys together)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simfabric.analysis.intervals import Interval, mean_interval
from simfabric.analysis.morris import Effect
from simfabric.analysis.paired import Paired, paired
from simfabric.planning import tables
from simfabric.planning.grid import Grid
from simfabric.planning.metrics import METRICS, written, written_change
from simfabric.planning.ranges import Range
from simfabric.planning.study import ending_notes, finite_list, interval_figures
from simfabric.running.text import plain
from simfabric.topology import Topology

if TYPE_CHECKING:
    import pandas

BAR = 24  # Characters of the longest bar of a tornado.


@dataclass(frozen=True, eq=False)
class Tornado:
    """Each key at its low and at its high value, all else as the topology says; see `sensitivity`."""

    topology: Topology
    metric: str
    keys: tuple[Range, ...]
    grid: Grid = field(repr=False)  # The topology as it is, then low and high of each key.
    level: float

    @property
    def base(self) -> Interval | None:
        """The metric of the topology as it is."""
        return mean_interval(self.grid.of(self.metric), self.level)

    @property
    def pair_level(self) -> float:
        """The level of each difference, so that all hold together with `level` (Bonferroni)."""
        return 1.0 - (1.0 - self.level) / (2 * len(self.keys))

    def difference(self, key: int, high: bool) -> Paired | None:
        """What the low or the high value of a key changes, under the same luck; None where a run does not tell."""
        return paired(self.grid.of(self.metric), self.grid.of(self.metric, 1 + 2 * key + high), self.pair_level)

    def swing(self, key: int) -> float:
        """The distance between the metric at the low and the high value; NaN where a run does not tell."""
        ends = [self.difference(key, high) for high in (False, True)]
        return abs(ends[1].difference.estimate - ends[0].difference.estimate) if ends[0] and ends[1] else float("nan")

    @property
    def order(self) -> list[int]:
        """The keys from the widest swing to the narrowest; those that runs do not tell come last."""
        return sorted(range(len(self.keys)), key=lambda key: -self.swing(key) if self.swing(key) == self.swing(key) else 1.0)

    def summary(self) -> str:
        """A table of text for people."""
        return "\n".join([self._title(), "", *tables.aligned(self._head(), self._rows(), left=2), "", *self._notes()])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return tables.as_html(self._title(), self._head(), self._rows(), self._notes())

    def table(self) -> pandas.DataFrame:
        """One row for each end of each key: value, difference, its interval, correlation."""
        import pandas

        return pandas.DataFrame(self.figures()["keys"])

    def figures(self) -> dict[str, Any]:
        """The study as JSON takes it."""
        rows = []
        for key in self.order:
            for high in (False, True):
                pair, one = self.difference(key, high), self.keys[key]
                told = interval_figures(pair.difference if pair else None)
                rows.append({"key": one.path, "value": one.at(float(high)), **told, "correlation": pair.correlation if pair else None})
        base = {**interval_figures(self.base), "values": finite_list(self.grid.of(self.metric))}
        return {**_common(self.topology, self.metric, self.grid, self.level), "method": "tornado", "base": base, "keys": rows}

    def _title(self) -> str:
        told = "not told" if self.base is None else f"{written(self.base.estimate, METRICS[self.metric].unit)} as it is"
        return f"{plain(self.topology.name or 'topology')}: what moves {self.metric} ({told}), {len(self.grid.replications)} replications"

    def _head(self) -> tables.Row:
        return "key", "swing", "at low", "interval", "at high", "interval"

    def _rows(self) -> list[tables.Row]:
        unit, rows = METRICS[self.metric].unit, list[tables.Row]()
        widest = max((swing for key in self.order if (swing := self.swing(key)) > 0.0), default=1.0)
        for key in self.order:
            swing = self.swing(key)
            cells = [self.keys[key].path, "#" * round(BAR * swing / widest) if swing == swing else ""]
            for high in (False, True):
                pair = self.difference(key, high)
                bounds = "not told" if pair is None else f"{written_change(pair.difference.low, unit)} .. {written_change(pair.difference.high, unit)}"
                change = "" if pair is None else written_change(pair.difference.estimate, unit)
                cells += [f"{self.keys[key].at(float(high))}: {change}", bounds]
            rows.append(cells)
        return rows

    def _notes(self) -> list[str]:
        silent = [self.keys[key].path for key in self.order if not any((pair := self.difference(key, high)) and pair.decided for high in (False, True))]
        notes = [f"no effect is sure for {', '.join(map(plain, silent))}"] if silent else []
        return [
            *notes,
            f"same luck in every run; the {2 * len(self.keys)} differences hold together with {self.level:.0%} (Bonferroni)",
            *ending_notes(self.grid),
        ]


@dataclass(frozen=True, eq=False)
class Morris:
    """Elementary effects of each key over the whole range of the others; see `sensitivity`."""

    topology: Topology
    metric: str
    keys: tuple[Range, ...]
    effects: tuple[Effect, ...]
    intervals: tuple[Interval | None, ...]  # Of mu.
    grid: Grid = field(repr=False)
    level: float

    @property
    def order(self) -> list[int]:
        """The keys from the largest mu* to the smallest."""
        return sorted(range(len(self.keys)), key=lambda key: -self.effects[key].size)

    def summary(self) -> str:
        """A table of text for people."""
        return "\n".join([self._title(), "", *tables.aligned(self._head(), self._rows(), left=2), "", *self._notes()])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return tables.as_html(self._title(), self._head(), self._rows(), self._notes())

    def table(self) -> pandas.DataFrame:
        """One row for each key: mu, its interval, mu*, sigma."""
        import pandas

        return pandas.DataFrame(self.figures()["keys"])

    def figures(self) -> dict[str, Any]:
        """The study as JSON takes it."""
        rows = [
            {"key": self.keys[key].path, "range": self.keys[key].says, "mu": one.mean, **_bounds(self.intervals[key]), "mu_star": one.size, "sigma": one.spread}
            for key in self.order
            for one in [self.effects[key]]
        ]
        return {**_common(self.topology, self.metric, self.grid, self.level), "method": "morris", "keys": rows}

    def _title(self) -> str:
        runs = self.grid.values.size
        return f"{plain(self.topology.name or 'topology')}: what moves {self.metric}, {self.effects[0].count} trajectories ({runs} runs)"

    def _head(self) -> tables.Row:
        return "key", "range", "mu*", "mu", "interval of mu", "sigma"

    def _rows(self) -> list[tables.Row]:
        unit, rows = METRICS[self.metric].unit, list[tables.Row]()
        for key in self.order:
            one, interval = self.effects[key], self.intervals[key]
            bounds = f"{written_change(interval.low, unit)} .. {written_change(interval.high, unit)}" if interval else "-"
            rows.append(
                (
                    self.keys[key].path,
                    self.keys[key].says,
                    *(written_change(value, unit) for value in (one.size, one.mean)),
                    bounds,
                    written_change(one.spread, unit),
                )
            )
        return rows

    def _notes(self) -> list[str]:
        bent = [self.keys[key].path for key in self.order if self.effects[key].spread > self.effects[key].size > 0.0]
        notes = [f"depends on the other keys, on where it stands, or on luck (sigma > mu*): {', '.join(map(plain, bent))}"] if bent else []
        return [*notes, f"effects are over a key's whole range; each interval holds with {self.level:.0%} by itself", *ending_notes(self.grid)]


def _bounds(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low if interval else None, "high": interval.high if interval else None}


def _common(topology: Topology, metric: str, grid: Grid, level: float) -> dict[str, Any]:
    replications: Sequence[int] = grid.replications
    return {"name": topology.name, "seed": topology.run.seed, "metric": metric, "unit": METRICS[metric].unit, "replications": list(replications),
            "partial": grid.partial, "broken": list(grid.broken), "level": level}  # fmt: skip
