"""Columns: the state that several components work on, made once from the topology and grown when there is need.

    clients (crowd)  ·  subscriptions (book)  ·  messages and the log of every channel (log)

Each column has one component that writes it at any instant; `fabric.py` says who. Everything is drawn by the client's number, so that
neither the balancer's policy nor the number of gateways changes a client's luck.

Leaves out: clients that change their channels during a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.chance import below, uniform
from simfabric.kernels import draws, subscriptions
from simfabric.kernels.frames import NEVER
from simfabric.kernels.lifecycle import BOOTED, LONG_AGO
from simfabric.kernels.log import NOT_ASKED
from simfabric.kernels.state import (
    BREAKS_AT,
    DELAY,
    FATE,
    HOT,
    LANE,
    LIFE,
    LIMITED,
    MESSAGE_COLUMNS,
    OWED,
    PACE,
    POOL_NEXT,
    PREVIOUS,
    PUBLISHED_AT,
    PUBLISHER,
    SESSION,
    SLOTS_FIRST,
    SLOTS_USED,
    SOURCE,
    TRANSIENT,
    UNSENT,
    Book,
    Crowd,
    Log,
)  # fmt: skip
from simfabric.policies import popularity
from simfabric.policies.pools import Dials
from simfabric.protocol.machine import IDLE, LIVE
from simfabric.topology import Topology
from simfabric.topology.traffic import LANES
from simfabric.world import Array, World


@dataclass(frozen=True, eq=False)
class Identities:
    """Who the clients are, by client number: int64 columns."""

    user: Array
    tenant: Array
    address: Array
    region: Array

    def dials(self, client: Array, cookie: Array, n: Array, at: Array) -> Dials:
        """These clients' dials, as a balancing policy sees them."""
        return Dials(client, self.user[client], self.tenant[client], self.address[client], cookie, n, at)


def spread(count: int) -> int:
    """A step that visits every number below `count` once: x -> x * step mod count, far from both 0 and 1."""
    step = max(1, int(count * 0.6180339887498949)) | 1
    while np.gcd(step, count) != 1:
        step += 2
    return step


def identities(world: World) -> Identities:
    """Draw user, tenant, address and region of every client."""
    config = world.topology.clients
    client = np.arange(config.count, dtype=np.int64)
    user = client // config.devices_per_user
    if config.tenants > 1 and config.tenant_popularity > 0:
        cumulative, guide = popularity.guide(popularity.zipf(config.tenants, config.tenant_popularity))
        tenant = np.empty(config.count, np.int64)
        world.kernel(draws.find_column)(cumulative, guide, world.key("clients/tenant"), user, 0, tenant)
    else:
        tenant = below(world.key("clients/tenant"), user, 0, config.tenants).astype(np.int64)
    shared = round(config.behind_nat * config.count)
    rank = (client * spread(config.count)) % config.count
    address = np.where(rank < shared, rank // config.nat_size, config.count + client)
    shares = np.cumsum([region.share for region in config.regions] or [1.0])
    region = np.searchsorted(shares[:-1], uniform(world.key("clients/region"), user, 0), side="right").astype(np.int64)
    return Identities(user, tenant, address, region)


def paces(world: World, client: Array) -> Array:
    """Nanoseconds per byte on the downlink of every client; 0 where it is unlimited."""
    config = world.topology.clients
    rates = np.array([*(part.bandwidth for part in config.links), config.bandwidth], np.int64)
    pace = np.array([0 if rate == 0 else max(1, round(8e9 / rate)) for rate in rates], np.int64)
    if not config.links:
        return np.full(len(client), pace[-1])
    shares = np.cumsum([part.share for part in config.links])
    return np.asarray(pace[np.searchsorted(shares, uniform(world.key("clients/link"), client, 0), side="right")])


def delays_of(world: World, who: Identities) -> Array:
    """One-way delay between each client and the edge [ns], drawn once."""
    config = world.topology.clients
    delay = np.empty(config.count, np.int64)
    client = np.arange(config.count, dtype=np.int64)
    column = world.kernel(draws.draw_column)
    for r, law in enumerate([region.delay for region in config.regions] or [config.delay]):
        here = client[who.region == r]
        part = np.empty(len(here), np.int64)
        column(world.table(law), world.key("clients/delay"), here, 0, config.delay_floor, part)
        delay[here] = part
    return delay


def sessions_of(topology: Topology) -> Array:
    """The numbers of the clients that are sessions: all of them, or so many, far apart."""
    count, wanted = topology.clients.count, topology.clients.sessions
    return (np.arange(count if wanted is None else min(wanted, count)) * spread(count)) % count


def crowd_of(world: World, who: Identities, gateway: Array) -> Crowd:
    """Seat the clients: neighbours share a gateway. `gateway` is each client's at the start, -1 while it is still to dial."""
    topology = world.topology
    count = topology.clients.count
    seated = np.argsort(gateway, kind="stable").astype(np.int32)
    link = np.zeros((count, 4), np.int64)
    link[:, BREAKS_AT] = NEVER
    link[:, DELAY] = delays_of(world, who)[seated]
    core = np.arange(count, dtype=np.int64) % topology.gateways.cores
    link[:, PACE] = (paces(world, seated) << 16) | (core << 8) | who.region[seated]
    link[np.isin(seated, sessions_of(topology)), PACE] |= SESSION
    start, channels = channels_of(world, seated)
    channel_count = len(topology.channels.given) + topology.channels.count
    members = np.zeros(channel_count, np.int32)
    world.kernel(subscriptions.count_members)(channels, members)
    home = gateway[seated].astype(np.int32)
    return Crowd(
        link=link,
        client=seated,
        home=home,
        subscribed=(home >= 0).astype(np.int8),
        turn=np.zeros(count, np.int8),
        belief=np.where(home >= 0, home.astype(np.int64) * LIFE, -1).astype(np.int32),
        broke_at=np.zeros(count, np.int64),
        refusing=np.full((max(count, 2) if topology.gateways.overflow == "disconnect" else 1, 4), -1, np.int64),
        state=np.where(home >= 0, LIVE, IDLE).astype(np.int8),
        flags=np.where(home >= 0, BOOTED, 0).astype(np.int8),
        ready_at=np.full(count, LONG_AGO, np.int64),
        no_state_at=np.zeros(count, np.int64),
        asked_at=np.full(count, LONG_AGO, np.int64),
        drawn=np.zeros((count, 5), np.int32),
        attempt=np.zeros(count, np.int32),
        dials=np.zeros(count, np.int32),
        cookie=home.copy(),
        start=start,
        channels=channels,
        members=members,
        strikes_from=np.zeros(1, np.int64),
        strikes=np.zeros(0, np.int64),
        slowed=np.zeros((1, 2), np.int64),
        opened_at=np.zeros(1, np.int64),
        resume_cursor=np.zeros(len(channels), np.int32),
        resume_upto=np.full(len(channels), NOT_ASKED, np.int32),
        held_first=np.zeros(len(channels), np.int32),
        held_run=np.zeros(len(channels), np.int32),
    )


def channels_of(world: World, seated: Array) -> tuple[Array, Array]:
    """The channels of every seat, CSR: start int64[seats + 1] and channels int32."""
    topology = world.topology
    count = topology.clients.count
    given = topology.channels.given
    members = np.array([round(g.members_share * count) if g.members_share is not None else g.members_count for g in given], np.int64)
    offsets = np.array([j * (count * 5 // 13) for j in range(len(given))], np.int64)
    cumulative, guide = popularity.guide(popularity.zipf(topology.channels.count, topology.channels.popularity))
    start = np.zeros(count + 1, np.int64)
    kernel = world.kernel(subscriptions.draw_channels)
    arguments = (seated, spread(count), offsets, members, count, topology.clients.subscriptions, cumulative, guide, world.key("clients/channels"), start)
    total = kernel(*arguments, np.empty(0, np.int32))
    channels = np.empty(total, np.int32)
    kernel(*arguments, channels)
    return start, channels


def in_hot_channels(world: World) -> Array:
    """Which clients are subscribed to a channel with many members: bool[clients]."""
    start, channels = channels_of(world, np.arange(world.topology.clients.count, dtype=np.int32))
    hot = np.bincount(channels) >= world.topology.hot.members
    upto = np.concatenate([[0], np.cumsum(hot[channels])])
    return np.asarray(upto[start[1:]] > upto[start[:-1]])


def book_of(world: World, crowd: Crowd, gateways: int) -> Book:
    """Lay out the slots and rows of all subscriptions of seats that have a home."""
    members = crowd.members
    place = np.zeros(len(members), np.int64)
    np.cumsum(members[:-1], out=place[1:])
    seats = np.empty(len(crowd.channels), np.int32)
    world.kernel(subscriptions.group_by_channel)(crowd.start, crowd.channels, place, seats)
    channel_first = np.zeros(len(members) + 1, np.int32)
    rows_of_gateway = np.zeros(gateways, np.int64)
    first = int(world.kernel(subscriptions.count_slots)(members, seats, crowd.home, channel_first, rows_of_gateway))
    rows = int(rows_of_gateway.sum())
    place = np.zeros(gateways, np.int64)
    np.cumsum(rows_of_gateway[:-1], out=place[1:])
    slots = np.zeros((first + 64, 4), np.int32)
    table = np.zeros((rows + 256, 2), np.int32)
    world.kernel(subscriptions.fill_slots)(members, seats, crowd.home, place, slots, table)
    pool = np.array([rows, first, first, gateways], np.int64)
    return Book(slots, table, channel_first, np.full(len(members), -1, np.int32), np.zeros((64, 3), np.int64), np.zeros((256, 2), np.int64), pool)


class Columns:
    """The shared columns of one fabric, and how they grow."""

    def __init__(self, world: World, who: Identities, gateway: Array) -> None:
        self.world = world
        self.who = who
        self.crowd = crowd_of(world, who, gateway)
        self.seat_of = np.empty(len(self.crowd.client), np.int32)  # Seat of each client.
        self.seat_of[self.crowd.client] = np.arange(len(self.crowd.client), dtype=np.int32)
        self.book = book_of(world, self.crowd, world.topology.gateways.count)
        channels = len(self.crowd.members)
        self.log = Log(np.zeros((1024, MESSAGE_COLUMNS), np.int64), np.zeros(1, np.int64), np.full(channels, -1, np.int64), np.zeros(channels, np.int64))
        self.slower: list[tuple[Any, Array, int]] = []  # The faults that slow down links now: each with seats and pace [ns per byte].
        self.own_pace = np.empty(0, np.int64)  # Of each seat's link, without them; only where there are such faults.
        self.lane_of = np.array([LANES.index(source.lane) for source in world.topology.traffic] or [0], np.int64)  # Of each source.
        self.hot_from = world.topology.hot.members  # Members from which on a channel is hot.
        self.published = 0  # Messages published and taken out of the log since, and their obligations.
        self.owed = 0
        self.limited = 0  # Of them, those that a limit refused.
        self.backend = [0, 0]  # Of them, those of back-end producers.
        self.before_retiring: Callable[[], None] | None = None  # Who looks messages up wants to be asked first.
        self.retired: list[tuple[int, Array]] = []  # Rows of messages taken out, and the number of the first, until the recorder has them.
        self.messages = 0  # Messages numbered so far; the log's rows hold those from log.base on.

    def add_messages(self, at: Array, channel: Array, publisher: Array, size: Array, source: Array) -> Array:
        """Number new messages in the order given (that of time) and answer their numbers."""
        first, count = self.messages, len(at)
        used = first - int(self.log.base[0])
        if used + count > len(self.log.rows):
            rows = np.zeros((2 * (used + count), MESSAGE_COLUMNS), np.int64)
            rows[:used] = self.log.rows[:used]
            self.log = self.log._replace(rows=rows)
        block = self.log.rows[used : used + count]
        block[:] = 0  # Messages that were retired have stood here.
        block[:, PUBLISHED_AT] = at
        block[:, 1] = channel
        block[:, 2] = publisher
        block[:, 3] = size
        block[:, PREVIOUS] = -1
        block[:, LANE], block[:, SOURCE] = self.lane_of[source], source
        block[:, HOT] = self.crowd.members[channel] >= self.hot_from
        block[:, OWED] = np.where(block[:, LANE] == TRANSIENT, 0, self.crowd.members[channel])
        self.messages += count
        return np.arange(first, first + count, dtype=np.int64)

    def retire(self, before: int, waiting: int) -> int:
        """Take out the messages that were published before a time and are older than the first message that still waits somewhere.

        Returns how many; their rows are in `retired`, for the recorder. What clients still lack of them has expired.
        """
        if self.before_retiring is not None:
            self.before_retiring()
        first = int(self.log.base[0])
        rows = self.log.rows[: self.messages - first]
        count = min(int(np.searchsorted(rows[:, PUBLISHED_AT], before)), max(0, waiting - first))
        retired = rows[:count].copy()
        real = retired[retired[:, FATE] != UNSENT]
        backend = real[real[:, PUBLISHER] < 0]
        self.published += len(real)
        self.limited += int((real[:, FATE] == LIMITED).sum())
        self.owed += int(real[:, OWED].sum())
        self.backend[0] += len(backend)
        self.backend[1] += int(backend[:, OWED].sum())
        self.log.rows[: len(rows) - count] = rows[count:].copy()
        self.log.base[0] = first + count
        self.retired.append((first, retired))
        return count

    def grow_book(self) -> None:
        """Twice the room for late slots, for rows, or for both: whatever is nearly full. What is not written to costs no memory."""
        used, taken = int(self.book.pool[SLOTS_USED]), int(self.book.pool[POOL_NEXT])
        slots, rows = len(self.book.slots), len(self.book.rows)
        few_slots, few_rows = used + slots // 8 >= slots, taken + rows // 8 >= rows
        if few_slots or not few_rows:
            self._grow_slots(slots + max(64, slots))
        if few_rows or not few_slots:
            self.book = self.book._replace(rows=_longer(self.book.rows, rows + max(4096, rows)))

    def _grow_slots(self, wanted: int) -> None:
        book = self.book
        index, late = book.index, wanted - int(book.pool[SLOTS_FIRST])
        if 2 * late > len(index):
            index = np.zeros((1 << (2 * late).bit_length(), 2), np.int64)
            self.world.kernel(subscriptions.copy_index)(book.index, index)
        self.book = book._replace(index=index, slots=_longer(book.slots, wanted), late=_longer(book.late, late))


def _longer(array: Array, length: int) -> Array:
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
