"""Storage: persists a publication before it is published; the acknowledgement carries the saved id.

    gateways ──▶ storage ──▶ bus (by way of the gateway that asked)        with `fanout: direct` the storage itself is the log

One row per shard, each first come, first served; a channel belongs to one shard, so its order holds.

Leaves out: replicas and their failover, reads, and the core time that the answer costs the gateway (it is part of the frame's work).
"""

from __future__ import annotations

import numpy as np

from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.gateways import Gateways
from simfabric.kernels import storage as kernels
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.splitting import INWARDS, hold
from simfabric.kernels.state import DIES_AT
from simfabric.kernels.tallying import new_tally
from simfabric.world import Array, World


class Storage(Component):
    """The sharded store; see the module."""

    name = "storage"

    def __init__(self, world: World, columns: Columns, gateways: Gateways) -> None:
        super().__init__(world)
        config, network = world.topology.storage, world.topology.network
        self.columns = columns
        self.gateways = gateways
        self.free_at = np.zeros(config.shards, np.int64)
        self.busy = np.zeros(config.shards, np.int64)
        self.tally = new_tally(0)
        self.to: Component
        self._hop = network.storage_hop or network.hop
        self._is_log = int(world.topology.fanout.pattern == "direct")
        self._law = world.table(config.work)
        self._key = world.key("storage")
        self._persist = world.kernel(kernels.persist)
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Persist what is due."""
        frames, count = self.inbox.take(end)
        if count == 0:
            return
        out = self._out.reserve(count)
        columns = self.columns
        sent = self._persist(
            frames, count, self.free_at, self.busy, self._law, self._key, self._hop, self._is_log, self.world.topology.run.warmup, columns.crowd,
            columns.log, self.gateways.nodes, out, self.tally,
        )  # fmt: skip
        splits = self.gateways.nodes.splits
        if len(splits):
            sent = self._held(out[:sent], splits)
        self.to.inbox.put(out, int(sent))

    def _held(self, out: Array, splits: Array) -> int:
        """Answers to gateways that are cut off wait. Without a bus, the sender of a gateway that has died meanwhile sends nothing."""
        hold(out, out[:, 2], self._hop, INWARDS, splits)
        kept = out[:, 0] < self.gateways.nodes.state[out[:, 2], DIES_AT] if self._is_log else np.ones(len(out), bool)
        out[: int(kept.sum())] = out[kept]
        return int(kept.sum())
