"""Limits: what one user and one tenant may ask of a gateway, over all their connections.

Token buckets, two for each request: the user's and the tenant's. A request takes a token from both or from neither, so that a refused
user costs the tenant nothing. One `Limits` object belongs to a gateway and is handed to all its sessions.
"""

from __future__ import annotations

from simfabric.protocol.parameters import Parameters
from simfabric.protocol.queues import TOKEN, bucket, bucket_wait

TAKEN = -1
FEW = 1_024  # Buckets up to here are not worth clearing.


class Buckets:
    """The buckets of one kind of request, by number of the user or tenant. A full bucket is as good as none."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.levels: dict[int, tuple[int, int]] = {}  # (level in units of 1 / TOKEN, as of).
        self.clear_at = FEW

    def level(self, who: int, now: int) -> tuple[int, int]:
        """What the bucket holds now, and as of when."""
        level, last = self.levels.get(who, (self.burst * TOKEN, now))
        level, last, _ = bucket(level, last, now, self.rate, self.burst, 0)
        return level, last

    def keep(self, who: int, level: int, last: int) -> None:
        """Remember a level; now and then forget the buckets that are full by now."""
        self.levels[who] = (level, last)
        if len(self.levels) > self.clear_at:
            self.levels = {other: held for other, held in self.levels.items() if self.level(other, last)[0] < self.burst * TOKEN}
            self.clear_at = max(FEW, 2 * len(self.levels))


class Limits:
    """The buckets of one gateway."""

    def __init__(self, parameters: Parameters) -> None:
        self.publish_user = Buckets(parameters.publish_rate_user, parameters.publish_burst_user)
        self.publish_tenant = Buckets(parameters.publish_rate_tenant, parameters.publish_burst_tenant)
        self.subscribe_user = Buckets(parameters.subscribe_rate_user, parameters.subscribe_burst_user)
        self.subscribe_tenant = Buckets(parameters.subscribe_rate_tenant, parameters.subscribe_burst_tenant)

    def publish(self, user: int, tenant: int, now: int) -> int:
        """TAKEN, or how long to wait [ns]."""
        return _take(self.publish_user, user, self.publish_tenant, tenant, now)

    def subscribe(self, user: int, tenant: int, now: int) -> int:
        """TAKEN, or how long to wait [ns]."""
        return _take(self.subscribe_user, user, self.subscribe_tenant, tenant, now)


def _take(users: Buckets, user: int, tenants: Buckets, tenant: int, now: int) -> int:
    """One token from both, or from neither."""
    of_user, of_tenant = users.level(user, now), tenants.level(tenant, now)
    wait = max(bucket_wait(of_user[0], users.rate, users.burst, 1), bucket_wait(of_tenant[0], tenants.rate, tenants.burst, 1))
    taken = TOKEN if wait == 0 else 0
    users.keep(user, of_user[0] - taken, of_user[1])
    tenants.keep(tenant, of_tenant[0] - taken, of_tenant[1])
    return TAKEN if taken else wait
