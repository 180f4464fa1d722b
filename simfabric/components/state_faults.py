"""Faults of what holds state: the storage.

A server that works slower draws its work from a stretched law; one that does not work at all takes up nothing before the fault ends, and what
came meanwhile waits.

Leaves out: work that has begun goes on at its old pace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode
from simfabric.topology.kinds import LONGEST_LAW
from simfabric.world import Array

LONGEST = float(LONGEST_LAW)


class Slowdown:
    """Servers whose law of work is stretched while faults are in force: the factors of all of them multiply. Factor 0: no work at all."""

    def __init__(self, name: str, server: Any, free_at: Array) -> None:
        self.name = name
        self.server = server  # A component that draws its work from `_law`.
        self.free_at = free_at  # int64[servers]: when each is next idle [ns].
        self.normal: Array = server._law
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """From now on it works slower, or not."""
        self._now.append(episode)
        if episode.fault.factor == 0:
            np.maximum(self.free_at, episode.end, out=self.free_at)
            return f"{self.name} stopped"
        self._stretch()
        return f"{self.name} {episode.fault.factor:g} times slower"

    def end(self, episode: Episode) -> str:
        """As before."""
        self._now.remove(episode)
        self._stretch()
        return f"{self.name} back to its pace"

    def _stretch(self) -> None:
        factors = [episode.fault.factor for episode in self._now if episode.fault.factor > 0]
        self.server._law = np.minimum(self.normal * float(np.prod(factors)), LONGEST) if factors else self.normal


def degrade_store(parts: Parts) -> Effect:
    """The storage, all shards."""
    assert parts.storage is not None, "refused by the topology"
    return Slowdown("storage", parts.storage, parts.storage.free_at)


STATE_FAULTS: dict[str, Callable[[Parts], Effect]] = {"degrade_store": degrade_store}
