"""A realtime fabric in plain SimPy, on one page: the independent oracle of the engine, and what the engine is measured against.

Every gateway core, shard, producer, broker thread, consumer, router and client is a process with a Store; what travels is an object, and
each delivery is an event. Draws have the engine's addresses, so that both fabrics have the same luck: with no two things in one place at
the same nanosecond, every delivery arrives at the same nanosecond too.

Leaves out: faults, dials, replay, pauses, overflow, bursts; it is the steady state of connected clients.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from simfabric.chance import Law, below, decision_key, draw, tabulated, word
from simfabric.policies.partitioning import ASSIGNORS, channel_key, partition
from simfabric.topology import Topology

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Setting:
    """What both fabrics are told alike, of every client: its gateway and core there, its channels in the order of its subscriptions, its one-way delay [ns]."""

    home: list[int]
    core: list[int]
    channels: list[list[int]]
    delay: list[int]


@dataclass(slots=True, eq=False)
class Message:
    """One message on its way; the bus adds its batch, and the events of its record."""

    number: int
    channel: int
    size: int
    gateway: int = -1  # The publisher's, and its core there; none when a back end publishes.
    core: int = -1
    place: tuple[int, int] = (0, 0)  # Offset and partition.
    batch: int = 0
    leads: bool = False  # Whether it is the first record of its batch.
    worked: Any = None
    appended: Any = None
    visible: Any = None


class Reference:
    """The fabric of a topology: `run()` it and read `arrivals`, a list of (message, client, time [ns])."""

    def __init__(self, topology: Topology, setting: Setting) -> None:
        self.topology, self.setting = topology, setting
        self.hop = topology.network.hop
        self.storage_hop, self.bus_hop = topology.network.storage_hop or self.hop, topology.network.bus_hop or self.hop
        fetching = topology.bus.fetch.max_wait + 2 * self.bus_hop
        self.env = env = simpy.Environment(initial_time=-fetching)
        self.numbers = itertools.count()
        self.arrivals: list[tuple[int, int, int]] = []
        self.keys: dict[str, int] = {}
        self.tables: dict[Law, Any] = {}
        self.pattern = topology.fanout.pattern
        gateways, bus = topology.gateways, topology.bus
        queues = 1 if gateways.dispatch == "shared" else gateways.cores
        self.holders: dict[int, dict[int, dict[int, list[int]]]] = {}  # Channel -> gateway -> core -> clients, ascending.
        for client, channels in enumerate(setting.channels):
            for channel in channels:
                cores = self.holders.setdefault(channel, {}).setdefault(setting.home[client], {})
                cores.setdefault(setting.core[client] % queues, []).append(client)
        self.sockets = [simpy.Store(env) for _ in setting.home]
        self.cores = [[simpy.Store(env) for _ in range(queues)] for _ in range(gateways.count)]
        self.shards = [simpy.Store(env) for _ in range(topology.storage.shards)]
        self.accumulators: dict[tuple[int, int], simpy.Store] = {}
        self.brokers = [simpy.Store(env) for _ in range(bus.brokers)]
        self.last: dict[int, Message] = {}  # The last record of each partition.
        self.batches: dict[int, int] = defaultdict(int)
        self.routers = [simpy.Store(env) for _ in range(gateways.count if self.pattern == "direct" else topology.fanout.routers)]
        self.cached: dict[tuple[int, int], int] = {}
        readers = list(range(gateways.count if self.pattern == "broadcast" else topology.fanout.routers))
        owners = ASSIGNORS[bus.assignor](readers, bus.partitions) if self.pattern == "targeted" else []  # type: ignore[arg-type]
        self.readers = [[int(owners[p])] if self.pattern == "targeted" else readers for p in range(bus.partitions)]
        self.fetchable: dict[tuple[int, int], deque[Message]] = {(c, b): deque() for c in readers for b in range(bus.brokers)}
        self.news: dict[tuple[int, int], simpy.Event] = {pair: env.event() for pair in self.fetchable}
        processes = [self.client(c) for c in range(len(setting.home))]
        processes += [self.core(g, q) for g in range(gateways.count) for q in range(queues) for _ in range(gateways.cores // queues)]
        processes += [self.shard(s) for s in range(topology.storage.shards)] + [self.router(r) for r in range(len(self.routers))]
        processes += [self.thread(b) for b in range(bus.brokers) for _ in range(bus.threads)]
        processes += [self.consumer(c, b, ((1 << 40) - 2 * self.bus_hop) % fetching) for c, b in self.fetchable]
        processes += [self.publisher(row, fetching) for row in range(len(topology.traffic))]
        for process in processes:
            env.process(process)

    def run(self) -> None:
        """Up to the end of the topology's duration."""
        self.env.run(until=self.topology.run.duration)

    def key(self, decision: str) -> int:
        """The address of a decision."""
        return self.keys.setdefault(decision, decision_key(self.topology.run.seed, self.topology.run.replication, decision))

    def drawn(self, law: Law, decision: str, entity: int, n: int) -> int:
        """The draw at an address."""
        if law not in self.tables:
            self.tables[law] = tabulated(law)
        return draw(self.tables[law], word(self.key(decision), entity, n))

    def later(self, delay: int, put: Any, *item: Any) -> Process:
        """A hop: hand the item over after a delay."""
        yield self.env.timeout(delay)
        put(*item)

    def publisher(self, row: int, before: int) -> Process:
        """A source: one publication after the other, each by a client through its gateway, or by a back end straight into the bus."""
        source, topology = self.topology.traffic[row], self.topology
        given = [channel.name for channel in topology.channels.given]
        own = topology.clients.subscriptions
        rate = (source.rate or 0.0) * {"user": len(self.setting.home), "channel": len(given) + topology.channels.count, "all": 1}[source.per]
        interval = Law("exponential" if source.arrivals == "poisson" else "constant", (1e9 / rate,))
        yield self.env.timeout(before)
        for n in itertools.count():
            yield self.env.timeout(self.drawn(interval, f"traffic/{source.name}/interval", 0, n))
            client = below(self.key(f"traffic/{source.name}/client"), 0, n, len(self.setting.home))
            if source.to in given:
                channel = given.index(source.to)
            elif source.to == "subscribed":
                channel = self.setting.channels[client][below(self.key(f"traffic/{source.name}/channel"), 0, n, own) - own]
            else:
                channel = below(self.key(f"traffic/{source.name}/channel"), 0, n, len(given) + topology.channels.count)
            message = Message(next(self.numbers), channel, max(1, self.drawn(source.size, f"traffic/{source.name}/size", n, 0)))
            if source.kind == "producers":
                self.accumulate(topology.gateways.count + row, message)
            else:
                message.gateway, message.core = self.setting.home[client], self.setting.core[client]
                self.env.process(self.later(self.setting.delay[client], self.frame, message.gateway, message, True))

    def frame(self, gateway: int, message: Message, up: bool) -> None:
        """A frame reaches a gateway: from a client on one core (up), or for every core that has subscribers; one of them finds that there are none."""
        queues = self.cores[gateway]
        readers = [message.core] if up else self.subscribers(message, gateway) or [message.channel]
        for core in readers:
            queues[core % len(queues)].put((message, up))

    def subscribers(self, message: Message, gateway: int) -> dict[int, list[int]]:
        """Who on this gateway is to have the message, by core."""
        return self.holders.get(message.channel, {}).get(gateway, {})

    def core(self, gateway: int, queue: int) -> Process:
        """A core of a gateway: read a frame; pass it on, or write it to every subscriber in turn."""
        work, env = self.topology.gateways.work, self.env
        per_byte = round(work.byte_out * (1 << 20))
        while True:
            message, up = yield self.cores[gateway][queue].get()
            yield env.timeout(self.drawn(work.frame_in, "gateways/frame_in", message.number, gateway))
            if up and self.topology.storage.enabled:
                env.process(self.later(self.storage_hop, self.shards[message.channel % len(self.shards)].put, message))
            elif up:
                self.accumulate(gateway, message)
            else:
                for client in self.subscribers(message, gateway).get(queue, ()):
                    writing = self.drawn(work.delivery, "gateways/delivery", message.number, client) + ((message.size * per_byte) >> 20)
                    yield env.timeout(writing)
                    self.sockets[client].put((env.now, message))

    def client(self, client: int) -> Process:
        """A client: what was written to its socket comes through its downlink, one after the other, and arrives a delay later."""
        bandwidth, env = self.topology.clients.bandwidth, self.env
        pace = max(1, round(8e9 / bandwidth)) if bandwidth else 0
        free_at = 0
        while True:
            written_at, message = yield self.sockets[client].get()
            free_at = max(written_at, free_at) + message.size * pace
            yield env.timeout(free_at + self.setting.delay[client] - env.now)
            self.arrivals.append((message.number, client, env.now))

    def shard(self, shard: int) -> Process:
        """A shard of the storage: persist, and answer the gateway, which publishes."""
        while True:
            message = yield self.shards[shard].get()
            yield self.env.timeout(self.drawn(self.topology.storage.work, "storage", message.number, 0))
            to = self.look_up if self.pattern == "direct" else self.accumulate
            self.env.process(self.later(self.storage_hop, to, message.gateway, message))

    def accumulate(self, row: int, message: Message) -> None:
        """A record reaches its producer's accumulator for its partition."""
        to = (row, partition(channel_key(message.channel), self.topology.bus.partitions))
        if to not in self.accumulators:
            self.accumulators[to] = simpy.Store(self.env)
            self.env.process(self.producer(*to))
        self.accumulators[to].put(message)

    def producer(self, row: int, to: int) -> Process:
        """An accumulator: a batch opens with its first record and closes when it is full or has lingered."""
        bus, env, queue = self.topology.bus, self.env, self.accumulators[row, to]
        while True:
            batch = [(yield queue.get())]
            lingered = env.timeout(bus.linger)
            while sum(message.size for message in batch) < bus.batch:
                more = queue.get()
                yield more | lingered
                if not more.triggered:
                    more.cancel()
                    break
                batch.append(more.value)
            env.process(self.later(self.bus_hop, self.append, to, batch))

    def append(self, to: int, batch: list[Message]) -> None:
        """A batch reaches its partition's leader: its records are worked on by any thread, and stand in the log in this order."""
        self.batches[to] += 1
        for message in batch:
            message.place = (self.last[to].place[0] + 1 if to in self.last else 0, to)
            message.batch, message.leads = self.batches[to] - 1, message is batch[0]
            message.worked, message.appended, message.visible = self.env.event(), self.env.event(), self.env.event()
            self.env.process(self.record(to, message, self.last.get(to)))
            self.last[to] = message
            self.brokers[to % len(self.brokers)].put((to, message))

    def thread(self, broker: int) -> Process:
        """A thread of a broker."""
        bus = self.topology.bus
        while True:
            to, message = yield self.brokers[broker].get()
            batch = self.drawn(bus.work, "bus/append", to, message.batch) if message.leads else 0
            yield self.env.timeout(batch + ((message.size * round(bus.work_per_byte * (1 << 20))) >> 20))
            message.worked.succeed()

    def record(self, to: int, message: Message, before: Message | None) -> Process:
        """A record: appended after the one before it, and visible when the replicas have it and the one before it is visible."""
        bus = self.topology.bus
        yield message.worked & before.appended if before else message.worked
        message.appended.succeed()
        if bus.replication > 1:
            yield self.env.timeout(self.drawn(bus.replica_delay, "bus/replica", to, message.batch + 1))
        if before:
            yield before.visible
        message.visible.succeed()
        for reader in self.readers[to]:
            pair = (reader, to % bus.brokers)
            self.fetchable[pair].append(message)
            self.news[pair].succeed()
            self.news[pair] = self.env.event()

    def consumer(self, reader: int, broker: int, asked: int) -> Process:
        """A consumer and a broker: fetch after fetch, each answered when there is enough or it has waited long enough."""
        fetch, env, ready = self.topology.bus.fetch, self.env, self.fetchable[reader, broker]
        to = self.frame if self.pattern == "broadcast" else self.look_up
        yield env.timeout(fetch.max_wait + 2 * self.bus_hop - asked)
        while True:
            waited = env.timeout(fetch.max_wait)
            while sum(message.size for message in ready) < fetch.min_bytes and not waited.processed:
                yield self.news[reader, broker] | waited
            yield self.rest_of_this_instant()
            response = []
            while ready and sum(message.size for message in response) < fetch.max_bytes:
                response.append(ready.popleft())
            for message in sorted(response, key=lambda message: message.place):
                env.process(self.later(self.bus_hop, to, reader, message, *[False] * (self.pattern == "broadcast")))
            yield env.timeout(2 * self.bus_hop)

    def rest_of_this_instant(self) -> simpy.Event:
        """Comes when everything else of this nanosecond has happened: records that become visible together are fetched together."""
        event = self.env.event()
        event._ok, event._value = True, None
        self.env.schedule(event, priority=2)
        return event

    def look_up(self, router: int, message: Message) -> None:
        """A message reaches a router (or, with `direct`, its publisher's gateway): a stale cached entry is read again while it waits."""
        ready = now = self.env.now
        if now >= self.cached.get((router, message.channel), -(1 << 62)) + self.topology.routing.cache:
            self.cached[router, message.channel] = now
            ready += self.topology.routing.store_delay
        self.routers[router].put((ready, message))

    def router(self, router: int) -> Process:
        """A router: send the message to one gateway after the other."""
        fanout, env = self.topology.fanout, self.env
        while True:
            ready, message = yield self.routers[router].get()
            yield env.timeout(max(0, ready - env.now))
            yield env.timeout(self.drawn(fanout.work, "routers/message", message.number, 0))
            for gateway in sorted(self.holders.get(message.channel, {})):
                yield env.timeout(self.drawn(fanout.work_per_target, "routers/target", message.number, gateway))
                env.process(self.later(self.hop, self.frame, gateway, message, False))
