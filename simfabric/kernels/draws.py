"""Draws for whole columns."""

from __future__ import annotations

from typing import Any

from simfabric.chance import draw, uniform, word
from simfabric.policies.popularity import find


def draw_column(table: Any, key: int, entity: Any, n: int, floor: int, out: Any) -> None:
    """out[i] = the draw of entity[i], at least `floor`."""
    for i in range(len(entity)):
        out[i] = max(floor, draw(table, word(key, entity[i], n)))


def draw_sequence(table: Any, key: int, entity: int, first: int, out: Any) -> None:
    """out[i] = draw number first + i of one entity."""
    for i in range(len(out)):
        out[i] = draw(table, word(key, entity, first + i))


def find_column(cumulative: Any, guide: Any, key: int, entity: Any, n: int, out: Any) -> None:
    """out[i] = the place drawn by popularity for entity[i]."""
    for i in range(len(entity)):
        out[i] = find(cumulative, guide, uniform(key, entity[i], n))
