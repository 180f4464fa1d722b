"""Morris's elementary effects: which keys matter, and which of them act together or bend, at the price of few runs.

A trajectory starts at a random point of a grid of four levels and changes one key after the other by two thirds of its range; each step is an
elementary effect of its key. The mean of their sizes (mu*) says how much a key matters, their standard deviation (sigma) how much that depends
on the other keys or on where it stands (Morris 1991; Campolongo, Cariboni, Saltelli 2007 for mu*).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.chance import below, decision_key

Array = np.ndarray[Any, Any]
LEVELS = 4
STEP = LEVELS / (2.0 * (LEVELS - 1))  # Two thirds: with it every level is as likely.


@dataclass(frozen=True, slots=True)
class Effect:
    """What one key does to a metric over its whole range, in the metric's unit."""

    mean: float  # mu: signed.
    size: float  # mu*.
    spread: float  # sigma.
    count: int  # Trajectories.


def trajectories(keys: int, count: int, seed: int) -> Array:
    """`count` trajectories: float64[count, keys + 1, keys] of shares of each key's range; each row differs from the one before in one key."""
    made = np.empty((count, keys + 1, keys))
    names = ("start", "side", "order")
    start_at, side_at, order_at = (decision_key(seed, 0, f"sensitivity/{name}") for name in names)
    entity = np.arange(keys)
    for number in range(count):
        low = np.asarray(below(start_at, entity, number, LEVELS // 2), np.float64) / (LEVELS - 1)
        up = np.asarray(below(side_at, entity, number, 2)) == 1
        order = np.argsort(np.asarray(below(order_at, entity, number, 2**31)), kind="stable")
        at = np.where(up, low, low + STEP)
        made[number, 0] = at
        for step, key in enumerate(order):
            at = at.copy()
            at[key] += STEP if up[key] else -STEP
            made[number, step + 1] = at
    return made.clip(0.0, 1.0)


def slopes(walked: Array, values: Array) -> list[Array]:
    """The elementary effects of each key, float64[count], from the trajectories and the metric at each of their points, float64[count, keys + 1]."""
    steps = np.diff(walked, axis=1)
    found = np.diff(values, axis=1) / steps.sum(axis=2)
    moved = np.abs(steps).argmax(axis=2)
    return [found[moved == key] for key in range(walked.shape[2])]


def effect(own: Array) -> Effect:
    """The effect of a key from its elementary effects."""
    return Effect(float(own.mean()), float(np.abs(own).mean()), float(own.std(ddof=1)) if len(own) > 1 else 0.0, len(own))
