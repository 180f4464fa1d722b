"""Clients: the devices, as columns. They publish, receive, notice breaks, dial again and catch up.

    publishers ──▶ clients ──uplink──▶ gateways
                      └──dial──▶ balancer ──▶ gateways ──▶ clients

The receive side (cursor per subscription: in order, duplicate, gap) is settled where messages are written, in the gateways' kernel.

Leaves out: the full protocol (tokens, heartbeats, offline state, tabs, bounded client queue), which replaces the simple reconnect here;
a send that was lost is not sent again.
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import uniform
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.kernels import clients as kernels
from simfabric.kernels.frames import DIAL, KIND_SHIFT, NOTICE, WIDTH
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.state import DELAY, LIFE
from simfabric.kernels.tallying import new_tally
from simfabric.world import Array, World


class Clients(Component):
    """All clients of the fabric; see the module."""

    name = "clients"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        config = world.topology.clients
        self.columns = columns
        self.tally = new_tally(0)
        self.to_gateways: Component
        self.to_balancer: Component
        self._live = world.kernel(kernels.live)
        self._reconnect = np.array([config.reconnect.first, config.reconnect.cap], np.int64)
        self._key = world.key("clients/backoff")
        self._up, self._dial, self._again = Outbox(), Outbox(), Outbox()
        self._sent = np.zeros(3, np.int64)
        if config.start:
            self._dial_over(config.start)

    def advance(self, end: int) -> None:
        """Serve publications, breaks, answers to dials, and timers."""
        frames, count = self.inbox.take(end)
        if count == 0:
            return
        config = self.world.topology.clients.reconnect
        up, dial, again = (box.reserve(count) for box in (self._up, self._dial, self._again))
        self._sent[:] = 0
        columns = self.columns
        self._live(
            frames, count, self._reconnect, config.factor, config.jitter, self._key, self.world.topology.network.hop,
            columns.crowd, columns.log, up, dial, again, self._sent, self.tally,
        )  # fmt: skip
        self.to_gateways.inbox.put(up, int(self._sent[0]))
        self.to_balancer.inbox.put(dial, int(self._sent[1]))
        if self._sent[2]:  # A client that waits briefly dials before the end of this stretch: its timer is served now. Clients do not touch each other.
            self.inbox.clock = self.clock
            self.inbox.put(again, int(self._sent[2]))
            self.advance(end)

    def lose(self, gateway: int, incarnation: int, seats: Array) -> None:
        """These seats' gateway died now: each client will notice after its delay."""
        frames = np.zeros((len(seats), WIDTH), np.int64)
        frames[:, 0] = self.world.now + self.columns.crowd.link[seats, DELAY] + self.world.topology.clients.notice
        frames[:, 1] = (NOTICE << KIND_SHIFT) | seats
        frames[:, 3] = seats
        frames[:, 4] = gateway * LIFE + incarnation
        self.inbox.put(frames, len(frames))

    def _dial_over(self, duration: int) -> None:
        """Nobody is connected: every client dials once, at a time drawn evenly over the duration."""
        crowd = self.columns.crowd
        seats = np.arange(len(crowd.client), dtype=np.int64)
        at = (uniform(self.world.key("clients/start"), crowd.client.astype(np.int64), 0) * duration).astype(np.int64)
        crowd.broke_at[:] = at
        frames = np.zeros((len(seats), WIDTH), np.int64)
        frames[:, 0] = at
        frames[:, 1] = (DIAL << KIND_SHIFT) | seats
        frames[:, 3] = seats
        self.inbox.put(frames, len(frames))
