"""Hot spots: how unevenly the channels' keys load shards, partitions, brokers and routers.

A channel belongs to one shard, one partition, one broker and one router, so a popular one loads them more than others. The first million
channels are looked at one by one, with the bus's own partitioner; what lies beyond (the least popular) is spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simfabric.planning.flows import Flow, absent
from simfabric.policies.partitioning import ASSIGNORS, channel_partitions
from simfabric.policies.pools import Floats, Integers
from simfabric.topology import Topology
from simfabric.topology.expected import Aim, Membership, aim
from simfabric.topology.traffic import Source

ONE_BY_ONE = 1_000_000


@dataclass(frozen=True, eq=False)
class Hotspots:
    """What each row would have to do, per second."""

    stored: Floats  # Publications, by shard.
    records: Floats  # Records, by partition.
    backend: Floats  # Of them, those of back ends.
    frames: Floats  # Frames to gateways, by partition.
    owner: Floats  # The router of each partition.


def hotspots(topology: Topology, flows: Sequence[Flow], members: Membership) -> Hotspots:
    """Look at every channel."""
    given = len(members.given)
    channels = given + members.channels
    count = min(channels, given + ONE_BY_ONE)
    over = np.arange(1.0, count - given + 1.0), np.ones(count - given)
    share = np.concatenate([np.array(members.given), members.share(over[0])])
    by_clients, backend, frames = np.zeros(count), np.zeros(count), np.zeros(count)
    beyond = np.zeros(3)  # Of the same three, what goes to channels that are not looked at.
    for source, flow in zip(topology.traffic, flows, strict=True):
        each = flow.rate * (weights_of(topology, source, members, over, count) if flow.traced is None else weights_of_trace(*flow.traced, count))
        target = by_clients if flow.by_clients else backend
        target += each
        rest = max(0.0, flow.rate - float(each.sum()))
        reach = _reach(topology, share, flow.aim.surely)
        total = float(each @ reach) + rest * reach[-1]
        reach *= flow.rate * flow.reach / total if total > 0 else 0.0  # Gateways are not alike: keep the mean that knows it.
        frames += each * reach
        beyond += rest * np.array([flow.by_clients, not flow.by_clients, reach[-1]])
    channel, bus = np.arange(count), topology.bus
    shards = topology.storage.shards
    stored = np.bincount(channel % shards, by_clients, minlength=shards) + beyond[0] / shards
    partition_of = channel_partitions(channel, bus.partitions)

    def by_partition(column: Floats, rest: float) -> Floats:
        return (np.bincount(partition_of, column, minlength=bus.partitions) + rest / bus.partitions).astype(np.float64)

    return Hotspots(
        stored=stored,
        records=by_partition(by_clients + backend, float(beyond[0] + beyond[1])),
        backend=by_partition(backend, float(beyond[1])),
        frames=by_partition(frames, float(beyond[2])),
        owner=ASSIGNORS[bus.assignor](np.arange(topology.fanout.routers), bus.partitions).astype(np.float64),
    )


def _reach(topology: Topology, share: Floats, surely: int) -> Floats:
    """The mean number of gateways that a message to each channel reaches, as if all gateways were alike."""
    gateways = topology.gateways.count
    nobody = absent(share, np.array([(topology.clients.count - surely) / gateways])) * (1.0 - surely / gateways)
    return gateways * (1.0 - nobody)


def weights_of(topology: Topology, source: Source, members: Membership, over: tuple[Floats, Floats], count: int) -> Floats:
    """The share of a source's publications that goes to each given channel, and to the ordinary ones of the ranks in `over`: `count` in all."""
    weights = np.zeros(count)
    names = [channel.name for channel in topology.channels.given]
    if source.to in names:
        weights[names.index(source.to)] = 1.0
        return weights
    where: Aim = aim(topology, source, members, over)
    weights[count - len(where.weight) :] = where.weight
    return weights


def weights_of_trace(channels: Integers, counts: Integers, count: int) -> Floats:
    """The share of a trace's publications that goes to each of the first `count` channels."""
    weights = np.zeros(count)
    looked_at = channels < count
    weights[channels[looked_at]] = counts[looked_at] / max(1, int(counts.sum()))
    return weights
