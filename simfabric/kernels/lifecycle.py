"""The life of a connection over the rows of many clients: the protocol's table and rules, applied to one seat at a time.

A session keeps its state in an object, a population in columns; both read the same table and call the same rules.

Leaves out: the reply to a subscribe as a frame of its own (a client counts as ready from its opening on), the time-out of a connect
stage, the standby lane, signing out.
"""

from __future__ import annotations

from typing import Any

from simfabric.chance import uniform
from simfabric.kernels.state import Crowd
from simfabric.protocol.machine import (
    ARM_ADVISED,
    ARM_RETRY,
    ARM_SLOW,
    COUNT_ATTEMPT,
)
from simfabric.protocol.rules import attempt_after, away_delay, backoff, backoff_jitter_first, offline_delay, retry_delay

# Settings of the clients: columns of int64[LIFECYCLE].
FIRST, CAP, JITTER_FIRST, LIMIT, OFFLINE_RETRY, STABLE_AFTER, TOKEN_TTL, TOKEN_MARGIN, AWAY_AFTER, AWAY_SPREAD, BUSY_AFTER, BUSY_SPREAD = range(12)
LIFECYCLE = 12
BACKOFFS, OFFLINES_DRAWN, AWAYS = 0, 1, 2  # Columns of `crowd.drawn`, and of the keys.
LONG_AGO = -(1 << 60)  # When the clients got ready that are connected as the run begins.


def ended(seat: int, at: int, crowd: Crowd, settings: Any) -> None:
    """A ready connection ended: its attempts are forgotten if it was ready for long enough."""
    crowd.attempt[seat] = attempt_after(crowd.attempt[seat], at - crowd.ready_at[seat], settings[STABLE_AFTER])


def taken(seat: int, given: int, table: Any, effects: Any, crowd: Crowd) -> int:
    """One input of the protocol's table: the seat takes its next state; returns the effects."""
    state = crowd.state[seat]
    crowd.state[seat] = table[state, given]
    return int(effects[state, given])


def wait(seat: int, mask: int, overloaded: bool, factor: float, jitter: float, settings: Any, keys: Any, crowd: Crowd) -> int:
    """How long until the next dial, by the effects of what ended: backoff, slow retry, or as advised. `overloaded`: the refusal came with advice."""
    client = crowd.client[seat]
    if mask & ARM_ADVISED:
        u = uniform(keys[AWAYS], client, crowd.drawn[seat, AWAYS])
        crowd.drawn[seat, AWAYS] += 1
        return away_delay(settings[AWAY_AFTER], settings[AWAY_SPREAD], settings[AWAY_AFTER], settings[AWAY_SPREAD], u)
    delay = 0
    if mask & ARM_RETRY:
        u = uniform(keys[BACKOFFS], client, crowd.drawn[seat, BACKOFFS])
        crowd.drawn[seat, BACKOFFS] += 1
        if settings[JITTER_FIRST] == 1:
            delay = backoff_jitter_first(crowd.attempt[seat], settings[FIRST], factor, settings[CAP], jitter, u)
        else:
            delay = backoff(crowd.attempt[seat], settings[FIRST], factor, settings[CAP], jitter, u)
    elif mask & ARM_SLOW:
        u = uniform(keys[OFFLINES_DRAWN], client, crowd.drawn[seat, OFFLINES_DRAWN])
        crowd.drawn[seat, OFFLINES_DRAWN] += 1
        delay = offline_delay(settings[OFFLINE_RETRY], jitter, u)
    if mask & COUNT_ATTEMPT:
        crowd.attempt[seat] += 1
    if overloaded and settings[BUSY_AFTER] >= 0:
        u = uniform(keys[AWAYS], client, crowd.drawn[seat, AWAYS])
        crowd.drawn[seat, AWAYS] += 1
        delay = retry_delay(delay, settings[BUSY_AFTER], settings[BUSY_SPREAD], u)
    return delay
