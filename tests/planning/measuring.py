"""Runs a topology to its end and measures what its plan foretells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.fabric import Fabric
from simfabric.kernels.routing import SENT
from simfabric.kernels.state import CHANNEL, FATE, FRAMES, LIVE, PUBLISHED_AT, REPLAYED_COUNT, SERVED, UNSENT
from simfabric.kernels.tallying import merged
from simfabric.running import facts
from simfabric.topology import Topology

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a run did; rates are per second."""

    publications: float
    deliveries: float
    reach: float  # Frames that a router sent per message; 0 where there is no router.
    frames: dict[str, float]
    utilisation: dict[str, float]
    busiest: dict[str, float]
    fan_outs: Array  # Of every publication.

    @property
    def half_width(self) -> float:
        """Half the 95 % interval of the mean fan-out, as a share of it: what chance may do to the deliveries."""
        return float(1.96 * self.fan_outs.std(ddof=1) / np.sqrt(len(self.fan_outs)) / self.fan_outs.mean())


def measured(topology: Topology) -> Measured:
    """Run it, plain."""
    fabric = Fabric(topology, by_numba=False)
    fabric.world.env.run(until=fabric.world.env.process(fabric.conductor.process(topology.run.duration)))
    seconds = topology.run.duration / 1e9
    counted = facts.tallies(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    rows = rows[(rows[:, PUBLISHED_AT] < fabric.world.now) & (rows[:, FATE] != UNSENT)]
    total = merged([worker.tally for worker in fabric.gateways.workers]).counters
    served: dict[str, int] = {name: int(counted[name].counters[SERVED]) for name in ("storage", "bus", "routers") if name in counted}
    served |= {"gateways": int(fabric.gateways.nodes.state[:, FRAMES].sum()), "balancer": int(fabric.balancer.counters[0])}
    served["replay"] = int(fabric.replay.counters[0])
    served |= {"token_api": int(fabric.tokens.counters[0]), "bootstrap_api": int(fabric.bootstrap.counters[0])}
    served["snapshot_api"] = int(fabric.snapshots.counters[0])
    if fabric.consumers is not None:
        served["consumers"] = int(fabric.consumers.shelf.fetched.sum())
    routed = counted["routers"].counters if "routers" in counted else None
    used = {busy.name: busy.rows / (busy.servers * topology.run.duration) for busy in facts.busy(fabric, counted)}
    return Measured(
        publications=len(rows) / seconds,
        deliveries=int(total[LIVE] + total[REPLAYED_COUNT]) / seconds,
        reach=int(routed[SENT]) / int(routed[SERVED]) if routed is not None else 0.0,
        frames={name: count / seconds for name, count in served.items()},
        utilisation={name: float(rows.mean()) for name, rows in used.items()},
        busiest={name: float(rows.max()) for name, rows in used.items()},
        fan_outs=fabric.columns.crowd.members[rows[:, CHANNEL]],
    )
