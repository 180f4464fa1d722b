"""Queues out of topologies: one stage does all the work, everything else costs fixed delays, and the time in that stage is read off the history.

    back end ──▶ bus ──▶ router ──▶ gateway ──▶ client

The way has one bus hop before the leader, one after it, one hop to the gateway and the client's delay. A consumer fetches again two bus
hops (2 µs) after an answer, so a record that comes within 2 µs of another waits for so long: at a unit of work of 100 µs that is 2·10^-4 units
on average and less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simfabric.fabric import Fabric
from simfabric.kernels.histogram import BINS, bin_edges
from simfabric.kernels.state import DELAY_SUM, LIVE, PUBLISHED_AT, STAGE_OUT
from simfabric.topology import Topology
from tests.helpers import Outcome, drive, run, topology_of

Array = np.ndarray[Any, Any]

UNIT = 100_000  # Mean work of one item [ns]; the rates below are per unit.
REPLICATIONS = 10
STUDENT = 2.262157  # The 97.5 % quantile of Student's law with 9 degrees of freedom.
WARM = 0.1  # Share of every run, in publications, that is cut as its warm-up: thousands of units, tens of relaxation times at the loads used here.
BIN = 1 / 128  # Relative width of a histogram's bin.

PIPE = """
run: {duration: 10s, warmup: 0s}
network: {hop: 1s, bus_hop: 1us}
clients: {count: 1, subscriptions: 0, bandwidth: unlimited, delay: 1s, delay_floor: 1s}
channels: {count: 1, given: [{name: hall, members: 100%}]}
traffic: [{name: news, kind: producers, to: hall, rate: 1/s, size: 1B}]
gateways: {cores: 1, work: {frame_in: 0s, delivery: 0s}}
bus: {brokers: 1, threads: 1, partitions: 1, replication: 1, work: 0s, work_per_byte: 0ns}
fanout: {routers: 1, work: 0s, work_per_target: 0s}
routing: {cache: 1h, store_delay: 1us}
"""


def units(count: float) -> str:
    """A duration of so many units."""
    return f"{round(count * UNIT)}ns"


def exponential(mean: float) -> str:
    """The law of a work whose mean is so many units."""
    return f"exponential({units(mean)})"


def pipe(rate: float, publications: int, **changes: object) -> Topology:
    """The pipe with so many publications in all, at this rate per unit."""
    duration = round(publications * UNIT / rate)
    per_second = rate * 1e9 / UNIT
    return topology_of(PIPE, run__duration=f"{duration}ns", run__warmup=f"{round(WARM * duration)}ns", traffic__news__rate=f"{per_second}/s", **changes)


def replicated(topology: Topology, estimate: Callable[[Outcome], Any], trail: bool = True) -> Array:
    """One row of estimates for every independent replication."""
    rows = [estimate(run(topology.with_({"run.replication": n}), by_numba=True, trail=trail)) for n in range(REPLICATIONS)]
    return np.array(rows, np.float64)


def mean_times(topology: Topology) -> Array:
    """For every replication, the mean time in the stage that works of all deliveries after the warm-up, from the engine's own sums [units]."""
    means = []
    for n in range(REPLICATIONS):
        fabric = Fabric(topology.with_({"run.replication": n}), True)
        drive(fabric, topology.run.warmup)
        cold = fabric.gateways.workers[0].tally.counters.copy()
        drive(fabric)
        counters = fabric.gateways.workers[0].tally.counters - cold
        means.append((counters[DELAY_SUM] / counters[LIVE] - quiet(topology)) / UNIT)
    return np.array(means)


def quiet(topology: Topology) -> int:
    """What the way takes when nothing works and nothing waits [ns]."""
    network = topology.network
    last = 0 if topology.fanout.pattern == "broadcast" else network.hop
    return 2 * (network.bus_hop or network.hop) + last + topology.clients.delay_floor


def times(outcome: Outcome) -> Array:
    """The time in the stage that works of every delivery after the warm-up, in the order of publication [units]."""
    topology = outcome.fabric.topology
    published = outcome.facts["messages"][outcome.trail[:, 0], PUBLISHED_AT]
    order = np.lexsort((outcome.trail[:, 1], published))
    spent = (outcome.trail[:, 2] - published - quiet(topology))[order] / UNIT
    late: Array = spent[published[order] >= topology.run.warmup]
    return late


def waits(outcome: Outcome) -> tuple[Array, Array]:
    """The histogram of waits for a core after the warm-up: middle of each bin [units] and count."""
    edges = bin_edges()
    counts = outcome.facts["stages"][STAGE_OUT]
    assert len(counts) == BINS
    middles: Array = np.where(np.arange(BINS) < 128, edges[:-1], (edges[:-1] + edges[1:]) / 2) / UNIT
    return middles, counts


def agrees(samples: Sequence[float] | Array, truth: float, delta: float = 0.05, known: float = 0.0) -> None:
    """The mean of independent samples is the truth to within delta; void unless its 95 % interval is at most half as wide.

    `known` is a relative error of the instrument, which delta must hold too.
    """
    samples = np.asarray(samples, np.float64)
    assert len(samples) == REPLICATIONS
    estimate, half = float(samples.mean()), STUDENT * float(samples.std(ddof=1)) / math.sqrt(len(samples))
    print(f"{estimate:.5g} ± {half:.2g}, truth {truth:.5g}: off by {estimate / truth - 1:+.2%} ± {half / truth:.2%}, allowed {delta:.1%}")
    assert half <= delta / 2 * truth, f"void: half-width {half / truth:.2%} of the truth, delta {delta:.2%}"
    assert abs(estimate / truth - 1) <= delta - known, f"{estimate} ± {half} is not within {delta:.2%} of {truth}"
