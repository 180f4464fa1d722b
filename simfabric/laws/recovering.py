"""Recovery (L8), and its negative: a topology that says it is metastable must not recover from its faults, and every other one may be asked whether it did.

A fabric is metastable when what its clients do to come back keeps it from serving them: the cause is over, and the collapse stays (Bronson et al.
2021, "Metastable failures in distributed systems").
"""

from __future__ import annotations

from collections.abc import Sequence

from simfabric.laws.verdict import Verdict
from simfabric.recorder import Checkpoint

ENOUGH = 0.95  # Of the connections before the first fault.


def metastable(checkpoints: Sequence[Checkpoint], first: int | None) -> Verdict:
    """L8, negative: of the connections that were there before `first` [ns], the time of the first fault, too few are there at the end."""
    name = "L8 it does not recover, as it says"
    before = [c.connections for c in checkpoints if first is not None and c.at <= first]
    if not before or not before[-1]:
        return Verdict(name, "unknown", 0, "no checkpoint before the first fault with connections")
    last = checkpoints[-1]
    if last.connections >= ENOUGH * before[-1]:
        return Verdict(name, "invalid", before[-1], f"{last.connections} connections at the end, {before[-1]} before the first fault: it recovered", last.at)
    return Verdict(name, "valid", before[-1])
