"""Faults of connections: they break, fall silent, or sleep with their client; and clients that come back as older versions do.

Which clients are struck, and when, is drawn ahead by the number of the fault and of the client, and stands in the columns before the run begins: what
is written to a connection is settled then and there. A client that has no connection when it is struck does not notice.

Leaves out: what a broken connection had in its buffers and the peer's kernel has taken in; a sleep that is too short for anybody to notice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simfabric.chance import uniform
from simfabric.components.columns import Columns
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode
from simfabric.kernels.frames import KIND_SHIFT, STRUCK, WIDTH
from simfabric.kernels.state import BREAKS_AT
from simfabric.kernels.striking import ASLEEP, HUSHED, REBOUND, RESET
from simfabric.world import Array, World

HOW = {"reset_connections": RESET, "storm_reconnect": RESET, "half_open": HUSHED, "sleep_clients": ASLEEP, "rebind_address": REBOUND}
SAID = {RESET: "break", HUSHED: "fall silent", ASLEEP: "fall silent, as their clients sleep", REBOUND: "are left half-open by a change of address"}
SILENT_KINDS = frozenset({"half_open", "sleep_clients", "rebind_address"})  # After them, a gateway finds out by its own heartbeat.


def clients_struck(world: World, episode: Episode) -> Array:
    """The numbers of the clients that an episode strikes: each is drawn for itself."""
    client = np.arange(world.topology.clients.count, dtype=np.int64)
    return np.asarray(client[uniform(world.key("faults/clients"), client + ((episode.number + 1) << 32), episode.n) < episode.fault.share])


def delays_within(world: World, episode: Episode, client: Array) -> Array:
    """How much later than others each of these clients is reached [ns]."""
    u = uniform(world.key("faults/spread"), client + ((episode.number + 1) << 32), episode.n)
    return np.asarray((u * episode.fault.spread).astype(np.int64))


def strikes_of(world: World, episode: Episode) -> tuple[Array, Array]:
    """The clients whose connections an episode breaks, and when [ns]. All fall asleep together."""
    client = clients_struck(world, episode)
    late = 0 if episode.fault.kind == "sleep_clients" else delays_within(world, episode, client)
    return client, np.full(len(client), episode.begin, np.int64) + late


def strike_ahead(world: World, columns: Columns, planned: Sequence[Episode]) -> None:
    """Tell the columns when faults will break connections."""
    found = [strikes_of(world, episode) for episode in planned if episode.fault.kind in HOW]
    if not found:
        return
    crowd, count = columns.crowd, len(columns.crowd.client)
    seat = columns.seat_of[np.concatenate([client for client, _ in found])].astype(np.int64)
    at = np.concatenate([times for _, times in found])
    order = np.lexsort((at, seat))
    starts = np.concatenate([[0], np.cumsum(np.bincount(seat, minlength=count))]).astype(np.int64)
    columns.crowd = crowd = crowd._replace(strikes_from=starts, strikes=at[order], opened_at=np.zeros(max(count, 2), np.int64))
    first = np.flatnonzero((np.diff(starts) > 0) & (crowd.home >= 0))
    crowd.link[first, BREAKS_AT] = np.minimum(crowd.link[first, BREAKS_AT], crowd.strikes[starts[first]])


class Strike:
    """Connections of clients break, in one way or another."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """From now on clients are struck, each at its time."""
        parts, how = self.parts, HOW[episode.fault.kind]
        client, at = strikes_of(parts.world, episode)
        seat = parts.columns.seat_of[client].astype(np.int64)
        frames = np.zeros((len(seat), WIDTH), np.int64)
        frames[:, 0], frames[:, 1], frames[:, 2], frames[:, 3] = at, (STRUCK << KIND_SHIFT) | seat, how, seat
        if how == ASLEEP:
            frames[:, 4] = episode.end + delays_within(parts.world, episode, client)
        if how == REBOUND:
            address = parts.columns.who.address
            address[client] = int(address.max()) + 1 + np.arange(len(client))
        parts.clients.inbox.put(frames, len(frames))
        connected = int((parts.columns.crowd.home[seat] >= 0).sum())
        return f"{connected} connections {SAID[how]}" + (f" within {episode.fault.spread / 1e9:g} s" if episode.fault.spread and how != ASLEEP else "")

    def end(self, episode: Episode) -> str:
        """Those who slept wake from now on."""
        return "clients that slept wake"


class Old:
    """Clients that are an older version for a while; of faults that overlap on one client the last to begin decides."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.own: Array = parts.clients.fleet.profile.copy()
        self._now: list[Episode] = []
        topology = parts.world.topology
        olds = [number for number, fault in enumerate(topology.faults) if fault.kind == "old_clients"]
        self._place = {number: 1 + len(topology.clients.fleet) + place for place, number in enumerate(olds)}

    def begin(self, episode: Episode) -> str:
        """From now on they wait as that version does."""
        self._now.append(episode)
        self._set()
        return f"{len(clients_struck(self.parts.world, episode))} clients are old ones: {episode.fault.profile}"

    def end(self, episode: Episode) -> str:
        """They are up to date."""
        self._now.remove(episode)
        self._set()
        return "the old clients are up to date"

    def _set(self) -> None:
        profile = self.parts.clients.fleet.profile
        profile[:] = self.own
        for episode in self._now:
            profile[self.parts.columns.seat_of[clients_struck(self.parts.world, episode)]] = self._place[episode.number]


class Astray:
    """Dials that go to an address where nobody is any more; each is drawn for itself."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """From now on a share of the dials has no answer."""
        self.parts.balancer.astray.append(_chance(episode))
        return f"{episode.fault.share:.0%} of the dials go to dead addresses"

    def end(self, episode: Episode) -> str:
        """All of them find the balancer."""
        self.parts.balancer.astray.remove(_chance(episode))
        return "all dials go to the balancer"


def _chance(episode: Episode) -> tuple[int, float]:
    return (episode.number + 1) * 1_000_000 + episode.n, episode.fault.share


LINK_FAULTS: dict[str, Callable[[Parts], Effect]] = {**dict.fromkeys(HOW, Strike), "old_clients": Old, "stale_dns": Astray}
