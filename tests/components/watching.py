"""Watching a fabric from outside: frames that reach an inbox, and the moments at which an element of an array is set."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.components.component import Component
from simfabric.fabric import Fabric
from simfabric.kernels.frames import KIND_SHIFT, WIDTH
from simfabric.topology import Topology


class Heard:
    """Every frame that waits in the inbox of a component, and every one that is put into it from now on."""

    def __init__(self, component: Component) -> None:
        self._parts: list[Any] = [component.inbox.waiting()]
        put = component.inbox.put

        def noting(frames: Any, count: int) -> None:
            self._parts.append(frames[:count].copy())
            put(frames, count)

        component.inbox.put = noting  # type: ignore[method-assign]  # To see what passes, without a hook in the engine.

    def frames(self, kind: int) -> Any:
        """Those of one kind, in order of (at, id)."""
        frames = np.concatenate([np.empty((0, WIDTH), np.int64), *self._parts])
        frames = frames[frames[:, 1] >> KIND_SHIFT == kind]
        return frames[np.lexsort((frames[:, 1], frames[:, 0]))]


class Watched(np.ndarray[Any, Any]):
    """An array that notes (time, index, value) whenever an element is set."""

    fabric: Fabric
    changes: list[tuple[int, int, Any]]

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        if hasattr(self, "changes"):
            self.changes.append((self.fabric.world.now, int(index), value))


def watched(fabric: Fabric, array: Any) -> Watched:
    """The array, watched."""
    view = array.view(Watched)
    view.fabric, view.changes = fabric, []
    return view


def simulate(fabric: Fabric, topology: Topology) -> None:
    """Run a fabric that a test has prepared."""
    env = fabric.world.env
    env.run(until=env.process(fabric.conductor.process(topology.run.duration)))
