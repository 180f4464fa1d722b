"""Shares: how unevenly the balancer's policy spreads the connections over the gateways.

Policies that look at loads, or take turns, spread them evenly. A ring gives each gateway the arcs before its points. Who hashes tenants or
addresses spreads groups: a large tenant, or an office behind one address, is one throw of the dice.

Leaves out: the luck of single users in hashing (small beside the rest); what a full gateway turns away; which tenant meets which other on
a gateway with rendezvous and maglev (another throw of the same dice is taken).
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import below, decision_key, word
from simfabric.policies.balancing import ConsistentHash, Dials, Pool
from simfabric.policies.hashing import CLIENT
from simfabric.policies.pools import Floats, Integers
from simfabric.policies.popularity import equal, zipf
from simfabric.topology import Topology

MOST_GROUPS = 1_000_000  # Tenants or addresses that are hashed one by one; more spread evenly enough.
MOST_POINTS = 4_000_000  # Points of a ring that are laid out; a larger ring is taken for one with fewer points, and so for less even.
BY_KEY = ("consistent_hash", "bounded_hash", "rendezvous", "maglev")


def gateway_shares(topology: Topology) -> Floats:
    """The share of all connections that each gateway holds."""
    config, count = topology.balancer, topology.gateways.count
    key = decision_key(topology.run.seed, topology.run.replication, "balancer")
    even = equal(count)
    if config.policy == "source_ip":
        return _by_address(topology, key, even)
    if config.policy not in BY_KEY:
        return even
    if config.key == "tenant" and topology.clients.tenants <= MOST_GROUPS:
        shares = _by_tenant(topology, key)
    elif config.policy in ("consistent_hash", "bounded_hash"):
        shares = ring_shares(count, config.virtual_nodes, key)
    else:
        return even
    return bounded(shares, (1.0 + config.load_bound) / count) if config.policy == "bounded_hash" else shares


def ring_shares(gateways: int, points: int, key: int) -> Floats:
    """The part of a ring that each gateway owns: the arc before each of its points."""
    at, owners = ConsistentHash("user", min(points, max(1, MOST_POINTS // gateways))).table(np.ones(gateways, bool), key)
    arcs = np.diff(at, prepend=at[-1])  # Unsigned words wrap, as the ring does.
    if len(at) == 1:
        return np.ones(1)
    lengths = np.bincount(owners, weights=arcs.astype(np.float64), minlength=gateways).astype(np.float64)
    shares: Floats = lengths / lengths.sum()
    return shares


def bounded(shares: Floats, bound: float) -> Floats:
    """The shares with none above the bound: what is too much goes to the others, in proportion."""
    capped = np.zeros(len(shares), bool)
    for _ in range(len(shares)):
        over = ~capped & (shares > bound * (1 + 1e-9))
        if not over.any():
            break
        capped |= over
        free = 1.0 - bound * capped.sum()
        shares = np.where(capped, bound, shares * (free / max(shares[~capped].sum(), 1e-300)))
    return shares


def _by_address(topology: Topology, key: int, even: Floats) -> Floats:
    """Shared addresses are hashed one by one, the others spread evenly."""
    clients = topology.clients
    shared = round(clients.behind_nat * clients.count)
    offices = np.arange(min(-(-shared // clients.nat_size), MOST_GROUPS), dtype=np.int64)
    if len(offices) == 0:
        return even
    picked = (word(key, offices, CLIENT) % np.uint64(len(even))).astype(np.int64)
    part = shared / clients.count
    shares: Floats = part * np.bincount(picked, minlength=len(even)) / len(offices) + (1.0 - part) * even
    return shares


def _by_tenant(topology: Topology, key: int) -> Floats:
    """Every tenant goes to one gateway, with all its clients."""
    clients, config, gateways = topology.clients, topology.balancer, topology.gateways.count
    sizes = zipf(clients.tenants, clients.tenant_popularity) if clients.tenant_popularity > 0 else equal(clients.tenants)
    tenant: Integers = np.arange(clients.tenants, dtype=np.int64)
    if config.policy in ("consistent_hash", "bounded_hash"):
        policy = ConsistentHash("tenant", min(config.virtual_nodes, max(1, MOST_POINTS // gateways)))
        pool = Pool(np.ones(gateways, bool), np.zeros(gateways, np.int64), np.ones(gateways), key)
        gateway = policy.pick(Dials(tenant, tenant, tenant, tenant, np.full(len(tenant), -1, np.int64), tenant, tenant), pool)
    else:
        gateway = below(key, tenant, CLIENT, gateways).astype(np.int64)
    return np.bincount(gateway, weights=sizes, minlength=gateways).astype(np.float64)
