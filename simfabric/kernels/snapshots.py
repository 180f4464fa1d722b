"""Snapshots: the state of a channel as of its watermark stands in place of the events up to there; what was held above it follows.

Leaves out: the least gap between two snapshots of one channel (a population has no queue that overflows again and again).
"""

from __future__ import annotations

from simfabric.chance import uniform
from simfabric.kernels.asking import ask_for_state
from simfabric.kernels.catching_up import behind_link, recovered_wholly, release, tell_session
from simfabric.kernels.noting import RESET, note
from simfabric.kernels.state import (
    ADVICE,
    BREAKS_AT,
    CURSOR,
    FETCH_CAP,
    FETCH_FACTOR,
    FETCH_FIRST,
    FETCH_JITTER,
    FETCHES,
    INCARNATION,
    KEY_FETCH_RETRY,
    LOW,
    PACE,
    RESET_COUNT,
    RESET_OBLIGATIONS,
    SESSION,
    WIDE,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot, row_of, subscription_of
from simfabric.protocol.rules import LEAST_DELAY, backoff


def reset(at: int, gateway: int, item: int, extra: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The state of a channel reaches the client: its cursor jumps to the watermark, and it is told so. A state never goes back."""
    seat = item & LOW
    arrives = behind_link(seat, at, crowd)
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    channel = extra // WIDE
    watermark = (extra & LOW) >> 1
    incarnation = nodes.state[gateway, INCARNATION]
    slot = find_slot(channel, gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r < 0 or book.rows[r, CURSOR] >= 0:
        return
    cursor = -(book.rows[r, CURSOR] + 1)
    watermark = max(watermark, cursor)
    i = subscription_of(seat, channel, crowd)
    tell_session(23, 0, i, seat, watermark, arrives, crowd, outs)
    if len(tally.trail) > 0:
        note(RESET, channel, seat, arrives, cursor, watermark, tally)
    tally.counters[RESET_COUNT] += 1
    tally.counters[RESET_OBLIGATIONS] += watermark - cursor
    book.rows[r, CURSOR] = -(watermark + 1)
    release(i, seat, watermark, 0, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
    if extra & 1:
        recovered_wholly(seat, arrives, crowd, tally)


def not_reset(at: int, gateway: int, item: int, extra: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """No state came (500, 503, or none in time): the channel waits by itself and asks again. `extra`: see NO_STATE, in kernels/frames.py."""
    seat = item & LOW
    arrives = max(behind_link(seat, at, crowd), crowd.no_state_at[seat] + 1)  # One after the other: each draws its wait in that order.
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    crowd.no_state_at[seat] = arrives
    if crowd.link[seat, PACE] & SESSION:
        tell_session(29, (extra & 2) >> 1, subscription_of(seat, extra // WIDE, crowd), seat, 0, arrives, crowd, outs)
        return
    tries = (extra & LOW) >> 2
    u = uniform(nodes.keys[KEY_FETCH_RETRY], crowd.client[seat], crowd.drawn[seat, FETCHES])
    crowd.drawn[seat, FETCHES] += 1
    wait = backoff(tries, nodes.settings[FETCH_FIRST], nodes.shares[FETCH_FACTOR], nodes.settings[FETCH_CAP], nodes.shares[FETCH_JITTER], u)
    if extra & 2:
        wait = max(wait, nodes.settings[ADVICE])
    ask_for_state(seat, gateway, extra // WIDE, arrives + max(LEAST_DELAY, wait), tries + 1, extra & 1, nodes, crowd, outs)
