"""Lanes: what is urgent goes first where messages wait, the rest goes on in order, and one lane is no lane."""

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.lanes import Lanes, chosen, take_back
from simfabric.kernels.state import LANE, PUBLISHED_AT, ROUTED_AT, SHED, VISIBLE_AT
from simfabric.policies.lanes import STRICT, WEIGHTED, next_lane
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, differences, drive, topology_of
from tests.helpers import run as outcome_of

BASE = """
run: {duration: 12s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: 10ms}
channels: {count: 8}
gateways: {count: 2, cores: 2, work: {delivery: exponential(1200us)}}
fanout: {routers: 1, work: exponential(12ms), work_per_target: 0s}
routing: {cache: 1h}
traffic:
  - {name: news, kind: producers, rate: 8/s, lane: control}
  - {name: chat, rate: 30/min}
  - {name: typing, rate: 30/min, lane: transient, size: 64B}
"""


def waits(policy, **changes):
    """Mean time [ms] from the bus to a router's answer, by lane."""
    fabric = Fabric(topology_of(BASE, lanes__policy=policy, run__duration="40s", **changes), False)
    drive(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    rows = rows[(rows[:, ROUTED_AT] > 0) & (rows[:, PUBLISHED_AT] > 2_000_000_000)]
    spent = (rows[:, ROUTED_AT] - rows[:, VISIBLE_AT]) / 1e6
    return [float(spent[rows[:, LANE] == lane].mean()) for lane in range(3)]


def test_strict_lanes_serve_what_is_urgent_first():
    plain, strict = waits("fifo"), waits("strict")
    assert strict[0] < 0.6 * plain[0] and strict[2] > 1.2 * plain[2] and strict[0] < strict[1] < strict[2]


@pytest.mark.slow
def test_weighted_lanes_stand_between_one_lane_and_strict_ones():
    strict, weighted = waits("strict"), waits("weighted")
    assert strict[0] < weighted[0] < weighted[2] < strict[2]


@pytest.mark.parametrize("policy", ["strict", "weighted"])
def test_where_all_messages_are_of_one_lane_nothing_changes(policy):
    alone = {"traffic": "[{name: news, kind: producers, rate: 60/s}]", "run.duration": "6s"}
    one = outcome_of(topology_of(BASE, **alone))
    other = outcome_of(topology_of(BASE, lanes__policy=policy, **alone))
    assert differences(one, other) == []


def test_transient_messages_that_wait_too_long_are_dropped_and_counted():
    fabric = Fabric(topology_of(BASE, lanes="{policy: strict, patience: 50ms}"), False)
    drive(fabric)
    counted = tallies(fabric)
    assert counted["routers"].counters[SHED] > 50 and counted["gateways"].counters[SHED] > 0


@pytest.mark.parametrize("policy", ["strict", "weighted"])
@pytest.mark.parametrize("pattern", ["targeted", "direct", "broadcast"])
def test_the_window_changes_nothing_with_lanes(policy, pattern):
    traffic = {"traffic[0].kind": "users", "traffic[0].rate": "8/min"} if pattern == "direct" else {}
    topology = topology_of(BASE, lanes=f"{{policy: {policy}, patience: 200ms}}", fanout__pattern=pattern, run__duration="5s", **traffic)
    check_invariance(topology)


def test_compiled_lanes_are_the_plain_ones():
    topology = topology_of(BASE, lanes="{policy: weighted, patience: 200ms}", run__duration="4s")
    assert differences(outcome_of(topology), outcome_of(topology, by_numba=True)) == []


def test_every_law_holds_with_lanes_over_a_crash():
    result = run(topology_of(BASE, lanes="{policy: weighted, patience: 100ms}", faults="[{at: 4s, down: 2s, target: {gateway: 0}}]"))
    assert [law for law in result.laws if law.verdict == "invalid"] == []


def test_weights_are_shares_where_every_lane_always_waits():
    credit, weights = np.zeros((1, 3), np.int64), np.array([8, 4, 1], np.int64)
    turns = [next_lane(WEIGHTED, credit, 0, weights, True, True, True) for _ in range(1300)]
    assert [turns.count(lane) for lane in range(3)] == [800, 400, 100]
    assert next_lane(STRICT, credit, 0, weights, False, True, True) == 1


@pytest.mark.parametrize("waiting", [(0, 0, 0), (0, 9, 0), (9, 0, 9), (0, 0, 9)])
def test_a_choice_that_is_taken_back_leaves_no_memory_and_neither_does_one_without_an_alternative(waiting):
    """Heads of the lanes at these times [ns], chosen at 5: those that have arrived by then compete."""
    frames = np.array([[at, 0, 0, 0, 0] for at in waiting], np.int64)
    lanes = Lanes(np.array([WEIGHTED, 0], np.int64), np.array([5, 3, 1], np.int64), np.array([[2, -3, 1]], np.int64))
    lane = chosen(frames, 0, 1, 2, 3, 0, 5, lanes)
    if sum(at <= 5 for at in waiting) > 1:
        assert lanes.credit.tolist() != [[2, -3, 1]]
        take_back(0, lane, frames, 0, 1, 2, 3, 5, lanes)
    assert waiting[lane] <= 5 and lanes.credit.tolist() == [[2, -3, 1]]
