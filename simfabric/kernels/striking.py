"""Strikes: the times at which a fault breaks whatever connection a client has then. They are drawn ahead, since what is written to a connection is
settled when it is written.

RESET: the client notices at once, and the gateway one way later. HUSHED: nobody is told, and heartbeats find it. ASLEEP: nor is the client, which
notices when it wakes. REBOUND: the client notices at once and dials from another address; the gateway is not told.
"""

from __future__ import annotations

from typing import Any

from simfabric.kernels.churn import TIMEOUT, Habits, dropped_at, fall_silent, write
from simfabric.kernels.frames import NEVER
from simfabric.kernels.state import DELAY, WIDE, Crowd
from simfabric.kernels.tickets import gateway_of

RESET, REBOUND, HUSHED, ASLEEP = 5, 6, 7, 8  # Rows of a STRUCK; the first two are those of a NOTICE as well.


def next_strike(seat: int, opened: int, crowd: Crowd) -> int:
    """When a connection that the client has from `opened` on is broken by a fault; NEVER if it is not."""
    if len(crowd.strikes) > 0:
        for i in range(crowd.strikes_from[seat], crowd.strikes_from[seat + 1]):
            if crowd.strikes[i] >= opened:
                return int(crowd.strikes[i])
    return NEVER


def hush(at: int, seat: int, ticket: int, wakes_at: int, hop: int, habits: Habits, crowd: Crowd, up: Any, dial: Any, again: Any, sent: Any) -> None:
    """Nothing passes any more: the client finds out by its heartbeat, or when it wakes, and the gateway by its own."""
    fall_silent(at, crowd.opened_at[seat], wakes_at, seat, ticket, hop, habits, crowd, dial, again, sent)
    left_open(at, seat, ticket, habits, crowd, up, sent)


def rebind(at: int, seat: int, ticket: int, hop: int, habits: Habits, crowd: Crowd, up: Any, dial: Any, sent: Any) -> None:
    """The client goes on from another address, and the old connection is half-open."""
    left_open(at, seat, ticket, habits, crowd, up, sent)
    closed = max(dropped_at(crowd.opened_at[seat], at, seat, habits, crowd), at + crowd.link[seat, DELAY])
    write(dial, sent, 1, closed + hop, (24 << 56) | seat, 0, seat, ticket)


def left_open(at: int, seat: int, ticket: int, habits: Habits, crowd: Crowd, up: Any, sent: Any) -> None:
    """The gateway holds a half-open connection until a ping has no answer. What it writes until this frame reaches it comes too late in any case."""
    arrives = at + crowd.link[seat, DELAY]
    given_up_at = max(dropped_at(crowd.opened_at[seat], at, seat, habits, crowd), arrives + habits.settings[TIMEOUT] // 10)
    write(up, sent, 0, arrives, (27 << 56) | seat, gateway_of(ticket), ticket * WIDE + seat, given_up_at)
