"""Transports: which one is dialled, and after which wait: the ladder, and the reconnect policies of other clients.

The ladder is made at the first failure that could count for it; until then what it would know are two flags.
"""

from __future__ import annotations

from simfabric.protocol import codes, machine, profiles, rules, timers
from simfabric.protocol.client_state import EVER_OPEN, REACHABLE, WEBSOCKET_WORKED, WS_RETRY, ClientState
from simfabric.protocol.inputs import WEBSOCKET
from simfabric.protocol.ladder import Ladder


def next_kind(session: ClientState) -> int:
    """The transport of the next dial."""
    return WEBSOCKET if session.ladder is None else session.ladder.next_kind()


def call_worked(session: ClientState) -> None:
    """An HTTPS call was answered."""
    session.flags |= REACHABLE


def opened(session: ClientState, kind: int) -> None:
    """A transport works."""
    if kind == WEBSOCKET:
        session.flags |= WEBSOCKET_WORKED
    if session.ladder is not None:
        session.ladder.opened(kind, session.now)
        _follow(session, session.ladder)


def connection_lost(session: ClientState) -> None:
    """A connection that had been open is gone: whether the network works is to be seen anew."""
    session.flags &= ~REACHABLE


def dial_failed(session: ClientState, kind: int, bytes_seen: bool) -> None:
    """A dial failed: evidence for the ladder if not a byte came while the service can be reached."""
    if session.ladder is None:
        if not rules.counts_for_fallback(bytes_seen, session.flag(REACHABLE)):
            return
        parameters, key = session.settings.parameters, session.settings.keys[WS_RETRY]
        numbers = (parameters.ws_failures, parameters.sse_failures, parameters.ws_retry_min, parameters.ws_retry_max)
        session.ladder = Ladder(key, session.client, *numbers)
        session.ladder.websocket_ever = session.flag(WEBSOCKET_WORKED)
    session.ladder.reachable = session.flag(REACHABLE)
    session.ladder.failed(kind, bytes_seen, session.now)
    _follow(session, session.ladder)


def retry_due(session: ClientState) -> bool:
    """WS_RETRY: whether to try a websocket beside the connection that works."""
    ladder = session.ladder
    if ladder is None:
        return False
    answer = ladder.retry_due(session.now, session.primary.state in machine.READY)
    _follow(session, ladder)
    return answer


def _follow(session: ClientState, ladder: Ladder) -> None:
    if ladder.retry_at is None:
        session.disarm(timers.WS_RETRY)
    else:
        session.arm(timers.WS_RETRY, ladder.retry_at)


# ------------------------------------------------------------------------------------------------------------- waits


def backoff(session: ClientState, u: float) -> int:
    """The wait before the next dial."""
    parameters, attempt = session.settings.parameters, session.attempt
    if not session.settings.own_policy:
        return session.settings.profile.wait(attempt, u, session.now - session.down_since)
    rule = rules.backoff if parameters.jitter_order == "cap_first" else rules.backoff_jitter_first
    numbers = (parameters.reconnect_first, parameters.reconnect_factor, parameters.reconnect_cap, parameters.reconnect_jitter)
    return rule(attempt, *numbers, u)


def profile_input(session: ClientState, given: int, code: int, kind: int) -> int:
    """What a client of another library makes of an end: it knows no banner, no plan, and perhaps a last dial."""
    profile = session.settings.profile
    reaction = profile.reaction(code)
    if kind == codes.TERMINAL or reaction == profiles.STOP or profile.gives_up(session.attempt):
        return machine.TERMINAL
    if not profile.retries_first_dial and not session.flag(EVER_OPEN):
        return machine.TERMINAL
    return machine.STALE_TOKEN if given == machine.STALE_TOKEN else machine.FAIL
