"""Splits: what is sent between a gateway and the services behind it while they cannot reach each other is held by TCP, and arrives after the heal.

All that was held arrives together, a hop after the heal, in the order of the frames' names, which is that of the log.
"""

from __future__ import annotations

from typing import Any

GATEWAY, BEGINS, HEALS, WAY = range(4)  # Columns of a split.
OUTWARDS, INWARDS = 1, 2  # What a gateway sends, and what it gets.


def passes_at(at: int, gateway: int, way: int, splits: Any) -> int:
    """When what is sent at `at` leaves: at once, or at the heal."""
    for i in range(len(splits)):
        if splits[i, GATEWAY] == gateway and splits[i, WAY] == way and splits[i, BEGINS] <= at < splits[i, HEALS]:
            return int(splits[i, HEALS])
    return at


def hold(frames: Any, gateway: Any, hop: int, way: int, splits: Any) -> None:
    """The same for frames that arrive a hop after they were sent, and the gateway of each: arrays, in place."""
    sent = frames[:, 0] - hop
    for one, begins, heals, its_way in splits.tolist():
        if its_way == way:
            frames[(gateway == one) & (sent >= begins) & (sent < heals), 0] = heals + hop
