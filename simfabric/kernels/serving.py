"""What gateways do with frames: one pass over the frames of a range of gateways, each gateway's in (at, id) order, or by lanes."""

from __future__ import annotations

from typing import Any

from simfabric.compiling import inlined
from simfabric.kernels.catching_up import caught_up, filled, told
from simfabric.kernels.credits import CREDITS, SENDER, Credits, give_back, taken_up_at
from simfabric.kernels.fanout import warm
from simfabric.kernels.gateways import deliver, publish, shake_hands, subscribe
from simfabric.kernels.lanes import Lanes, chosen, head, shed, soonest, take_back
from simfabric.kernels.leaving import become_ghost, drop_ghost, leave
from simfabric.kernels.limiting import postpone, publish_within, subscribe_within
from simfabric.kernels.limits import OF_PUBLISHING, OF_SUBSCRIBING, OF_USERS, Limits, enter
from simfabric.kernels.looking import UPDATES, UPDATES_SHED, say_parted, show, slot_of_update
from simfabric.kernels.servers import free_first
from simfabric.kernels.snapshots import not_reset, reset
from simfabric.kernels.state import (
    ACCEPTED,
    AHEAD,
    ALIVE,
    CHANNEL,
    CORES,
    INCARNATION,
    LIFE,
    LOW,
    OVERFLOW_GRACE,
    POOL_NEXT,
    SERVED,
    SERVED_AT,
    SESSIONS,
    SIZE,
    SLOTS_USED,
    WIDE,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)
from simfabric.kernels.subscriptions import FOLLOWS, find_slot, rows_needed
from simfabric.kernels.tickets import ticket_of


def serve(
    frames: Any, first: int, count: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally, limits: Limits, credit: Credits
) -> int:  # fmt: skip
    """Serve frames first .. count, until one needs more room than the bundles have; returns the first frame not served."""
    warmed = first
    for f in range(first, count):
        if f == warmed and nodes.settings[AHEAD] > 0:
            warmed = min(f + nodes.settings[AHEAD], count)
            outs.sent[4] = warm(frames, f, warmed, book, crowd)  # Kept, so that no compiler leaves it out.
        if not serve_frame(frames, f, nodes, book, crowd, log, outs, tally, limits, credit):
            return f
    return count


def serve_by_lane(
    frames: Any, first: int, count: int, end: int, done: Any, lanes: Lanes, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally,
    limits: Limits, credit: Credits,
) -> int:  # fmt: skip
    """The same with a delivery queue in front of each gateway's cores: whenever a core is free before `end`, the message whose turn it is goes.

    Frames that are no deliveries are served as they come. done[f] = 1 for what has been served. Returns the first frame of the gateway that needs
    more room, or `count`.
    """
    while first < count:
        gateway = frames[first, 2]
        last = first
        while last < count and frames[last, 2] == gateway:
            last += 1
        first_core = gateway * nodes.settings[CORES]
        a = b = c = other = warmed = first
        lane = 0
        while True:
            a, b, c = head(frames, a, last, 0, 14, done, log), head(frames, b, last, 1, 14, done, log), head(frames, c, last, 2, 14, done, log)
            while other < last and (done[other] != 0 or frames[other, 1] >> 56 == 14 or frames[other, 1] >> 56 == 44):
                other += 1
            core = free_first(nodes.free_at, first_core, nodes.settings[CORES])
            now = max(nodes.free_at[core], soonest(frames, a, b, c, last))
            if other < last and frames[other, 0] <= now:
                f = other
            elif now >= end:
                break
            else:
                lane = chosen(frames, a, b, c, last, gateway, now, lanes)
                f = a if lane == 0 else b if lane == 1 else c
                if lane == 2 and now - frames[f, 0] > lanes.settings[1]:
                    shed(frames[f, 0], tally)
                    if frames[f, 1] >> 56 == 44:
                        tally.counters[UPDATES] += 1
                        tally.counters[UPDATES_SHED] += 1
                    done[f] = 1
                    continue
            if f >= warmed and nodes.settings[AHEAD] > 0:
                warmed = min(f + nodes.settings[AHEAD], last)
                outs.sent[4] = warm(frames, f, warmed, book, crowd)
            if not serve_frame(frames, f, nodes, book, crowd, log, outs, tally, limits, credit):
                if f != other:
                    take_back(gateway, lane, frames, a, b, c, last, now, lanes)
                return first
            done[f] = 1
        first = last
    return count


@inlined
def serve_frame(
    frames: Any, f: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally, limits: Limits, credit: Credits
) -> bool:  # fmt: skip
    """Serve one frame; nothing happens if it needs more room than the bundles have."""
    at = frames[f, 0]
    kind = frames[f, 1] >> 56
    gateway = frames[f, 2]
    extra = frames[f, 4]
    by_credit = kind == 14 and credit.settings[CREDITS] > 0
    if by_credit:
        extra %= SENDER
    if not has_room(kind, frames[f, 3], extra, gateway, nodes, book, crowd, log, outs, tally):
        return False
    tally.counters[SERVED] += 1
    tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
    if kind == 14:
        dropped_at = deliver(at, gateway, frames[f, 3], extra, nodes, book, crowd, log, outs, tally)
        if by_credit and extra < FOLLOWS:
            give_back(frames[f, 4], gateway, taken_up_at(at, gateway, nodes) if dropped_at < 0 else dropped_at, nodes, book, credit)
    elif kind == 13:
        goes_on_at = at
        if limits.settings[OF_PUBLISHING] == 1:
            goes_on_at = publish_within(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, log, outs, tally, limits)
        if goes_on_at >= at:
            publish(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, log, outs, tally)
        if goes_on_at > at:
            postpone(goes_on_at, frames[f, 3], nodes, log, outs)
    elif kind == 4:
        accepted = tally.counters[ACCEPTED]
        shake_hands(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, outs, tally)
        if limits.settings[OF_USERS] == 1 and tally.counters[ACCEPTED] > accepted:
            enter(frames[f, 3], gateway * LIFE + frames[f, 4], crowd, limits)
    elif kind == 7:
        goes_on_at = at
        if limits.settings[OF_SUBSCRIBING] == 1:
            goes_on_at = subscribe_within(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, outs, tally, limits)
        if goes_on_at >= at:
            subscribe(at, goes_on_at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, outs, tally)
    elif kind == 44:
        show(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, outs, tally)
    elif kind == 28:
        if nodes.state[gateway, ALIVE] == 1:
            say_parted(at, gateway, frames[f, 3], nodes, outs)
            drop_ghost(gateway, frames[f, 3], frames[f, 4], nodes, book, crowd)
    elif nodes.state[gateway, ALIVE] == 1 and frames[f, 3] // WIDE == ticket_of(gateway, frames[f, 3] & LOW, nodes, crowd):
        if kind == 18:
            told(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, log, outs, tally)
        elif kind == 9:
            caught_up(at, gateway, frames[f, 3], nodes, book, crowd, log, outs, tally)
        elif kind == 11:
            filled(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, log, outs, tally)
        elif kind == 23:
            reset(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, log, outs, tally)
        elif kind == 24:
            say_parted(at, gateway, frames[f, 3], nodes, outs)
            leave(gateway, frames[f, 3], nodes, book, crowd)
        elif kind == 27:
            become_ghost(at, gateway, frames[f, 3], frames[f, 4], nodes, book, crowd, outs)
        else:
            not_reset(at, gateway, frames[f, 3], frames[f, 4], nodes, crowd, outs)
    return True


@inlined
def has_room(kind: int, item: int, extra: int, gateway: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> bool:
    """Whether everything that this frame may send or store has room."""
    if kind == 13:
        return bool(outs.sent[0] < len(outs.up) and outs.sent[1] < len(outs.down))
    if kind == 4:
        return bool(outs.sent[1] < len(outs.down) and outs.sent[2] < len(outs.ask))
    if kind == 44:
        slot = slot_of_update(gateway, item, nodes, book, crowd) if nodes.settings[SESSIONS] == 1 else -1
        return bool(slot < 0 or outs.sent[1] + book.slots[slot, SIZE] <= len(outs.down))
    if kind == 14:
        slot = extra
        if slot >= FOLLOWS:
            slot -= FOLLOWS
        if slot < 0:
            channel = log.rows[item - log.base[0], CHANNEL]
            slot = find_slot(channel, gateway, nodes.state[gateway, INCARNATION], book)
        if slot < 0:
            return True
        if len(tally.trail) > 0 and tally.trailed[0] + 64 * book.slots[slot, SIZE] > len(tally.trail):  # With what joins on.
            outs.sent[3] = 2
            return False
        told_of = book.slots[slot, SIZE] if nodes.settings[SESSIONS] == 1 or nodes.settings[OVERFLOW_GRACE] >= 0 else 0
        return bool(outs.sent[2] + book.slots[slot, SIZE] <= len(outs.ask) and outs.sent[1] + told_of <= len(outs.down))
    if kind == 7:
        seat = item & LOW
        subscriptions = crowd.start[seat + 1] - crowd.start[seat]
        need = rows_needed(seat, gateway, nodes.state[gateway, INCARNATION], book, crowd)
        if book.pool[SLOTS_USED] + subscriptions > len(book.slots) or book.pool[POOL_NEXT] + need > len(book.rows):
            outs.sent[3] = 1
            return False
        return bool(outs.sent[1] < len(outs.down) and outs.sent[2] < len(outs.ask))
    if kind == 24 or kind == 28 or kind == 27:
        return bool(outs.sent[2] < len(outs.ask))
    seat = item & LOW  # It may have to ask again for each of its channels.
    subscriptions = crowd.start[seat + 1] - crowd.start[seat]
    if len(tally.trail) > 0 and tally.trailed[0] + len(log.rows) + 2 * subscriptions + 2 > len(tally.trail):
        outs.sent[3] = 2  # A client catches up with no more than the log holds.
        return False
    return bool(outs.sent[1] + subscriptions < len(outs.down) and outs.sent[2] + subscriptions < len(outs.ask))
