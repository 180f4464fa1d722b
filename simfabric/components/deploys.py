"""Deploys: what an operator does to many gateways by plan, as the deaths and arrivals of single ones.

    rolling_deploy   batch after batch dies by plan (clients are told, with the advice of gateways.drain), is down, and is back;
                     after a pause the next batch follows
    scale_out        the last gateways of the fabric are not there when the run begins, and join it empty

Leaves out: a deploy that waits until its gateways are healthy, or stops when they are not; connections that are moved before their
gateway ends (the protocol's standby connection); scaling in.
"""

from __future__ import annotations

from collections.abc import Iterator

from simfabric.topology import Topology
from simfabric.topology.faults import Fault


def restarts(fault: Fault, begin: int, gateways: int) -> Iterator[tuple[int, int, int]]:
    """The restarts of a rolling deploy that begins at `begin`: gateway, when it ends and when it is up again [ns]."""
    for gateway in range(gateways if fault.count is None else fault.count):
        at = begin + gateway // fault.batch * (fault.down + fault.pause)
        yield gateway, at, at + fault.down


def arrivals(topology: Topology) -> dict[int, int]:
    """When each gateway that is not there at the start joins [ns]. Of several scale-outs, each takes the last ones that are left."""
    joins: dict[int, int] = {}
    left = topology.gateways.count
    for fault in topology.faults:
        if fault.kind == "scale_out" and fault.at:
            joining = 1 if fault.count is None else fault.count
            joins |= dict.fromkeys(range(left - joining, left), fault.at)
            left -= joining
    return joins
