"""Quantiles of histograms of durations, refused where the samples are too few to bound them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simfabric.kernels.histogram import bin_edges

Array = np.ndarray[Any, Any]


def fewest(q: float) -> int:
    """The fewest samples whose maximum bounds quantile q with 95 %: 299 for p99, 2 995 for p99.9 (oracles Z6)."""
    return math.ceil(math.log(0.05) / math.log(q)) if 0.0 < q < 1.0 else 1


def quantile(histogram: Array, q: float) -> float | None:
    """Quantile q of a histogram of durations [ns], as the middle of its bin (within 0.4 %); None where fewer than `fewest(q)` samples."""
    total = int(histogram.sum())
    if total < fewest(q) or total == 0:
        return None
    edges = bin_edges()
    place = int(np.searchsorted(np.cumsum(histogram), q * total))
    if place < 128:  # Bins of one nanosecond.
        return float(edges[place])
    return float((edges[place] + edges[place + 1]) / 2)


def share_below(histogram: Array, limit: float) -> float | None:
    """Share of the samples that are at most `limit` [ns]; None without samples."""
    total = int(histogram.sum())
    return float(histogram[: int(np.searchsorted(bin_edges(), limit, side="right"))].sum() / total) if total else None


def mean(histogram: Array) -> float | None:
    """Mean of a histogram [ns], each sample in the middle of its bin; None without samples."""
    total = int(histogram.sum())
    edges = bin_edges()
    return float((histogram * (edges[:-1] + edges[1:]) / 2).sum() / total) if total else None
