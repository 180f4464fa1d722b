"""A miniature of a fabric: the same delays and laws with one of everything. What it costs nothing to ask it, nobody has to state twice.

The lookahead depends on the hops alone, and the bytes of a row of a column do not depend on how many rows there are.
"""

from __future__ import annotations

from simfabric.chance import constant
from simfabric.fabric import Fabric
from simfabric.topology import Topology
from simfabric.topology.section import Section

ONE: dict[str, dict[str, object]] = {
    "run": {"workers": 1},
    "clients": {"count": 1, "tenants": 1, "devices_per_user": 1, "subscriptions": 1, "start": 0, "regions": (), "delay": constant(1e6)},
    "channels": {"count": 1, "given": ()},
    "balancer": {"servers": 1, "virtual_nodes": 1, "policy": "round_robin"},
    "gateways": {"count": 1, "cores": 1, "pauses": None},
    "hot": {"partitions": 0, "shards": 1, "gateways": 0},
    "storage": {"shards": 1, "work": constant(1.0)},
    "bus": {"brokers": 1, "partitions": 1, "replication": 1, "threads": 1, "work": constant(1.0), "replica_delay": constant(1.0)},
    "fanout": {"routers": 1, "work": constant(1.0), "work_per_target": constant(1.0)},
    "replay": {"servers": 1, "work": constant(1.0), "work_per_message": constant(1.0)},
}


def miniature(topology: Topology) -> Fabric:
    """The fabric with one of everything, without traffic and faults."""
    sections: dict[str, Section] = {name: getattr(topology, name).model_copy(update=changes) for name, changes in ONE.items()}
    return Fabric(topology.model_copy(update={**sections, "traffic": (), "faults": ()}), by_numba=False)
