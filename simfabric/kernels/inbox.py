"""Inboxes and outboxes: frames that wait for a component, and frames that a kernel sends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.errors import SimfabricError
from simfabric.kernels import frames as frame_kernels
from simfabric.kernels.frames import NEVER, WIDTH
from simfabric.world import Array, World

BUCKET = 1 << 28  # Width of a bucket of far frames [ns], 268 ms: timers wait there untouched.


class PastError(SimfabricError):
    """A frame arrived before its receiver's clock: a bug in a component or in the lookahead, never hidden."""


class Tap:
    """Copies of all frames that a component takes from its inbox, until they are fetched."""

    def __init__(self) -> None:
        self.parts: list[Array] = []
        self.count = 0

    def take(self, frames: Array) -> None:
        """These frames are served now."""
        self.parts.append(frames.copy())
        self.count += len(frames)

    def fetch(self) -> Array:
        """The frames taken since the last time, in the order in which they were: int64[n, 5]."""
        frames = np.concatenate([np.empty((0, WIDTH), np.int64), *self.parts])
        self.parts, self.count = [], 0
        return frames


class Inbox:
    """Frames that wait for a component: near ones in one array, far ones in coarse buckets that are touched once."""

    def __init__(self, world: World, name: str, rows: int = 0) -> None:
        self.name = name
        self.world = world
        self.rows = rows  # With rows > 0, frames come out row by row.
        self.clock = 0  # Nothing may arrive before it [ns].
        self.pending = np.empty((256, WIDTH), np.int64)
        self.held = 0
        self.far: dict[int, list[Array]] = {}
        self.far_earliest = NEVER
        self.near_end = BUCKET
        self.account = np.array([0, 0, NEVER, NEVER, 0], np.int64)
        self.starts = np.zeros(rows + 1, np.int64)
        self.tap: Tap | None = None  # Who looks at what is taken, for a history.
        self._resize(256)
        self._put = world.kernel(frame_kernels.put)
        self._take = world.kernel(frame_kernels.take)
        self._order = world.kernel(frame_kernels.ordered)

    def put(self, frames: Array, count: int) -> None:
        """Take in the first `count` rows of `frames`; one in the past raises."""
        if count == 0:
            return
        if self.held + count > len(self.pending):
            grown = np.empty((2 * (self.held + count), WIDTH), np.int64)
            grown[: self.held] = self.pending[: self.held]
            self.pending = grown
        if count > len(self.spill):
            self._resize(2 * count)
        self.held = self._put(frames, count, self.pending, self.held, self.near_end, self.spill, self.account)
        if self.account[3] < self.clock - self.world.tolerance:
            raise PastError(
                f"{self.name}: a frame for {int(self.account[3])} ns arrived at clock {self.clock} ns; law: no frame arrives in its receiver's past; "
                "cure: this is a bug in simfabric, please report the topology and seed"
            )
        if self.account[4]:
            self._spill(self.spill[: self.account[4]].copy())

    def take(self, end: int) -> tuple[Array, int]:
        """The frames due before `end`, in order, valid until the next call; and how many."""
        self.clock = end
        while end > self.near_end:
            self.near_end += BUCKET
            if bucket := self.far.pop(self.near_end // BUCKET - 1, None):
                self._put_back(np.concatenate(bucket))
                self.far_earliest = min(int(part[:, 0].min()) for part in self.far[min(self.far)]) if self.far else NEVER
        if self.account[2] >= end:
            return self.out, 0
        if self.held > len(self.due):
            self._resize(2 * self.held)
        count = self._take(self.pending, self.held, end, self.due, self.account)
        self.held -= count
        self._order(self.due, count, self.index, self.spare, self.rows, self.starts, self.out)
        if self.tap is not None:
            self.tap.take(self.out[:count])
        return self.out, count

    def earliest(self) -> int:
        """No frame is due before this time [ns]."""
        return min(int(self.account[2]), self.far_earliest)

    def waiting(self) -> Array:
        """All frames that wait, in no order; for the laws."""
        return np.concatenate([self.pending[: self.held], *(frames for bucket in self.far.values() for frames in bucket)])

    def withdraw(self, chosen: Callable[[Array], Array]) -> Array:
        """Take out the waiting frames that `chosen` marks (bool[frames]), as if they had never been sent; in no order."""
        frames, before = self.waiting(), self.account[:2].copy()
        out = frames[marked := chosen(frames)]
        self.held, self.far, self.far_earliest, self.account[2] = 0, {}, NEVER, NEVER
        self.put(frames[~marked], len(frames) - len(out))
        self.account[0] = before[0] - len(out)
        self.account[1] = frame_kernels.wrapped(int(before[1]) - sum(out[:, 0].tolist()))
        return out

    def _put_back(self, frames: Array) -> None:
        before = self.account[:2].copy()
        if self.held + len(frames) > len(self.pending):
            self.pending = np.concatenate([self.pending[: self.held], np.empty((2 * len(frames), WIDTH), np.int64)])
        if len(frames) > len(self.spill):
            self._resize(2 * len(frames))
        self.held = self._put(frames, len(frames), self.pending, self.held, self.near_end, self.spill, self.account)
        self.account[:2] = before

    def _spill(self, frames: Array) -> None:
        bucket = frames[:, 0] // BUCKET
        order = np.argsort(bucket, kind="stable")
        names, first = np.unique(bucket[order], return_index=True)
        for name, part in zip(names.tolist(), np.split(order, first[1:])):
            self.far.setdefault(name, []).append(frames[part])
        self.far_earliest = min(self.far_earliest, int(frames[:, 0].min()))

    def _resize(self, size: int) -> None:
        self.due, self.out, self.spill = (np.empty((size, WIDTH), np.int64) for _ in range(3))
        self.index, self.spare = (np.empty(size, np.int64) for _ in range(2))


class Outbox:
    """Room for the frames that a kernel sends: it grows when the kernel says that it is full."""

    def __init__(self, size: int = 256) -> None:
        self.frames = np.empty((size, WIDTH), np.int64)

    def reserve(self, size: int) -> Array:
        """At least `size` rows; what stood in them is kept."""
        if size > len(self.frames):
            grown = np.empty((2 * size, WIDTH), np.int64)
            grown[: len(self.frames)] = self.frames
            self.frames = grown
        return self.frames
