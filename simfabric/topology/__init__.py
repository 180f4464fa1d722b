"""Topologies: a realtime fabric as frozen data, read from untrusted files.

`load` and `loads` read YAML behind a guard, `Topology.with_` changes it, `explain` and `schema` tell what every key means.
"""

from simfabric.topology.json_schema import explain, schema
from simfabric.topology.loading import load, loads
from simfabric.topology.model import Topology

__all__ = ["Topology", "explain", "load", "loads", "schema"]
