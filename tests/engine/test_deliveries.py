"""Small laws of deliveries that a run as a whole must keep."""

from simfabric.kernels.state import LIVE, OVERFLOWN, REPLAYED_COUNT
from tests.helpers import run, topology_of

RAMP = """
run: {duration: 6s, warmup: 0s}
clients: {count: 60, start: 5s}
traffic: [{name: chat, rate: 5/s}]
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
