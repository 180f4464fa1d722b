"""Splits: gateways that cannot reach what lies behind them keep their clients, lose nothing, and are evicted if it lasts."""

from typing import Any

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import INCARNATION
from simfabric.running import Result, run
from simfabric.topology import Topology, loads
from simfabric.world import SECOND
from tests import helpers

SMALL = """
version: 1
run: {duration: 22s, warmup: 0s, compiled: never, checkpoints: 4}
clients: {count: 15, subscriptions: 2, delay: "uniform(2ms, 20ms)", reconnect: {first: 200ms, cap: 2s}}
channels: {count: 4}
gateways: {count: 3, drain: {retry_after: 100ms, spread: 1s}}
balancer: {health: {interval: 1s}}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 15/s, until: 15s}]
"""
SHORT = "{kind: split_network, at: 5s, length: 1500ms, target: {gateway: 1}}"
LONG = "{kind: split_network, at: 5s, length: 6s, target: {gateway: 1}}"
DEAF = "{kind: split_one_way, at: 5s, length: 4s, way: in, target: {gateway: 1}}"
DUMB = "{kind: split_one_way, at: 5s, length: 1500ms, way: out, target: {gateway: 1}}"
ALL = {"short": SHORT, "long": LONG, "deaf": DEAF, "dumb": DUMB}


def small(faults: str = "", **changes: Any) -> Topology:
    return loads(SMALL, sets=[f"faults=[{faults}]", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())])


def assert_complete(result: Result) -> None:
    """Every law holds, nothing is lost, and everybody has everything at the end."""
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]
    assert result.end.logged == result.end.cursors > 0
    assert not any(result.end.dropped.values())


def seen(outcome: helpers.Outcome, first: float, last: float, gateway: int = 1) -> int:
    """Deliveries in a time [s] to the clients that began at a gateway."""
    crowd = Fabric(small(), by_numba=False).columns.crowd
    home = dict(zip(crowd.client.tolist(), crowd.home.tolist()))
    return sum(home[client] == gateway and first * SECOND < at < last * SECOND for _, client, at in outcome.trail.tolist())


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
@pytest.mark.parametrize("case", ALL)
def test_nothing_is_lost_and_everybody_completes(case: str, pattern: str) -> None:
    assert_complete(run(small(ALL[case], fanout__pattern=pattern)))


@pytest.mark.parametrize("case", ALL)
def test_half_windows_leave_the_same_behind(case: str) -> None:
    topology = small(ALL[case], run__duration="14s", clients__count="9")
    half = topology.with_({"run.window": f"{helpers.lookahead_of(topology) // 2}ns"})
    assert helpers.differences(helpers.run(topology), helpers.run(half)) == []


def test_what_was_sent_in_a_short_split_comes_in_a_burst_after_the_heal() -> None:
    outcome = helpers.run(small(SHORT))
    assert seen(outcome, 5.1, 6.5) == 0
    assert seen(outcome, 6.5, 6.6) > 20
    assert outcome.fabric.gateways.nodes.state[:, INCARNATION].tolist() == [0, 0, 0]
    assert [text for _, text in outcome.fabric.faults.events] == ["gateway 1 cut off", "gateway 1 within reach again"]


def test_a_gateway_whose_lease_ran_out_starts_anew_and_gets_nothing_meanwhile() -> None:
    """The lease ends two to three seconds after the split begins; the first heartbeat after the heal tells, and one more passes."""
    outcome = helpers.run(small(LONG))
    (restarted,) = [at for at, text in outcome.fabric.faults.events if "restarted" in text]
    assert 12 * SECOND <= restarted < 13.1 * SECOND
    assert outcome.fabric.gateways.nodes.state[:, INCARNATION].tolist() == [0, 1, 0]
    assert outcome.fabric.routers is not None
    assert 7 * SECOND < int(outcome.fabric.routers.state.evicted_at[1, 0]) <= 8 * SECOND
    burst = seen(outcome, 11, 11.1)
    assert 0 < burst < seen(helpers.run(small()), 5, 11) * 0.6  # What was routed until the lease ended; the rest comes by replay.


def test_one_way_holds_that_way_only() -> None:
    """Who cannot send still gets what others send; who gets nothing still has its lease."""
    dumb, deaf = helpers.run(small(DUMB)), helpers.run(small(DEAF))
    assert seen(dumb, 5.1, 6.5) > 10
    assert seen(deaf, 5.1, 9.0) == 0
    assert deaf.fabric.gateways.nodes.state[:, INCARNATION].tolist() == [0, 0, 0]
    published = deaf.facts["messages"]
    mine = np.isin(published[:, 2], np.flatnonzero(deaf.fabric.columns.crowd.home == 1))
    assert int((published[mine, 7] < 9 * SECOND).sum()) > 0  # They are saved while the answer cannot come back.


def test_the_balancer_takes_it_out_and_in_again() -> None:
    """Three failed checks a second apart, and all who dial go elsewhere until the heal; a permanent split leaves it out."""
    storm = "{kind: storm_reconnect, at: 10s}"
    for fault, dialled in ((LONG.replace("6s", "4s"), True), (LONG.replace("6s", "60s"), False)):
        fabric = helpers.run(small(f"{fault}, {storm}", balancer__policy="round_robin", balancer__health="{interval: 1s, rise: 1}")).fabric
        assert bool(fabric.balancer.eligible[1]) == dialled
        assert bool((fabric.columns.crowd.home == 1).any()) == dialled
        assert fabric.balancer.open.tolist() == np.bincount(fabric.columns.crowd.home, minlength=3).tolist()


def test_a_split_with_credits_is_refused() -> None:
    with pytest.raises(TopologyError, match="what becomes of credits"):
        small(SHORT, backpressure__policy="credits")
