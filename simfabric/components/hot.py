"""What routers do with the messages of hot channels before they route them: cap, batch or coalesce them by windows.

    consumers ──▶ hot windows ──▶ routers

A message waits here until its window ends (batch, coalesce; Nagle's algorithm of 1984 with a clock) or until a window has room (cap: a leaky
bucket with windows). Messages of one window and channel leave together; the gateways then pay the work of one frame for them.

Leaves out: windows of their own for each gateway; batches closed early because they are large.
"""

from __future__ import annotations

import numpy as np

from simfabric.components.columns import Columns
from simfabric.kernels.frames import AT, ID, ITEM, ROW, WIDTH
from simfabric.kernels.state import CHANNEL, HOT, LANE, PUBLISHER, SERVED, SERVED_AT, SOURCE, TRANSIENT, Tally
from simfabric.kernels.subscriptions import FOLLOWS
from simfabric.world import SECOND, Array, World

WRAP = (1 << 62) - 1


def first_of_each(keys: tuple[Array, ...]) -> Array:
    """Where each combination of the keys, int64[n] each, appears first."""
    order = np.lexsort(keys)  # Stable.
    sorted_keys = np.stack(keys)[:, order]
    begins = np.ones(len(order), bool)
    begins[1:] = (sorted_keys[:, 1:] != sorted_keys[:, :-1]).any(axis=0)
    return np.asarray(order[begins])


class HotWindows:
    """Messages of hot channels that wait for their window; see the module."""

    def __init__(self, world: World, columns: Columns, tally: Tally) -> None:
        self.config = world.topology.hot
        self.columns = columns
        self.tally = tally
        self.held = np.empty((0, WIDTH), np.int64)  # As they came.
        self.release = np.empty(0, np.int64)  # When each goes [ns].
        self.coalesced = 0  # Transient messages that a later one of the same user and source has overtaken.
        self.capped = 0  # Transient messages for which their window had no room.
        self.deferred = 0  # Durable messages that waited for a window with room.
        self._window: dict[int, tuple[int, int]] = {}  # Of each channel: its last window, and messages in it.
        self._counted: dict[int, list[int]] = {}  # Of each channel: a second, messages in it and in the one before.

    def pass_on(self, frames: Array, count: int, end: int) -> tuple[Array, int]:
        """Take in frames; returns those that go before `end`, at their new times and in that order, and how many."""
        frames = frames[:count]
        frames = frames[np.lexsort((frames[:, ID], frames[:, AT]))]
        rows = self._rows(frames)
        self._detect(frames, rows)
        release = frames[:, AT].copy()
        hot = rows[:, HOT] > 0
        if self.config.policy == "batch":
            release[hot] = (release[hot] // self.config.window + 1) * self.config.window
        elif self.config.policy == "coalesce":
            hot &= rows[:, LANE] == TRANSIENT
            release[hot] = (release[hot] // self.config.window + 1) * self.config.window
        elif self.config.policy == "cap":
            kept = self._capped(frames, rows, release, hot)
            frames, release = frames[kept], release[kept]
        frames, release = np.concatenate([self.held, frames]), np.concatenate([self.release, release])
        due = release < end
        self.held, self.release = frames[~due], release[~due]
        return self._leaving(frames[due], release[due])

    def earliest(self) -> int:
        """When the next message goes."""
        return int(self.release.min(initial=np.iinfo(np.int64).max))

    def forget(self, router: int) -> None:
        """A router died, with what it held."""
        kept = self.held[:, ROW] != router
        self._gone(self.held[~kept])
        self.held, self.release = self.held[kept], self.release[kept]

    def _leaving(self, frames: Array, release: Array) -> tuple[Array, int]:
        order = np.lexsort((frames[:, ID], frames[:, AT], release))
        frames, release = frames[order], release[order]
        waited = release > frames[:, AT]
        if self.config.policy == "coalesce" and waited.any():
            kept = ~waited
            kept[self._latest(frames, release, waited)] = True
            self.coalesced += int((~kept).sum())
            self._gone(frames[~kept])
            frames, release = frames[kept], release[kept]
        leaving = frames.copy()
        leaving[:, AT] = release
        self._served_at(int((frames[:, AT] - release).sum()))  # The account of arrivals knows when they came.
        leaving[:, 4] = 0
        if self.config.policy in ("batch", "coalesce"):
            mine = np.flatnonzero(release > frames[:, AT])
            keys = (frames[mine, ROW], self._rows(frames[mine])[:, CHANNEL], release[mine])
            leaving[np.delete(mine, first_of_each(keys)), 4] = FOLLOWS  # A batch is what one router sends together.
        return leaving, len(leaving)

    def _latest(self, frames: Array, release: Array, waited: Array) -> Array:
        """The last frame of each channel, source, user and window, of those that waited."""
        mine = np.flatnonzero(waited)[::-1]
        rows = self._rows(frames[mine])
        return np.asarray(mine[first_of_each((rows[:, CHANNEL], rows[:, SOURCE], rows[:, PUBLISHER], release[mine]))])

    def _capped(self, frames: Array, rows: Array, release: Array, hot: Array) -> Array:
        """Move the messages for which their window has no room to later ones, and drop the transient ones; returns which are kept."""
        kept = np.ones(len(frames), bool)
        for f in np.flatnonzero(hot).tolist():
            channel, window = int(rows[f, CHANNEL]), int(release[f]) // self.config.window
            last, used = self._window.get(channel, (-1, 0))
            if window > last:
                last, used = window, 0
            if used >= self.config.cap or last > window:
                if rows[f, LANE] == TRANSIENT:
                    kept[f] = False
                    continue
                last, used = (last + 1, 0) if used >= self.config.cap else (last, used)
                release[f] = last * self.config.window
                self.deferred += 1
            self._window[channel] = (last, used + 1)
        self.capped += int((~kept).sum())
        self._gone(frames[~kept])
        return kept

    def _detect(self, frames: Array, rows: Array) -> None:
        """Mark messages of channels that had many deliveries in the second before."""
        if self.config.fanout >= 1e9:
            return
        members = self.columns.crowd.members
        for at, item, channel in zip(frames[:, AT].tolist(), frames[:, ITEM].tolist(), rows[:, CHANNEL].tolist()):
            counted = self._counted.setdefault(channel, [0, 0, 0])
            second = at // SECOND
            if second != counted[0]:
                counted[2] = counted[1] if second == counted[0] + 1 else 0
                counted[0], counted[1] = second, 0
            counted[1] += 1
            if counted[2] * int(members[channel]) >= self.config.fanout:
                self.columns.log.rows[item - self.columns.log.base[0], HOT] = 1
        rows[:, HOT] = self._rows(frames)[:, HOT]

    def _rows(self, frames: Array) -> Array:
        log = self.columns.log
        return np.asarray(log.rows[frames[:, ITEM] - log.base[0]])

    def _gone(self, frames: Array) -> None:
        self.tally.counters[SERVED] += len(frames)
        self._served_at(int(frames[:, AT].sum()))

    def _served_at(self, more: int) -> None:
        self.tally.counters[SERVED_AT] = (int(self.tally.counters[SERVED_AT]) + more) & WRAP
