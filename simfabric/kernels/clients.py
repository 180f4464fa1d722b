"""What clients do, as columns: they publish, notice breaks, dial with growing delays, and subscribe again when a gateway answers.

This is the simple reconnect: the attempt counter starts anew with each connection, and there is no token and no offline state.
"""

from __future__ import annotations

from typing import Any

from simfabric.chance import uniform
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.state import (
    CHANNEL,
    DELAY,
    FATE,
    LIFE,
    LOW,
    PUBLISHER,
    SERVED,
    SERVED_AT,
    STAGE_CONNECT,
    UNSENT,
    Crowd,
    Log,
    Tally,
)  # fmt: skip
from simfabric.protocol.rules import backoff

# A clients' tally uses these places of the counters, which it shares with no one.
PUBLISHED, UNSENT_COUNT, UNSENT_OBLIGATIONS, BREAKS, DIALS, OPENINGS, REFUSALS, PUBLISHED_OBLIGATIONS = range(8)


def live(
    frames: Any, count: int, reconnect: Any, factor: float, jitter: float, key: int, hop: int, crowd: Crowd, log: Log, up: Any, dial: Any, again: Any,
    sent: Any, tally: Tally
) -> None:  # fmt: skip
    """Serve the clients' frames; reconnect: [0] first delay, [1] cap [ns]. sent: frames written to `up` (gateways), `dial` (balancer) and `again` (timers)."""
    for f in range(count):
        at = frames[f, 0]
        kind = frames[f, 1] >> 56
        seat = frames[f, 3] & LOW
        extra = frames[f, 4]
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        if kind == 12:
            row = frames[f, 3] - log.base[0]
            seat = log.rows[row, PUBLISHER]
            members = crowd.members[log.rows[row, CHANNEL]]
            life = crowd.belief[seat]
            if life < 0:
                log.rows[row, FATE] = UNSENT
                tally.counters[UNSENT_COUNT] += 1
                tally.counters[UNSENT_OBLIGATIONS] += members
                continue
            tally.counters[PUBLISHED] += 1
            tally.counters[PUBLISHED_OBLIGATIONS] += members
            n = sent[0]
            sent[0] = n + 1
            up[n, 0] = at + crowd.link[seat, DELAY]
            up[n, 1] = (13 << 56) | frames[f, 3]
            up[n, 2] = life // LIFE
            up[n, 3] = frames[f, 3]
            up[n, 4] = life
        elif kind == 5:
            crowd.belief[seat] = extra
            crowd.cookie[seat] = extra // LIFE
            crowd.attempt[seat] = 0
            tally.counters[OPENINGS] += 1
            tally.stages[STAGE_CONNECT, bin_of(at - crowd.broke_at[seat])] += 1
            n = sent[0]
            sent[0] = n + 1
            up[n, 0] = at + crowd.link[seat, DELAY]
            up[n, 1] = (7 << 56) | seat
            up[n, 2] = extra // LIFE
            up[n, 3] = seat
            up[n, 4] = extra
        elif kind == 3:
            tally.counters[DIALS] += 1
            n = sent[1]
            sent[1] = n + 1
            dial[n, 0] = at + crowd.link[seat, DELAY] + hop
            dial[n, 1] = (3 << 56) | seat
            dial[n, 2] = 0
            dial[n, 3] = seat
            dial[n, 4] = crowd.dials[seat]
            crowd.dials[seat] += 1
        else:
            if kind == 2:
                if crowd.belief[seat] != extra:
                    continue
                crowd.belief[seat] = -1
                crowd.broke_at[seat] = at
                tally.counters[BREAKS] += 1
            else:
                crowd.attempt[seat] += 1
                tally.counters[REFUSALS] += 1
            u = uniform(key, crowd.client[seat], crowd.dials[seat])
            n = sent[2]
            sent[2] = n + 1
            again[n, 0] = at + backoff(crowd.attempt[seat], reconnect[0], factor, reconnect[1], jitter, u)
            again[n, 1] = (3 << 56) | seat
            again[n, 2] = 0
            again[n, 3] = seat
            again[n, 4] = 0
