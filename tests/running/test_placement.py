"""Placement and rehydration: what the counters say is what a naive recount of all frames says."""

import numpy as np
import pytest

from simfabric.analysis.placement import Imbalance, imbalance, placement
from simfabric.components.warming import MOST, Tenants
from simfabric.fabric import Fabric
from simfabric.kernels.frames import OPENED, SUBSCRIBE
from simfabric.kernels.state import LIFE
from simfabric.kernels.tickets import TURN
from simfabric.policies.balancing import BALANCING
from simfabric.recorder import PLACEMENT
from simfabric.running import facts, run
from tests.components.watching import Heard, simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 40s, warmup: 1s, compiled: never}
clients: {count: 120, subscriptions: 3, delay: "uniform(3ms, 40ms)", reconnect: {first: 500ms}, devices_per_user: 2, tenants: 40, behind_nat: 50%, nat_size: 8}
channels: {count: 200, popularity: uniform}
traffic: [{name: chat, per: all, rate: 4/s}]
gateways: {count: 4, cores: 2, drain: {spread: 1s}}
balancer: {health: {interval: 500ms, timeout: 200ms, fall: 1, rise: 2}}
"""
FAULTS = {
    "a deploy": "[{kind: rolling_deploy, at: 4s, down: 3s, pause: 3s}]",
    "a crash": "[{target: {gateway: 1}, at: 4s, down: 8s}]",
    "a scale-out and a crash after it": "[{kind: scale_out, count: 2, at: 6s}, {target: {gateway: 0}, at: 9s, down: 8s}]",
}


def recounted(topology):
    """Dials accepted and moved, subscriptions, routes and tenants new to a gateway's life, from the frames alone."""
    fabric = Fabric(topology, False)
    crowd, who = fabric.columns.crowd, fabric.columns.who
    home = {seat: int(g) for seat, g in enumerate(crowd.home) if g >= 0}
    channels = [set(crowd.channels[crowd.start[s] : crowd.start[s + 1]].tolist()) for s in range(len(crowd.client))]
    tenant = [int(who.tenant[client]) for client in crowd.client]
    routes = {(g * LIFE, c) for seat, g in home.items() for c in channels[seat]}
    tenants = {(g * LIFE, tenant[seat]) for seat, g in home.items()}
    answers, asked = Heard(fabric.clients), Heard(fabric.gateways)
    simulate(fabric, topology)
    accepted = moved = subscribed = 0
    first = (len(routes), len(tenants))
    for _, _, _, seat, ticket in answers.frames(OPENED).tolist():
        accepted, gateway = accepted + 1, ticket % TURN // LIFE
        moved += seat in home and home[seat] != gateway
        home[seat] = gateway
        tenants.add((ticket % TURN, tenant[seat]))
    for _, _, _, seat, ticket in asked.frames(SUBSCRIBE).tolist():
        subscribed += len(channels[seat])
        routes |= {(ticket % TURN, c) for c in channels[seat]}
    counted = facts.placement(fabric, facts.tallies(fabric))[1]
    return fabric, (accepted, moved, subscribed, len(routes) - first[0], len(tenants) - first[1]), counted[1:]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("policy", ["consistent_hash", "cookie", "least_connections", "source_ip"])
def test_the_counters_are_those_of_a_naive_recount(policy, fault):
    _, expected, counted = recounted(topology_of(BASE, faults=FAULTS[fault], balancer__policy=policy))
    assert counted == expected and min(expected[0], expected[2], expected[3], expected[4]) > 3, "void"


def test_clients_who_dial_for_the_first_time_have_not_moved():
    fabric, expected, counted = recounted(topology_of(BASE, clients__start="5s"))
    assert counted == expected == (120, 0, 360, expected[3], expected[4])
    assert expected[3] == len({(int(g), c) for g, c in zip(np.repeat(fabric.columns.crowd.home, 3), fabric.columns.crowd.channels.tolist())})


def test_sessions_compiled_kernels_and_workers_count_the_same():
    changes = {"faults": FAULTS["a deploy"], "balancer.policy": "least_connections"}
    plain = run(topology_of(BASE, **changes))
    for others in ({"clients.sessions": "all"}, {"run.compiled": "always", "run.workers": "2"}):
        other = run(topology_of(BASE, **changes, **others))
        assert (other.placement == plain.placement).all() and (other.held == plain.held).all()


def test_a_result_shows_who_was_up_and_how_many_connections_each_had():
    result = run(topology_of(BASE, faults="[{target: {gateway: 1}, at: 4500ms, down: 8s}]", balancer__policy="round_robin"))
    at = (result.placement[:, 0] // SECOND).tolist()
    assert (result.placement[:, 0] == result.timeline[:, 0]).all() and result.held.shape == (len(at), 4)
    assert result.held[at.index(4)].tolist() == [30] * 4 and result.held[at.index(5), 1] == -1
    assert result.held[at.index(12), 1] == -1 and result.held[at.index(13), 1] == 0, "it came back empty, and nobody moved for it"
    assert result.imbalance.before == Imbalance(1.0, 0.0) and result.imbalance.end == imbalance(result.held[-1])
    assert result.imbalance.worst.highest == pytest.approx(4 / 3, abs=0.1), "the others carry its clients, over a mean that counts the empty one"


def test_the_table_and_the_summary_tell_it():
    result = run(topology_of(BASE, faults=FAULTS["a deploy"]))
    table = result.table("placement")
    assert set(PLACEMENT[1:]) < set(table.columns) and len(table) == len(result.placement)
    assert (table["gateways"] <= 4).all() and table["gateways"].min() == 3
    last = table.iloc[-1]
    assert last["most"] / (120 / 4) == pytest.approx(last["highest"]) == result.imbalance.end.highest
    told = result.summary()
    assert "placement     fullest gateway over the mean: 1.00 before" in told
    assert f"{result.rehydration['moved']} by another gateway than before" in told and "tenants new to their gateway" in told
    assert result.figures()["placement"]["accepted"] == result.rehydration["accepted"]
    assert "placement " not in run(topology_of(BASE, gateways__count="1")).summary(), "one gateway has all"


@pytest.mark.parametrize("policy", sorted(BALANCING))
def test_every_policy_moves_whom_it_must_and_tells_it(policy):
    """When a gateway dies for good, its clients and no others dial, and each of them moves."""
    result = run(topology_of(BASE, faults="[{target: {gateway: 1}, at: 4500ms, down: 1h}]", balancer__policy=policy))
    assert result.rehydration["accepted"] == result.rehydration["moved"] == result.figures()["breaks"]


# By themselves


def test_the_imbalance_counts_only_gateways_that_are_up():
    assert imbalance(np.array([10, 20, -1, 30])) == Imbalance(1.5, pytest.approx(np.sqrt(200 / 3) / 20))
    assert imbalance(np.array([0, 0])) == imbalance(np.array([-1, -1])) == Imbalance(1.0, 0.0)


def test_a_sample_at_the_instant_of_the_first_event_is_on_neither_side():
    at, held = np.array([1, 2, 3]), np.array([[5, 5], [0, 10], [4, 6]])
    assert placement(at, held, 2).before == Imbalance(1.0, 0.0) and placement(at, held, 2).worst == placement(at, held, 2).end == Imbalance(1.2, 0.2)
    assert placement(at, held, 1).before is None and placement(at, held, 9).worst is None and placement(at, held, None).worst is None
    assert placement(at[:0], held[:0], 1).end is None


def test_a_tenant_is_new_once_in_each_life_however_many_come_together():
    known = Tenants(np.array([0, 0, 1, 1, 2]), 3, 2, np.array([0, -1, -1, 1, -1]))
    known.meet(np.array([0, 0, 1, 0]), np.array([1, 2, 2, 3]))
    assert known.met == 1, "tenant 1 on gateway 0, twice at once; the others were there"
    known.forget(0)
    known.meet(np.array([0, 1]), np.array([0, 4]))
    assert known.met == 3


def test_tenants_are_not_counted_when_there_is_one_or_when_the_book_would_be_too_large():
    assert not Tenants(np.array([0]), 1, 2, np.array([0])).counted
    huge = Tenants(np.array([0]), MOST, 2, np.array([0]))
    huge.meet(np.array([0]), np.array([0]))
    assert not huge.counted and huge.met == 0
