"""Limits: token and leaky buckets before the gateways, for publications and subscriptions, of users and of tenants.

    clients ──▶ buckets ──▶ gateways        one number a bucket: when it is full again (`policies/admission.py`)
       ▲           │
       └───────────┘ error.rate_limited, with the time after which another try is worth it

The state is each gateway's own, as with most gateways: nobody asks a store for every message. A user with devices on two gateways has a bucket
at each; a tenant has one at every gateway, with the whole rate (`scope: gateway`) or with the gateway's share of it (`scope: fabric`). A
gateway that starts anew has forgotten what was taken.

Leaves out: a common store of the buckets, and what a round trip to it costs; the bucket of a gateway that all of a user's devices have left, once
another gateway needs its row (it is full when they come back); for a message that arrives after its connection has ended, the bucket of its user;
the end of a connection that goes on and on (4129): what is refused costs a core the reading of it, and nothing more; a publication that is
refused is not sent again, as one that is lost is not; a client's channels are asked for, refused and asked for again together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.components.columns import Columns
from simfabric.kernels.limits import COUNTS, INTERVAL, Limits, enter_all
from simfabric.topology import Topology
from simfabric.world import Array, World


def rules_of(topology: Topology) -> Array:
    """int64[2, 2, 3]: interval [ns], burst and whether it is a queue, by kind of request and whose bucket. An unlimited rate is no limit."""
    limits, gateways = topology.limits, topology.gateways.count
    rules = np.zeros((2, 2, 3), np.int64)
    for kind, requests in enumerate((limits.publish, limits.subscribe)):
        if requests.per_user is not None:
            rules[kind, 0] = requests.per_user.interval, requests.per_user.burst, requests.per_user.policy == "leaky_bucket"
        if requests.per_tenant is not None:
            rules[kind, 1] = *requests.per_tenant.share(gateways), requests.per_tenant.policy == "leaky_bucket"
    return rules


def limits_of(world: World, columns: Columns) -> Limits:
    """Every bucket full. Without a limit there is nothing but a row of each."""
    topology, who, crowd = world.topology, columns.who, columns.crowd
    gateways, tenants, clients = topology.gateways.count, topology.clients.tenants, len(crowd.client)
    rules = rules_of(topology)
    limited = rules[:, :, INTERVAL] > 0
    of_users, of_tenants = (bool(limited[:, whose].any()) for whose in (0, 1))
    rows, places = (clients if of_users else 1), (gateways * tenants if of_tenants else 1)
    settings = (topology.clients.devices_per_user, tenants, of_users, limited[0].any(), limited[1].any())
    limits = Limits(
        rules=rules,
        settings=np.array(settings, np.int64),
        seat_of=columns.seat_of,
        tenant=who.tenant[crowd.client].astype(np.int32) if of_tenants else np.zeros(1, np.int32),
        row=np.full(rows, -1, np.int32),
        life=np.full(rows, -1, np.int64),
        users=np.zeros((2, rows), np.int64),
        tenants=np.zeros((2, places), np.int64),
        counts=np.zeros((gateways, 2 * COUNTS), np.int64),
        by_tenant=np.zeros((2, places, 2), np.int64),
    )
    if of_users:
        world.kernel(enter_all)(crowd, limits)
    return limits


def overdrawn(limits: Limits, now: int) -> tuple[int, int]:
    """Buckets that there are, and those from which more was taken than they could hold by now: the law says none."""
    kept = broken = 0
    for kind in (0, 1):
        for whose, buckets in enumerate((limits.users[kind], limits.tenants[kind])):
            interval, burst, _ = limits.rules[kind, whose].tolist()
            if interval > 0:
                kept += len(buckets)
                broken += int((buckets > now + interval * burst).sum())
    return kept, broken


def tenants_of(limits: Limits, gateways: int) -> Array:
    """int64[2, tenants, 2]: asked and refused, by kind of request and tenant, over all gateways; no tenants where these are not limited."""
    counted: Any = limits.by_tenant
    if counted.shape[1] == 1 and not counted.any():
        return np.zeros((2, 0, 2), np.int64)
    return np.asarray(counted.reshape(2, gateways, -1, 2).sum(axis=1))
