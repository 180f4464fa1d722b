"""Carrying out: the table applied to a lane. What is already in hand is skipped in the same step; the effects of a pair are carried out in the
order of their bits.
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
    EVER_LIVE,
    EVER_OPEN,
    FAULTED,
    HEARTBEAT_PHASE,
    OFFLINE,
    REFETCHED,
    WAKE,
    ClientState,
    Lane,
    Standby,
)
from simfabric.protocol.frames import Ping
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
CONNECTED_OR_NEW = (*machine.READY, machine.IDLE, machine.SIGNED_OUT)

LISTED = tuple(tuple((state, given) in machine.LISTED for given in range(len(machine.INPUT_NAMES))) for state in range(len(machine.STATE_NAMES)))


def take(session: ClientState, lane: Lane, given: int, cause: Cause = UNKNOWN_CAUSE) -> None:
    """One input of the table; what is already in hand is skipped in the same step. A pair that is not listed changes nothing."""
    if not LISTED[lane.state][given]:
        session.count("ignored")
        return
    old, why = lane.state, given
    if lane is session.primary and not session.settings.own_policy and old in CONNECTED_OR_NEW:
        session.down_since = session.now
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


def attempts(session: ClientState) -> int:
    """The attempts in a row, as they count if the connection ends now."""
    stable_at = session.deadline(timers.STABLE)
    if stable_at == NEVER:
        return session.attempt
    parameters = session.settings.parameters
    return rules.attempt_after(session.attempt, session.now - stable_at + parameters.stable_after, parameters.stable_after)


def lane_stopped(session: ClientState, lane: Lane) -> None:
    """Its timers, its call and what it waits for."""
    session.disarm(timers.CONNECT, lane.number)
    session.disarm(timers.PROBE, lane.number)
    lane.heartbeat_at, lane.pinged, lane.acked = NEVER, False, False
    lane.asked = None
    if isinstance(lane, Standby):
        lane.replies = {}
    if lane.ticket:
        session.effects.append(effects.CancelFetch(lane.ticket, BOOTSTRAP if lane.state == machine.BOOTSTRAP else TOKEN))
        lane.ticket = 0


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
        session.disarm_connection()
        lane.spread = -1
        session.standby_tries = 0
        stop_channels(session)


def stop_channels(session: ClientState) -> None:
    """No channel is subscribed, and no fetch is under way."""
    for channel in (session.channels or {}).values():
        if channel.state not in (OFF, DENIED):
            stop(session, channel, OFF)
            channel.tries = channel.vain = 0  # Over the next connection it may fare better.
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
    session.arm(timers.CONNECT, session.now + (parameters.first_byte_timeout if first_byte else parameters.connect_timeout), lane.number)


def _stop_connect(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.disarm(timers.CONNECT, lane.number)


def _arm_stable(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.flags &= ~REFETCHED
    session.arm(timers.STABLE, session.now + max(1, session.settings.parameters.stable_after))


def _resend_unacked(session: ClientState, lane: Lane, cause: Cause) -> None:
    outbox.resend_unacked(session)


def _fetch_behind(session: ClientState, lane: Lane, cause: Cause) -> None:
    recovery.fetch_behind(session)


def _arm_patience(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.arm(timers.PATIENCE, session.now + max(rules.LEAST_DELAY, session.settings.parameters.replay_patience))


def _stop_patience(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.disarm(timers.PATIENCE)


def _arm_retry(session: ClientState, lane: Lane, cause: Cause) -> None:
    _redial(session, transports.backoff(session, session.draw(BACKOFF)), cause)


def _redial(session: ClientState, delay: int, cause: Cause) -> None:
    """Wait so long, or as advised, whichever is longer."""
    if cause.advised >= 0 and session.settings.own_policy:  # No other client heeds advice.
        delay = rules.retry_delay(delay, cause.advised, cause.spread, session.draw(AWAY))
    session.arm(timers.RETRY, session.now + max(rules.LEAST_DELAY, delay))


def _count_attempt(session: ClientState, lane: Lane, cause: Cause) -> None:
    session.attempt += 1


def _arm_slow(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    _redial(session, rules.offline_delay(parameters.offline_retry, parameters.offline_jitter, session.draw(OFFLINE)), cause)


def _arm_advised(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    delay = rules.away_delay(cause.advised, cause.spread, parameters.away_min, parameters.away_spread, session.draw(AWAY))
    session.arm(timers.RETRY, session.now + max(rules.LEAST_DELAY, delay))


def _clear_local(session: ClientState, lane: Lane, cause: Cause) -> None:
    """What was sent and not settled fails with a reason. A user who left, or may not stay, leaves nothing behind."""
    outbox.fail_all(session, "signed_out" if lane.state == machine.SIGNED_OUT or cause.closes_local else "closed")
    inbox.persist(session)
    if not cause.closes_local:
        return
    session.disarm(timers.FLUSH)
    session.token_until, session.allowed, session.inbox = 0, None, None
    for number in session.channels or ():
        session.disarm(timers.LINGER, number)
    session.channels = None
    session.effects.append(effects.ClearLocal())


def _tell_tabs(session: ClientState, lane: Lane, cause: Cause) -> None:
    if cause.tells:
        session.effects.append(effects.Broadcast(AuthEnded()))


def _arm_soon(session: ClientState, lane: Lane, cause: Cause) -> None:
    parameters = session.settings.parameters
    at = session.deadline(timers.RETRY)
    at = rules.soon(session.now, session.last_dial, at, session.draw(WAKE), parameters.wake_jitter, parameters.dial_gap)
    session.arm(timers.RETRY, at)


def _probe(session: ClientState, lane: Lane, cause: Cause) -> None:
    """Ask for a sign of life."""
    if session.deadline(timers.PROBE, lane.number) == NEVER:
        session.effects.append(effects.SendFrame(lane.generation, Ping(session.now)))
        session.arm(timers.PROBE, session.now + session.settings.parameters.probe_timeout, lane.number)


def _arm_standby(session: ClientState, lane: Lane, cause: Cause) -> None:
    """`draining` has armed it, with what the frame said."""


HANDLERS: tuple[Callable[[ClientState, Lane, Cause], int | None], ...] = (
    _zero_attempt, _new_generation, _close, _stop_all, _drop_token, _fetch_bootstrap, _fetch_token, _dial, _send_subscribes, _arm_heartbeat,
    _arm_connect, _stop_connect, _arm_stable, _resend_unacked, _fetch_behind, _arm_patience, _stop_patience, _arm_retry, _count_attempt, _arm_slow,
    _arm_advised, _clear_local, _tell_tabs, _arm_soon, _probe, _arm_standby,
)  # fmt: skip

BITS = {mask: tuple(bit for bit in range(len(HANDLERS)) if mask >> bit & 1) for row in machine.EFFECTS for mask in row}
