"""Subscriptions: the map channel -> connections of every gateway, as rows that lie together.

A slot is one channel on one gateway: a block of rows with slack, one row per subscriber. Slots of one channel have neighbouring numbers
(their order is by gateway), rows of one gateway lie in one region, so a fan-out walks memory forwards. A slot that is full moves to a
block twice as large; a gateway that dies leaves its slots behind, empty. Nothing is rebuilt when one client moves.

A row is (seat, cursor). The cursor is the last sequence that the client has of this channel; a cursor c < 0 means that the client is
catching up from -(c + 1) and waits for the log.
"""

from __future__ import annotations

from typing import Any

from simfabric.chance import uniform
from simfabric.compiling import inlined
from simfabric.kernels.state import (
    CAPACITY,
    CURSOR,
    GATEWAY,
    GATEWAYS,
    INCARNATION_OF,
    KEY,
    NEXT,
    POOL_NEXT,
    SEAT,
    SIZE,
    SLOT,
    SLOTS_FIRST,
    SLOTS_USED,
    START,
    VISIBLE_FROM,
    Book,
    Crowd,
)  # fmt: skip
from simfabric.policies.popularity import find

ROOM = 2  # Rows of a new slot: at 10^6 clients on 100 gateways, most channels have one subscriber or two on each.
FOLLOWS = 1 << 40  # In the extra of a DELIVER: it goes in one frame with the one before it.


def draw_channels(
    client_of_seat: Any, step: int, given_offset: Any, given_members: Any, clients: int, count: int, cumulative: Any, guide: Any, key: int, start: Any,
    channels: Any
) -> int:  # fmt: skip
    """Fill `channels` [CSR by seat] with the distinct channels of every seat: the given ones it is a member of, then `count` by popularity.

    Client x is a member of given channel j if (x * step + offset_j) mod clients < members_j: exactly members_j clients, spread evenly.
    Returns the number of subscriptions; with `channels` of length 0 it only counts.
    """
    total = 0
    given = len(given_offset)
    ordinary = len(cumulative)
    for seat in range(len(client_of_seat)):
        client = client_of_seat[seat]
        start[seat] = total
        for j in range(given):
            if (client * step + given_offset[j]) % clients < given_members[j]:
                if len(channels):
                    channels[total] = j
                total += 1
        if len(channels) == 0:
            total += count
            continue
        base = total
        n = 0
        while total < base + count:
            channel = given + find(cumulative, guide, uniform(key, client, n)) if n < 64 + 8 * count else given + (n + client) % ordinary
            n += 1
            known = False
            for i in range(base, total):
                if channels[i] == channel:
                    known = True
                    break
            if not known:
                channels[total] = channel
                total += 1
    start[len(client_of_seat)] = total
    return total


def count_members(channels: Any, members: Any) -> None:
    """Members of each channel."""
    for i in range(len(channels)):
        members[channels[i]] += 1


def group_by_channel(start: Any, channels: Any, place: Any, seats: Any) -> None:
    """Write the seats of every channel together, in seat order; place[c] is where channel c's block begins and ends as its end."""
    for seat in range(len(start) - 1):
        for i in range(start[seat], start[seat + 1]):
            c = channels[i]
            seats[place[c]] = seat
            place[c] += 1


def count_slots(members: Any, seats: Any, home: Any, channel_first: Any, rows_of_gateway: Any) -> int:
    """Number of slots, where each channel's slots begin, and the rows that each gateway needs; seats with home < 0 are away."""
    slots = 0
    i = 0
    for c in range(len(members)):
        channel_first[c] = slots
        last = -1
        for _ in range(members[c]):
            g = home[seats[i]]
            i += 1
            if g < 0:
                continue
            rows_of_gateway[g] += 1
            if g != last:
                slots += 1
                last = g
    channel_first[len(members)] = slots
    return slots


def fill_slots(members: Any, seats: Any, home: Any, place: Any, slots: Any, rows: Any) -> None:
    """Lay out the slots; place[g] is the first free row of gateway g's region. Seats of one gateway must be neighbours."""
    s = -1
    i = 0
    for c in range(len(members)):
        last = -1
        for _ in range(members[c]):
            seat = seats[i]
            g = home[seat]
            i += 1
            if g < 0:
                continue
            row = place[g]
            place[g] = row + 1
            if g != last:
                s += 1
                slots[s, GATEWAY] = g
                slots[s, START] = row
                last = g
            slots[s, SIZE] += 1
            slots[s, CAPACITY] += 1
            rows[row, SEAT] = seat


def subscription_of(seat: int, channel: int, crowd: Crowd) -> int:
    """The place of this channel among the seat's subscriptions."""
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        if crowd.channels[i] == channel:
            return i
    return -1


def find_slot(channel: int, gateway: int, incarnation: int, book: Book) -> int:
    """The slot of a channel on this life of a gateway, or -1: by bisection among the first ones, then in the index of late ones.

    The index knows the newest life; a gateway's life before that has no subscribers any more.
    """
    if incarnation == 0:
        low = book.channel_first[channel]
        high = book.channel_first[channel + 1]
        while low < high:
            middle = (low + high) >> 1
            if book.slots[middle, GATEWAY] < gateway:
                low = middle + 1
            else:
                high = middle
        if low < book.channel_first[channel + 1] and book.slots[low, GATEWAY] == gateway:
            return int(low)
    s = newest_late(channel, gateway, book)
    return s if s >= 0 and book.late[s - book.pool[SLOTS_FIRST], INCARNATION_OF] == incarnation else -1


def place_of(key: int, index: Any) -> int:
    """Where a key of the index stands, or would: open addressing, linear probing; the index is never more than half full."""
    place = ((key ^ (key >> 15)) * 2654435761) & (len(index) - 1)
    while index[place, KEY] != 0 and index[place, KEY] != key:
        place = (place + 1) & (len(index) - 1)
    return int(place)


def newest_late(channel: int, gateway: int, book: Book) -> int:
    """The newest late slot of a channel on a gateway, whatever its life; -1 = none."""
    key = 1 + channel * book.pool[GATEWAYS] + gateway
    place = place_of(key, book.index)
    return int(book.index[place, SLOT]) if book.index[place, KEY] == key else -1


def copy_index(old: Any, new: Any) -> None:
    """Every entry of an index into a larger one."""
    for i in range(len(old)):
        if old[i, KEY] != 0:
            place = place_of(old[i, KEY], new)
            new[place, KEY] = old[i, KEY]
            new[place, SLOT] = old[i, SLOT]


def late_before(channel: int, gateway: int, book: Book) -> int:
    """The late slot after which one of this gateway stands in the channel's chain, -1 = at its head.

    From the head along the chain and from the gateway downwards in the index, a step of each in turn: a chain is short, or it is dense.
    """
    s = newest_late(channel, gateway, book)
    if s >= 0:
        return s
    before = -1
    after = book.channel_more[channel]
    below = gateway - 1
    while after >= 0 and book.slots[after, GATEWAY] < gateway and below >= 0:
        s = newest_late(channel, below, book)
        if s >= 0:
            return s
        below -= 1
        before = after
        after = book.late[after - book.pool[SLOTS_FIRST], NEXT]
    return int(before)


@inlined
def next_slot(channel: int, s: int, book: Book) -> int:
    """The slot of this channel after slot `s` (-1: the first one); -1 after the last. Dead and empty ones are among them."""
    first = book.channel_first[channel]
    last = book.channel_first[channel + 1] - 1
    if s < 0:
        return int(first) if first <= last else int(book.channel_more[channel])
    if s >= book.pool[SLOTS_FIRST]:
        return int(book.late[s - book.pool[SLOTS_FIRST], NEXT])
    return s + 1 if s < last else int(book.channel_more[channel])


def row_of(seat: int, slot: int, book: Book) -> int:
    """The row of a seat in a slot, searched from the newest: who catches up came lately."""
    first = book.slots[slot, START]
    r = first + book.slots[slot, SIZE] - 1
    while r >= first and book.rows[r, SEAT] != seat:
        r -= 1
    return r if r >= first else -1


def rows_needed(seat: int, gateway: int, incarnation: int, book: Book, crowd: Crowd) -> int:
    """Rows that the pool must still have free before this seat may subscribe here (an upper bound)."""
    need = 0
    for i in range(crowd.start[seat], crowd.start[seat + 1]):
        s = find_slot(crowd.channels[i], gateway, incarnation, book)
        if s < 0:
            need += ROOM
        elif book.slots[s, SIZE] == book.slots[s, CAPACITY]:
            need += 2 * book.slots[s, CAPACITY]
    return need


def bury(r: int, book: Book) -> None:
    """This row stands for nobody (any more)."""
    book.rows[r, SEAT] = -1
    book.rows[r, CURSOR] = 0


def append_row(channel: int, gateway: int, incarnation: int, seat: int, cursor: int, visible_from: int, book: Book) -> int:
    """Add one subscriber; the caller has seen to room. A new slot is visible to routers from `visible_from` on. Returns the slot."""
    s = find_slot(channel, gateway, incarnation, book)
    if s < 0:
        s = book.pool[SLOTS_USED]
        book.pool[SLOTS_USED] = s + 1
        book.slots[s, GATEWAY] = gateway
        book.slots[s, START] = book.pool[POOL_NEXT]
        book.slots[s, SIZE] = 0
        book.slots[s, CAPACITY] = ROOM
        for r in range(book.pool[POOL_NEXT], book.pool[POOL_NEXT] + ROOM):
            bury(r, book)
        book.pool[POOL_NEXT] += ROOM
        late = s - book.pool[SLOTS_FIRST]
        book.late[late, INCARNATION_OF] = incarnation
        book.late[late, VISIBLE_FROM] = visible_from
        # The chain goes by gateway and life, whatever was served first: routers walk it, and what they do must not depend on the window.
        before = late_before(channel, gateway, book)
        after = book.channel_more[channel] if before < 0 else book.late[before - book.pool[SLOTS_FIRST], NEXT]
        book.late[late, NEXT] = after
        if before < 0:
            book.channel_more[channel] = s
        else:
            book.late[before - book.pool[SLOTS_FIRST], NEXT] = s
        place = place_of(1 + channel * book.pool[GATEWAYS] + gateway, book.index)
        book.index[place, KEY] = 1 + channel * book.pool[GATEWAYS] + gateway
        book.index[place, SLOT] = s
    elif book.slots[s, SIZE] == book.slots[s, CAPACITY]:
        old = book.slots[s, START]
        new = book.pool[POOL_NEXT]
        for r in range(book.slots[s, SIZE]):
            book.rows[new + r, SEAT] = book.rows[old + r, SEAT]
            book.rows[new + r, CURSOR] = book.rows[old + r, CURSOR]
            bury(old + r, book)
        book.slots[s, START] = new
        book.slots[s, CAPACITY] *= 2
        for r in range(new + book.slots[s, SIZE], new + book.slots[s, CAPACITY]):
            bury(r, book)
        book.pool[POOL_NEXT] = new + book.slots[s, CAPACITY]
    r = book.slots[s, START] + book.slots[s, SIZE]
    book.rows[r, SEAT] = seat
    book.rows[r, CURSOR] = cursor
    book.slots[s, SIZE] += 1
    return int(s)


def collect_gateway(gateway: int, book: Book, crowd: Crowd) -> int:
    """A gateway died: hand every cursor back to its client, empty the slots, and count the rows."""
    rows = 0
    for c in range(len(book.channel_more)):
        s = next_slot(c, -1, book)
        while s >= 0:
            if book.slots[s, GATEWAY] == gateway and book.slots[s, SIZE] > 0:
                for r in range(book.slots[s, START], book.slots[s, START] + book.slots[s, SIZE]):
                    seat = book.rows[r, SEAT]
                    cursor = book.rows[r, CURSOR]
                    bury(r, book)
                    rows += 1
                    if seat < 0:
                        continue
                    for i in range(crowd.start[seat], crowd.start[seat + 1]):
                        if crowd.channels[i] == c:
                            crowd.resume_cursor[i] = cursor if cursor >= 0 else -(cursor + 1)
                            break
                book.slots[s, SIZE] = 0
            s = next_slot(c, s, book)
    return rows


def sum_cursors(rows: Any, used: int, totals: Any) -> None:
    """Over all rows that stand for a subscriber: totals[0] how many, [1] the sum of their cursors. Dead rows have seat -1 and cursor 0.

    Without branches, so that 10^8 rows are summed at the speed of memory: c ^ (c >> 31) is c, or -(c + 1) for one that catches up.
    """
    count = 0
    cursors = 0
    for r in range(used):
        count += 1 + (rows[r, SEAT] >> 31)
        cursors += rows[r, CURSOR] ^ (rows[r, CURSOR] >> 31)
    totals[0] += count
    totals[1] += cursors


def undelivered_away(head_sequence: Any, crowd: Crowd, totals: Any) -> None:
    """Over the seats that no gateway has in its book: totals[0] their subscriptions, [1] the sum of their cursors, [2] messages that they lack."""
    for seat in range(len(crowd.subscribed)):
        if crowd.subscribed[seat] == 0:
            for i in range(crowd.start[seat], crowd.start[seat + 1]):
                totals[0] += 1
                totals[1] += crowd.resume_cursor[i]
                totals[2] += head_sequence[crowd.channels[i]] - crowd.resume_cursor[i]
