"""Balancing: which gateway a dial goes to. The policies by name, and the one that remembers.

    policy = BALANCING["two_choices"]()
    gateways = policy.pick(dials, pool)

A policy of your own is one more entry: BALANCING["mine"] = Mine. See `pools` for what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from simfabric.compiling import plain
from simfabric.policies.hashing import BoundedHash, ConsistentHash, Maglev, Rendezvous, SourceAddress
from simfabric.policies.loads import LeastConnections, Random, RoundRobin, TwoChoices
from simfabric.policies.pools import Balancing, Dials, Form, Integers, Pool

__all__ = [
    "BALANCING",
    "Balancing",
    "BoundedHash",
    "ConsistentHash",
    "Cookie",
    "Dials",
    "LeastConnections",
    "Maglev",
    "Pool",
    "Random",
    "Rendezvous",
    "RoundRobin",
    "SourceAddress",
    "TwoChoices",
]


@dataclass(frozen=True, slots=True)
class Cookie:
    """Back to the gateway of the previous connection if it is eligible; everybody else by the policy `otherwise`.

    Stickiness remembers imbalance: who was moved away during a deploy stays away until it loses its cookie or its gateway.
    Source: HAProxy manual, `cookie … insert` with `option redispatch`.
    Leaves out: cookies that age (`maxidle`, `maxlife`).
    """

    otherwise: Balancing = field(default_factory=RoundRobin)

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        known = (dials.cookie >= 0) & (dials.cookie < len(pool.eligible))
        known &= pool.eligible[np.where(known, dials.cookie, 0)]
        sticky = np.where(known, dials.cookie, -1)
        if kept is not None:
            sticky = np.where(kept >= 0, kept, sticky)
        return self.otherwise.pick(dials, pool, form, sticky)


BALANCING: dict[str, Callable[..., Balancing]] = {
    "bounded_hash": BoundedHash,
    "consistent_hash": ConsistentHash,
    "cookie": Cookie,
    "least_connections": LeastConnections,
    "maglev": Maglev,
    "random": Random,
    "rendezvous": Rendezvous,
    "round_robin": RoundRobin,
    "source_ip": SourceAddress,
    "two_choices": TwoChoices,
}
