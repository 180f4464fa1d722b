"""Splits: gateways that storage, bus, routers, routing store, log and health checks cannot reach, and that cannot reach them, for a while.

Their clients stay connected, and get nothing. What is sent meanwhile is held by TCP and arrives after the heal. The balancer takes the gateway out
after its checks, and in again after the heal. When the lease on its routes runs out, nothing is routed to it any more; with its first heartbeat after
the heal it learns so, finishes what it has in hand for as long as a heartbeat, and starts anew under a new incarnation, with the usual advice to its
clients: what was routed meanwhile they get from the log.

Leaves out: what the presence store and the tokens, bootstrap, snapshot and replay APIs notice (they stay within reach of gateways and clients); with
direct fan-out, what an isolated gateway is about to send to others when the split begins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from simfabric.chance import below
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode, episodes, struck
from simfabric.kernels.splitting import INWARDS, OUTWARDS
from simfabric.kernels.state import ALIVE, INCARNATION
from simfabric.topology import Topology
from simfabric.world import Array, World

WAYS = {"both": (OUTWARDS, INWARDS), "out": (OUTWARDS,), "in": (INWARDS,)}


def gateways_split(world: World, episode: Episode) -> list[int]:
    """The gateways that an episode cuts off."""
    return struck(world, episode, episode.fault.target.gateway, world.topology.gateways.count, "target")


def ways_of(episode: Episode) -> tuple[int, ...]:
    """The directions that it cuts."""
    return WAYS[episode.fault.way if episode.fault.kind == "split_one_way" else "both"]


def splits_of(world: World, topology: Topology) -> Array:
    """Every split of every gateway, int64[splits, 4] of gateway, begin, heal and way; those of one gateway and way that touch are one."""
    found = [
        (gateway, way, episode.begin, episode.end)
        for episode in episodes(world, topology)
        if episode.fault.kind in SPLITS
        for gateway in gateways_split(world, episode)
        for way in ways_of(episode)
    ]
    merged: list[list[int]] = []
    for gateway, way, begins, heals in sorted(found):
        if merged and merged[-1][0] == gateway and merged[-1][3] == way and begins <= merged[-1][2]:
            merged[-1][2] = max(merged[-1][2], heals)
        else:
            merged.append([gateway, begins, heals, way])
    return np.array(merged, np.int64).reshape(-1, 4)


def last_renewal(world: World, gateway: int, at: int) -> int:
    """When this gateway last renewed its leases, until `at` [ns]; heartbeats have phases of their own."""
    every = world.topology.routing.heartbeat
    phase = int(below(world.key("routing/heartbeat"), gateway, 0, min(every, 2**31)))
    return at - (at - phase) % every


def lapses(world: World, topology: Topology) -> list[tuple[int, int, int, int]]:
    """Gateways whose leases run out in a split: which, when it begins, when the leases end, and when it starts anew [ns]."""
    routing, found = topology.routing, []
    if topology.fanout.pattern == "broadcast":
        return []
    for gateway, begins, heals, way in splits_of(world, topology).tolist():
        last = last_renewal(world, gateway, begins)
        if way == OUTWARDS and last + routing.ttl < heals:
            told = last + -(-(heals - last) // routing.heartbeat) * routing.heartbeat + 2 * topology.network.hop
            found.append((gateway, begins, last + routing.ttl, told + routing.heartbeat))
    return found


class Split:
    """Gateways are cut off, and back; frames are held by the columns, which know all splits ahead."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._depth = np.zeros(parts.world.topology.gateways.count, np.int64)  # Splits in force, of each gateway.
        for lapse in lapses(parts.world, parts.world.topology):
            parts.world.env.process(self._lapse(*lapse[:3]))

    def begin(self, episode: Episode) -> str:
        """From now on they are cut off; health checks fail."""
        gateways = gateways_split(self.parts.world, episode)
        for gateway in gateways:
            self._depth[gateway] += 1
            if self._depth[gateway] == 1:
                self.parts.world.env.process(self.parts.balancer.split(gateway))
        return f"{_named(gateways)} cut off"

    def end(self, episode: Episode) -> str:
        """The heal."""
        gateways = gateways_split(self.parts.world, episode)
        for gateway in gateways:
            self._depth[gateway] -= 1
            if self._depth[gateway] == 0:
                self.parts.world.env.process(self.parts.balancer.healed(gateway))
        return f"{_named(gateways)} within reach again"

    def _lapse(self, gateway: int, begins: int, ends: int) -> Generator[Any, Any, None]:
        """The lease of the life that is cut off runs out."""
        env, state, routers = self.parts.world.env, self.parts.gateways.nodes.state, self.parts.routers
        yield env.timeout(begins)
        life = int(state[gateway, INCARNATION])
        alive = bool(state[gateway, ALIVE])
        yield env.timeout(ends - begins)
        if routers is not None and alive:
            routers.evict(gateway, life)


def _named(gateways: list[int]) -> str:
    return f"gateway{'s' if len(gateways) > 1 else ''} {', '.join(str(gateway) for gateway in gateways[:8])}{', ...' if len(gateways) > 8 else ''}"


SPLITS: dict[str, Callable[[Parts], Effect]] = {"split_network": Split, "split_one_way": Split}
