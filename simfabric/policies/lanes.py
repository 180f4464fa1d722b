"""Lanes: which of the messages that wait goes next, when a server is free.

`fifo` is one lane. `strict` serves the first lane that has something (non-preemptive priority: Cobham 1954). `weighted` is smooth weighted
round robin among the lanes that have something, as nginx balances its upstreams: each such lane gains its weight, the richest goes and pays
what all of them gained. Leaves out: preemption, and deadlines of single messages.
"""

from __future__ import annotations

from typing import Any

POLICIES = ("fifo", "strict", "weighted")
FIFO, STRICT, WEIGHTED = range(3)
LANES = 3


def next_lane(policy: int, credit: Any, row: int, weights: Any, first: bool, second: bool, third: bool) -> int:
    """The lane that goes, of those that have something (at least one has). `credit`: int64[rows, 3], the memory of `weighted`; its `row` changes."""
    if policy == STRICT:
        return 0 if first else 1 if second else 2
    gained = 0
    richest = -1
    for lane in range(LANES):
        if (lane == 0 and first) or (lane == 1 and second) or (lane == 2 and third):
            credit[row, lane] += weights[lane]
            gained += weights[lane]
            if richest < 0 or credit[row, lane] > credit[row, richest]:
                richest = lane
    credit[row, richest] -= gained
    return richest
