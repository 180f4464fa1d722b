"""Tracing: run a topology with some of its clients as sessions, and draw what they did as a message sequence chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simfabric.components.columns import sessions_of
from simfabric.errors import Refusal
from simfabric.running.one_run import run
from simfabric.topology import load
from simfabric.units import parse_duration
from simfabric.world import SECOND


def trace(
    file: Path, clients: Sequence[int], sets: Sequence[str], first: str, last: str | None, *, mermaid: bool = False, width: int = 120, fold: bool = True
) -> str:  # fmt: skip
    """The chart of these clients, or of the first one that is a session. A topology that has no sessions gets one, or so many that these are among them.

    Raises Refusal for a client that does not exist, and what `load` raises.
    """
    bounds = _seconds(first), None if last is None else _seconds(last)
    topology = load(file, list(sets))
    count = topology.clients.count
    for client in clients:
        if not 0 <= client < count:
            raise Refusal(f"a client has a number from 0 to {count - 1}", "name one of them", value=str(client))
    if topology.clients.sessions == 0:
        topology = topology.with_({"clients.sessions": 1})
    known = sessions_of(topology)
    if any(client not in known for client in clients):
        topology = topology.with_({"clients.sessions": "all"})
    shown = clients or [min(known)]
    return run(topology).chart(*shown, first=bounds[0], last=bounds[1], mermaid=mermaid, width=width, fold=fold)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / SECOND
    except Refusal as refusal:
        raise Refusal(refusal.law, refusal.cure, value=text) from None
