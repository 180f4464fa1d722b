"""Client session: the client's half of the protocol, without input or output.

`handle` says what happened, `handle_timers` that time has passed, `next_deadline` when that matters next; both answer with what must be
done, in order. Time comes with each call, chance is addressed by (seed, replication, client), so one log of inputs gives one log of
effects, whoever drives. What happened is handed to the part that it concerns; what the channels have come to is told to the table at the
end of each call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simfabric.errors import LocalProtocolError
from simfabric.protocol import channels, codes, frames, inbox, inputs, machine, outbox, recovery, rules, timers, transports
from simfabric.protocol.channel import DENIED, EVENTS, OFF, STATE, Channel
from simfabric.protocol.client_state import FOR_DRAIN, FOR_WEBSOCKET, HIDDEN, NOTHING, ClientState, Lane, shared_settings
from simfabric.protocol.connection import Cause, drop_standby, end, logout, lost, settle, shown, start_standby, take
from simfabric.protocol.connection import draining as lane_draining
from simfabric.protocol.effects import ClientEffect, CloseTransport, Fault, SendFrame
from simfabric.protocol.frames import Envelope, Frame
from simfabric.protocol.inputs import ClientInput
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.profiles import DEFAULT, PROFILES, Profile
from simfabric.protocol.stream import gap_open, take_event, take_skip, take_top
from simfabric.protocol.timers import NEVER

DEFAULT_PARAMETERS = Parameters()


class ClientSession(ClientState):
    """One client. `client` is its number in the run, by which its draws are addressed; `profile` is its reconnect policy."""

    __slots__ = ()

    def __init__(
        self,
        client: int,
        seed: int = 0,
        replication: int = 0,
        parameters: Parameters = DEFAULT_PARAMETERS,
        profile: Profile = PROFILES[DEFAULT],
    ) -> None:
        super().__init__(client, shared_settings(seed, replication, parameters, profile))

    # --------------------------------------------------------------------------------------------------------------- the three calls

    def handle(self, happened: ClientInput, now: int) -> list[ClientEffect]:
        """What is to be done after this."""
        effects = self.effects = []
        self.now = now
        handler = INPUTS.get(type(happened))
        if handler is None:
            raise LocalProtocolError(f"the law is that a client session is given client inputs; here {type(happened).__name__}")
        handler(self, happened)
        settle(self)
        self.effects = NOTHING
        return effects

    def next_deadline(self) -> int | None:
        """When `handle_timers` is to be called."""
        at = min(self.timers.next(), self.primary.heartbeat_at)
        if self.standby is not None:
            at = min(at, self.standby.heartbeat_at)
        return at if at < NEVER else None

    def handle_timers(self, now: int) -> list[ClientEffect]:
        """What is to be done at this time: what is due, by (deadline, kind, id)."""
        effects = self.effects = []
        self.now = now
        due = self.timers.due(now)
        due += [(lane.heartbeat_at, timers.HEARTBEAT, lane.number) for lane in self.lanes() if lane.heartbeat_at <= now]
        for timer in sorted(due):
            deadline, kind, number = timer
            if kind == timers.HEARTBEAT:
                lane = self.lane_of(number)
                if lane is not None and lane.heartbeat_at == deadline:
                    _heartbeat_timer(self, lane)
            elif self.timers.take(timer):
                TIMERS[kind](self, number)
        settle(self)
        self.effects = NOTHING
        return effects

    # --------------------------------------------------------------------------------------------------------------- to be looked at

    @property
    def state(self) -> int:
        """Of the connection, see `machine`."""
        return self.primary.state

    @property
    def shown(self) -> int:
        """What the user interface shows, see `rules.SHOW_*`."""
        return shown(self)

    @property
    def generation(self) -> int:
        """Of the connection's dial."""
        return self.primary.generation

    @property
    def cursors(self) -> dict[int, tuple[int, int]]:
        """Where the user stands: channel -> (epoch, sequence) of the last event applied."""
        return {number: (channel.applied_epoch, channel.applied) for number, channel in (self.channels or {}).items() if channel.applied >= 0}

    @property
    def subscriptions(self) -> dict[int, int]:
        """Channel -> its state, see `channel`."""
        return {number: channel.state for number, channel in (self.channels or {}).items()}

    @property
    def unsettled(self) -> tuple[int, ...]:
        """Keys of the sends that are not settled, in their order."""
        return tuple(self.outbox.sends) if self.outbox is not None else ()

    def lanes(self) -> tuple[Lane, ...]:
        """The connection, and the standby if there is one."""
        return (self.primary,) if self.standby is None else (self.primary, self.standby)

    def lane_of(self, number: int) -> Lane | None:
        """The lane with this number."""
        return next((lane for lane in self.lanes() if lane.number == number), None)

    def lane_by_dial(self, generation: int) -> Lane | None:
        """The lane whose transport has this generation."""
        if generation and generation == self.primary.dialled:
            return self.primary
        if self.standby is not None and generation and generation == self.standby.dialled:
            return self.standby
        return None

    def lane_by_ticket(self, ticket: int, state: int) -> Lane | None:
        """The lane that waits for the answer to this call."""
        return next((lane for lane in self.lanes() if ticket and lane.ticket == ticket and lane.state == state), None)


# ----------------------------------------------------------------------------------------------------------------- calls and transports


def _connect(session: ClientSession, happened: inputs.ConnectRequested) -> None:
    take(session, session.primary, machine.START)


def _bootstrapped(session: ClientSession, answer: inputs.Bootstrapped) -> None:
    transports.call_worked(session)
    lane = session.lane_by_ticket(answer.ticket, machine.BOOTSTRAP)
    if lane is None:
        session.count("stale")
        return
    lane.ticket = 0
    session.allowed = frozenset(answer.allowed)
    for channel in (session.channels or {}).values():
        if channel.state == DENIED and channel.number in session.allowed:
            channel.state = OFF
    take(session, lane, machine.BOOT_OK)


def _token_ready(session: ClientSession, answer: inputs.TokenReady) -> None:
    transports.call_worked(session)
    lane = session.lane_by_ticket(answer.ticket, machine.TOKEN)
    if lane is None:
        session.count("stale")
        return
    lane.ticket = 0
    session.token_until += answer.ttl
    take(session, lane, machine.TOKEN_OK)


def _fetch_failed(session: ClientSession, failure: inputs.FetchFailed) -> None:
    if failure.status:
        transports.call_worked(session)
    kind = codes.status_class(failure.status, failure.kind)
    if failure.kind in (inputs.REPLAY, inputs.SNAPSHOT):
        missing = EVENTS if failure.kind == inputs.REPLAY else STATE
        channel = recovery.ticket_of(session, failure.channel, failure.ticket, missing)
        if channel is None:
            return
        if kind == codes.ACCESS_REVOKED:
            channels.revoke(session, channel.number)
        else:
            recovery.failed(session, channel, failure)
        return
    lane = session.lane_by_ticket(failure.ticket, machine.BOOTSTRAP if failure.kind == inputs.BOOTSTRAP else machine.TOKEN)
    if lane is None:
        session.count("stale")
        return
    lane.ticket = 0
    if kind == codes.TERMINAL:
        end(session, codes.REASON_AUTH)
    else:
        lost(session, lane, Cause(kind, advised=failure.advised))


def _replayed(session: ClientSession, page: inputs.ReplayReady) -> None:
    transports.call_worked(session)
    channel = recovery.ticket_of(session, page.channel, page.ticket, EVENTS)
    if channel is not None:
        recovery.replayed(session, channel, page)


def _snapshot_taken(session: ClientSession, snapshot: inputs.SnapshotReady) -> None:
    transports.call_worked(session)
    channel = recovery.ticket_of(session, snapshot.channel, snapshot.ticket, STATE)
    if channel is not None:
        recovery.snapshot_taken(session, channel, snapshot)


def _opened(session: ClientSession, happened: inputs.TransportOpened) -> None:
    lane = session.lane_by_dial(happened.generation)
    if lane is None:
        session.count("stale")
        session.effects.append(CloseTransport(happened.generation, codes.LEFT_TO_REDIAL))
        return
    if lane.state == machine.DIALING:
        transports.opened(session, lane.kind)
    take(session, lane, machine.OPENED)


def _closed(session: ClientSession, happened: inputs.TransportClosed) -> None:
    lane = session.lane_by_dial(happened.generation)
    if lane is None:
        session.count("stale")
        return
    lane.dialled = 0
    if lane.state == machine.DIALING:
        transports.dial_failed(session, lane.kind, happened.bytes_seen)
    else:
        transports.connection_lost(session)
    kind = codes.close_class(happened.code)
    if kind == codes.FAULT:
        session.effects.append(Fault("no protocol fault", value=happened.code))
    elif kind == codes.TOO_BIG:
        outbox.too_big(session)
    advised, spread = happened.advised, happened.spread
    if kind == codes.AWAY and advised < 0 and lane.spread >= 0:
        advised, spread = 0, lane.spread  # The plan was announced; its spread is kept.
    lost(session, lane, Cause(kind, happened.code, advised, spread))


# ----------------------------------------------------------------------------------------------------------------------------- frames


def _received(session: ClientSession, happened: inputs.FrameReceived) -> None:
    """Whatever came is a sign of life; then the frame is for the part that it concerns."""
    lane = session.primary if happened.generation == session.primary.dialled else session.lane_by_dial(happened.generation)
    if lane is None or lane.state not in machine.OPEN:
        session.count("stale")
        return
    parameters = session.settings.parameters
    if parameters.heartbeat_driver == "client":
        lane.heartbeat_at, lane.pinged = session.now + parameters.heartbeat_interval, False
    else:
        lane.heartbeat_at = session.now + parameters.heartbeat_interval + parameters.heartbeat_timeout  # `rules.hb_deadline`, without the call.
    session.timers.stop(timers.PROBE, lane.number)
    if happened.size > parameters.max_frame:
        session.effects.append(Fault("frame <= max_frame", value=happened.size))
        transports.connection_lost(session)
        lost(session, lane, Cause())
        return
    handler = FRAMES.get(type(happened.frame))
    if handler is None:
        session.count("unexpected")  # A frame that only clients send.
    else:
        handler(session, lane, happened.frame)


def _envelope(session: ClientSession, lane: Lane, event: Envelope) -> None:
    channel = session.channels.get(event.channel) if session.channels is not None else None
    if channel is None:
        session.count("unwanted")
    else:
        take_event(session, channel, event)


def _acked(session: ClientSession, lane: Lane, ack: frames.ConnectionAck) -> None:
    lane.acked = True
    lane.gateway = ack.gateway
    verdict = rules.accepts(ack.schema, session.settings.parameters.schema_current, session.settings.parameters.schema_back)
    if verdict != rules.OK:
        session.count("lenient")  # Known fields only; missing ones have their defaults.


def _subscribed(session: ClientSession, lane: Lane, reply: frames.Subscribed) -> None:
    channels.subscribed(session, lane, reply)


def _unsubscribed(session: ClientSession, lane: Lane, ended: frames.Unsubscribed) -> None:
    channels.unsubscribed(session, lane, ended)


def _message_ack(session: ClientSession, lane: Lane, ack: frames.MessageAck) -> None:
    outbox.acknowledged(session, ack)


def _ping(session: ClientSession, lane: Lane, ping: frames.Ping) -> None:
    session.effects.append(SendFrame(lane.generation, frames.Pong(ping.t)))
    for number, epoch, top in ping.tops:
        channel = (session.channels or {}).get(number)
        if channel is not None:
            take_top(session, channel, epoch, top)


def _pong(session: ClientSession, lane: Lane, pong: frames.Pong) -> None:
    """The sign of life was all."""


def _draining(session: ClientSession, lane: Lane, notice: frames.Draining) -> None:
    lane_draining(session, lane, notice)


def _skip(session: ClientSession, lane: Lane, skip: frames.SequenceSkip) -> None:
    channel = (session.channels or {}).get(skip.channel)
    if channel is not None:
        take_skip(session, channel, skip)


def _resync(session: ClientSession, lane: Lane, resync: frames.ChannelResync) -> None:
    channel = (session.channels or {}).get(resync.channel)
    if channel is not None:
        take_top(session, channel, resync.epoch, resync.top)


def _auth_revoked(session: ClientSession, lane: Lane, revoked: frames.AuthRevoked) -> None:
    end(session, codes.REASON_AUTH)


def _access_revoked(session: ClientSession, lane: Lane, revoked: frames.ChannelAccessRevoked) -> None:
    channels.revoke(session, revoked.channel)


def _error(session: ClientSession, lane: Lane, error: frames.ErrorFrame) -> None:
    if not channels.refused(session, lane, error) and not outbox.refused(session, error):
        session.count("unknown_error")


def _unknown(session: ClientSession, lane: Lane, unknown: frames.Unknown) -> None:
    """A newer server may say more than is known here; what is no frame at all is its fault."""
    session.count("unknown")
    if unknown.malformed:
        session.effects.append(Fault("a message is a frame"))
        transports.connection_lost(session)
        lost(session, lane, Cause(codes.FAULT))


FRAMES: dict[type[Frame], Callable[[ClientSession, Lane, Any], None]] = {
    Envelope: _envelope,
    frames.ConnectionAck: _acked,
    frames.Subscribed: _subscribed,
    frames.Unsubscribed: _unsubscribed,
    frames.MessageAck: _message_ack,
    frames.Ping: _ping,
    frames.Pong: _pong,
    frames.Draining: _draining,
    frames.SequenceSkip: _skip,
    frames.ChannelResync: _resync,
    frames.AuthRevoked: _auth_revoked,
    frames.ChannelAccessRevoked: _access_revoked,
    frames.ErrorFrame: _error,
    frames.Unknown: _unknown,
}


# ------------------------------------------------------------------------------------------------------------------- user and machine


def _want(session: ClientSession, wish: inputs.SubscribeWanted) -> None:
    channels.want(session, wish)


def _look(session: ClientSession, seen: inputs.VisibleChanged) -> None:
    """A page that comes back to the front may have slept; one that leaves saves what it has."""
    came = session.flag(HIDDEN) and not seen.hidden
    session.flags = session.flags | HIDDEN if seen.hidden else session.flags & ~HIDDEN
    channels.look_at(session, seen)
    if seen.hidden:
        inbox.persist(session)
    if came:
        take(session, session.primary, machine.POKE)


def _publish(session: ClientSession, wish: inputs.PublishRequested) -> None:
    outbox.publish(session, wish, 0)


def _network(session: ClientSession, changed: inputs.NetworkChanged) -> None:
    """ "Up" is worth a dial; "down" is not to be trusted, and worth a probe."""
    if changed.up or session.primary.state in machine.OPEN:
        take(session, session.primary, machine.POKE)


def _resumed(session: ClientSession, happened: inputs.Resumed) -> None:
    take(session, session.primary, machine.POKE)


def _peer(session: ClientSession, said: inputs.PeerMessage) -> None:
    session.count("unshared")


def _cursor(session: ClientSession, loaded: inputs.CursorLoaded) -> None:
    channels.load_cursor(session, loaded)


def _drained(session: ClientSession, happened: inputs.ConsumerDrained) -> None:
    inbox.drained(session)


def _logout(session: ClientSession, happened: inputs.LogoutRequested) -> None:
    logout(session, clear=not happened.closing)


INPUTS: dict[type[ClientInput], Callable[[ClientSession, Any], None]] = {
    inputs.FrameReceived: _received,
    inputs.ConsumerDrained: _drained,
    inputs.ConnectRequested: _connect,
    inputs.Bootstrapped: _bootstrapped,
    inputs.TokenReady: _token_ready,
    inputs.TransportOpened: _opened,
    inputs.TransportClosed: _closed,
    inputs.ReplayReady: _replayed,
    inputs.SnapshotReady: _snapshot_taken,
    inputs.FetchFailed: _fetch_failed,
    inputs.SubscribeWanted: _want,
    inputs.VisibleChanged: _look,
    inputs.PublishRequested: _publish,
    inputs.NetworkChanged: _network,
    inputs.Resumed: _resumed,
    inputs.PeerMessage: _peer,
    inputs.CursorLoaded: _cursor,
    inputs.LogoutRequested: _logout,
}


# ----------------------------------------------------------------------------------------------------------------------------- timers


def _connect_timer(session: ClientSession, number: int) -> None:
    """A stage took too long."""
    lane = session.lane_of(number)
    if lane is None:
        return
    if lane.state == machine.DIALING:
        transports.dial_failed(session, lane.kind, bytes_seen=False)
    lost(session, lane, Cause())


def _heartbeat_timer(session: ClientSession, lane: Lane) -> None:
    """Silence. If this check is late by more than an interval, it was this side that slept: then ask first."""
    parameters = session.settings.parameters
    if parameters.heartbeat_driver == "client" and not lane.pinged:
        lane.pinged, lane.heartbeat_at = True, session.now + parameters.heartbeat_timeout
        session.effects.append(SendFrame(lane.generation, frames.Ping(session.now)))
    elif rules.hb_verdict(session.now, lane.heartbeat_at, parameters.heartbeat_interval) == rules.PROBE:
        lane.heartbeat_at = rules.hb_deadline(session.now, parameters.heartbeat_interval, parameters.heartbeat_timeout)
        if lane is session.primary:
            take(session, lane, machine.POKE)
        else:
            drop_standby(session, codes.HEARTBEAT_DEAD, failed=True)
    else:
        _dead(session, lane)


def _probe_timer(session: ClientSession, number: int) -> None:
    lane = session.lane_of(number)
    if lane is not None:
        _dead(session, lane)


def _dead(session: ClientSession, lane: Lane) -> None:
    """As good as closed; nobody waits for the close event of a socket without a peer."""
    transports.connection_lost(session)
    lost(session, lane, Cause(codes.FAIL, codes.HEARTBEAT_DEAD))


def _retry_timer(session: ClientSession, number: int) -> None:
    take(session, session.primary, machine.RETRY)


def _stable_timer(session: ClientSession, number: int) -> None:
    stable_after = session.settings.parameters.stable_after
    session.attempt = rules.attempt_after(session.attempt, stable_after, stable_after)


def _patience_timer(session: ClientSession, number: int) -> None:
    take(session, session.primary, machine.PATIENCE)


def _standby_timer(session: ClientSession, number: int) -> None:
    start_standby(session, FOR_DRAIN, transports.next_kind(session))


def _ws_retry_timer(session: ClientSession, number: int) -> None:
    if transports.retry_due(session):
        start_standby(session, FOR_WEBSOCKET, inputs.WEBSOCKET)


def _persist_timer(session: ClientSession, number: int) -> None:
    inbox.persist(session)


def _flush_timer(session: ClientSession, number: int) -> None:
    inbox.flush(session)


def _of_channel(timer: Callable[[ClientState, Channel], None]) -> Callable[[ClientSession, int], None]:
    def fire(session: ClientSession, number: int) -> None:
        channel = (session.channels or {}).get(number)
        if channel is not None:
            timer(session, channel)

    return fire


TIMERS: dict[int, Callable[[ClientSession, int], None]] = {
    timers.CONNECT: _connect_timer,
    timers.PROBE: _probe_timer,
    timers.RETRY: _retry_timer,
    timers.STABLE: _stable_timer,
    timers.PATIENCE: _patience_timer,
    timers.STANDBY: _standby_timer,
    timers.WS_RETRY: _ws_retry_timer,
    timers.PERSIST: _persist_timer,
    timers.FLUSH: _flush_timer,
    timers.GAP: _of_channel(gap_open),
    timers.SUB_RETRY: _of_channel(channels.subscribe_timer),
    timers.FETCH: _of_channel(recovery.fetch_timer),
    timers.LINGER: _of_channel(channels.linger_timer),
    timers.ACK: outbox.ack_timer,
    timers.EXPIRE: outbox.expire_timer,
}
