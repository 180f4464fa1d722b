"""Catching up: a client that missed something holds what is live, takes the missing range from the log, and goes on from there."""

from __future__ import annotations

from simfabric.chance import GOLDEN, mixed
from simfabric.compiling import MASK, to_word
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.state import (
    BREAKS_AT,
    CURSOR,
    DELAY,
    DELAY_SUM,
    EXPIRED,
    FILLS,
    LOW,
    PREVIOUS,
    PUBLISHED_AT,
    RECOVERED,
    REPLAYED_COUNT,
    SEAT,
    SEQUENCE,
    SIZE,
    STAGE_CATCH_UP,
    STAGE_RECOVERY,
    START,
    WIDE,
    Book,
    Crowd,
    Log,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot, subscription_of


def hold(seat: int, channel: int, message: int, sequence: int, crowd: Crowd) -> None:
    """Keep a live message until the log has filled what lies before it. Only an unbroken run is held; a hole in it will show as a gap."""
    i = subscription_of(seat, channel, crowd)
    if crowd.held_first[i] == 0:
        crowd.held_first[i] = sequence
        crowd.held_last[i] = message * WIDE + sequence
    elif sequence == (crowd.held_last[i] & LOW) + 1:
        crowd.held_last[i] = message * WIDE + sequence


def row_of(seat: int, slot: int, book: Book) -> int:
    """The row of a seat in a slot, searched from the newest: who catches up came lately."""
    first = book.slots[slot, START]
    r = first + book.slots[slot, SIZE] - 1
    while r >= first and book.rows[r, SEAT] != seat:
        r -= 1
    return r if r >= first else -1


def leave_trail(message: int, seat: int, arrives: int, tally: Tally) -> None:
    """Note one delivery."""
    n = tally.trailed[0]
    tally.trail[n, 0] = message
    tally.trail[n, 1] = seat
    tally.trail[n, 2] = arrives
    tally.trailed[0] = n + 1


def release(
    i: int, seat: int, channel: int, arrives: int, gateway: int, incarnation: int, warmup: int, book: Book, crowd: Crowd, log: Log, tally: Tally
) -> int:
    """Deliver the range with which the log answered, then the held run if it follows without a hole. Returns the messages delivered."""
    slot = find_slot(channel, gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r < 0 or book.rows[r, CURSOR] >= 0:
        return 0
    base = log.base[0]
    cursor = -(book.rows[r, CURSOR] + 1)
    last = crowd.resume_message[i] // WIDE
    upto = crowd.resume_message[i] & LOW
    if crowd.held_first[i] > 0 and crowd.held_first[i] <= max(upto, cursor) + 1 and (crowd.held_last[i] & LOW) > upto:
        last = crowd.held_last[i] // WIDE
        upto = crowd.held_last[i] & LOW
    crowd.held_first[i] = 0
    book.rows[r, CURSOR] = max(upto, cursor)
    delivered = 0
    while last >= base and log.rows[last - base, SEQUENCE] > cursor:
        name = mixed((to_word(last) * GOLDEN) & MASK)
        tally.digest[0] = (tally.digest[0] + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
        if tally.trailed[0] < len(tally.trail):
            leave_trail(last, seat, arrives, tally)
        delay = arrives - log.rows[last - base, PUBLISHED_AT]
        tally.counters[DELAY_SUM] += delay
        if log.rows[last - base, PUBLISHED_AT] >= warmup:
            tally.stages[STAGE_CATCH_UP, bin_of(delay)] += 1
        delivered += 1
        last = log.rows[last - base, PREVIOUS]
    tally.counters[REPLAYED_COUNT] += delivered
    tally.counters[EXPIRED] += max(upto, cursor) - cursor - delivered
    return delivered


def caught_up(at: int, gateway: int, incarnation: int, seat: int, warmup: int, book: Book, crowd: Crowd, log: Log, tally: Tally) -> None:
    """The log answered a client that came back: all its channels go live again, unless the connection breaks before the answer arrives."""
    arrives = at + crowd.link[seat, DELAY]
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        release(i, seat, crowd.channels[i], arrives, gateway, incarnation, warmup, book, crowd, log, tally)
    tally.counters[RECOVERED] += 1
    tally.stages[STAGE_RECOVERY, bin_of(arrives - crowd.broke_at[seat])] += 1


def filled(at: int, gateway: int, incarnation: int, seat: int, channel: int, warmup: int, book: Book, crowd: Crowd, log: Log, tally: Tally) -> None:
    """The log answered for one gap."""
    arrives = at + crowd.link[seat, DELAY]
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    i = subscription_of(seat, channel, crowd)
    release(i, seat, channel, arrives, gateway, incarnation, warmup, book, crowd, log, tally)
    tally.counters[FILLS] += 1
