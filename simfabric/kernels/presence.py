"""What the presence store does: it keeps who is online, waits before it tells that somebody went, and tells the gateways of a channel.

A device is connected while the store knows a ticket of its connection, a user online while any of their devices is. What is said of an
earlier connection than the one that the store knows changes nothing: so a device that is back before its old gateway missed it never goes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.chance import draw, word
from simfabric.compiling import inlined
from simfabric.kernels.frames import AT
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import ALIVE, GATEWAY, INCARNATION, INCARNATION_OF, SLOTS_FIRST, VISIBLE_FROM, WIDE, Book, Crowd, Nodes
from simfabric.kernels.subscriptions import next_slot

# Kinds of its frames, in the order in which those of one instant are served.
JOIN = 40  # A gateway has accepted a connection: item = seat, extra = ticket.
PART = 41  # It has ended: the same.
LAPSE = 42  # The lease of an entry ended: the same.
CALM = 43  # A user has been away for as long as the debounce: item = seat of the last device, extra = when it went [ns].
UPDATE = 44  # A user's presence, for one gateway and one of the user's channels; see `looking`.

# Settings of the store [ns], and its counters.
DEBOUNCE, PATIENCE, CHANNELS, LEASE, HOP = range(5)
JOINED, PARTED, LAPSED, RENEWED, LATE, PUBLISHED, SUPPRESSED, UNTOLD, SENT, SERVED, SERVED_AT, WORK, WAITED, WAITED_MOST = range(14)
STORE_COUNTERS = 16
NOTHING, OFFLINE, ONLINE = -1, 0, 1


class Entries(NamedTuple):
    """What the store keeps."""

    ticket: Any  # int32[seats]: the connection of each device, -1 = none.
    devices: Any  # int16[users]: connected devices.
    shown: Any  # int8[users]: 1 if the others were told last that the user is online.
    last_seen: Any  # int64[users]: when the user's last connection ended [ns]; -1 = never.
    gone_at: Any  # int64[users]: since when an update waits for the debounce [ns]; -1 = none does.


def serve_presence(
    frames: Any, first: int, count: int, settings: Any, user_of: Any, free_at: Any, busy: Any, law: Any, key: int, entries: Entries, nodes: Nodes, book: Book,
    crowd: Crowd, out: Any, timers: Any, sent: Any, seconds: Any, counters: Any
) -> int:  # fmt: skip
    """Serve frames first .. count until `out` has no room for the next one's updates; returns the first frame not served.

    sent: frames written to `out` (gateways) and to `timers` (the store itself). seconds: updates told in each second.
    """
    for f in range(first, count):
        at = frames[f, AT]
        kind = frames[f, 1] >> 56
        seat = frames[f, 3]
        extra = frames[f, 4]
        user = user_of[crowd.client[seat]]
        ends = PART <= kind <= LAPSE and entries.ticket[seat] == extra
        comes = kind == JOIN and entries.ticket[seat] < 0
        goes_off = ends and entries.devices[user] == 1
        goes_on = comes and entries.devices[user] == 0
        status = NOTHING
        if (goes_off and settings[DEBOUNCE] == 0) or (kind == CALM and entries.gone_at[user] == extra):
            status = OFFLINE
        elif goes_on and entries.shown[user] == 0:
            status = ONLINE
        if status != NOTHING and sent[0] + targets(at, seat, settings[CHANNELS], nodes, book, crowd) > len(out):
            return f
        counters[SERVED] += 1
        counters[SERVED_AT] = (counters[SERVED_AT] + at) & 4611686018427387903
        if kind == CALM and status == NOTHING:
            continue
        server = free_first(free_at, 0, len(free_at))
        waited = max(0, free_at[server] - at)
        work = draw(law, word(key, crowd.client[seat], at))
        done = at + waited + work
        free_at[server] = done
        busy[server] += work
        counters[WORK] += work
        counters[WAITED] += waited
        counters[WAITED_MOST] = max(counters[WAITED_MOST], waited)
        if kind == JOIN:
            counters[RENEWED] += 0 if comes else 1
            entries.ticket[seat] = extra
            entries.devices[user] += 1 if comes else 0
            if goes_on:
                counters[JOINED] += 1
                if status == NOTHING:  # Neither that the user went nor that they are back is told.
                    entries.gone_at[user] = -1
                    counters[SUPPRESSED] += 2
        elif ends:
            counters[LAPSED] += 1 if kind == LAPSE else 0
            entries.ticket[seat] = -1
            entries.devices[user] -= 1
            if goes_off:
                counters[PARTED] += 1
                entries.last_seen[user] = at - (settings[LEASE] if kind == LAPSE else settings[HOP])
                if status == NOTHING:
                    entries.gone_at[user] = at
                    wait_for_calm(done + settings[DEBOUNCE], seat, at, timers, sent)
        elif kind == CALM:
            entries.gone_at[user] = -1
        else:
            counters[LATE] += 1
        if status != NOTHING:
            entries.shown[user] = status
            if waited > settings[PATIENCE]:
                counters[UNTOLD] += 1
                continue
            counters[PUBLISHED] += 1
            seconds[min(done // 1000000000, len(seconds) - 1)] += 1
            tell_gateways(at, done + settings[HOP], seat, status, settings[CHANNELS], nodes, book, crowd, out, sent, counters)
    return count


def wait_for_calm(until: int, seat: int, at: int, timers: Any, sent: Any) -> None:
    """The store looks again after the debounce."""
    n = sent[1]
    sent[1] = n + 1
    timers[n, 0] = until
    timers[n, 1] = (CALM << 56) | seat
    timers[n, 2] = 0
    timers[n, 3] = seat
    timers[n, 4] = at


@inlined
def hears_of(slot: int, view: int, nodes: Nodes, book: Book) -> bool:
    """Whether the store knew at time `view` that this slot's gateway has the channel, and the gateway's connection to it still stands."""
    gateway = book.slots[slot, GATEWAY]
    life = 0
    if slot >= book.pool[SLOTS_FIRST]:
        late = slot - book.pool[SLOTS_FIRST]
        if book.late[late, VISIBLE_FROM] > view:
            return False
        life = book.late[late, INCARNATION_OF]
    return bool(nodes.state[gateway, ALIVE] == 1 and nodes.state[gateway, INCARNATION] == life)


def targets(view: int, seat: int, channels: int, nodes: Nodes, book: Book, crowd: Crowd) -> int:
    """Frames that an update of this seat's user takes."""
    found = 0
    first = crowd.start[seat]
    for i in range(first, min(first + channels, crowd.start[seat + 1])):
        channel = crowd.channels[i]
        s = next_slot(channel, -1, book)
        while s >= 0:
            if hears_of(s, view, nodes, book):
                found += 1
            s = next_slot(channel, s, book)
    return found


def tell_gateways(
    view: int, at: int, seat: int, status: int, channels: int, nodes: Nodes, book: Book, crowd: Crowd, out: Any, sent: Any, counters: Any
) -> None:
    """One frame to every gateway that has the first channels of the user's: item = life, channel's place, status and seat, extra = `view`."""
    n = sent[0]
    first = crowd.start[seat]
    for i in range(first, min(first + channels, crowd.start[seat + 1])):
        s = next_slot(crowd.channels[i], -1, book)
        place = i - first
        while s >= 0:
            if hears_of(s, view, nodes, book):
                gateway = book.slots[s, GATEWAY]
                out[n, 0] = at
                out[n, 1] = (UPDATE << 56) | (status << 47) | (place << 32) | seat
                out[n, 2] = gateway
                out[n, 3] = ((nodes.state[gateway, INCARNATION] << 11) | (place << 1) | status) * WIDE + seat
                out[n, 4] = view
                n += 1
            s = next_slot(crowd.channels[i], s, book)
    counters[SENT] += n - sent[0]
    sent[0] = n
