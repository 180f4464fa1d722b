"""Frames: what travels between components, as rows of one int64 array, and the kernels of an inbox.

A frame is (at, id, row, item, extra): when it arrives [ns], a unique name that breaks ties, the row of the receiver that it is for (a
gateway, a partition, a server), what it is about (a message or a client) and one number more. The top byte of the id is the kind, so
that frames of one instant are served in the order of the constants below, then by item.
"""

from __future__ import annotations

from typing import Any

AT, ID, ROW, ITEM, EXTRA = 0, 1, 2, 3, 4
WIDTH = 5
NEVER = 9223372036854775807

# Kinds, in the order in which frames of one instant and one row are served.
PAUSE = 1  # a node stops for a while: item = number of the pause, extra = its length [ns]
NOTICE = 2  # a client notices that its connection is gone, or gives it up: extra = ticket, row = why; see kernels/clients.py
DIAL = 3  # a client asks the balancer for a connection: extra = number of the attempt
HANDSHAKE = 4  # the balancer hands a dial to a gateway: extra = incarnation
OPENED = 5  # a gateway answers a client: extra = ticket of the connection; see kernels/tickets.py
REFUSED = 6  # a call or a dial ended in vain: extra = reason, or who refused it; row = 1 if a living gateway was full, 2 if it was busy
SUBSCRIBE = 7  # a client asks for all its channels: item = seat, and above it how often it was refused on this connection; extra = ticket
RESUME = 8  # a client asks the log for all channels in which it is behind
REPLAYED = 9  # the answer to RESUME: the upper ends stand among the client's subscriptions
GAP = 10  # a client asks the log for one channel: item = client, extra = channel and cursor, packed
FILLED = 11  # the answer to GAP: extra = channel and last sequence, packed
PUBLICATION = 12  # a user presses enter: item = message
PUBLISH = 13  # the same on its way through the fabric
DELIVER = 14  # a message for one gateway: extra = slot, or -1 when the gateway must look it up
ASK = 15  # a client asks for a token: extra = number of the request
TOKEN = 16  # the answer to ASK
READ = 17  # a gateway asks the log where the channels of a client stand, as soon as their routes are visible
TOPS = 18  # the answer to READ
SUBSCRIBED = 19  # a gateway tells a client where its channels stand: row = 1 if it is behind in any, extra = ticket
BOOT = 20  # a client that starts asks what it may see
BOOTED = 21  # the answer to BOOT
SNAPSHOT = 22  # a client asks for the state of a channel: extra = channel, tries in vain so far (31 bits), and 1 if its recovery waits for it
STATE = 23  # the answer to SNAPSHOT: extra = channel, watermark (31 bits), and 1 if the client's recovery waits for it
LEAVE = 24  # a client closed its connection: extra = ticket
HALF_OPEN = 27  # nothing passes on a connection any more, and its gateway does not know: extra = when it gives it up [ns]
DROPPED = 28  # the gateway gives it up: extra = 1 if it had subscribed
NO_STATE = 29  # SNAPSHOT had no answer: extra = channel, tries before this one (30 bits), 2 if the wait was advised, 1 if a recovery waits for it
GO = 30  # a user closes the page: extra = ticket
EVENT = 25  # a message reaches a session: extra = message
WAKE = 26  # a session has something to do: a timer, or a ping
SILENCE = 31  # nothing passes on a connection any more, and its client does not know: extra = ticket
TOP = 32  # a session is told where one channel stands, with SUBSCRIBED: row = 1 if a replay cannot fill what it lacks, extra = channel and sequence
TOO_MUCH = 33  # a gateway refuses a message of a session for its rate: item = ticket and seat, row = how long to wait [ns], extra = message
TOO_MANY = 34  # a gateway refuses a client's subscribes for their rate: row = how long to wait [ns], extra = ticket, and above it how often it did before
ASK_AGAIN = 35  # that time is over, or (row > 0) that for an answer: extra = ticket, and above it how often it was refused
STRUCK = 36  # a fault breaks the connection that a client has now, if it has one: row = how, extra = when the client wakes [ns]; see kernels/striking.py

KIND_SHIFT = 56


def put(frames: Any, count: int, pending: Any, held: int, near_end: int, spill: Any, account: Any) -> int:
    """Append `count` frames to `pending` after its `held` ones; those due at or after `near_end` go to `spill` instead.

    account: [0] frames put, [1] sum of their times (wrapping), [2] earliest in `pending`, [3] earliest of this call, [4] spilled.
    Returns the new number held.
    """
    earliest = 9223372036854775807
    near = earliest
    spilled = 0
    total = 0
    for i in range(count):
        at = frames[i, 0]
        total += at
        earliest = min(earliest, at)
        if at < near_end:
            near = min(near, at)
            for j in range(5):
                pending[held, j] = frames[i, j]
            held += 1
        else:
            for j in range(5):
                spill[spilled, j] = frames[i, j]
            spilled += 1
    account[0] += count
    account[1] = wrapped(account[1] + total)
    account[2] = min(account[2], near)
    account[3] = earliest
    account[4] = spilled
    return held


def wrapped(x: int) -> int:
    """A sum of times kept below 2^62 by its remainder: plain and compiled code then agree, and identities hold modulo 2^62."""
    return x & 4611686018427387903


def take(pending: Any, held: int, end: int, due: Any, account: Any) -> int:
    """Move the frames with at < end to `due`, unordered; the rest stays. Returns how many are due; account[2] becomes the earliest left."""
    count = 0
    kept = 0
    earliest = 9223372036854775807
    for i in range(held):
        at = pending[i, 0]
        if at < end:
            for j in range(5):
                due[count, j] = pending[i, j]
            count += 1
        else:
            earliest = min(earliest, at)
            if kept != i:
                for j in range(5):
                    pending[kept, j] = pending[i, j]
            kept += 1
    account[2] = earliest
    return count


def precedes(frames: Any, a: int, b: int) -> bool:
    """Whether frame `a` is served before frame `b` or is the same: by (at, id)."""
    if frames[a, 0] != frames[b, 0]:
        return bool(frames[a, 0] < frames[b, 0])
    return bool(frames[a, 1] <= frames[b, 1])


def ordered(due: Any, count: int, index: Any, spare: Any, rows: int, starts: Any, out: Any) -> None:
    """Sort `due` by (at, id) into `out`; with `rows` > 0, by (row, at, id), and starts[r] .. starts[r + 1] are the frames of row r.

    A merge sort from below that skips what is in order already: most frames come from senders that emit in time order.
    """
    for i in range(count):
        index[i] = i
    width = 1
    flipped = False
    while width < count:
        source = spare if flipped else index
        target = index if flipped else spare
        left = 0
        while left < count:
            middle = min(left + width, count)
            right = min(left + 2 * width, count)
            if middle >= right or precedes(due, source[middle - 1], source[middle]):
                for i in range(left, right):
                    target[i] = source[i]
            else:
                a = left
                b = middle
                for i in range(left, right):
                    if b >= right or (a < middle and precedes(due, source[a], source[b])):
                        target[i] = source[a]
                        a += 1
                    else:
                        target[i] = source[b]
                        b += 1
            left = right
        flipped = not flipped
        width *= 2
    final = spare if flipped else index
    if rows == 0:
        for i in range(count):
            for j in range(5):
                out[i, j] = due[final[i], j]
        return
    for r in range(rows + 1):
        starts[r] = 0
    for i in range(count):
        starts[due[i, 2] + 1] += 1
    for r in range(rows):
        starts[r + 1] += starts[r]
    for i in range(count):
        k = final[i]
        r = due[k, 2]
        place = starts[r]
        starts[r] = place + 1
        for j in range(5):
            out[place, j] = due[k, j]
    for r in range(rows, 0, -1):
        starts[r] = starts[r - 1]
    starts[0] = 0
