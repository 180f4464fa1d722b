"""What faults of the bus and of the traffic need of the rest of a topology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simfabric.errors import Refusal, did_you_mean
from simfabric.topology.fault_kinds import BUS, KINDS
from simfabric.topology.faults import Fault

if TYPE_CHECKING:
    from simfabric.topology.model import Topology

OF_BROKERS = ("restart_broker", "elect_unclean", "shrink_replicas")
OF_ROUTERS = ("crash_consumer", "rebalance_group")
OF_TRAFFIC = ("burst_channel", "flood_clients")


def bus_faults_have_their_bus(topology: Topology) -> Iterator[Refusal]:
    """Faults of brokers need a bus, those of its readers a group of routers, and a loss a way to be lost."""
    pattern, bus = topology.fanout.pattern, topology.bus
    for i, fault in enumerate(topology.faults):
        if fault.kind not in BUS:
            continue
        place, reads = ("faults", i, "kind"), ("faults", "fanout.pattern", "bus", "hot.shards")
        if fault.kind in OF_BROKERS and pattern == "direct":
            yield Refusal("with direct there is no bus", "take fanout.pattern targeted or broadcast", place, fault.kind, reads)
        if fault.kind in OF_ROUTERS and pattern != "targeted":
            yield Refusal("only with targeted is there a group of routers", "take fanout.pattern targeted", place, fault.kind, reads)
        if fault.kind == "poison_record" and pattern == "broadcast":
            yield Refusal("with broadcast no router reads records", "take fanout.pattern targeted or direct", place, fault.kind, reads)
        if fault.kind == "elect_unclean" and bus.acks == "all":
            yield Refusal(
                "with acks all nothing is acknowledged that replicas do not have", "write bus.acks: leader, or take restart_broker", place, None, reads
            )
        if fault.kind == "elect_unclean" and topology.hot.shards > 1:
            yield Refusal("a channel that is spread over partitions has one order, which a cut would tear", "write hot.shards: 1", place, None, reads)
        broker = fault.target.broker
        if isinstance(broker, int) and broker >= bus.brokers:
            yield Refusal(
                f"must be the number of a broker, from 0 to {bus.brokers - 1}", "give a smaller number, or write one", ("faults", i, "target", "broker"),
                str(broker), reads,
            )  # fmt: skip


def surges_have_their_traffic(topology: Topology) -> Iterator[Refusal]:
    """What is multiplied is there: the channel, the tenant, sources that have a rate."""
    given = [channel.name for channel in topology.channels.given]
    for i, fault in enumerate(topology.faults):
        if fault.kind not in OF_TRAFFIC:
            continue
        if fault.factor < 1:
            yield Refusal("a surge is no ebb: its factor is at least 1", "raise factor", ("faults", i, "factor"), f"{fault.factor:g}", ("faults",))
        if fault.kind == "flood_clients" and not any(source.kind == "users" for source in topology.traffic):
            yield Refusal("no user publishes", "add a source of kind users", ("faults", i, "kind"), fault.kind, ("faults", "traffic"))
        if fault.tenant is not None and fault.tenant >= topology.clients.tenants:
            yield Refusal(
                f"must be the number of a tenant, from 0 to {topology.clients.tenants - 1}", "give a smaller number, or raise clients.tenants",
                ("faults", i, "tenant"), str(fault.tenant), ("faults", "clients.tenants"),
            )  # fmt: skip
        name = fault.channel
        if name is not None and name not in given and not (name.isdecimal() and int(name) < topology.channels.count):
            cure = f"{did_you_mean(name, given)} write the name of a channel in channels.given, or a number below {topology.channels.count}".strip()
            yield Refusal("must be a channel", cure, ("faults", i, "channel"), name, ("faults", "channels"))


def struck_routers(fault: Fault) -> bool:
    """Whether a fault changes who reads which partitions."""
    return fault.target.router is not None or fault.kind == "lose_region" or KINDS[fault.kind].strikes == "router"
