"""The plan: what a run will do, need and take, computed from the topology before anything is allocated.

    topology ──▶ members of channels ──▶ flows of traffic ──▶ loads of components ──▶ memory and time of the run

Everything is a mean over the run, warm-up included; `loads` and `memory` say what they leave out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from simfabric.planning.clock import COMPILED, PLAIN, Work, rounds_of, run_time, setup_time
from simfabric.planning.flows import Flow, flow_of, spread_of
from simfabric.planning.hotspots import hotspots
from simfabric.planning.loads import Load, loads_of
from simfabric.planning.memory import Part, parts_of, slots_of
from simfabric.planning.miniature import miniature
from simfabric.planning.shares import gateway_shares
from simfabric.running.one_run import compiles
from simfabric.topology import Topology
from simfabric.topology.expected import membership
from simfabric.world import SECOND

FEW = 0.1  # A channel that this share of the clients reads has every tenth row of a column: the processor fetches them ahead.


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do, need and take. Rates are per second of simulated time, times nanoseconds, sizes bytes."""

    topology: Topology
    connections: int
    fullest: float  # Connections of the fullest gateway.
    subscriptions: float
    slots: float  # Pairs of a channel and a gateway that has members of it.
    flows: tuple[Flow, ...]
    loads: tuple[Load, ...]
    downlink: float  # Share of a client's downlink that its deliveries take.
    partition: float  # Load of the hottest partition, as a multiple of the mean.
    parts: tuple[Part, ...]  # Of the memory, largest first.
    window: int
    lookahead: int
    work: Work
    compiled: bool

    @property
    def publications(self) -> float:
        """Publications per second."""
        return sum(flow.rate for flow in self.flows)

    @property
    def peak(self) -> float:
        """Publications per second when every source is at its busiest."""
        return sum(flow.peak for flow in self.flows)

    @property
    def deliveries(self) -> float:
        """Deliveries per second, those that catch up included."""
        return sum(flow.rate * flow.fan_out for flow in self.flows)

    @property
    def fan_out(self) -> float:
        """Clients per publication."""
        return self.deliveries / self.publications if self.publications else 0.0

    @property
    def reach(self) -> float:
        """Gateways per publication that have at least one of these clients."""
        return sum(flow.rate * flow.reach for flow in self.flows) / self.publications if self.publications else 0.0

    @property
    def utilisation(self) -> dict[str, float]:
        """The mean utilisation of every component that has servers."""
        return {load.name: load.utilisation for load in self.loads if load.servers}

    @property
    def bottleneck(self) -> Load:
        """The component whose busiest row is nearest to saturation."""
        return max(self.loads, key=lambda load: load.busiest)

    @property
    def memory(self) -> float:
        """Memory that the run needs at most."""
        return sum(part.size for part in self.parts)

    def time(self, compiled: bool) -> tuple[float, float]:
        """Time of a machine to set the run up, and to run it, about."""
        costs = COMPILED if compiled else PLAIN
        return setup_time(self.work, costs), run_time(self.work, costs)

    @property
    def wall(self) -> float:
        """Time of a machine in all, in the form that the run will take."""
        return sum(self.time(self.compiled))

    @property
    def messages(self) -> float:
        """Messages of the whole run."""
        return self.publications * self.topology.run.duration / SECOND

    def load(self, name: str) -> Load:
        """The load of one component."""
        return next(load for load in self.loads if load.name == name)

    def fits(self, memory: float) -> bool:
        """Whether the run needs no more than so many bytes."""
        return self.memory <= memory


def plan(topology: Topology) -> Plan:
    """Make the plan of a topology's run; nothing of the run's size is allocated."""
    members = membership(topology)
    shares = gateway_shares(topology)
    spread = spread_of(shares)
    flows = tuple(flow_of(topology, source, members, spread) for source in topology.traffic)
    hot = hotspots(topology, flows, members)
    loads = loads_of(topology, members, flows, spread, hot)
    mini = miniature(topology)
    window, lookahead = mini.conductor.window, mini.conductor.lookahead
    seconds = topology.run.duration / SECOND
    frames, messages = sum(load.frames for load in loads[1:]), sum(flow.rate for flow in flows) * seconds
    compiled = compiles(topology)
    parts = parts_of(topology, mini, members, spread, messages, frames, window, compiled)
    gateways = next(load for load in loads if load.name == "gateways")
    work = Work(
        clients=members.clients,
        subscriptions=members.subscriptions,
        channels=members.channels,
        messages=messages,
        frames=gateways.frames * seconds,
        deliveries=sum(flow.rate * flow.fan_out for flow in flows) * seconds,
        scattered=sum(flow.rate * scattered(flow, members.clients) for flow in flows) * seconds,
        rounds=rounds_of(topology.run.duration, window, messages),
        touched=sum(part.size for part in parts if part.what.startswith(("clients", "subscriptions", "slots"))),
    )
    bits = sum(flow.rate * flow.fan_out * flow.size for flow in flows) / members.clients * 8.0
    return Plan(
        topology=topology,
        connections=members.clients,
        fullest=max(1.0, float(shares.max()) * members.clients),
        subscriptions=members.subscriptions,
        slots=slots_of(topology, members, spread),
        flows=flows,
        loads=loads,
        downlink=bits / topology.clients.bandwidth if topology.clients.bandwidth else 0.0,
        partition=float(hot.records.max() / hot.records.mean()) if messages > 0 else 1.0,
        parts=parts,
        window=window,
        lookahead=lookahead,
        work=work,
        compiled=compiled,
    )


def scattered(flow: Flow, clients: int) -> float:
    """The deliveries of a mean publication that go to channels which few clients read."""
    few = flow.aim.share < FEW
    return float(flow.aim.weight[few] @ (flow.aim.surely + (clients - flow.aim.surely) * flow.aim.share[few]))


def largest(plan: Plan) -> tuple[Flow, float, float]:
    """The source whose publications reach the most clients in the mean, how many, and how long one keeps a core of a gateway busy [ns]."""
    flow = max(plan.flows, key=lambda flow: flow.fan_out)
    config = plan.topology.gateways
    here = flow.fan_out / config.count / (config.cores if config.dispatch == "connection" else 1)
    work = config.work.delivery.mean + flow.size * config.work.byte_out
    return flow, flow.fan_out, here * work if math.isfinite(work) else 0.0
