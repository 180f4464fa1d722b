"""Popularity: how the publications are shared out over the channels, and a table that finds a channel in O(1).

Shares are summed up to `cumulative`; a uniform number u belongs to the first channel whose cumulative share is above u. The guide says
for each of 2^k equal steps of u where that search may begin, so that it takes less than two comparisons on average.

Source: Chen & Asau, "On generating random variates from an empirical distribution" (1974), the method of guide tables.
Leaves out: popularity that changes with time; which channel has which rank (the caller numbers the channels).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simfabric.policies.pools import Floats


def equal(count: int) -> Floats:
    """Every channel is as popular as any other."""
    _check_count(count)
    return np.full(count, 1.0 / count)


def zipf(count: int, exponent: float) -> Floats:
    """Zipf's law: the channel of rank k = 1, 2, … has a share proportional to k^-exponent; 0 is equal, 1 is the classic."""
    _check_count(count)
    # One power at a time: numpy's own differ in the last bit from processor to processor, and a digest would notice.
    return given([float(rank) ** -exponent for rank in range(1, count + 1)])


def given(weights: Sequence[float]) -> Floats:
    """Shares proportional to these weights."""
    column = np.asarray(weights, np.float64)
    _check_count(len(column))
    if not np.isfinite(column).all() or column.min() < 0 or column.max() == 0:
        raise ValueError("popularity: weights must be finite and at least 0, and one of them above 0")
    shares: Floats = column / np.cumsum(column)[-1]
    return shares


def guide(shares: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """The table that `find` reads: the cumulative shares, ending at 1, and the guide.

    The guide has a power of two of steps, so that neither `u · steps` nor `step / steps` is ever rounded.
    """
    _check_count(len(shares))
    cumulative = np.cumsum(shares)
    cumulative /= cumulative[-1]
    steps = 1 << (len(shares) - 1).bit_length()
    return cumulative, np.searchsorted(cumulative, np.arange(steps) / steps, side="right").astype(np.int32)


def find(cumulative: Floats, guide: NDArray[np.int32], u: float) -> int:
    """The channel at `u` in [0, 1): the first whose cumulative share is above it."""
    at = int(guide[int(u * len(guide))])
    while cumulative[at] <= u:
        at += 1
    return at


def _check_count(count: int) -> None:
    if not 1 <= count < 2**31:
        raise ValueError(f"popularity: {count} channels, but there must be between 1 and 2^31 - 1")
