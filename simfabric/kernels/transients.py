"""Transient messages at a gateway (typing, presence): written to whoever is there, once, and never again.

They have no sequence, so nobody lacks one: a slow consumer's buffer drops them first, above its soft bound, and no gap opens. Source:
protocol rules P7 and D3.
"""

from __future__ import annotations

from simfabric.chance import GOLDEN, draw, mixed, word
from simfabric.compiling import MASK, to_word
from simfabric.kernels.catching_up import tell
from simfabric.kernels.cores import end_turn, take_up, worked
from simfabric.kernels.fanout import write_in_vain
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.noting import CUT as NOTE_CUT
from simfabric.kernels.noting import FULL_TRANSIENT, note
from simfabric.kernels.noting import TRANSIENT as NOTE_TRANSIENT
from simfabric.kernels.pacing import is_full, sent_at
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    BREAKS_AT,
    BYTE_COST,
    BYTES,
    CORES,
    CUT,
    DELAY,
    FRAMES,
    KEY_DELIVERY,
    KEY_FRAME,
    LINK_FREE_AT,
    PACE,
    PUBLISHED_AT,
    SEAT,
    SESSION,
    SHARED,
    SIZE,
    SOFT_BUFFER,
    STAGE_TRANSIENT,
    START,
    TRANSIENT_DROPPED,
    TRANSIENT_LIVE,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip


def fan_out_transient(
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
    """Write one transient message to every subscriber of a slot whose buffer is not fuller than the soft bound; see `fan_out`.

    Each core reads the frame once and looks at each of its connections; a write that is dropped costs no work.
    """
    published = log.rows[row, PUBLISHED_AT]
    size = log.rows[row, BYTES]
    byte_work = (size * nodes.settings[BYTE_COST]) >> 20
    read = 0
    if follows == 0:
        read = draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway))
    name = mixed((to_word(message) * GOLDEN) & MASK)
    first_core = gateway * nodes.settings[CORES]
    shared = nodes.settings[SHARED]
    chosen = free_first(nodes.free_at, first_core, nodes.settings[CORES]) if shared == 1 else first_core
    slowed = len(crowd.slowed) > 1
    turn = nodes.state[gateway, FRAMES] + 1
    first = book.slots[slot, START]
    for r in range(first, first + book.slots[slot, SIZE]):
        seat = book.rows[r, SEAT]
        if seat < 0:
            write_in_vain(message, -2 - seat, at, first_core, chosen, read, late, byte_work, turn, nodes, crowd, tally)
            continue
        pace = crowd.link[seat, PACE]
        core = chosen if shared == 1 else first_core + ((pace >> 8) & 255)
        if nodes.turn[core, 0] != turn:
            take_up(core, turn, at, read, late, nodes, tally)
        pace >>= 16
        wired, now, bound = crowd.link[seat, LINK_FREE_AT], nodes.free_at[core], nodes.settings[SOFT_BUFFER]
        full = is_full(now, wired, bound, seat, crowd) if slowed else pace > 0 and wired - now > bound * pace and wired > now
        if full:
            tally.counters[TRANSIENT_DROPPED] += 1
            if len(tally.trail) > 0:
                note(FULL_TRANSIENT, message, seat, nodes.free_at[core], gateway, 0, tally)
            continue
        entity = 0 if len(nodes.delivery) == 1 else crowd.client[seat]
        work = byte_work
        if follows == 0:
            work += draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], message, entity))
        now = worked(core, nodes.free_at[core] + work, nodes)
        nodes.free_at[core] = now
        wired = sent_at(max(now, wired), size, seat, crowd) if slowed else max(now, wired) + size * pace
        arrives = wired + crowd.link[seat, DELAY]
        if arrives >= crowd.link[seat, BREAKS_AT]:
            tally.counters[CUT] += 1
            if len(tally.trail) > 0:
                note(NOTE_CUT, message, seat, wired, gateway, 0, tally)
            continue
        crowd.link[seat, LINK_FREE_AT] = wired
        if crowd.link[seat, PACE] & SESSION:
            tell(arrives, (25 << 56) | ((turn & 16777215) << 32) | seat, 0, seat, message, outs)
        tally.counters[TRANSIENT_LIVE] += 1
        if late == 1:
            tally.stages[STAGE_TRANSIENT, bin_of(arrives - published)] += 1
        if len(tally.trail) > 0:
            note(NOTE_TRANSIENT, message, seat, arrives, gateway, 0, tally)
        tally.digest[0] = (tally.digest[0] + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
    end_turn(gateway, first_core, turn, nodes, tally)
