"""Fan-out: write one message to every subscriber of a slot. This is where nearly all the time of a run goes.

A delivery is settled when it is written: its arrival, and whether the connection still stands then, are known at once.
"""

from __future__ import annotations

from typing import Any

from simfabric.chance import GOLDEN, draw, mixed, word
from simfabric.compiling import MASK, inlined, to_word
from simfabric.kernels.catching_up import out_of_order, tell
from simfabric.kernels.cores import end_turn, take_up, worked
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.noting import CUT as NOTE_CUT
from simfabric.kernels.noting import DUPLICATE as NOTE_DUPLICATE
from simfabric.kernels.noting import FULL as NOTE_FULL
from simfabric.kernels.noting import HELD as NOTE_HELD
from simfabric.kernels.noting import LIVE as NOTE_LIVE
from simfabric.kernels.noting import VAIN as NOTE_VAIN
from simfabric.kernels.noting import note
from simfabric.kernels.pacing import is_full, sent_at
from simfabric.kernels.servers import free_first
from simfabric.kernels.slow import refuse
from simfabric.kernels.state import (
    BREAKS_AT,
    BUFFER,
    BYTE_COST,
    BYTES,
    CHANNEL,
    CORES,
    CURSOR,
    CUT,
    DELAY,
    DELAY_SUM,
    DUPLICATE,
    FRAMES,
    GAPPED,
    HELD,
    HOT,
    KEY_DELIVERY,
    KEY_FRAME,
    LINK_FREE_AT,
    LIVE,
    OVERFLOW_GRACE,
    OVERFLOWN,
    PACE,
    PAUSE_AT,
    PUBLISHED_AT,
    SEAT,
    SEQUENCE,
    SESSION,
    SHARED,
    SIZE,
    STAGE_HOT,
    START,
    TO_GHOSTS,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)
from simfabric.kernels.subscriptions import FOLLOWS

SLOT_BITS = FOLLOWS - 1


@inlined
def fan_out(
    message: int,
    row: int,
    at: int,
    gateway: int,
    slot: int,
    follows: int,
    late: int,
    nodes: Nodes,
    book: Book,
    crowd: Crowd,
    log: Log,
    outs: Outs,
    tally: Tally,
) -> None:
    """Write one message that arrived at `at` to every subscriber of a slot; each core reads it once and writes to its own connections.

    `late` is 1 for a message that was published after the warm-up; `follows` is 1 for one that goes in a frame with the one before it, so that only
    its bytes cost work.
    """
    sequence = log.rows[row, SEQUENCE]
    published = log.rows[row, PUBLISHED_AT]
    size = log.rows[row, BYTES]
    byte_work = (size * nodes.settings[BYTE_COST]) >> 20
    constant = len(nodes.delivery) == 1 or follows == 1
    work = byte_work
    read = 0
    if follows == 0:
        work += draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], message, 0))
        read = draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway))
    hot = log.rows[row, HOT] * late
    name = mixed((to_word(message) * GOLDEN) & MASK)
    mark = tally.digest[0]
    buffer = nodes.settings[BUFFER]
    trailing = len(tally.trail) > 0
    slowed = len(crowd.slowed) > 1
    region_base = (len(tally.delays) >> 1) * late
    first_core = gateway * nodes.settings[CORES]
    shared = nodes.settings[SHARED]
    chosen = free_first(nodes.free_at, first_core, nodes.settings[CORES]) if shared == 1 else first_core
    turn = nodes.state[gateway, FRAMES] + 1
    live = 0
    delay_sum = 0
    first = book.slots[slot, START]
    for r in range(first, first + book.slots[slot, SIZE]):
        seat = book.rows[r, SEAT]
        if seat < 0:
            write_in_vain(message, -2 - seat, at, first_core, chosen, read, late, byte_work, turn, nodes, crowd, tally)
            continue
        pace = crowd.link[seat, PACE]
        core = chosen if shared == 1 else first_core + ((pace >> 8) & 255)
        if not constant:
            work = draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], message, crowd.client[seat])) + byte_work
        if nodes.turn[core, 0] != turn:
            take_up(core, turn, at, read, late, nodes, tally)
        now = nodes.free_at[core] + work
        if nodes.pauses[core, PAUSE_AT] < now:
            now = worked(core, now, nodes)
        nodes.free_at[core] = now
        pace >>= 16
        wired = crowd.link[seat, LINK_FREE_AT]
        full = is_full(now, wired, buffer, seat, crowd) if slowed else pace > 0 and wired - now > buffer * pace and wired > now
        if full:
            tally.counters[OVERFLOWN] += 1
            if trailing:
                note(NOTE_FULL, message, seat, now, gateway, 0, tally)
            if nodes.settings[OVERFLOW_GRACE] >= 0:
                refuse(seat, gateway, now, wired, nodes, crowd, outs, tally)
            continue
        wired = sent_at(max(now, wired), size, seat, crowd) if slowed else max(now, wired) + size * pace
        arrives = wired + crowd.link[seat, DELAY]
        if arrives >= crowd.link[seat, BREAKS_AT]:
            tally.counters[CUT] += 1
            if trailing:
                note(NOTE_CUT, message, seat, wired, gateway, 0, tally)
            continue
        crowd.link[seat, LINK_FREE_AT] = wired
        if crowd.link[seat, PACE] & SESSION:
            tell(arrives, (25 << 56) | ((turn & 16777215) << 32) | seat, 0, seat, message, outs)
        cursor = book.rows[r, CURSOR]
        if sequence == cursor + 1:
            book.rows[r, CURSOR] = sequence
            live += 1
            delay = arrives - published
            delay_sum += delay
            tally.delays[region_base + (crowd.link[seat, PACE] & 127), bin_of(delay)] += 1
            if hot == 1:
                tally.stages[STAGE_HOT, bin_of(delay)] += 1
            if trailing:
                note(NOTE_LIVE, message, seat, arrives, gateway, 0, tally)
            mark = (mark + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
        elif sequence <= max(cursor, -(cursor + 1)):
            tally.counters[DUPLICATE] += 1
            if trailing:
                note(NOTE_DUPLICATE, message, seat, arrives, gateway, 0, tally)
        else:
            tally.counters[HELD if cursor < 0 else GAPPED] += 1
            if trailing:
                note(NOTE_HELD, message, seat, arrives, gateway, 0, tally)
            out_of_order(r, seat, gateway, log.rows[row, CHANNEL], sequence, arrives, nodes, book, crowd, log, outs, tally)
    tally.digest[0] = mark
    tally.counters[LIVE] += live
    tally.counters[DELAY_SUM] += delay_sum
    end_turn(gateway, first_core, turn, nodes, tally)


def write_in_vain(
    message: int, seat: int, at: int, first_core: int, chosen: int, read: int, late: int, byte_work: int, turn: int, nodes: Nodes, crowd: Crowd, tally: Tally
) -> None:
    """A write to a connection on which nothing passes any more costs what any other costs."""
    core = chosen if nodes.settings[SHARED] == 1 else first_core + ((crowd.link[seat, PACE] >> 8) & 255)
    entity = 0 if len(nodes.delivery) == 1 else crowd.client[seat]
    if nodes.turn[core, 0] != turn:
        take_up(core, turn, at, read, late, nodes, tally)
    nodes.free_at[core] = worked(core, nodes.free_at[core] + draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], message, entity)) + byte_work, nodes)
    tally.counters[TO_GHOSTS] += 1
    if len(tally.trail) > 0:
        note(NOTE_VAIN, message, seat, nodes.free_at[core], 0, 0, tally)


def warm(frames: Any, first: int, last: int, book: Book, crowd: Crowd) -> int:
    """Touch the rows and links that these frames need, all together: reads that do not wait for each other overlap, later ones hit the cache.

    It changes nothing; at 10^6 connections, where every slot is a cache miss, it halves the cost of a delivery. Returns a sum, for nobody.
    """
    total = 0
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            total += book.slots[frames[f, 4] & SLOT_BITS, SIZE]
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            total += book.rows[book.slots[frames[f, 4] & SLOT_BITS, START], CURSOR]
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            start = book.slots[frames[f, 4] & SLOT_BITS, START]
            for r in range(start, start + min(32, book.slots[frames[f, 4] & SLOT_BITS, SIZE])):
                total += crowd.link[max(0, book.rows[r, SEAT]), BREAKS_AT] & 1
    return int(total)
