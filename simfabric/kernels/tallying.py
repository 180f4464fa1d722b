"""Making and merging tallies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simfabric.kernels.histogram import BINS
from simfabric.kernels.noting import NOTE_COLUMNS
from simfabric.kernels.state import COUNTERS, STAGES, Tally


def new_tally(regions: int) -> Tally:
    """A tally with nothing in it; one that counts no deliveries has no regions."""
    return Tally(
        np.zeros(COUNTERS, np.int64),
        np.zeros((2 * regions, BINS), np.int64),
        np.zeros((STAGES, BINS), np.int64),
        np.zeros(1, np.uint64),
        np.zeros((0, NOTE_COLUMNS), np.int64),
        np.zeros(2, np.int64),
        np.zeros(0, np.int8),
        np.zeros(BINS, np.int64),
    )


def merged(tallies: Sequence[Tally]) -> Tally:
    """The sum of tallies; those without regions add no delays."""
    regions = max(len(t.delays) for t in tallies) // 2
    total = new_tally(regions)
    for tally in tallies:
        total.counters[:] += tally.counters
        total.stages[:] += tally.stages
        total.digest[:] += tally.digest
        total.seen[:] += tally.seen
        if len(tally.delays):
            total.delays[:] += tally.delays
    return total
