"""Inbox: the client's queue between the stream and the user interface. Bounded: visible channels first, transients give way, and a durable
event is never dropped and passed over.

At the bound one channel's queue is discarded as a whole, the longest of the background, and the channel falls back to what was delivered
last: it will be resynchronised. Every `flush_every` a batch goes to the user interface, unless that has not yet taken the batch before.
"""

from __future__ import annotations

from collections import deque

from simfabric.protocol import rules
from simfabric.protocol.channel import Channel
from simfabric.protocol.client_state import ClientState
from simfabric.protocol.effects import Deliver, PersistCursor
from simfabric.protocol.frames import PRESENCE, Envelope
from simfabric.protocol.timers import FLUSH, NEVER, PERSIST

BATCH = 256  # Events of one flush.
USERS = 1_024  # Whose newest presence is remembered, for each channel.


class Inbox:
    """The queue's two lanes: of each the channels with something queued, in the order of their first event, and how many events those are."""

    __slots__ = ("busy", "cut", "flushed_at", "lanes", "lengths", "moved", "run")

    def __init__(self) -> None:
        self.lanes: tuple[deque[Channel], deque[Channel]] = (deque(), deque())
        self.lengths = [0, 0]
        self.run = 0  # Visible events in a row.
        self.busy = False  # The user interface has a batch and has not asked for the next one.
        self.cut = False  # The batch had no room for everything.
        self.flushed_at = -NEVER
        self.moved: dict[int, Channel] = {}  # Channels with a cursor to be saved.

    @property
    def length(self) -> int:
        """Events queued."""
        return self.lengths[0] + self.lengths[1]


def offer(session: ClientState, channel: Channel, event: Envelope) -> Channel | None:
    """Queue an event. Returns the channel whose queue had to be discarded for it, if any; that may be its own."""
    inbox = session.inbox
    if inbox is None:
        inbox = session.inbox = Inbox()
    parameters = session.settings.parameters
    lengths = inbox.lengths
    length = lengths[0] + lengths[1]
    transient = event.sequence == 0
    if not transient and length < parameters.queue_cap:  # What `admit` says of these, without asking: this is the common way.
        _enqueue(inbox, channel, event)
        if length == 0:
            plan_flush(session, inbox)
        return None
    if transient and _outdated(channel, event):
        session.count("outdated")
        return None
    twin = transient and channel.twins is not None and (event.type, event.user) in channel.twins
    verdict = rules.admit(length, parameters.queue_cap, parameters.near_full_events, transient, twin)
    if verdict == rules.DROP:
        session.count("dropped")
        return None
    victim = None
    if verdict == rules.OVERFLOW:
        victim = _longest(inbox)
        discard(inbox, victim)
        session.count("overflow")
        victim.fall_back()
        if victim is channel:
            channel.target = max(channel.target, event.sequence)
            return victim
    if transient:
        if channel.twins is None:
            channel.twins = {}
        channel.twins[event.type, event.user] = event
    if verdict != rules.COALESCE:
        _enqueue(inbox, channel, event)
    plan_flush(session, inbox)
    return victim


def discard(inbox: Inbox, channel: Channel) -> None:
    """Nothing of the channel is queued any more."""
    if channel.lane >= 0 and channel.queue is not None:
        inbox.lengths[channel.lane] -= len(channel.queue)
        inbox.lanes[channel.lane].remove(channel)
        channel.lane = -1
    channel.queue = channel.twins = None


def change_lane(inbox: Inbox | None, channel: Channel) -> None:
    """The channel became visible, or is no longer: its queue changes the lane as a whole, in its order."""
    lane = rules.VISIBLE if channel.visible else rules.BACKGROUND
    if inbox is None or channel.lane < 0 or channel.queue is None or channel.lane == lane:
        return
    inbox.lanes[channel.lane].remove(channel)
    inbox.lengths[channel.lane] -= len(channel.queue)
    inbox.lanes[lane].append(channel)
    inbox.lengths[lane] += len(channel.queue)
    channel.lane = lane


def plan_flush(session: ClientState, inbox: Inbox) -> None:
    """A batch will go out `flush_every` after the one before, or from now."""
    if not inbox.busy and session.deadline(FLUSH) == NEVER:
        session.arm(FLUSH, session.now + session.settings.parameters.flush_every)


def drained(session: ClientState) -> None:
    """The user interface took the batch and is ready for the next one: it gets what the batch had no room for at once."""
    inbox = session.inbox
    if inbox is None or not inbox.busy:
        return
    inbox.busy = False
    if inbox.cut:
        flush(session)
    elif inbox.length and session.deadline(FLUSH) == NEVER:
        at = max(session.now + rules.LEAST_DELAY, inbox.flushed_at + session.settings.parameters.flush_every)
        session.arm(FLUSH, at)


def flush(session: ClientState) -> None:
    """Deliver a batch: of each channel in turn what is queued, visible channels first."""
    inbox = session.inbox
    if inbox is None or inbox.busy:
        return
    parameters = session.settings.parameters
    room = BATCH
    while room > 0:
        lane = rules.pick_lane(inbox.lengths[0], inbox.lengths[1], inbox.run, parameters.visible_burst)
        if lane == rules.NEITHER:
            break
        most = min(room, parameters.visible_burst - inbox.run if lane == rules.VISIBLE and inbox.lengths[1] else room)
        if lane == rules.BACKGROUND and inbox.lengths[0]:
            most = 1
        taken = _deliver(session, inbox, inbox.lanes[lane][0], most)
        inbox.run = inbox.run + taken if lane == rules.VISIBLE and inbox.lengths[1] else 0
        room -= taken
    for waiting in inbox.lanes:
        waiting.rotate(-1)  # A busy channel does not keep the others of its lane waiting for ever.
    inbox.cut = inbox.length > 0
    if room < BATCH:
        inbox.busy, inbox.flushed_at = True, session.now
        if inbox.moved and session.deadline(PERSIST) == NEVER:
            session.arm(PERSIST, session.now + parameters.persist_every)


def persist(session: ClientState) -> None:
    """Save the cursors of what was applied; a save only ever raises."""
    inbox = session.inbox
    if inbox is None:
        return
    session.disarm(PERSIST)
    for channel in inbox.moved.values():
        save(session, channel)
    inbox.moved = {}


def save(session: ClientState, channel: Channel) -> None:
    """Save one cursor."""
    if channel.applied >= 0 and rules.may_save(channel.applied_epoch, channel.applied, channel.saved_epoch, channel.saved):
        channel.saved_epoch, channel.saved = channel.applied_epoch, channel.applied
        session.effects.append(PersistCursor(channel.number, channel.applied_epoch, channel.applied))


def applied(session: ClientState, channel: Channel) -> None:
    """The position moved to where nothing is queued: by a reset, or past events that are not shown."""
    inbox = session.inbox
    if inbox is None:
        inbox = session.inbox = Inbox()
    inbox.moved[channel.number] = channel
    if session.deadline(PERSIST) == NEVER:
        session.arm(PERSIST, session.now + session.settings.parameters.persist_every)


def _enqueue(inbox: Inbox, channel: Channel, event: Envelope) -> None:
    if channel.lane < 0:
        channel.lane = rules.VISIBLE if channel.visible else rules.BACKGROUND
        channel.queue = deque()
        inbox.lanes[channel.lane].append(channel)
    assert channel.queue is not None
    channel.queue.append(event)
    inbox.lengths[channel.lane] += 1


def _deliver(session: ClientState, inbox: Inbox, channel: Channel, most: int) -> int:
    """Deliver at most so many events of one channel; how many those were."""
    queue = channel.queue
    assert queue is not None
    count = min(most, len(queue))
    events = [queue.popleft() for _ in range(count)]
    inbox.lengths[channel.lane] -= count
    last = 0
    for at, event in enumerate(events):
        if event.sequence:
            last, epoch = event.sequence, event.epoch
        elif channel.twins is not None:
            events[at] = channel.twins.pop((event.type, event.user), event)  # Its newest content.
    if last:
        channel.applied, channel.applied_epoch = last, epoch
    if not queue:
        inbox.lanes[channel.lane].remove(channel)
        channel.lane = -1
        channel.queue = channel.twins = None
        channel.applied, channel.applied_epoch = channel.seen, channel.epoch
    inbox.moved[channel.number] = channel
    session.effects.append(Deliver(channel.number, tuple(events)))
    return count


def _longest(inbox: Inbox) -> Channel:
    """The channel with the longest queue: of the background if it has any, of equals the one with the least number."""
    lane = inbox.lanes[rules.BACKGROUND] or inbox.lanes[rules.VISIBLE]
    return min(lane, key=_by_length)


def _by_length(channel: Channel) -> tuple[int, int]:
    return -len(channel.queue or ()), channel.number


def _outdated(channel: Channel, event: Envelope) -> bool:
    """Whether a presence is older than the newest one of its user."""
    if event.type != PRESENCE:
        return False
    if channel.latest is None:
        channel.latest = {}
    if event.ts < channel.latest.get(event.user, event.ts):
        return True
    channel.latest[event.user] = event.ts
    if len(channel.latest) > USERS:
        del channel.latest[next(iter(channel.latest))]
    return False
