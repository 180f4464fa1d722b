"""Catching up: what clients that dial after the start of the run ask the replay service for.

Each is told where its channels stand when it subscribes, and asks once for all in which it is behind: a request's work for every such channel,
and more for every message.

Leaves out: catching up after a fault, and after a gap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simfabric.planning.flows import Flow, mean_of
from simfabric.planning.hotspots import weights_of
from simfabric.topology import Topology
from simfabric.topology.expected import Membership, connected_share, ranks_of
from simfabric.world import SECOND

GRID = 64  # Times of dialling that are looked at.


def dials_of(topology: Topology) -> float:
    """Dials per second, in the mean over the run: none where everybody is connected from the start."""
    start, duration = topology.clients.start, topology.run.duration
    return topology.clients.count * min(1.0, duration / start) * SECOND / duration if start else 0.0


def catching_up(topology: Topology, members: Membership, flows: Sequence[Flow]) -> tuple[float, float]:
    """Requests per second, and their work per second [ns]."""
    dials, start = dials_of(topology), topology.clients.start / SECOND
    if not dials:
        return 0.0, 0.0
    span = min(start, topology.run.duration / SECOND)
    at = (np.arange(GRID) + 0.5) * span / GRID
    ranks, weights = ranks_of(members.channels)
    count = len(members.given) + len(ranks)
    each = np.concatenate([np.array(members.given), weights * members.share(ranks)])  # Channels of one client, of each kind.
    missed = np.zeros((count, GRID))  # Messages of such a channel before each time.
    messages = 0.0
    for source, flow in zip(topology.traffic, flows, strict=True):
        # Only who is connected publishes: by the time t, t² / 2 start seconds of everybody's traffic.
        before = at**2 / (2.0 * start) / connected_share(topology) if flow.by_clients else at
        messages += flow.rate * float(before.mean()) * flow.fan_out / topology.clients.count
        if source.kind == "trace":
            shares = np.concatenate([np.zeros(len(members.given)), members.popularity(ranks)])
        else:
            shares = weights_of(topology, source, members, (ranks, np.ones(len(ranks))), count)
        missed += flow.rate * np.outer(shares, before)
    asked = float(each @ (1.0 - np.exp(-missed)).mean(axis=1))
    behind = float((1.0 - np.exp(-(each @ missed))).mean())  # Who lacks nothing asks for nothing.
    replay = topology.replay
    return dials * behind, dials * (asked * mean_of(replay.work) + messages * mean_of(replay.work_per_message))
