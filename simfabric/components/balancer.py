"""The balancer: admits dials as fast as its TLS servers can shake hands, and sends each to a gateway by its sticky policy.

    clients ──dial──▶ balancer ──▶ gateway (picked by policy among those believed healthy)

Gateways may be set apart for the subscribers of hot channels: two pools, one policy.

Health checks are SimPy processes. One that changes nothing is no event: after a death or a return, the check that tips the balance is
computed from the phase of the gateway's checks.

A client that waited for longer than its time-out has gone; its handshake is done all the same, in vain. Connections that end pass here, too:
what the balancer believes to be open follows.

Leaves out: the wait at the gateway in that time-out; the balancer's own capacity for frames of open connections (it passes them
through); several balancers with different views.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from simfabric.chance import below, uniform
from simfabric.components.columns import Columns, Identities, in_hot_channels
from simfabric.components.component import Component
from simfabric.kernels import servers
from simfabric.kernels.clients import ADVISED, TIMED_OUT
from simfabric.kernels.frames import HANDSHAKE, KIND_SHIFT, LEAVE, REFUSED
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.state import DELAY, LIFE
from simfabric.kernels.tickets import gateway_of, life_of
from simfabric.policies.balancing import BALANCING, Balancing, Dials, Pool
from simfabric.topology.edge import Balancer as BalancerConfig
from simfabric.world import Array, World


def policy_of(config: BalancerConfig) -> Balancing:
    """The policy that the topology names, with its parameters."""
    parameters: dict[str, dict[str, Any]] = {
        "consistent_hash": {"by": config.key, "points": config.virtual_nodes},
        "bounded_hash": {"by": config.key, "points": config.virtual_nodes, "excess": config.load_bound},
        "rendezvous": {"by": config.key},
        "maglev": {"by": config.key},
        "least_connections": {"slow_start": config.slow_start},
    }
    return BALANCING[config.policy](**parameters.get(config.policy, {}))


class Balancer(Component):
    """One balancer with all its TLS servers; see the module."""

    name = "balancer"

    def __init__(self, world: World, gateways: int) -> None:
        config = world.topology.balancer
        super().__init__(world)
        self.policy = policy_of(config)
        self.eligible = np.ones(gateways, bool)
        self.closed = np.zeros(gateways, bool)  # Gateways that drain.
        self.doubted = np.zeros(gateways, np.int64)  # By how many faults of its checks each is taken for dead.
        self.forgotten = np.zeros(gateways, np.int64)  # Connections that are open, and of which it does not know.
        self.late = 0  # By how much its view of who is up is late [ns].
        self.open = np.zeros(gateways, np.int64)  # Connections that the balancer believes to be open.
        self.weight = np.ones(gateways)
        self.back_at = np.zeros(gateways, np.int64)  # When each gateway was last taken in again [ns].
        self.run_at = np.full((gateways, 2), -1, np.int64)  # First check of the last run that found it dead, and alive [ns].
        self.saw = np.ones(gateways, np.int8)  # What the last check found: 1 = alive.
        self.seen_at = np.full(gateways, -1, np.int64)  # When a check first sees the state in which it is [ns].
        self.astray: list[tuple[int, float]] = []  # Faults that send a share of the dials astray: name of the draw, share.
        self.cut_off = np.zeros(gateways, np.int64)  # How many faults lie between its health checks and each gateway.
        self.free_at = np.zeros(config.servers, np.int64)
        self.busy = np.zeros(config.servers, np.int64)
        self.counters = np.zeros(4, np.int64)  # Dials taken, sum of their arrivals, work [ns], dials that waited too long.
        self.picks = np.zeros(gateways, np.int64)
        apart = world.topology.hot.gateways
        self.apart = np.arange(gateways) >= gateways - apart  # The gateways of the subscribers of hot channels.
        self.hot = in_hot_channels(world) if apart else np.empty(0, bool)  # By client: who they are.
        self.columns: Columns
        self.alive: Array  # The gateways' column, 1 = alive: only health checks read it.
        self.incarnation: Array  # The gateways' column: a new connection is with the life that it finds.
        self.to_gateways: Component
        self.to_clients: Component
        self._law = world.table(config.handshake)
        self._handshakes = world.kernel(servers.handshakes)
        self._key = world.key("balancer")
        self._out = Outbox()

    def place(self, who: Identities, clients: int, connected: bool) -> Array:
        """Where every client is when the run begins: the policy's answer to all of them dialling in order of their number, or nowhere (-1)."""
        none = np.full(clients, -1, np.int64)
        if not connected:
            return none
        client = np.arange(clients, dtype=np.int64)
        return self._pick(who.dials(client, none, client, np.zeros(clients, np.int64)))

    def advance(self, end: int) -> None:
        """Shake hands in order of arrival, pick a gateway for each dial, and hand it over."""
        frames, count = self.inbox.take(end)
        if self.astray:
            frames, count = self._reached(frames[:count])
        if count == 0:
            return
        leaving = frames[:count, 1] >> KIND_SHIFT == LEAVE
        if leaving.any():
            left = frames[:count][leaving]
            self.counters[0] += len(left)
            self.counters[1] = (int(self.counters[1]) + sum(left[:, 0].tolist())) & 4611686018427387903
            self._dialled(frames[:count][~leaving], np.flatnonzero(leaving) - np.arange(len(left)), left[:, 4])
        else:
            self._dialled(frames[:count], np.empty(0, np.int64), np.empty(0, np.int64))

    def _reached(self, frames: Array) -> tuple[Array, int]:
        """The frames without the dials that went astray: nobody answers those, and their clients give up."""
        dials = frames[:, 1] >> KIND_SHIFT != LEAVE
        crowd = self.columns.crowd
        number = crowd.client[frames[:, 3]].astype(np.int64) * 1024 + frames[:, 4]
        lost = np.zeros(len(frames), bool)
        for name, share in self.astray:
            lost |= dials & (uniform(self.world.key("faults/dial"), number, name) < share)
        out = frames[lost].copy()
        seat, at = out[:, 3], out[:, 0]
        self.counters[0] += len(out)
        self.counters[1] = (int(self.counters[1]) + sum(at.tolist())) & 4611686018427387903
        delay, topology = crowd.link[seat, DELAY], self.world.topology
        out[:, 0] = np.maximum(at - topology.network.hop - delay + topology.clients.connect_timeout, at + delay)
        out[:, 1], out[:, 2], out[:, 4] = (REFUSED << KIND_SHIFT) | seat, 0, TIMED_OUT
        self.to_clients.inbox.put(out, len(out))
        return frames[~lost], int((~lost).sum())

    def _dialled(self, frames: Array, before: Array, tickets: Array) -> None:
        """Dials in order of arrival; connection tickets[k] ended before dial before[k]."""
        count, crowd = len(frames), self.columns.crowd
        done, refused = np.empty(count, np.int64), np.empty(count, np.int8)
        patience = self.world.topology.balancer.queue_timeout
        self._handshakes(frames, count, self.free_at, self.busy, self._law, self._key, patience, crowd.client, done, refused, self.counters)
        seat = frames[:, 3].copy()
        client = crowd.client[seat].astype(np.int64)
        number = client * 1024 + frames[:, 4]
        delay, hop = crowd.link[seat, DELAY], self.world.topology.network.hop
        deadline = np.maximum(frames[:, 0] - hop - delay + self.world.topology.clients.connect_timeout, frames[:, 0] + delay)
        late = (refused == 0) & (done + hop + delay > deadline)  # The work is done, and nobody waits for it any more.
        done[late] = deadline[late] - delay[late]
        served = (refused == 0) & ~late
        gateway = np.full(count, -1, np.int64)
        dials = self.columns.who.dials(client, crowd.cookie[seat].astype(np.int64), number, done)
        first = 0
        for upto, ticket in zip([*before.tolist(), count], [*tickets.tolist(), -1]):
            chosen = first + np.flatnonzero(served[first:upto])
            if len(chosen):
                gateway[chosen] = self._pick(dials.part(chosen))
            first = upto
            if ticket >= 0:
                self._closed(ticket)
        out = self._out.reserve(count)
        for picked, kind, receiver in ((gateway >= 0, HANDSHAKE, self.to_gateways), (gateway < 0, REFUSED, self.to_clients)):
            chosen = np.flatnonzero(picked)
            n = len(chosen)
            out[:n, 0] = done[chosen] + (hop if kind == HANDSHAKE else delay[chosen])
            out[:n, 1] = (kind << KIND_SHIFT) | seat[chosen]
            out[:n, 2] = np.maximum(gateway[chosen], 0) if kind == HANDSHAKE else 0
            out[:n, 3] = seat[chosen]
            out[:n, 4] = self.incarnation[gateway[chosen]] if kind == HANDSHAKE else np.where(late[chosen], TIMED_OUT, ADVISED)
            receiver.inbox.put(out, n)

    def _closed(self, ticket: int) -> None:
        """A connection is open no more; those of an earlier life were forgotten when it ended."""
        gateway = gateway_of(ticket)
        if self.alive[gateway] and life_of(ticket) % LIFE == self.incarnation[gateway]:
            count = self.forgotten if self.forgotten[gateway] > 0 else self.open
            count[gateway] -= 1

    def lost(self, gateway: int) -> Generator[Any, Any, None]:
        """The SimPy process after a death: connections are seen to close at once, the node is out after `fall` failed checks in a row."""
        self.open[gateway] = self.forgotten[gateway] = 0
        if not self.cut_off[gateway]:
            yield from self._failing(gateway)

    def split(self, gateway: int) -> Generator[Any, Any, None]:
        """The SimPy process after a split: the node is out after `fall` failed checks in a row, and its connections are seen to stay."""
        self.cut_off[gateway] += 1
        if self.alive[gateway] and self.cut_off[gateway] == 1:
            yield from self._failing(gateway)

    def healed(self, gateway: int) -> Generator[Any, Any, None]:
        """The SimPy process after the heal: a node that is up is in again after `rise` good checks in a row."""
        self.cut_off[gateway] -= 1
        if self.alive[gateway] and not self.cut_off[gateway]:
            yield from self._passing(gateway)

    def _failing(self, gateway: int) -> Generator[Any, Any, None]:
        health = self.world.topology.balancer.health
        first = self._run_of_checks(gateway, 0)
        last = first + (health.fall - 1) * health.interval
        yield self.world.env.timeout(max(0, last + health.timeout - self.world.now) + self.late)
        if self.eligible[gateway] and self.run_at[gateway, 0] == first and not first < self.run_at[gateway, 1] <= last:
            self.eligible[gateway] = False

    def returned(self, gateway: int) -> Generator[Any, Any, None]:
        """The SimPy process after a restart: the node is in again after `rise` good checks in a row, slowly if the policy has a slow start."""
        self.open[gateway] = self.forgotten[gateway] = 0  # What was handed to the dead node was refused.
        if not self.cut_off[gateway]:
            yield from self._passing(gateway)

    def _passing(self, gateway: int) -> Generator[Any, Any, None]:
        health = self.world.topology.balancer.health
        first = self._run_of_checks(gateway, 1)
        last = first + (health.rise - 1) * health.interval
        yield self.world.env.timeout(max(0, last - self.world.now) + self.late)
        if self.eligible[gateway] or self.run_at[gateway, 1] != first or first < self.run_at[gateway, 0] <= last:
            return
        self.eligible[gateway] = True
        self.back_at[gateway] = back_at = self.world.now
        slow = self.world.topology.balancer.slow_start
        for step in range(1, 21 if slow else 1):
            self.weight[gateway] = max(0.1, step / 20)
            yield self.world.env.timeout(slow // 20)
            if self.back_at[gateway] != back_at:  # It was out and in again: a later slow start has taken over.
                return
        self.weight[gateway] = 1.0

    def _pick(self, dials: Dials) -> Array:
        """The gateways of these dials, -1 where there is none; with gateways set apart, each part of them as a pool of its own."""
        gateway = np.full(len(dials), -1, np.int64)
        hot = self.hot[dials.client] if len(self.hot) else np.zeros(len(dials), bool)
        for mine, pool in ((~hot, ~self.apart), (hot, self.apart)):
            if mine.any():
                turn, well = int(self.picks[pool].sum()), self.eligible & ~self.closed & (self.doubted == 0)
                gateway[mine] = self.policy.pick(
                    dials.part(mine),
                    Pool(well & pool, self.open, self.weight, self._key, turn),
                    self.world.kernel,
                )
        picked = np.bincount(gateway[gateway >= 0], minlength=len(self.open))
        self.open += picked
        self.picks += picked
        return gateway

    def _run_of_checks(self, gateway: int, answer: int) -> int:
        """The node died (answer 0) or is up (1): the first check of the run that finds it so. What no check saw has not interrupted a run."""
        now = self.world.now
        if now >= self.seen_at[gateway]:
            self.saw[gateway] = 1 - answer
        if self.saw[gateway] == answer:
            self.run_at[gateway, 1 - answer] = -1
        else:
            self.run_at[gateway, answer] = now + self.next_check(gateway)
        self.seen_at[gateway] = now + self.next_check(gateway)
        return int(self.run_at[gateway, answer])

    def next_check(self, gateway: int) -> int:
        """Time from now to the next check of this gateway [ns]."""
        interval = self.world.topology.balancer.health.interval
        phase = int(below(self.world.key("balancer/health"), gateway, 0, min(interval, 2**31)))
        return (phase - self.world.now) % interval or interval
