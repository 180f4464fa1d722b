"""Channels: which of them are subscribed. Those that are allowed and needed, at most `max_channels`: visible ones first, then direct ones,
then the most recently asked for.

A channel that is needed no more stays for `linger`; one that is out of rank leaves at once. A refused subscribe is final for its channel,
one that is put off is made again after a backoff of its own.
"""

from __future__ import annotations

from simfabric.protocol import frames, inbox, recovery, rules
from simfabric.protocol.channel import ASKED, DENIED, OFF, ON, STATE, WAITING, Channel
from simfabric.protocol.client_state import SUB_RETRY as SUB_RETRY_DRAW
from simfabric.protocol.client_state import ClientState, Lane, Standby
from simfabric.protocol.effects import SendFrame
from simfabric.protocol.frames import ErrorFrame, Subscribe, Subscribed, Unsubscribe, Unsubscribed
from simfabric.protocol.inputs import LONG_POLL, CursorLoaded, SubscribeWanted, VisibleChanged
from simfabric.protocol.machine import OPEN, READY
from simfabric.protocol.stream import set_state, stop
from simfabric.protocol.timers import LINGER, NEVER, SUB_RETRY


def channel_of(session: ClientState, number: int) -> Channel:
    """The channel, made when it is first named."""
    if session.channels is None:
        session.channels = {}
    channel = session.channels.get(number)
    if channel is None:
        channel = session.channels[number] = Channel(number)
    return channel


# ------------------------------------------------------------------------------------------------------------- what is wanted


def want(session: ClientState, wish: SubscribeWanted) -> None:
    """The screen needs a channel, or needs it no more."""
    channel = channel_of(session, wish.channel)
    if wish.wanted:
        channel.needed = session.next_serial()
        channel.direct = wish.direct
        if channel.state == DENIED and allowed(session, channel):
            channel.state = OFF  # It was one too many; the user opens it again.
    else:
        channel.needed = 0
    reconcile(session, channel)


def look_at(session: ClientState, seen: VisibleChanged) -> None:
    """The user looks at these channels now: they are needed, and their events come first."""
    for number in seen.channels:
        channel_of(session, number)
    for channel in (session.channels or {}).values():
        visible = channel.number in seen.channels
        if visible != channel.visible:
            channel.visible = visible
            inbox.change_lane(session.inbox, channel)
    reconcile(session)


def load_cursor(session: ClientState, loaded: CursorLoaded) -> None:
    """A saved cursor. Without the state of exactly that point it is no place to go on from: a snapshot comes first."""
    channel = channel_of(session, loaded.channel)
    if rules.may_save(loaded.epoch, loaded.sequence, channel.saved_epoch, channel.saved):
        channel.saved_epoch, channel.saved = loaded.epoch, loaded.sequence
    if channel.seen >= 0 or channel.state not in (OFF, ASKED):
        return
    if not loaded.with_state:
        channel.missing = STATE
    elif channel.state == OFF:
        channel.move_to(loaded.epoch, loaded.sequence)


def allowed(session: ClientState, channel: Channel) -> bool:
    """Whether the user may read it."""
    return session.allowed is not None and channel.number in session.allowed


def is_needed(channel: Channel) -> bool:
    """Whether a screen needs it, this tab's or another's."""
    return channel.needed > 0 or channel.visible or channel.shared


def wanted(session: ClientState) -> dict[int, Channel]:
    """The channels that are to be subscribed, the first in rank first."""
    sparse = session.primary.kind == LONG_POLL
    chosen = []
    for channel in (session.channels or {}).values():
        needed = is_needed(channel) or session.deadline(LINGER, channel.number) != NEVER
        if needed and allowed(session, channel) and channel.state != DENIED and (not sparse or channel.visible or channel.direct):
            chosen.append(channel)
    most = session.settings.parameters.max_channels
    if len(chosen) > most:
        chosen.sort(key=_rank)
    return {channel.number: channel for rank, channel in enumerate(chosen) if rules.wanted(True, True, rank, most)}


def _rank(channel: Channel) -> tuple[bool, bool, bool, int, int]:
    return not is_needed(channel), not channel.visible, not channel.direct, -channel.needed, channel.number


def reconcile(session: ClientState, changed: Channel | None = None) -> None:
    """Subscribe what is wanted and is not subscribed; let go of the rest. With few channels only the one that changed can be affected."""
    channels = session.channels or {}
    few = len(channels) <= session.settings.parameters.max_channels
    affected = [changed] if changed is not None and few else list(channels.values())
    for channel in affected:
        if is_needed(channel):
            session.disarm(LINGER, channel.number)
        elif channel.subscribed and session.deadline(LINGER, channel.number) == NEVER:
            session.arm(LINGER, session.now + max(rules.LEAST_DELAY, session.settings.parameters.linger), channel.number)
    chosen = wanted(session)
    for channel in affected:
        if channel.number not in chosen and channel.subscribed:
            leave(session, channel)
    if session.primary.state in OPEN:
        ask(session, session.primary, [channel for channel in affected if channel.number in chosen and channel.state == OFF])


def linger_timer(session: ClientState, channel: Channel) -> None:
    """Nobody came back to it."""
    if not is_needed(channel) and channel.subscribed:
        leave(session, channel)
        reconcile(session, channel)


def leave(session: ClientState, channel: Channel) -> None:
    """Unsubscribe. The position stays: if the channel is opened again, it goes on from there."""
    for lane in (session.primary, session.standby):
        if lane is not None and lane.state in OPEN:
            session.effects.append(SendFrame(lane.generation, Unsubscribe(session.next_serial(), channel.number)))
            (lane.asked or {}).pop(channel.number, None)
    if session.standby is not None:
        session.standby.replies.pop(channel.number, None)
    session.disarm(LINGER, channel.number)
    stop(session, channel, OFF)


# ------------------------------------------------------------------------------------------------------------- subscribing


def ask_all(session: ClientState, lane: Lane) -> None:
    """SEND_SUBS: subscribe everything that is wanted over a transport that has just opened."""
    lane.asked = None
    chosen = list(wanted(session).values())
    if lane is session.primary:
        chosen = [channel for channel in chosen if channel.state == OFF]
    ask(session, lane, chosen)


def ask(session: ClientState, lane: Lane, chosen: list[Channel]) -> None:
    """Subscribe these, so many in a frame; while connected each reply has its own time limit."""
    if not chosen:
        return
    parameters = session.settings.parameters
    if lane.asked is None:
        lane.asked = {}
    for start in range(0, len(chosen), parameters.subscribe_batch):
        batch = chosen[start : start + parameters.subscribe_batch]
        correlation = session.next_serial()
        places = tuple((channel.number, channel.epoch, channel.seen) for channel in batch)
        session.effects.append(SendFrame(lane.generation, Subscribe(correlation, places)))
        for channel in batch:
            lane.asked[channel.number] = correlation
            if lane is session.primary:
                set_state(session, channel, ASKED)
                if lane.state in READY:
                    session.arm(SUB_RETRY, session.now + parameters.connect_timeout, channel.number)


def subscribed(session: ClientState, lane: Lane, reply: Subscribed) -> None:
    """A reply: on the standby it is kept until that is promoted."""
    channel = _answered(session, lane, reply.channel, reply.correlation)
    if channel is None:
        session.count("stale")
    elif lane is session.standby:
        session.standby.replies[reply.channel] = reply
    else:
        channel.vain = 0
        if not recovery.subscribed(session, channel, reply):
            put_off(session, channel, -1)


def unsubscribed(session: ClientState, lane: Lane, end: Unsubscribed) -> None:
    """The server ended the channel: for good, or until it is asked again."""
    channel = (session.channels or {}).get(end.channel)
    if channel is None or lane is not session.primary or not channel.subscribed:
        return
    (lane.asked or {}).pop(channel.number, None)
    if end.final:
        _deny(session, channel)
    else:
        put_off(session, channel, -1)


def refused(session: ClientState, lane: Lane, error: ErrorFrame) -> bool:
    """Whether an error answers a subscribe. Unauthorized is final until a new grant; busy is not; one channel too many waits for the user."""
    numbers = [number for number, correlation in (lane.asked or {}).items() if correlation == error.correlation]
    if error.channel in numbers:
        numbers = [error.channel]
    u = session.draw(SUB_RETRY_DRAW) if numbers and lane is session.primary and error.error in (frames.RATE_LIMITED, frames.UNAVAILABLE) else 0.0
    for number in numbers:
        channel = _answered(session, lane, number, error.correlation)
        if channel is None or lane is session.standby:
            continue
        if error.error in (frames.RATE_LIMITED, frames.UNAVAILABLE):
            _ask_later(session, channel, error.retry_after, u)  # What is refused together is asked for together.
            continue
        if error.error == frames.NOT_AUTHORIZED and session.allowed is not None:
            session.allowed -= {number}
        _deny(session, channel)
    return bool(numbers)


def put_off(session: ClientState, channel: Channel, advised: int) -> None:
    """Subscribe again after a backoff of the channel's own; it does not hold the connection back."""
    channel.tries += 1
    _wait(session, channel, channel.tries - 1, advised, session.draw(SUB_RETRY_DRAW))


def _ask_later(session: ClientState, channel: Channel, advised: int, u: float) -> None:
    """The same for one that was refused, or has no answer: `u` is the chance of all of which this is true at this time."""
    channel.vain += 1
    _wait(session, channel, channel.vain - 1, advised, u)


def _wait(session: ClientState, channel: Channel, tries: int, advised: int, u: float) -> None:
    stop(session, channel, WAITING)
    delay = recovery.own_backoff(session.settings.parameters, tries, u)
    session.arm(SUB_RETRY, session.now + max(rules.LEAST_DELAY, delay, advised), channel.number)


def subscribe_timer(session: ClientState, channel: Channel) -> None:
    """The wait is over, or a reply has not come in time."""
    state = channel.state
    if state not in (ASKED, WAITING) or session.primary.state not in OPEN:
        return
    due = [channel]  # Whose time is over now goes on together.
    for other in (session.channels or {}).values():
        if other.state == state and session.deadline(SUB_RETRY, other.number) <= session.now:
            session.disarm(SUB_RETRY, other.number)
            due.append(other)
    if state == ASKED:
        u = session.draw(SUB_RETRY_DRAW)
        for late in due:
            (session.primary.asked or {}).pop(late.number, None)
            _ask_later(session, late, -1, u)
        return
    for waiting in due:
        waiting.state = OFF
    reconcile(session, channel if len(due) == 1 else None)


def revoke(session: ClientState, number: int) -> None:
    """The user may no longer read the channel: nothing of it is shown any more, and a new grant starts without the old position."""
    if session.allowed is not None:
        session.allowed -= {number}
    channel = (session.channels or {}).get(number)
    if channel is None:
        return
    stop(session, channel, OFF)
    session.disarm(LINGER, number)
    for lane in (session.primary, session.standby):
        if lane is not None:
            (lane.asked or {}).pop(number, None)
    if session.standby is not None:
        session.standby.replies.pop(number, None)
    if session.inbox is not None:
        inbox.discard(session.inbox, channel)
        session.inbox.moved.pop(number, None)
    channel.forget_cursor()
    reconcile(session)


def moved(session: ClientState, lane: Standby) -> None:
    """The standby takes over as it stands: what it was told of each channel counts now, what it waits for is waited for."""
    replies, lane.replies = lane.replies, {}
    asked = lane.asked or {}
    for channel in tuple((session.channels or {}).values()):
        if not channel.subscribed:
            continue
        reply = replies.get(channel.number)
        if reply is None:
            stop(session, channel, ASKED if channel.number in asked else OFF)
        elif channel.epoch == reply.epoch and channel.seen >= reply.top:  # More has come since the reply.
            session.disarm(SUB_RETRY, channel.number)
            if channel.state in (ASKED, WAITING):
                set_state(session, channel, ON)
                recovery.settle(session, channel)
        elif not recovery.subscribed(session, channel, reply):
            put_off(session, channel, -1)
    if lane.state in OPEN:
        reconcile(session)


def _answered(session: ClientState, lane: Lane, number: int, correlation: int) -> Channel | None:
    """The channel whose subscribe this answers, which is outstanding no more."""
    if lane.asked is None or lane.asked.get(number) != correlation:
        return None
    del lane.asked[number]
    return (session.channels or {}).get(number)


def _deny(session: ClientState, channel: Channel) -> None:
    stop(session, channel, DENIED)
    session.count("denied")
