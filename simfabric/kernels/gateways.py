"""What gateways do with frames: one pass over the frames of a range of gateways, each gateway's in (at, id) order.

A core is first come, first served (Lindley's recursion: one number per core). A delivery is settled when it is written: its arrival, and
whether the connection still stands then, are known at once. A stop of the world (a collection, a steal) resumes what it interrupted.
"""

from __future__ import annotations

from typing import Any

from simfabric.chance import GOLDEN, draw, mixed, word
from simfabric.compiling import MASK, inlined, to_word
from simfabric.kernels.catching_up import caught_up, filled, hold, leave_trail
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    ACCEPTED,
    AHEAD,
    ALIVE,
    ASK_DELAY,
    ASK_ROWS,
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
    DIES_AT,
    DUPLICATE,
    EXPECTED,
    FATE,
    FRAMES,
    GAPPED,
    HELD,
    INCARNATION,
    INCARNATION_OF,
    KEY_DELIVERY,
    KEY_FRAME,
    KEY_HANDSHAKE,
    KEY_PAUSE_EVERY,
    KEY_PAUSE_LENGTH,
    KEY_SUBSCRIBE,
    LIFE,
    LIMIT,
    LINK_FREE_AT,
    LIVE,
    LOST_AT_GATEWAY,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    LOW,
    OPEN,
    OVERFLOWN,
    PACE,
    PAUSE_AT,
    PAUSE_NUMBER,
    PAUSE_UNTIL,
    POOL_NEXT,
    PUBLISHED_AT,
    PUBLISHER,
    RECEIVED_AT,
    SEAT,
    SENT_BYTES,
    SEQUENCE,
    SERVED,
    SERVED_AT,
    SHARED,
    SIZE,
    SLOTS_FIRST,
    SLOTS_USED,
    STAGE_IN,
    STAGE_OUT,
    STALE,
    START,
    STORE_DELAY,
    TURNED_AWAY,
    UP_DELAY,
    UP_ROWS,
    WARMUP,
    WASTED,
    WIDE,
    WORK,
    WRITTEN,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import append_row, find_slot, rows_needed


def core_of(gateway: int, seat: int, nodes: Nodes, crowd: Crowd) -> int:
    """The core that serves a connection: its own, or with one shared queue the one that is free first."""
    first = gateway * nodes.settings[CORES]
    if nodes.settings[SHARED] == 0:
        return int(first + ((crowd.link[seat, PACE] >> 8) & 255))
    return free_first(nodes.free_at, first, nodes.settings[CORES])


def next_pause(core: int, now: int, nodes: Nodes) -> int:
    """The pause of this core that begins next has begun by `now`: its length is added, and the one after it is drawn. Pauses queue."""
    gateway = core // nodes.settings[CORES]
    n = nodes.pauses[core, PAUSE_NUMBER]
    length = draw(nodes.pause_length, word(nodes.keys[KEY_PAUSE_LENGTH], gateway, n))
    nodes.pauses[core, PAUSE_UNTIL] = max(nodes.pauses[core, PAUSE_UNTIL], nodes.pauses[core, PAUSE_AT]) + length
    nodes.pauses[core, PAUSE_NUMBER] = n + 1
    nodes.pauses[core, PAUSE_AT] += draw(nodes.pause_every, word(nodes.keys[KEY_PAUSE_EVERY], gateway, n + 1))
    return length


@inlined
def begin(core: int, at: int, nodes: Nodes) -> int:
    """When this core begins a frame that arrived at `at`: not before it is free, and not inside a pause."""
    begins = max(at, nodes.free_at[core])
    while nodes.pauses[core, PAUSE_AT] <= begins:
        next_pause(core, begins, nodes)
        begins = max(begins, nodes.pauses[core, PAUSE_UNTIL])
    return int(begins)


def worked(core: int, now: int, nodes: Nodes) -> int:
    """When work that would end at `now` ends, with the pauses that fell into it."""
    while nodes.pauses[core, PAUSE_AT] < now:
        now += next_pause(core, now, nodes)
    return now


@inlined
def fan_out(
    message: int, row: int, at: int, gateway: int, slot: int, late: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally
) -> None:
    """Write one message that arrived at `at` to every subscriber of a slot; each core reads it once and writes to its own connections.

    `late` is 1 for a message that was published after the warm-up.
    """
    sequence = log.rows[row, SEQUENCE]
    published = log.rows[row, PUBLISHED_AT]
    size = log.rows[row, BYTES]
    byte_work = (size * nodes.settings[BYTE_COST]) >> 20
    constant = len(nodes.delivery) == 1
    work = draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], message, 0)) + byte_work
    read = draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway))
    name = mixed((to_word(message) * GOLDEN) & MASK)
    mark = tally.digest[0]
    buffer = nodes.settings[BUFFER]
    trailing = len(tally.trail) > 0
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
        if wired - now > buffer * pace and wired > now:
            tally.counters[OVERFLOWN] += 1
            continue
        wired = max(now, wired) + size * pace
        crowd.link[seat, LINK_FREE_AT] = wired
        arrives = wired + crowd.link[seat, DELAY]
        if arrives >= crowd.link[seat, BREAKS_AT]:
            tally.counters[CUT] += 1
            continue
        cursor = book.rows[r, CURSOR]
        if sequence == cursor + 1:
            book.rows[r, CURSOR] = sequence
            live += 1
            delay = arrives - published
            delay_sum += delay
            tally.delays[region_base + (crowd.link[seat, PACE] & 255), bin_of(delay)] += 1
            if trailing:
                leave_trail(message, seat, arrives, tally)
            mark = (mark + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ name)) & MASK
        elif cursor < 0:
            tally.counters[HELD] += 1
            hold(seat, log.rows[row, CHANNEL], message, sequence, crowd)
        elif sequence <= cursor:
            tally.counters[DUPLICATE] += 1
        else:
            tally.counters[GAPPED] += 1
            book.rows[r, CURSOR] = -(cursor + 1)
            hold(seat, log.rows[row, CHANNEL], message, sequence, crowd)
            ask_for_gap(seat, gateway, log.rows[row, CHANNEL], cursor, arrives, nodes, crowd, outs)
    tally.digest[0] = mark
    tally.counters[LIVE] += live
    tally.counters[DELAY_SUM] += delay_sum
    given = 0
    for core in range(first_core, first_core + nodes.settings[CORES]):
        if nodes.turn[core, 0] == turn:
            given += nodes.free_at[core] - nodes.turn[core, 1]
    nodes.busy[gateway] += given
    nodes.state[gateway, FRAMES] = turn
    tally.counters[WORK] += given


@inlined
def take_up(core: int, turn: int, at: int, read: int, late: int, nodes: Nodes, tally: Tally) -> None:
    """A core begins with a frame: from when it is free, it reads it."""
    begins = begin(core, at, nodes)
    nodes.turn[core, 0] = turn
    nodes.turn[core, 1] = begins
    nodes.free_at[core] = worked(core, begins + read, nodes)
    if late == 1:
        tally.stages[STAGE_OUT, bin_of(begins - at)] += 1


def ask_for_gap(seat: int, gateway: int, channel: int, cursor: int, noticed_at: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """A client saw a sequence that does not follow its cursor: it asks the log for the range between."""
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = noticed_at + crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (10 << 56) | ((channel & 16777215) << 32) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = (gateway * LIFE + nodes.state[gateway, INCARNATION]) * WIDE + seat
    outs.ask[n, 4] = channel * WIDE + cursor


def warm(frames: Any, first: int, last: int, book: Book, crowd: Crowd) -> int:
    """Touch the rows and links that these frames need, all together: reads that do not wait for each other overlap, later ones hit the cache.

    It changes nothing; at 10^6 connections, where every slot is a cache miss, it halves the cost of a delivery. Returns a sum, for nobody.
    """
    total = 0
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            total += book.slots[frames[f, 4], SIZE]
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            total += book.rows[book.slots[frames[f, 4], START], CURSOR]
    for f in range(first, last):
        if frames[f, 1] >> 56 == 14 and frames[f, 4] >= 0:
            start = book.slots[frames[f, 4], START]
            for r in range(start, start + min(32, book.slots[frames[f, 4], SIZE])):
                total += crowd.link[book.rows[r, SEAT], BREAKS_AT] & 1
    return int(total)


def serve(frames: Any, first: int, count: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> int:
    """Serve frames first .. count, until one needs more room than the bundles have; returns the first frame not served."""
    warmed = first
    for f in range(first, count):
        if f == warmed and nodes.settings[AHEAD] > 0:
            warmed = min(f + nodes.settings[AHEAD], count)
            outs.sent[4] = warm(frames, f, warmed, book, crowd)  # Kept, so that no compiler leaves it out.
        at = frames[f, 0]
        kind = frames[f, 1] >> 56
        gateway = frames[f, 2]
        if not has_room(kind, frames[f, 3], frames[f, 4], gateway, nodes, book, crowd, log, outs, tally):
            return f
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        if kind == 14:
            deliver(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, log, outs, tally)
        elif kind == 13:
            publish(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, log, outs, tally)
        elif kind == 4:
            shake_hands(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, outs, tally)
        elif kind == 7:
            subscribe(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, outs, tally)
        elif nodes.state[gateway, ALIVE] == 1 and frames[f, 3] // WIDE == gateway * LIFE + nodes.state[gateway, INCARNATION]:
            if kind == 9:
                caught_up(at, gateway, nodes.state[gateway, INCARNATION], frames[f, 3] & LOW, nodes.settings[WARMUP], book, crowd, log, tally)
            else:
                filled(at, gateway, nodes.state[gateway, INCARNATION], frames[f, 3] & LOW, frames[f, 4], nodes.settings[WARMUP], book, crowd, log, tally)
    return count


@inlined
def has_room(kind: int, item: int, extra: int, gateway: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> bool:
    """Whether everything that this frame may send or store has room."""
    if kind == 13:
        return bool(outs.sent[0] < len(outs.up))
    if kind == 4:
        return bool(outs.sent[1] < len(outs.down))
    if kind == 14:
        slot = extra
        if slot < 0:
            channel = log.rows[item - log.base[0], CHANNEL]
            slot = find_slot(channel, gateway, nodes.state[gateway, INCARNATION], book)
        if slot < 0:
            return True
        if len(tally.trail) > 0 and tally.trailed[0] + book.slots[slot, SIZE] > len(tally.trail):
            outs.sent[3] = 2
            return False
        return bool(outs.sent[2] + book.slots[slot, SIZE] <= len(outs.ask))
    if kind == 7:
        subscriptions = crowd.start[item + 1] - crowd.start[item]
        need = rows_needed(item, gateway, nodes.state[gateway, INCARNATION], book, crowd)
        if book.pool[SLOTS_USED] + subscriptions > len(book.slots) or book.pool[POOL_NEXT] + need > len(book.rows):
            outs.sent[3] = 1
            return False
        return bool(outs.sent[2] < len(outs.ask))
    return True


def finish(gateway: int, core: int, begins: int, now: int, nodes: Nodes, tally: Tally) -> None:
    """The core is busy until `now`."""
    nodes.free_at[core] = now
    nodes.busy[gateway] += now - begins
    nodes.state[gateway, FRAMES] += 1
    tally.counters[WORK] += now - begins


@inlined
def deliver(at: int, gateway: int, message: int, slot: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """A message for this gateway's subscribers. What was sent to an earlier life of the gateway is stale; without subscribers it is wasted.

    `slot` < 0 stands for -1 - incarnation: the sender does not know the slot, the gateway looks it up.
    """
    incarnation = nodes.state[gateway, INCARNATION]
    life = -1 - slot
    if slot >= 0:
        life = 0 if slot < book.pool[SLOTS_FIRST] else book.late[slot - book.pool[SLOTS_FIRST], INCARNATION_OF]
    if nodes.state[gateway, ALIVE] == 0 or life != incarnation:
        tally.counters[STALE] += 1
        return
    row = message - log.base[0]
    channel = log.rows[row, CHANNEL]
    if slot < 0:
        slot = find_slot(channel, gateway, incarnation, book)
    if slot < 0 or book.slots[slot, SIZE] == 0:
        tally.counters[WASTED] += 1
        core = gateway * nodes.settings[CORES] + channel % nodes.settings[CORES]
        begins = begin(core, at, nodes)
        now = worked(core, begins + draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway)), nodes)
        finish(gateway, core, begins, now, nodes, tally)
        return
    subscribers = book.slots[slot, SIZE]
    tally.counters[EXPECTED] += subscribers
    nodes.state[gateway, WRITTEN] += subscribers
    nodes.state[gateway, SENT_BYTES] += subscribers * log.rows[row, BYTES]
    late = 1 if log.rows[row, PUBLISHED_AT] >= nodes.settings[WARMUP] else 0
    fan_out(message, row, at, gateway, slot, late, nodes, book, crowd, log, outs, tally)


def publish(at: int, gateway: int, message: int, life: int, nodes: Nodes, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """A publication from a client: read it and pass it on to storage (or to the bus where there is none)."""
    row = message - log.base[0]
    channel = log.rows[row, CHANNEL]
    if nodes.state[gateway, ALIVE] == 0 or life != gateway * LIFE + nodes.state[gateway, INCARNATION]:
        log.rows[row, FATE] = LOST_AT_GATEWAY
        tally.counters[LOST_PUBLICATIONS] += 1
        tally.counters[LOST_OBLIGATIONS] += crowd.members[channel]
        return
    core = core_of(gateway, log.rows[row, PUBLISHER], nodes, crowd)
    begins = begin(core, at, nodes)
    now = worked(core, begins + draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway)), nodes)
    log.rows[row, RECEIVED_AT] = now
    if log.rows[row, PUBLISHED_AT] >= nodes.settings[WARMUP]:
        tally.stages[STAGE_IN, bin_of(now - at)] += 1
    n = outs.sent[0]
    outs.sent[0] = n + 1
    outs.up[n, 0] = now + nodes.settings[UP_DELAY]
    outs.up[n, 1] = (13 << 56) | message
    outs.up[n, 2] = channel % nodes.settings[UP_ROWS] if nodes.settings[UP_ROWS] > 0 else gateway
    outs.up[n, 3] = message
    outs.up[n, 4] = life
    finish(gateway, core, begins, now, nodes, tally)


def shake_hands(at: int, gateway: int, seat: int, incarnation: int, nodes: Nodes, crowd: Crowd, outs: Outs, tally: Tally) -> None:
    """A dial that the balancer sent here: accept it, or refuse it when the node is dead, reborn or full."""
    n = outs.sent[1]
    outs.sent[1] = n + 1
    outs.down[n, 2] = 0
    outs.down[n, 3] = seat
    if nodes.state[gateway, ALIVE] == 0 or incarnation != nodes.state[gateway, INCARNATION] or nodes.state[gateway, OPEN] >= nodes.settings[LIMIT]:
        tally.counters[TURNED_AWAY] += 1
        outs.down[n, 0] = at + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 4] = gateway
        return
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    now = worked(core, begins + draw(nodes.handshake, word(nodes.keys[KEY_HANDSHAKE], crowd.client[seat], at)), nodes)
    finish(gateway, core, begins, now, nodes, tally)
    if now >= nodes.state[gateway, DIES_AT]:  # The node dies with the handshake in its hands.
        tally.counters[TURNED_AWAY] += 1
        outs.down[n, 0] = nodes.state[gateway, DIES_AT] + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 4] = gateway
        return
    nodes.state[gateway, OPEN] += 1
    tally.counters[ACCEPTED] += 1
    crowd.home[seat] = gateway
    crowd.link[seat, LINK_FREE_AT] = 0
    crowd.link[seat, BREAKS_AT] = nodes.state[gateway, DIES_AT]
    outs.down[n, 0] = now + crowd.link[seat, DELAY]
    outs.down[n, 1] = (5 << 56) | seat
    outs.down[n, 4] = gateway * LIFE + incarnation


def subscribe(at: int, gateway: int, seat: int, life: int, nodes: Nodes, book: Book, crowd: Crowd, outs: Outs, tally: Tally) -> None:
    """A client names its channels: from now on it gets what is live, holds it, and asks the log for what it missed."""
    incarnation = nodes.state[gateway, INCARNATION]
    if nodes.state[gateway, ALIVE] == 0 or life != gateway * LIFE + incarnation:
        return
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    now = begins
    first = crowd.start[seat]
    for i in range(first, crowd.start[seat + 1]):
        now = worked(core, now + draw(nodes.subscribe, word(nodes.keys[KEY_SUBSCRIBE], crowd.client[seat], at + i - first)), nodes)
        append_row(crowd.channels[i], gateway, incarnation, seat, -(crowd.resume_cursor[i] + 1), now + nodes.settings[STORE_DELAY], book)
        crowd.held_first[i] = 0
    crowd.subscribed[seat] = 1
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = now + 2 * crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (8 << 56) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = life * WIDE + seat
    outs.ask[n, 4] = 0
    finish(gateway, core, begins, now, nodes, tally)
