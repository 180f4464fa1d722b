"""Sharing: one tab of several that have one connection among them.

The tab that leads (see `leader`) is the session as it stands; what it shows it also tells the others, and what they send and need it treats
as its own. A tab that follows is idle: it shows what leaders tell, each event once and in order, and asks for a channel's state by itself
where it lacks it. Its sends stay its own until they are settled, and it hands them to every new leader with the same keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simfabric.protocol import channels, inbox, machine, outbox, rules, tabs, timers
from simfabric.protocol.carrying_out import take
from simfabric.protocol.client_state import ClientState
from simfabric.protocol.codes import REASON_AUTH
from simfabric.protocol.connection import end, logout
from simfabric.protocol.effects import Broadcast, ChannelReset, ClientEffect, Deliver, FetchSnapshot, PersistCursor, PublishSettled
from simfabric.protocol.inputs import PublishRequested, SnapshotReady
from simfabric.protocol.leader import LEADER, Action, Followed, Gained, Leader, Lost, Passed, Say, TabJoined, WantsChanged
from simfabric.protocol.timers import NEVER


class Sharing:
    """One tab's part."""

    __slots__ = ("asked_at", "feed", "leader", "pending", "shared", "tickets")

    def __init__(self, leader: Leader) -> None:
        self.leader = leader
        self.feed = tabs.Feed()
        self.pending: dict[int, tuple[PublishRequested, int]] = {}  # This tab's unsettled sends while another leads, and since when, in order.
        self.shared: dict[int, tuple[int, int]] = {}  # Channel -> (epoch, sequence): up to where the leader has applied it.
        self.tickets: dict[int, int] = {}  # Of a follower: channel -> ticket of the snapshot that it asked for.
        self.asked_at: dict[int, int] = {}  # Channel -> when that was.

    @property
    def leads(self) -> bool:
        """Whether this tab leads now."""
        return self.leader.role == LEADER


def start(session: ClientState, sharing: Sharing) -> None:
    """The page was opened: whoever leads dials. A leader that was signed out dials again."""
    if sharing.leads:
        take(session, session.primary, machine.START)
    else:
        _act(session, sharing, sharing.leader.start(session.now))


def stop(session: ClientState, sharing: Sharing) -> None:
    """The page closes, or the user is signed out: another tab may lead."""
    for key in tuple(sharing.pending):
        _settle(session, sharing, key, "failed", "signed_out")
    _act(session, sharing, sharing.leader.stop())


def needs_changed(session: ClientState, sharing: Sharing, visible: bool | None = None) -> None:
    """What this tab's screen needs, for the leader."""
    if visible is not None:
        sharing.leader.set_visible(visible, session.now)
    needed = [channel for channel in (session.channels or {}).values() if channel.needed or channel.visible]
    wants = tuple((channel.number, channel.direct, channel.visible) for channel in sorted(needed, key=lambda channel: channel.number))
    _act(session, sharing, sharing.leader.set_wants(wants))


def publish(session: ClientState, sharing: Sharing, wish: PublishRequested) -> None:
    """The user sends in this tab."""
    if sharing.leads:
        outbox.publish(session, wish, sharing.leader.tab)
    elif wish.client_message_id not in sharing.pending:
        sharing.pending[wish.client_message_id] = (wish, session.now)
        session.arm(timers.EXPIRE, rules.expire_at(session.now, session.settings.parameters.outbox_age), wish.client_message_id)
        _forward(session, sharing, wish)


def expired(session: ClientState, sharing: Sharing, key: int) -> None:
    """No leader ever settled it."""
    if key in sharing.pending:
        _settle(session, sharing, key, "expired", "age")
    elif session.outbox is not None and key in session.outbox.sends:
        outbox.expire_timer(session, key)


def heard(session: ClientState, sharing: Sharing, message: Any) -> None:
    """Another tab said something."""
    _act(session, sharing, sharing.leader.handle(message, session.now))


def timer(session: ClientState, sharing: Sharing) -> None:
    """LEASE or BEAT."""
    _act(session, sharing, sharing.leader.handle_timers(session.now))


def state_taken(session: ClientState, sharing: Sharing, snapshot: SnapshotReady) -> bool:
    """Whether a snapshot answers what this tab asked for as a follower."""
    if not snapshot.ticket or sharing.tickets.get(snapshot.channel) != snapshot.ticket:
        return False
    del sharing.tickets[snapshot.channel]
    if not sharing.leads:
        _state(session, sharing, snapshot.channel, snapshot.epoch, snapshot.sequence)
    return True


def follow_up(session: ClientState, sharing: Sharing) -> None:
    """At the end of every call: tell the others what this tab shows if it leads, and note when the leader is due."""
    if sharing.leads:
        said = [message for effect in session.effects if type(effect) in TOLD for message in TOLD[type(effect)](sharing, effect)]
        session.effects += map(Broadcast, said)
    if session.primary.state == machine.SIGNED_OUT and sharing.leader.beat_at is not None:
        stop(session, sharing)
    at = sharing.leader.next_deadline()
    if at is None:
        session.disarm(timers.LEASE)
    else:
        session.arm(timers.LEASE, at)


# ----------------------------------------------------------------------------------------------------------------------- what is told


def _tell_events(sharing: Sharing, effect: Deliver) -> list[Any]:
    return [tabs.Events(sharing.leader.term, effect.channel, effect.events)]


def _tell_state(sharing: Sharing, effect: ChannelReset) -> list[Any]:
    return [tabs.ChannelState(sharing.leader.term, effect.channel, effect.epoch, effect.sequence)]


def _tell_cursor(sharing: Sharing, effect: PersistCursor) -> list[Any]:
    return [tabs.CursorShared(effect.channel, effect.epoch, effect.sequence)]


TOLD: dict[type[ClientEffect], Callable[[Sharing, Any], list[Any]]] = {Deliver: _tell_events, ChannelReset: _tell_state, PersistCursor: _tell_cursor}


# ------------------------------------------------------------------------------------------------------- what follows from the election


def _act(session: ClientState, sharing: Sharing, actions: list[Action]) -> None:
    for action in actions:
        ACTIONS[type(action)](session, sharing, action)


def _say(session: ClientState, sharing: Sharing, action: Say) -> None:
    session.effects.append(Broadcast(action.message))


def _gained(session: ClientState, sharing: Sharing, action: Gained) -> None:
    """Go on from where this tab, or the last leader, has come; with this tab's own sends, in their order."""
    for number, (epoch, sequence) in {**sharing.shared, **sharing.feed.cursors}.items():
        channel = channels.channel_of(session, number)
        if (channel.epoch, channel.seen) < (epoch, sequence):
            channel.move_to(epoch, sequence)
    pending, sharing.pending, sharing.tickets = sharing.pending, {}, {}
    for wish, queued_at in pending.values():
        outbox.publish(session, wish, sharing.leader.tab, queued_at)
    take(session, session.primary, machine.START)


def _lost(session: ClientState, sharing: Sharing, action: Lost) -> None:
    """Another leads: its events are shown from here on; the sends of this tab are handed to it."""
    inbox.persist(session)
    unsettled, session.outbox = session.outbox, None
    for send in unsettled.sends.values() if unsettled is not None else ():
        session.disarm(timers.ACK, send.key)
        if send.tab == sharing.leader.tab:
            sharing.pending[send.key] = (PublishRequested(send.channel, send.key, send.size), send.queued_at)
        else:
            session.disarm(timers.EXPIRE, send.key)
    logout(session, clear=False)
    for channel in (session.channels or {}).values():
        if session.inbox is not None:
            inbox.discard(session.inbox, channel)
        channel.fall_back()
        channel.shared = False
        if channel.applied >= 0:
            sharing.feed.start_at(channel.number, channel.applied_epoch, channel.applied)


def _followed(session: ClientState, sharing: Sharing, action: Followed) -> None:
    for wish, _ in sharing.pending.values():
        _forward(session, sharing, wish)


def _joined(session: ClientState, sharing: Sharing, action: TabJoined) -> None:
    """The state of every channel as this tab shows it, then what is live."""
    for channel in (session.channels or {}).values():
        if channel.applied >= 0 and channel.subscribed:
            state = tabs.ChannelState(sharing.leader.term, channel.number, channel.applied_epoch, channel.applied, action.tab)
            session.effects.append(Broadcast(state))


def _wants(session: ClientState, sharing: Sharing, action: WantsChanged) -> None:
    needed = {number: direct for number, direct, _ in action.channels}
    for number, direct in needed.items():
        channel = channels.channel_of(session, number)
        channel.direct = channel.direct or direct
    for channel in (session.channels or {}).values():
        channel.shared = channel.number in needed
    channels.reconcile(session)


def _passed(session: ClientState, sharing: Sharing, action: Passed) -> None:
    MESSAGES[type(action.message)](session, sharing, action.message)


ACTIONS: dict[type[Action], Callable[[ClientState, Sharing, Any], None]] = {
    Say: _say,
    Gained: _gained,
    Lost: _lost,
    Followed: _followed,
    TabJoined: _joined,
    WantsChanged: _wants,
    Passed: _passed,
}


# ------------------------------------------------------------------------------------------------------------------------ messages


def _forwarded(session: ClientState, sharing: Sharing, message: tabs.Forward) -> None:
    """A follower's send; one that is under way already is not sent again."""
    if session.outbox is None or message.client_message_id not in session.outbox.sends:
        outbox.publish(session, PublishRequested(message.channel, message.client_message_id, message.size), message.tab)


def _settled(session: ClientState, sharing: Sharing, message: tabs.Settled) -> None:
    if message.client_message_id in sharing.pending:
        _settle(session, sharing, message.client_message_id, message.outcome, message.reason)


def _events(session: ClientState, sharing: Sharing, message: tabs.Events) -> None:
    """What the leader shows. Where something is missing, the state as a whole stands in."""
    channel = (session.channels or {}).get(message.channel)
    if channel is None or not (channel.needed or channel.visible):
        return
    events, lacks = sharing.feed.take(message)
    if events:
        session.effects.append(Deliver(message.channel, events))
    if lacks:
        _ask_state(session, sharing, message.channel)


def _ask_state(session: ClientState, sharing: Sharing, number: int) -> None:
    """One snapshot of a channel in `snapshot_min_gap`; an answer that never comes is asked for again with the next event."""
    if session.now < sharing.asked_at.get(number, -NEVER) + session.settings.parameters.snapshot_min_gap:
        return
    sharing.asked_at[number] = session.now
    sharing.tickets[number] = session.next_serial()
    session.effects.append(FetchSnapshot(sharing.tickets[number], number))


def _channel_state(session: ClientState, sharing: Sharing, message: tabs.ChannelState) -> None:
    _state(session, sharing, message.channel, message.epoch, message.sequence)


def _state(session: ClientState, sharing: Sharing, number: int, epoch: int, sequence: int) -> None:
    if sharing.feed.cursors.get(number) != (epoch, sequence) and sharing.feed.start_at(number, epoch, sequence):
        session.effects.append(ChannelReset(number, epoch, sequence, "leader"))


def _cursor_shared(session: ClientState, sharing: Sharing, message: tabs.CursorShared) -> None:
    if (message.epoch, message.sequence) > sharing.shared.get(message.channel, (0, -1)):
        sharing.shared[message.channel] = (message.epoch, message.sequence)


def _auth_ended(session: ClientState, sharing: Sharing, message: tabs.AuthEnded) -> None:
    end(session, REASON_AUTH, tells=False)


MESSAGES: dict[type, Callable[[ClientState, Sharing, Any], None]] = {
    tabs.Forward: _forwarded,
    tabs.Settled: _settled,
    tabs.Events: _events,
    tabs.ChannelState: _channel_state,
    tabs.CursorShared: _cursor_shared,
    tabs.AuthEnded: _auth_ended,
}


def _forward(session: ClientState, sharing: Sharing, wish: PublishRequested) -> None:
    session.effects.append(Broadcast(tabs.Forward(sharing.leader.tab, wish.channel, wish.client_message_id, wish.size)))


def _settle(session: ClientState, sharing: Sharing, key: int, outcome: str, reason: str) -> None:
    del sharing.pending[key]
    session.disarm(timers.EXPIRE, key)
    session.effects.append(PublishSettled(key, outcome, reason))
