"""The token API: gives a client the token with which it may dial.

    clients ──▶ token API ──▶ clients

A service with so many servers and one queue; a request that would wait longer than the queue's time-out is refused (503).

Leaves out: the network's failures, and errors of the service itself.
"""

from __future__ import annotations

import numpy as np

from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.kernels import servers
from simfabric.kernels.clients import ADVISED, TIMED_OUT
from simfabric.kernels.frames import KIND_SHIFT, REFUSED, TOKEN
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.state import DELAY
from simfabric.world import World


class Tokens(Component):
    """The token API with its servers; see the module."""

    name = "token_api"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        config = world.topology.apis.token
        self.columns = columns
        self.free_at = np.zeros(config.servers, np.int64)
        self.busy = np.zeros(config.servers, np.int64)
        self.counters = np.zeros(4, np.int64)  # Requests taken, sum of their arrivals, work [ns], refused.
        self.to_clients: Component
        self._law = world.table(config.work)
        self._serve = world.kernel(servers.handshakes)
        self._key = world.key("apis/token")
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Serve in order of arrival."""
        frames, count = self.inbox.take(end)
        if count == 0:
            return
        crowd, topology = self.columns.crowd, self.world.topology
        done, refused = np.empty(count, np.int64), np.empty(count, np.int8)
        patience = topology.apis.token.queue_timeout
        self._serve(frames, count, self.free_at, self.busy, self._law, self._key, patience, crowd.client, done, refused, self.counters)
        seat = frames[:count, 3]
        out = self._out.reserve(count)
        way = topology.network.hop + crowd.link[seat, DELAY]
        deadline = np.maximum(frames[:count, 0] - way + topology.clients.connect_timeout, frames[:count, 0] + way)
        late = done + way > deadline  # The work is done, and nobody waits for it any more.
        out[:count, 0] = np.minimum(done + way, deadline)
        out[:count, 1] = (np.where((refused == 1) | late, REFUSED, TOKEN).astype(np.int64) << KIND_SHIFT) | seat
        out[:count, 2] = 0
        out[:count, 3] = seat
        out[:count, 4] = np.where(late, TIMED_OUT, ADVISED)
        self.to_clients.inbox.put(out, count)
