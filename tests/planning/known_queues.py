"""Queues whose capacity is known: cheap ones in numpy, to be searched in place of a fabric.

Every draw is a function of (replication, customer), as in a fabric, so that points share their luck.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from simfabric.planning.search import Search, Setting


class Queue:
    """A queue with Poisson arrivals at rate x (or x servers): `samples` are waits, `headroom` is of their quantile or mean."""

    def __init__(self, study: int, customers: int, bound: float, q: float | None) -> None:
        self.study, self.customers, self.bound, self.q = study, customers, bound, q

    def ask(self, wanted):
        return [self.waits(x, np.random.default_rng([self.study, replication])) for x, replication in wanted]

    def headroom(self, samples):
        waits = np.concatenate(samples)
        metric = float(waits.mean() if self.q is None else np.quantile(waits, self.q))
        return self.bound / max(metric, 1e-12) - 1.0


class ManyServers(Queue):
    """M/M/c: the wait's quantile follows from Erlang C; x is the arrival rate, or with `rate` the servers."""

    def __init__(self, study, customers, bound, q, servers=1, rate=None) -> None:
        super().__init__(study, customers, bound, q)
        self.servers, self.rate = servers, rate

    def waits(self, x, random):
        rate, servers = (x, self.servers) if self.rate is None else (self.rate, int(x))
        early = self.customers // 4
        gaps, works = random.exponential(1.0, (2, early + self.customers))
        arrivals = np.cumsum(gaps) / rate
        return (lindley(arrivals, works) if servers == 1 else by_heap(arrivals, works, servers))[early:]

    def quantile(self, rate, servers):
        """By Erlang C: P(wait > t) = C(c, a) exp(-(c - a) t), of exponential work with mean 1."""
        if rate >= servers:
            return math.inf
        blocked = 1.0
        for c in range(1, servers + 1):
            blocked = rate * blocked / (c + rate * blocked)
        waiting = blocked / (1.0 - rate / servers * (1.0 - blocked))
        return max(0.0, math.log(waiting / (1.0 - self.q)) / (servers - rate))

    def truth(self):
        if self.rate is not None:
            return next(c for c in range(1, 1000) if self.quantile(self.rate, c) <= self.bound)
        least, most = 0.0, float(self.servers)
        for _ in range(60):
            middle = (least + most) / 2
            least, most = (middle, most) if self.quantile(middle, self.servers) <= self.bound else (least, middle)
        return least


class Batches(Queue):
    """A gateway that writes every publication to `fan_out` clients, one after the other: M/D/1 of batches; mean delay by Pollaczek and Khinchine."""

    def __init__(self, study, customers, bound, fan_out, work) -> None:
        super().__init__(study, customers, bound, None)
        self.fan_out, self.work = fan_out, work

    def waits(self, x, random):
        early = self.customers // 4
        arrivals = np.cumsum(random.exponential(1.0, early + self.customers)) / x
        each = self.fan_out * self.work
        return lindley(arrivals, np.full(len(arrivals), each))[early:] + (each + self.work) / 2

    def truth(self):
        """wait = load x each / (2 (1 - load)); the mean delivery is (each + work) / 2 after that."""
        each = self.fan_out * self.work
        wait = self.bound - (each + self.work) / 2
        return 2 * wait / (each + 2 * wait) / each


def lindley(arrivals, works):
    """Waits of a single server, first come, first served: the running maximum form of Lindley's recursion."""
    before = np.concatenate([[0.0], np.cumsum(works)[:-1]])
    slack = arrivals - before
    return np.maximum.accumulate(slack) - slack


def by_heap(arrivals, works, servers):
    """Waits of several servers, first come, first served."""
    free = [0.0] * servers
    waits = []
    for at, work in zip(arrivals.tolist(), works.tolist()):
        start = max(at, free[0])
        heapq.heapreplace(free, start + work)
        waits.append(start - at)
    return np.array(waits)


def covered(queues, first, second, **setting):
    """How many of the searches have the truth in their interval, and the mean of half the intervals' lengths as a share of it."""
    hits, widths = 0, []
    for queue in queues:
        root = Search(Setting(**setting), queue.ask, queue.headroom).root(first, second)
        hits += root.low <= queue.truth() <= root.high
        widths.append((root.high - root.low) / 2 / queue.truth())
    return hits, float(np.mean(widths))
