"""Limits at the gateways: buckets, one number each, of users and of tenants, and what they said.

Gateways do not touch each other's rows, so every gateway has buckets of its own: of each tenant one, and of each user as many as there are
gateways with connections of that user. A user never has more of these than devices, so the buckets of a user lie in its devices' rows: a
connection takes a row when it opens, the one of another device of its user if the gateway has one, else one that no device of the user needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.kernels.state import LIFE, Crowd
from simfabric.policies.admission import leaky_bucket, token_bucket

PUBLISHING, SUBSCRIBING = 0, 1  # Kinds of request.
USER, TENANT = 0, 1  # Whose bucket.
INTERVAL, BURST, LEAKY = 0, 1, 2  # Columns of a rule; INTERVAL 0 = no limit.
# Columns of `counts`, for each kind: asked (messages, or clients that subscribe to all their channels), refused by the bucket of a user, of a
# tenant, their obligations; those that waited for a slot, and how long [ns, wrapping].
ASKED, BY_USER, BY_TENANT, OBLIGATIONS, WAITED, WAITED_FOR = range(6)
COUNTS = 6
ADMITTED = -1
DEVICES, TENANTS, OF_USERS, OF_PUBLISHING, OF_SUBSCRIBING = range(5)  # Settings: devices of a user, tenants; 1 if there is such a limit.


class Limits(NamedTuple):
    """Rules and buckets. What nobody limits has one row."""

    rules: Any  # int64[2, 2, 3]: by kind of request and whose bucket.
    settings: Any  # int64[5]
    seat_of: Any  # int32[clients]: the seat of each client.
    tenant: Any  # int32[seats]: the tenant of each seat.
    row: Any  # int32[seats]: the row with the bucket of the seat's user on the gateway where it is connected, -1 = none so far.
    life: Any  # int64[rows]: the life of the gateway whose bucket the row was last.
    users: Any  # int64[2, rows]: when a user's bucket is full again [ns], by kind of request.
    tenants: Any  # int64[2, gateways * tenants]: when a tenant's bucket is full again [ns].
    counts: Any  # int64[gateways, 2 * COUNTS]
    by_tenant: Any  # int64[2, gateways * tenants, 2]: asked and refused, where tenants are limited.


def enter(seat: int, life: int, crowd: Crowd, limits: Limits) -> None:
    """A connection opens at a gateway of this life: it shares the bucket of its user there, or takes a row. A gateway that starts anew knows nobody."""
    devices = limits.settings[DEVICES]
    first = crowd.client[seat] // devices * devices
    last = min(first + devices, len(crowd.client))
    for device in range(first, last):
        other = limits.seat_of[device]
        if other != seat and crowd.home[other] == life // LIFE and limits.row[other] >= 0:
            limits.row[seat] = limits.row[other]
            return
    mine = -1
    for row in range(first, last):
        free = True
        for device in range(first, last):
            other = limits.seat_of[device]
            if other != seat and crowd.home[other] >= 0 and limits.row[other] == row:
                free = False
        if free and (mine < 0 or limits.life[row] == life):
            mine = row
    if limits.life[mine] != life:
        limits.life[mine] = life
        limits.users[0, mine] = 0
        limits.users[1, mine] = 0
    limits.row[seat] = mine


def enter_all(crowd: Crowd, limits: Limits) -> None:
    """The same for all who are connected when the run begins."""
    for client in range(len(crowd.client)):
        seat = limits.seat_of[client]
        if crowd.home[seat] >= 0:
            enter(seat, crowd.home[seat] * LIFE, crowd, limits)


def ask(kind: int, at: int, gateway: int, life: int, seat: int, cost: int, limits: Limits) -> tuple[int, int]:
    """A request at a gateway of this life: (ADMITTED, when it may go on), or (USER or TENANT, how long to wait before it is worth another try) [ns].

    It takes its tokens from both buckets or from none: a user that is refused costs its tenant nothing. Each bucket gives out slots of its own
    in the order of arrival; who waits for two of them goes on at the later one. What comes over a connection that has ended is nobody's any more:
    the row may be another gateway's by now.
    """
    base = kind * COUNTS
    limits.counts[gateway, base + ASKED] += 1
    of_tenant = limits.rules[kind, TENANT, INTERVAL] > 0
    place = gateway * limits.settings[TENANTS] + limits.tenant[seat] if of_tenant else 0
    row = limits.row[seat] if limits.rules[kind, USER, INTERVAL] > 0 else -1
    of_user = row >= 0 and limits.life[row] == life
    user_full_at, tenant_full_at = 0, 0
    user_wait, tenant_wait = 0, 0
    user_refuses, tenant_refuses = False, False
    if of_user:
        admitted, user_full_at, user_wait = filled(kind, USER, at, limits.users[kind, row], cost, limits)
        user_refuses = not admitted
    if of_tenant:
        admitted, tenant_full_at, tenant_wait = filled(kind, TENANT, at, limits.tenants[kind, place], cost, limits)
        tenant_refuses = not admitted
        limits.by_tenant[kind, place, 0] += 1
    if user_refuses or tenant_refuses:
        if of_tenant:
            limits.by_tenant[kind, place, 1] += 1
        limits.counts[gateway, base + (BY_USER if user_refuses else BY_TENANT)] += 1
        advice = max(user_wait if user_refuses else 0, tenant_wait if tenant_refuses else 0)
        return (USER if user_refuses else TENANT), advice
    if of_user:
        limits.users[kind, row] = user_full_at
    if of_tenant:
        limits.tenants[kind, place] = tenant_full_at
    wait = max(user_wait, tenant_wait)
    if wait > 0:
        limits.counts[gateway, base + WAITED] += 1
        limits.counts[gateway, base + WAITED_FOR] = (limits.counts[gateway, base + WAITED_FOR] + wait) & 4611686018427387903
    return ADMITTED, at + wait


def filled(kind: int, whose: int, at: int, full_at: int, cost: int, limits: Limits) -> tuple[bool, int, int]:
    """What the rule of one bucket says."""
    interval, burst = limits.rules[kind, whose, INTERVAL], limits.rules[kind, whose, BURST]
    if limits.rules[kind, whose, LEAKY] == 1:
        return leaky_bucket(at, full_at, interval, burst, cost)
    return token_bucket(at, full_at, interval, burst, cost)
