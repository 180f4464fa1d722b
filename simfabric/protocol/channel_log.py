"""Channel log: what the durable storage of one channel promises, in memory.

One epoch names one incarnation of the log; within it the append gives contiguous sequences from 1 on. Looking up (user, key) and
appending are one step, so a publication that comes twice within the window is in the log once. Retention removes the oldest events and
never renumbers. An empty log has no epoch yet: its position is (0, 0), and the first event brings the epoch.

Served by the in-process gateways and by the tests; a fabric models its storage instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from simfabric.protocol.codec import wire_size
from simfabric.protocol.forms import LARGEST_SEQUENCE
from simfabric.protocol.frames import MESSAGE, Envelope

MINUTE = 60_000_000_000


@dataclass(slots=True)
class Page:
    """What a read found. `truncated`: events after the cursor are gone, or the cursor is of another epoch; then `events` is empty."""

    epoch: int
    top: int
    floor: int
    events: tuple[Envelope, ...] = ()
    more: bool = False
    truncated: bool = False


class ChannelLog:
    """The log of one channel. `retain_events` and `retain_for` [ns] bound what it keeps, -1 = no bound."""

    def __init__(self, channel: int, retain_events: int = -1, retain_for: int = -1, window: int = 10 * MINUTE, first_epoch: int = 1) -> None:
        self.channel = channel
        self.retain_events = retain_events
        self.retain_for = retain_for
        self.window = window  # How long a key is remembered.
        self.incarnation = first_epoch
        self.top = 0  # Sequence of the newest event.
        self.floor = 1  # Oldest retained sequence; top + 1 when none is.
        self.events: list[Envelope] = []  # floor … top.
        self.appended = 0  # Over all epochs: an event id never comes twice.
        self.clock = 0  # Of the newest event: the log's clock does not go back.
        self.keys: dict[tuple[int, int], Envelope] = {}  # (user, key) -> first result, oldest first.

    @property
    def epoch(self) -> int:
        """The epoch, 0 while nothing was ever appended in it."""
        return self.incarnation if self.top else 0

    def append(self, user: int, key: int, size: int, now: int, kind: int = MESSAGE) -> tuple[Envelope, bool]:
        """The event of this publication and whether it was there already; key -1 is no key."""
        self._forget_keys(now)
        known = self.keys.get((user, key)) if key >= 0 else None
        if known is not None:
            return known, True
        if self.top >= LARGEST_SEQUENCE:  # A browser could not count on.
            raise ValueError(f"the law is sequence <= {LARGEST_SEQUENCE}; here another event after {self.top} in channel {self.channel}")
        self.clock = max(self.clock, now)
        self.top += 1
        self.appended += 1
        event = self.channel << 32 | self.appended
        envelope = Envelope(self.channel, self.top, self.incarnation, event, kind, self.clock, user, size, key)
        self.events.append(envelope)
        if key >= 0:
            self.keys[user, key] = envelope
        self.retain(now)
        return envelope, False

    def read(self, after: int, limit: int, epoch: int = 0, most_bytes: int = -1) -> Page:
        """At most `limit` events, of at most `most_bytes` but one at least, after the cursor (epoch, after); epoch 0 is that of the log."""
        page = Page(self.epoch, self.top, self.floor)
        if epoch not in (0, self.epoch) or (after + 1 < self.floor and after != self.top):
            page.truncated = True
        elif after < self.top:
            start = after + 1 - self.floor
            chosen = self.events[start : start + limit]
            if most_bytes >= 0:
                chosen = chosen[: _fitting(chosen, most_bytes)]
            page.events = tuple(chosen)
            page.more = after + len(chosen) < self.top
        return page

    def find(self, user: int, key: int) -> Envelope | None:
        """The retained event of a publication, for a user who looks for an expired one."""
        return next((event for event in reversed(self.events) if event.user == user and event.client_message_id == key), None)

    def retain(self, now: int) -> None:
        """Let go of what retention no longer covers."""
        floor = self.floor
        if self.retain_events >= 0:
            floor = max(floor, self.top - self.retain_events + 1)
        if self.retain_for >= 0:
            while floor <= self.top and self.events[floor - self.floor].ts + self.retain_for < now:
                floor += 1
        self.truncate(floor)

    def truncate(self, floor: int) -> None:
        """Events below `floor` are gone; the sequences go on."""
        floor = min(max(floor, self.floor), self.top + 1)
        del self.events[: floor - self.floor]
        self.floor = floor

    def lose_tail(self, count: int) -> None:
        """The newest events are gone and their sequences come again: what a replica does that lagged when it was promoted without a new epoch."""
        count = min(count, len(self.events))
        del self.events[len(self.events) - count :]
        self.top -= count
        self.keys = {key: event for key, event in self.keys.items() if event.sequence <= self.top}

    def new_epoch(self) -> None:
        """The log was lost: a new incarnation begins at 1, and knows no keys."""
        self.incarnation += 1
        self.top, self.floor = 0, 1
        self.events.clear()
        self.keys.clear()

    def _forget_keys(self, now: int) -> None:
        while self.keys:
            oldest = next(iter(self.keys))
            if self.keys[oldest].ts + self.window >= now:
                return
            del self.keys[oldest]


def _fitting(events: list[Envelope], most_bytes: int) -> int:
    """How many of the events fit into that many bytes; the first always does, or a page would make no progress."""
    total = 0
    for at, event in enumerate(events):
        total += wire_size(event)
        if total > most_bytes and at > 0:
            return at
    return len(events)
