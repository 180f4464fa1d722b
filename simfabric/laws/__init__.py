"""Laws: what every run must satisfy. Each is a small function of a checkpoint's facts; it never looks at live state.

A law answers valid, invalid or unknown; what was not exercised is never valid.
"""

from __future__ import annotations

from collections.abc import Sequence

from simfabric.laws import connections, conservation, limits, presence, queues, recovering
from simfabric.laws.records import judge_history
from simfabric.laws.verdict import Verdict, combined
from simfabric.recorder import Checkpoint
from simfabric.topology import Topology

ALWAYS = (*conservation.LAWS, *connections.LAWS, *queues.LAWS)


def judge(checkpoints: Sequence[Checkpoint]) -> tuple[Verdict, ...]:
    """The verdict of every law that is always on (and of those of buckets and presence where they are), over all checkpoints: the first failure decides."""
    buckets = limits.LAWS if any(checkpoint.buckets[0] for checkpoint in checkpoints) else ()
    watched = presence.LAWS if any(checkpoint.presence for checkpoint in checkpoints) else ()
    laws = (*ALWAYS, *buckets, *watched)
    return tuple(combined([law(checkpoint) for checkpoint in checkpoints]) for law in laws)


def judge_expected(checkpoints: Sequence[Checkpoint], topology: Topology) -> tuple[Verdict, ...]:
    """The verdict on what a topology says will become of it; none where it says nothing but that it recovers."""
    if topology.expect == "recovery":
        return ()
    return (recovering.metastable(checkpoints, min((fault.at for fault in topology.faults if fault.at is not None), default=None)),)


__all__ = ["ALWAYS", "Verdict", "judge", "judge_expected", "judge_history"]
