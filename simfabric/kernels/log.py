"""The log: each channel is a chain of messages, newest first, with a sequence that grows by one (protocol rule D2)."""

from __future__ import annotations

from typing import Any

from simfabric.chance import draw, word
from simfabric.kernels.slow import heard_of_end
from simfabric.kernels.state import (
    APPENDED_AT,
    CHANNEL,
    CLOSED_SHIFT,
    CURSOR,
    DELAY,
    FATE,
    GAP_OPEN,
    LIFE,
    LOGGED,
    LOW,
    MOST_CLOSED,
    PREVIOUS,
    SEQUENCE,
    WIDE,
    Book,
    Crowd,
    Log,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot, row_of, subscription_of
from simfabric.kernels.tickets import gateway_of, life_of

NOT_ASKED = -1  # In `crowd.resume_upto`: of this channel nothing is asked.
STATE_ASKED = -2147483648  # Its state is asked for, and the client's recovery waits for it.


def asked(upto: int) -> int:
    """A channel that is among those of a RESUME, and up to where the log answers. See `crowd.resume_upto`."""
    return -2 - upto


def is_asked(mark: int) -> bool:
    """Whether the channel is among those of a RESUME."""
    return STATE_ASKED < mark < NOT_ASKED


def upto_of(mark: int) -> int:
    """Up to where the log answers, for a channel among those of a RESUME."""
    return -2 - mark


def append(message: int, at: int, log: Log) -> None:
    """The log takes a message in: it gets the next sequence of its channel."""
    i = message - log.base[0]
    c = log.rows[i, CHANNEL]
    head = log.head_message[c]
    if head >= log.base[0]:  # Where a channel is spread over partitions, its log is one all the same.
        at = max(at, log.rows[head - log.base[0], APPENDED_AT])
    log.head_sequence[c] += 1
    log.rows[i, SEQUENCE] = log.head_sequence[c]
    log.rows[i, PREVIOUS] = log.head_message[c]
    log.rows[i, APPENDED_AT] = at
    log.rows[i, FATE] = LOGGED
    log.head_message[c] = message


def head_at(channel: int, time: int, log: Log) -> int:
    """The last message of a channel that stood in the log before `time`, and its sequence: message * WIDE + sequence; the message is -1 if it is not kept."""
    base = log.base[0]
    message = log.head_message[channel]
    sequence = log.head_sequence[channel]
    while message >= base and log.rows[message - base, APPENDED_AT] >= time:
        sequence -= 1
        message = log.rows[message - base, PREVIOUS]
    return int((message if message >= base else -1) * WIDE + sequence)


def message_at(channel: int, sequence: int, log: Log) -> int:
    """The message with this sequence of a channel, -1 if it is not kept: along the chain, from its head."""
    base = log.base[0]
    message = log.head_message[channel]
    at = log.head_sequence[channel]
    while message >= base and at > sequence:
        at -= 1
        message = log.rows[message - base, PREVIOUS]
    return int(message) if message >= base else -1


def top_at(channel: int, time: int, log: Log) -> int:
    """The last sequence of a channel that stood in the log before `time`."""
    return head_at(channel, time, log) & LOW


def deadline_of(i: int, crowd: Crowd) -> int:
    """Until when the open gap of a subscription may close by itself [ns]."""
    return int(crowd.resume_cursor[i]) << 31 | int(crowd.resume_upto[i])


def closed_before(i: int, crowd: Crowd) -> bool:
    """Whether this ask for a gap comes to nothing: it had closed by itself. Asks for one channel come in the order of their gaps."""
    if (crowd.held_run[i] >> CLOSED_SHIFT) & MOST_CLOSED == 0:
        return False
    crowd.held_run[i] -= 1 << CLOSED_SHIFT
    return True


def gap_from(i: int, seat: int, cursor: int, deadline: int, life: int, book: Book, crowd: Crowd) -> int:
    """The gap with this deadline closes by itself no more: it is answered. Returns where it begins, by now.

    `cursor` is where it began when it was noticed. A gap of an earlier connection changes nothing.
    """
    if crowd.held_run[i] & GAP_OPEN == 0 or deadline_of(i, crowd) != deadline:
        return cursor
    crowd.held_run[i] ^= GAP_OPEN
    crowd.resume_upto[i] = NOT_ASKED
    slot = find_slot(crowd.channels[i], life // LIFE, life % LIFE, book)
    r = row_of(seat, slot, book) if slot >= 0 else -1
    if r >= 0 and book.rows[r, CURSOR] < 0:
        cursor = -(book.rows[r, CURSOR] + 1)
    crowd.resume_cursor[i] = cursor
    return cursor


def answer(
    frames: Any,
    begin: int,
    count: int,
    free_at: Any,
    busy: Any,
    book: Book,
    crowd: Crowd,
    log: Log,
    request: Any,
    per_message: Any,
    keys: Any,
    hop: int,
    out: Any,
    counters: Any,
) -> int:
    """The log answers: READ asks where the channels of a client stand, which costs nothing; the replay service answers RESUME for all channels in
    which a client is behind, and GAP for one. Each of its servers is first come, first served.

    An answer reaches up to the message that stood in the log when the request came; what came later, the client holds from its live stream.

    counters: [0] requests, [1] channels asked, [2] messages sent, [3] served, [4] sum of arrival times, [5] work [ns].
    Returns the number of frames written to `out`.
    """
    n = 0
    for f in range(begin, count):
        at = frames[f, 0]
        kind = frames[f, 1] >> 56
        server = frames[f, 2]
        item = frames[f, 3]
        seat = item & LOW
        work = 0
        sent = 0
        extra = frames[f, 4]
        if kind == 17:
            for i in range(crowd.start[seat], crowd.start[seat + 1]):
                crowd.resume_upto[i] = asked(top_at(crowd.channels[i], at, log))
            answer_kind = 18
        elif kind == 8:
            for i in range(crowd.start[seat], crowd.start[seat + 1]):
                if is_asked(crowd.resume_upto[i]):
                    upto = top_at(crowd.channels[i], at, log)
                    crowd.resume_upto[i] = asked(upto)
                    work += draw(request, word(keys[0], crowd.client[seat], at + crowd.channels[i]))
                    sent += upto - crowd.resume_cursor[i]
                    counters[1] += 1
            answer_kind = 9
        else:
            c = frames[f, 4] // WIDE
            i = subscription_of(seat, c, crowd)
            asked_at = at - hop - crowd.link[seat, DELAY]
            if closed_before(i, crowd) or heard_of_end(seat, item // WIDE, asked_at, crowd):
                counters[3] += 1
                counters[4] = (counters[4] + at) & 4611686018427387903
                continue
            upto = top_at(c, at, log)
            sent = upto - gap_from(i, seat, frames[f, 4] & LOW, asked_at, life_of(item // WIDE), book, crowd)
            work += draw(request, word(keys[0], crowd.client[seat], at + c))
            counters[1] += 1
            answer_kind = 11
            extra = c * WIDE + upto
        done = at
        if kind != 17:
            work += draw(per_message, word(keys[1], crowd.client[seat], at)) * sent
            done = max(at, free_at[server]) + work
            free_at[server] = done
            busy[server] += work
            counters[0] += 1
        counters[2] += sent
        counters[3] += 1
        counters[4] = (counters[4] + at) & 4611686018427387903
        counters[5] += work
        out[n, 0] = done + hop
        out[n, 1] = (answer_kind << 56) | (frames[f, 1] & 72057594037927935)
        out[n, 2] = gateway_of(item // WIDE)
        out[n, 3] = item
        out[n, 4] = extra
        n += 1
    return n


def watermarks(frames: Any, count: int, log: Log, out: Any) -> None:
    """out[f]: the last sequence of the channel that request f names, as it stood when the request came."""
    for f in range(count):
        out[f] = top_at(frames[f, 4] // WIDE, frames[f, 0], log)
