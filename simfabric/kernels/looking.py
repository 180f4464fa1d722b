"""Presence at a gateway: what it says to the presence store, and to whom it writes what the store says.

An update is written to those subscribers of a channel who have the others' presence in view, whom a draw by client and channel decides. It is
transient (protocol rules P7 and D3): written once, and the first to be dropped where a buffer fills.
"""

from __future__ import annotations

from simfabric.chance import GOLDEN, draw, mixed, uniform, word
from simfabric.compiling import MASK, to_word
from simfabric.kernels.catching_up import tell
from simfabric.kernels.cores import begin, core_of, end_turn, finish, take_up, worked
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.pacing import is_full, sent_at
from simfabric.kernels.presence import JOIN, PART
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    ALIVE,
    API_DELAY,
    BREAKS_AT,
    BYTE_COST,
    CORES,
    DELAY,
    FRAMES,
    INCARNATION,
    KEY_DELIVERY,
    KEY_FRAME,
    LIFE,
    LINK_FREE_AT,
    LOW,
    PACE,
    SEAT,
    SENT_BYTES,
    SESSION,
    SHARED,
    SIZE,
    SOFT_BUFFER,
    START,
    WARMUP,
    WIDE,
    WRITTEN,
    Book,
    Crowd,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.subscriptions import find_slot
from simfabric.kernels.tickets import life_of

PRESENCE, UPDATE_BYTES, BY_NUMBER = 29, 30, 31  # Settings of the gateways.
LOOKING = 2  # Of their shares: the share, or the mean number, of a channel's subscribers who look.
KEY_LOOKING = 7
SEEN = 45  # Kind of a frame: an update reaches a session; row = when it was due, extra = channel, status and seat.

# Counters: frames served, of them to another life of the gateway, without subscribers, or dropped as too late; then subscribers by outcome.
UPDATES, UPDATES_STALE, UPDATES_WASTED, UPDATES_SHED, MEMBERS, NOT_LOOKING, SHOWN, SHOWN_CUT, SHOWN_FULL, SHOWN_IN_VAIN = range(48, 58)


def say(kind: int, at: int, seat: int, ticket: int, outs: Outs) -> None:
    """Tell the presence store that a connection begins (JOIN) or has ended (PART)."""
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = at
    outs.ask[n, 1] = (kind << 56) | ((ticket % 134217728 // LIFE) << 32) | seat
    outs.ask[n, 2] = 0
    outs.ask[n, 3] = seat
    outs.ask[n, 4] = ticket


def say_joined(now: int, seat: int, ticket: int, nodes: Nodes, outs: Outs) -> None:
    """This connection is accepted."""
    if nodes.settings[PRESENCE] == 1:
        say(JOIN, now + nodes.settings[API_DELAY], seat, ticket, outs)


def say_parted(at: int, gateway: int, item: int, nodes: Nodes, outs: Outs) -> None:
    """This connection has ended, unless it was one of another life of the gateway."""
    if nodes.settings[PRESENCE] == 1 and life_of(item // WIDE) == gateway * LIFE + nodes.state[gateway, INCARNATION]:
        say(PART, at + nodes.settings[API_DELAY], item & LOW, item // WIDE, outs)


def looks(seat: int, channel: int, nodes: Nodes, crowd: Crowd) -> bool:
    """Whether this client has the presence of the others in the channel in view."""
    of = crowd.members[channel] if nodes.settings[BY_NUMBER] == 1 else 1
    return bool(uniform(nodes.keys[KEY_LOOKING], crowd.client[seat], channel) * of < nodes.shares[LOOKING])


def slot_of_update(gateway: int, item: int, nodes: Nodes, book: Book, crowd: Crowd) -> int:
    """The slot that an update is for, -1 if it is for another life, or for a channel that the gateway does not have."""
    high = item // WIDE
    if nodes.state[gateway, ALIVE] == 0 or high >> 11 != nodes.state[gateway, INCARNATION]:
        return -1
    return find_slot(crowd.channels[crowd.start[item & LOW] + (high >> 1 & 1023)], gateway, nodes.state[gateway, INCARNATION], book)


def show(at: int, gateway: int, item: int, due: int, nodes: Nodes, book: Book, crowd: Crowd, outs: Outs, tally: Tally) -> None:
    """A user's presence, for the subscribers here of one of the user's channels; `due` is when the store had it to tell [ns].

    Each core that has somebody who looks reads the frame once. The user's own device is not told.
    """
    high = item // WIDE
    subject = item & LOW
    status = high & 1
    incarnation = nodes.state[gateway, INCARNATION]
    tally.counters[UPDATES] += 1
    if nodes.state[gateway, ALIVE] == 0 or high >> 11 != incarnation:
        tally.counters[UPDATES_STALE] += 1
        return
    channel = crowd.channels[crowd.start[subject] + (high >> 1 & 1023)]
    name = due + (crowd.client[subject] << 20) + (high & 2047)
    read = draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], name, gateway))
    late = 1 if due >= nodes.settings[WARMUP] else 0
    slot = find_slot(channel, gateway, incarnation, book)
    if slot < 0 or book.slots[slot, SIZE] == 0:
        tally.counters[UPDATES_WASTED] += 1
        core = gateway * nodes.settings[CORES] + channel % nodes.settings[CORES]
        if nodes.settings[SHARED] == 1:
            core = core_of(gateway, 0, nodes, crowd)
        begins = begin(core, at, nodes)
        finish(gateway, core, begins, worked(core, begins + read, nodes), nodes, tally)
        return
    first_core = gateway * nodes.settings[CORES]
    shared = nodes.settings[SHARED]
    chosen = free_first(nodes.free_at, first_core, nodes.settings[CORES]) if shared == 1 else first_core
    turn = nodes.state[gateway, FRAMES] + 1
    size = nodes.settings[UPDATE_BYTES]
    byte_work = (size * nodes.settings[BYTE_COST]) >> 20
    slowed = len(crowd.slowed) > 1
    hashed = mixed((to_word(name) * GOLDEN) & MASK)
    first = book.slots[slot, START]
    tally.counters[MEMBERS] += book.slots[slot, SIZE]
    for r in range(first, first + book.slots[slot, SIZE]):
        half_open = book.rows[r, SEAT] < 0
        seat = -2 - book.rows[r, SEAT] if half_open else book.rows[r, SEAT]
        if seat == subject or not looks(seat, channel, nodes, crowd):
            tally.counters[NOT_LOOKING] += 1
            continue
        pace = crowd.link[seat, PACE]
        core = chosen if shared == 1 else first_core + ((pace >> 8) & 255)
        if nodes.turn[core, 0] != turn:
            take_up(core, turn, at, read, late, nodes, tally)
        pace >>= 16
        wired, now, bound = crowd.link[seat, LINK_FREE_AT], nodes.free_at[core], nodes.settings[SOFT_BUFFER]
        full = is_full(now, wired, bound, seat, crowd) if slowed else pace > 0 and wired - now > bound * pace and wired > now
        if full and not half_open:
            tally.counters[SHOWN_FULL] += 1
            continue
        entity = 0 if len(nodes.delivery) == 1 else crowd.client[seat]
        now = worked(core, nodes.free_at[core] + draw(nodes.delivery, word(nodes.keys[KEY_DELIVERY], name, entity)) + byte_work, nodes)
        nodes.free_at[core] = now
        if half_open:  # A write to a connection on which nothing passes costs what any other costs.
            tally.counters[SHOWN_IN_VAIN] += 1
            continue
        wired = sent_at(max(now, wired), size, seat, crowd) if slowed else max(now, wired) + size * pace
        arrives = wired + crowd.link[seat, DELAY]
        if arrives >= crowd.link[seat, BREAKS_AT]:
            tally.counters[SHOWN_CUT] += 1
            continue
        crowd.link[seat, LINK_FREE_AT] = wired
        nodes.state[gateway, WRITTEN] += 1
        nodes.state[gateway, SENT_BYTES] += size
        if crowd.link[seat, PACE] & SESSION:
            tell(arrives, (SEEN << 56) | ((turn & 16777215) << 32) | seat, due, seat, (channel * 2 + status) * WIDE + subject, outs)
        tally.counters[SHOWN] += 1
        if late == 1:
            tally.seen[bin_of(arrives - due)] += 1
        tally.digest[0] = (tally.digest[0] + mixed(((to_word(arrives) + ((to_word(seat) * GOLDEN) & MASK)) & MASK) ^ hashed)) & MASK
    end_turn(gateway, first_core, turn, nodes, tally)
