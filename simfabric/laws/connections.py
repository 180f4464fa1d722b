"""Conservation of connections (C4)."""

from __future__ import annotations

from simfabric.laws.verdict import Verdict, equal
from simfabric.recorder import Checkpoint


def connections(c: Checkpoint) -> Verdict:
    """C4: connections that gateways count as open are the clients that have a home, and those that are half-open."""
    return equal("C4 connections are counted once", c.at, c.open, c.open, c.connections + c.half_open, "open at gateways = clients with a home + half-open")


LAWS = (connections,)
