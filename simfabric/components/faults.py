"""Faults: what goes wrong and when, as SimPy processes at exact times.

A death is known ahead to the columns (`dies_at`), since a delivery is settled when it is written; the process does the rest: connections
and what the node held are gone, clients notice, health checks and leases run out, and after its time down the node is back, empty.

A gateway that joins later is like one that was dead before; see `deploys` for what is made of deaths and arrivals.

The deaths of routers are in `group`; what a fault does that is no death is in `effects`.

Leaves out: a death that nobody has planned (by what happens in the run).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.components.balancer import Balancer
from simfabric.components.bus import Consumers
from simfabric.components.clients import Clients
from simfabric.components.deploys import arrivals, restarts
from simfabric.components.gateways import Gateways
from simfabric.components.presence import Presence
from simfabric.components.routers import Routers
from simfabric.components.schedule import Episode, episodes, gateways_struck
from simfabric.components.splits import lapses
from simfabric.errors import SimfabricError
from simfabric.kernels.frames import NEVER
from simfabric.kernels.state import ALIVE, BREAKS_AT, DIES_AT, INCARNATION, LIFE, NOTICED_AT
from simfabric.topology import Topology
from simfabric.world import World

BEFORE = -1  # The run begins at 0.
ENDS = {"kill_node": False, "crash_loop_node": False, "lose_region": False, "restart_node": True, "drain_node": True}  # Whether it is planned.


@dataclass(frozen=True, slots=True)
class Death:
    """One death of one gateway, and when it is up again [ns]."""

    gateway: int
    at: int  # BEFORE for a gateway that is not there when the run begins.
    back_at: int
    planned: bool = False  # The gateway says so to its clients.
    grace: int = 0  # For how long before it takes no new connections [ns].


def deaths(world: World, topology: Topology) -> list[Death]:
    """Every death of the run in time order. One that strikes a node while it is down anyway has no effect and is left out."""
    planned = [Death(gateway, BEFORE, at) for gateway, at in arrivals(topology).items()]
    for episode in episodes(world, topology):
        planned += deaths_of(world, topology, episode)
    for gateway, begins, _, at in lapses(world, topology):  # One that dies meanwhile is new in any case.
        if not any(death.gateway == gateway and begins <= death.at <= at for death in planned):
            planned.append(Death(gateway, at, at + 2 * topology.network.hop, planned=True))
    down_until: dict[int, int] = {}
    real = []
    for death in sorted(planned, key=lambda d: (d.at, d.gateway)):
        if death.at > down_until.get(death.gateway, BEFORE - 1):
            real.append(death)
            down_until[death.gateway] = death.back_at
    for gateway in down_until:
        if sum(death.gateway == gateway for death in real) >= LIFE - 1:
            raise SimfabricError(f"faults: gateway {gateway} dies more than {LIFE - 2} times; law: a life has a number below {LIFE}; cure: fewer faults")
    return real


def lives_of(planned: Sequence[Death]) -> int:
    """More than any gateway begins."""
    counted = Counter(death.gateway for death in planned)
    return 2 + max(counted.values(), default=0)


def deaths_of(world: World, topology: Topology, episode: Episode) -> list[Death]:
    """The deaths of gateways that one episode brings; none if it is no death, or one of routers."""
    fault, count = episode.fault, topology.gateways.count
    if fault.kind == "rolling_deploy":
        return [Death(*restart, planned=True) for restart in restarts(fault, episode.begin, count)]
    if fault.kind not in ENDS or fault.target.router is not None:
        return []
    times, grace = fault.times if fault.kind == "crash_loop_node" else 1, fault.grace if fault.kind == "drain_node" else 0
    starts = [episode.begin + grace + n * (fault.down + fault.pause) for n in range(times)]
    return [Death(gateway, at, at + fault.down, ENDS[fault.kind], grace) for gateway in gateways_struck(world, episode) for at in starts]


def absent(planned: Sequence[Death]) -> list[int]:
    """The gateways that are not there when the run begins."""
    return [death.gateway for death in planned if death.at == BEFORE]


def noticed_at(death: Death | None, notice: int) -> int:
    """When clients notice the death, besides the one-way delay [ns]: of a planned one they are told."""
    if death is None:
        return NEVER // 2
    return death.at + (0 if death.planned else notice)


class Faults:
    """Carries out the deaths of a run; see the module."""

    def __init__(
        self,
        world: World,
        planned: Sequence[Death],
        gateways: Gateways,
        clients: Clients,
        balancer: Balancer,
        routers: Routers | None,
        consumers: Consumers | None,
        presence: Presence | None = None,
    ) -> None:
        self.world = world
        self.gateways = gateways
        self.clients = clients
        self.balancer = balancer
        self.routers = routers
        self.consumers = consumers
        self.presence = presence
        self.events: list[tuple[int, str]] = []  # What happened, for the timeline.
        self._next: dict[int, list[Death]] = {}
        for death in planned:
            self._next.setdefault(death.gateway, []).append(death)
        for gateway in self._next:
            self._announce(gateway)
        for death in planned:
            if death.at == BEFORE:
                self._absent(death.gateway)
            world.env.process(self._join(death) if death.at == BEFORE else self._run(death))

    def _absent(self, gateway: int) -> None:
        """It is not there yet, and nobody has placed a client on it; see `absent`."""
        self.gateways.nodes.state[gateway, ALIVE] = 0
        if self.consumers is not None and self.consumers.broadcast:
            self.consumers.leave(gateway)

    def _announce(self, gateway: int) -> int:
        """Tell the columns when this gateway dies next."""
        death = self._next[gateway].pop(0) if self._next[gateway] else None
        at = death.at if death else NEVER
        self.gateways.nodes.state[gateway, DIES_AT] = at
        self.gateways.nodes.state[gateway, NOTICED_AT] = noticed_at(death, self.world.topology.clients.notice)
        crowd = self.gateways.columns.crowd
        held = crowd.home == gateway
        crowd.link[held, BREAKS_AT] = np.minimum(crowd.link[held, BREAKS_AT], at)
        return at

    def _run(self, death: Death) -> Generator[Any, Any, None]:
        env, gateway = self.world.env, death.gateway
        yield env.timeout(death.at - death.grace)
        if death.grace:
            self._drain(gateway)
            yield env.timeout(death.grace)
        life = int(self.gateways.nodes.state[gateway, INCARNATION])
        seats = self.gateways.die(gateway)
        self.clients.lose(gateway, life, seats, death.planned)
        if self.presence is not None:
            self.presence.lost(gateway, life, seats, death.planned)
        self.events.append((self.world.now, f"gateway {gateway} {'restarted' if death.planned else 'killed'}, {len(seats)} connections lost"))
        if self.consumers is not None and self.consumers.broadcast:
            self.consumers.leave(gateway)
        if self.routers is not None:
            env.process(self.routers.evicting(gateway, life))
        env.process(self.balancer.lost(gateway))
        yield env.timeout(death.back_at - death.at)
        self._up(gateway, "up again")

    def _drain(self, gateway: int) -> None:
        """From now on the gateway takes no new connections, until it ends; the balancer knows of it. One that is dead has nothing to drain."""
        if self.gateways.nodes.state[gateway, ALIVE] == 1:
            self.gateways.drain(gateway)
            self.balancer.closed[gateway] = True
            self.events.append((self.world.now, f"gateway {gateway} takes no new connections"))

    def _join(self, death: Death) -> Generator[Any, Any, None]:
        yield self.world.env.timeout(death.back_at)
        self._up(death.gateway, "joined")

    def _up(self, gateway: int, told: str) -> None:
        """The node starts, empty; others learn of it."""
        self.gateways.start(gateway, self._announce(gateway))
        self.balancer.closed[gateway] = False
        self.events.append((self.world.now, f"gateway {gateway} {told}"))
        if self.consumers is not None and self.consumers.broadcast:
            self.consumers.join(gateway)
        self.world.env.process(self.balancer.returned(gateway))
