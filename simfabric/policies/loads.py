"""Loads: balancing by turn, by chance and by open connections.

Round robin and random look at nothing but the dial's number. Two choices and least connections look at what is open now, so every answer
changes the next question: those loops are kernels, plain functions of arrays that go through the dials one by one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from simfabric.chance import below, word
from simfabric.compiling import plain
from simfabric.policies.pools import Dials, Floats, Form, Integers, Pool, settled, unsettled

LEAST_WEIGHT = 1e-9  # A weight of 0 would divide by 0: such a gateway is only ever the last resort.


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Each eligible gateway in turn: the n-th dial that is given a gateway goes to member n modulo their count.

    Source: HAProxy manual, `balance roundrobin`; NGINX, `upstream`, the default method.
    Leaves out: weights; a turn of its own per balancer process: all share one count of dials, those settled by a cookie included, so the
    turn skips behind cookies and jumps when the set changes.
    """

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        members = pool.members()
        if len(members) == 0:
            return np.full(len(dials), -1, np.int64)
        return settled(kept, members[(pool.turn + np.arange(len(dials))) % len(members)])


@dataclass(frozen=True, slots=True)
class Random:
    """An eligible gateway at random, each as likely as the others.

    Source: NGINX, `random`; HAProxy manual, `balance random(1)`.
    Leaves out: weights.
    """

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        members = pool.members()
        if len(members) == 0:
            return np.full(len(dials), -1, np.int64)
        return settled(kept, members[_drawn(pool.key, dials.n, 0, len(members))])


@dataclass(frozen=True, slots=True)
class TwoChoices:
    """Draw two eligible gateways at random and take the less loaded; of equals, the first drawn.

    Load is (open + 1) / weight. The two are drawn with replacement, as Envoy and HAProxy do and as the theory assumes.
    Source: Azar, Broder, Karlin, Upfal, "Balanced allocations" (1999); Mitzenmacher (2001); HAProxy manual, `balance random(2)`.
    Leaves out: several balancers with beliefs of their own; loads that are reported late.
    """

    choices: int = 2

    def __post_init__(self) -> None:
        if self.choices < 1:
            raise ValueError(f"two_choices: choices = {self.choices}, but at least 1 gateway must be drawn")

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        answers = unsettled(dials, pool, kept)
        members = pool.members()
        if len(members) == 0 or len(dials) == 0:
            return answers
        drawn = np.stack([members[_drawn(pool.key, dials.n, choice, len(members))] for choice in range(self.choices)])
        form(less_loaded)(answers, drawn, pool.open.copy(), _positive(pool.weight))
        return answers


@dataclass(frozen=True, slots=True)
class LeastConnections:
    """The eligible gateway with the least load; of equals, the first in a fixed order that a hash has shuffled.

    Load is (open + 1) / weight. A gateway that joins empty is given every dial until it has as many as the rest: its accept rate is then
    n times fair. Slow start is the cure: its weight grows from `least_weight` to 1 during the first `slow_start` ns of its life.
    Source: HAProxy manual, `balance leastconn` and `slowstart`; Envoy, "Slow start mode" (aggression 1, least weight 10 %).
    Leaves out: Envoy's aggression; turns among equals (the fixed order is a turn as long as nobody leaves).
    """

    slow_start: int = 0
    least_weight: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.least_weight <= 1:
            raise ValueError(f"least_connections: least_weight = {self.least_weight}, but it must be above 0 and at most 1")

    def weights(self, age: Integers) -> Floats:
        """The weight of gateways that joined `age` ns ago. Ask at fixed times (not per batch), or answers depend on the batches."""
        if self.slow_start <= 0:
            return np.ones(len(age))
        return np.clip(age / self.slow_start, self.least_weight, 1.0)

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`. A heap: the cost of a dial grows with the logarithm of the number of gateways."""
        answers = unsettled(dials, pool, kept)
        members = pool.members()
        if len(members) == 0 or len(dials) == 0:
            return answers
        weight = _positive(pool.weight)
        load = (pool.open + 1) / weight
        rank = shuffled_rank(len(load), pool.key)
        heap = members[np.lexsort((rank[members], load[members]))]  # Sorted, so already a heap.
        place = np.full(len(load), -1, np.int64)
        place[heap] = np.arange(len(heap))
        form(least_loaded)(answers, heap, place, rank, load, pool.open.copy(), weight)
        return answers


def less_loaded(answers: Integers, drawn: Integers, connections: Integers, weight: Floats) -> None:
    """Of the gateways drawn[:, i], dial i goes to the one with the least (open + 1) / weight; answers already there only count."""
    for i in range(len(answers)):
        best = answers[i]
        if best < 0:
            best = drawn[0, i]
            for choice in range(1, drawn.shape[0]):
                other = drawn[choice, i]
                if (connections[other] + 1) / weight[other] < (connections[best] + 1) / weight[best]:
                    best = other
            answers[i] = best
        connections[best] += 1


def least_loaded(answers: Integers, heap: Integers, place: Integers, rank: Integers, load: Floats, connections: Integers, weight: Floats) -> None:
    """Every dial goes to the gateway on top of the heap, ordered by (load, rank), which then sinks; answers already there only sink.

    A load only ever grows here, so a gateway only ever sinks. `place` is where in the heap a gateway stands.
    """
    size = len(heap)
    for i in range(len(answers)):
        gateway = answers[i]
        if gateway < 0:
            gateway = heap[0]
            answers[i] = gateway
        connections[gateway] += 1
        load[gateway] = (connections[gateway] + 1) / weight[gateway]
        at = place[gateway]
        while 2 * at + 1 < size:
            child = 2 * at + 1
            if child + 1 < size and before(heap[child + 1], heap[child], load, rank):
                child += 1
            if not before(heap[child], gateway, load, rank):
                break
            heap[at] = heap[child]
            place[heap[at]] = at
            at = child
        heap[at] = gateway
        place[gateway] = at


def before(one: int, other: int, load: Floats, rank: Integers) -> bool:
    """Whether gateway `one` stands before `other`: less load, or the same and a lower rank."""
    if load[one] == load[other]:
        return bool(rank[one] < rank[other])
    return bool(load[one] < load[other])


@functools.lru_cache(maxsize=16)
def shuffled_rank(count: int, key: int) -> Integers:
    """The place of each of `count` gateways in an order shuffled by a hash; a gateway that joins moves no other past another."""
    order = np.argsort(word(key, np.arange(count), -1), kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    rank.setflags(write=False)
    return rank


def _drawn(key: int, n: Integers, choice: int, count: int) -> Integers:
    drawn: Integers = below(key, n, choice, count).astype(np.int64)
    return drawn


def _positive(weight: Floats) -> Floats:
    return np.maximum(weight, LEAST_WEIGHT)
