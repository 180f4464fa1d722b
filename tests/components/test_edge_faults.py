"""Faults of the balancer, of services, and of gateways that live on: each hurts what it may, in its direction, and nobody lacks anything at the end."""

from __future__ import annotations

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.routing import LOOKUPS
from simfabric.kernels.state import OPEN, TURNED_AWAY
from simfabric.running import Result, run
from simfabric.topology import Topology
from tests.components.faulty import ALL_DIE, lacks, ordinary, small, upto
from tests.sessions.comparing import differing, ran

FAULTS = {
    "pause_node": "{kind: pause_node, at: 3s, length: 4s, target: {gateway: 0}}",
    "stall_loop": "{kind: stall_loop, at: 3s, length: 2s, target: {gateway: all}}",
    "slow_node": "{kind: slow_node, at: 3s, length: 4s, cpu: 30%, target: {gateway: 0}}",
    "exhaust_descriptors": "{kind: exhaust_descriptors, at: 3s, length: 4s, limit: 1}",
    "push_bad_config": "{kind: push_bad_config, at: 3s, length: 3s, factor: 300}",
    "bad_canary": "{kind: bad_canary, at: 3s, length: 3s, share: 70%, target: {gateway: all}}",
    "slow_handshakes": "{kind: slow_handshakes, at: 3s, length: 3s, factor: 400}",
    "lose_balancer": "{kind: lose_balancer, at: 3s, length: 3s}",
    "stale_balancer": "{kind: stale_balancer, at: 3s, length: 4s, late: 3s}",
    "flap_health": "{kind: flap_health, at: 3s, length: 3s, share: 80%, target: {gateway: minority}}",
    "limit_api": "{kind: limit_api, at: 3s, length: 4s, factor: 300}",
    "flush_caches": "{kind: flush_caches, every: 500ms, share: 50%}",
}
CACHED = {"routing__cache": "5s"}
DEAD = "{at: 5s, down: 4s, target: {gateway: 0}}"
NEUTRAL = [
    "{kind: pause_node, at: 3s, length: 0s}",
    "{kind: push_bad_config, at: 3s, factor: 1}",
    "{kind: bad_canary, at: 3s, share: 0%}",
    "{kind: slow_node, at: 3s, cpu: 100%}",
    "{kind: slow_handshakes, at: 3s, factor: 1}",
    "{kind: stale_balancer, at: 3s, late: 0s}",
    "{kind: flap_health, at: 3s, share: 0%}",
    "{kind: limit_api, at: 3s, factor: 1}",
    ", ".join(fault.replace("{kind", "{p: 0%, kind") for kind, fault in FAULTS.items() if kind != "flush_caches"),
]


def faulty(kind: str) -> Topology:
    """The small fabric with one fault in force while every gateway dies, so that all must dial."""
    if kind == "flush_caches":
        return small(FAULTS[kind], **CACHED)
    return small(FAULTS[kind], ALL_DIE, *([DEAD] if kind == "stale_balancer" else []))


def connected_s(result: Result) -> float:
    """How long half of the clients took to be connected again [s]."""
    found = result.stage("connect", 0.5)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", FAULTS)
def test_the_fault_shows_breaks_no_law_and_leaves_everybody_complete_in_every_window(kind: str) -> None:
    result = run(faulty(kind))
    assert result.lawful
    assert lacks(result) == 0
    assert result.end.connections == 16
    assert result.digest != run(faulty(kind).with_({"faults[0].p": "0%"})).digest
    assert result.digest == run(faulty(kind).with_({"run.window": f"{result.window // 2}ns"})).digest


@pytest.mark.parametrize("neutral", NEUTRAL)
def test_what_changes_nothing_changes_no_bit(neutral: str) -> None:
    assert run(small(neutral, ALL_DIE)).digest == ordinary(killed=True).digest


@pytest.mark.parametrize("kind", ["bad_canary", "lose_balancer", "pause_node"])
def test_clients_do_the_same_as_sessions_and_as_columns(kind: str) -> None:
    topology = faulty(kind)
    assert differing(ran(topology)[1], ran(topology.with_({"clients.sessions": "all"}))[1]) == []


# Nodes


def test_a_pause_delays_keeps_connections_and_takes_the_node_out_of_balancer_and_table_until_it_goes_on() -> None:
    topology = small(FAULTS["pause_node"])
    fabric = Fabric(topology, by_numba=False)
    before = fabric.columns.crowd.home.copy()
    upto(fabric, 6.9)
    assert not fabric.balancer.eligible[0]
    upto(fabric, 14)
    assert fabric.balancer.eligible.all()
    assert (fabric.columns.crowd.home == before).all()
    result = run(topology)
    assert result.unrouted > 0  # Its lease of three seconds ended before the pause did.
    assert 2 < (result.delay(1.0) or 0) < 4.5


def test_a_short_pause_takes_nobody_for_dead() -> None:
    fabric = Fabric(small("{kind: pause_node, at: 3s, length: 400ms, target: {gateway: all}}"), by_numba=False)
    upto(fabric, 4.5)
    assert fabric.balancer.eligible.all()
    assert fabric.routers is not None
    assert len(fabric.routers.state.lost) == 0


def test_a_slow_node_delays_its_own_clients_alone_and_by_less_than_what_is_stolen_of_a_period() -> None:
    topology = small(FAULTS["slow_node"])
    fabric, calm = Fabric(topology, by_numba=False), Fabric(small(), by_numba=False)
    slow_and_usual = []
    for each in (fabric, calm):
        each.gateways.keep_trail()
        upto(each, 14)
        assert each.balancer.eligible.all()
        slow_and_usual.append({(message, client): arrives for message, client, arrives in each.gateways.trail().tolist()})
    slow, usual = slow_and_usual
    assert slow.keys() == usual.keys()
    later = {key for key in slow if slow[key] > usual[key] + 1_000_000}
    there = set(fabric.columns.crowd.client[fabric.columns.crowd.home == 0].tolist())
    own = {(message, client) for message, client in later if client in there}
    assert len(own) > 5
    assert max(slow[key] - usual[key] for key in own) < 2 * 70_000_000  # Stolen on its way in, and on its way out.


def test_one_stalled_core_of_four_delays_its_own_connections_alone() -> None:
    stalled, calm = run(small(FAULTS["stall_loop"])), ordinary(killed=False)
    assert 1 < (stalled.delay(1.0) or 0) < 2.1
    median, usual = stalled.delay(0.5), calm.delay(0.5)
    assert median is not None
    assert usual is not None
    assert median < 1.2 * usual


def test_a_limit_refuses_new_dials_and_leaves_open_connections_alone() -> None:
    topology = small("{kind: exhaust_descriptors, at: 3s, length: 4s, limit: 1, target: {gateway: all}}", "{at: 4s, down: 100ms, target: {gateway: 0}}")
    fabric = Fabric(topology, by_numba=False)
    upto(fabric, 6.9)
    assert fabric.gateways.nodes.state[1:, OPEN].tolist() == [4, 4, 4]
    assert fabric.gateways.nodes.state[0, OPEN] == 1
    assert fabric.gateways.workers[0].tally.counters[TURNED_AWAY] > 5
    upto(fabric, 14)
    assert int(fabric.gateways.nodes.state[:, OPEN].sum()) == 16


def test_two_limits_that_overlap_both_hold() -> None:
    few = "{kind: exhaust_descriptors, at: 3s, length: 4s, limit: 3, target: {gateway: 0}}"
    fabric = Fabric(small(few, "{kind: push_bad_config, at: 4s, length: 1s, setting: connections, limit: 5}"), by_numba=False)
    seen = []
    for at in (3.5, 4.5, 5.5, 7.5):
        upto(fabric, at)
        seen.append(fabric.gateways.nodes.most[:2].tolist())
    most = seen[-1][0]
    assert seen == [[3, most], [3, 5], [3, most], [most, most]]


def test_a_wrong_setting_of_work_slows_while_it_is_out_and_not_after() -> None:
    topology = small(FAULTS["push_bad_config"])
    wrong, calm = run(topology), ordinary(killed=False)
    assert (wrong.delay(1.0) or 0) > (calm.delay(1.0) or 0)
    fabric = Fabric(topology, by_numba=False)
    normal = fabric.gateways.nodes.delivery
    upto(fabric, 7)
    assert fabric.gateways.nodes.delivery is normal


def test_a_bad_canary_refuses_about_its_share() -> None:
    fabric = Fabric(small("{kind: bad_canary, at: 3s, length: 10s, share: 50%, target: {gateway: all}}", ALL_DIE), by_numba=False)
    upto(fabric, 14)
    refused = int(fabric.gateways.workers[0].tally.counters[TURNED_AWAY])
    assert 4 < refused - _refused_without() < 40  # 16 dials that each take two tries on average.


def _refused_without() -> int:
    fabric = Fabric(small(ALL_DIE), by_numba=False)
    upto(fabric, 14)
    return int(fabric.gateways.workers[0].tally.counters[TURNED_AWAY])


# Balancer and services


@pytest.mark.parametrize("kind", ["slow_handshakes", "lose_balancer"])
def test_who_dials_waits_and_who_is_connected_stays(kind: str) -> None:
    fabric = Fabric(small(FAULTS[kind], "{at: 4s, down: 100ms, target: {gateway: 0}}"), by_numba=False)
    others = np.flatnonzero(fabric.columns.crowd.home > 0)
    upto(fabric, 14)
    assert (fabric.columns.crowd.dials[others] == 0).all()
    assert connected_s(run(faulty(kind))) > connected_s(ordinary(killed=True))


def test_a_balancer_that_is_back_knows_again_what_is_open_and_no_cookie() -> None:
    fabric = Fabric(small(FAULTS["lose_balancer"]), by_numba=False)
    before = fabric.balancer.open.copy()
    upto(fabric, 4)
    assert not fabric.balancer.open.any()
    upto(fabric, 14)
    assert fabric.balancer.open.tolist() == before.tolist()
    assert (fabric.columns.crowd.cookie == -1).all()


def test_a_late_view_sends_dials_to_the_dead_for_longer() -> None:
    dead = "{at: 4s, down: 5s, target: {gateway: minority}}"
    fabrics = [Fabric(small(*faults), by_numba=False) for faults in ([dead], [dead, FAULTS["stale_balancer"]])]
    outs = []
    for fabric in fabrics:
        upto(fabric, 6)
        outs.append(int((~fabric.balancer.eligible).sum()))
    assert outs == [1, 0]


def test_lost_checks_move_no_connection_and_the_checks_settle() -> None:
    fabric = Fabric(small("{kind: flap_health, at: 3s, length: 4s, share: 80%, target: {gateway: all}}"), by_numba=False)
    doubted = []
    for at in (4.5, 5.5, 6.5):
        upto(fabric, at)
        doubted.append(int((fabric.balancer.doubted > 0).sum()))
    assert max(doubted) > 0
    upto(fabric, 9)
    assert not fabric.balancer.doubted.any()
    assert fabric.columns.crowd.dials.sum() == 0


def test_a_slow_replay_service_makes_recovery_slow() -> None:
    slow, usual = run(faulty("limit_api")).stage("recovery", 0.5), ordinary(killed=True).stage("recovery", 0.5)
    assert slow is not None
    assert usual is not None
    assert slow > usual + 0.3


def test_snapshots_that_fail_are_asked_for_again() -> None:
    result = run(small("{kind: limit_api, at: 3s, length: 6s, api: snapshot, factor: 1, errors: 60%}", ALL_DIE, clients__replay_max="0"))
    assert result.apis["snapshot_api"]["failed"] > 0
    assert lacks(result) == 0
    assert result.lawful


def test_flushed_caches_are_read_again() -> None:
    lookups = []
    for faults in ([], [FAULTS["flush_caches"]]):
        fabric = Fabric(small(*faults, **CACHED), by_numba=False)
        upto(fabric, 14)
        assert fabric.routers is not None
        lookups.append(int(fabric.routers.tally.counters[LOOKUPS]))
    assert lookups[1] > 2 * lookups[0]


@pytest.mark.parametrize(
    ("fault", "changes", "law"),
    [
        ("{kind: flush_caches, at: 3s}", {}, "no router has a cache"),
        ("{kind: limit_api, at: 3s, errors: 10%}", {}, "answers all that it is asked"),
        ("{kind: pause_node, at: 3s, length: 13s}", {}, "a pause must be shorter than"),
        ("{kind: pause_node, at: 3s, length: 9s}", {"presence__enabled": "true", "presence__lease": "12s", "presence__heartbeat": "4s"}, "shorter than 8s"),
        ("{kind: bad_canary, at: 3s, limit: 3}", {}, "takes no limit"),
    ],
)
def test_what_cannot_be_is_refused_with_its_law(fault: str, changes: dict[str, str], law: str) -> None:
    with pytest.raises(TopologyError, match=law):
        small(fault, **changes)
