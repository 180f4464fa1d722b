"""Faults of single gateways that live on: cores that stand still, limits that are too low, dials that fail.

What a core had taken up when it stops is finished at its old pace; all that comes later waits. A node that stands still as a whole answers no health
check and sends no heartbeat, so that the balancer and the routing table may take it for dead; when it goes on, its next heartbeat registers it again.

Leaves out: pauses of one node that meet (they queue, but health checks see each by itself); leases of presence and clients' heartbeats that run out
meanwhile (the topology refuses a pause that is long enough for that).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from simfabric.chance import below
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode, gateways_struck
from simfabric.kernels.state import ALIVE, INCARNATION, STORE_DELAY
from simfabric.topology.kinds import LONGEST_LAW

PERIOD = 100_000_000  # Of stolen time [ns].


def listed(gateways: list[int]) -> str:
    """These gateways, for the timeline."""
    return f"gateway{'s' if len(gateways) > 1 else ''} {', '.join(map(str, gateways[:8]))}{', …' if len(gateways) > 8 else ''}"


class Struck(abc.ABC):
    """A fault of gateways: which are struck by what is in force."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.gateways = parts.gateways
        self._now: dict[int, list[Episode]] = {}

    def begin(self, episode: Episode) -> str:
        """It begins on the gateways that it strikes."""
        struck = gateways_struck(self.parts.world, episode)
        for gateway in struck:
            self._now.setdefault(gateway, []).append(episode)
            self._set(gateway, self._now[gateway])
        return f"{listed(struck)}: {self._what(episode)}"

    def end(self, episode: Episode) -> str:
        """It ends on them."""
        struck = gateways_struck(self.parts.world, episode)
        for gateway in struck:
            self._now[gateway].remove(episode)
            self._set(gateway, self._now[gateway])
        return f"{listed(struck)} as before"

    @abc.abstractmethod
    def _set(self, gateway: int, now: list[Episode]) -> None: ...

    @abc.abstractmethod
    def _what(self, episode: Episode) -> str: ...


class FewConnections(Struck):
    """The least of the limits in force; connections beyond it stay."""

    def _set(self, gateway: int, now: list[Episode]) -> None:
        self.gateways.cap(gateway, "descriptors", [episode.fault.limit for episode in now])

    def _what(self, episode: Episode) -> str:
        return f"at most {episode.fault.limit} connections"


class BadDials(Struck):
    """A share of the dials fail; of several faults each has its own chance."""

    def _set(self, gateway: int, now: list[Episode]) -> None:
        self.gateways.nodes.bad[gateway] = 1 - float(np.prod([1 - episode.fault.share for episode in now])) if now else 0.0

    def _what(self, episode: Episode) -> str:
        return f"refuses {episode.fault.share:.0%} of its dials"


class BadConfig:
    """Every gateway has a wrong setting until it is rolled back."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.normal = parts.gateways.nodes
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """The configuration goes out."""
        self._now.append(episode)
        self._set()
        fault = episode.fault
        told = f"work {fault.factor:g} times as long" if fault.setting == "work" else f"at most {fault.limit} connections"
        return f"a wrong setting on every gateway: {told}"

    def end(self, episode: Episode) -> str:
        """It is rolled back."""
        self._now.remove(episode)
        self._set()
        return "the setting is rolled back"

    def _set(self) -> None:
        gateways = self.parts.gateways
        for gateway in range(self.parts.world.topology.gateways.count):
            gateways.cap(gateway, "setting", [episode.fault.limit for episode in self._now if episode.fault.setting == "connections"])
        factors = [episode.fault.factor for episode in self._now if episode.fault.setting == "work"]
        names = ("handshake", "subscribe", "frame_in", "delivery")
        laws = {name: np.minimum(getattr(self.normal, name) * float(np.prod(factors)), float(LONGEST_LAW)) for name in names}
        gateways.nodes = gateways.nodes._replace(**(laws if factors else {name: getattr(self.normal, name) for name in names}))


class StalledCore:
    """One core of each gateway that is struck stands still, while the others work on."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """It stops."""
        world, cores = self.parts.world, self.parts.world.topology.gateways.cores
        struck = gateways_struck(world, episode)
        for gateway in struck:
            core = int(below(world.key("faults/core"), episode.number * 1_000_000 + gateway, episode.n, cores))
            self.parts.gateways.stop(gateway, slice(core, core + 1), episode.end - world.now)
        return f"{listed(struck)}: a core stands still"

    def end(self, episode: Episode) -> str:
        """It goes on with what has come meanwhile."""
        return f"{listed(gateways_struck(self.parts.world, episode))}: the core goes on"


class StolenCores:
    """Cores that get a part of their time alone: of each PERIOD the rest is stolen from all cores of the node, at its beginning.

    Source of the period: that of the quota of a Linux control group (cpu.max). Leaves out: time that is not needed and so not missed.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """From now on time is stolen."""
        struck = gateways_struck(self.parts.world, episode)
        for gateway in struck:
            self.parts.world.env.process(self._stealing(gateway, episode))
        return f"{listed(struck)}: {episode.fault.cpu:.0%} of their time left"

    def end(self, episode: Episode) -> str:
        """All their time is theirs."""
        return f"{listed(gateways_struck(self.parts.world, episode))}: all of their time left"

    def _stealing(self, gateway: int, episode: Episode) -> Generator[Any, Any, None]:
        world, gateways = self.parts.world, self.parts.gateways
        stolen = round((1 - episode.fault.cpu) * PERIOD)
        while world.now < episode.end and stolen > 0:
            if gateways.nodes.state[gateway, ALIVE] == 1:
                gateways.stop(gateway, slice(0, world.topology.gateways.cores), min(stolen, episode.end - world.now))
            yield world.env.timeout(PERIOD)


class PausedNode:
    """All cores of a gateway stand still; checks fail, and leases of its routes may end."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._paused: dict[tuple[int, int], list[int]] = {}  # By episode: who was there to pause.

    def begin(self, episode: Episode) -> str:
        """It stops."""
        parts, world = self.parts, self.parts.world
        cores, state = world.topology.gateways.cores, parts.gateways.nodes.state
        struck = [gateway for gateway in gateways_struck(world, episode) if state[gateway, ALIVE] == 1]
        self._paused[episode.number, episode.n] = struck
        for gateway in struck:
            parts.gateways.stop(gateway, slice(0, cores), episode.end - world.now)
            world.env.process(parts.balancer.split(gateway))
            if parts.routers is not None:
                world.env.process(self._unrenewed(gateway, int(state[gateway, INCARNATION]), episode.end))
        return f"{listed(struck)} paused" if struck else "nobody is there to pause"

    def end(self, episode: Episode) -> str:
        """It goes on with what has come meanwhile."""
        struck = self._paused.pop((episode.number, episode.n))
        for gateway in struck:
            self.parts.world.env.process(self.parts.balancer.healed(gateway))
        return f"{listed(struck)} back from a pause" if struck else "nobody is back from a pause"

    def _unrenewed(self, gateway: int, life: int, until: int) -> Generator[Any, Any, None]:
        """The leases end a TTL after the last heartbeat, if the pause lasts so long; the heartbeat that is overdue then registers the routes again."""
        parts, routers = self.parts, self.parts.routers
        assert routers is not None
        ends = routers.renewed(gateway) + parts.world.topology.routing.ttl
        if ends >= until:
            return
        yield parts.world.env.timeout(ends - parts.world.now)
        state = parts.gateways.nodes.state
        if state[gateway, ALIVE] == 1 and state[gateway, INCARNATION] == life:
            again = until + int(parts.gateways.nodes.settings[STORE_DELAY])
            routers.forget(np.array([gateway]), np.array([again]), 0, 1.0)


NODE_FAULTS: dict[str, Callable[[Parts], Effect]] = {
    "exhaust_descriptors": FewConnections,
    "bad_canary": BadDials,
    "push_bad_config": BadConfig,
    "stall_loop": StalledCore,
    "pause_node": PausedNode,
    "slow_node": StolenCores,
}
