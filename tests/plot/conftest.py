"""One small run with a crash, for all tests of pictures and reports, which only read it."""

import pytest

from simfabric.running import run
from tests.helpers import topology_of

BASE = """
name: '<script>alert("$x^$")</script>'
run: {duration: 12s, warmup: 1s, compiled: never}
clients: {count: 60, subscriptions: 3}
channels: {count: 6}
traffic: [{name: chat, per: all, rate: 60/s}]
gateways: {count: 3}
balancer: {health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}
faults: [{target: {gateway: 1}, at: 3s, down: 2s}]
"""


@pytest.fixture(scope="session")
def result():
    """A run whose name is hostile to HTML and to formulas."""
    return run(topology_of(BASE), trail=True)
