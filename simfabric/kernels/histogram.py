"""Histograms of durations in log-spaced bins: 128 bins an octave, so a value is known within 0.4 %, and histograms add up.

The idea is that of HDR histograms (G. Tene): exact below 128 ns, then the top 7 bits after the leading one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.chance import bit_length

SUB = 128  # Bins in one octave.
BINS = 56 * SUB  # Up to 2^62 ns.


def bin_of(value: int) -> int:
    """The bin of a duration [ns] >= 0."""
    if value < 128:
        return value if value > 0 else 0
    shift = bit_length(value) - 8
    return (shift + 1) * 128 + (value >> shift) - 128


def count_durations(histogram: Any, durations: Any) -> None:
    """Add each duration [ns] to the histogram."""
    for i in range(len(durations)):
        histogram[bin_of(durations[i])] += 1


def bin_edges() -> np.ndarray[Any, np.dtype[np.float64]]:
    """The lower edge of every bin and the upper edge of the last [ns], float64[BINS + 1]."""
    index = np.arange(BINS + 1)
    shift = np.maximum(index // SUB - 1, 0)
    edges: np.ndarray[Any, np.dtype[np.float64]] = np.where(index < SUB, index, np.ldexp(1.0, shift) * (index - shift * SUB))
    return edges
