"""A realtime fabric in plain SimPy, on a page: the independent oracle of the engine, and what the engine is measured against.

Every gateway core, shard, producer, broker thread, consumer, router and client is a process with a Store; what travels is an object, and
each delivery is an event. Draws have the engine's addresses, so that both fabrics have the same luck: with no two things in one place at
the same nanosecond, every delivery arrives at the same nanosecond too. Leaves out: faults, dials, replay, pauses, overflow, bursts, limits of subscribes.
"""

import itertools
from collections import defaultdict, deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import simpy

from simfabric.chance import Law, below, decision_key, draw, tabulated, word
from simfabric.policies.partitioning import ASSIGNORS, channel_key, partition
from simfabric.topology import Topology


@dataclass(frozen=True)
class Setting:
    """What both fabrics are told alike, of every client: its gateway and core there, its channels in the order of its subscriptions, its delay [ns],
    its tenant."""

    home: list[int]
    core: list[int]
    channels: list[list[int]]
    delay: list[int]
    tenant: list[int]


@dataclass(slots=True, eq=False)
class Message:
    number: int
    channel: int
    size: int
    client: int  # Who published it; -1: a back end.
    place: tuple[int, int] = (0, 0)  # Its offset and partition in the log.
    batch: int = 0
    slot: int | None = 0  # When it may go on from its gateway, None: it may not.
    leads: bool = False  # Whether it is the first of its batch.
    events: Any = ()  # Its leader has worked on it; it is appended; it is visible.


class Reference:
    """The fabric of a topology: `run()` it and read `arrivals`, a list of (message, client, time [ns])."""

    def __init__(self, topology: Topology, setting: Setting) -> None:
        self.topology, self.setting, self.pattern = topology, setting, topology.fanout.pattern
        network, gateways, bus = topology.network, topology.gateways, topology.bus
        self.hop, self.storage_hop, self.bus_hop = network.hop, network.storage_hop or network.hop, network.bus_hop or network.hop
        self.cycle = bus.fetch.max_wait + 2 * self.bus_hop  # Of fetches that find nothing; one waits everywhere at the start.
        self.env = env = simpy.Environment(initial_time=-self.cycle)
        self.numbers, self.arrivals = itertools.count(), list[tuple[int, int, int]]()
        self.levels, self.refused = dict[Any, tuple[Fraction, int]](), list[int]()
        self.keys, self.tables = dict[str, int](), dict[Law, Any]()
        queues = 1 if gateways.dispatch == "shared" else gateways.cores
        self.holders: dict[int, dict[int, dict[int, list[int]]]] = {}  # Channel -> gateway -> core -> clients, ascending.
        for client, channels in enumerate(setting.channels):
            for channel in channels:
                cores = self.holders.setdefault(channel, {}).setdefault(setting.home[client], {})
                cores.setdefault(setting.core[client] % queues, []).append(client)
        readers = range(gateways.count if self.pattern == "broadcast" else topology.fanout.routers)
        owners = ASSIGNORS[bus.assignor](list(readers), bus.partitions)  # type: ignore[arg-type]  # It takes arrays; lists do.
        self.readers = [list(readers) if self.pattern == "broadcast" else [int(owner)] for owner in owners]
        self.sockets = [simpy.Store(env) for _ in setting.home]
        self.cores = [[simpy.Store(env) for _ in range(queues)] for _ in range(gateways.count)]
        self.shards = [simpy.Store(env) for _ in range(topology.storage.shards)]
        self.brokers = [simpy.Store(env) for _ in range(bus.brokers)]
        self.routers = [simpy.Store(env) for _ in range(gateways.count if self.pattern == "direct" else topology.fanout.routers)]
        self.producers = dict[tuple[int, int], simpy.Store]()
        self.last, self.batches, self.cached = dict[int, Message](), defaultdict[int, int](int), dict[tuple[int, int], int]()
        self.ready = {(reader, broker): deque[Message]() for reader in readers for broker in range(bus.brokers)}
        self.news = {pair: env.event() for pair in self.ready}
        processes = [self.client(c, store) for c, store in enumerate(self.sockets)]
        processes += [self.core(g, q) for g in range(gateways.count) for q in range(queues) for _ in range(gateways.cores // queues)]
        processes += [self.shard(store) for store in self.shards] + [self.router(store) for store in self.routers]
        processes += [self.thread(store) for store in self.brokers for _ in range(bus.threads)]
        processes += [self.consumer(*pair) for pair in self.ready] + [self.publisher(row) for row in range(len(topology.traffic))]
        for process in processes:
            env.process(process)

    def run(self) -> None:
        self.env.run(until=self.topology.run.duration)

    def key(self, decision: str) -> int:
        return self.keys.setdefault(decision, decision_key(self.topology.run.seed, self.topology.run.replication, decision))

    def drawn(self, law: Law, decision: str, entity: int, n: int) -> int:
        table = self.tables[law] if law in self.tables else self.tables.setdefault(law, tabulated(law))
        return draw(table, word(self.key(decision), entity, n))

    def later(self, delay: int, put: Any, *item: Any) -> Any:  # A hop.
        yield self.env.timeout(delay)
        put(*item)

    def publisher(self, row: int) -> Any:
        source, topology, name = self.topology.traffic[row], self.topology, f"traffic/{self.topology.traffic[row].name}"
        given, own, clients = [channel.name for channel in topology.channels.given], topology.clients.subscriptions, len(self.setting.home)
        rate = (source.rate or 0.0) * {"user": clients, "channel": len(given) + topology.channels.count, "all": 1}[source.per]
        interval = Law("exponential" if source.arrivals == "poisson" else "constant", (1e9 / rate,))
        yield self.env.timeout(self.cycle)
        for n in itertools.count():
            yield self.env.timeout(self.drawn(interval, f"{name}/interval", 0, n))
            client = below(self.key(f"{name}/client"), 0, n, clients)
            if source.to == "subscribed":
                channel = self.setting.channels[client][below(self.key(f"{name}/channel"), 0, n, own) - own]
            else:
                everything = len(given) + topology.channels.count
                channel = given.index(source.to) if source.to in given else below(self.key(f"{name}/channel"), 0, n, everything)
            size = max(1, self.drawn(source.size, f"{name}/size", n, 0))
            message = Message(next(self.numbers), channel, size, -1 if source.kind == "producers" else client)
            if source.kind == "producers":
                self.produce(topology.gateways.count + row, message)
            else:
                self.env.process(self.later(self.setting.delay[client], self.frame, self.setting.home[client], message, True))

    def frame(self, gateway: int, message: Message, up: bool = False) -> None:
        message.slot = self.slot(gateway, message.client) if up else 0
        self.refused += [message.number] if message.slot is None else []
        queues = self.cores[gateway]  # A publication is for its connection's core, a message for all that have subscribers; one finds that none has.
        for core in [self.setting.core[message.client]] if up else self.subscribers(message, gateway) or [message.channel]:
            queues[core % len(queues)].put((message, up))

    def subscribers(self, message: Message, gateway: int) -> dict[int, list[int]]:
        return self.holders.get(message.channel, {}).get(gateway, {})

    def slot(self, gateway: int, client: int) -> int | None:
        """When a publication may go on [ns] that arrives now; None: never. Each bucket is a level in tokens that fills as time passes, in fractions."""
        now, slot, levels = int(self.env.now), int(self.env.now), {}
        limits, users = self.topology.limits.publish, self.topology.clients.devices_per_user
        for bucket, whose in ((limits.per_user, ("user", client // users)), (limits.per_tenant, ("tenant", self.setting.tenant[client]))):
            if bucket is not None:
                share = Fraction(1, self.topology.gateways.count if getattr(bucket, "scope", "") == "fabric" else 1)
                rate, burst = Fraction(bucket.rate or 0) * share / 10**9, max(1, int(bucket.burst * share))  # Tokens per ns.
                level, at = self.levels.get((gateway, whose), (Fraction(burst), now))
                level = min(Fraction(burst), level + (now - at) * rate)
                if level < 1:
                    return None
                levels[gateway, whose] = (level - 1, now)
                if bucket.policy == "leaky_bucket":  # A full bucket of tokens is an empty queue; what is in it drains one by one.
                    slot = max(slot, now + int((burst - level) / rate))
        self.levels |= levels
        return slot

    def core(self, gateway: int, queue: int) -> Any:
        work, env = self.topology.gateways.work, self.env
        while True:
            message, up = yield self.cores[gateway][queue].get()
            yield env.timeout(self.drawn(work.frame_in, "gateways/frame_in", message.number, gateway))
            wait = max(0, message.slot - env.now) if up and message.slot is not None else 0
            if up and message.slot is None:
                continue  # Read, and refused.
            if up and self.topology.storage.enabled:
                env.process(self.later(wait + self.storage_hop, self.shards[message.channel % len(self.shards)].put, message))
            elif up:
                env.process(self.later(wait, self.produce, gateway, message)) if wait else self.produce(gateway, message)
            else:
                writing = (message.size * round(work.byte_out * (1 << 20))) >> 20
                for client in self.subscribers(message, gateway).get(queue, ()):
                    yield env.timeout(writing + self.drawn(work.delivery, "gateways/delivery", message.number, client))
                    self.sockets[client].put((env.now, message))

    def client(self, client: int, socket: simpy.Store) -> Any:
        bandwidth, free_at = self.topology.clients.bandwidth, 0
        pace = max(1, round(8e9 / bandwidth)) if bandwidth else 0
        while True:
            written_at, message = yield socket.get()
            free_at = max(written_at, free_at) + message.size * pace  # Frames come through the downlink one after the other.
            yield self.env.timeout(free_at + self.setting.delay[client] - self.env.now)
            self.arrivals.append((message.number, client, int(self.env.now)))

    def shard(self, store: simpy.Store) -> Any:
        onward = self.look_up if self.pattern == "direct" else self.produce
        while True:
            message = yield store.get()
            yield self.env.timeout(self.drawn(self.topology.storage.work, "storage", message.number, 0))
            self.env.process(self.later(self.storage_hop, onward, self.setting.home[message.client], message))

    def produce(self, row: int, message: Message) -> None:
        to = (row, partition(channel_key(message.channel), self.topology.bus.partitions))
        if to not in self.producers:
            self.producers[to] = simpy.Store(self.env)
            self.env.process(self.producer(to[1], self.producers[to]))
        self.producers[to].put(message)

    def producer(self, to: int, store: simpy.Store) -> Any:
        while True:
            batch, lingered = [(yield store.get())], self.env.timeout(self.topology.bus.linger)
            while sum(message.size for message in batch) < self.topology.bus.batch:
                more = store.get()
                yield more | lingered
                if not more.triggered:
                    more.cancel()
                    break
                batch.append(more.value)
            self.env.process(self.later(self.bus_hop, self.append, to, batch))

    def append(self, to: int, batch: list[Message]) -> None:
        for message in batch:
            before = self.last.get(to)
            message.place, message.batch, message.leads = (before.place[0] + 1 if before else 0, to), self.batches[to], message is batch[0]
            message.events, self.last[to] = [self.env.event() for _ in range(3)], message
            self.env.process(self.record(to, message, before))
            self.brokers[to % len(self.brokers)].put((to, message))
        self.batches[to] += 1

    def thread(self, store: simpy.Store) -> Any:
        bus = self.topology.bus
        while True:
            to, message = yield store.get()
            work = (message.size * round(bus.work_per_byte * (1 << 20))) >> 20
            yield self.env.timeout(work + (self.drawn(bus.work, "bus/append", to, message.batch) if message.leads else 0))
            message.events[0].succeed()

    def record(self, to: int, message: Message, before: Message | None) -> Any:
        worked, appended, visible = message.events
        yield worked & before.events[1] if before else worked
        appended.succeed()
        if self.topology.bus.replication > 1:
            yield self.env.timeout(self.drawn(self.topology.bus.replica_delay, "bus/replica", to, message.batch + 1))
        if before:
            yield before.events[2]
        visible.succeed()
        for pair in [(reader, to % len(self.brokers)) for reader in self.readers[to]]:
            self.ready[pair].append(message)
            self.news[pair].succeed()
            self.news[pair] = self.env.event()

    def consumer(self, reader: int, broker: int) -> Any:
        fetch, env, ready = self.topology.bus.fetch, self.env, self.ready[reader, broker]
        yield env.timeout(self.cycle - ((1 << 40) - 2 * self.bus_hop) % self.cycle)
        while True:
            waited = env.timeout(fetch.max_wait)
            while sum(message.size for message in ready) < fetch.min_bytes and not waited.processed:
                yield self.news[reader, broker] | waited
            settled = env.event()  # Records that become visible at one instant are fetched together: go on when all else at it has happened.
            settled._ok, settled._value = True, None
            env.schedule(settled, priority=2)  # type: ignore[arg-type]  # After NORMAL (1); SimPy names no third.
            yield settled
            answer = list[Message]()
            while ready and sum(message.size for message in answer) < fetch.max_bytes:
                answer.append(ready.popleft())
            for message in sorted(answer, key=lambda message: message.place):
                env.process(self.later(self.bus_hop, self.frame if self.pattern == "broadcast" else self.look_up, reader, message))
            yield env.timeout(2 * self.bus_hop)

    def look_up(self, router: int, message: Message) -> None:
        ready = now = int(self.env.now)  # A stale entry is read again while the message waits; look-ups of several overlap.
        if now >= self.cached.get((router, message.channel), -(1 << 62)) + self.topology.routing.cache:
            self.cached[router, message.channel] = now
            ready += self.topology.routing.store_delay
        self.routers[router].put((ready, message))

    def router(self, store: simpy.Store) -> Any:
        fanout, env = self.topology.fanout, self.env
        while True:
            ready, message = yield store.get()
            yield env.timeout(max(0, ready - env.now) + self.drawn(fanout.work, "routers/message", message.number, 0))
            for gateway in sorted(self.holders.get(message.channel, {})):
                yield env.timeout(self.drawn(fanout.work_per_target, "routers/target", message.number, gateway))
                env.process(self.later(self.hop, self.frame, gateway, message))
