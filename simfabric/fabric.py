"""The fabric: the components of a topology, wired. This page reads like the architecture picture.

    publishers ──▶ clients ──────────────▶ gateways ──▶ storage ──▶ producers ──▶ brokers ──▶ consumers ──▶ routers ──┐
                     │  ▲                    │ ▲ ▲ ▲                                                       targeted  │
                     │  └────────────────────┘ │ │ └────────────────────────────────────────────────────────────────┘
                     ├──▶ balancer ────────────┘ └── replay, snapshots (broadcast: consumers ──▶ gateways; direct: storage ──▶ routers)
                     └──▶ bootstrap API, token API                gateways ◀──▶ presence

Who writes what: clients belief and timers; gateways links, homes, rows and slots; brokers (with `direct` the storage) the log's order;
replay and snapshot API the answers; faults and leases whatever a control event changes, when every clock stands at that instant.
"""

from __future__ import annotations

from collections.abc import Callable

from simfabric.components.apis import Api, Snapshots
from simfabric.components.balancer import Balancer
from simfabric.components.bus import Brokers, Consumers, Producers, partitions_of_channels
from simfabric.components.bus_faults import BUS_FAULTS
from simfabric.components.clients import Clients
from simfabric.components.columns import Columns, identities
from simfabric.components.component import Component
from simfabric.components.conductor import Conductor
from simfabric.components.edge_faults import EDGE_FAULTS
from simfabric.components.effects import Effect, Effects, Parts
from simfabric.components.faults import Death, Faults, absent, deaths, lives_of
from simfabric.components.gateways import Gateways
from simfabric.components.group import Group, router_deaths
from simfabric.components.hop_faults import HOP_FAULTS, rough_ahead
from simfabric.components.link_faults import LINK_FAULTS, SILENT_KINDS, strike_ahead
from simfabric.components.node_faults import NODE_FAULTS
from simfabric.components.pace_faults import PACE_FAULTS, pace_ahead
from simfabric.components.presence import Presence
from simfabric.components.pressure import Pressure
from simfabric.components.publishers import Publishers
from simfabric.components.record_faults import RECORD_FAULTS
from simfabric.components.replay import Replay
from simfabric.components.route_faults import ROUTE_FAULTS
from simfabric.components.routers import Routers
from simfabric.components.schedule import episodes
from simfabric.components.splits import SPLITS, splits_of
from simfabric.components.state_faults import STATE_FAULTS
from simfabric.components.storage import Storage
from simfabric.components.surges import TRAFFIC_FAULTS, surges
from simfabric.kernels.frames import BOOTED, TOKEN
from simfabric.kernels.slow import SWEEP
from simfabric.kernels.state import ALIVE, INCARNATION
from simfabric.topology import Topology
from simfabric.topology.fault_kinds import KINDS
from simfabric.world import World

EFFECTS: dict[str, Callable[[Parts], Effect]] = {
    **STATE_FAULTS, **LINK_FAULTS, **PACE_FAULTS, **EDGE_FAULTS, **ROUTE_FAULTS, **SPLITS, **HOP_FAULTS, **NODE_FAULTS,
    **BUS_FAULTS, **RECORD_FAULTS, **TRAFFIC_FAULTS,
}  # fmt: skip


class Fabric:
    """A topology brought to life: `world`, the components by name, and the conductor that moves them."""

    def __init__(self, topology: Topology, by_numba: bool) -> None:
        self.topology = topology
        self.world = world = World(topology, by_numba)
        pattern = topology.fanout.pattern
        planned = deaths(world, topology)

        who = identities(world)
        self.balancer = Balancer(world, topology.gateways.count)
        self.balancer.eligible[absent(planned)] = False
        self.columns = columns = Columns(world, who, self.balancer.place(who, topology.clients.count, topology.clients.start == 0))
        lasting = [episode for episode in episodes(world, topology) if not KINDS[episode.fault.kind].dies]
        strike_ahead(world, columns, lasting)
        pace_ahead(columns, lasting)
        self.publishers = Publishers(world, columns)
        self.publishers.streams += surges(world, columns)
        self.clients = Clients(world, columns)
        lives = lives_of(planned)
        self.gateways = Gateways(world, columns, lives)
        self.gateways.nodes = self.gateways.nodes._replace(splits=splits_of(world, topology))
        self.storage = Storage(world, columns, self.gateways) if topology.storage.enabled else None
        self.producers: Producers | None = None
        self.brokers: Brokers | None = None
        self.consumers: Consumers | None = None
        if pattern != "direct":
            self.producers = Producers(world, columns, self.gateways, partitions_of_channels(world, columns.crowd.members))
            self.brokers = Brokers(world, columns)
            self.consumers = Consumers(world, columns, self.gateways, pattern == "broadcast")
            world.env.process(self.consumers.committing())
        self.routers = Routers(world, columns, lives, self.gateways.credits) if pattern != "broadcast" else None
        rough_ahead(world, self.routers, lasting)
        self.replay = Replay(world, columns)
        self.snapshots = Snapshots(world, columns)
        self.bootstrap = Api(world, columns, "bootstrap", BOOTED)
        self.tokens = Api(world, columns, "token", TOKEN)
        self.presence = Presence(world, columns, self.gateways) if topology.presence.enabled else None
        self._wire()
        self._hear()
        self.clients.begin()
        parts: list[Component | None] = [
            self.publishers, self.clients, self.bootstrap, self.tokens, self.balancer, self.gateways, self.storage, self.producers, self.brokers,
            self.consumers, self.routers, self.replay, self.snapshots, self.presence,
        ]  # fmt: skip
        self.components = [component for component in parts if component is not None]
        self.conductor = Conductor(world, self.components, topology.run.window)
        self.planned: list[Death] = planned
        self.faults = Faults(world, planned, self.gateways, self.clients, self.balancer, self.routers, self.consumers, self.presence)
        struck = router_deaths(world, topology)
        self.group: Group | None = None
        if struck and self.routers and self.brokers and self.consumers:
            self.group = Group(world, self.routers, self.brokers, self.consumers, struck, self.faults.events)
        Effects(self._parts(), lasting, EFFECTS, self.faults.events)
        self.pressure = Pressure(world, self.gateways, self.consumers, self.routers, self.faults.events)

    def _parts(self) -> Parts:
        """What faults may strike."""
        return Parts(
            self.world, self.columns, self.publishers, self.clients, self.balancer, self.gateways, self.storage, self.producers, self.brokers,
            self.consumers, self.routers, self.replay, self.snapshots, self.bootstrap, self.tokens, self.presence,
        )  # fmt: skip

    def _wire(self) -> None:
        """Who sends to whom."""
        self.publishers.clients = self.clients
        self.publishers.producers = self.producers
        self.clients.to_gateways = self.gateways
        self.clients.to_balancer = self.balancer
        self.clients.to_bootstrap = self.bootstrap
        self.clients.to_tokens = self.tokens
        self.clients.to_replay = self.replay
        self.clients.to_snapshots = self.snapshots
        self.bootstrap.to = self.tokens.to = self.clients
        self.balancer.columns = self.columns
        self.balancer.to_gateways = self.gateways
        self.balancer.to_clients = self.clients
        self.balancer.alive = self.gateways.nodes.state[:, ALIVE]
        self.balancer.incarnation = self.gateways.nodes.state[:, INCARNATION]
        self.gateways.down = self.clients
        self.gateways.ask, self.gateways.snapshot = self.replay, self.snapshots
        self.snapshots.to = self.gateways
        self.gateways.presence = self.presence
        self.replay.gateways = self.gateways
        into_bus = self.producers or self.routers
        assert into_bus is not None
        self.gateways.up = self.storage or into_bus
        self.gateways.past_storage = into_bus
        if self.storage:
            self.storage.to = into_bus
        if self.producers and self.brokers and self.consumers:
            self.producers.brokers = self.brokers
            self.brokers.consumers = self.consumers
            self.consumers.to = self.routers or self.gateways
        if self.routers:
            self.routers.gateways = self.gateways

    def _hear(self) -> None:
        """The least delay of every hop: what the lookahead is made of."""
        topology = self.topology
        floor, hop = topology.clients.delay_floor, topology.network.hop
        transient = any(source.lane == "transient" for source in topology.traffic)
        store, bus, replay = (getattr(topology.network, f"{name}_hop") or hop for name in ("storage", "bus", "replay"))
        self.clients.hears(self.publishers, 0)
        self.clients.hears(self.gateways, floor)
        self.clients.hears(self.balancer, floor)
        for api in (self.bootstrap, self.tokens):
            self.clients.hears(api, floor + hop)
            api.hears(self.clients, floor + hop)
        self.balancer.hears(self.clients, floor + hop)
        self.gateways.hears(self.clients, floor)
        silent = any(part.ends == "silent" for part in topology.clients.churn) or any(fault.kind in SILENT_KINDS for fault in topology.faults)
        if silent:
            self.gateways.hears(self.gateways, topology.clients.heartbeat_timeout // 10)
        if topology.gateways.overflow == "disconnect":
            self.gateways.hears(self.gateways, SWEEP)
        self.gateways.hears(self.balancer, hop)
        self.gateways.hears(self.replay, replay)
        self.gateways.hears(self.snapshots, hop)
        self.snapshots.hears(self.gateways, 2 * floor + hop)
        self.replay.hears(self.gateways, min(2 * floor, topology.routing.store_delay + hop) + replay)
        if topology.clients.sessions != 0:
            self.replay.hears(self.clients, floor + replay)
            self.snapshots.hears(self.clients, floor + hop)
        if self.storage:
            self.storage.hears(self.gateways, store)
        if self.producers and self.brokers and self.consumers:
            self.producers.hears(self.publishers, 0)
            self.producers.hears(self.storage or self.gateways, store if self.storage else 0)
            if self.storage and transient:
                self.producers.hears(self.gateways, hop)
            self.brokers.hears(self.producers, bus)
            self.consumers.hears(self.brokers, 0)
            self.replay.hears(self.brokers, 0)
            self.snapshots.hears(self.brokers, 0)
            (self.routers or self.gateways).hears(self.consumers, bus)
        elif self.storage and self.routers:
            self.routers.hears(self.storage, store)
            if transient:
                self.routers.hears(self.gateways, hop)
            self.replay.hears(self.storage, 0)
            self.snapshots.hears(self.storage, 0)
        if self.presence:
            self.presence.hears(self.gateways, hop)
            self.gateways.hears(self.presence, hop)
            if topology.presence.debounce:
                self.presence.hears(self.presence, topology.presence.debounce)
        if self.routers:
            back = 0 if topology.backpressure.policy == "credits" else topology.routing.store_delay  # Of a credit, or of a new route.
            self.routers.hears(self.gateways, back + hop)
            self.gateways.hears(self.routers, hop)
