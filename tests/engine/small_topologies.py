"""Small topologies with a bit of everything, for laws that every topology must keep: a text that is fixed, and changes that are drawn."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from simfabric.topology import Topology
from simfabric.topology.edge import POLICIES
from tests.helpers import topology_of

BASE = """
run: {duration: 1s, warmup: 200ms}
clients: {count: 40, subscriptions: 3}
channels: {count: 8, given: [{name: hall, members: 100%}]}
traffic:
  - {name: chat, rate: 2/s, size: exponential(700B)}
  - {name: news, kind: producers, rate: 20/s, to: hall, arrivals: regular}
  - {name: bots, kind: channels, rate: 2/s}
gateways: {count: 3}
balancer: {health: {interval: 100ms, timeout: 50ms, fall: 2}}
bus: {brokers: 2, partitions: 5, replication: 2}
routing: {heartbeat: 50ms, ttl: 300ms}
"""

LAWS = ["0s", "30us", "1ms", "exponential(200us)", "lognormal(median 1ms, p99 5ms)", "uniform(1us, 3ms)"]
CHOICES: dict[str, list[str]] = {
    "run.seed": [str(seed) for seed in range(1, 20)],
    "network.hop": ["50us", "500us", "2ms"],
    "network.bus_hop": ["20us", "500us", "3ms"],
    "network.storage_hop": ["100us", "500us"],
    "network.replay_hop": ["100us", "5ms"],
    "clients.count": ["1", "7", "40", "90"],
    "clients.delay": ["5ms", "exponential(10ms)", "lognormal(median 20ms, p99 150ms)"],
    "clients.delay_floor": ["500us", "1ms", "4ms"],
    "clients.bandwidth": ["20Mbit/s", "500kbit/s", "unlimited"],
    "clients.start": ["connected", "20ms", "500ms"],
    "clients.reconnect.first": ["10ms", "200ms"],
    "clients.reconnect.jitter": ["0%", "20%", "100%"],
    "clients.notice": ["0s", "50ms"],
    "clients.replay_max": ["0", "3"],
    "clients.fetch_timeout": ["100ms"],
    "clients.connect_timeout": ["100ms", "300ms"],
    "apis.bootstrap": ["{enabled: false}", "{errors: 30%, work: 10ms}"],
    "apis.token.errors": ["30%"],
    "apis.snapshot": ["{errors: 50%, servers: 1, work: exponential(10ms), queue_timeout: 20ms}"],
    "gateways.accept_timeout": ["0s", "1ms"],
    "gateways.work.handshake": ["500us", "20ms"],
    "clients.regions": ["[]", "[{name: near, share: 60%, delay: 3ms}, {name: far, share: 40%, delay: exponential(80ms)}]"],
    "channels.popularity": ["uniform", "zipf(1)"],
    "traffic.chat.rate": ["1/s", "8/s"],
    "traffic.chat.bursts": ["{every: 300ms, length: 50ms, times: 5}"],
    "balancer.policy": [*POLICIES],
    "balancer.handshake": ["10us", "exponential(1ms)"],
    "gateways.count": ["1", "2", "3", "6"],
    "gateways.cores": ["1", "2", "4"],
    "gateways.dispatch": ["connection", "shared"],
    "gateways.work.frame_in": LAWS,
    "gateways.work.delivery": LAWS,
    "gateways.work.subscribe": LAWS,
    "gateways.work.byte_out": ["0ns", "20ns"],
    "gateways.buffer": ["2KB", "1MB"],
    "gateways.connections": ["90", "1000"],
    "gateways.pauses": ["{every: exponential(100ms), length: exponential(10ms)}", "{every: 70ms, length: 3ms}"],
    "storage.enabled": ["true", "false"],
    "storage.shards": ["1", "3"],
    "storage.work": LAWS,
    "bus.linger": ["0s", "2ms", "30ms"],
    "bus.batch": ["1KB", "16KB"],
    "bus.threads": ["1", "3"],
    "bus.work": LAWS,
    "bus.replication": ["1", "2"],
    "bus.replica_delay": LAWS,
    "bus.fetch.min_bytes": ["1B", "3KB"],
    "bus.fetch.max_wait": ["5ms", "40ms", "500ms"],
    "bus.fetch.max_bytes": ["3KB", "1MB"],
    "fanout.pattern": ["broadcast", "targeted", "direct"],
    "fanout.routers": ["1", "2"],
    "fanout.work": LAWS,
    "fanout.work_per_target": LAWS,
    "routing.store_delay": ["10us", "1ms", "20ms"],
    "routing.cache": ["0s", "100ms", "1s"],
    "routing.ttl": ["50ms", "300ms"],
    "replay.servers": ["1", "8"],
    "replay.work": LAWS,
    "clients.tenants": ["1", "3"],
    "clients.devices_per_user": ["1", "3"],
    "limits.publish": [
        "{per_user: {rate: 3/s, burst: 2}}",
        "{per_user: {rate: 4/s, burst: 3, policy: leaky_bucket}, per_tenant: {rate: 60/s, burst: 4, policy: leaky_bucket, scope: fabric}}",
        "{per_tenant: {rate: 20/s, burst: 5}}",
    ],
    "limits.subscribe": [
        "{per_user: {rate: 6/s, burst: 4}}",
        "{per_tenant: {rate: 40/s, burst: 20}}",
        "{per_tenant: {rate: 1k/s, burst: 40, policy: leaky_bucket}}",
    ],
    "faults": [
        "[{at: 300ms, down: 200ms, target: {gateway: 0}}]",
        "[{at: 250ms, down: 100ms, target: {gateway: 0}}, {at: 500ms, down: 50ms, target: {gateway: one}}, {at: 700ms, down: 100ms, target: {gateway: 0}}]",
    ],
}  # fmt: skip


@st.composite
def small_topologies(draw: st.DrawFn) -> Topology:
    """The base with a handful of changes, of which any part may be missing: shrinking finds the few that matter."""
    paths = draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=16, unique=True))
    changes = {path: draw(st.sampled_from(CHOICES[path])) for path in sorted(paths)}
    if changes.get("storage.enabled") == "false" and changes.get("fanout.pattern") == "direct":
        del changes["storage.enabled"]  # Without a bus, the storage is the log.
    if changes.get("fanout.pattern") == "direct":
        changes["traffic.news.kind"] = "users"  # And back ends have nowhere to publish.
    hypothesis.note(repr(changes))
    return topology_of(BASE, **changes)
