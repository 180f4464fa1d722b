"""The recorder: facts, not statistics. What happened and when, in bounded memory; means, quantiles and verdicts belong to analysis.

It holds a timeline (one row per sample), checkpoints (every number that the laws compare), control events, and a sample of messages with
the time of every stage. Histograms live in the components' tallies and are handed over at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simfabric.chance import mixed

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Queue:
    """One inbox at a checkpoint: frames put and the sum of their times, as the inbox counted; the same for frames served, as the kernel did."""

    name: str
    put: int
    put_at: int
    served: int
    served_at: int
    waiting: int
    waiting_at: int


@dataclass(frozen=True, slots=True)
class Busy:
    """The servers of one component at a checkpoint: work given by each row and as the kernel summed it, and what lies beyond the clock [ns]."""

    name: str
    servers: int  # In one row.
    rows: Array  # Work given by each row [ns].
    ahead: Array  # Of it, work that ends after the checkpoint [ns].
    work: int


@dataclass(frozen=True, slots=True)
class Watched:
    """Presence at a checkpoint: users who came and went, what the store keeps, what it told, and what became of that."""

    joined: int
    parted: int
    online_at_start: int
    online: int  # Users with an entry, from the entries.
    devices: int  # Connected devices, from the users' counts.
    entries: int  # The same, from the entries.
    amiss: int  # Seats whose entry is not the connection that a gateway has.
    mending: int  # Of them, those of which something is on its way to the store.
    published: int
    suppressed: int  # By the debounce.
    untold: int  # By a store that was too busy.
    pending: int  # They wait for their debounce.
    sent: int  # Frames to gateways.
    served: int
    under_way: int
    members: int  # Subscribers in the slots that updates came to.
    outcomes: dict[str, int]  # What became of them.


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that the laws compare, at one instant [ns]; obligations are (message, subscriber) pairs."""

    at: int
    published: int  # Messages published, from their rows.
    owed: int  # Obligations of published messages, from their rows.
    counted_published: int  # The same two, as the clients' kernel counted.
    counted_owed: int
    upstream: int  # Obligations of messages on the way to the log, from the frames that wait.
    logged: int  # Obligations of messages in the log, from the heads of all channels.
    dropped: dict[str, int]  # Obligations closed without delivery, by reason.
    subscriptions: int
    rows: int  # Subscriptions in the gateways' books.
    away: int  # Subscriptions of clients that no gateway has.
    cursors: int  # Sum of the cursors of both.
    away_lacks: int  # Messages that absent clients do not have.
    live: int
    replayed: int
    expired: int
    reset: int  # Obligations in whose place a snapshot stands.
    expected: int  # Deliveries that gateways should have tried: members of each slot at each frame.
    tried: dict[str, int]  # What became of them, by outcome.
    connections: int  # Seats with a home, from the clients' column.
    half_open: int  # Connections that gateways have open and on which nothing passes.
    open: int  # Open connections, from the gateways' column.
    limited: int  # Messages that a limit refused, from their rows.
    counted_limited: int  # The same, as the gateways counted.
    buckets: tuple[int, int]  # Buckets, and those from which more was taken than they could hold.
    queues: tuple[Queue, ...]
    busy: tuple[Busy, ...]
    presence: Watched | None = None  # Where the fabric keeps presence.
    aside: dict[str, int] = field(default_factory=dict)  # Records that routers passed over, by reason: nobody gets them live.


TIMELINE = (
    "at", "connected", "published", "delivered", "replayed", "dropped", "tried_in_vain", "lag", "breaks", "dials", "openings", "refusals", "tokens",
    "offline", "replays", "frames",
)  # fmt: skip


# What dials did to gateways, so far: dials accepted, of them by another gateway than before, subscriptions set up anew, channels and tenants that the
# gateway had not met in this life.
PLACEMENT = ("at", "accepted", "moved", "subscribed", "routes", "tenants")


@dataclass(eq=False)
class Recorder:
    """What a run leaves behind; see the module."""

    most_messages: int
    timeline: list[tuple[int, ...]] = field(default_factory=list)
    placement: list[tuple[int, ...]] = field(default_factory=list)
    held: list[Array] = field(default_factory=list)  # Connections of every gateway at each row of the timeline, -1 while it is not up: int32.
    busy: list[Array] = field(default_factory=list)  # Work given so far by every component, at each row of the timeline [ns].
    checkpoints: list[Checkpoint] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    messages: list[Array] = field(default_factory=list)
    every: int = 1  # One message in so many is kept, chosen by a hash of its number.
    kept: int = 0

    def keep(self, first: int, rows: Array) -> None:
        """Take in messages first, first + 1, …; when there are too many, every other one is let go."""
        number = np.arange(first, first + len(rows), dtype=np.int64)
        table = np.column_stack([number, rows])
        self.messages.append(table[self._chosen(number)])
        self.kept += len(self.messages[-1])
        while self.kept > max(self.most_messages, 0):
            if self.most_messages == 0:
                self.messages, self.kept = [], 0
                return
            self.every *= 2
            self.messages = [part[self._chosen(part[:, 0])] for part in self.messages]
            self.kept = sum(len(part) for part in self.messages)

    def _chosen(self, number: Array) -> Array:
        return np.asarray(mixed(number.astype(np.uint64)) % np.uint64(self.every) == 0)
