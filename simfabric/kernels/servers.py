"""Servers: first come, first served, one number per server (Lindley 1952: start = max(at, free), free = start + work)."""

from __future__ import annotations

from typing import Any

from simfabric.chance import draw, word


def free_first(free_at: Any, first: int, count: int) -> int:
    """The server among `count` from `first` on that is free first; ties go to the lowest."""
    best = first
    for s in range(first + 1, first + count):
        if free_at[s] < free_at[best]:
            best = s
    return best


def handshakes(
    frames: Any, count: int, free_at: Any, busy: Any, law: Any, key: int, patience: int, client: Any, done: Any, refused: Any, counters: Any
) -> None:  # fmt: skip
    """One queue, all servers. What would wait longer than `patience` [ns] is refused when that time is over, and takes no work (HAProxy, `timeout queue`).

    A request is named by its client and the time of its arrival, and by its channel where it has one: that is the address of its chance.

    done[f]: when frame f is served or refused. counters: [0] taken from the inbox, [1] sum of arrivals, [2] work [ns], [3] refused.
    """
    for f in range(count):
        at = frames[f, 0]
        server = free_first(free_at, 0, len(free_at))
        counters[0] += 1
        counters[1] = (counters[1] + at) & 4611686018427387903
        refused[f] = 1 if free_at[server] - at > patience else 0
        if refused[f] == 1:
            done[f] = at + patience
            counters[3] += 1
            continue
        work = draw(law, word(key, client[frames[f, 3] & 4294967295], at + frames[f, 4] // 4294967296))
        done[f] = max(at, free_at[server]) + work
        free_at[server] = done[f]
        busy[server] += work
        counters[2] += work
