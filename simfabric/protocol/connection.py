"""Connection: the table applied to a lane. Guards turn what happened into an input of the table; its effects are carried out here.

A session has one lane, and a standby for a change of transport or gateway: the standby runs the same table, takes the place of the first
when it has subscribed or when that one dies, and leaves it alone when it fails itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simfabric.protocol import channels, codes, effects, inbox, machine, outbox, recovery, rules, timers, transports
from simfabric.protocol.channel import DENIED, OFF
from simfabric.protocol.client_state import (
    AWAY,
    BACKOFF,
    BANNER,
    DRAIN,
    EVER_LIVE,
    EVER_OPEN,
    FAULTED,
    FOR_DRAIN,
    HEARTBEAT_PHASE,
    NO_PURPOSE,
    OFFLINE,
    REFETCHED,
    WAKE,
    ClientState,
    Lane,
)  # fmt: skip
from simfabric.protocol.frames import Draining, Ping
from simfabric.protocol.inputs import BOOTSTRAP, SSE, TOKEN
from simfabric.protocol.stream import stop
from simfabric.protocol.tabs import AuthEnded
from simfabric.protocol.timers import NEVER


@dataclass(slots=True)
class Cause:
    """Why a connection or an attempt ended, and what was advised."""

    kind: int = codes.FAIL  # See `codes`.
    code: int = codes.LEFT_TO_REDIAL  # With which this side closes, if it has to.
    advised: int = -1
    spread: int = 0
    closes_local: bool = False  # The user logs out, or may no longer be signed in: CLEAR_LOCAL.
    tells: bool = True  # Whether the other tabs are to be told.


UNKNOWN_CAUSE = Cause()

LISTED = tuple(tuple((state, given) in machine.LISTED for given in range(len(machine.INPUT_NAMES))) for state in range(len(machine.STATE_NAMES)))


def take(session: ClientState, lane: Lane, given: int, cause: Cause = UNKNOWN_CAUSE) -> None:
    """One input of the table; what is already in hand is skipped in the same step. A pair that is not listed changes nothing."""
    if not LISTED[lane.state][given]:
        session.count("ignored")
        return
    old, why = lane.state, given
    follow = given
    while follow >= 0:
        state = lane.state
        lane.state = machine.TABLE[state][follow]
        mask = machine.EFFECTS[state][follow]
        follow = -1
        for bit in BITS[mask]:
            skip = HANDLERS[bit](session, lane, cause)
            follow = follow if skip is None else skip
    if lane is session.primary and lane.state != old:
        entered(session, old, why)


def entered(session: ClientState, old: int, why: int) -> None:
    """The session is in another state than before: the user interface follows."""
    state = session.primary.state
    if state == machine.LIVE:
        session.flags = (session.flags | EVER_LIVE) & ~BANNER
    elif state == machine.OFFLINE:
        session.flags |= BANNER
    elif state in (machine.IDLE, machine.SIGNED_OUT):
        session.flags &= ~BANNER
    session.effects.append(effects.StateChanged(old, state, why, shown(session)))


def shown(session: ClientState) -> int:
    """What the user interface shows."""
    return rules.ui_state(session.primary.state, session.flag(EVER_LIVE), session.flag(BANNER))


def settle(session: ClientState) -> None:
    """At the end of every call: what the channels have come to is one more input."""
    lane = session.standby
    if lane is not None and lane.state == machine.SUBSCRIBING and lane.acked and not lane.asked:
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


def attempts(session: ClientState) -> int:
    """The attempts in a row, as they count if the connection ends now."""
    stable_at = session.timers.deadline(timers.STABLE)
    if stable_at == NEVER:
        return session.attempt
    parameters = session.settings.parameters
    return rules.attempt_after(session.attempt, session.now - stable_at + parameters.stable_after, parameters.stable_after)


def end(session: ClientState, reason: int, tells: bool = True) -> None:
    """The end, with a reason."""
    drop_standby(session, codes.NORMAL, failed=False)
    if LISTED[session.primary.state][machine.TERMINAL]:
        session.reason = reason
    auth = reason == codes.REASON_AUTH
    take(session, session.primary, machine.TERMINAL, Cause(codes.TERMINAL, codes.NORMAL, closes_local=auth, tells=tells and auth))


def logout(session: ClientState, clear: bool) -> None:
    """The user logs out, the page closes, or another tab leads."""
    drop_standby(session, codes.NORMAL, failed=False)
    take(session, session.primary, machine.LOGOUT, Cause(codes.NORMAL, codes.NORMAL, closes_local=clear))


# ------------------------------------------------------------------------------------------------------------- the standby lane


def start_standby(session: ClientState, purpose: int, kind: int) -> None:
    """Open a second connection beside the first. One at most: a drain outranks a try of the websocket."""
    if session.primary.state not in machine.OPEN:
        return
    if session.standby is not None:
        if session.standby.purpose == FOR_DRAIN or purpose != FOR_DRAIN:
            return
        drop_standby(session, codes.LEFT_TO_REDIAL, failed=False)
    lane = session.standby = Lane(session.next_serial())
    lane.purpose, lane.kind = purpose, kind
    lane.gateway = session.primary.gateway
    take(session, lane, machine.START)


def drop_standby(session: ClientState, code: int, failed: bool) -> None:
    """The standby goes; the first connection does not notice. A drain still wants another gateway."""
    lane = session.standby
    if lane is None:
        return
    session.standby = None
    discard_lane(session, lane, code)
    if failed and lane.purpose == FOR_DRAIN and session.primary.state in machine.OPEN:
        delay = recovery.own_backoff(session.settings.parameters, session.standby_tries, session.draw(DRAIN))
        session.standby_tries += 1
        session.timers.arm(timers.STANDBY, session.now + max(rules.LEAST_DELAY, delay))


def promote(session: ClientState) -> None:
    """The standby has subscribed: it is the connection from now on, and the old one ends in good order."""
    old = session.primary
    _move(session)
    discard_lane(session, old, codes.NORMAL)
    given = machine.SUBS_BEHIND if session.behind else machine.SUBS_OK
    lane = session.primary
    was, lane.state = old.state, machine.TABLE[lane.state][given]
    for bit in BITS[machine.EFFECTS[machine.SUBSCRIBING][given]]:
        HANDLERS[bit](session, lane, UNKNOWN_CAUSE)
    if lane.state != was:
        entered(session, was, given)


def take_over(session: ClientState, why: int, cause: Cause) -> None:
    """The connection died while the standby was on its way: it goes on in its place, as it stands."""
    old = session.primary
    _move(session)
    discard_lane(session, old, cause.code)
    if session.primary.state not in machine.OPEN:
        stop_channels(session)
    if session.primary.state != old.state:
        entered(session, old.state, why)


def _move(session: ClientState) -> None:
    lane = session.standby
    assert lane is not None
    session.attempt = attempts(session)
    for timer in (timers.STABLE, timers.PATIENCE, timers.STANDBY):
        session.timers.stop(timer)
    session.primary, session.standby, session.standby_tries = lane, None, 0
    lane.purpose = NO_PURPOSE
    channels.moved(session, lane)


def discard_lane(session: ClientState, lane: Lane, code: int) -> None:
    """Nothing of this lane is wanted any more."""
    if lane.dialled:
        session.effects.append(effects.CloseTransport(lane.dialled, code))
    lane.generation = lane.dialled = 0
    lane_stopped(session, lane)


def lane_stopped(session: ClientState, lane: Lane) -> None:
    """Its timers, its call and what it waits for."""
    session.timers.stop(timers.CONNECT, lane.number)
    session.timers.stop(timers.PROBE, lane.number)
    lane.heartbeat_at, lane.pinged, lane.acked = NEVER, False, False
    lane.asked = lane.replies = None
    if lane.ticket:
        session.effects.append(effects.CancelFetch(lane.ticket, BOOTSTRAP if lane.state == machine.BOOTSTRAP else TOKEN))
        lane.ticket = 0


def draining(session: ClientState, lane: Lane, notice: Draining) -> None:
    """The gateway will close."""
    if lane is session.standby:
        drop_standby(session, codes.LEFT_TO_REDIAL, failed=True)
        return
    if lane.spread < 0:
        lane.spread = notice.spread
        at = rules.standby_at(session.now, notice.retry_after, notice.spread, notice.deadline, session.draw(DRAIN))
        session.timers.arm(timers.STANDBY, at)
        take(session, lane, machine.DRAIN)


# ------------------------------------------------------------------------------------------------------------- effects of the table


def _zero_attempt(session: ClientState, lane: Lane, cause: Cause) -> None:
    if lane is session.primary:
        session.attempt, session.reason, session.allowed = 0, -1, None
        session.flags &= ~(FAULTED | REFETCHED)


def _new_generation(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.generations += 1
    lane.generation = session.generations


def _close(session: ClientState, lane: Lane, cause: Cause) -> None:
    if lane.dialled:
        session.effects.append(effects.CloseTransport(lane.dialled, cause.code))
        lane.dialled = 0


def _stop_all(session: ClientState, lane: Lane, cause: Cause) -> None:
    lane_stopped(session, lane)
    if lane is session.primary:
        session.timers.stop_connection()
        lane.spread = -1
        session.standby_tries = 0
        stop_channels(session)


def stop_channels(session: ClientState) -> None:
    """No channel is subscribed, and no fetch is under way."""
    for channel in (session.channels or {}).values():
        if channel.state not in (OFF, DENIED):
            stop(session, channel, OFF)
    session.fetches = None


def _drop_token(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.token_until = 0


def _fetch_bootstrap(session: ClientState, lane: Lane, cause: Cause) -> int:
    if session.allowed is not None:
        return machine.BOOT_OK
    lane.ticket = session.next_serial()
    session.effects.append(effects.FetchBootstrap(lane.ticket))
    return -1


def _fetch_token(session: ClientState, lane: Lane, cause: Cause) -> int:
    if rules.token_fresh(session.now, session.token_until, 0, session.settings.parameters.token_margin):
        return machine.TOKEN_OK
    lane.ticket = session.next_serial()
    session.token_until = session.now  # The answer adds how long it is good from now on.
    session.effects.append(effects.FetchToken(lane.ticket))
    return -1


def _dial(session: ClientState, lane: Lane, cause: Cause) -> None:
    if lane is session.primary:
        lane.kind = transports.next_kind(session)
    lane.dialled = lane.generation
    session.last_dial = session.now
    session.effects.append(effects.OpenTransport(lane.generation, lane.kind, lane.gateway))
    lane.gateway = -1


def _send_subscribes(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.flags |= EVER_OPEN
    if not session.settings.own_policy and session.settings.profile.reset_on_open:
        session.attempt = 0
    channels.ask_all(session, lane)


def _arm_heartbeat(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    if parameters.heartbeat_driver == "client":
        lane.heartbeat_at = rules.ping_at(session.now, parameters.heartbeat_interval, session.draw(HEARTBEAT_PHASE), True)
    else:
        lane.heartbeat_at = rules.hb_deadline(session.now, parameters.heartbeat_interval, parameters.heartbeat_timeout)


def _arm_connect(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    first_byte = lane.state == machine.DIALING and lane.kind == SSE
    session.timers.arm(timers.CONNECT, session.now + (parameters.first_byte_timeout if first_byte else parameters.connect_timeout), lane.number)


def _stop_connect(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.timers.stop(timers.CONNECT, lane.number)


def _arm_stable(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.flags &= ~REFETCHED
    session.timers.arm(timers.STABLE, session.now + max(1, session.settings.parameters.stable_after))


def _resend_unacked(session: ClientState, lane: Lane, cause: Cause) -> None:
    outbox.resend_unacked(session)


def _fetch_behind(session: ClientState, lane: Lane, cause: Cause) -> None:
    recovery.fetch_behind(session)


def _arm_patience(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.timers.arm(timers.PATIENCE, session.now + max(rules.LEAST_DELAY, session.settings.parameters.replay_patience))


def _stop_patience(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.timers.stop(timers.PATIENCE)


def _arm_retry(session: ClientState, lane: Lane, cause: Cause) -> None:
    _redial(session, transports.backoff(session, session.draw(BACKOFF)), cause)


def _redial(session: ClientState, delay: int, cause: Cause) -> None:
    """Wait so long, or as advised, whichever is longer."""
    if cause.advised >= 0:
        delay = rules.retry_delay(delay, cause.advised, cause.spread, session.draw(AWAY))
    session.timers.arm(timers.RETRY, session.now + max(rules.LEAST_DELAY, delay))


def _count_attempt(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.attempt += 1


def _arm_slow(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    _redial(session, rules.offline_delay(parameters.offline_retry, parameters.offline_jitter, session.draw(OFFLINE)), cause)


def _arm_advised(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    delay = rules.away_delay(cause.advised, cause.spread, parameters.away_min, parameters.away_spread, session.draw(AWAY))
    session.timers.arm(timers.RETRY, session.now + max(rules.LEAST_DELAY, delay))


def _clear_local(session: ClientState, lane: Lane, cause: Cause) -> None:
    """What was sent and not settled fails with a reason. A user who left, or may not stay, leaves nothing behind."""
    if session.sharing is None or lane.state == machine.SIGNED_OUT or cause.closes_local:
        outbox.fail_all(session, "signed_out" if lane.state == machine.SIGNED_OUT or cause.closes_local else "closed")
    inbox.persist(session)
    if not cause.closes_local:
        return
    session.timers.stop(timers.FLUSH)
    session.token_until, session.allowed, session.inbox = 0, None, None
    for number in session.channels or ():
        session.timers.stop(timers.LINGER, number)
    session.channels = None
    session.effects.append(effects.ClearLocal())


def _tell_tabs(session: ClientState, lane: Lane, cause: Cause) -> None:
    if cause.tells:
        session.effects.append(effects.Broadcast(AuthEnded()))


def _arm_soon(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    at = session.timers.deadline(timers.RETRY)
    at = rules.soon(session.now, session.last_dial, at, session.draw(WAKE), parameters.wake_jitter, parameters.dial_gap)
    session.timers.arm(timers.RETRY, at)


def _probe(session: ClientState, lane: Lane, cause: Cause) -> None:
    """Ask for a sign of life."""
    if session.timers.deadline(timers.PROBE, lane.number) == NEVER:
        session.effects.append(effects.SendFrame(lane.generation, Ping(session.now)))
        session.timers.arm(timers.PROBE, session.now + session.settings.parameters.probe_timeout, lane.number)


def _arm_standby(session: ClientState, lane: Lane, cause: Cause) -> None:
    """`draining` has armed it, with what the frame said."""


HANDLERS: tuple[Callable[[ClientState, Lane, Cause], int | None], ...] = (
    _zero_attempt, _new_generation, _close, _stop_all, _drop_token, _fetch_bootstrap, _fetch_token, _dial, _send_subscribes, _arm_heartbeat,
    _arm_connect, _stop_connect, _arm_stable, _resend_unacked, _fetch_behind, _arm_patience, _stop_patience, _arm_retry, _count_attempt, _arm_slow,
    _arm_advised, _clear_local, _tell_tabs, _arm_soon, _probe, _arm_standby,
)  # fmt: skip

BITS = {mask: tuple(bit for bit in range(len(HANDLERS)) if mask >> bit & 1) for row in machine.EFFECTS for mask in row}
