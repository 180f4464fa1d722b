"""A window changes nothing: results are the same to the last bit for every window up to the lookahead, and close for longer ones."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from simfabric.fabric import Fabric
from simfabric.kernels.inbox import PastError
from tests.engine.small_topologies import small_topologies
from tests.helpers import differences, outcome, run, topology_of


def with_window(topology, part):
    """The topology with that part of its lookahead as its window."""
    lookahead = Fabric(topology, False).conductor.lookahead
    return topology.with_({"run.window": f"{max(1000, lookahead // part)}ns"})


def check_invariance(topology):
    """The run with the longest exact window, with half of it and with a seventh of it leave the same behind."""
    whole = run(topology)
    for part in (2, 7):
        assert differences(whole, run(with_window(topology, part))) == [], f"window: lookahead / {part}"
    return whole


FIXED = {
    "clients that dial at the very start and come back at once": (
        "run: {duration: 1s, warmup: 0s}\nclients: {reconnect: {first: 10ms, jitter: 100%}}\nbalancer: {health: {interval: 10ms, timeout: 10ms}}\n"
        "faults: [{at: 200ms, down: 500ms, target: {gateway: 0}}]"
    ),
    "gateways that get their first subscriber of a channel at about the same time": (
        "run: {duration: 1s, warmup: 0s}\nclients: {count: 200, subscriptions: 9, start: 20ms, delay: 'uniform(2ms, 3ms)'}\nchannels: {count: 9}\n"
        "traffic: [{name: chat, rate: 1/s}]\ngateways: {count: 6}\nbalancer: {policy: random, handshake: 10us}\nfanout: {work_per_target: 100us}"
    ),
}


@pytest.mark.parametrize("case", FIXED)
def test_the_window_changes_nothing_for(case):
    check_invariance(topology_of(FIXED[case]))


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_topologies())
def test_the_window_changes_nothing_on_any_small_topology(topology):
    check_invariance(topology)
