"""Two runs of one topology, its clients once as columns and once as sessions: what they leave behind is the same to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.fabric import Fabric
from simfabric.kernels.state import PACE, SERVED, SERVED_AT, SESSION
from simfabric.topology import Topology
from tests.helpers import drive, outcome

Array = np.ndarray[Any, Any]


def ran(topology: Topology, by_numba: bool = False) -> tuple[Fabric, dict[str, Array]]:
    """The fabric after its run, and its facts without what only tells who ran the clients: frames of sessions to themselves, a flag."""
    fabric = Fabric(topology, by_numba)
    fabric.gateways.keep_trail()
    drive(fabric)
    facts = dict(outcome(fabric).facts)
    del facts["clients frames"]
    facts["clients counters"] = facts["clients counters"].copy()
    facts["clients counters"][[SERVED, SERVED_AT]] = 0
    facts["snapshot_api frames"] = np.zeros(3)  # A column puts its next try there when the one before has failed.
    for name in ("replay frames", "replay counters"):  # A gap that closes by itself leaves an ask in the account that comes to nothing.
        facts[name] = facts[name].copy()
    facts["replay frames"][:] = 0
    facts["replay counters"][[3, 4]] = 0
    facts["links"] = facts["links"].copy()
    facts["links"][:, PACE] &= ~SESSION
    return fabric, facts


def differing(one: dict[str, Array], other: dict[str, Array]) -> list[str]:
    """Names of the facts that differ."""
    return [name for name in one if not np.array_equal(one[name], other[name])]


def shown(fabric: Fabric) -> Array:
    """What users of sessions were shown: int64[n, 3] of message, client and time, by message and client."""
    assert fabric.clients.sessions is not None
    rows = np.array(fabric.clients.sessions.delivered, np.int64).reshape(-1, 3)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]
