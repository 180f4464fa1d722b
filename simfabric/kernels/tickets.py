"""Tickets: which connection of a client a frame speaks of, so that nothing said to an earlier one is taken for the present one's.

A ticket is the gateway's life (gateway and incarnation) and a small number that grows with each connection of the seat that ends while its gateway
lives. A client's belief is the ticket of its connection; SILENT is added to it while nothing passes any more and it does not know yet.
"""

from __future__ import annotations

from simfabric.compiling import inlined
from simfabric.kernels.state import INCARNATION, LIFE, Crowd, Nodes

TURN = 134217728  # ticket = turn * TURN + life; 100,000 gateways with 1,024 lives each fit below it.
TURNS = 8
SILENT = 1073741824


@inlined
def ticket_of(gateway: int, seat: int, nodes: Nodes, crowd: Crowd) -> int:
    """The ticket of the connection that this gateway has, or would have, with a seat."""
    return int(crowd.turn[seat] * TURN + gateway * LIFE + nodes.state[gateway, INCARNATION])


def life_of(ticket: int) -> int:
    """The gateway's life."""
    return ticket % TURN


def gateway_of(ticket: int) -> int:
    """The gateway."""
    return ticket % TURN // LIFE
