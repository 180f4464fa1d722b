"""A study: one topology in many independent replications, each figure with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simfabric.analysis.intervals import Interval, mean_interval
from simfabric.planning import tables
from simfabric.planning.grid import Grid
from simfabric.planning.metrics import METRICS, written
from simfabric.running.text import plain
from simfabric.topology import Topology
from simfabric.units import format_duration

if TYPE_CHECKING:
    import pandas

HEAD = ("metric", "mean", "", "interval", "least", "most")


@dataclass(frozen=True, eq=False)
class Study:
    """What replications of a topology say of its metrics; see `replicate`."""

    topology: Topology
    grid: Grid = field(repr=False)
    level: float
    precision: float | None  # The relative precision that was asked for.
    warmup_found: bool  # Whether the warm-up was found by MSER-5 rather than given.

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return self.grid.metrics

    @property
    def replications(self) -> tuple[int, ...]:
        """The numbers of the replications."""
        return self.grid.replications

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of each replication."""
        return self.grid.digests[0]

    @property
    def partial(self) -> bool:
        """Whether it was interrupted; what there is is valid."""
        return self.grid.partial

    @property
    def lawful(self) -> bool:
        """Whether no run broke a law."""
        return not self.grid.broken

    def values(self, name: str) -> list[float]:
        """A metric in each replication; NaN where the run does not tell."""
        return self.grid.of(name)

    def interval(self, name: str) -> Interval | None:
        """The mean of a metric over the replications with its interval; None where a replication does not tell it, or there is only one."""
        return mean_interval(self.values(name), self.level)

    @property
    def reached(self) -> bool | None:
        """Whether every metric that is told has the precision that was asked for; None if none was asked for."""
        return None if self.precision is None else precise([self.interval(name) for name in self.metrics], self.precision)

    def summary(self) -> str:
        """A table of text for people."""
        return "\n".join([self._title(), "", *tables.aligned(HEAD, self._rows()), "", *self._notes()])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return tables.as_html(self._title(), HEAD, self._rows(), self._notes())

    def table(self) -> pandas.DataFrame:
        """One row for each replication: its number, its digest and the metrics in their units (times in seconds)."""
        import pandas

        columns = {name: self.values(name) for name in self.metrics}
        return pandas.DataFrame({"replication": self.replications, "digest": self.digests, **columns})

    def figures(self) -> dict[str, Any]:
        """The study as JSON takes it; what is not told or not finite is None."""
        return {
            "name": self.topology.name,
            "seed": self.topology.run.seed,
            "replications": list(self.replications),
            "digests": list(self.digests),
            "partial": self.partial,
            "level": self.level,
            "precision": self.precision,
            "reached": self.reached,
            "warmup_s": self.topology.run.warmup / 1e9,
            "broken": list(self.grid.broken),
            "metrics": {name: {"unit": METRICS[name].unit, **interval_figures(self.interval(name)), "values": finite_list(self.values(name))}
                        for name in self.metrics},
        }  # fmt: skip

    def _title(self) -> str:
        return f"{plain(self.topology.name or 'topology')}: {len(self.replications)} replications of {format_duration(self.topology.run.duration)}"

    def _rows(self) -> list[tables.Row]:
        rows: list[tables.Row] = []
        for name in self.metrics:
            unit, interval, values = METRICS[name].unit, self.interval(name), self.values(name)
            if interval is None:
                rows.append((name, "-", "", why_not(values), "", ""))
                continue
            bounds = f"{written(interval.low, unit)} .. {written(interval.high, unit)}"
            rows.append((name, written(interval.estimate, unit), plus_minus(interval), bounds, written(min(values), unit), written(max(values), unit)))
        return rows

    def _notes(self) -> list[str]:
        how = "found by MSER-5" if self.warmup_found else "given"
        notes = [f"intervals hold the mean of a metric with {self.level:.0%} each; warm-up {format_duration(self.topology.run.warmup)}, {how}"]
        if self.precision is not None:
            notes.append(
                f"asked for +-{self.precision:.3g} relative: {'reached' if self.reached else 'not reached'} after {len(self.replications)} replications"
            )
        return [*notes, *ending_notes(self.grid)]


def precise(intervals: list[Interval | None], precision: float) -> bool:
    """Whether every interval there is has the relative precision: a half-width of at most precision / (1 + precision) of the estimate, so that the
    error relative to the truth is bounded by `precision` (Law, Simulation Modeling and Analysis, 9.4.1)."""
    told = [interval for interval in intervals if interval is not None]
    return bool(told) and all(interval.relative <= precision / (1.0 + precision) for interval in told)


def ending_notes(grid: Grid) -> list[str]:
    """What speaks against trusting a grid of runs without a second look."""
    notes = [f"PARTIAL: interrupted; the {len(grid.replications)} replications told are complete"] if grid.partial else []
    return notes + [f"BROKEN LAW: {law}" for law in grid.broken[:10]]


def why_not(values: list[float]) -> str:
    """Why there is no interval."""
    silent, endless = sum(map(math.isnan, values)), sum(map(math.isinf, values))
    if silent:
        return f"not told by {silent} of {len(values)} runs"
    return f"endless in {endless} of {len(values)} runs" if endless else "one replication has no interval"


def plus_minus(interval: Interval) -> str:
    """'+-3.1 %' of the estimate."""
    return f"+-{100 * interval.relative:.2g} %" if math.isfinite(interval.relative) else ""


def interval_figures(interval: Interval | None) -> dict[str, Any]:
    """An interval as JSON takes it."""
    if interval is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": interval.estimate, "low": interval.low, "high": interval.high}


def finite_list(values: list[float]) -> list[float | None]:
    """JSON knows neither infinity nor NaN."""
    return [value if math.isfinite(value) else None for value in values]
