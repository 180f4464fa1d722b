"""Queues whose answer is known, asked of the whole engine: Q1-Q4, Q7, Q8, Q10 and T3, T6, T7.

Back-end producers write to a bus that takes no time; what remains is the queue in question. Every hop is 1 us, and windows are long: the
flow has no loop here, so that a long window changes nothing. Each estimate is the mean of independent replications. An assert is void,
not passed, if its interval is wider than half its tolerance; at that width a right engine fails once in 10^4, a bias of 1.5 tolerances is
caught in 97.5 % of cases.
"""

import math
import statistics

import pytest

from simfabric.running import run
from simfabric.topology import loads

BARE = """
version: 1
run: {duration: 300s, warmup: 10s, window: 1s, compiled: always, checkpoints: 1, messages: 0}
network: {hop: 1us}
clients: {count: 1, subscriptions: 0, delay: 1us, delay_floor: 1us, bandwidth: unlimited}
channels: {count: 1, given: [{name: hall, members: 100%}]}
traffic: [{name: queue, kind: producers, rate: 800/s, to: hall, size: 1B}]
gateways: {cores: 1, work: {frame_in: 0s, delivery: exponential(1ms)}}
storage: {enabled: false}
bus: {brokers: 1, partitions: 1, replication: 1, threads: 1, work: 0s, work_per_byte: 0ns}
fanout: {pattern: broadcast, routers: 1, work: 0s, work_per_target: 0s}
routing: {cache: 1h}
"""
PATH = 3e-6  # The hops of the path [s]; a fetch adds up to 2 us more.
STUDENT = {10: 2.262, 12: 2.201, 16: 2.131, 20: 2.093}  # 97.5 % quantiles of t, by replications.


def replications(count, changes, sample):
    """`sample` of each of `count` independent runs of the bare topology with changes."""
    topology = loads(BARE).with_(changes)
    return [sample(run(topology.with_({"run.replication": n}))) for n in range(count)]


def check(samples, truth, delta=0.05):
    """The mean of the samples is the truth within delta, and the 95 % interval is narrow enough to say so."""
    half_width = STUDENT[len(samples)] * statistics.stdev(samples) / math.sqrt(len(samples))
    estimate = statistics.fmean(samples)
    assert half_width <= delta / 2 * truth, f"void: {estimate:.5g} +- {half_width:.2g} cannot tell {delta:.0%} of {truth:.5g}"
    assert abs(estimate / truth - 1) <= delta, f"{estimate:.5g} +- {half_width:.2g}, truth {truth:.5g}"


def mean_ms(result):
    """Mean time in the system after the warm-up [ms]."""
    return 1e3 * (result.figures()["delay"]["mean_s"] - PATH)


def quantile_ms(q):
    """A sampler of a quantile of the time in the system [ms]."""
    return lambda result: 1e3 * (result.delay(q) - PATH)


@pytest.mark.parametrize(("rho", "seconds", "mean"), [(0.5, 100, 2.0), (0.7, 200, 1 / 0.3), (0.8, 400, 5.0)])
def test_q1_poisson_arrivals_and_exponential_work_are_m_m_1(rho, seconds, mean):
    changes = {"traffic.queue.rate": f"{rho * 1000:g}/s", "run.duration": f"{seconds}s"}
    figures = replications(10, changes, lambda r: (mean_ms(r), quantile_ms(0.5)(r), quantile_ms(0.99)(r)))
    check([f[0] for f in figures], mean)
    check([f[1] for f in figures], math.log(2) / (1 - rho))
    check([f[2] for f in figures], math.log(100) / (1 - rho), delta=0.08)


@pytest.mark.parametrize(("rho", "wait"), [(0.5, 0.5), (0.8, 2.0)])
def test_q2_constant_work_is_m_d_1(rho, wait):
    changes = {"traffic.queue.rate": f"{rho * 1000:g}/s", "gateways.work.delivery": "1ms"}
    check(replications(10, changes, lambda r: mean_ms(r) - 1), wait)


def test_q3_lognormal_work_is_m_g_1():
    changes = {"traffic.queue.rate": "500/s", "gateways.work.delivery": "lognormal(447.214us, 8556.02us)", "run.duration": "800s"}
    check(replications(10, changes, mean_ms), 1 + 2.5)


@pytest.mark.parametrize(("cores", "rate", "wait"), [(2, 1600, 1.77778), (4, 3200, 0.74554)])
def test_q4_several_cores_with_one_queue_are_m_m_c(cores, rate, wait):
    """211 channels of one member each, so that no socket keeps order between the cores; the one channel without members gets the 212th part."""
    given = [{"name": f"c{i}", "members": "1"} for i in range(211)]
    changes = {
        "gateways.cores": str(cores), "gateways.dispatch": "shared", "traffic.queue.rate": f"{rate * 212 / 211:.6f}/s", "channels.given": given,
        "clients.count": "211", "traffic.queue.to": "uniform",
    }  # fmt: skip
    check(replications(10, changes, lambda r: mean_ms(r) - 1), wait)


@pytest.mark.parametrize(("size", "seconds"), [(5, 300), (20, 600)])
def test_q7_and_q8_a_fan_out_of_k_is_a_batch_queue_k_plus_1_halves_times_m_m_1(size, seconds):
    changes = {"clients.count": str(size), "traffic.queue.rate": f"{700 / size:g}/s", "run.duration": f"{seconds}s"}
    check(replications(16, changes, mean_ms), (size + 1) / 2 / 0.3)


def test_q10_three_stages_in_a_row_are_hypoexponential():
    changes = {
        "traffic.queue.rate": "1k/s", "fanout.pattern": "targeted", "bus.work": "exponential(666.667us)", "fanout.work": "exponential(500us)",
        "gateways.work.delivery": "exponential(250us)", "run.duration": "300s",
    }  # fmt: skip
    figures = replications(16, changes, lambda r: (mean_ms(r), quantile_ms(0.5)(r), quantile_ms(0.99)(r)))
    check([f[0] for f in figures], 3.33333)
    check([f[1] for f in figures], 2.8031)
    check([f[2] for f in figures], 10.9560, delta=0.08)


@pytest.mark.parametrize(("every", "length", "mean"), [("50ms", "5ms", 4.25926), ("10ms", "1ms", 3.51852)])
def test_t3_pauses_that_queue_and_resume(every, length, mean):
    changes = {"traffic.queue.rate": "600/s", "gateways.pauses.every": f"exponential({every})", "gateways.pauses.length": length}
    check(replications(16, changes, mean_ms), mean)


def test_t6_a_batch_that_closes_only_when_full():
    changes = {"traffic.queue.rate": "10k/s", "gateways.work.delivery": "0s", "bus.linger": "1min", "bus.batch": "100B", "run.duration": "60s"}
    check(replications(10, changes, mean_ms), 4.95)


def test_t7_a_fixed_grid_makes_waits_uniform():
    changes = {
        "traffic.queue.rate": "1k/s", "gateways.work.delivery": "0s", "bus.fetch.min_bytes": "1GB", "bus.fetch.max_bytes": "1GB",
        "bus.fetch.max_wait": "200ms", "run.duration": "60s",
    }  # fmt: skip
    results = replications(10, changes, lambda r: (mean_ms(r), quantile_ms(0.5)(r), 1e3 * r.delay(0.99)))
    check([r[0] for r in results], 100.0)
    check([r[1] for r in results], 100.0)
    check([r[2] for r in results], 198.0)


def test_a_bias_of_two_tolerances_would_be_caught():
    """The test is tested: work that is 2 % too long at rho = 0.8 makes the mean 10 % too long."""
    changes = {"traffic.queue.rate": "800/s", "run.duration": "400s", "gateways.work.delivery": "exponential(1020us)"}
    samples = replications(10, changes, mean_ms)
    with pytest.raises(AssertionError, match=r"truth 5"):
        check(samples, 5.0)
