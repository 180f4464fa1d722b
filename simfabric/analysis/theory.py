"""Queueing formulas: what a queue would do by itself. Times in seconds, rates per second."""

from __future__ import annotations

import math


def erlang_c(servers: int, load: float) -> float:
    """The probability that an arrival waits in M/M/c with `load` = rate x mean work; 1 from saturation on (Erlang 1917, by the recursion of Erlang B)."""
    if load >= servers:
        return 1.0
    blocked = 1.0
    for c in range(1, servers + 1):
        blocked = load * blocked / (c + load * blocked)
    return blocked / (1.0 - load / servers * (1.0 - blocked))


def mean_wait(servers: int, rate: float, work: float, variation: float) -> float:
    """The mean wait in M/G/c; `variation`: squared coefficient of variation of the work. Infinite from saturation on.

    With one server it is exact (Pollaczek 1930, Khinchine 1932); with more, that of M/M/c times (1 + variation) / 2 (Lee & Longton 1959), which is
    exact for exponential work and within some per cent else.
    """
    load = rate * work
    if load >= servers:
        return math.inf
    return erlang_c(servers, load) * work / (servers - load) * (1.0 + variation) / 2.0


def settling(servers: int, rate: float, work: float, variation: float) -> float:
    """About how long such a queue takes to forget how it began (heavy traffic: variance of the input over the square of the drift)."""
    idle = 1.0 - rate * work / servers
    return math.inf if idle <= 0.0 else work / servers * (1.0 + variation) / idle**2
