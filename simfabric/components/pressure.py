"""Backpressure: looks at gateways and consumers every so often, stops and starts fetching, and switches protection on and off.

    gateways, routers, consumers ──▶ pressure ──▶ consumers (pause, resume), gateways (refuse what is transient)

A SimPy process: it looks when every clock stands at the same instant, as a consumer does between two polls (Kafka's pause and resume). On and off
have bounds of their own (hysteresis), so that it does not flap.

With credits the routers stop by themselves, at the very instant (`kernels/credits.py`); here they only stop fetching, so that what comes waits in
the bus.

Leaves out: autoscaling; with credits, a fetch that is asked for the very moment a router has room again.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from simfabric.components.bus import Consumers
from simfabric.components.gateways import Gateways
from simfabric.components.routers import Routers
from simfabric.kernels.state import PROTECTED
from simfabric.world import Array, World


class Pressure:
    """The watcher; see the module."""

    def __init__(self, world: World, gateways: Gateways, consumers: Consumers | None, routers: Routers | None, events: list[tuple[int, str]]) -> None:
        self.world = world
        self.config = world.topology.backpressure
        self.gateways = gateways
        self.consumers = consumers
        self.routers = routers
        self.events = events  # Control events, to which this adds when what was switched [ns].
        self.paused = 0  # How often a consumer was paused.
        self.paused_for = 0  # For how long in all [ns].
        self._busy = np.zeros(world.topology.gateways.count, np.int64)
        config = self.config
        protects = config.protection.lag is not None or config.protection.queue is not None or config.protection.cpu is not None
        if config.policy in ("pull", "credits") or protects:
            world.env.process(self.watching())

    def watching(self) -> Generator[Any, Any, None]:
        """The SimPy process."""
        while True:
            yield self.world.env.timeout(self.config.check)
            behind = self.behind()
            if self.config.policy == "pull" and self.consumers is not None:
                self._pull(self.consumers, behind)
            elif self.config.policy == "credits" and self.consumers is not None and self.routers is not None:
                self._hold_back(self.consumers, self.routers)
            self._protect(behind)

    def behind(self) -> Array:
        """How far each gateway's freest core is behind [ns]."""
        free_at = self.gateways.nodes.free_at.reshape(-1, self.world.topology.gateways.cores)
        return np.asarray(np.maximum(free_at.min(axis=1) - self.world.now, 0))

    def _pull(self, consumers: Consumers, behind: Array) -> None:
        """A gateway that consumes for itself stops for itself; a router stops for any gateway, since it serves all."""
        worst = behind if consumers.broadcast else np.full(consumers.count, behind.max())
        resume = self.config.queue // 2 if self.config.resume is None else self.config.resume
        self._switch(consumers, worst > self.config.queue, worst <= resume)

    def _hold_back(self, consumers: Consumers, routers: Routers) -> None:
        """A router that has stopped for want of a credit, with more messages waiting than it has credits for one gateway, fetches no more."""
        waiting, stopped = routers.without_credit()
        self._switch(consumers, stopped & (waiting > self.config.window), waiting <= self.config.window // 2)

    def _switch(self, consumers: Consumers, stop: Array, go: Array) -> None:
        """Consumers that shall stop, and those that may go on."""
        paused = consumers.paused
        self.paused_for += int(paused.sum()) * self.config.check
        stop, go = ~paused & stop, paused & go
        self.paused += int(stop.sum())
        for consumer in np.flatnonzero(stop).tolist():
            consumers.pause(consumer)
        for consumer in np.flatnonzero(go).tolist():
            consumers.resume(consumer)  # Wholly when nothing waits for it any more, else for one answer of each broker.

    def _protect(self, behind: Array) -> None:
        """On when one measure is above its bound; off when each is below its share of it."""
        bounds = self.config.protection
        busy = self.gateways.nodes.busy.copy()
        cpu = float((busy - self._busy).max()) / (self.config.check * self.world.topology.gateways.cores)
        self._busy = busy
        lag = self.consumers.backlog() if self.consumers is not None else 0
        measured = ((lag, bounds.lag), (float(behind.max()), bounds.queue), (cpu, bounds.cpu))
        given = [value / bound for value, bound in measured if bound is not None]
        settings = self.gateways.nodes.settings
        if settings[PROTECTED] == 0 and max(given, default=0.0) > 1.0:
            settings[PROTECTED] = 1
            self.events.append((self.world.now, "protection on"))
        elif settings[PROTECTED] == 1 and max(given, default=0.0) < bounds.release:
            settings[PROTECTED] = 0
            self.events.append((self.world.now, "protection off"))
