"""Placement: how evenly connections lie on the gateways, before, during and after what happened to them.

Leaves out: gateways of different sizes; load other than connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Imbalance:
    """How unevenly connections lie on the gateways that are up; even is 1 and 0. Without connections it is even."""

    highest: float  # Connections of the fullest gateway over the mean.
    variation: float  # Coefficient of variation: standard deviation over the mean.


@dataclass(frozen=True, slots=True)
class Placement:
    """The imbalance before the first event, at its worst from then on, and at the end; None where no sample tells."""

    before: Imbalance | None
    worst: Imbalance | None
    end: Imbalance | None


def imbalance(connections: Array) -> Imbalance:
    """Of one sample: connections per gateway, below 0 for one that is not up."""
    there = connections[connections >= 0]
    mean = float(there.mean()) if len(there) else 0.0
    return Imbalance(float(there.max()) / mean, float(there.std()) / mean) if mean > 0 else Imbalance(1.0, 0.0)


def placement(at: Array, connections: Array, first_event: int | None) -> Placement:
    """Of all samples, taken at `at`: int[samples, gateways]. A sample at the instant of the event may be of either side: it is left out."""
    if len(at) == 0:
        return Placement(None, None, None)
    end = imbalance(connections[-1])
    if first_event is None:
        return Placement(None, None, end)
    calm, after = np.flatnonzero(at < first_event), np.flatnonzero(at > first_event)
    seen = [imbalance(connections[i]) for i in after]
    worst = Imbalance(max(s.highest for s in seen), max(s.variation for s in seen)) if seen else None
    return Placement(imbalance(connections[calm[-1]]) if len(calm) else None, worst, end)
