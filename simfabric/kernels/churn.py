"""Churn: users who come and go, and connections on which nothing passes any more while nobody has been told.

When a connection ends is drawn when it is made, since what is written to it is settled then and there. A user closes the page: the client says
farewell. A silent end (a NAT that forgets, a change of radio) is found by heartbeat, by each side for itself: the client when no byte has come for
too long, the gateway when a ping has no answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.chance import draw, uniform, word
from simfabric.kernels.lifecycle import NOT_READY, taken
from simfabric.kernels.state import BREAKS_AT, DELAY, LINK_FREE_AT, WIDE, Crowd
from simfabric.kernels.tickets import SILENT, gateway_of
from simfabric.protocol.machine import LOGOUT
from simfabric.protocol.rules import hb_deadline, ping_at

LEAST, INTERVAL, TIMEOUT, STEP_TIMEOUT = range(4)  # Settings: least stay and absence, heartbeat, and how long a step of connecting may take [ns].
SILENTLY, STAYS_FROM, STAYS_TO, AWAY_FROM, AWAY_TO = range(5)  # Columns of a part.
KEY_STAY, KEY_AWAY, KEY_PHASE = range(3)
FOUND_DEAD = 3  # Row of a NOTICE: no sign of life for too long.


class Habits(NamedTuple):
    """Who comes and goes, and how."""

    part: Any  # int8[seats]: the part of the clients to which each belongs, -1 = those who stay.
    parts: Any  # int64[parts, 5]
    tables: Any  # float64[..]: the laws of all parts, one after the other.
    settings: Any  # int64[4]
    keys: Any  # int64[3]


def stay_of(seat: int, habits: Habits, crowd: Crowd) -> int:
    """How long this connection will last if nothing else ends it; its name is the number of its dial."""
    part = habits.part[seat]
    table = habits.tables[habits.parts[part, STAYS_FROM] : habits.parts[part, STAYS_TO]]
    return int(max(habits.settings[LEAST], draw(table, word(habits.keys[KEY_STAY], crowd.client[seat], crowd.dials[seat]))))


def away_of(seat: int, habits: Habits, crowd: Crowd) -> int:
    """How long the user stays away."""
    part = habits.part[seat]
    table = habits.tables[habits.parts[part, AWAY_FROM] : habits.parts[part, AWAY_TO]]
    return int(max(habits.settings[LEAST], draw(table, word(habits.keys[KEY_AWAY], crowd.client[seat], crowd.dials[seat]))))


def ping_before(opened: int, end: int, seat: int, habits: Habits, crowd: Crowd) -> int:
    """When the last ping before `end` reached the client, which opened its connection at `opened`; if there was none, an interval before the first."""
    interval = habits.settings[INTERVAL]
    u = uniform(habits.keys[KEY_PHASE], crowd.client[seat], crowd.dials[seat])
    first = ping_at(opened, interval, u, True)
    return int(first + ((end - 1 - first) // interval) * interval if first < end else first - interval)


def dropped_at(opened: int, end: int, seat: int, habits: Habits, crowd: Crowd) -> int:
    """When the gateway gives up a connection on which nothing passes from `end` on: the first ping that the client does not get has no answer."""
    lost = ping_before(opened, end, seat, habits, crowd) + habits.settings[INTERVAL] - crowd.link[seat, DELAY]
    return int(max(lost + habits.settings[TIMEOUT], end + habits.settings[TIMEOUT] // 10))


def stay(seat: int, at: int, ticket: int, habits: Habits, crowd: Crowd, up: Any, again: Any, sent: Any) -> None:
    """A connection is open: its end is known to all that it concerns, if it has one."""
    if len(crowd.opened_at) > 1:
        crowd.opened_at[seat] = at
    part = habits.part[seat]
    if part < 0:
        return
    end = at + stay_of(seat, habits, crowd)
    crowd.link[seat, BREAKS_AT] = min(crowd.link[seat, BREAKS_AT], end)
    if habits.parts[part, SILENTLY] == 0:
        write(again, sent, 2, end, (30 << 56) | seat, 0, seat, ticket)
        return
    write(again, sent, 2, end, (31 << 56) | seat, 0, seat, ticket)
    write(up, sent, 0, end, (27 << 56) | seat, gateway_of(ticket), ticket * WIDE + seat, dropped_at(at, end, seat, habits, crowd))


def stay_all(habits: Habits, crowd: Crowd, up: Any, again: Any, sent: Any) -> None:
    """The same for everybody who is connected when the run begins."""
    for seat in range(len(crowd.home)):
        if crowd.home[seat] >= 0:
            stay(seat, 0, crowd.belief[seat], habits, crowd, up, again, sent)


def go(at: int, seat: int, ticket: int, hop: int, table: Any, effects: Any, habits: Habits, crowd: Crowd, up: Any, dial: Any, again: Any, sent: Any) -> None:
    """The user closes the page, and comes again later."""
    taken(seat, LOGOUT, table, effects, crowd)
    crowd.belief[seat] = -1
    farewell(at, seat, ticket, hop, crowd, up, dial, sent)
    back = at + away_of(seat, habits, crowd)
    crowd.broke_at[seat] = back
    write(again, sent, 2, back, (3 << 56) | seat, 0, seat, 0)


def fall_silent(
    at: int, opened: int, wakes_at: int, seat: int, ticket: int, hop: int, habits: Habits, crowd: Crowd, dial: Any, again: Any, sent: Any
) -> None:  # fmt: skip
    """Nothing passes any more. The client will notice an interval and a time-out after the last byte, or when a step of connecting takes too long;
    one that sleeps notices when it wakes.
    """
    last = max(opened, ping_before(opened, at, seat, habits, crowd))
    if crowd.link[seat, LINK_FREE_AT] > 0:
        last = max(last, crowd.link[seat, LINK_FREE_AT] + crowd.link[seat, DELAY])
    ready = crowd.ready_at[seat] != NOT_READY
    if ready:
        last = max(last, crowd.ready_at[seat])
    found = hb_deadline(last, habits.settings[INTERVAL], habits.settings[TIMEOUT])
    if not ready:
        found = max(at, min(found, opened + habits.settings[STEP_TIMEOUT]))
    if wakes_at > 0:
        found = wakes_at
    crowd.belief[seat] = ticket + SILENT
    write(again, sent, 2, found, (2 << 56) | seat, FOUND_DEAD, seat, ticket + SILENT)
    closed = max(dropped_at(opened, at, seat, habits, crowd), at + crowd.link[seat, DELAY])
    write(dial, sent, 1, closed + hop, (24 << 56) | seat, 0, seat, ticket)


def farewell(at: int, seat: int, ticket: int, hop: int, crowd: Crowd, up: Any, dial: Any, sent: Any) -> None:
    """The client closes its connection: the balancer and the gateway see it."""
    arrives = at + crowd.link[seat, DELAY]
    write(up, sent, 0, arrives, (24 << 56) | seat, gateway_of(ticket), ticket * WIDE + seat, ticket)
    write(dial, sent, 1, arrives + hop, (24 << 56) | seat, 0, seat, ticket)


def write(frames: Any, sent: Any, box: int, at: int, name: int, row: int, item: int, extra: int) -> None:
    """One frame into an outbox."""
    n = sent[box]
    sent[box] = n + 1
    frames[n, 0] = at
    frames[n, 1] = name
    frames[n, 2] = row
    frames[n, 3] = item
    frames[n, 4] = extra
