"""Flows: what each source of traffic means for the fabric, in the mean over the run.

    publications/s  ->  fan-out (clients per publication)  ->  reach (gateways, or cores, with at least one of them)

A gateway with n clients has no member of a channel that a share q of all clients reads with probability (1 - q)^n, since clients draw their
channels without looking at each other.

Leaves out: which gateways are down; that fewer gateways are reached while clients still dial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simfabric.chance import Law
from simfabric.components.publishers import rate_at, trace_rows
from simfabric.policies.pools import Floats, Integers
from simfabric.topology import Topology
from simfabric.topology.expected import Aim, Membership, aim, connected_share, online_share, publications, rate
from simfabric.topology.traffic import Source
from simfabric.world import SECOND

GRID = 1 << 16  # Instants at which bursts and the day's course are looked at.
MOST_PARTS = 64  # Sizes of gateways that are told apart.


@dataclass(frozen=True, eq=False)
class Flow:
    """One source of traffic in steady state."""

    name: str
    by_clients: bool  # Published by clients, through gateways and storage; else by back ends, straight to the bus.
    rate: float  # Publications per second that are sent, in the mean over the run.
    peak: float  # The same at the busiest moment.
    size: float  # Mean size of a message [bytes].
    aim: Aim
    fan_out: float  # Clients per publication.
    reach: float  # Gateways per publication that have at least one of them.
    live: float  # Share of a publication's members that is connected when it comes.
    traced: tuple[Integers, Integers] | None = None  # Of a trace: its channels, and the publications to each.


@dataclass(frozen=True, eq=False)
class Spread:
    """The gateways in a few sizes: how many there are of each, and the share of all clients that one of them holds."""

    count: Floats
    share: Floats

    def reach(self, aim: Aim, clients: int) -> float:
        """The mean number of them with at least one member of a publication's channel."""
        nobody = absent(aim.share[:, None], (self.share * (clients - aim.surely))[None, :]) * (1.0 - aim.surely * self.share)[None, :]
        return float(aim.weight @ ((1.0 - nobody) @ self.count))

    def cores(self, cores: int) -> Spread:
        """The same gateways, core by core."""
        return Spread(self.count * cores, self.share / cores)


def absent(share: Floats, clients: Floats) -> Floats:
    """The probability that none of so many clients reads a channel that a share of all reads; below one, that many are there at all."""
    q = np.minimum(share, 1.0)
    nobody: Floats = np.where(clients < 1.0, 1.0 - clients * q, np.power(1.0 - q, np.maximum(clients, 1.0)))
    return nobody


def spread_of(shares: Floats) -> Spread:
    """Gateways of about the same size taken together."""
    ordered = np.sort(shares)
    if ordered[-1] - ordered[0] < 1e-12:
        return Spread(np.array([float(len(shares))]), np.array([1.0 / len(shares)]))
    parts = [*np.array_split(ordered[:-1], min(len(ordered) - 1, MOST_PARTS)), ordered[-1:]]  # The fullest by itself.
    return Spread(np.array([float(len(part)) for part in parts]), np.array([float(part.mean()) for part in parts]))


def flow_of(topology: Topology, source: Source, members: Membership, spread: Spread) -> Flow:
    """What one source means."""
    by_clients = source.kind != "producers"
    clients = topology.clients.count
    traced = None
    if source.kind == "trace":
        rows = trace_rows(topology, source)
        traced = np.unique(rows[rows[:, 0] < topology.run.duration, 1], return_counts=True)
        where = aim_of_trace(*traced, members)
        mean = peak = float(traced[1].sum()) * SECOND / topology.run.duration
    else:
        where = aim(topology, source, members)
        factor, top = modulation(topology, source)
        mean = publications(topology, source) * SECOND / topology.run.duration * factor
        peak = rate(topology, source) * top
    connected = connected_share(topology)
    return Flow(
        name=source.name,
        by_clients=by_clients,
        rate=mean * (connected if by_clients else 1.0),
        peak=max(peak, mean),
        size=mean_of(source.size),
        aim=where,
        fan_out=where.members(clients),
        reach=spread.reach(where, clients),
        live=_both_connected(topology) / connected if by_clients else connected,
        traced=traced,
    )


def modulation(topology: Topology, source: Source) -> tuple[float, float]:
    """By how much the day makes the mean rate of the run differ from the stated one, and how high bursts and the day take it at most."""
    if not source.bursts and not source.daily:
        return 1.0, 1.0
    at = (np.arange(GRID) + 0.5) * (topology.run.duration / GRID)
    day = rate_at(source.model_copy(update={"bursts": None}), at) if source.daily else np.ones(1)
    return float(day.mean()), float(day.max()) * (source.bursts.times if source.bursts else 1.0)


def aim_of_trace(channels: Integers, counts: Integers, members: Membership) -> Aim:
    """Where so many publications to each of these channels go."""
    if len(channels) == 0:
        return Aim(np.ones(1), np.zeros(1), 0)
    first = len(members.given)
    given = np.array([*members.given, 0.0])[np.minimum(channels, first)]
    ordinary = members.share(np.maximum(channels - first + 1, 1).astype(np.float64))
    return Aim(counts / counts.sum(), np.where(channels < first, given, ordinary), 0)


def mean_of(law: Law) -> float:
    """The mean of a law's draws. A Pareto law of shape <= 1 has none; its draws do, since their tail ends at probability 2^-47."""
    if math.isfinite(law.mean):
        return law.mean
    minimum, shape = law.parameters
    end = math.ldexp(1.0, -47)
    return minimum * (math.log(1.0 / end) if shape == 1 else (end ** (1.0 - 1.0 / shape) - 1.0) / (1.0 / shape - 1.0))


def _both_connected(topology: Topology) -> float:
    """The share of the run in which two clients are both connected: the square of the share that has dialled, averaged, and of that online."""
    start, duration = topology.clients.start, topology.run.duration
    both = 1.0 - 2.0 * start / (3.0 * duration) if start <= duration else (duration / start) ** 2 / 3.0
    return both * online_share(topology) ** 2
