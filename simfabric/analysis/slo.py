"""Service level objectives: name, target, value and verdict; unknown where the run did not show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise. `met` is None when the samples do not tell."""

    name: str
    target: float
    value: float | None
    unit: str
    at_most: bool

    @property
    def met(self) -> bool | None:
        """Whether the promise was kept."""
        if self.value is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target
