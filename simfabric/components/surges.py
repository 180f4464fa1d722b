"""Surges: more publications for a while, to one channel or by one user or tenant, beside those of the sources they multiply.

A surge is a source of its own, which does what the other one does and `factor` - 1 times as much: to the channel that bursts, or by the clients that
flood. The other's publications stay what they are.

Leaves out: sources that are the rows of a file; in a channel that bursts, whether who publishes is a member of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.chance import Law, below, uniform
from simfabric.components.columns import Columns
from simfabric.components.effects import Effect, Parts
from simfabric.components.publishers import Stream, rate_at
from simfabric.components.schedule import Episode, episodes
from simfabric.policies import popularity
from simfabric.topology import Topology
from simfabric.topology.faults import Fault
from simfabric.topology.traffic import Source
from simfabric.world import SECOND, Array, World


def channel_of(topology: Topology, fault: Fault) -> int:
    """The number of the channel that bursts: the given ones come first."""
    given = [channel.name for channel in topology.channels.given]
    return given.index(fault.channel) if fault.channel in given else len(given) + int(fault.channel or 0)


def floods(world: World, columns: Columns, number: int, fault: Fault) -> Array:
    """The clients that flood: those of a tenant, or those of one user, drawn."""
    who, topology = columns.who, world.topology
    if fault.tenant is not None:
        return np.flatnonzero(who.tenant == fault.tenant)
    users = -(-topology.clients.count // topology.clients.devices_per_user)
    return np.flatnonzero(who.user == int(below(world.key("faults/user"), number, 0, users)))


class Surge(Stream):
    """What a fault adds to one source."""

    def __init__(self, world: World, columns: Columns, source: Source, place: int, planned: list[Episode]) -> None:
        super().__init__(world, columns, source, place)
        fault = planned[0].fault
        self.number = planned[0].number
        self.channel: int | None = None
        self._begins = np.sort(np.array([episode.begin for episode in planned], np.int64))
        self._ends = np.sort(np.array([episode.end for episode in planned], np.int64))
        if fault.kind == "burst_channel":
            self.channel = channel_of(world.topology, fault)
            share = self._share_of_channel()
        else:
            share = self._share_of_clients(floods(world, columns, self.number, fault))
        extra = self.rate * share * (fault.factor - 1)
        self.top *= int(self._in_force(self._begins).max())
        self.last = int(self._begins[0])  # Before it, there are no candidates.
        self.until = min(self.until, int(self._ends[-1]))
        self.interval = Law("exponential" if source.arrivals == "poisson" else "constant", (SECOND / (extra * self.top),)) if extra > 0 else None
        self._table = world.table(self.interval) if self.interval else None

    def _share_of_channel(self) -> float:
        """The share of the source's publications that go to the channel anyway."""
        topology, crowd, channel = self.world.topology, self.columns.crowd, self.channel or 0
        given = [each.name for each in topology.channels.given]
        own = topology.clients.subscriptions
        if self.source.to in given:
            return float(given.index(self.source.to) == channel)
        if self.source.to == "subscribed" and own:
            return 0.0 if channel < len(given) else int(crowd.members[channel]) / (topology.clients.count * own)
        if self.source.to == "popularity":
            return 0.0 if channel < len(given) else float(popularity.zipf(topology.channels.count, topology.channels.popularity)[channel - len(given)])
        return 1.0 / (len(given) + topology.channels.count)

    def _share_of_clients(self, clients: Array) -> float:
        """The share of the source's publications that these clients make anyway; from now on, only they make any."""
        everybody = self.world.topology.clients.count if self.members is None else len(self.members)
        self.members = clients if self.members is None else np.intersect1d(clients, self.members)
        return len(self.members) / everybody if everybody and self.source.kind == "users" else 0.0

    def _in_force(self, at: Array) -> Array:
        """How many times the fault is in force at each time."""
        return np.asarray(np.searchsorted(self._begins, at, side="right") - np.searchsorted(self._ends, at, side="right"))

    def _kept(self, n: Array, at: Array) -> Array:
        return np.asarray(uniform(self._key("thin"), 0, n) * self.top < rate_at(self.source, at) * self._in_force(at))

    def _channels(self, n: Array, seat: Array) -> Array:
        return super()._channels(n, seat) if self.channel is None else np.full(len(n), self.channel, np.int64)

    def _key(self, decision: str) -> int:
        return self.world.key(f"faults/{self.number}/{self.source.name}/{decision}")


def surges(world: World, columns: Columns) -> list[Surge]:
    """The surges of a run: one for each fault and source."""
    planned: dict[int, list[Episode]] = {}
    for episode in episodes(world, world.topology):
        if episode.fault.kind in TRAFFIC_FAULTS:
            planned.setdefault(episode.number, []).append(episode)
    sources = [(place, source) for place, source in enumerate(world.topology.traffic) if source.kind != "trace"]
    return [Surge(world, columns, source, place, of_it) for of_it in planned.values() for place, source in sources]


class Told:
    """A surge begins and ends by itself; this says so."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """More publications from now on."""
        return f"{self._subject(episode)} {episode.fault.factor:g} times as many publications"

    def end(self, episode: Episode) -> str:
        """As many as before."""
        return f"{self._subject(episode)} as many publications as before"

    def _subject(self, episode: Episode) -> str:
        fault = episode.fault
        if fault.kind == "burst_channel":
            return f"channel {fault.channel or 0}:"
        if fault.tenant is not None:
            return f"tenant {fault.tenant}:"
        clients = floods(self.parts.world, self.parts.columns, episode.number, fault)
        return f"user {self.parts.columns.who.user[clients[0]]}:"


TRAFFIC_FAULTS: dict[str, Callable[[Parts], Effect]] = {"burst_channel": Told, "flood_clients": Told}
