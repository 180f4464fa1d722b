"""Laws of every queue: conservation (C2), the finite-time Little identity (C5), busy time (C6). Integers, exact."""

from __future__ import annotations

from simfabric.laws.verdict import Verdict, combined, equal
from simfabric.recorder import Checkpoint

WRAP = (1 << 62) - 1  # Sums of times are kept modulo 2^62; identities hold in it as well.


def conservation(c: Checkpoint) -> Verdict:
    """C2: arrivals = departures + waiting, for every inbox."""
    name = "C2 arrivals = departures + waiting"
    return combined([equal(name, c.at, q.put, q.put, q.served + q.waiting, q.name) for q in c.queues])


def little(c: Checkpoint) -> Verdict:
    """C5: the integral of the number waiting is the sum of the waits. With N(t) = arrivals - departures it says: the times of arrival
    that went in are those that came out and those that wait; any frame that changed its time, or its place with another, breaks it."""
    name = "C5 finite-time Little identity"
    return combined([equal(name, c.at, q.put, q.put_at & WRAP, (q.served_at + q.waiting_at) & WRAP, q.name) for q in c.queues])


def busy(c: Checkpoint) -> Verdict:
    """C6: busy time = sum of the work given, and no server worked longer than there was time."""
    name = "C6 busy time is the work given"
    verdicts = [equal(name, c.at, int(b.work > 0), int(b.rows.sum()), b.work, b.name) for b in c.busy]
    for b in c.busy:
        over = (b.rows - b.ahead) > b.servers * c.at
        if over.any():
            row = int(over.argmax())
            verdicts.append(Verdict(name, "invalid", 1, f"{b.name} {row}: {int(b.rows[row] - b.ahead[row])} ns > {b.servers} x {c.at} ns", c.at))
    return combined(verdicts)


LAWS = (conservation, little, busy)
