"""Findings: the figures of all runs of an experiment, and what follows from them: intervals, paired differences, winners, crossings.

Designs are compared within each case, under the same luck. A design that a metric does not tell (too few samples), or tells as endless, is set
apart from the comparison of that metric, and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simfabric._version import __version__
from simfabric.analysis.intervals import Interval, mean_interval
from simfabric.analysis.paired import Paired
from simfabric.planning.comparison import Comparison
from simfabric.planning.experiments.reading import Experiment
from simfabric.planning.grid import Grid
from simfabric.planning.metrics import METRICS
from simfabric.planning.study import why_not


@dataclass(frozen=True, slots=True)
class Answer:
    """What the data say of one metric in one case: the winner's name, or None; and in words, with those that were set apart and why."""

    winner: str | None
    says: str


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two designs that change places between two neighbouring cases: before it `one` is better, after it `other`."""

    metric: str
    one: str
    other: str
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Findings:
    """The figures of an experiment."""

    experiment: Experiment
    metrics: tuple[str, ...]
    replications: tuple[int, ...]
    values: Any = field(repr=False)  # float64[cases, designs, replications, metrics], times in seconds; NaN where a run does not tell.
    digests: Any = field(repr=False)  # The digest of each run, text[cases, designs, replications].
    version: str = __version__  # Of the simfabric that ran it.

    def of(self, case: int, design: int, name: str) -> list[float]:
        """A metric of a design in each replication of a case."""
        column: list[float] = self.values[case, design, :, self.metrics.index(name)].tolist()
        return column

    def interval(self, case: int, design: int, name: str) -> Interval | None:
        """The mean with an interval that holds by itself; None where a run does not tell or is endless."""
        return mean_interval(self.of(case, design, name), self.experiment.form.level)

    def told(self, case: int, name: str) -> list[int]:
        """The designs whose every run tells the metric, and tells a finite one."""
        return [i for i in range(len(self.experiment.designs)) if all(map(math.isfinite, self.of(case, i, name)))]

    def comparison(self, case: int, name: str) -> Comparison:
        """The comparison of the designs that tell a metric."""
        told, arms = self.told(case, name), self.experiment.cases[case].arms
        values = self.values[case][told][:, :, [self.metrics.index(name)]]
        digests = tuple(tuple(self.digests[case][i]) for i in told)
        grid = Grid((name,), self.replications, values, digests, (), False, 0.0)
        level, designs = self.experiment.form.level, tuple(arms[i] for i in told)
        return Comparison(self.experiment.topology, {}, designs, grid, level, self.experiment.replications)

    def difference(self, case: int, design: int, name: str, against: int = 0) -> Paired | None:
        """The paired difference of a design to another one, with an interval that holds together with all others of this metric and case."""
        told = self.told(case, name)
        return self.comparison(case, name).paired(name, told.index(design), told.index(against)) if design in told and against in told else None

    def answer(self, case: int, name: str) -> Answer:
        """The winner in a metric, if the data tell one."""
        told, names = self.told(case, name), self.experiment.designs
        apart = [i for i in range(len(names)) if i not in told]
        why = "; ".join(f"{names[i]}: {why_not(self.of(case, i, name))}" for i in apart)
        if not told:
            return Answer(None, f"the data do not tell ({why})")
        if len(told) == 1:
            is_endless = METRICS[name].better == "lower" and all(np.isinf(self.of(case, i, name)).all() for i in apart)
            winner = names[told[0]] if is_endless else None
            return Answer(winner, f"best: {winner}, the only one that is not endless" if winner else f"the data tell of {names[told[0]]} only ({why})")
        verdict = self.comparison(case, name).verdict(name)
        winner = None if verdict.winner is None else names[told[verdict.winner]]
        return Answer(winner, f"{verdict.says} (set apart: {why})" if why else verdict.says)

    def crossings(self, name: str) -> Iterator[Crossing]:
        """Every two designs that change places from one case to a later one, where the data tell both; cases between which they do not are passed over."""
        designs, cases = self.experiment.designs, self.experiment.cases
        for one in range(len(designs)):
            for other in range(one + 1, len(designs)):
                last: tuple[int, bool] | None = None
                for case in range(len(cases)):
                    pair = self.difference(case, other, name, one)
                    if pair is None or not pair.decided or self._within_a_bin(case, one, name, pair):
                        continue
                    first_is_better = (pair.difference.estimate > 0) == (METRICS[name].better == "lower")
                    if last is not None and last[1] != first_is_better:
                        better, worse = (one, other) if last[1] else (other, one)
                        yield Crossing(name, designs[better], designs[worse], cases[last[0]].name, cases[case].name)
                    last = (case, first_is_better)

    def _within_a_bin(self, case: int, design: int, name: str, pair: Paired) -> bool:
        """Whether all that may lie between two designs is less than what the metric can tell apart."""
        mean = self.interval(case, design, name)
        most = max(abs(pair.difference.low), abs(pair.difference.high))
        return mean is not None and most <= METRICS[name].grain * abs(mean.estimate)
