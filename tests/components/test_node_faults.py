"""Faults of gateways, of what clients need before they connect, and of routes: what each may hurt is hurt, what it must not is not."""

from __future__ import annotations

import numpy as np
import pytest

from simfabric.components.faults import deaths
from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.clients import OFFLINES
from simfabric.kernels.state import ACCEPTED, GATEWAY, INCARNATION_OF, SLOTS_FIRST, VISIBLE_FROM
from simfabric.running import run
from simfabric.topology import Topology
from simfabric.world import SECOND, World
from tests.components.faulty import ALL_DIE, lacks, ordinary, small, upto
from tests.sessions.comparing import differing, ran

KILLED = {"fail_tokens", "fail_over_store"}  # Seen only by who dials.
FAULTS = {
    "drain_node": "{kind: drain_node, at: 3s, grace: 2s, down: 1s}",
    "crash_loop_node": "{kind: crash_loop_node, at: 2s, down: 500ms, pause: 1s, times: 3}",
    "lose_region": "{kind: lose_region, at: 3s, down: 3s, target: {zone: 1}}",
    "fail_tokens": "{kind: fail_tokens, at: 3s, length: 3s, factor: 0}",
    "corrupt_routes": "{kind: corrupt_routes, at: 4s, share: 60%, target: {gateway: all}}",
    "fail_over_store": "{kind: fail_over_store, at: 5500ms, lost: 2s}",
}
NEUTRAL = [
    ", ".join(fault.replace("{kind", "{p: 0%, kind") for fault in FAULTS.values()),
    "{kind: fail_tokens, at: 3s, length: 0s}",
    "{kind: fail_tokens, at: 3s, factor: 1}",
    "{kind: corrupt_routes, at: 4s, share: 0%}",
    "{kind: fail_over_store, at: 4s, lost: 0s}",
]


def faulty(kind: str) -> Topology:
    """The small fabric with one fault, and a death of all where only who dials feels it."""
    return small(FAULTS[kind], *([ALL_DIE] if kind in KILLED else []))


@pytest.mark.parametrize("kind", FAULTS)
def test_the_fault_shows_breaks_no_law_and_leaves_everybody_complete_in_every_window(kind: str) -> None:
    result = run(faulty(kind))
    assert result.lawful
    assert lacks(result) == 0
    assert result.end.connections == 16
    assert result.digest != ordinary(kind in KILLED).digest
    assert result.digest == run(faulty(kind).with_({"run.window": f"{result.window // 2}ns"})).digest


def test_compiled_kernels_give_the_same_digest() -> None:
    canary, stall = "{kind: bad_canary, at: 3s, length: 6s, share: 50%}", "{kind: stall_loop, at: 3s, length: 2s, target: {gateway: all}}"
    expired = "{kind: fail_tokens, at: 6s, length: 1s, factor: 2, expire: true}"
    topology = small(FAULTS["drain_node"], FAULTS["corrupt_routes"], expired, ALL_DIE, ALL_DIE.replace("4s", "8s"), canary, stall)
    assert run(topology.with_({"run.compiled": "always"})).digest == run(topology).digest


@pytest.mark.parametrize("neutral", NEUTRAL)
def test_what_has_no_chance_no_length_or_no_share_changes_no_bit(neutral: str) -> None:
    assert run(small(neutral, ALL_DIE)).digest == ordinary(killed=True).digest


@pytest.mark.parametrize("kind", ["drain_node", "fail_tokens", "corrupt_routes"])
def test_clients_do_the_same_as_sessions_and_as_columns(kind: str) -> None:
    topology = faulty(kind)
    assert differing(ran(topology)[1], ran(topology.with_({"clients.sessions": "all"}))[1]) == []


# Deaths


def test_a_gateway_that_drains_takes_nobody_and_keeps_whom_it_has_until_the_grace_is_over() -> None:
    topology = small("{kind: drain_node, at: 3s, grace: 4s, down: 1s, target: {gateway: 0}}", "{at: 4s, down: 2s, target: {gateway: 1}}")
    fabric = Fabric(topology, by_numba=False)
    before = None
    for at in (3.1, 5.5, 6.9):
        upto(fabric, at)
        home = fabric.columns.crowd.home
        held = set(np.flatnonzero(home == 0).tolist())
        before = held if before is None else before
        assert held == before != set(), at
    assert fabric.clients.tally.counters[OFFLINES] == 0
    assert fabric.columns.crowd.home[list(before or [])].max() >= 0
    upto(fabric, 7.001)
    assert not (fabric.columns.crowd.home == 0).any()


def test_a_planned_end_is_no_failed_attempt() -> None:
    fabric = Fabric(small(FAULTS["drain_node"]), by_numba=False)
    upto(fabric, 8)
    assert fabric.columns.crowd.attempt.max() == 0


def test_a_gateway_in_a_crash_loop_dies_as_often_as_it_is_told_to() -> None:
    topology = small("{kind: crash_loop_node, at: 2s, down: 500ms, pause: 1s, times: 3, target: {gateway: 2}}")
    died = [(death.gateway, death.at / SECOND, death.back_at / SECOND) for death in deaths(World(topology, by_numba=False), topology)]
    assert died == [(2, 2.0, 2.5), (2, 3.5, 4.0), (2, 5.0, 5.5)]


def test_a_region_takes_its_gateways_and_routers_with_it_and_leaves_the_others_alone() -> None:
    topology = faulty("lose_region")
    result = run(topology)
    told = [what for _, what in result.events]
    assert {what.split(",")[0] for what in told if "killed" in what} == {"gateway 1 killed", "gateway 3 killed", "router 1 killed"}
    fabric = Fabric(topology, by_numba=False)
    others = np.flatnonzero(np.isin(fabric.columns.crowd.home, [0, 2]))
    upto(fabric, 14)
    assert (fabric.columns.crowd.dials[others] == 0).all()  # Who is elsewhere feels nothing.
    assert (np.delete(fabric.columns.crowd.dials, others) > 0).all()


def test_one_zone_is_drawn_where_none_is_named() -> None:
    topology = small("{kind: lose_region, every: 1s, down: 100ms, target: {zone: one}}")
    zones = {frozenset(d.gateway for d in deaths(World(topology, by_numba=False), topology) if d.at == n * SECOND) for n in range(1, 14)}
    assert zones == {frozenset({0, 2}), frozenset({1, 3})}


# Tokens


def test_without_tokens_nobody_new_connects_and_open_connections_stay() -> None:
    fabric = Fabric(small(FAULTS["fail_tokens"], "{at: 4s, down: 100ms, target: {gateway: 0}}"), by_numba=False)
    upto(fabric, 5.9)
    assert int((fabric.columns.crowd.home >= 0).sum()) == 12
    assert fabric.gateways.workers[0].tally.counters[ACCEPTED] == 0
    upto(fabric, 9)
    assert int((fabric.columns.crowd.home >= 0).sum()) == 16


def test_errors_of_the_token_api_make_clients_ask_again() -> None:
    calm, failing = ordinary(killed=True), run(small("{kind: fail_tokens, at: 3s, length: 4s, factor: 1, errors: 60%}", ALL_DIE))
    assert calm.apis["token_api"]["failed"] == 0
    assert failing.apis["token_api"]["failed"] > 5
    assert failing.apis["token_api"]["requests"] == calm.apis["token_api"]["requests"] + failing.apis["token_api"]["failed"]


def test_a_void_token_is_refused_and_fetched_anew_exactly_once() -> None:
    again = ALL_DIE.replace("4s", "8s")
    kept, void = run(small(ALL_DIE, again)), run(small(ALL_DIE, again, "{kind: fail_tokens, at: 6s, length: 4s, factor: 1, expire: true}"))
    assert [result.apis["token_api"]["requests"] for result in (kept, void)] == [16, 32]
    assert void.end.connections == 16
    assert lacks(void) == 0


def test_sessions_fetch_a_new_token_as_columns_do() -> None:
    topology = small(ALL_DIE, ALL_DIE.replace("4s", "8s"), "{kind: fail_tokens, every: 1500ms, length: 1s, factor: 2, expire: true}")
    assert differing(ran(topology)[1], ran(topology.with_({"clients.sessions": "all"}))[1]) == []


# Routes


def test_lost_routes_are_missing_until_the_next_heartbeat_and_no_longer() -> None:
    topology = small("{kind: corrupt_routes, at: 4s, target: {gateway: all}}", routing__heartbeat="2s")
    fabric = Fabric(topology, by_numba=False)
    upto(fabric, 14)
    assert fabric.routers is not None
    until = fabric.routers.state.lost[0, :, 1] / SECOND
    assert (until > 4).all()
    assert (until <= 6.01).all()
    assert run(topology).unrouted > 0


def test_with_half_of_the_channels_about_half_of_the_frames_are_not_sent() -> None:
    whole, half = (run(small(f"{{kind: corrupt_routes, every: 1s, share: {share}%, target: {{gateway: all}}}}")).unrouted for share in (100, 50))
    assert 0.3 * whole < half < 0.7 * whole


def test_a_store_that_fails_over_loses_only_what_was_registered_lately() -> None:
    topology = faulty("fail_over_store")
    fabric = Fabric(topology, by_numba=False)
    upto(fabric, 14)
    assert fabric.routers is not None
    assert run(topology).unrouted > 0
    assert run(small("{kind: fail_over_store, at: 5500ms, lost: 1s}", ALL_DIE.replace("4s", "1s"))).unrouted == 0
    book = fabric.columns.book
    first = int(book.pool[SLOTS_FIRST])
    assert (book.late[: len(book.slots) - first, VISIBLE_FROM] < 5.5 * SECOND).any()
    assert {GATEWAY, INCARNATION_OF} == {0, 1}


@pytest.mark.parametrize(
    ("fault", "changes", "law"),
    [
        (FAULTS["corrupt_routes"], {"fanout__pattern": "broadcast"}, "no routes"),
        (FAULTS["fail_tokens"], {"apis__token__ttl": "0s"}, "clients need no token"),
        ("{kind: fail_tokens, at: 3s, expire: true}", {"clients__fleet": "[{profile: phoenix, share: 10%}]"}, "fetch a new token"),
        ("{kind: lose_region, at: 3s, target: {zone: 2}}", {}, "number of a zone, from 0 to 1"),
        ("{kind: lose_region, at: 3s, target: {gateway: all}}", {}, "strikes a zone"),
        ("{kind: kill_node, at: 3s, target: {gateway: 1, zone: 1}}", {}, "a zone or a node"),
        ("{kind: drain_node, at: 3s, times: 2}", {}, "takes no times"),
        ("{kind: drain_node, at: 3s}", {"gateways__zones": "5"}, "every zone needs a gateway"),
    ],
)
def test_what_cannot_be_is_refused_with_its_law(fault: str, changes: dict[str, str], law: str) -> None:
    with pytest.raises(TopologyError, match=law):
        small(fault, **changes)
