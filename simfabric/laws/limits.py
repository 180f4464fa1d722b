"""What limits promise (C12): nobody gets more than a bucket holds, and what was refused is counted once."""

from __future__ import annotations

from simfabric.laws.verdict import Verdict, equal
from simfabric.recorder import Checkpoint


def buckets(c: Checkpoint) -> Verdict:
    """C12a: no bucket has given more than its burst and what has come since: full again within burst / rate from now."""
    kept, overdrawn = c.buckets
    return equal("C12a no bucket gives more than it holds", c.at, kept, overdrawn, 0, "buckets that are full again later than they could be = 0")


def refusals(c: Checkpoint) -> Verdict:
    """C12b: messages that limits refused, by the counters of the buckets, are those whose fate says so."""
    return equal("C12b refused messages are counted once", c.at, c.limited, c.counted_limited, c.limited, "refused by counters and by rows")


LAWS = (buckets, refusals)
