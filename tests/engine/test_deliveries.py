"""Small laws of deliveries that a run as a whole must keep."""

import numpy as np

from simfabric.kernels.state import LIVE, OVERFLOWN, REPLAYED_COUNT
from tests.helpers import run, topology_of

RAMP = """
run: {duration: 6s, warmup: 0s}
clients: {count: 60, start: 5s}
traffic: [{name: chat, rate: 5/s}]
"""
SHELF = """
run: {duration: 3s, warmup: 0s}
clients: {count: 1, subscriptions: 0, bandwidth: unlimited, delay: 1ms}
channels: {count: 1, given: [{name: hall, members: 100%}]}
traffic: [{name: news, kind: producers, rate: 10k/s, to: hall, arrivals: regular, size: 100B}]
gateways: {cores: 1, work: {delivery: 0s, frame_in: 0s}}
bus: {brokers: 1, partitions: 1, replication: 1, work: 0s, work_per_byte: 0ns, fetch: {min_bytes: 600KB, max_bytes: 100MB, max_wait: 10s}}
fanout: {routers: 1, work: 0s, work_per_target: 0s}
"""
SHARED = """
run: {duration: 1s, warmup: 0s}
clients: {count: 30, subscriptions: 2, bandwidth: unlimited}
channels: {count: 3}
traffic: [{name: chat, rate: 10/s}]
gateways: {count: 1, cores: 4, dispatch: shared, work: {delivery: 1ms}}
"""


def test_the_history_has_every_delivery_also_those_that_were_caught_up():
    outcome = run(topology_of(RAMP))
    assert outcome.counters[REPLAYED_COUNT] > 4096, "void: the history never had to grow while somebody caught up"
    assert len(outcome.trail) == outcome.counters[LIVE] + outcome.counters[REPLAYED_COUNT]


def test_a_downlink_that_takes_no_time_never_overflows():
    assert run(topology_of(SHARED)).counters[OVERFLOWN] == 0


def test_one_answer_to_a_fetch_carries_all_that_is_there():
    arrivals, messages = np.unique(run(topology_of(SHELF)).trail[:, 2], return_counts=True)
    assert messages[1:].tolist() == [6000] * (len(arrivals) - 1)  # The first answer comes when its fetch has waited long enough.
