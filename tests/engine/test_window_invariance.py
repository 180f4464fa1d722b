"""A window changes nothing: results are the same to the last bit for every window up to the lookahead, and close for longer ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from simfabric.fabric import Fabric
from simfabric.kernels.inbox import PastError
from simfabric.kernels.state import RECEIVED_AT, REPLAYED_COUNT, VISIBLE_AT
from simfabric.topology import load
from tests.engine.small_topologies import small_topologies
from tests.helpers import check_invariance, drive, run, topology_of

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
KILLED = "faults=[{at: 2s, down: 1s, target: {gateway: 1}}]"
QUICK = ("run.duration=4s", "run.warmup=1s")


def test_the_window_changes_nothing_on_stage_a():
    assert len(check_invariance(load(TOPOLOGIES / "stage_a.yaml", sets=["run.duration=20s"])).trail) > 10_000


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
def test_the_window_changes_nothing_on_stage_b_with_a_killed_gateway(pattern):
    sets = [*QUICK, KILLED, "clients.count=1500", "traffic.chat.rate=10/min", f"fanout.pattern={pattern}", "balancer.health.interval=300ms"]
    sets += ["balancer.health.timeout=200ms", "clients.reconnect.first=200ms", "routing.heartbeat=300ms", "routing.ttl=1s"]
    outcome = check_invariance(load(TOPOLOGIES / "stage_b.yaml", sets=sets))
    assert outcome.counters[REPLAYED_COUNT] > 0, "void: nobody caught up"


FIXED = {
    "clients that come back at once": (
        "run: {duration: 1s, warmup: 0s}\nclients: {reconnect: {first: 10ms, jitter: 100%}}\nbalancer: {health: {interval: 10ms, timeout: 10ms}}\n"
        "traffic: [{name: chat, rate: 1/s}]\nfaults: [{at: 200ms, down: 500ms, target: {gateway: 0}}]"
    ),
    "clients that catch up with more than the history has room for": (
        "run: {duration: 6s, warmup: 0s}\nclients: {count: 60, start: 5s}\ntraffic: [{name: chat, rate: 5/s}]"
    ),
}


@pytest.mark.parametrize("case", FIXED)
def test_the_window_changes_nothing_for(case):
    assert len(check_invariance(topology_of(FIXED[case])).trail) > 500


LATE = (
    "run: {duration: 1s, warmup: 0s}\nclients: {count: 200, subscriptions: 9, start: 20ms, delay: 'uniform(2ms, 3ms)'}\nchannels: {count: 9}\n"
    "traffic: [{name: chat, rate: 1/s}]\ngateways: {count: 6}\nbalancer: {policy: random, handshake: 10us}\nfanout: {work_per_target: 100us}"
)


def test_the_window_changes_nothing_when_gateways_get_a_first_subscriber_of_a_channel_at_about_the_same_time():
    assert len(check_invariance(topology_of(LATE)).trail) > 500


@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_topologies())
def test_the_window_changes_nothing_on_any_small_topology(topology):
    check_invariance(topology)


LONGER = {
    "stage_a": ["run.duration=20s"],
    "stage_b": [*QUICK, "clients.count=1500", "traffic.chat.rate=10/min"],
}


@pytest.mark.parametrize("window", ["5ms", "20ms"])
@pytest.mark.parametrize("stage", LONGER)
def test_a_longer_window_is_wrong_by_less_than_itself_in_every_delivery(stage, window):
    topology = load(TOPOLOGIES / f"{stage}.yaml", sets=LONGER[stage])
    exact, long = run(topology), run(topology.with_({"run.window": window}))
    assert not long.fabric.conductor.exact
    exact_at = {(message, client): at for message, client, at in exact.trail.tolist()}
    long_at = {(message, client): at for message, client, at in long.trail.tolist()}
    assert exact_at.keys() == long_at.keys()
    errors = np.array([long_at[delivery] - at for delivery, at in exact_at.items()])
    print(f"{stage}, window {window}: {len(errors)} deliveries, mean error {np.abs(errors).mean() / 1e6:.3f} ms, most {np.abs(errors).max() / 1e6:.3f} ms")
    assert 0 < np.abs(errors).max() < long.fabric.conductor.window


BUSY = """
run: {duration: 1s, warmup: 0s}
clients: {count: 200}
channels: {count: 40}
traffic: [{name: chat, rate: 2/s}]
gateways: {count: 3, work: {delivery: 20us, frame_in: 100us}}
balancer: {policy: consistent_hash}
"""


@pytest.mark.parametrize("pattern", ["targeted", "broadcast"])
@pytest.mark.parametrize("window", ["5ms", "20ms"])
def test_a_longer_window_is_wrong_by_less_than_itself_in_every_frame_of_a_gateway(pattern, window):
    """On the way up and on the way down; between them, two messages may change places in a queue, and are then off by each other's work as well."""
    topology = topology_of(BUSY, fanout__pattern=pattern)
    exact, long = run(topology), run(topology.with_({"run.window": window}))
    width, answer = long.fabric.conductor.window, 2 * topology.network.hop  # What is visible a little later may just miss an answer to a fetch.
    before, after = exact.facts["messages"], long.facts["messages"]
    assert np.abs(after[:, RECEIVED_AT] - before[:, RECEIVED_AT]).max() < width
    down = {(message, client): at - before[message, VISIBLE_AT] for message, client, at in exact.trail.tolist()}
    errors = [at - after[message, VISIBLE_AT] - down[message, client] for message, client, at in long.trail.tolist()]
    assert len(errors) == len(down) > 10_000
    assert 0 < np.abs(errors).max() < width + answer


def test_a_window_longer_than_the_lookahead_without_tolerance_is_refused_by_the_past():
    fabric = Fabric(topology_of("run: {duration: 2s, warmup: 0s, window: 20ms}"), False)
    fabric.world.tolerance = 0
    with pytest.raises(PastError, match="no frame arrives in its receiver's past"):
        drive(fabric)
