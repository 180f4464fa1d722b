"""Paired differences: two designs that met the same luck, compared replication by replication.

Common random numbers make the two results of a replication rise and fall together; their difference then varies less than either. The
correlation that was achieved says how much: with equal variances the variance of the difference is (1 - correlation) of the unpaired one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simfabric.analysis.intervals import LEVEL, Interval, mean_interval


@dataclass(frozen=True, slots=True)
class Paired:
    """Second minus first, replication by replication."""

    difference: Interval
    correlation: float | None  # Between the two designs; None where one of them does not vary.
    reduction: float | None  # Variance of the difference of independent runs over that of the paired ones; None where neither varies.

    @property
    def decided(self) -> bool:
        """Whether the interval excludes no difference at all."""
        return self.difference.excludes(0.0)


def paired(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Paired | None:
    """The paired comparison of two designs, their values in the order of replications; None for fewer than two pairs or values not finite."""
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values of one as of the other, not {len(first)} and {len(second)}")
    difference = mean_interval([b - a for a, b in zip(first, second)], level)
    if difference is None or not all(map(math.isfinite, [*first, *second])):
        return None
    ours, theirs, between = _covariance(first, first), _covariance(second, second), _covariance(first, second)
    left = ours + theirs - 2.0 * between
    return Paired(
        difference,
        correlation=max(-1.0, min(1.0, between / math.sqrt(ours * theirs))) if ours > 0.0 and theirs > 0.0 else None,
        reduction=(ours + theirs) / left if left > 1e-15 * (ours + theirs) else (math.inf if ours + theirs > 0.0 else None),
    )


def _covariance(first: Sequence[float], second: Sequence[float]) -> float:
    count = len(first)
    means = math.fsum(first) / count, math.fsum(second) / count
    return math.fsum((a - means[0]) * (b - means[1]) for a, b in zip(first, second)) / (count - 1)
