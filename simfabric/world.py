"""The world: what every component shares. One clock, in whole nanoseconds; chance by address; the form in which kernels run.

The clock is SimPy's. Control processes (health, leases, faults) are SimPy processes with events at their exact times; the columns are moved
between them by the conductor (`components/conductor.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import simpy

from simfabric.chance import decision_key, tabulated
from simfabric.compiling import chosen
from simfabric.topology import Topology

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000


class World:
    """What every component shares: the clock, the topology, chance by address, and the form in which kernels run."""

    def __init__(self, topology: Topology, by_numba: bool) -> None:
        self.topology = topology
        self.env = simpy.Environment(initial_time=0)
        self.by_numba = by_numba
        self.tolerance = 0  # How far in the past a frame may arrive [ns]; 0 in exact runs.

    @property
    def now(self) -> int:
        """Simulated time [ns]."""
        return int(self.env.now)

    def kernel(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel as this run wants it: plain or compiled."""
        return chosen(function, self.by_numba)

    def key(self, decision: str) -> int:
        """The address of a named decision in this seed and replication."""
        return decision_key(self.topology.run.seed, self.topology.run.replication, decision)

    def table(self, law: Any) -> Array:
        """A law of the topology as kernels draw from it."""
        table: Array = tabulated(law)
        return table
