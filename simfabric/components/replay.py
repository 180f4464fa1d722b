"""Replay: gives clients what they missed, from the log.

    gateway ──▶ client ──▶ replay ──▶ client        (the answer takes effect where the client's cursor is kept: in its gateway's rows)

A client that comes back asks for all its channels at once, each a request's work; one that sees a gap asks for that channel.

Leaves out: pages, refusals and time-outs of the service.
"""

from __future__ import annotations

import numpy as np

from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.gateways import Gateways
from simfabric.kernels import log as kernels
from simfabric.kernels.frames import KIND_SHIFT, TOPS
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.splitting import INWARDS, hold
from simfabric.world import Array, World


class Replay(Component):
    """The replay service with its servers; see the module."""

    name = "replay"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        config, network = world.topology.replay, world.topology.network
        self.columns = columns
        self.free_at = np.zeros(config.servers, np.int64)
        self.busy = np.zeros(config.servers, np.int64)
        self.counters = np.zeros(6, np.int64)  # Requests, channels asked, messages sent, served, sum of arrivals, work [ns].
        self.gateways: Gateways
        self._hop = network.replay_hop or network.hop
        self.laws: tuple[Array, ...] = (world.table(config.work), world.table(config.work_per_message))  # Of a request, and of each message that it returns.
        self._keys = np.array([world.key("replay/request"), world.key("replay/message")], np.int64)
        self._answer = world.kernel(kernels.answer)
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Answer what is due."""
        frames, count = self.inbox.take(end)
        if count == 0:
            return
        out = self._out.reserve(count)
        columns = self.columns
        answers = self._answer(
            frames,
            0,
            count,
            self.free_at,
            self.busy,
            columns.book,
            columns.crowd,
            columns.log,
            *self.laws,
            self._keys,
            self._hop,
            out,
            self.counters,
        )
        splits = self.gateways.nodes.splits
        if len(splits):  # Where channels stand, a gateway asks; a replay goes to the client past it.
            tops = out[:answers, 1] >> KIND_SHIFT == TOPS
            hold(out[:answers], np.where(tops, out[:answers, 2], -1), self._hop, INWARDS, splits)
        self.gateways.inbox.put(out, answers)
