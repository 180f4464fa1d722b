"""Routers and the routing table: which gateways hold a channel, and one frame to each of them.

    consumers ──▶ routers ──▶ gateways             targeted: a group of routers reads the bus
    storage ──▶ the publishing gateway ──▶ gateways          direct: it reads the table itself

The table maps channel -> gateways; gateway -> connections and connection -> user and subscriptions are the gateways' own columns. A
gateway's entries are leases that its heartbeats renew. A heartbeat that changes nothing is no event: after a death the end of the lease
follows from the last one before it.

With backpressure by credits a router takes a message up when it has a credit for each of its gateways, and all that came later waits behind it; see
`kernels/credits.py`.

Leaves out: the load of registrations and heartbeats on the shared store; a store that fails; with `direct`, the core time of the sending
gateway (it has senders of its own beside its cores); with credits, what a router could send to other gateways meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from simfabric.chance import below
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.gateways import Gateways
from simfabric.components.hot import HotWindows
from simfabric.components.queues import LaneQueue
from simfabric.kernels import routing as kernels
from simfabric.kernels.credits import Credits, soonest_credit
from simfabric.kernels.frames import AT, NEVER, ROW
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.splitting import INWARDS, hold
from simfabric.kernels.tallying import new_tally
from simfabric.topology.fault_laws import struck_routers
from simfabric.world import Array, World


class Routers(Component):
    """The router group, or with `direct` one sender per gateway; see the module."""

    name = "routers"

    def __init__(self, world: World, columns: Columns, lives: int, credit: Credits) -> None:
        topology = world.topology
        count = topology.gateways.count if topology.fanout.pattern == "direct" else topology.fanout.routers
        self.by_credit = topology.backpressure.policy == "credits"
        self.queue = LaneQueue(world, count) if topology.lanes.policy != "fifo" or self.by_credit else None
        super().__init__(world, rows=count if self.queue else 0)
        self.columns = columns
        self.credits = credit
        own_caches = topology.fanout.pattern == "direct" or topology.hot.shards > 1 or any(struck_routers(fault) for fault in topology.faults)
        self.state = kernels.Senders(
            settings=np.array([topology.routing.cache, topology.routing.store_delay, topology.run.warmup, topology.network.hop], np.int64),
            keys=np.array([world.key("routers/message"), world.key("routers/target"), world.key("routers/lost"), world.key("routers/poison")], np.int64),
            free_at=np.zeros(count, np.int64),
            dies_at=np.full(count, NEVER, np.int64),
            busy=np.zeros(count, np.int64),
            refreshed_at=np.zeros((count if own_caches else 1, len(columns.crowd.members)), np.int64),  # A channel has one router, mostly.
            poison=np.zeros((0, 4), np.int64),
            evicted_at=np.full((topology.gateways.count, lives), NEVER, np.int64),
            lost=np.empty((0, topology.gateways.count, 2), np.int64),
            lost_since=np.empty(0, np.int64),
            lost_share=np.empty(0),
            work=world.table(topology.fanout.work),
            per_target=world.table(topology.fanout.work_per_target),
        )
        self.tally = new_tally(0)
        self.hot = HotWindows(world, columns, self.tally) if topology.hot.policy != "none" else None
        self.gateways: Gateways
        self.rough: Callable[[Array, Array, int], Array] | None = None  # What faults do to frames on their way; see `hop_faults`.
        self._route = world.kernel(kernels.route)
        self._route_by_lane = world.kernel(kernels.route_by_lane)
        self._route_by_credit = world.kernel(kernels.route_by_credit)
        self._soonest_credit = world.kernel(soonest_credit)
        self._out = Outbox(4096)
        self._sent = np.zeros(1, np.int64)

    def advance(self, end: int) -> None:
        """Route what is due, and with lanes what has its turn."""
        frames, count = self.inbox.take(end)
        if self.hot is not None:
            frames, count = self.hot.pass_on(frames, count, end)
        self._serve(frames, count, end)

    def _serve(self, frames: Array, count: int, end: int) -> None:
        if self.queue is not None:
            frames, count = self.queue.join(frames, count)
        first = 0
        while first < count:
            self._sent[0] = 0
            columns = self.columns
            others = (self.state, self.credits, columns.book, columns.log, self._out.frames, self._sent, self.tally)
            if self.queue is not None and self.by_credit:
                done = self._route_by_credit(frames, first, count, end, self.queue.done, *others)
            elif self.queue is not None:
                done = self._route_by_lane(frames, first, count, end, self.queue.done, self.queue.lanes, *others)
            else:
                done = self._route(frames, first, count, *others)
            if self._sent[0] == 0 and done < count:
                self._out.reserve(2 * len(self._out.frames))
            sent = self._out.frames[: self._sent[0]]
            if self.rough is not None:
                sent = self.rough(sent, columns.log.rows, int(columns.log.base[0]))
            if len(self.gateways.nodes.splits):
                hold(sent, sent[:, ROW], self.world.topology.network.hop, INWARDS, self.gateways.nodes.splits)
            self.gateways.inbox.put(sent, len(sent))
            first = done
        if self.queue is not None:
            self.queue.keep(frames, count)

    @property
    def waiting(self) -> Array | None:
        """Frames that have arrived and wait for their turn."""
        parts = ([self.queue.waiting] if self.queue else []) + ([self.hot.held] if self.hot else [])
        return np.concatenate(parts) if parts else None

    def earliest(self) -> int:
        """The next arrival, or the next turn of what waits."""
        due = self.inbox.earliest()
        if self.hot is not None:
            due = min(due, self.hot.earliest())
        if self.by_credit:
            return min(due, int(self._soonest_credit(self.credits)))
        return min(due, self.queue.earliest(self.state.free_at, 1)) if self.queue else due

    def without_credit(self) -> tuple[Array, Array]:
        """Messages that wait in each router since the first of them lacks a credit, int64[routers], and whether it would be taken up now, bool."""
        assert self.queue is not None
        count, stopped = np.zeros(len(self.state.free_at), np.int64), np.zeros(len(self.state.free_at), bool)
        rows, first, waiting = np.unique(self.queue.waiting[:, ROW], return_index=True, return_counts=True)
        count[rows] = waiting
        ready_at = self.queue.waiting[first, AT] + self.state.settings[kernels.STORE_DELAY]
        stopped[rows] = np.maximum(ready_at, self.state.free_at[rows]) <= self.world.now
        return count, stopped

    def lose(self, router: int) -> None:
        """A router died: its cache is gone, and what it held back for a window or for want of a credit."""
        if self.by_credit:
            self._serve(self.inbox.out, 0, self.world.now + 1)
        self.state.refreshed_at[router] = 0
        if self.hot is not None:
            self.hot.forget(router)

    def evicting(self, gateway: int, life: int) -> Generator[Any, Any, None]:
        """The SimPy process after a death: the leases end a TTL after the last heartbeat before it."""
        yield self.world.env.timeout(max(0, self.renewed(gateway) + self.world.topology.routing.ttl - self.world.now))
        self.evict(gateway, life)

    def renewed(self, gateway: int) -> int:
        """The last heartbeat of this gateway until now [ns]; each has a phase of its own."""
        every, now = self.world.topology.routing.heartbeat, self.world.now
        phase = int(below(self.world.key("routing/heartbeat"), gateway, 0, min(every, 2**31)))
        return now - (now - phase) % every

    def forget(self, gateways: Array, until: Array, since: int, share: float) -> None:
        """The table loses a share of these gateways' entries that were registered from `since` on; each gateway's are there again from `until` on [ns]."""
        lost = np.zeros((1, self.state.lost.shape[1], 2), np.int64)
        lost[0, gateways, kernels.FROM], lost[0, gateways, kernels.UNTIL] = self.world.now, until
        self.state = self.state._replace(
            lost=np.concatenate([self.state.lost, lost]),
            lost_since=np.append(self.state.lost_since, since),
            lost_share=np.append(self.state.lost_share, share),
        )

    def evict(self, gateway: int, life: int) -> None:
        """The leases of this life of a gateway end now, if they have not ended before."""
        self.state.evicted_at[gateway, life] = min(self.world.now, int(self.state.evicted_at[gateway, life]))
