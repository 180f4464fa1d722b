"""Queues, batches, pauses and outages whose true answers are known: rows Q1-Q4, Q7-Q11, Q18, T3, T6, T7, E3, R1, B3 and B9, through the engine.

Every statistical assert goes through `agrees`: ten independent replications, void unless the half-width of the 95 % interval is at most half
the tolerance. Seeds are fixed.
"""

import math

import numpy as np
import pytest

from simfabric.chance import decision_key, draw, tabulated, word
from simfabric.kernels.clients import BREAKS, OPENINGS
from simfabric.kernels.histogram import bin_edges
from simfabric.kernels.state import DURABLE, LANE, OPEN, PUBLISHED_AT, STAGE_CONNECT, TRANSIENT, VISIBLE_AT
from simfabric.policies.partitioning import channel_partitions
from simfabric.policies.popularity import zipf
from simfabric.world import SECOND
from tests.helpers import run, topology_of
from tests.oracles.queues import BIN, PIPE, UNIT, WARM, agrees, exponential, mean_times, pipe, quiet, replicated, times, units, waits

# Q1-Q3: one server.


def quantiles(outcome):
    spent = times(outcome)
    return spent.mean(), np.quantile(spent, 0.5), np.quantile(spent, 0.99)


@pytest.mark.parametrize(("load", "publications"), [(0.5, 100_000), (0.7, 300_000), (0.8, 400_000)])
def test_q1_exponential_work_is_an_m_m_1(load, publications):
    mean, median, tail = replicated(pipe(load, publications, gateways__work__delivery=exponential(1)), quantiles).T
    agrees(mean - 1, load / (1 - load))
    agrees(median, math.log(2) / (1 - load))
    agrees(tail, math.log(100) / (1 - load))


@pytest.mark.parametrize(("load", "publications"), [(0.5, 20_000), (0.8, 60_000)])
def test_q2_constant_work_is_an_m_d_1(load, publications):
    samples = replicated(pipe(load, publications, gateways__work__delivery=units(1)), lambda outcome: times(outcome).mean() - 1)
    agrees(samples, load / (2 * (1 - load)))


LOGNORMAL = f"lognormal(median {round(math.exp(-0.80472) * UNIT)}ns, p99 {round(math.exp(-0.80472 + 2.326348 * 1.26864) * UNIT)}ns)"  # Mean 1, cs² 4.


@pytest.mark.parametrize(("load", "publications"), [(0.5, 600_000), pytest.param(0.8, 4_000_000, marks=pytest.mark.slow)])
def test_q3_lognormal_work_is_an_m_g_1(load, publications):
    samples = mean_times(pipe(load, publications, gateways__work__delivery=LOGNORMAL)) - 1
    agrees(samples, load * 5 / (2 * (1 - load)))


# Q4: several servers. Every message has a subscriber of its own, as a socket would put the work of several cores back in order.

MANY = 499


def erlang_c(servers, offered):
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


@pytest.mark.parametrize(("cores", "offered", "publications"), [(2, 1.6, 200_000), (4, 3.2, 400_000), (10, 8.0, 500_000)])
def test_q4_cores_that_share_one_queue_are_an_m_m_c(cores, offered, publications):
    given = ", ".join(f"{{name: c{n}, members: 1}}" for n in range(MANY))
    topology = pipe(
        offered * (MANY + 1) / MANY,  # One channel in so many has no subscriber.
        publications,
        clients__count=MANY,
        channels__given=f"[{given}]",
        traffic__news__to="uniform",
        gateways__cores=cores,
        gateways__dispatch="shared",
        gateways__work__delivery=exponential(1),
    )

    def waited(outcome):
        middles, counts = waits(outcome)
        return (middles * counts).sum() / counts.sum(), counts[middles > 2].sum() / counts.sum()

    mean, beyond = replicated(topology, waited, trail=False).T
    delayed, spare = erlang_c(cores, offered), cores - offered
    agrees(mean, delayed / spare, known=BIN)
    if cores == 4:
        agrees(beyond, delayed * math.exp(-2 * spare), known=2 * BIN * spare)  # A bin's width moves the threshold.


# Q7, Q8: a publication is a batch of deliveries.


@pytest.mark.parametrize(("subscribers", "publications"), [(5, 40_000), (20, 40_000), (100, 30_000)])
def test_q8_a_fan_out_waits_like_a_batch(subscribers, publications):
    topology = pipe(0.7 / subscribers, publications, clients__count=subscribers, gateways__work__delivery=exponential(1))
    agrees(mean_times(topology), (subscribers + 1) / 2 / (1 - 0.7))


# Q9: Lindley's recursion, item by item.


def test_q9_the_path_of_a_queue_is_lindleys_to_the_nanosecond():
    topology = pipe(0.5, 100_000, gateways__work__delivery=LOGNORMAL, traffic__news__bursts="{every: 1s, length: 100ms, times: 10}")
    outcome = run(topology, by_numba=True)
    key, law = decision_key(topology.run.seed, 0, "gateways/delivery"), tabulated(topology.gateways.work.delivery)
    expected, free_at, answered = [], 0, -(1 << 40)
    for message, published in enumerate(outcome.facts["messages"][:, PUBLISHED_AT].tolist()):
        visible = published + 1000
        if visible > answered:  # Else the answer under way carries it.
            answered = max(visible, answered + 2000)
        at = answered + 1000 + topology.network.hop + (1000 if message == 0 else 0)  # The first one asks the routing table.
        free_at = max(at, free_at) + draw(law, word(key, message, 0))
        expected.append(free_at + topology.clients.delay_floor)
    found = outcome.trail[np.argsort(outcome.trail[:, 0]), 2]
    assert len(found) > 100_000
    assert max(expected) - outcome.facts["messages"][:, PUBLISHED_AT].max() > quiet(topology), "void: nothing ever waited"
    assert found.tolist() == expected[: len(found)]


# Q10: leader, router and gateway, one after the other.


def tandem_quantile(share, rates):
    """The quantile of a sum of independent exponentials with these distinct rates, by bisection."""
    weights = [math.prod(other / (other - rate) for other in rates if other != rate) for rate in rates]
    low, high = 0.0, 1000.0
    for _ in range(100):
        middle = (low + high) / 2
        beyond = sum(weight * math.exp(-rate * middle) for weight, rate in zip(weights, rates))
        low, high = (middle, high) if beyond > 1 - share else (low, middle)
    return low


def test_q10_three_stages_in_a_row_add_up_to_a_hypoexponential():
    services = (1.25, 1.5, 2.0)
    topology = pipe(
        1.0,
        250_000,
        bus__work=exponential(1 / services[0]),
        fanout__work=exponential(1 / services[1]),
        gateways__work__delivery=exponential(1 / services[2]),
    )
    mean, median, tail = replicated(topology, quantiles).T
    rates = [service - 1 for service in services]
    agrees(mean, 7)
    agrees(median, tandem_quantile(0.5, rates))
    agrees(tail, tandem_quantile(0.99, rates))


# Q11: a publication that two gateways must write.


def test_q11_two_gateways_that_must_both_write_wait_for_the_slower_one():
    load = 0.7
    topology = pipe(
        load, 120_000, clients__count=2, gateways__count=2, balancer__policy="round_robin", gateways__work__delivery=exponential(1), fanout__pattern="broadcast"
    )

    def both(outcome):
        assert sorted(outcome.fabric.columns.crowd.home.tolist()) == [0, 1]
        return times(outcome).reshape(-1, 2).max(axis=1).mean()

    agrees(replicated(topology, both), (12 - load) / 8 / (1 - load))


# T3: a collection of garbage stops the world; pauses that meet queue, and what was interrupted goes on.


@pytest.mark.parametrize(("every", "length", "truth"), [(50, 5, 4.25926), (100, 5, 3.23308), (10, 1, 3.51852)])
def test_t3_pauses_are_a_class_that_interrupts(every, length, truth):
    pauses = f"{{every: '{exponential(every)}', length: '{units(length)}'}}"
    topology = pipe(0.6, 300_000, gateways__work__delivery=exponential(1), gateways__pauses=pauses)
    agrees(mean_times(topology), truth, delta=0.02)


# T6, T7: batches at the producer, and fetches on a grid.


def test_t6_a_batch_that_closes_only_when_it_is_full_makes_its_messages_wait_for_half_of_it():
    full = 100
    topology = pipe(0.01, 30_000, traffic__news__size="100B", bus__batch=f"{100 * full}B", bus__linger="60s")

    def waited(outcome):
        spent = times(outcome)
        closed = outcome.trail[:, 2].reshape(-1, full)
        assert (np.diff(closed, axis=1) == 0).all(), "a batch came in parts"
        return spent[: len(spent) // full * full].mean()

    agrees(replicated(topology, waited), (full - 1) / (2 * 0.01))


def test_t7_fetches_that_only_time_out_are_a_grid_on_which_messages_wait_evenly():
    cycle = 200_000_000 + 2_000  # One wait, and the way of the next fetch.
    topology = pipe(0.2, 50_000, bus__fetch__min_bytes="1GB", bus__fetch__max_bytes="1GB", bus__fetch__max_wait="200ms")

    def spread(outcome):
        phases = np.unique(outcome.trail[outcome.trail[:, 0] > 2000, 2] % cycle)  # The very first answer also waits for the routing table.
        assert len(phases) == 1, "an answer came beside the grid"
        spent = times(outcome) * UNIT
        assert spent.min() >= 0
        assert spent.max() < cycle
        return spent.mean(), np.quantile(spent, 0.1), np.quantile(spent, 0.9)

    mean, low, high = replicated(topology, spread).T
    agrees(mean, cycle / 2)
    agrees(low, cycle / 10)
    agrees(high, cycle * 9 / 10)


# E3: an outage, and the backlog that it leaves.


def test_e3_what_gathered_during_an_outage_is_worked_off_with_the_spare_capacity():
    rate, load, down, stops_at = 800, 0.8, 30, 400  # Per second; seconds.
    topology = topology_of(
        PIPE,
        run__duration="600s",
        traffic__news__rate=f"{rate}/s",
        traffic__news__arrivals="regular",
        gateways__work__delivery="1ms",
        gateways__pauses=f"{{every: {stops_at}s, length: {down}s}}",
    )
    outcome = run(topology, by_numba=True)
    trail = outcome.trail[np.argsort(outcome.trail[:, 0])]
    done = trail[:, 2] - topology.clients.delay_floor
    arrived = outcome.facts["messages"][trail[:, 0], PUBLISHED_AT] + quiet(topology) - topology.clients.delay_floor
    backlog = 1 + np.arange(len(done)) - np.searchsorted(done, arrived, side="right")
    returned = (stops_at + down) * SECOND
    caught_up = arrived[(arrived > returned) & (backlog <= 1)][0] - returned
    assert backlog.max() == pytest.approx(rate * down, rel=0.02)
    assert caught_up == pytest.approx(down * load / (1 - load) * SECOND, rel=0.02)


# R1: everybody comes at once.


def test_r1_a_crowd_that_comes_faster_than_it_is_let_in_waits_as_a_fluid_does():
    crowd, over, rate = 100_000, 5, 10_000
    topology = topology_of(
        "run: {duration: 15s, warmup: 0s}",
        clients__count=crowd,
        clients__start=f"{over}s",
        clients__delay="1ms",
        clients__subscriptions=0,
        apis__token__ttl="0s",
        apis__bootstrap__enabled="false",
        balancer__servers=1,
        balancer__handshake="100us",
        gateways__work__handshake="0s",
        traffic__chat__rate="0/s",
    )
    outcome = run(topology, by_numba=True, trail=False)
    fabric = outcome.fabric
    at = np.sort(fabric.columns.crowd.broke_at) + topology.clients.delay_floor + topology.network.hop
    free_at, waited = 0, []
    for arrival in at.tolist():
        begins = max(arrival, free_at)
        waited.append(begins - arrival)
        free_at = begins + 100_000
    assert fabric.balancer.free_at.tolist() == [free_at]  # The engine's server did what Lindley says, to the nanosecond …
    assert np.mean(waited) == pytest.approx((crowd / rate - over) / 2 * SECOND, rel=0.01)  # … which is what a fluid does.
    assert np.max(waited) == pytest.approx((crowd / rate - over) * SECOND, rel=0.01)
    assert free_at == pytest.approx(crowd / rate * SECOND, rel=0.01)
    counts, edges = fabric.clients.tally.stages[STAGE_CONNECT], bin_edges()
    connected = (counts * (edges[:-1] + edges[1:])).sum() / 2 / counts.sum()
    assert counts.sum() == crowd
    assert connected == pytest.approx(np.mean(waited) + 100_000 + 2 * (topology.clients.delay_floor + topology.network.hop), rel=BIN)


# B3: a rolling restart.


def test_b3_a_rolling_restart_moves_everyone_by_e_minus_one_times():
    gateways, crowd = 10, 100_000
    topology = topology_of(
        "run: {duration: 32s, warmup: 0s}",
        clients__count=crowd,
        clients__subscriptions=0,
        clients__reconnect="{first: 500ms, cap: 500ms}",
        apis__token__ttl="0s",
        traffic__chat__rate="0/s",
        gateways__count=gateways,
        gateways__work__handshake="0s",
        balancer__policy="random",
        balancer__handshake="0s",
        balancer__health="{interval: 50ms, timeout: 50ms, fall: 1, rise: 1}",
        faults="[" + ", ".join(f"{{at: {1 + 3 * g}s, down: 2s, target: {{gateway: {g}}}}}" for g in range(gateways)) + "]",
    )
    outcome = run(topology, by_numba=True, trail=False)
    moves = outcome.fabric.clients.tally.counters[BREAKS] / crowd
    ratio = gateways / (gateways - 1)
    assert outcome.fabric.clients.tally.counters[OPENINGS] == outcome.fabric.clients.tally.counters[BREAKS]
    assert moves == pytest.approx((ratio**gateways - 1) / ratio, rel=0.01)
    loads = outcome.facts["gateways state"][:, OPEN] * gateways / crowd
    assert loads[0] == pytest.approx(ratio**gateways - ratio, rel=0.02)
    assert loads[-1] == 0


# B9: the hottest partition is the whole bus.


@pytest.mark.parametrize(("over", "grows"), [(0.98, False), (1.02, True)])
def test_b9_the_bus_takes_what_its_hottest_partition_takes(over, grows):
    partitions, channels, seconds = 32, 100_000, 60
    share = np.bincount(channel_partitions(np.arange(channels), partitions), zipf(channels, 1.0), partitions).max()
    rate = over * 1000 / share  # Each partition takes 1000 records a second.
    topology = topology_of(
        PIPE.replace(", given: [{name: hall, members: 100%}]", "").replace("to: hall", "to: popularity"),
        run__duration=f"{seconds}s",
        channels__count=channels,
        traffic__news__rate=f"{rate}/s",
        bus__work="1ms",
        bus__brokers=partitions,
        bus__partitions=partitions,
    )
    outcome = run(topology, by_numba=True, trail=False)
    backlog = np.count_nonzero(outcome.facts["messages"][:, VISIBLE_AT] > seconds * SECOND)
    grown = (over - 1) * 1000 * seconds
    assert 8_000 < rate < 9_500
    assert backlog > grown / 2 if grows else backlog < 500


# The tests are tested.


def test_work_that_is_two_tolerances_too_long_for_the_answer_is_caught():
    samples = replicated(pipe(0.8, 400_000, gateways__work__delivery=exponential(1.02)), lambda outcome: times(outcome).mean() - 1)
    with pytest.raises(AssertionError, match=r"is not within 5\.00% of 4"):
        agrees(samples, 4)


def test_an_estimate_from_too_little_is_void():
    samples = replicated(pipe(0.8, 40_000, gateways__work__delivery=exponential(1)), lambda outcome: times(outcome).mean() - 1)
    with pytest.raises(AssertionError, match="void"):
        agrees(samples, 4)


# Q18: two lanes. What is durable goes first, what is transient waits for it.


@pytest.mark.parametrize("stage", ["gateways.work.delivery", "fanout.work"])
@pytest.mark.parametrize(("first", "second", "urgent", "patient"), [(0.2, 0.4, 0.75, 1.875)])
def test_q18_strict_lanes_are_cobhams_priorities(stage, first, second, urgent, patient):
    per_second = 1e9 / UNIT
    traffic = ", ".join(
        f"{{name: {name}, kind: producers, to: hall, rate: {rate * per_second}/s, size: 1B, lane: {name}}}"
        for name, rate in (("durable", first), ("transient", second))
    )
    topology = pipe(first + second, 150_000, **{stage: exponential(1), "lanes.policy": "strict"})
    topology = topology_of(PIPE, **{stage: exponential(1), "lanes.policy": "strict", "traffic": f"[{traffic}]", "run.duration": f"{topology.run.duration}ns"})

    def by_lane(outcome):
        rows = outcome.facts["messages"][outcome.trail[:, 0]]
        late = rows[:, PUBLISHED_AT] >= WARM * topology.run.duration
        spent = (outcome.trail[:, 2] - rows[:, PUBLISHED_AT] - quiet(topology)) / UNIT - 1
        return [spent[late & (rows[:, LANE] == lane)].mean() for lane in (DURABLE, TRANSIENT)]

    of_first, of_second = replicated(topology, by_lane).T
    agrees(of_first, urgent)
    agrees(of_second, patient)
