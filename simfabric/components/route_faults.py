"""Faults of the routing table: entries that the store has lost, until their gateway's next heartbeat registers them again.

Meanwhile messages do not go to that gateway. Its subscribers see the gap when the next message comes, and take what they lack from the log.

Leaves out: a gateway that learns from the store that its entries were gone (it would ask the log at once); entries that come back too late.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.chance import uniform
from simfabric.components.effects import Effect, Parts
from simfabric.components.routers import Routers
from simfabric.components.schedule import Episode, gateways_struck
from simfabric.kernels.frames import NEVER
from simfabric.kernels.state import ALIVE, DIES_AT, STORE_DELAY
from simfabric.world import Array


class LostRoutes:
    """Entries of gateways that are lost; those of channels that share a gateway are drawn one by one."""

    def __init__(self, parts: Parts) -> None:
        assert parts.routers is not None, "refused by the topology"
        self.parts = parts
        self.routers: Routers = parts.routers

    def begin(self, episode: Episode) -> str:
        """A share of the entries is gone."""
        gateways = self._gateways(episode)
        until = np.array([self._registered_again(gateway) for gateway in gateways.tolist()], np.int64)
        self._lose(gateways, until, episode)
        struck = ", ".join(map(str, gateways.tolist()[:8])) + (", …" if len(gateways) > 8 else "")
        return f"{self._what(episode)} of gateways {struck} lost until the next heartbeat of each"

    def end(self, episode: Episode) -> str:
        """Each gateway's heartbeat has ended it."""
        return "routes registered again"

    def _gateways(self, episode: Episode) -> Array:
        return np.array(gateways_struck(self.parts.world, episode), np.int64)

    def _lose(self, gateways: Array, until: Array, episode: Episode) -> None:
        self.routers.forget(gateways, until, 0, episode.fault.share)

    def _what(self, episode: Episode) -> str:
        return f"{episode.fault.share:.0%} of the routes"

    def _registered_again(self, gateway: int) -> int:
        """When the entries of this gateway are in the table again [ns]: after the next heartbeat, if it lives so long."""
        state = self.parts.gateways.nodes.state
        beats = self.routers.renewed(gateway) + self.parts.world.topology.routing.heartbeat
        lives = state[gateway, ALIVE] == 1 and state[gateway, DIES_AT] > beats
        return beats + int(self.parts.gateways.nodes.settings[STORE_DELAY]) if lives else NEVER


class FailedOver(LostRoutes):
    """The store went on with a copy that was behind: what was registered in the last while is lost."""

    def _gateways(self, episode: Episode) -> Array:
        return np.arange(self.parts.world.topology.gateways.count, dtype=np.int64)

    def _lose(self, gateways: Array, until: Array, episode: Episode) -> None:
        self.routers.forget(gateways, until, self.parts.world.now - episode.fault.lost, 1.0)

    def _what(self, episode: Episode) -> str:
        return f"routes registered in the last {episode.fault.lost / 1e9:g} s"


class FlushedCaches:
    """What routers have cached of a share of the channels is gone: each must be read again from the store."""

    def __init__(self, parts: Parts) -> None:
        assert parts.routers is not None, "refused by the topology"
        self.routers, self.key = parts.routers, parts.world.key("faults/caches")

    def begin(self, episode: Episode) -> str:
        """They are empty."""
        cached = self.routers.state.refreshed_at
        channels = np.arange(cached.shape[1], dtype=np.int64) + episode.number * 100_000_000
        cached[:, uniform(self.key, channels, episode.n) < episode.fault.share] = 0
        return f"{episode.fault.share:.0%} of the cached routes flushed"

    def end(self, episode: Episode) -> str:
        """They fill by themselves."""
        return "caches fill again"


ROUTE_FAULTS: dict[str, Callable[[Parts], Effect]] = {"corrupt_routes": LostRoutes, "fail_over_store": FailedOver, "flush_caches": FlushedCaches}
