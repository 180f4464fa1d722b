"""Catching up: a client that missed something holds what is live, takes the missing range from the log, and goes on from there."""

from __future__ import annotations

from simfabric.chance import GOLDEN, mixed
from simfabric.compiling import MASK, to_word
from simfabric.kernels.asking import ask_for_gap, ask_for_state, has_expired, is_beyond_replay
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.log import NOT_ASKED, STATE_ASKED, is_asked, message_at, upto_of
from simfabric.kernels.state import (
    ASK_DELAY,
    ASK_ROWS,
    BREAKS_AT,
    CURSOR,
    DELAY,
    DELAY_SUM,
    EXPIRED,
    FILLS,
    INCARNATION,
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
    WARMUP,
    WIDE,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot, subscription_of

MOST_HELD = 65535  # Length of a run that a column can tell.


def hold(seat: int, channel: int, sequence: int, crowd: Crowd) -> None:
    """Keep a live message until the log has filled what lies before it: an unbroken run, and how far beyond it the newest one is."""
    i = subscription_of(seat, channel, crowd)
    if crowd.held_first[i] == 0:
        crowd.held_first[i] = sequence
        crowd.held_run[i] = 1
        return
    length = crowd.held_run[i] & MOST_HELD
    beyond = sequence - (crowd.held_first[i] + length - 1)
    if beyond == 1 and crowd.held_run[i] == length and length < MOST_HELD:
        crowd.held_run[i] = length + 1
    elif beyond > crowd.held_run[i] >> 16:
        crowd.held_run[i] = min(beyond, 32767) << 16 | length


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
    i: int, seat: int, upto: int, arrives: int, gateway: int, incarnation: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally
) -> int:  # fmt: skip
    """Deliver the range with which the log answered, then the held run if it follows without a hole. Returns the messages delivered.

    What was held behind a hole is asked of the log again after `gap_wait`.
    """
    crowd.resume_upto[i] = NOT_ASKED
    channel = crowd.channels[i]
    slot = find_slot(channel, gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r < 0 or book.rows[r, CURSOR] >= 0:
        return 0
    base = log.base[0]
    cursor = -(book.rows[r, CURSOR] + 1)
    upto = max(upto, cursor)
    held = crowd.held_first[i] + (crowd.held_run[i] & MOST_HELD) - 1
    newest = held + (crowd.held_run[i] >> 16)
    if crowd.held_first[i] == 0:
        newest = 0
    elif crowd.held_first[i] <= upto + 1:
        upto = max(upto, held)
    crowd.held_first[i] = 0
    book.rows[r, CURSOR] = upto
    last = message_at(channel, upto, log)
    delivered = 0
    while last >= base and log.rows[last - base, SEQUENCE] > cursor:
        name = mixed((to_word(last) * GOLDEN) & MASK)
        tally.digest[0] = (tally.digest[0] + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
        if tally.trailed[0] < len(tally.trail):
            leave_trail(last, seat, arrives, tally)
        delay = arrives - log.rows[last - base, PUBLISHED_AT]
        tally.counters[DELAY_SUM] += delay
        if log.rows[last - base, PUBLISHED_AT] >= nodes.settings[WARMUP]:
            tally.stages[STAGE_CATCH_UP, bin_of(delay)] += 1
        delivered += 1
        last = log.rows[last - base, PREVIOUS]
    tally.counters[REPLAYED_COUNT] += delivered
    tally.counters[EXPIRED] += upto - cursor - delivered
    if newest > upto:
        book.rows[r, CURSOR] = -(upto + 1)
        ask_for_gap(seat, gateway, channel, upto, arrives, nodes, crowd, outs)
    return delivered


def told(at: int, gateway: int, item: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log said where the channels of a client stand: so it is told. Those that lack nothing go live; for the others it asks the log, or, when
    that is too much for a replay, the snapshot API.

    The log is read when the routes are visible, so that nothing falls between what it says and what is live.
    """
    incarnation = nodes.state[gateway, INCARNATION]
    seat = item & LOW
    arrives = at + crowd.link[seat, DELAY]
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    behind = 0
    lost = 0
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        cursor = crowd.resume_cursor[i]
        upto = upto_of(crowd.resume_upto[i])
        if upto <= cursor:
            release(i, seat, cursor, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
        elif is_beyond_replay(crowd.channels[i], cursor, upto, nodes, log):
            crowd.resume_upto[i] = STATE_ASKED
            ask_for_state(seat, gateway, crowd.channels[i], arrives, 0, 1, nodes, crowd, outs)
            lost += 1
        else:
            behind += 1
    n = outs.sent[1]
    outs.sent[1] = n + 1
    outs.down[n, 0] = arrives
    outs.down[n, 1] = (19 << 56) | seat
    outs.down[n, 2] = min(behind + lost, 1)
    outs.down[n, 3] = seat
    outs.down[n, 4] = item // WIDE
    if behind + lost == 0:
        recovered(seat, arrives, crowd, tally)
    if behind == 0:
        return
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = arrives + crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (8 << 56) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = item
    outs.ask[n, 4] = behind


def caught_up(at: int, gateway: int, item: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log answered a client that came back: its channels go live again, unless the connection breaks before the answer arrives.

    Of a channel of which a part has expired meanwhile it takes nothing, and asks for its state.
    """
    seat = item & LOW
    arrives = at + crowd.link[seat, DELAY]
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    incarnation = nodes.state[gateway, INCARNATION]
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        if not is_asked(crowd.resume_upto[i]):
            continue
        upto = upto_of(crowd.resume_upto[i])
        if has_expired(crowd.channels[i], crowd.resume_cursor[i], upto, log):
            crowd.resume_upto[i] = STATE_ASKED
            ask_for_state(seat, gateway, crowd.channels[i], arrives, 0, 1, nodes, crowd, outs)
        else:
            release(i, seat, upto, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
    recovered_wholly(seat, arrives, crowd, tally)


def filled(at: int, gateway: int, item: int, extra: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log answered for one gap. If a part of it has expired, the state of the channel must do."""
    seat = item & LOW
    arrives = at + crowd.link[seat, DELAY]
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    channel = extra // WIDE
    incarnation = nodes.state[gateway, INCARNATION]
    slot = find_slot(channel, gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r >= 0 and book.rows[r, CURSOR] < 0 and has_expired(channel, -(book.rows[r, CURSOR] + 1), extra & LOW, log):
        ask_for_state(seat, gateway, channel, arrives, 0, 0, nodes, crowd, outs)
        return
    release(subscription_of(seat, channel, crowd), seat, extra & LOW, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
    tally.counters[FILLS] += 1


def recovered_wholly(seat: int, arrives: int, crowd: Crowd, tally: Tally) -> None:
    """A client that came back has one more answer: perhaps it was the last one."""
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        if crowd.resume_upto[i] != NOT_ASKED:
            return
    recovered(seat, arrives, crowd, tally)


def recovered(seat: int, arrives: int, crowd: Crowd, tally: Tally) -> None:
    """A client that came back has everything that it missed."""
    tally.counters[RECOVERED] += 1
    tally.stages[STAGE_RECOVERY, bin_of(arrives - crowd.broke_at[seat])] += 1
