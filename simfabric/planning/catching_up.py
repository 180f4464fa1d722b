"""Catching up: what clients that connect during the run ask the replay service for.

Each is told where its channels stand when it subscribes, and asks once for all in which it is behind: a request's work for every such channel,
and more for every message.

Leaves out: catching up after a fault, and after a gap; snapshots of what is too much for a replay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from simfabric.planning.flows import Flow, mean_of
from simfabric.planning.hotspots import weights_of
from simfabric.policies.pools import Floats
from simfabric.topology import Topology
from simfabric.topology.expected import Membership, connected_share, cycle, ranks_of, rejoins
from simfabric.world import SECOND

GRID = 64  # Times of dialling, or lengths of absence, that are looked at.


def first_dials(topology: Topology) -> float:
    """First dials per second, in the mean over the run: none where everybody is connected from the start."""
    start, duration = topology.clients.start, topology.run.duration
    return topology.clients.count * min(1.0, duration / start) * SECOND / duration if start else 0.0


def dials_of(topology: Topology) -> float:
    """Dials per second, in the mean over the run: the first ones, and those of clients that come and go."""
    return first_dials(topology) + rejoins(topology)


def absences(topology: Topology) -> Iterator[tuple[float, Floats, Floats]]:
    """Connections made per second, and for a few of them how long everybody (and how long a mean client) had published before, unseen by it [s]."""
    start = topology.clients.start / SECOND
    grid = (np.arange(GRID) + 0.5) / GRID
    if start:
        at = grid * min(start, topology.run.duration / SECOND)
        # Only who is connected publishes: by the time t, t² / 2 start seconds of everybody's traffic.
        yield first_dials(topology), at, at**2 / (2.0 * start) / connected_share(topology)
    for part in topology.clients.churn:
        stays, away = cycle(topology, part)
        gone = np.full(GRID, away) if part.away is None else np.array([max(float(SECOND), part.away.quantile(float(p))) for p in grid])
        yield topology.clients.count * part.share * SECOND / (stays + away), gone / SECOND, gone / SECOND


def catching_up(topology: Topology, members: Membership, flows: Sequence[Flow]) -> tuple[float, float]:
    """Requests per second, and their work per second [ns]."""
    ranks, weights = ranks_of(members.channels)
    count = len(members.given) + len(ranks)
    each = np.concatenate([np.array(members.given), weights * members.share(ranks)])  # Channels of one client, of each kind.
    requests, work, replay = 0.0, 0.0, topology.replay
    for dials, everybody, clients in absences(topology):
        missed = np.zeros((count, GRID))  # Messages of such a channel during each absence.
        messages = 0.0
        for source, flow in zip(topology.traffic, flows, strict=True):
            before = clients if flow.by_clients else everybody
            messages += flow.rate * float(before.mean()) * flow.fan_out / topology.clients.count
            if source.kind == "trace":
                shares = np.concatenate([np.zeros(len(members.given)), members.popularity(ranks)])
            else:
                shares = weights_of(topology, source, members, (ranks, np.ones(len(ranks))), count)
            missed += flow.rate * np.outer(shares, before)
        asked = float(each @ (1.0 - np.exp(-missed)).mean(axis=1))
        requests += dials * float((1.0 - np.exp(-(each @ missed))).mean())  # Who lacks nothing asks for nothing.
        work += dials * (asked * mean_of(replay.work) + messages * mean_of(replay.work_per_message))
    return requests, work
