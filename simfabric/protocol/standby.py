"""Standby: a second lane for a change of gateway or transport. It runs the same table as the first, takes its place when it has subscribed or when
the first dies, and leaves it alone when it fails itself. One at most: a drain outranks a try of the websocket.
"""

from __future__ import annotations

from simfabric.protocol import channels, codes, effects, machine, recovery, rules, timers
from simfabric.protocol.carrying_out import BITS, HANDLERS, UNKNOWN_CAUSE, Cause, attempts, entered, lane_stopped, stop_channels, take
from simfabric.protocol.client_state import DRAIN, FOR_DRAIN, ClientState, Lane, Standby
from simfabric.protocol.frames import Draining


def start_standby(session: ClientState, purpose: int, kind: int) -> None:
    """Open a second connection beside the first. One at most: a drain outranks a try of the websocket."""
    if session.primary.state not in machine.OPEN:
        return
    if session.standby is not None:
        if session.standby.purpose == FOR_DRAIN or purpose != FOR_DRAIN:
            return
        drop_standby(session, codes.LEFT_TO_REDIAL, failed=False)
    lane = session.standby = Standby(session.next_serial(), purpose)
    lane.kind = kind
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
        session.arm(timers.STANDBY, session.now + max(rules.LEAST_DELAY, delay))


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
        session.disarm(timer)
    session.primary, session.standby, session.standby_tries = lane, None, 0
    channels.moved(session, lane)


def discard_lane(session: ClientState, lane: Lane, code: int) -> None:
    """Nothing of this lane is wanted any more."""
    if lane.dialled:
        session.effects.append(effects.CloseTransport(lane.dialled, code))
    lane.generation = lane.dialled = 0
    lane_stopped(session, lane)


def draining(session: ClientState, lane: Lane, notice: Draining) -> None:
    """The gateway will close."""
    if lane is session.standby:
        drop_standby(session, codes.LEFT_TO_REDIAL, failed=True)
        return
    if lane.spread < 0:
        lane.spread = notice.spread
        at = rules.standby_at(session.now, notice.retry_after, notice.spread, notice.deadline, session.draw(DRAIN))
        session.arm(timers.STANDBY, at)
        take(session, lane, machine.DRAIN)
