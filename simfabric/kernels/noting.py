"""Notes: what gateways wrote to the clients that are watched, and what became of it, one row each, for the history of a run.

A note is (kind, about, seat, at, first, last): what happened, to which message (or in which channel), on which seat, when [ns], and two numbers more.
Nothing is noted while `tally.trail` has no rows. Notes change nothing.
"""

from __future__ import annotations

from typing import Any

from simfabric.kernels.state import CURSOR, INCARNATION
from simfabric.kernels.subscriptions import find_slot, row_of

NOTE_COLUMNS = 6
KIND, ABOUT, SEAT, AT, FIRST, LAST = range(NOTE_COLUMNS)

# Kinds. Of a message that reaches its client: in its turn; one that the client has already; one that waits for those before it; transient.
LIVE, DUPLICATE, HELD, TRANSIENT = range(4)  # first = gateway.
CAUGHT_UP = 4  # It is shown as a part of what the log answered, or because what was lacking before it has come.
CUT, FULL, VAIN, FULL_TRANSIENT = range(5, 9)  # It does not arrive: the connection ends before; its buffer is full; nothing passes on it. first = gateway.
# Of a channel: where it stands, said to a client that resumes from `first`, and the head `last`; the same when a replay cannot bring what lacks.
RESUMED, NOT_RECOVERED = 9, 10
RESET = 11  # A snapshot stands in place of all after `first` up to `last`.
EXPIRED = 12  # Of what lay after `first`, so many (`last`) were no longer in the log.
TRUNCATED = 13  # The log could not answer for what lay after `first`, up to `last`.
ARRIVED = (LIVE, CAUGHT_UP, TRANSIENT)  # What users see.


def note(kind: int, about: int, seat: int, at: int, first: int, last: int, tally: Any) -> None:
    """Note what happened to a seat, if it is watched. trailed: [0] notes, [1] notes that found no room."""
    if tally.watched[seat] == 0:
        return
    n = tally.trailed[0]
    if n >= len(tally.trail):
        tally.trailed[1] += 1
        return
    tally.trail[n, 0] = kind
    tally.trail[n, 1] = about
    tally.trail[n, 2] = seat
    tally.trail[n, 3] = at
    tally.trail[n, 4] = first
    tally.trail[n, 5] = last
    tally.trailed[0] = n + 1


def read_cursors(watched: Any, nodes: Any, book: Any, crowd: Any, out: Any) -> int:
    """How far the subscriptions of watched seats have come: out[n] = client, channel, cursor, 1 if a gateway has it in its book. Returns n."""
    n = 0
    for seat in range(len(watched)):
        if watched[seat] == 0:
            continue
        gateway = crowd.home[seat]
        for i in range(crowd.start[seat], crowd.start[seat + 1]):
            cursor = crowd.resume_cursor[i]
            booked = gateway >= 0 and crowd.subscribed[seat] == 1
            if booked:
                slot = find_slot(crowd.channels[i], gateway, nodes.state[gateway, INCARNATION], book)
                cursor = book.rows[row_of(seat, slot, book), CURSOR]
            out[n, 0] = crowd.client[seat]
            out[n, 1] = crowd.channels[i]
            out[n, 2] = cursor if cursor >= 0 else -(cursor + 1)
            out[n, 3] = 1 if booked else 0
            n += 1
    return n
