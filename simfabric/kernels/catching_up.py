"""Catching up: a client that missed something holds what is live, takes the missing range from the log, and goes on from there."""

from __future__ import annotations

from simfabric.chance import GOLDEN, mixed
from simfabric.compiling import MASK, to_word
from simfabric.kernels.asking import ask_for_gap, ask_for_state, is_beyond_replay, open_gap
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.log import NOT_ASKED, STATE_ASKED, asked, deadline_of, is_asked, message_at, upto_of
from simfabric.kernels.noting import CAUGHT_UP, NOT_RECOVERED, RESUMED, TRUNCATED, note
from simfabric.kernels.noting import EXPIRED as NOTE_EXPIRED
from simfabric.kernels.pacing import answered_at
from simfabric.kernels.state import (
    ASK_DELAY,
    ASK_ROWS,
    BEYOND_SHIFT,
    BREAKS_AT,
    CLOSED_SHIFT,
    CONNECT_TIMEOUT,
    CURSOR,
    DELAY,
    DELAY_SUM,
    EXPIRED,
    FILLS,
    GAP_OPEN,
    HELD_BITS,
    INCARNATION,
    LAST_SHIFT,
    LINK_FREE_AT,
    LOW,
    MOST_BEYOND,
    MOST_CLOSED,
    MOST_FIRST,
    MOST_LAST,
    PACE,
    PREVIOUS,
    PUBLISHED_AT,
    RECOVERED,
    REPLAYED_COUNT,
    SEAT,
    SEQUENCE,
    SESSION,
    STAGE_CATCH_UP,
    STAGE_RECOVERY,
    WARMUP,
    WIDE,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot, row_of, subscription_of


def hold(i: int, sequence: int, crowd: Crowd) -> None:
    """Keep a live message until the log has filled what lies before it: the first and the last unbroken run are known, whatever order they came in.

    Leaves out: a third run between them, which only a session remembers; the log brings it again.
    """
    run = crowd.held_run[i]
    first, length, beyond, last = crowd.held_first[i], run & MOST_FIRST, (run >> BEYOND_SHIFT) & MOST_BEYOND, (run >> LAST_SHIFT) & MOST_LAST
    further = sequence - (first + length - 1)
    if first == 0:
        first, length, beyond, last = sequence, 1, 0, 0
    elif sequence == first - 1 and length < MOST_FIRST:
        first, length = sequence, length + 1
    elif sequence < first and beyond == 0:
        first, length, beyond, last = sequence, 1, min(first + length - 1 - sequence, MOST_BEYOND), min(length, MOST_LAST)
    elif further == 1 and length + beyond < MOST_FIRST:
        length, beyond = length + 1, max(0, beyond - 1)
        if beyond == last:
            length, beyond, last = length + beyond, 0, 0
    elif further > beyond:
        last = min(last + 1, MOST_LAST) if beyond > 0 and further == beyond + 1 else 1
        beyond = min(further, MOST_BEYOND)
    elif sequence > first and further == beyond - last and last < MOST_LAST:
        last += 1
    crowd.held_first[i] = first
    crowd.held_run[i] = (run & ~HELD_BITS) | length | beyond << BEYOND_SHIFT | last << LAST_SHIFT


def hold_rest(i: int, first: int, run: int, newest: int, reached: int, crowd: Crowd) -> None:
    """Go on holding what lies behind a hole: both runs, or the last one where the first has joined on. `first`, `run`: what was held."""
    if first > reached:
        crowd.held_first[i] = first
        crowd.held_run[i] |= run & HELD_BITS
    else:
        last = max(1, (run >> LAST_SHIFT) & MOST_LAST)
        crowd.held_first[i] = newest - last + 1
        crowd.held_run[i] |= last


def forget_held(i: int, crowd: Crowd) -> None:
    """Nothing is held, and no gap is open; asks that are under way stay so."""
    crowd.held_first[i] = 0
    crowd.held_run[i] &= MOST_CLOSED << CLOSED_SHIFT


def still_open(i: int, arrives: int, crowd: Crowd) -> bool:
    """Whether what arrives now may close a gap."""
    return bool(crowd.held_run[i] & GAP_OPEN != 0 and arrives <= deadline_of(i, crowd))


def release(
    i: int, seat: int, upto: int, top: int, arrives: int, gateway: int, incarnation: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs,
    tally: Tally
) -> int:  # fmt: skip
    """Deliver the range with which the log answered, then the held run if it follows without a hole. Returns how far the row has come.

    If that is not as far as the log's `top`, the row goes on catching up; what was held behind a hole is asked of the log after `gap_wait`.
    """
    crowd.resume_upto[i] = NOT_ASKED
    slot = find_slot(crowd.channels[i], gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r < 0 or book.rows[r, CURSOR] >= 0:
        return top
    reached, newest = join(i, r, upto, arrives, nodes, book, crowd, log, tally)
    if reached < top:
        book.rows[r, CURSOR] = -(reached + 1)
        crowd.resume_cursor[i] = reached
    elif newest > reached:
        book.rows[r, CURSOR] = -(reached + 1)
        ask_for_gap(i, seat, gateway, reached, arrives, nodes, crowd, outs)
    return reached


def join(i: int, r: int, upto: int, arrives: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, tally: Tally) -> tuple[int, int]:
    """Deliver to one row what lies between its cursor and `upto`, and the held runs that join on; what lies behind a hole stays held.

    Returns how far the row has come, and the newest sequence that had been held.
    """
    base = log.base[0]
    seat = book.rows[r, SEAT]
    cursor = -(book.rows[r, CURSOR] + 1)
    reached = max(upto, cursor)
    newest = 0
    first, run = crowd.held_first[i], crowd.held_run[i]
    if first > 0:
        end = first + (run & MOST_FIRST) - 1
        newest = end + ((run >> BEYOND_SHIFT) & MOST_BEYOND)
        if first <= reached + 1:
            reached = max(reached, end)
        if newest > end and newest - ((run >> LAST_SHIFT) & MOST_LAST) <= reached:
            reached = max(reached, newest)
    forget_held(i, crowd)
    if newest > reached:
        hold_rest(i, first, run, newest, reached, crowd)
    book.rows[r, CURSOR] = reached
    last = message_at(crowd.channels[i], reached, log)
    delivered = 0
    while last >= base and log.rows[last - base, SEQUENCE] > cursor:
        name = mixed((to_word(last) * GOLDEN) & MASK)
        tally.digest[0] = (tally.digest[0] + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
        if len(tally.trail) > 0:
            note(CAUGHT_UP, last, seat, arrives, 0, 0, tally)
        delay = arrives - log.rows[last - base, PUBLISHED_AT]
        tally.counters[DELAY_SUM] += delay
        if log.rows[last - base, PUBLISHED_AT] >= nodes.settings[WARMUP]:
            tally.stages[STAGE_CATCH_UP, bin_of(delay)] += 1
        delivered += 1
        last = log.rows[last - base, PREVIOUS]
    tally.counters[REPLAYED_COUNT] += delivered
    tally.counters[EXPIRED] += reached - cursor - delivered
    if len(tally.trail) > 0 and reached - cursor > delivered:
        note(NOTE_EXPIRED, crowd.channels[i], seat, arrives, cursor, reached - cursor - delivered, tally)
    return reached, newest


def out_of_order(
    r: int, seat: int, gateway: int, channel: int, sequence: int, arrives: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally
) -> None:  # fmt: skip
    """A live message that does not follow the cursor of its row: it is held, unless it closes a gap that is still open; a new gap opens."""
    i = subscription_of(seat, channel, crowd)
    cursor = book.rows[r, CURSOR]
    if cursor >= 0:
        book.rows[r, CURSOR] = -(cursor + 1)
        hold(i, sequence, crowd)
        ask_for_gap(i, seat, gateway, cursor, arrives, nodes, crowd, outs)
        return
    if sequence != -cursor or not still_open(i, arrives, crowd):
        hold(i, sequence, crowd)
        return
    deadline = deadline_of(i, crowd)
    reached, newest = join(i, r, sequence, arrives, nodes, book, crowd, log, tally)
    if newest > reached:
        book.rows[r, CURSOR] = -(reached + 1)
        open_gap(i, deadline, crowd)
    elif crowd.link[seat, PACE] & SESSION == 0:
        crowd.held_run[i] += 1 << CLOSED_SHIFT  # The log is asked all the same, in this account; the ask comes to nothing.


def told(at: int, gateway: int, item: int, deadline: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log said where the channels of a client stand: so it is told. Those that lack nothing go live; for the others it asks the log, or, when
    that is too much for a replay, the snapshot API.

    The log is read when the routes are visible, so that nothing falls between what it says and what is live. A client that is not told before the
    deadline, since too much was written to it before, gives up.
    """
    incarnation = nodes.state[gateway, INCARNATION]
    seat = item & LOW
    arrives = behind_link(seat, at, crowd)
    if arrives > deadline and crowd.link[seat, BREAKS_AT] != deadline:  # Else it was known when it subscribed.
        crowd.link[seat, BREAKS_AT] = min(crowd.link[seat, BREAKS_AT], deadline)
        give_up(seat, item // WIDE, deadline, outs)
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    if deadline == 9223372036854775807:
        crowd.link[seat, LINK_FREE_AT] = arrives - crowd.link[seat, DELAY]  # The client is ready already: the reply is a sign of life among others.
    behind = 0
    lost = 0
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        cursor = crowd.resume_cursor[i]
        top = upto_of(crowd.resume_upto[i])
        if top > cursor and is_beyond_replay(crowd.channels[i], cursor, top, nodes, log):
            tell_session(32, 1, i, seat, top, arrives, crowd, outs)
            note_told(NOT_RECOVERED, i, seat, arrives, cursor, top, crowd, tally)
            crowd.resume_upto[i] = STATE_ASKED
            ask_for_state(seat, gateway, crowd.channels[i], arrives, 0, 1, nodes, crowd, outs)
            lost += 1
            continue
        tell_session(32, 0, i, seat, top, arrives, crowd, outs)
        note_told(RESUMED, i, seat, arrives, cursor, top, crowd, tally)
        if top <= cursor or crowd.held_first[i] > 0:
            reached = release(i, seat, cursor, top, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
            if reached < top:
                crowd.resume_upto[i] = asked(top)
        behind += is_asked(crowd.resume_upto[i])
    tell(arrives, (19 << 56) | seat, min(behind + lost, 1), seat, item // WIDE, outs)
    if behind + lost == 0:
        recovered(seat, arrives, crowd, tally)
    if behind == 0 or crowd.link[seat, PACE] & SESSION:
        return
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = arrives + crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (8 << 56) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = item
    outs.ask[n, 4] = 0


def answered_by(at: int, item: int, nodes: Nodes, crowd: Crowd) -> int:
    """Until when a client waits for the reply to its subscribes, which reach the gateway at `at`; one that was refused before waits for ever."""
    if item > LOW:
        return 9223372036854775807
    return int(max(at - crowd.link[item, DELAY] + nodes.settings[CONNECT_TIMEOUT], at + crowd.link[item, DELAY]))


def give_up(seat: int, ticket: int, deadline: int, outs: Outs) -> None:
    """A client that waits for the reply to its subscribes will give up at the deadline, unless it has heard of an end before."""
    if deadline == 9223372036854775807:
        return
    tell(deadline, (2 << 56) | seat, 2, seat, ticket, outs)


def behind_link(seat: int, at: int, crowd: Crowd) -> int:
    """When an answer that is ready at `at` reaches its client: behind all that has been written to it before; its own bytes are not counted."""
    if len(crowd.slowed) > 1:
        return answered_at(seat, at, crowd)
    return int(max(at, crowd.link[seat, LINK_FREE_AT]) + crowd.link[seat, DELAY])


def tell(arrives: int, name: int, row: int, seat: int, extra: int, outs: Outs) -> None:
    """A frame to a client."""
    n = outs.sent[1]
    outs.sent[1] = n + 1
    outs.down[n, 0] = arrives
    outs.down[n, 1] = name
    outs.down[n, 2] = row
    outs.down[n, 3] = seat
    outs.down[n, 4] = extra


def tell_session(kind: int, row: int, i: int, seat: int, upto: int, arrives: int, crowd: Crowd, outs: Outs) -> None:
    """What was said of one channel, to a session; columns know it."""
    if crowd.link[seat, PACE] & SESSION:
        channel = crowd.channels[i]
        tell(arrives, (kind << 56) | ((channel & 16777215) << 32) | seat, row, seat, channel * WIDE + upto, outs)


def note_told(kind: int, i: int, seat: int, arrives: int, cursor: int, upto: int, crowd: Crowd, tally: Tally) -> None:
    """What was said of one channel, for the history."""
    if len(tally.trail) > 0:
        note(kind, crowd.channels[i], seat, arrives, cursor, upto, tally)


def caught_up(at: int, gateway: int, item: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log answered a client that came back: its channels go live again, unless the connection breaks before the answer arrives.

    Of a channel of which a part has expired meanwhile, or which has grown beyond a replay, it takes nothing, and asks for its state.
    """
    seat = item & LOW
    incarnation = nodes.state[gateway, INCARNATION]
    arrives = behind_link(seat, at, crowd)
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        if not is_asked(crowd.resume_upto[i]):
            continue
        upto = upto_of(crowd.resume_upto[i])
        if is_beyond_replay(crowd.channels[i], crowd.resume_cursor[i], upto, nodes, log):
            tell_session(11, 1, i, seat, upto, arrives, crowd, outs)
            note_told(TRUNCATED, i, seat, arrives, crowd.resume_cursor[i], upto, crowd, tally)
            crowd.resume_upto[i] = STATE_ASKED
            ask_for_state(seat, gateway, crowd.channels[i], arrives, 0, 1, nodes, crowd, outs)
        else:
            tell_session(11, 0, i, seat, upto, arrives, crowd, outs)
            release(i, seat, upto, 0, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
    recovered_wholly(seat, arrives, crowd, tally)


def filled(at: int, gateway: int, item: int, extra: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """The log answered for one gap. If a part of it has expired, or it is too much, the state of the channel must do."""
    seat = item & LOW
    arrives = behind_link(seat, at, crowd)
    if arrives >= crowd.link[seat, BREAKS_AT]:
        return
    channel, upto = extra // WIDE, extra & LOW
    i = subscription_of(seat, channel, crowd)
    incarnation = nodes.state[gateway, INCARNATION]
    slot = find_slot(channel, gateway, incarnation, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r >= 0 and book.rows[r, CURSOR] < 0 and is_beyond_replay(channel, -(book.rows[r, CURSOR] + 1), upto, nodes, log):
        tell_session(11, 1, i, seat, upto, arrives, crowd, outs)
        note_told(TRUNCATED, i, seat, arrives, -(book.rows[r, CURSOR] + 1), upto, crowd, tally)
        ask_for_state(seat, gateway, channel, arrives, 0, 0, nodes, crowd, outs)
        return
    tell_session(11, 0, i, seat, upto, arrives, crowd, outs)
    release(i, seat, upto, 0, arrives, gateway, incarnation, nodes, book, crowd, log, outs, tally)
    tally.counters[FILLS] += 1


def recovered_wholly(seat: int, arrives: int, crowd: Crowd, tally: Tally) -> None:
    """A client that came back has one more answer: perhaps it was the last one."""
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        if crowd.resume_upto[i] < NOT_ASKED:
            return
    recovered(seat, arrives, crowd, tally)


def recovered(seat: int, arrives: int, crowd: Crowd, tally: Tally) -> None:
    """A client that came back has everything that it missed."""
    tally.counters[RECOVERED] += 1
    tally.stages[STAGE_RECOVERY, bin_of(arrives - crowd.broke_at[seat])] += 1
