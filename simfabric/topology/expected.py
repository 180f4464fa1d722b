"""What is to be expected of a run, from the topology alone: how many members channels have, and how much there will be to do.

Channels of neighbouring ranks are nearly alike, so a sum over millions of them is a sum over a few hundred ranks, each with a weight: the
first ones one by one, the others in blocks that grow by a tenth, two Gauss points a block. It costs a millisecond.

A client draws its channels one after the other, each at most once. Channel k is then a member's with about the probability that its
exponential clock of rate p_k (its popularity) rings before the time at which so many clocks have rung in the mean (Rosén 1972).

Leaves out: the course of a day; the channels of a trace (its rows count as drawn by popularity); clients that are away after a fault.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simfabric.errors import SimfabricError
from simfabric.topology.traffic import Bursts, Source

if TYPE_CHECKING:
    from simfabric.topology.clients import Churn
    from simfabric.topology.model import Topology

Array = np.ndarray[Any, np.dtype[np.float64]]
SECOND = 1_000_000_000
ONE_BY_ONE = 256  # Ranks that are summed one by one.
GROWTH = 1.1


@functools.lru_cache(maxsize=16)
def ranks_of(count: int) -> tuple[Array, Array]:
    """Ranks and their weights, which sum to `count`: sum of f(k) for k = 1 … count is the weighted sum of f over them, for a smooth f."""
    edges = [min(count, ONE_BY_ONE)]
    while edges[-1] < count:
        edges.append(min(count, math.ceil(edges[-1] * GROWTH)))
    edge = np.array(edges) + 0.5  # The sum from a + 1 to b is the integral from a + 1/2 to b + 1/2.
    middle, half = (edge[1:] + edge[:-1]) / 2, (edge[1:] - edge[:-1]) / 2
    gauss = half / math.sqrt(3.0)
    ranks = np.concatenate([np.arange(1.0, edges[0] + 1.0), middle - gauss, middle + gauss])
    weights = np.concatenate([np.ones(edges[0]), half, half])
    return ranks, weights


@dataclass(frozen=True, eq=False)
class Membership:
    """Who subscribes to what: the share of all clients that each channel has."""

    clients: int
    channels: int  # Ordinary ones.
    drawn: int  # Ordinary channels of each client.
    exponent: float
    whole: float  # Sum of k^-exponent over the ordinary channels.
    time: float  # At which the clocks stop.
    filled: float  # Share of what the clocks leave out that is filled up in turn: a client stops drawing in vain.
    given: tuple[float, ...]  # Share of the clients that each given channel has.

    def popularity(self, ranks: Array) -> Array:
        """The probability of the ordinary channel of each rank in one draw."""
        popularity: Array = ranks**-self.exponent / self.whole
        return popularity

    def share(self, ranks: Array) -> Array:
        """The share of all clients that the ordinary channel of each rank has."""
        popularity = self.popularity(ranks)
        if self.drawn <= 1:
            return popularity * self.drawn
        share: Array = 1.0 - np.exp(-popularity * self.time) * (1.0 - self.filled)
        return share

    @property
    def subscriptions(self) -> float:
        """Subscriptions of all clients."""
        return self.clients * (self.drawn + sum(self.given))


def membership(topology: Topology) -> Membership:
    """The members that the topology's channels will have."""
    clients, channels, drawn = topology.clients.count, topology.channels.count, topology.clients.subscriptions
    ranks, weights = ranks_of(channels)
    exponent = topology.channels.popularity
    scaled = ranks**-exponent
    whole = float(weights @ scaled)
    popularity = scaled / whole
    low, high = 0.0, 64.0 + 8.0 * drawn  # Draws after which a client takes what is left, in turn.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(weights @ -np.expm1(-popularity * middle)) < drawn else (low, middle)
    missed = np.exp(-popularity * high)
    left = float(weights @ missed)
    filled = min(1.0, max(0.0, drawn - (channels - left)) / left) if left > 0 else 0.0
    given = tuple(min(1.0, (g.members_share if g.members_share is not None else (g.members_count or 0) / clients)) for g in topology.channels.given)
    return Membership(clients, channels, drawn, exponent, whole, high, filled, given)


@dataclass(frozen=True, eq=False)
class Aim:
    """Where the publications of a source go: shares of them (summing to 1), each with the share of clients that its channels have."""

    weight: Array
    share: Array
    surely: int  # Members that such a channel has for sure: a publisher to what it reads is one.

    def members(self, clients: int) -> float:
        """The mean number of members of a publication's channel: its fan-out."""
        return float(self.weight @ (self.surely + (clients - self.surely) * self.share))


def aim(topology: Topology, source: Source, members: Membership, over: tuple[Array, Array] | None = None) -> Aim:
    """Where a source's publications go; `over` gives the ranks and weights of the ordinary channels, where not the usual ones."""
    names = [channel.name for channel in topology.channels.given]
    ranks, weights = over or ranks_of(members.channels)
    if source.to in names:
        return Aim(np.ones(1), np.array([members.given[names.index(source.to)]]), 0)
    share = members.share(ranks)
    if source.to == "subscribed" and members.drawn:
        return Aim(weights * share / members.drawn, share, 1)
    if source.to == "popularity":
        return Aim(weights * members.popularity(ranks), share, 0)
    every = len(names) + members.channels
    return Aim(np.concatenate([np.ones(len(names)), weights]) / every, np.concatenate([np.array(members.given), share]), 0)


def rate(topology: Topology, source: Source) -> float:
    """Publications per second that the source is stated to make, all its users or channels together; bursts and the day left out."""
    users = -(-topology.clients.count // topology.clients.devices_per_user)
    channels = len(topology.channels.given) + topology.channels.count
    return (source.rate or 0.0) * {"user": users, "channel": channels, "all": 1}[source.per]


def publications(topology: Topology, source: Source) -> float:
    """Publications of a source in the whole run."""
    duration = topology.run.duration
    if source.kind == "trace":
        return float(rows_of_trace(topology, source))
    expected = rate(topology, source) * duration / SECOND
    if source.bursts:
        return expected * (1.0 + (source.bursts.times - 1.0) * in_bursts(source.bursts, duration) / duration)
    if source.arrivals == "regular" and not source.daily:  # The first comes after one interval, the last before the end.
        return float(math.ceil(expected) - 1) if expected > 0 else 0.0
    return expected


def in_bursts(bursts: Bursts, duration: int) -> int:
    """Time that lies in bursts [ns]."""
    whole, rest = divmod(duration, bursts.every)
    return whole * bursts.length + min(rest, bursts.length)


def connected_share(topology: Topology) -> float:
    """The share of the run that a client is connected: it dials at a time that is drawn evenly over `clients.start`, and may come and go."""
    start, duration = topology.clients.start, topology.run.duration
    return (1.0 - start / (2.0 * duration) if start <= duration else duration / (2.0 * start)) * online_share(topology)


def online_share(topology: Topology) -> float:
    """The share of the clients that is online in the long run; who closes the page is away, whose link falls silent has to find out."""
    return 1.0 - sum(part.share * cycle(topology, part)[1] / sum(cycle(topology, part)) for part in topology.clients.churn)


def cycle(topology: Topology, part: Churn) -> tuple[float, float]:
    """The mean time that a connection of these clients lasts, and until they are connected again [ns]; what connecting takes is left out."""
    config = topology.clients
    stays = max(float(SECOND), min(part.stays.mean, 1e18))
    if part.away is not None:
        return stays, max(float(SECOND), min(part.away.mean, 1e18))
    return stays, config.heartbeat_interval / 2.0 + config.heartbeat_timeout + config.reconnect.first  # On a quiet link; on a busy one it takes longer.


def rejoins(topology: Topology, by_users: bool = False, needing: int = 0) -> float:
    """Connections per second that are made anew by clients which come and go; `by_users`: by those who closed the page.

    `needing`: only those that come more than so long [ns] after what the client needs was last had, which serves for a few dials then.
    """
    config = topology.clients
    parts = [part for part in config.churn if part.away is not None or not by_users]
    return config.count * sum(part.share * SECOND / (sum(cycle(topology, part)) + needing) for part in parts)


def rows_of_trace(topology: Topology, source: Source) -> int:
    """Lines of a trace without its head; a trace that cannot be read has none (who runs it will say so)."""
    try:
        with topology.file(source.file or "").open("rb") as file:
            return max(0, sum(1 for _ in file) - 1)
    except (SimfabricError, OSError):
        return 0


def expected_work(topology: Topology) -> float:
    """Rows that a run will touch: the deliveries of the whole run, and the subscriptions that are laid out before it."""
    members = membership(topology)
    deliveries = 0.0
    for source in topology.traffic:
        connected = 1.0 if source.kind == "producers" else connected_share(topology)
        deliveries += publications(topology, source) * connected * aim(topology, source, members).members(members.clients)
    return deliveries + members.subscriptions
