"""Warming: which tenants each gateway has met in its present life. What a gateway keeps of a tenant (settings, rights) it must load the first time.

Of users no such book is kept: a connection that moved is a user that is new to its gateway, unless another device of the user is there.

Leaves out: what loading costs; a cache that forgets; more than 2^26 pairs of gateway and tenant, which are not counted.
"""

from __future__ import annotations

import numpy as np

from simfabric.world import Array

MOST = 1 << 26


class Tenants:
    """The tenants that each gateway knows, and how often one was met for the first time since the run began."""

    def __init__(self, tenant: Array, tenants: int, gateways: int, home: Array) -> None:
        self.counted = tenants > 1 and tenants * gateways <= MOST
        self.met = 0
        self._tenant = tenant  # Of each client.
        self._known = np.zeros((gateways, tenants) if self.counted else (0, 0), bool)
        if self.counted:
            placed = np.flatnonzero(home >= 0)
            self._known[home[placed], tenant[placed]] = True

    def meet(self, gateway: Array, client: Array) -> None:
        """These clients have been accepted by these gateways."""
        if self.counted:
            pairs = gateway * self._known.shape[1] + self._tenant[client]
            known = self._known.reshape(-1)
            new = np.unique(pairs[~known[pairs]])
            known[new] = True
            self.met += len(new)

    def forget(self, gateway: int) -> None:
        """The gateway died with all it knew."""
        if self.counted:
            self._known[gateway] = False
