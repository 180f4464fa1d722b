"""Connection: the guards before the table. They make an input of it from what came of a call, a transport or a timer, and from what the channels
have come to.
"""

from __future__ import annotations

from simfabric.protocol import channels, codes, frames, inputs, machine, outbox, recovery, rules, transports
from simfabric.protocol.carrying_out import Cause, attempts, take
from simfabric.protocol.channel import DENIED, EVENTS, OFF, STATE
from simfabric.protocol.client_state import FAULTED, NO_CHANNELS, REFETCHED, ClientState, Lane
from simfabric.protocol.effects import CloseTransport, Fault, SendFrame
from simfabric.protocol.standby import drop_standby, promote, take_over


def settle(session: ClientState) -> None:
    """At the end of every call: what the channels have come to is one more input."""
    standby = session.standby
    if standby is not None and standby.state == machine.SUBSCRIBING and standby.acked and not standby.asked:
        promote(session)
    lane = session.primary
    state = lane.state
    if state == machine.LIVE:
        if session.behind:
            take(session, lane, machine.BEHIND)
    elif state == machine.SUBSCRIBING:
        if lane.acked and not lane.asked:
            take(session, lane, machine.SUBS_BEHIND if session.behind else machine.SUBS_OK)
    elif state in (machine.REPLAYING, machine.SYNCING):
        if session.fetches:
            take(session, lane, machine.BEHIND)
        elif not session.behind:
            take(session, lane, machine.CAUGHT_UP)


# ------------------------------------------------------------------------------------------------------------- calls and transports


def bootstrapped(session: ClientState, answer: inputs.Bootstrapped) -> None:
    """The bootstrap call answered the lane that waits for it; an answer with another ticket is stale."""
    transports.call_worked(session)
    lane = session.lane_by_ticket(answer.ticket, machine.BOOTSTRAP)
    if lane is None:
        session.count("stale")
        return
    lane.ticket = 0
    session.allowed = frozenset(answer.allowed) if answer.allowed else NO_CHANNELS
    for channel in (session.channels or {}).values():
        if channel.state == DENIED and channel.number in session.allowed:
            channel.state = OFF
    take(session, lane, machine.BOOT_OK)


def token_ready(session: ClientState, answer: inputs.TokenReady) -> None:
    """The token call answered the lane that waits for it; an answer with another ticket is stale."""
    transports.call_worked(session)
    lane = session.lane_by_ticket(answer.ticket, machine.TOKEN)
    if lane is None:
        session.count("stale")
        return
    lane.ticket = 0
    session.token_until += answer.ttl
    take(session, lane, machine.TOKEN_OK)


def fetch_failed(session: ClientState, failure: inputs.FetchFailed) -> None:
    """A call failed: a channel's fetch is retried, a stage of a lane fails, by the class of the status."""
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


def replayed(session: ClientState, page: inputs.ReplayReady) -> None:
    """A page of a replay came for a channel that still waits for it."""
    transports.call_worked(session)
    channel = recovery.ticket_of(session, page.channel, page.ticket, EVENTS)
    if channel is not None:
        recovery.replayed(session, channel, page)


def snapshot_taken(session: ClientState, snapshot: inputs.SnapshotReady) -> None:
    """A snapshot came for a channel that still waits for it."""
    transports.call_worked(session)
    channel = recovery.ticket_of(session, snapshot.channel, snapshot.ticket, STATE)
    if channel is not None:
        recovery.snapshot_taken(session, channel, snapshot)


def opened(session: ClientState, happened: inputs.TransportOpened) -> None:
    """A transport is open: adopted by the lane that dialled it, closed when nobody waits for it any more (cases 43 and 44)."""
    lane = session.lane_by_dial(happened.generation)
    if lane is None:
        session.count("stale")
        session.effects.append(CloseTransport(happened.generation, codes.LEFT_TO_REDIAL))
        return
    if lane.state == machine.DIALING:
        transports.opened(session, lane.kind)
    take(session, lane, machine.OPENED)


def closed(session: ClientState, happened: inputs.TransportClosed) -> None:
    """A transport closed, or could not be opened; that of an older generation changes nothing (case 43)."""
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


# ------------------------------------------------------------------------------------------------------------- timers


def connect_timer(session: ClientState, number: int) -> None:
    """A stage took too long."""
    lane = session.lane_of(number)
    if lane is None:
        return
    if lane.state == machine.DIALING:
        transports.dial_failed(session, lane.kind, bytes_seen=False)
    lost(session, lane, Cause())


def heartbeat_timer(session: ClientState, lane: Lane) -> None:
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


def probe_timer(session: ClientState, number: int) -> None:
    """A probe had no answer in time: the connection is dead."""
    lane = session.lane_of(number)
    if lane is not None:
        _dead(session, lane)


def _dead(session: ClientState, lane: Lane) -> None:
    """As good as closed; nobody waits for the close event of a socket without a peer."""
    transports.connection_lost(session)
    lost(session, lane, Cause(codes.FAIL, codes.HEARTBEAT_DEAD))


# ------------------------------------------------------------------------------------------------------------- ends


def lost(session: ClientState, lane: Lane, cause: Cause) -> None:
    """A stage failed or a transport ended."""
    parameters = session.settings.parameters
    if lane is session.primary:
        session.attempt = attempts(session)
    ready = lane.state in machine.READY
    refetched, faulted = session.flag(REFETCHED), session.flag(FAULTED)
    given = rules.close_input(cause.kind, ready, refetched, faulted, session.attempt, parameters.attempt_limit)
    if not session.settings.own_policy:
        given = transports.profile_input(session, given, cause.code, cause.kind)
    if cause.kind == codes.FAULT:
        session.flags |= FAULTED
    if given == machine.TERMINAL:
        reason = codes.REASON_FAULT if cause.kind == codes.FAULT else codes.reason_of(cause.code) if cause.kind == codes.TERMINAL else codes.REASON_FAULT
        end(session, reason)
    elif given == machine.STALE_TOKEN:
        session.flags |= REFETCHED
        if lane is session.primary and session.standby is not None:
            take_over(session, given, cause)
        else:
            take(session, lane, given, cause)
    elif lane is session.standby:
        drop_standby(session, cause.code, failed=True)
    elif session.standby is not None:
        take_over(session, given, cause)
    else:
        if cause.kind == codes.OVERLOAD:
            lane.gateway = -1  # The neighbour is not to carry the load.
        take(session, lane, given, cause)


def end(session: ClientState, reason: int, tells: bool = True) -> None:
    """The end, with a reason."""
    drop_standby(session, codes.NORMAL, failed=False)
    if session.primary.state != machine.SIGNED_OUT:
        session.reason = reason
    auth = reason == codes.REASON_AUTH
    take(session, session.primary, machine.TERMINAL, Cause(codes.TERMINAL, codes.NORMAL, closes_local=auth, tells=tells and auth))


def logout(session: ClientState, clear: bool) -> None:
    """The user logs out, the page closes, or another tab leads."""
    drop_standby(session, codes.NORMAL, failed=False)
    take(session, session.primary, machine.LOGOUT, Cause(codes.NORMAL, codes.NORMAL, closes_local=clear))
