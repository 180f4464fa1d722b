"""The life of a connection over the rows of many clients: the protocol's table and rules, applied to one seat at a time.

A session keeps its state in an object, a population in columns; both read the same table and call the same rules.

Leaves out: the end of catching up (a client stays `replaying` until its connection ends; the ready states are alike in all that follows), the
standby lane.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.chance import uniform
from simfabric.kernels.state import Crowd
from simfabric.protocol.machine import (
    ARM_ADVISED,
    ARM_RETRY,
    ARM_SLOW,
    AWAY,
    COUNT_ATTEMPT,
    DIALING,
    FAIL,
    IDLE,
    REPLAYING,
    RETRY,
    START,
    SUBS_BEHIND,
    SUBS_OK,
    SYNCING,
    TERMINAL,
)  # fmt: skip
from simfabric.protocol.profiles import wait as wait_of_profile
from simfabric.protocol.rules import LEAST_DELAY, attempt_after, away_delay, backoff, backoff_jitter_first, fail_input, offline_delay, retry_delay

# Settings of the clients: columns of int64[LIFECYCLE].
FIRST, CAP, JITTER_FIRST, LIMIT, OFFLINE_RETRY, STABLE_AFTER, TOKEN_TTL, TOKEN_MARGIN, AWAY_AFTER, AWAY_SPREAD, BUSY_AFTER, BUSY_SPREAD, BOOTS = range(13)
LIFECYCLE = 13
BACKOFFS, OFFLINES_DRAWN, AWAYS = 0, 1, 2  # Columns of `crowd.drawn`, and of the keys.
ASKS_DRAWN, ASKS = 4, 3  # The same of waits before subscribing again: column of `crowd.drawn`, place of its key.
# Bits of `crowd.flags`: it shows that it is offline, until it is connected again; it knows what bootstrap says; it has asked again for its channels;
# its token was refused, and since then it has not been ready.
BANNER, BOOTED, ASKING, REFETCHED = 1, 2, 4, 8
KIND, PROFILE_FIRST, PROFILE_CAP, EXTRA_WAIT, LATE, MOST_DIALS, RESETS, SCHEDULE_FROM, SCHEDULE_TO = range(9)  # Columns of `fleet.numbers`.
NEVER_RESETS = 2  # In RESETS, where 1 is at once, and 0 when a connection has been ready for long.
FACTOR, CENTRE, JITTER = 0, 1, 2  # Columns of `fleet.shares`.
NOT_READY = 1 << 60  # `ready_at` of a connection that has not got so far.
LONG_AGO = -(1 << 60)  # When the clients got ready that are connected as the run begins.


class Fleet(NamedTuple):
    """Which reconnect policy each client has: 0 is the protocol's own, by the topology's numbers; the others are `protocol.profiles`."""

    profile: Any  # int8[seats].
    numbers: Any  # int64[profiles, 9]
    shares: Any  # float64[profiles, 3]
    schedules: Any  # int64[..]: the schedules of all profiles, one after the other [ns].


def started(seat: int, table: Any, effects: Any, crowd: Crowd) -> None:
    """A user comes: what was known of an earlier visit is forgotten. Otherwise it is a retry."""
    if crowd.state[seat] == IDLE:
        crowd.attempt[seat] = 0
        crowd.flags[seat] = 0
        taken(seat, START, table, effects, crowd)
    else:
        taken(seat, RETRY, table, effects, crowd)


def opened(seat: int, crowd: Crowd, fleet: Fleet) -> None:
    """A connection is open. Most clients forget at once how often they failed; the protocol's own waits until it has been ready for long."""
    crowd.ready_at[seat] = NOT_READY
    if fleet.numbers[fleet.profile[seat], RESETS] == 1:
        crowd.attempt[seat] = 0


def ready(seat: int, at: int, behind: bool, table: Any, effects: Any, crowd: Crowd) -> None:
    """The client has been told where its channels stand."""
    taken(seat, SUBS_BEHIND if behind else SUBS_OK, table, effects, crowd)
    if crowd.ready_at[seat] == NOT_READY:  # Else its subscribes were refused before, which held nothing else back.
        crowd.ready_at[seat] = at
    crowd.flags[seat] &= ~(BANNER | REFETCHED)


def ended(seat: int, at: int, crowd: Crowd, settings: Any, fleet: Fleet) -> None:
    """A connection ended: its attempts are forgotten if it was ready for long enough, but for clients that never forget."""
    if fleet.numbers[fleet.profile[seat], RESETS] == NEVER_RESETS:
        return
    crowd.attempt[seat] = attempt_after(crowd.attempt[seat], at - crowd.ready_at[seat], settings[STABLE_AFTER])


def input_of(seat: int, planned: bool, crowd: Crowd, settings: Any, fleet: Fleet) -> int:
    """The end of a connection, or of an attempt, as an input of the table. Only the protocol's own clients hear a plan, or show a banner."""
    profile = fleet.profile[seat]
    if profile == 0:
        return AWAY if planned and crowd.state[seat] >= REPLAYING and crowd.state[seat] <= SYNCING else fail_input(crowd.attempt[seat], settings[LIMIT])
    most = fleet.numbers[profile, MOST_DIALS]
    return TERMINAL if 0 <= most <= crowd.attempt[seat] else FAIL


def taken(seat: int, given: int, table: Any, effects: Any, crowd: Crowd) -> int:
    """One input of the protocol's table: the seat takes its next state; returns the effects."""
    state = crowd.state[seat]
    crowd.state[seat] = table[state, given]
    return int(effects[state, given])


def advice(planned: bool, advised: bool, state: int, settings: Any) -> tuple[int, int]:
    """What came with the end: the least delay of the next dial, -1 = none, and over how much longer it is to be spread. HTTP knows no spread."""
    if planned:
        return settings[AWAY_AFTER], settings[AWAY_SPREAD]
    if advised:
        return settings[BUSY_AFTER], settings[BUSY_SPREAD] if state == DIALING else 0
    return -1, 0


def wait(
    seat: int, at: int, mask: int, after: int, spread: int, factor: float, jitter: float, settings: Any, keys: Any, crowd: Crowd, fleet: Fleet
) -> int:  # fmt: skip
    """How long until the next dial, by the effects of what ended: backoff, slow retry, or as advised; -1 = no dial follows.

    `after`, `spread`: see `advice`.
    """
    client = crowd.client[seat]
    profile = fleet.profile[seat]
    if profile > 0:
        if mask & ARM_RETRY == 0:
            return -1
        u = uniform(keys[BACKOFFS], client, crowd.drawn[seat, BACKOFFS])
        crowd.drawn[seat, BACKOFFS] += 1
        attempt = crowd.attempt[seat]
        crowd.attempt[seat] += 1
        return wait_of_profile(
            fleet.numbers[profile, KIND], fleet.numbers[profile, PROFILE_FIRST], fleet.shares[profile, FACTOR], fleet.numbers[profile, PROFILE_CAP],
            fleet.shares[profile, CENTRE], fleet.shares[profile, JITTER], fleet.numbers[profile, EXTRA_WAIT],
            fleet.schedules[fleet.numbers[profile, SCHEDULE_FROM] : fleet.numbers[profile, SCHEDULE_TO]], fleet.numbers[profile, LATE], attempt,
            at - crowd.broke_at[seat], u,
        )  # fmt: skip
    if mask & ARM_ADVISED:
        u = uniform(keys[AWAYS], client, crowd.drawn[seat, AWAYS])
        crowd.drawn[seat, AWAYS] += 1
        return away_delay(after, spread, after, spread, u)
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
    if after >= 0:
        u = uniform(keys[AWAYS], client, crowd.drawn[seat, AWAYS])
        crowd.drawn[seat, AWAYS] += 1
        delay = retry_delay(delay, after, spread, u)
    return delay


def subscribe_wait(seat: int, tries: int, advised: int, factor: float, jitter: float, settings: Any, keys: Any, crowd: Crowd) -> int:
    """How long a client waits whose subscribes were refused for the time number `tries`: a backoff of its own, at least as advised."""
    u = uniform(keys[ASKS], crowd.client[seat], crowd.drawn[seat, ASKS_DRAWN])
    crowd.drawn[seat, ASKS_DRAWN] += 1
    return max(LEAST_DELAY, advised, backoff(tries, settings[FIRST], factor, settings[CAP], jitter, u))
