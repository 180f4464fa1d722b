"""Bounds: times computed from the topology, in nanoseconds, never measured. Each says which law needs it."""

from __future__ import annotations

import math

import numpy as np

from simfabric.laws.records.evidence import Array, Evidence
from simfabric.topology import Topology

SAME_INSTANT = 10_000  # Records of one client at one instant (L4).


def hop(topology: Topology, name: str) -> int:
    """One way to storage, bus or replay; not given: the common hop."""
    own = getattr(topology.network, f"{name}_hop")
    return int(topology.network.hop if own is None else own)


def evicted_after(topology: Topology) -> int:
    """S13, L3: so long after a gateway's death no router finds it in its table any more: the life of a lease, and of a cached entry."""
    return topology.routing.ttl + topology.routing.cache


def visible_after(topology: Topology) -> int:
    """S14 (T_register): so long after a client was told that it is subscribed every router knows it: it was told after the table did, but for caches."""
    return topology.routing.cache + topology.routing.store_delay


def noticed_after(topology: Topology) -> int:
    """S19 (T_health): so long after a death the balancer picks the gateway no more: the checks that must fail, the phase, and the last one's time-out."""
    health = topology.balancer.health
    return health.fall * health.interval + health.timeout


def back_after(topology: Topology) -> int:
    """S19: so long after its return a gateway may still be out, or have less than its share."""
    health = topology.balancer.health
    return (health.rise + 1) * health.interval + topology.balancer.slow_start


def acknowledged_at(e: Evidence) -> Array:
    """S6, S7: when the publisher of each message learns that it is kept; NEVER-like where it does not. One entry for each row of `e.messages`."""
    m, topology = e.messages, e.topology
    never = np.full(len(m["at"]), 1 << 62)
    if topology.storage.enabled:
        back = m["saved_at"] + hop(topology, "storage")
        at = np.where(m["saved_at"] > 0, back, never)
    else:
        known = m["visible_at"] if topology.bus.acks == "all" else m["appended_at"]
        at = np.where(known > 0, known + hop(topology, "bus"), never) if topology.bus.acks != "none" else never
    clients = e.history["client"]
    delay = np.zeros(max(topology.clients.count, 1), np.int64)
    delay[clients["client"]] = clients["delay"]
    publisher = m["publisher"]
    return np.asarray(np.where((publisher >= 0) & (at < never), at + delay[np.maximum(publisher, 0)], at))


def longest_wait(topology: Topology) -> int:
    """L1, L5 (cap'): the longest legal backoff."""
    reconnect = topology.clients.reconnect
    spread = 1.0 + (reconnect.jitter if reconnect.jitter_order == "cap_first" else 0.0)
    return math.ceil(reconnect.cap * spread)


def converged_after(topology: Topology, clients: int, behind: int, planned: bool) -> int | None:
    """L1 (1.2 X): so long after the last fault ended `clients` are connected again and lack nothing of `behind` messages; `planned`: gateways ended by
    plan, with advice to wait. None: no bound is known.

    A sum of worst cases. It presumes that no dial times out in the queues that it waits in.
    """
    config, gateways, balancer, apis = topology.clients, topology.gateways, topology.balancer, topology.apis
    handshake, accept = balancer.handshake.mean / balancer.servers, gateways.work.handshake.mean / (gateways.cores * gateways.count)
    token = apis.token.work.mean / apis.token.servers if apis.token.ttl else 0.0
    channels = config.subscriptions + len(topology.channels.given)
    subscribe = channels * gateways.work.subscribe.mean / gateways.cores
    each = max(handshake, accept)
    if not all(map(math.isfinite, (each, token, subscribe))):
        return None
    connecting = clients * each + clients * token + clients * subscribe
    if connecting > min(config.connect_timeout, balancer.queue_timeout):
        return None
    replay = behind * topology.replay.work_per_message.mean + clients * channels * topology.replay.work.mean
    drain = gateways.drain.retry_after + gateways.drain.spread if planned else 0
    detect = max(config.notice, back_after(topology), noticed_after(topology))
    trips = 4 * longest_delay(topology) + 8 * topology.network.hop
    waits = longest_wait(topology) * 2 + drain + (balancer.retry_after or 0) + balancer.retry_spread
    total = detect + waits + connecting + replay / topology.replay.servers + topology.routing.ttl + trips + 2 * config.gap_wait
    return math.ceil(1.2 * total) if math.isfinite(total) else None


def quick_retries_for(topology: Topology) -> int:
    """L1, L5: how long a client that fails and fails goes on quickly, at least, before it shows that it is offline."""
    reconnect, delay, total = topology.clients.reconnect, float(topology.clients.reconnect.first), 0.0
    for _ in range(reconnect.attempt_limit):
        total += min(delay, reconnect.cap) * (1 - reconnect.jitter)
        delay *= reconnect.factor
    return int(total)


def longest_delay(topology: Topology) -> int:
    """The one-way delay of nearly every client: the 99.99 % quantile of the laws."""
    laws = [region.delay for region in topology.clients.regions] or [topology.clients.delay]
    return max(math.ceil(law.quantile(0.9999)) for law in laws)
