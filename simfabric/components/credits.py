"""The credits between the routers and the gateways of a fabric; what they are stands in kernels/credits.py.

Leaves out: pairs that never meet; each has its ring of times all the same.
"""

from __future__ import annotations

import numpy as np

from simfabric.kernels.credits import Credits
from simfabric.world import World


def credits_of(world: World, lives: int) -> Credits:
    """All credits, with their owners, for gateways that have so many lives; one row that nobody reads without the policy."""
    topology = world.topology
    config = topology.backpressure
    window = config.window if config.policy == "credits" else 0
    pairs = (topology.fanout.routers, topology.gateways.count, lives) if window else (1, 1, 1)
    wants = np.full((pairs[0], 3), -1, np.int64)
    settings = np.array([window, topology.network.hop], np.int64)
    return Credits(settings, np.zeros(pairs, np.int64), np.zeros(pairs, np.int64), np.zeros((*pairs, max(1, window)), np.int64), wants)
