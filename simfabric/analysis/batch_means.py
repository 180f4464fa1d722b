"""Batch means: the interval of a mean from one long run, whose observations depend on their neighbours.

The run is cut into a few long batches; their means are nearly independent when a batch is much longer than the memory of the process
(Law, Simulation Modeling and Analysis, 9.5). The correlation of neighbouring means is told, since it says whether the batches are long enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.analysis.intervals import LEVEL, Interval, mean_interval

Array = np.ndarray[Any, Any]
BATCHES = 20
SHORTEST = 10  # Observations in a batch.


@dataclass(frozen=True, slots=True)
class BatchMeans:
    """The interval of the mean, and how much neighbouring batches still depend on one another."""

    interval: Interval
    size: int  # Observations in a batch.
    correlation: float  # Of neighbouring means.

    @property
    def independent(self) -> bool:
        """Whether the correlation is what independent means show (below two standard errors): if not, the interval is too narrow."""
        return self.correlation < 2.0 / math.sqrt(self.interval.count)


def batch_means(values: Array, batches: int = BATCHES, level: float = LEVEL) -> BatchMeans | None:
    """Of a series float[n] in order of time; None for fewer than ten observations in each batch. What does not fill a batch is left out at the start."""
    size = len(values) // batches
    if size < SHORTEST:
        return None
    means = np.asarray(values, np.float64)[len(values) - size * batches :].reshape(batches, size).mean(axis=1)
    interval = mean_interval(means.tolist(), level)
    if interval is None:
        return None
    away = means - means.mean()
    square = float(away @ away)
    return BatchMeans(interval, size, float(away[1:] @ away[:-1]) / square if square > 0.0 else 0.0)
