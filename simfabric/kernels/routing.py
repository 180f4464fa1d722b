"""What a router does with a message: look up which gateways hold its channel, and send it to each of them.

The routing table is the book of subscriptions seen through leases: a slot is visible from the time it is registered, and a dead
gateway's slots until its lease ends. A router sees the table as it was when it last refreshed its cached entry of the channel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.chance import below, draw, uniform, word
from simfabric.compiling import inlined
from simfabric.kernels.credits import CREDITS, WANT_GATEWAY, Credits, credit_at, life_of_slot, take_credits, want
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.lanes import Lanes, chosen, head, shed, soonest, take_back
from simfabric.kernels.state import (
    CHANNEL,
    CUT,
    GATEWAY,
    GATEWAYS,
    INCARNATION_OF,
    LIVE,
    PUBLISHED_AT,
    RECEIVED_AT,
    ROUTED_AT,
    SAVED_AT,
    SERVED,
    SERVED_AT,
    SET_ASIDE,
    SLOTS_FIRST,
    STAGE_FANOUT,
    VISIBLE_AT,
    VISIBLE_FROM,
    WASTED,
    WORK,
    Book,
    Log,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import FOLLOWS, next_slot

CACHE, STORE_DELAY, WARMUP, HOP = range(4)  # Settings of the senders [ns].
SENT = LIVE  # A router's tally counts the frames that it sent where a gateway's counts deliveries.
LOOKUPS = WASTED  # Likewise: reads of the shared table.
UNROUTED = CUT  # Likewise: frames that it did not send, since their route had been lost.
FROM, UNTIL = 0, 1  # Columns of `lost`.


class Senders(NamedTuple):
    """Routers, or the gateways' own senders: one row each."""

    settings: Any  # int64[4]
    keys: Any  # int64[4]: of the work for a message, and for a target; of the routes that are lost, and of records that cannot be read.
    free_at: Any  # int64[senders]
    dies_at: Any  # int64[senders]: what a router would finish after its death is void.
    busy: Any  # int64[senders]
    refreshed_at: Any  # int64[caches, channels]: when each cached entry was read [ns] + 1; 0 = never.
    poison: Any  # int64[episodes, 4]: when records are published that cannot be read, from and until [ns], how many of 2^31, what attempts at one take [ns].
    evicted_at: Any  # int64[gateways, lives]: when the entries of each life of a gateway end.
    lost: Any  # int64[losses, gateways, 2]: from when until when a share of a gateway's entries are lost [ns].
    lost_since: Any  # int64[losses]: only entries registered from then on are among them [ns].
    lost_share: Any  # float64[losses]
    work: Any  # Laws.
    per_target: Any


@inlined
def visible(slot: int, view: int, book: Book, evicted_at: Any) -> bool:
    """Whether the table showed this slot at time `view`."""
    life = 0
    if slot >= book.pool[SLOTS_FIRST]:
        late = slot - book.pool[SLOTS_FIRST]
        if book.late[late, VISIBLE_FROM] > view:
            return False
        life = book.late[late, INCARNATION_OF]
    return bool(view < evicted_at[book.slots[slot, GATEWAY], life])


def is_lost(slot: int, channel: int, view: int, senders: Senders, book: Book) -> bool:
    """Whether at time `view` the table lacked this slot, which a fault had taken out of it until its gateway registers it again."""
    gateway = book.slots[slot, GATEWAY]
    registered = 0
    if slot >= book.pool[SLOTS_FIRST]:
        registered = book.late[slot - book.pool[SLOTS_FIRST], VISIBLE_FROM]
    for e in range(len(senders.lost)):
        begins = senders.lost[e, gateway, FROM]
        known = registered < senders.lost_since[e] or registered >= begins or view < begins or view >= senders.lost[e, gateway, UNTIL]
        if not known and uniform(senders.keys[2], channel * book.pool[GATEWAYS] + gateway, e) < senders.lost_share[e]:
            return True
    return False


@inlined
def in_vain(message: int, published: int, senders: Senders) -> int:
    """How long a router tries to read a record that cannot be read [ns]; 0 for any other."""
    for n in range(len(senders.poison)):
        drawn = int(below(senders.keys[3], message, n, 2147483648))
        if senders.poison[n, 0] <= published < senders.poison[n, 1] and drawn < senders.poison[n, 2]:
            return int(senders.poison[n, 3])
    return 0


@inlined
def route_frame(
    frames: Any, f: int, credited_at: int, senders: Senders, credit: Credits, book: Book, log: Log, out: Any, sent: Any, tally: Tally
) -> bool:  # fmt: skip
    """Route one frame, not before `credited_at`; nothing happens if `out` has no room for its copies."""
    at = frames[f, 0]
    router = frames[f, 2]
    message = frames[f, 3]
    follows = frames[f, 4] if frames[f, 4] == FOLLOWS else 0  # It goes in one frame with the one before it.
    row = message - log.base[0]
    channel = log.rows[row, CHANNEL]
    ready = at
    cached = router if len(senders.refreshed_at) > 1 else 0  # A channel has one router of a group, but every gateway that sends for itself.
    view = senders.refreshed_at[cached, channel] - 1
    stale = view < 0 or at >= view + senders.settings[CACHE]
    if stale:
        view = at
        ready = at + senders.settings[STORE_DELAY]
    targets = 0
    lossy = len(senders.lost) > 0
    s = next_slot(channel, -1, book)
    while s >= 0:
        if visible(s, view, book, senders.evicted_at):
            targets += 1
        s = next_slot(channel, s, book)
    if sent[0] + targets > len(out):
        return False
    if stale:
        senders.refreshed_at[cached, channel] = view + 1
        tally.counters[LOOKUPS] += 1
    begins = max(max(ready, credited_at), senders.free_at[router])
    spent = draw(senders.work, word(senders.keys[0], message, 0))
    n = sent[0]
    s = next_slot(channel, -1, book)
    vain = in_vain(message, log.rows[row, PUBLISHED_AT], senders)
    if vain > 0:  # It is set aside, and goes to nobody.
        spent = vain
        targets = 0
        s = -1
    while s >= 0:
        if visible(s, view, book, senders.evicted_at):
            if lossy and is_lost(s, channel, view, senders, book):
                tally.counters[UNROUTED] += 1
                targets -= 1
                s = next_slot(channel, s, book)
                continue
            if follows == 0:
                spent += draw(senders.per_target, word(senders.keys[1], message, book.slots[s, GATEWAY]))
            out[n, 0] = begins + spent + senders.settings[HOP]
            out[n, 1] = frames[f, 1]
            out[n, 2] = book.slots[s, GATEWAY]
            out[n, 3] = message
            out[n, 4] = s + follows
            n += 1
        s = next_slot(channel, s, book)
    done = begins + spent
    if done > senders.dies_at[router]:  # It dies before it has sent anything.
        done = max(senders.free_at[router], min(done, senders.dies_at[router]))
        spent = max(0, done - begins)
        log.rows[row, ROUTED_AT] = 0
        n = sent[0]
        targets = 0
    else:
        log.rows[row, ROUTED_AT] = done
        if vain > 0:
            tally.counters[SET_ASIDE] += 1
        if credit.settings[CREDITS] > 0 and follows == 0:
            take_credits(router, out, sent[0], n, book, credit)
    tally.counters[SENT] += targets
    sent[0] = n
    senders.free_at[router] = done
    senders.busy[router] += spent
    tally.counters[SERVED] += 1
    tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
    tally.counters[WORK] += spent
    if log.rows[row, ROUTED_AT] > 0 and vain == 0 and log.rows[row, PUBLISHED_AT] >= senders.settings[WARMUP]:
        entered = max(log.rows[row, VISIBLE_AT], max(log.rows[row, SAVED_AT], log.rows[row, RECEIVED_AT]))
        tally.stages[STAGE_FANOUT, bin_of(done - entered)] += 1
    return True


def route(frames: Any, begin: int, count: int, senders: Senders, credit: Credits, book: Book, log: Log, out: Any, sent: Any, tally: Tally) -> int:
    """Route the frames begin .. count until `out` is full; returns the first frame not routed. sent[0]: frames written so far.

    A cached entry older than `cache` is read again from the store, which takes `store_delay` but not the router's processor: look-ups of
    waiting messages overlap, and the order of messages stays.
    """
    for f in range(begin, count):
        if not route_frame(frames, f, 0, senders, credit, book, log, out, sent, tally):
            return f
    return count


def route_by_credit(
    frames: Any, begin: int, count: int, end: int, done: Any, senders: Senders, credit: Credits, book: Book, log: Log, out: Any, sent: Any, tally: Tally
) -> int:
    """The same with credits, for frames by row: a message goes when its router has a credit for each of its gateways; the others wait behind it.

    What has its credits before `end` is routed, done[f] = 1; so that what waits does not depend on the window. A router that has died waits for none.
    Returns the first frame of the row in which `out` became full, or `count`.
    """
    first = begin
    while first < count:
        router = frames[first, 2]
        last = first
        while last < count and frames[last, 2] == router:
            last += 1
        for f in range(first, last):
            if done[f] == 1:
                continue
            credited_at = credited(frames, f, senders, credit, book, log)
            if credited_at >= end and end <= senders.dies_at[router]:
                break
            if not route_frame(frames, f, min(credited_at, end), senders, credit, book, log, out, sent, tally):
                return first
            done[f] = 1
            credit.wants[router, WANT_GATEWAY] = -1
        first = last
    return count


def credited(frames: Any, f: int, senders: Senders, credit: Credits, book: Book, log: Log) -> int:
    """When the router of a frame has a credit for every gateway to which it goes [ns], as far as is known; notes which it lacks last."""
    router = frames[f, 2]
    if frames[f, 4] == FOLLOWS:
        return 0
    channel = log.rows[frames[f, 3] - log.base[0], CHANNEL]
    view = senders.refreshed_at[router if len(senders.refreshed_at) > 1 else 0, channel] - 1
    if view < 0 or frames[f, 0] >= view + senders.settings[CACHE]:
        view = frames[f, 0]
    latest = 0
    s = next_slot(channel, -1, book)
    while s >= 0:
        if visible(s, view, book, senders.evicted_at) and not (len(senders.lost) > 0 and is_lost(s, channel, view, senders, book)):
            life = life_of_slot(s, book)
            at = credit_at(router, book.slots[s, GATEWAY], life, credit)
            if at > latest:
                latest = at
                want(router, book.slots[s, GATEWAY], life, credit)
        s = next_slot(channel, s, book)
    return latest


def route_by_lane(
    frames: Any, begin: int, count: int, end: int, done: Any, lanes: Lanes, senders: Senders, credit: Credits, book: Book, log: Log, out: Any, sent: Any,
    tally: Tally,
) -> int:  # fmt: skip
    """The same by lanes, for frames by row: whenever a router is free before `end`, it takes up the frame whose turn it is. done[f] = 1 when it has.

    Returns the first frame of the row in which `out` became full, or `count`.
    """
    first = begin
    while first < count:
        row = frames[first, 2]
        last = first
        while last < count and frames[last, 2] == row:
            last += 1
        a = b = c = first
        while True:
            a, b, c = head(frames, a, last, 0, 13, done, log), head(frames, b, last, 1, 13, done, log), head(frames, c, last, 2, 13, done, log)
            now = max(senders.free_at[row], soonest(frames, a, b, c, last))
            if now >= end:
                break
            lane = chosen(frames, a, b, c, last, row, now, lanes)
            f = a if lane == 0 else b if lane == 1 else c
            if lane == 2 and now - frames[f, 0] > lanes.settings[1]:
                shed(frames[f, 0], tally)
            elif not route_frame(frames, f, 0, senders, credit, book, log, out, sent, tally):
                take_back(row, lane, frames, a, b, c, last, now, lanes)
                return first
            done[f] = 1
        first = last
    return count
