"""simfabric: an exact discrete-event simulator of a distributed realtime fabric, from one client to ten million.

    import simfabric as sf

    topology = sf.load("topologies/stage_a.yaml")
    result = sf.run(topology)
    print(result.summary())

A topology is data; a fabric is that data brought to life; a result is what it left behind. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from simfabric._version import __version__

if TYPE_CHECKING:
    from simfabric import plot, policies
    from simfabric.errors import SimfabricError, TopologyError
    from simfabric.facade import capacity, cost, estimate, experiment, run
    from simfabric.planning import Plan, plan
    from simfabric.planning.calibrating import calibrate
    from simfabric.planning.comparing import compare
    from simfabric.planning.gates import gate
    from simfabric.planning.replicating import replicate
    from simfabric.planning.sensitivity import sensitivity
    from simfabric.running import Result
    from simfabric.topology import Topology, explain, load, loads, schema

_HOMES = {
    "Plan": "simfabric.planning",
    "Result": "simfabric.running",
    "SimfabricError": "simfabric.errors",
    "Topology": "simfabric.topology",
    "TopologyError": "simfabric.errors",
    "calibrate": "simfabric.planning.calibrating",
    "capacity": "simfabric.facade",
    "compare": "simfabric.planning.comparing",
    "cost": "simfabric.facade",
    "estimate": "simfabric.facade",
    "experiment": "simfabric.facade",
    "explain": "simfabric.topology",
    "gate": "simfabric.planning.gates",
    "load": "simfabric.topology",
    "loads": "simfabric.topology",
    "plan": "simfabric.planning",
    "plot": "simfabric.plot",
    "policies": "simfabric.policies",
    "replicate": "simfabric.planning.replicating",
    "run": "simfabric.facade",
    "schema": "simfabric.topology",
    "sensitivity": "simfabric.planning.sensitivity",
}

__all__ = [
    "Plan", "Result", "SimfabricError", "Topology", "TopologyError", "__version__", "calibrate", "capacity", "compare", "cost", "estimate",
    "experiment", "explain", "gate", "load", "loads", "plan", "plot", "policies", "replicate", "run", "schema", "sensitivity",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"simfabric has no {name!r}; it has {', '.join(__all__)}")
    module = importlib.import_module(_HOMES[name])
    value = module if name == "policies" else getattr(module, name)
    globals()[name] = value
    return value
