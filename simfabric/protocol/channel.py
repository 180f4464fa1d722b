"""Channel: where a client stands in one channel.

Two positions: `seen` is the last event accepted into the queue, by it events are classified and subscribes are made; `applied` is the last
one delivered, it is saved, and an overflow falls back to it. Events that cannot be accepted yet are held by (epoch, sequence).

    off → asked → on, or catching → on; waiting = its own retry timer; denied = final until a new grant
"""

from __future__ import annotations

from collections import deque

from simfabric.protocol.frames import Envelope, SequenceSkip
from simfabric.protocol.timers import NEVER

OFF, ASKED, ON, CATCHING, WAITING, DENIED = range(6)

# What is missing: nothing, a range of events, or the state as a whole.
NOTHING, EVENTS, STATE = range(3)


class Channel:
    """One channel of a session."""

    __slots__ = (
        "applied", "applied_epoch", "direct", "epoch", "fetching", "held", "ids", "lane", "latest", "missing", "needed", "number", "places", "queue",
        "reached", "saved", "saved_epoch", "seen", "shared", "snapshot_at", "state", "target", "ticket", "tries", "twins", "vain", "visible", "want_epoch",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = OFF
        self.needed = 0  # When the screen asked for it, as a serial number; 0 = it does not need it.
        self.direct = False
        self.visible = False
        self.shared = False  # Needed by another tab.
        self.epoch = 0  # Of both positions; 0 = none known.
        self.seen = -1  # -1 = no cursor.
        self.applied_epoch = 0
        self.applied = -1
        self.saved_epoch = 0
        self.saved = -1
        self.held: dict[tuple[int, int], Envelope | SequenceSkip] | None = None
        self.target = 0  # The newest sequence that is known to be in the log, in this epoch.
        self.missing = NOTHING
        self.fetching = NOTHING  # What the open ticket is for.
        self.ticket = 0  # Of the fetch under way, 0 = none.
        self.reached = 0  # Up to where the pages of a replay have come; they are held until the last one.
        self.tries = 0  # Fetches without progress.
        self.vain = 0  # Subscribes in a row that were refused, or had no answer.
        self.want_epoch = 0  # A snapshot must not be of an older epoch.
        self.snapshot_at = -NEVER  # When the last snapshot was asked for.
        self.ids: dict[int, int] | None = None  # Of the newest events: sequence -> event id …
        self.places: dict[int, int] | None = None  # … and event id -> sequence.
        self.queue: deque[Envelope] | None = None  # Accepted, not yet delivered.
        self.lane = -1  # Of the client's queue, -1 = nothing queued.
        self.twins: dict[tuple[int, int], Envelope] | None = None  # Queued transients: (type, user) -> the newest.
        self.latest: dict[int, int] | None = None  # User -> time of the newest presence.

    @property
    def subscribed(self) -> bool:
        """Whether the gateway has been asked for it, or is to be asked again."""
        return self.state in (ASKED, ON, CATCHING, WAITING)

    def hold(self, entry: Envelope | SequenceSkip, sequence: int) -> None:
        """Keep an event, or a hole, until what is before it has come."""
        if self.held is None:
            self.held = {}
        self.held[entry.epoch, sequence] = entry

    def next_held(self) -> Envelope | SequenceSkip | None:
        """What joins on to `seen`, taken out of what is held. To an empty channel the first event brings the epoch."""
        if not self.held:
            return None
        epoch = self.epoch or min(self.held)[0]
        return self.held.pop((epoch, self.seen + 1), None)

    def forget_passed(self) -> None:
        """Let go of held events that the cursor has passed."""
        if self.held:
            place = (self.epoch, self.seen)
            self.held = {at: entry for at, entry in self.held.items() if at > place} or None
        else:
            self.held = None

    def remember(self, event: int, sequence: int, window: int) -> bool:
        """Note the id of an accepted event; False if the event was accepted before, at another sequence (a producer's retry)."""
        ids, places = self.ids, self.places
        if ids is None or places is None:
            ids = self.ids = {}
            places = self.places = {}
        new = places.setdefault(event, sequence) == sequence
        ids[sequence] = event
        old = ids.pop(sequence - window, None)
        if old is not None and places.get(old) == sequence - window:
            del places[old]
        return new

    def other_event_at(self, event: int, sequence: int) -> bool:
        """Whether another event was accepted at this sequence."""
        return self.ids is not None and self.ids.get(sequence, event) != event

    def skip_ids(self, first: int, last: int, window: int) -> None:
        """The cursor jumps: what falls out of the window is forgotten."""
        if self.ids is None or self.places is None:
            return
        for sequence in range(first - window, min(last - window, first - 1) + 1):
            old = self.ids.pop(sequence, None)
            if old is not None and self.places.get(old) == sequence:
                del self.places[old]

    def move_to(self, epoch: int, sequence: int) -> None:
        """Both positions are here now: by a snapshot, a saved cursor, or the top of a `subscribed`."""
        if epoch != self.epoch or sequence != self.seen:
            self.ids = self.places = None
        self.epoch = self.applied_epoch = epoch
        self.seen = self.applied = sequence

    def fall_back(self) -> None:
        """To what was delivered last: the queue and what was held are gone."""
        self.target = max(self.target, self.seen)
        self.epoch, self.seen = self.applied_epoch, self.applied
        self.held = None

    def forget_cursor(self) -> None:
        """Access ended: a new grant starts without the old position."""
        self.move_to(0, -1)
        self.held = self.latest = None
        self.missing, self.target, self.want_epoch, self.tries = NOTHING, 0, 0, 0
