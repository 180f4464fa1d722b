"""Merging: how a subscription becomes live without losing or doubling an event.

While a channel is being subscribed its live events are held; then its route is made visible, and only then the log is read. So an event
is in the log that was read, or among the held, or in both: merged and sorted they must be contiguous, and a reply with a hole is never
given. Any other order of the steps loses events for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simfabric.protocol.codec import HEAD, wire_size
from simfabric.protocol.cursors import before, recoverable
from simfabric.protocol.frames import Envelope
from simfabric.protocol.inputs import LogRead
from simfabric.protocol.parameters import Parameters

# A channel of a session; one that it does not know is off.
ROUTING, READING, ON = range(3)


@dataclass(slots=True)
class Subscription:
    """One channel of one session."""

    channel: int
    correlation: int
    ticket: int  # Of the step that is under way; answers of older ones are ignored.
    cursor_epoch: int
    cursor: int  # Sequence, -1 = live only.
    state: int = ROUTING
    reads: int = 0
    held: list[Envelope] = field(default_factory=list)  # Durable, in order of arrival.
    held_bytes: int = 0
    overflowed: bool = False  # More came than may be held.
    latest: dict[tuple[int, int], Envelope] = field(default_factory=dict)  # Transients: the newest of each (type, user).
    epoch: int = 0
    base: int = 0  # What the reply covers.
    sent: int = 0  # Highest sequence that this connection was told of.
    announced: tuple[int, int] = (0, 0)  # What the last ping or reply said.

    def hold(self, envelope: Envelope, most_bytes: int) -> None:
        """An event that came before the reply."""
        if envelope.sequence == 0:
            remember(self.latest, envelope)
            return
        self.held_bytes += wire_size(envelope)
        if self.held_bytes > most_bytes:
            self.overflowed = True
            self.held.clear()
            self.held_bytes = 0
        self.held.append(envelope)

    def answered(self, epoch: int, top: int) -> None:
        """The connection was told where the channel stands."""
        self.state = ON
        self.held.clear()
        self.epoch, self.base, self.sent, self.announced = epoch, top, top, (epoch, top)


@dataclass(slots=True)
class Merge:
    """What a read and the held events make together."""

    whole: bool  # No hole from the cursor to the newest.
    recovered: bool
    events: tuple[Envelope, ...]  # For the reply.
    rest: tuple[Envelope, ...]  # Above what the reply covers.


def remember(latest: dict[tuple[int, int], Envelope], envelope: Envelope) -> None:
    """Keep the newest transient of each type and user."""
    known = latest.get((envelope.type, envelope.user))
    if known is None or known.ts <= envelope.ts:
        latest[envelope.type, envelope.user] = envelope


def merge(cursor_epoch: int, cursor: int, read: LogRead, held: list[Envelope], parameters: Parameters) -> Merge:
    """Put what the log had and what was held in order."""
    rest = _in_order([event for event in held if _above(event, read)])
    whole = _continues(read, rest)
    recovered = recoverable(cursor, cursor_epoch, read.top, read.epoch, read.floor, parameters.replay_max)
    if cursor > 0 and cursor_epoch == 0:
        recovered = False  # A sequence without its epoch proves nothing.
    missed = read.top - cursor
    if not recovered or cursor < 0 or not 0 < missed <= parameters.inline_recovery:
        return Merge(whole, recovered, (), rest)
    events = _in_order([event for event in (*read.events, *held) if event.epoch == read.epoch and cursor < event.sequence <= read.top])
    whole = whole and [event.sequence for event in events] == list(range(cursor + 1, read.top + 1))
    if HEAD + sum(map(wire_size, events)) > parameters.max_frame:
        events = ()  # Too large for one frame: it comes by pages.
    return Merge(whole, recovered, events, rest)


def _above(event: Envelope, read: LogRead) -> bool:
    """Whether an event came after what was read."""
    return event.epoch > read.epoch or (event.epoch == read.epoch and event.sequence > read.top)


def _continues(read: LogRead, rest: tuple[Envelope, ...]) -> bool:
    """Whether the events go on exactly where the read ended. To an empty log the first event brings the epoch."""
    epoch = rest[0].epoch if rest and read.epoch == 0 else read.epoch
    return all(event.epoch == epoch and event.sequence == read.top + 1 + at for at, event in enumerate(rest))


def _in_order(events: list[Envelope]) -> tuple[Envelope, ...]:
    """By epoch, and within one as rule `before` says; of events with the same place the first stays."""
    chosen: dict[tuple[int, int], Envelope] = {}
    for event in events:
        known = chosen.get((event.epoch, event.sequence))
        if known is None or before(event.sequence, event.ts, event.event, known.sequence, known.ts, known.event):
            chosen[event.epoch, event.sequence] = event
    return tuple(chosen[place] for place in sorted(chosen))
