"""A small fabric, and faults for it."""

from __future__ import annotations

import functools

from simfabric.fabric import Fabric
from simfabric.running import Result, run
from simfabric.topology import Topology, loads
from simfabric.world import SECOND

SMALL = """
version: 1
run: {duration: 14s, warmup: 0s, compiled: never}
clients: {count: 16, subscriptions: 2, delay: "uniform(1ms, 20ms)", notice: 500ms, reconnect: {first: 200ms, cap: 1s}}
channels: {count: 4}
gateways: {count: 4, zones: 2, drain: {spread: 1s}}
balancer: {health: {interval: 500ms, timeout: 200ms, fall: 2, rise: 2}}
bus: {partitions: 4, brokers: 1, replication: 1, commit_every: 1s, session_timeout: 2s}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 12/s, until: 10s}]
"""
ALL_DIE = "{kind: kill_node, at: 4s, down: 100ms, target: {gateway: all}}"


def small(*faults: str, **changes: str) -> Topology:
    sets = [f"{path.replace('__', '.')}={value}" for path, value in changes.items()]
    return loads(SMALL + f"faults: [{', '.join(faults)}]\n", sets=sets)


@functools.cache
def ordinary(killed: bool) -> Result:
    """The run without the fault."""
    return run(small(*([ALL_DIE] if killed else [])))


def upto(fabric: Fabric, at_s: float) -> None:
    """Run a fabric on until that time [s]."""
    env = fabric.world.env
    env.run(until=env.process(fabric.conductor.process(int(at_s * SECOND))))


def lacks(result: Result) -> int:
    """Messages that connected clients lack at the end."""
    return result.end.logged - result.end.cursors - result.end.away_lacks
