"""The bottleneck: the component whose busiest row is nearest to saturation, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A component, the utilisation of its busiest row, and the headroom: by how much the load may grow until that row is saturated."""

    component: str
    utilisation: float

    @property
    def headroom(self) -> float:
        """1/utilisation - 1: 0.5 means half as much load again."""
        return max(0.0, 1.0 / self.utilisation - 1.0) if self.utilisation > 0 else float("inf")


def bottleneck(busiest: Mapping[str, float]) -> Bottleneck:
    """By the utilisation law every component's utilisation grows in proportion to the load (Denning & Buzen 1978)."""
    name = max(busiest, key=lambda component: busiest[component])
    return Bottleneck(name, busiest[name])
