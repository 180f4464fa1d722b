"""The queue of a component with lanes: what arrived and has not begun, in order, between two windows."""

from __future__ import annotations

import numpy as np

from simfabric.kernels import lanes as kernels
from simfabric.kernels.frames import NEVER, ROW, WIDTH
from simfabric.kernels.lanes import Lanes
from simfabric.policies.lanes import LANES, POLICIES
from simfabric.world import Array, World


def lanes_of(world: World, rows: int) -> Lanes:
    """The lanes of the topology, for a component with so many rows."""
    config = world.topology.lanes
    weights = np.array([config.weights.control, config.weights.durable, config.weights.transient], np.int64)
    patience = NEVER if config.patience is None else config.patience
    return Lanes(np.array([POLICIES.index(config.policy), patience], np.int64), weights, np.zeros((rows, LANES), np.int64))


class LaneQueue:
    """Frames by row, in order of arrival, and which of them are done."""

    def __init__(self, world: World, rows: int) -> None:
        self.lanes = lanes_of(world, rows)
        self.waiting = np.empty((0, WIDTH), np.int64)
        self.done = np.zeros(0, np.int8)
        self._kept = world.kernel(kernels.kept)

    def join(self, frames: Array, count: int) -> tuple[Array, int]:
        """What waits and what is new (by time and id), together by row, time and id. All that waits arrived before all that is new."""
        if len(self.waiting):
            together = np.concatenate([self.waiting, frames[:count]])
            frames, count = together, len(together)
        frames = frames[:count][np.argsort(frames[:count, ROW], kind="stable")]
        self.done = np.zeros(count, np.int8)
        return frames, count

    def keep(self, frames: Array, count: int) -> None:
        """What is not done waits on."""
        left = np.empty((count - int(self.done[:count].sum()), WIDTH), np.int64)
        self._kept(frames, count, self.done, left)
        self.waiting = left

    def earliest(self, free_at: Array, servers: int) -> int:
        """Nothing that waits begins before this time: when a server of a row with something is free, of `servers` each."""
        if len(self.waiting) == 0:
            return NEVER
        rows = np.unique(self.waiting[:, ROW])
        return int(free_at.reshape(-1, servers)[rows].min())
