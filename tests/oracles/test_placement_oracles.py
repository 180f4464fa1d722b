"""Placement by the dials of a run against closed forms: rows B1, B2, B3, B5, B7 and B10 of the oracles, through clients, balancer and gateways.

The policies by themselves meet theirs in `test_balancing_oracles`; here it is the whole way that must not change what they say. Statistical
asserts go through `agrees` (void unless the half-width of its 95 % interval is at most half the tolerance); seeds are fixed.
"""

import math

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.frames import HANDSHAKE
from simfabric.kernels.state import OPEN
from simfabric.recorder import TIMELINE
from simfabric.running import run
from tests.components.watching import Heard
from tests.helpers import drive, topology_of
from tests.oracles.test_balancing_oracles import agrees, root, squared_variation

BASE = """
run: {duration: 2s, warmup: 0s, compiled: never, window: 20ms}
clients: {count: 500, subscriptions: 0, start: 500ms}
traffic: [{name: chat, rate: 0/s}]
gateways: {count: 10, work: {handshake: 10us}}
balancer: {servers: 100, handshake: 10us, health: {interval: 100ms, timeout: 50ms, fall: 1, rise: 1}}
apis: {bootstrap: {enabled: false}, token: {ttl: 0s}}
"""
DEPLOY = "[{kind: rolling_deploy, at: 10s, down: 10s, pause: 2s}]"


def loads_of(topology, by_numba=False):
    """Connections of every gateway after all have dialled."""
    fabric = Fabric(topology, by_numba)
    drive(fabric)
    loads = fabric.gateways.nodes.state[:, OPEN]
    assert loads.sum() == topology.clients.count
    return loads


def variations(draws, **changes):
    """The squared variation of the loads, one for each of so many runs that differ in their luck."""
    topology = topology_of(BASE, **changes)
    return [squared_variation(loads_of(topology.with_({"run.replication": n}), by_numba=True)) for n in range(draws)]


@pytest.mark.slow
def test_the_loads_of_a_ring_vary_as_the_beta_law_says_and_the_clients_add_their_chance():
    """B1, 10 points for each of 10 gateways and 500 clients: CV² = 9/101 (1 - 1/500) + 9/500, over 300 rings."""
    truth = math.sqrt(9 / 101 * (1 - 1 / 500) + 9 / 500)
    agrees(variations(300, balancer__policy="consistent_hash", balancer__virtual_nodes="10"), truth, 0.08, root)


@pytest.mark.parametrize(("behind", "size", "variation"), [pytest.param("0%", 20, 0.13416, marks=pytest.mark.slow), ("20%", 20, 0.29394)])
def test_shared_addresses_widen_the_loads_of_a_source_hash_by_the_design_effect(behind, size, variation):
    """B7, 500 clients, all alone or 100 of them behind five addresses: CV = sqrt(9 Σ S²)/500, over 300 hashes."""
    squares = 500 if behind == "0%" else 400 + 5 * size**2
    assert math.sqrt(9 * squares) / 500 == pytest.approx(variation, abs=5e-6)
    agrees(variations(300, balancer__policy="source_ip", clients__behind_nat=behind, clients__nat_size=size), variation, 0.08, root)


def picks_of(topology):
    """The fabric after its run, and the gateway of every dial that the balancer handed over, in order."""
    fabric = Fabric(topology, False)
    heard = Heard(fabric.gateways)
    drive(fabric)
    return fabric, heard.frames(HANDSHAKE)[:, 2]


class Watched:
    """A policy, and what the balancer asked it: for every dial, what its gateway then has, how many gateways are eligible and what they have together."""

    def __init__(self, policy):
        self.policy, self.rows = policy, []

    def pick(self, dials, pool, form):
        answer, loads = self.policy.pick(dials, pool, form), pool.open.copy()
        for gateway in answer.tolist():
            loads[gateway] += 1
            self.rows.append((int(loads[gateway]), int(pool.eligible.sum()), int(loads[pool.eligible].sum())))
        return answer


@pytest.mark.parametrize("excess", ["10%", "25%"])
@pytest.mark.parametrize(("faults", "pools"), [("[]", {10}), ("[{kind: scale_out, count: 3, at: 250ms}]", {7, 10})], ids=["ten gateways", "three join"])
def test_no_dial_of_a_bounded_ring_goes_above_the_bound(excess, faults, pools):
    """B2, in whole numbers, after every single dial; the bound falls when gateways join, and who is above it is given no more."""
    fabric = Fabric(topology_of(BASE, balancer__policy="bounded_hash", balancer__load_bound=excess, faults=faults), False)
    fabric.balancer.policy = watched = Watched(fabric.balancer.policy)
    drive(fabric)
    factor = 100 + int(excess[:-1])
    assert len(watched.rows) == 500 and {eligible for _, eligible, _ in watched.rows} >= pools
    assert all(load <= -(-factor * total // (100 * eligible)) for load, eligible, total in watched.rows)
    assert any(load == -(-factor * total // (100 * eligible)) for load, eligible, total in watched.rows[100:]), "void: the bound bound nobody"
    assert (fabric.gateways.nodes.state[:, OPEN] == fabric.balancer.open).all()


def test_two_choices_leave_a_gap_of_one_to_three_and_one_choice_a_wide_one():
    """B5, 10^5 dials over 100 gateways, in three runs of each; the mean of the maximum of one choice is 1 080.2 (B4)."""
    large = {"clients__count": 100_000, "gateways__count": 100, "clients__start": "20s", "run__duration": "22s"}
    for policy, least, most in (("two_choices", 1, 3), ("random", 40, 140)):
        topology = topology_of(BASE, balancer__policy=policy, **large)
        for n in range(3):
            assert least <= loads_of(topology.with_({"run.replication": n}), by_numba=True).max() - 1000 <= most


def test_the_next_dials_all_go_to_the_gateway_that_joined_until_it_has_as_many():
    """B10: least connections gives a gateway that joins empty every dial until it is level, and then its turn."""
    scale = "[{kind: scale_out, at: 5s}]"
    topology = topology_of(BASE, faults=scale, balancer__policy="least_connections", clients__start="10s", run__duration="12s", run__window="exact")
    fabric, picks = picks_of(topology)
    joined = int(np.argmax(picks == 9))
    before = np.bincount(picks[:joined], minlength=10)
    assert before[9] == 0 and before[:9].max() - before[:9].min() <= 1 and before[:9].min() > 20
    assert (picks[joined : joined + before[:9].min()] == 9).all()
    assert fabric.gateways.nodes.state[:, OPEN].tolist() == [50] * 10


# B3: a rolling restart, one gateway after the other.


@pytest.mark.parametrize(("gateways", "reconnects", "first"), [(3, 1.58333, 1.875), (10, 1.68117, 1.75686)])
def test_a_rolling_deploy_breaks_each_client_e_minus_1_times_and_leaves_a_slope(gateways, reconnects, first):
    """B3: with random placement ((n - 1)/n)((n/(n - 1))^n - 1) breaks of each client; the first one restarted ends fullest, the last one empty.

    10^5 clients: the half-width of the mean number of breaks is 0.3 % of it and that of the first load at most 1.5 %.
    """
    ratio = gateways / (gateways - 1)
    assert (ratio**gateways - 1) / ratio == pytest.approx(reconnects, abs=5e-6) and ratio**gateways - ratio == pytest.approx(first, abs=5e-6)
    drain = "{retry_after: 500ms, spread: 4s}"
    changes = {"balancer.policy": "random", "gateways.count": gateways, "gateways.drain": drain, "faults": DEPLOY, "clients.start": "connected"}
    result = run(topology_of(BASE, **changes, clients__count=100_000, run__duration=f"{12 + 12 * gateways}s", run__compiled="always"))
    assert result.lawful and result.end.connections == 100_000 and result.timeline[-1, TIMELINE.index("refusals")] == 0
    assert result.timeline[-1, TIMELINE.index("breaks")] / 100_000 == pytest.approx(reconnects, rel=0.01)
    loads = result.held[-1] * gateways / 100_000
    assert loads[0] == pytest.approx(first, rel=0.03) and loads[-1] == 0 and (np.diff(loads) < 0).all()


@pytest.mark.parametrize("policy", ["cookie", "consistent_hash", "maglev", "rendezvous"])
def test_who_waits_for_its_gateway_breaks_once_and_does_not_move(policy):
    """A policy that remembers, and advice to wait until the gateway is known to be back: one break for each client, no move, the same loads."""
    changes = {"balancer.policy": policy, "gateways.drain": "{retry_after: 11s, spread: 500ms}", "faults": DEPLOY, "clients.start": "connected"}
    result = run(topology_of(BASE, **changes, clients__count=2000, run__duration="135s"))
    assert result.timeline[-1, TIMELINE.index("breaks")] == result.rehydration["accepted"] == 2000 and result.rehydration["moved"] == 0
    assert (result.held[-1] == result.held[0]).all()
