"""One small run that exercises most laws, with its history: a gateway dies, a router dies, a log forgets, who was away long takes snapshots."""

from __future__ import annotations

import functools

import numpy as np

from simfabric.running import Result, run
from simfabric.topology import Topology
from tests.helpers import topology_of

TEXT = """
run: {duration: 40s, warmup: 0s, compiled: never, seed: 5}
clients: {count: 16, subscriptions: 3, delay: "uniform(1ms, 20ms)", notice: 300ms, reconnect: {first: 200ms, cap: 2s}, replay_max: 12,
          churn: [{name: desk, share: 25%, stays: exponential(8s), ends: close, away: 9s}]}
channels: {count: 6}
gateways: {count: 3, work: {handshake: 2ms}}
balancer: {policy: rendezvous, health: {interval: 500ms, timeout: 200ms}}
presence: {enabled: true, debounce: 0s, lease: 3s, heartbeat: 1s}
bus: {partitions: 4, brokers: 1, replication: 1, commit_every: 1s, session_timeout: 2s, retention: 5s}
fanout: {routers: 2}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 14/s, until: 32s}, {name: typing, per: all, rate: 2/s, lane: transient, size: 100B, until: 32s}]
faults: [{at: 5s, down: 2s, target: {gateway: all}}, {at: 12s, down: 4s, target: {gateway: 1}}, {at: 19s, down: 6s, target: {router: 0}}]
"""

CALM = """
run: {duration: 40s, warmup: 0s, compiled: never, seed: 5}
clients: {count: 8, subscriptions: 2, delay: "uniform(1ms, 20ms)", reconnect: {first: 500ms, cap: 2s}}
channels: {count: 4}
gateways: {count: 2, drain: {spread: 1s}}
balancer: {health: {interval: 300ms, timeout: 200ms}}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 5/s}]
faults: [{kind: restart_node, at: 5s, down: 500ms, target: {gateway: 1}}]
"""


def topology(**changes: object) -> Topology:
    """The topology, with changes."""
    return topology_of(TEXT, **changes)


@functools.cache
def watched() -> Result:
    """The run, made once."""
    return run(topology(), laws=True)


@functools.cache
def calm() -> Result:
    """Another one, in which a gateway is restarted and nothing else happens: how long healing may take is known."""
    return run(topology_of(CALM), laws=True)


def verdicts(result: Result) -> dict[str, str]:
    """The verdict of each law by its number."""
    return {verdict.law.split()[0]: verdict.verdict for verdict in result.laws}


def rows(kind: str, result: Result | None = None) -> np.ndarray:
    """A copy of one table, to be changed."""
    history = (result or watched()).history
    assert history is not None
    return history.tables[kind].copy()
