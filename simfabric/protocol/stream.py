"""Stream: what an event is to a channel's position, and what the position then is.

An event that joins on is accepted, one that was passed is a duplicate, one further on is held for `gap_wait`, and one of a newer epoch
makes the state as a whole obsolete. Sequences of two epochs are never compared.
"""

from __future__ import annotations

from simfabric.protocol import inbox, outbox
from simfabric.protocol.channel import CATCHING, DENIED, EVENTS, NOTHING, OFF, ON, STATE, Channel
from simfabric.protocol.client_state import ClientState
from simfabric.protocol.cursors import DELIVER, DUPLICATE, GAP, RESET, TRANSIENT, after_skip, classify
from simfabric.protocol.effects import CancelFetch, Fault
from simfabric.protocol.frames import Envelope, SequenceSkip
from simfabric.protocol.inputs import REPLAY, SNAPSHOT
from simfabric.protocol.timers import FETCH, NEVER, SUB_RETRY
from simfabric.protocol.timers import GAP as GAP_TIMER

FETCH_KINDS = {EVENTS: REPLAY, STATE: SNAPSHOT}


def take_event(session: ClientState, channel: Channel, event: Envelope) -> None:
    """An event came, live or by a reply."""
    state = channel.state
    if state in (OFF, DENIED):
        session.count("unwanted")
        return
    verdict = classify(event.sequence, event.epoch, channel.seen, channel.epoch)
    if verdict == DELIVER and state == ON and channel.seen >= 0:
        accept(session, channel, event)
        if channel.held:
            drain(session, channel)
            watch_gap(session, channel)
    elif verdict == TRANSIENT:
        victim = inbox.offer(session, channel, event)
        if victim is not None:
            overflowed(session, victim)
    elif verdict == DUPLICATE and channel.seen >= 0:
        _duplicate(session, channel, event)
    else:
        _hold(session, channel, event, verdict)


def _hold(session: ClientState, channel: Channel, event: Envelope, verdict: int) -> None:
    """What cannot be accepted yet. Before `subscribed` nothing is known about it but where it stands."""
    parameters = session.settings.parameters
    if event.epoch < channel.epoch:
        session.count("old_epoch")  # Of a log that is gone: a late frame, or a gateway that has not heard.
        return
    if channel.held is not None and len(channel.held) >= parameters.queue_cap:
        channel.target = max(channel.target, newest_held(channel))  # The log has them all.
        channel.held = None
        session.count("held_overflow")
    channel.hold(event, event.sequence)
    if verdict == RESET:
        channel.want_epoch = max(channel.want_epoch, event.epoch)
        if channel.missing != STATE:
            behind(session, channel, STATE)
    elif channel.state == ON and verdict == GAP:
        watch_gap(session, channel)


def newest_held(channel: Channel) -> int:
    """The highest sequence that is held of the channel's epoch."""
    return max((at for epoch, at in channel.held or () if channel.epoch in (0, epoch)), default=0)


def watch_gap(session: ClientState, channel: Channel) -> None:
    """As long as events are held, a gap is open; it may close by itself for `gap_wait`."""
    if not channel.held:
        session.disarm(GAP_TIMER, channel.number)
    elif channel.state == ON and session.deadline(GAP_TIMER, channel.number) == NEVER:
        if session.settings.parameters.gap_wait:
            session.arm(GAP_TIMER, session.now + session.settings.parameters.gap_wait, channel.number)
        else:
            gap_open(session, channel)


def gap_open(session: ClientState, channel: Channel) -> None:
    """A gap outlasted `gap_wait`: ask for what is between."""
    if channel.held and channel.state == ON:
        channel.target = max(channel.target, newest_held(channel))
        behind(session, channel, EVENTS)


def accept(session: ClientState, channel: Channel, event: Envelope) -> None:
    """The event that joins on: the position moves and it is queued, unless it was shown before under another sequence."""
    sequence = event.sequence
    channel.epoch = event.epoch
    channel.seen = sequence
    if event.client_message_id >= 0 and session.outbox is not None:
        outbox.echoed(session, event)
    if not channel.remember(event.event, sequence, session.settings.parameters.dedupe_window):
        session.count("same_event")
        if channel.lane < 0:
            channel.applied, channel.applied_epoch = sequence, event.epoch
            inbox.applied(session, channel)
        return
    victim = inbox.offer(session, channel, event)
    if victim is not None:
        overflowed(session, victim)


def drain(session: ClientState, channel: Channel) -> None:
    """Accept what is held and joins on; what the position has passed is forgotten."""
    while channel.seen >= 0:
        entry = channel.next_held()
        if entry is None:
            break
        if type(entry) is SequenceSkip:
            pass_hole(session, channel, entry)
        else:
            assert isinstance(entry, Envelope)
            accept(session, channel, entry)
    channel.forget_passed()


def pass_hole(session: ClientState, channel: Channel, skip: SequenceSkip) -> None:
    """The cursor jumps over a hole that is meant. In an empty channel it brings the epoch, as an event does."""
    to = after_skip(skip.first, skip.last, channel.seen)
    if to > channel.seen and channel.epoch in (0, skip.epoch):
        channel.epoch = skip.epoch
        channel.skip_ids(channel.seen + 1, to, session.settings.parameters.dedupe_window)
        channel.seen = to
        if channel.lane < 0:
            channel.applied, channel.applied_epoch = to, skip.epoch
            inbox.applied(session, channel)


def take_skip(session: ClientState, channel: Channel, skip: SequenceSkip) -> None:
    """`sequence.skip`: from its edge the cursor passes it, further on it is held like an event."""
    if skip.epoch == 0 or channel.epoch not in (0, skip.epoch) or channel.seen < 0 or skip.last <= channel.seen or channel.state in (OFF, DENIED):
        session.count("skip_ignored")
    elif channel.state == ON and skip.first <= channel.seen + 1:
        pass_hole(session, channel, skip)
        drain(session, channel)
        watch_gap(session, channel)
    else:
        channel.hold(skip, max(skip.first, channel.seen + 1))
        channel.target = max(channel.target, skip.last)
        watch_gap(session, channel)


def take_top(session: ClientState, channel: Channel, epoch: int, top: int) -> None:
    """The log's top, from a ping or a resync: what is missing shows even if nothing follows."""
    if channel.state not in (ON, CATCHING) or channel.seen < 0 or epoch < channel.epoch or top <= 0:
        return
    if channel.epoch not in (0, epoch):
        channel.want_epoch = max(channel.want_epoch, epoch)
        behind(session, channel, STATE)
    elif top > channel.seen:
        channel.target = max(channel.target, top)
        behind(session, channel, EVENTS)


def _duplicate(session: ClientState, channel: Channel, event: Envelope) -> None:
    """An event that the position has passed. Another id at a known sequence is a fault of the log: what stands there is no longer known."""
    session.count("duplicate")
    if channel.other_event_at(event.event, event.sequence):
        session.effects.append(Fault("one event at one sequence", channel.number, event.sequence))
        channel.ids = channel.places = None
        behind(session, channel, STATE)


def overflowed(session: ClientState, channel: Channel) -> None:
    """The channel's queue was discarded: again from what was applied. During a resync, or soon after one, the state as a whole is cheaper."""
    recent = session.now < channel.snapshot_at + session.settings.parameters.snapshot_min_gap
    again = channel.state == CATCHING or recent or channel.applied < 0
    if channel.ticket:
        cancel_fetch(session, channel)
    if channel.state in (ON, CATCHING):
        behind(session, channel, STATE if again else EVENTS)
    else:
        channel.missing = max(channel.missing, STATE if again else EVENTS)


# ------------------------------------------------------------------------------------------------------------- what is missing


def behind(session: ClientState, channel: Channel, missing: int) -> None:
    """The channel is to catch up; a fetch that is under way will do, unless more is missing than it brings."""
    channel.missing = max(channel.missing, missing)
    session.disarm(GAP_TIMER, channel.number)
    if channel.state not in (ON, CATCHING):
        return  # Before `subscribed`, or waiting its time after a failure: it is known by then.
    if channel.ticket:
        if channel.fetching >= channel.missing:
            set_state(session, channel, CATCHING)
            return
        cancel_fetch(session, channel)
    session.disarm(FETCH, channel.number)
    want_fetch(session, channel)


def want_fetch(session: ClientState, channel: Channel) -> None:
    """The next FETCH_BEHIND is for this channel, too."""
    set_state(session, channel, CATCHING)
    if session.fetches is None:
        session.fetches = {}
    session.fetches[channel.number] = channel


def cancel_fetch(session: ClientState, channel: Channel) -> None:
    """Whatever still comes of it is ignored."""
    if channel.ticket:
        session.effects.append(CancelFetch(channel.ticket, FETCH_KINDS[channel.fetching]))
        channel.ticket, channel.fetching = 0, NOTHING
    session.disarm(FETCH, channel.number)
    if session.fetches is not None:
        session.fetches.pop(channel.number, None)


def set_state(session: ClientState, channel: Channel, state: int) -> None:
    """Count the channels that hold the connection back."""
    session.behind += (state == CATCHING) - (channel.state == CATCHING)
    channel.state = state


def stop(session: ClientState, channel: Channel, state: int) -> None:
    """Nothing is fetched or held any more; `missing` stays for the next subscribe."""
    cancel_fetch(session, channel)
    session.disarm(GAP_TIMER, channel.number)
    session.disarm(SUB_RETRY, channel.number)
    channel.held = None
    set_state(session, channel, state)
