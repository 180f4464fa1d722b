"""The bus: Kafka as three components in a row. Producers batch, brokers append and replicate, consumers fetch.

    storage ──▶ producers ──▶ brokers ──▶ consumers ──▶ routers (targeted) | gateways (broadcast)

A channel's key decides its partition (Kafka's own partitioner); partitions have their leaders round robin on the brokers. A record gets
its offset and its channel's sequence when the leader appends it, and is visible when all in-sync replicas have it (high watermark).

A broker that goes away leaves its partitions to others: see `bus_faults`. They are fetched apart from the others of their new leader.

Leaves out: at most five requests in flight per producer, log segments and the page cache.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.gateways import Gateways
from simfabric.kernels import bus as kernels
from simfabric.kernels.frames import AT, EXTRA, ID, ITEM, NEVER, ROW, WIDTH
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.splitting import INWARDS, OUTWARDS, hold
from simfabric.kernels.state import INCARNATION, ROUTED_AT
from simfabric.kernels.tallying import new_tally
from simfabric.policies.partitioning import ASSIGNORS, channel_partitions
from simfabric.world import Array, World

if TYPE_CHECKING:
    from simfabric.components.leadership import Leadership

ACKS = {"none": 0, "leader": 1, "all": 2}


def partitions_of_channels(world: World, members: Array) -> Array:
    """The (first) partition of every channel, int32: by its key, or where hot channels have partitions of their own, one of those."""
    topology = world.topology
    channels = len(topology.channels.given) + topology.channels.count
    own = topology.hot.partitions
    partition = channel_partitions(np.arange(channels), topology.bus.partitions - own)
    if own:
        hot = np.flatnonzero(members >= topology.hot.members)
        partition[hot] = topology.bus.partitions - own + np.arange(len(hot)) % own
    return partition


def shards_of_channels(world: World, members: Array) -> Array:
    """Over how many partitions each channel is spread, int32."""
    return np.where(members >= world.topology.hot.members, world.topology.hot.shards, 1).astype(np.int32)


class Producers(Component):
    """One producer in every gateway and one for each back-end source: linger and batch."""

    name = "producers"

    def __init__(self, world: World, columns: Columns, gateways: Gateways, partition_of: Array) -> None:
        super().__init__(world)
        topology = world.topology
        self.columns = columns
        self.gateways = gateways
        self.partition_of = partition_of
        self.shards_of = shards_of_channels(world, columns.crowd.members)
        self.tally = new_tally(0)
        self.brokers: Component
        rows = topology.gateways.count + len(topology.traffic)
        self._accumulators = np.zeros((rows * topology.bus.partitions, 4), np.int64)
        self._mark = 0
        self._kept = np.empty((256, 5), np.int64)
        self.waiting = np.empty((0, 5), np.int64)  # Records of open batches, in order of arrival.
        self._batch = world.kernel(kernels.batch)
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Close the batches that are due and send them to their leaders."""
        frames, count = self.inbox.take(end)
        if count == 0 and len(self.waiting) == 0:
            return
        if len(self.waiting):
            frames = np.concatenate([self.waiting, frames[:count]])
            count = len(frames)
        bus, network = self.world.topology.bus, self.world.topology.network
        out = self._out.reserve(count)
        if len(self._kept) <= count:
            self._kept = np.empty((2 * count + 1, 5), np.int64)
        self._mark += 1
        columns = self.columns
        sent = self._batch(
            frames, count, end, bus.linger, bus.batch, network.bus_hop or network.hop, bus.partitions, self.world.topology.hot.partitions, self.partition_of,
            self.shards_of, self._accumulators, self._mark,
            np.empty((count, 2), np.int64), columns.log, self.gateways.nodes, out, self._kept, self.tally,
        )  # fmt: skip
        self.waiting = self._kept[: self._kept[-1, 0]].copy()
        if len(self.gateways.nodes.splits):
            hold(out[:sent], out[:sent, 4], network.bus_hop or network.hop, OUTWARDS, self.gateways.nodes.splits)
        self.brokers.inbox.put(out, int(sent))

    def earliest(self) -> int:
        """The next arrival, or the end of the oldest batch's lingering."""
        due = self.inbox.earliest()
        return min(due, int(self.waiting[0, 0]) + self.world.topology.bus.linger) if len(self.waiting) else due


class Brokers(Component):
    """Leaders append in order of arrival; a record leaves when it is visible."""

    name = "bus"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        bus = world.topology.bus
        self.columns = columns
        self.shelf_of = (np.arange(bus.partitions) % bus.brokers).astype(np.int32)  # The broker that leads it by plan, on whose shelf it is fetched.
        self.leader_of = self.shelf_of.copy()
        self.taken_from: Array | None = None  # int64[partitions]: a record that comes before that is taken up then [ns]; None: always at once.
        self.held = np.empty((0, WIDTH), np.int64)  # Frames of records that wait for that, by the time at which they will be taken up.
        self.leadership: Leadership | None = None  # Where brokers may go away.
        self.unsettled: list[Array] | None = None  # int64[n, 3]: messages, when their leaders had them [ns] and producers, where these may lose them.
        self.partition = np.zeros((bus.partitions, kernels.PARTITION_COLUMNS), np.int64)
        self.partition[:, kernels.LAST_BATCH_AT] = -1
        self.free_at = np.zeros(bus.brokers * bus.threads, np.int64)
        self.busy = np.zeros(bus.brokers, np.int64)
        self.tally = new_tally(0)
        self.consumers: Component
        self._law, self._replica = world.table(bus.work), world.table(bus.replica_delay)
        self._keys = np.array([world.key("bus/append"), world.key("bus/replica")], np.int64)
        self._at_once = np.zeros(1, np.int64)
        self._append = world.kernel(kernels.append_records)
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Append what is due."""
        frames, count = self.inbox.take(end)
        if self.taken_from is not None:
            frames = self._taken(frames[:count], end)
            count = len(frames)
        if count == 0:
            return
        bus, network, run = self.world.topology.bus, self.world.topology.network, self.world.topology.run
        out, taken_from = self._out.reserve(count), self._at_once if self.taken_from is None else self.taken_from
        self._append(
            frames, count, bus.threads, self.leader_of, self.shelf_of, taken_from, self.partition, self.free_at, self.busy, self._law,
            round(bus.work_per_byte * (1 << 20)), self._replica, int(bus.replication > 1), self._keys, ACKS[bus.acks], run.warmup,
            network.bus_hop or network.hop, int(self.unsettled is not None), self.columns.log, out, self.tally,
        )  # fmt: skip
        if self.unsettled is not None:
            self.unsettled.append(frames[:count, [ITEM, ID, EXTRA]])
        self.consumers.inbox.put(out, count)
        if self.unsettled is not None and len(self.unsettled) > 256:
            self.not_settled(out[:0])

    def not_settled(self, frames: Array) -> Array:
        """int64[n, 3]: of the records of these frames, message, when its leader had it [ns], and producer; the others are forgotten, being settled."""
        known = np.concatenate([*(self.unsettled or []), np.empty((0, 3), np.int64)])
        self.unsettled = [known[np.isin(known[:, 0], self.consumers.inbox.waiting()[:, ITEM])]]
        return np.asarray(known[np.isin(known[:, 0], frames[:, ITEM])])

    def earliest(self) -> int:
        """The next record, or the first that waits for its partition."""
        due = self.inbox.earliest()
        return min(due, int(self._begins(self.held).min())) if len(self.held) else due

    @property
    def waiting(self) -> Array:
        """Frames that have arrived and wait for their partition."""
        return self.held

    def _begins(self, frames: Array) -> Array:
        """When each can be taken up [ns]."""
        assert self.taken_from is not None
        return np.asarray(np.maximum(frames[:, AT], self.taken_from[frames[:, ROW]]))

    def _taken(self, frames: Array, end: int) -> Array:
        """The frames that are taken up before `end`, in order; the others are held back."""
        frames = np.concatenate([self.held, frames])
        begins = self._begins(frames)
        order = np.argsort(begins, kind="stable")  # What was held back came first.
        due = int((begins < end).sum())
        self.held = frames[order[due:]]
        return np.asarray(frames[order[:due]])


class Consumers(Component):
    """A group whose members share the partitions (routers), or every gateway for itself (broadcast); each fetches from every broker."""

    name = "consumers"

    def __init__(self, world: World, columns: Columns, gateways: Gateways, broadcast: bool) -> None:
        topology = world.topology
        super().__init__(world)
        bus = topology.bus
        self.columns = columns
        self.gateways = gateways
        self.broadcast = broadcast
        self.count = topology.gateways.count if broadcast else topology.fanout.routers
        self.nobody = self.count if topology.faults and not broadcast else -1  # A consumer that never asks: who has partitions that stand still.
        rows = self.count + int(self.nobody > 0)
        members = np.arange(self.count, dtype=np.int64)
        owner = np.full(bus.partitions, -1, np.int64) if broadcast else ASSIGNORS[bus.assignor](members, bus.partitions)
        reading = np.zeros((rows, bus.brokers, 2), np.int64)
        reading[:, :, kernels.RESPONDED_AT] = -(1 << 40)  # A fetch waits at every broker from the start.
        self.shelf = kernels.Shelf(
            records=np.empty((bus.brokers, 256, kernels.RECORD_COLUMNS), np.int64),
            held=np.zeros(bus.brokers, np.int64),
            first=np.zeros(bus.brokers, np.int64),
            visible=np.zeros(bus.partitions, np.int64),
            reading=reading,
            fetched=np.zeros((rows, bus.partitions), np.int64),
            owner_of=owner.astype(np.int32),
            alive=(np.arange(rows) < self.count).astype(np.int8),
            paused=np.zeros((rows, bus.brokers), np.int8),
        )
        self.committed = np.zeros((rows, bus.partitions), np.int64)
        self.led_from = np.zeros(bus.brokers, np.int64)  # Nobody answers fetches of its shelf before that [ns].
        self.handed: list[Array] | None = None  # Frames of records since their consumer's last commit; kept where a consumer may die.
        self.to: Component
        self._next = NEVER
        self._put_on_shelf = world.kernel(kernels.put_on_shelf)
        self._fetch = world.kernel(kernels.fetch)
        self._clear_shelf = world.kernel(kernels.clear_shelf)
        self._turn = 2 * (topology.network.bus_hop or topology.network.hop)  # From an answer to the arrival of the next fetch [ns].
        self._state = np.zeros(2, np.int64)  # When the next answer is due [ns]; 1 when the outbox lacked room.
        self._out = Outbox(4096)

    def advance(self, end: int) -> None:
        """Take in what has become visible, and answer the fetches that are due."""
        frames, count = self.inbox.take(end)
        if count:
            self._make_room(count)
            self._put_on_shelf(frames, count, self.columns.log, self.shelf)
        elif self._next >= end:
            return
        bus, network = self.world.topology.bus, self.world.topology.network
        hop = network.bus_hop or network.hop
        fetch, state = bus.fetch, self._state
        state[:] = (NEVER, 1)
        while state[1]:
            state[1] = 0
            out = self._out.frames
            sent = int(self._fetch(end, fetch.min_bytes, fetch.max_bytes, fetch.max_wait, 2 * hop, hop, self.shelf, state, out))
            if self.broadcast:  # A gateway fetches for its present life, and looks the slot up itself.
                out[:sent, 4] = -1 - self.gateways.nodes.state[out[:sent, 2], INCARNATION]
                if len(self.gateways.nodes.splits):
                    hold(out[:sent], out[:sent, 2], hop, INWARDS, self.gateways.nodes.splits)
            self.to.inbox.put(out, sent)
            if self.handed is not None and sent:
                self.handed.append(out[:sent].copy())
            if state[1] and sent == 0:
                self._out.reserve(len(out) + 1)
        self._next = int(state[0])
        self._clear_shelf(self.shelf)

    def earliest(self) -> int:
        """The next record, or the next answer to a fetch."""
        return min(self.inbox.earliest(), self._next)

    def committing(self) -> Generator[Any, Any, None]:
        """The SimPy process that commits offsets every so often: of what has been routed, if a consumer may die; lag is told without that."""
        while True:
            yield self.world.env.timeout(self.world.topology.bus.commit_every)
            alive = self.shelf.alive == 1
            self.committed[alive] = self.shelf.fetched[alive]
            if self.handed:
                self.handed = [self._uncommitted(np.concatenate(self.handed))]

    def lag(self) -> int:
        """Records that are visible and not committed, of the consumer that is furthest behind [messages]."""
        return int(((self.shelf.visible - self.committed) * self.mine()).sum(axis=1).max(initial=0))

    def backlog(self) -> int:
        """Records that are visible and that no answer has carried yet, over all consumers."""
        return int(((self.shelf.visible - self.shelf.fetched) * self.mine()).sum())

    def messages(self) -> Array:
        """The messages whose records somebody has not fetched yet, or may fetch again."""
        parts = [self.shelf.records[broker, :held, kernels.RECORD_MESSAGE] for broker, held in enumerate(self.shelf.held)]
        return np.concatenate(parts + [frames[:, ITEM] for frames in self.handed or []])

    @property
    def paused(self) -> Array:
        """bool[consumers]: those that do not fetch as they like."""
        return np.asarray(self.shelf.paused[: self.count].any(axis=1))

    def pause(self, consumer: int) -> None:
        """It asks for nothing from now on."""
        self.shelf.paused[consumer] = kernels.PAUSED

    def resume(self, consumer: int) -> None:
        """It asks again, from now on: as before if nothing waits for it, else once."""
        behind = ((self.shelf.visible - self.shelf.fetched) * self.mine())[consumer].any()
        self.shelf.paused[consumer] = kernels.ONCE if behind else 0
        responded = self.shelf.reading[consumer, :, kernels.RESPONDED_AT]
        np.maximum(responded, self.world.now - self._turn, out=responded)
        self._next = self.world.now

    def leave(self, consumer: int) -> None:
        """A gateway that consumes for itself died."""
        self.shelf.alive[consumer] = 0

    def join(self, consumer: int) -> None:
        """It is back, and reads from the end of the log on."""
        shelf = self.shelf
        shelf.alive[consumer] = 1
        shelf.paused[consumer] = 0
        shelf.reading[consumer, :, kernels.NEXT_RECORD] = shelf.first + shelf.held
        self._ask(consumer)
        shelf.fetched[consumer] = shelf.visible
        self.committed[consumer] = shelf.visible

    def rejoin(self, consumer: int) -> None:
        """A router is back in its group: it has fetched nothing yet of what it will be given."""
        shelf = self.shelf
        shelf.paused[consumer] = 0
        shelf.reading[consumer, :, kernels.NEXT_RECORD] = shelf.first + shelf.held
        self._ask(consumer)

    def unled(self, broker: int, until: int) -> None:
        """Nobody leads the partitions of a broker's shelf before that: who asked asks again then."""
        self.led_from[broker] = until
        responded = self.shelf.reading[:, broker, kernels.RESPONDED_AT]
        np.maximum(responded, until - self._turn, out=responded)

    def _ask(self, consumer: int) -> None:
        """A fetch of it waits at every broker that leads something."""
        unled = self.led_from > self.world.now
        self.shelf.reading[consumer, :, kernels.RESPONDED_AT] = np.where(unled, self.led_from - self._turn, self.world.now - (1 << 40))

    def put_back(self, broker: int, records: Array) -> None:
        """What the shelf holds of a broker from now on."""
        self._make_room(max(0, len(records) - int(self.shelf.held[broker])))
        self.shelf.records[broker, : len(records)] = records
        self.shelf.held[broker] = len(records)

    def wake(self) -> None:
        """Somebody may fetch something else than before."""
        self._next = self.world.now

    def _uncommitted(self, frames: Array) -> Array:
        """What a commit now leaves out: all that its consumer has not routed, or will not, being dead."""
        routed_at = self.columns.log.rows[frames[:, ITEM] - self.columns.log.base[0], ROUTED_AT]
        return np.asarray(frames[(routed_at == 0) | (routed_at > self.world.now) | (self.shelf.alive[frames[:, ROW]] != 1)])

    def mine(self) -> Array:
        """Which partitions each consumer reads: bool[consumers, partitions or 1]."""
        if self.broadcast:
            return np.asarray(self.shelf.alive == 1)[:, None]
        return np.asarray(self.shelf.owner_of[None, :] == np.arange(len(self.shelf.alive))[:, None])

    def _make_room(self, count: int) -> None:
        records = self.shelf.records
        if int(self.shelf.held.max()) + count > records.shape[1]:
            grown = np.empty((records.shape[0], 2 * (records.shape[1] + count), records.shape[2]), np.int64)
            grown[:, : records.shape[1]] = records
            self.shelf = self.shelf._replace(records=grown)
