"""The routers' consumer group: what a router's death costs, and that it loses nothing."""

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import PUBLISHED_AT, ROUTED_AT, SEQUENCE
from simfabric.running import run
from tests.helpers import check_invariance, differences, drive, topology_of
from tests.helpers import run as outcome_of

BASE = """
run: {duration: 12s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: 10ms, gap_wait: 200ms}
channels: {count: 20, popularity: uniform}
gateways: {count: 3}
bus: {partitions: 8, brokers: 2, replication: 2, commit_every: 1s, session_timeout: 2s}
fanout: {routers: 3, work: 2ms}
traffic: [{name: chat, per: all, rate: 60/s}, {name: typing, per: all, rate: 20/s, lane: transient}]
"""
DEATH = "[{at: 5600ms, down: %s, target: {router: 1}}]"


@pytest.fixture(scope="module", params=["1s", "4s"], ids=["back within its session", "back after its session"])
def fabric(request):
    fabric = Fabric(topology_of(BASE, faults=DEATH % request.param), False)
    drive(fabric)
    return fabric


def test_what_was_routed_since_the_last_commit_goes_out_again_and_is_hidden_from_users():
    result = run(topology_of(BASE, faults=DEATH % "1s"))
    without = run(topology_of(BASE))
    assert result.lawful, result.laws
    assert without.end.tried["duplicate"] == 0 < result.end.tried["duplicate"]
    assert abs(result.delivered - without.delivered) < 0.01 * without.delivered


def test_no_partition_is_forgotten_and_none_is_read_by_two(fabric):
    shelf = fabric.consumers.shelf
    read = np.take_along_axis(shelf.fetched, shelf.owner_of[None, :].astype(np.int64), axis=0)[0]
    assert (shelf.alive[: fabric.consumers.count] == 1).all() and (shelf.visible - read <= 2).all()
    assert set(shelf.owner_of.tolist()) == {0, 1, 2}


def test_every_message_is_routed_in_the_end(fabric):
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    old = rows[(rows[:, SEQUENCE] > 0) & (rows[:, PUBLISHED_AT] < 11_000_000_000)]
    assert len(old) > 500 and (old[:, ROUTED_AT] > 0).all()


def test_what_a_router_had_fetched_and_not_routed_at_its_last_commit_goes_out_all_the_same():
    """The commit is at 5 s; routers have a queue then, which dies 5 ms later."""
    death = "[{at: 5005ms, down: 1s, target: {router: all}}]"
    fabric = Fabric(topology_of(BASE, faults=death, fanout__work="45ms", traffic__chat__until="9s", traffic__typing__until="9s"), False)
    fabric.gateways.keep_trail()
    drive(fabric, 5_004_000_000)
    waiting = sum(len(frames) for frames in fabric.consumers.handed)
    drive(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    routed = rows[rows[:, SEQUENCE] > 0, ROUTED_AT]
    assert waiting > 3 and (routed > 0).all()
    arrived = fabric.gateways.trail()[:, 2]
    assert not ((arrived > 5_025_000_000) & (arrived < 6_005_000_000)).any()  # What they were about is not sent.


def test_what_comes_while_nobody_is_there_to_read_waits_for_who_comes_back():
    """All routers are away for longer than their sessions: their partitions keep what has become visible since."""
    fabric = Fabric(topology_of(BASE, faults="[{at: 3s, down: 4s, target: {router: all}}]", traffic__chat__until="10s"), False)
    drive(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    routed = rows[rows[:, SEQUENCE] > 0, ROUTED_AT]
    assert len(routed) > 300 and (routed > 0).all()


def test_the_others_take_over_when_the_session_has_ended():
    fabric = Fabric(topology_of(BASE, faults=DEATH % "1min"), False)
    drive(fabric)
    assert 1 not in fabric.consumers.shelf.owner_of
    told = [text for _, text in fabric.faults.events]
    assert told[0] == "router 1 killed" and "other readers" in told[1] and "go out again" in told[1]


def test_when_all_routers_are_gone_the_first_who_is_back_reads_everything():
    fabric = Fabric(topology_of(BASE, faults="[{at: 4s, down: 3s, target: {router: all}}, {at: 7500ms, down: 3s, target: {router: 0}}]"), False)
    drive(fabric)
    assert (fabric.consumers.shelf.alive[:3] == 1).all() and set(fabric.consumers.shelf.owner_of.tolist()) == {0, 1, 2}
    assert run(topology_of(BASE, faults="[{at: 4s, down: 3s, target: {router: all}}]")).lawful


@pytest.mark.parametrize(
    "changes",
    [{}, {"lanes__policy": "strict"}, {"hot": "{policy: batch, members: 5}"}, {"hot": "{shards: 4, members: 5}", "fanout__work": "exponential(4ms)"}],
    ids=["plain", "lanes", "windows", "shards"],
)
def test_the_window_of_the_engine_changes_nothing_and_every_law_holds(changes):
    topology = topology_of(
        BASE, faults="[{at: 2600ms, down: 500ms, target: {router: one}}, {at: 4s, down: 3s, target: {router: 2}}]", run__duration="8s", **changes
    )
    check_invariance(topology)
    assert run(topology).lawful


def test_compiled_routers_die_like_plain_ones():
    topology = topology_of(BASE, faults=DEATH % "3s", run__duration="9s")
    assert differences(outcome_of(topology), outcome_of(topology, by_numba=True)) == []


@pytest.mark.parametrize("faults", [DEATH % "1s" + "x", "[{at: 1s, target: {router: 3}}]", "[{at: 1s, kind: restart_node, target: {router: 0}}]"])
def test_a_router_that_is_not_there_is_refused(faults):
    with pytest.raises(TopologyError):
        topology_of(BASE, faults=faults)
    with pytest.raises(TopologyError, match="router"):
        topology_of(BASE, faults="[{at: 1s, target: {router: 0}}]", fanout__pattern="broadcast")
