"""Intervals: how sure a figure is. Of a mean by Student's t, of a quantile by order statistics; refused where the samples are too few.

An interval assumes that its samples are independent and alike: figures of replications are, deliveries of one run are not (see `batch_means`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.analysis.student import binomial_at_most, t_quantile
from simfabric.kernels.histogram import bin_edges

Array = np.ndarray[Any, Any]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds between which the truth lies with probability `level`, if the samples are independent."""

    estimate: float
    low: float
    high: float
    level: float
    count: int  # Samples.

    @property
    def half_width(self) -> float:
        """Half of the distance between the bounds."""
        return 0.5 * (self.high - self.low)

    @property
    def relative(self) -> float:
        """The half-width over the estimate's size; 0 when the bounds meet, infinite around zero."""
        if self.half_width == 0.0:
            return 0.0
        return self.half_width / abs(self.estimate) if self.estimate else math.inf

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside."""
        return not self.low <= value <= self.high


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Student's interval of the mean; None for fewer than two values or one that is not finite."""
    count = len(values)
    if count < 2 or not all(math.isfinite(value) for value in values):
        return None
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = t_quantile(0.5 + 0.5 * level, count - 1) * spread / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, level, count)


def quantile_ranks(count: int, q: float, level: float = LEVEL) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics between which quantile q lies with at least `level`; None where `count` samples are too few for both.

    The number of samples below the quantile is binomial, whatever the law of the samples (Conover, Practical Nonparametric Statistics, 3.2).
    """
    tail = 0.5 * (1.0 - level)
    low = _least(count, lambda rank: binomial_at_most(rank, count, q) > tail)
    high = _least(count, lambda rank: binomial_at_most(rank - 1, count, q) >= 1.0 - tail)
    return (low, high) if low >= 1 and high <= count and binomial_at_most(high - 1, count, q) >= 1.0 - tail else None


def quantile_interval(values: Sequence[float] | Array, q: float, level: float = LEVEL) -> Interval | None:
    """Quantile q of independent samples with the interval between two of them; None where they are too few."""
    ordered = np.sort(np.asarray(values, np.float64))
    ranks = quantile_ranks(len(ordered), q, level) if len(ordered) else None
    if ranks is None:
        return None
    estimate = float(ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))])
    return Interval(estimate, float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]), level, len(ordered))


def histogram_quantile_interval(histogram: Array, q: float, level: float = LEVEL) -> Interval | None:
    """The same of a histogram of durations, int64[bins] as the recorder keeps them [ns]: bounds are edges of bins, so they are safe."""
    count = int(histogram.sum())
    ranks = quantile_ranks(count, q, level) if count else None
    if ranks is None:
        return None
    edges, summed = bin_edges(), np.cumsum(histogram)
    low, middle, high = (int(np.searchsorted(summed, rank)) for rank in (ranks[0], q * count, ranks[1]))
    return Interval(float(edges[middle] + edges[middle + 1]) / 2, float(edges[low]), float(edges[high + 1]), level, count)


def _least(count: int, holds: Any) -> int:
    """The least rank in 0 .. count for which it holds, where it holds for all larger ones; count if for none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
