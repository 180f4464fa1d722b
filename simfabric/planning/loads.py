"""Loads: how busy every component will be, by the operational laws.

A component with m servers that sees X frames a second, each of which takes S seconds of one server, is busy for a share U = X S / m of the
time (Denning & Buzen 1978). That needs no law of chance, and it holds for every order of service. Where the load is uneven, the busiest row
(a gateway, a shard, a broker, a router) fills first: it decides how far the component is from saturation.

Leaves out: what a fault costs (reconnects, catching up), bursts (these are means over the run), and chance: in a short run the busiest row
is busier than expected here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simfabric.planning.catching_up import catching_up, dials_of, first_dials
from simfabric.planning.flows import Flow, Spread, mean_of
from simfabric.planning.hotspots import Hotspots
from simfabric.policies.pools import Floats
from simfabric.topology import Topology
from simfabric.topology.expected import Membership, rejoins
from simfabric.world import SECOND


@dataclass(frozen=True)
class Load:
    """What one component will do."""

    name: str
    servers: int  # 0 for those that only pass frames on.
    frames: float  # Per second.
    work: float  # Of one server, per frame [ns].
    busiest: float  # Utilisation of the busiest row.
    row: str  # What a row is, such as 'shard'.

    @property
    def utilisation(self) -> float:
        """The share of its servers' time that it works."""
        return self.frames * self.work / (self.servers * SECOND) if self.servers else 0.0

    @property
    def headroom(self) -> float:
        """By how much the load may grow until the busiest row is saturated: 0.5 means half as much again."""
        return max(0.0, 1.0 / self.busiest - 1.0) if self.busiest > 0 else math.inf


def load(name: str, row: str, servers: int, frames: float, given: float, busiest: float) -> Load:
    """A load of `given` nanoseconds of work per second, in all."""
    return Load(name, servers, frames, given / frames if frames > 0 else 0.0, busiest, row)


def loads_of(topology: Topology, members: Membership, flows: Sequence[Flow], spread: Spread, hot: Hotspots) -> tuple[Load, ...]:
    """Every component's load, in the order of the flow."""
    deliveries = sum(flow.rate * flow.fan_out for flow in flows)
    sent = sum(flow.rate for flow in flows if flow.by_clients)
    found = [Load("clients", 0, sent + deliveries, 0.0, 0.0, "client"), balancer_load(topology), gateways_load(topology, members, flows, spread)]
    if topology.storage.enabled:
        work = mean_of(topology.storage.work)
        found.append(load("storage", "shard", topology.storage.shards, sent, sent * work, float(hot.stored.max()) * work / SECOND))
    if topology.fanout.pattern != "direct":
        found += [bus_load(topology, flows, hot), consumers_load(topology, flows)]
    if topology.fanout.pattern != "broadcast":
        found.append(routers_load(topology, flows, spread, hot))
    requests, given = catching_up(topology, members, flows)
    replay = topology.replay.servers
    return (*found, *apis_load(topology), load("replay", "server", replay, requests, given, given / (replay * SECOND)))


def balancer_load(topology: Topology) -> Load:
    """TLS handshakes: none where everybody is connected when the run begins, and stays."""
    config = topology.balancer
    dials = dials_of(topology)
    given = dials * mean_of(config.handshake)
    return load("balancer", "server", config.servers, dials + rejoins(topology), given, given / (config.servers * SECOND))


def apis_load(topology: Topology) -> tuple[Load, ...]:
    """Bootstrap for everybody who starts, and a token for a dial after the last has expired; none where none is needed. Who met an error asks again."""
    apis, found = topology.apis, []
    starts = first_dials(topology) + rejoins(topology, by_users=True)
    for name, config, asking in (
        ("bootstrap_api", apis.bootstrap, starts if apis.bootstrap.enabled else 0.0),
        ("token_api", apis.token, first_dials(topology) + rejoins(topology, needing=apis.token.ttl - apis.token.margin) if apis.token.ttl else 0.0),
    ):
        requests = asking / max(1e-9, 1.0 - config.errors)
        given = requests * mean_of(config.work)
        found.append(load(name, "server", config.servers, requests, given, given / (config.servers * SECOND)))
    found.append(load("snapshot_api", "server", apis.snapshot.servers, 0.0, 0.0, 0.0))  # Only who was away for long lacks too much for a replay.
    return tuple(found)


def gateways_load(topology: Topology, members: Membership, flows: Sequence[Flow], spread: Spread) -> Load:
    """Frames read, by every core that has a subscriber; deliveries written."""
    config = topology.gateways
    everybody = topology.fanout.pattern == "broadcast"
    frames = sum(flow.rate * ((config.count if everybody else flow.reach) + flow.by_clients) for flow in flows)
    frames += 2 * dials_of(topology) + 2 * rejoins(topology)  # Handshake and subscribe; what tells the end of the connection before.
    given = gateway_work(topology, members, flows, spread)
    fullest = Spread(np.ones(1), spread.share[-1:])
    busiest = gateway_work(topology, members, flows, fullest) / (config.cores * SECOND)
    return load("gateways", "gateway", config.count * config.cores, frames, given, busiest)


def gateway_work(topology: Topology, members: Membership, flows: Sequence[Flow], spread: Spread) -> float:
    """Work per second of these gateways together [ns]."""
    config, clients = topology.gateways, topology.clients.count
    work = config.work
    read = mean_of(work.frame_in)
    here = float(spread.count @ spread.share)  # The share of all clients that is theirs.
    given = 0.0
    for flow in flows:
        readers = spread.cores(config.cores) if config.dispatch == "connection" else spread
        reading = readers.reach(flow.aim, clients)
        if topology.fanout.pattern == "broadcast":  # Who has no subscriber reads the frame all the same.
            reading += float(spread.count.sum()) - spread.reach(flow.aim, clients)
        written = flow.fan_out * flow.live * here * (mean_of(work.delivery) + flow.size * work.byte_out)
        given += flow.rate * ((reading + here * flow.by_clients) * read + written)
    connecting = mean_of(work.handshake) + members.subscriptions / clients * mean_of(work.subscribe)
    given += dials_of(topology) * here * connecting
    if config.pauses:  # A pause makes what it falls into longer.
        given *= 1.0 + mean_of(config.pauses.length) / max(1.0, mean_of(config.pauses.every))
    return given


def bus_load(topology: Topology, flows: Sequence[Flow], hot: Hotspots) -> Load:
    """Leaders append: each batch costs its work, each byte its own. A batch grows while its producer lingers."""
    bus = topology.bus
    records = sum(flow.rate for flow in flows)
    size = sum(flow.rate * flow.size for flow in flows) / records if records else 0.0
    producers = max(1, sum(not flow.by_clients for flow in flows))
    batches = _batches(topology, (hot.records - hot.backend) / topology.gateways.count, size) * topology.gateways.count
    batches = batches + _batches(topology, hot.backend / producers, size) * producers
    given = batches * mean_of(bus.work) + hot.records * size * bus.work_per_byte  # By partition.
    by_broker = np.bincount(np.arange(bus.partitions) % bus.brokers, given, minlength=bus.brokers)
    return load("bus", "broker", bus.brokers * bus.threads, records, float(given.sum()), float(by_broker.max()) / (bus.threads * SECOND))


def _batches(topology: Topology, rate: Floats, size: float) -> Floats:
    """Batches per second of a producer that makes so many records per second for a partition."""
    waiting = 1.0 + rate * topology.bus.linger / SECOND  # The first record, and those that come while it lingers.
    return rate / np.minimum(waiting, max(1.0, topology.bus.batch / max(size, 1.0)))


def consumers_load(topology: Topology, flows: Sequence[Flow]) -> Load:
    """Who fetches: routers each record once, with broadcast every gateway every record."""
    readers = topology.gateways.count if topology.fanout.pattern == "broadcast" else 1
    return Load("consumers", 0, sum(flow.rate for flow in flows) * readers, 0.0, 0.0, "consumer")


def routers_load(topology: Topology, flows: Sequence[Flow], spread: Spread, hot: Hotspots) -> Load:
    """Look up, and one frame to each gateway. With direct fan-out every gateway has a sender of its own."""
    fanout = topology.fanout
    work, per_target = mean_of(fanout.work), mean_of(fanout.work_per_target)
    messages = sum(flow.rate for flow in flows)
    given = sum(flow.rate * (work + flow.reach * per_target) for flow in flows)
    if fanout.pattern == "direct":
        return load("routers", "sender", topology.gateways.count, messages, given, given * float(spread.share[-1]) / SECOND)
    by_partition = hot.records * work + hot.frames * per_target
    by_router = np.bincount(hot.owner.astype(np.int64), by_partition, minlength=fanout.routers)
    return load("routers", "router", fanout.routers, messages, given, float(by_router.max()) / SECOND)
