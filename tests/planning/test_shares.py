"""How the balancer's policy spreads connections: foretold shares against clients that were really placed."""

from __future__ import annotations

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.state import OPEN
from simfabric.planning.flows import Spread, spread_of
from simfabric.planning.shares import bounded, gateway_shares, ring_shares
from simfabric.topology import Topology, loads
from simfabric.topology.edge import POLICIES
from simfabric.topology.expected import Aim


def topology_of(*sets: str) -> Topology:
    text = "version: 1\nclients: {count: 6_000, subscriptions: 0, tenants: 30, behind_nat: 60%, nat_size: 300}\ntraffic: []\ngateways: {count: 5}\n"
    return loads(text, sets=sets)


def placed(topology: Topology) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The share of the clients that each gateway of a real fabric holds."""
    fabric = Fabric(topology, by_numba=False)
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = fabric.gateways.nodes.state[:, OPEN] / topology.clients.count
    return shares


@pytest.mark.parametrize("policy", POLICIES)
def test_every_gateway_gets_the_share_that_is_foretold(policy: str) -> None:
    topology = topology_of(f"balancer.policy={policy}")
    shares = gateway_shares(topology)
    assert shares.sum() == pytest.approx(1.0)
    luck = 4 * np.sqrt(0.2 * 0.8 / 6_000)  # Of users who are hashed one by one.
    flow_over = 0.03 if policy == "bounded_hash" else 0.0  # What is too much for one gateway goes to its neighbours, not to all.
    assert shares == pytest.approx(placed(topology), abs=luck + flow_over)


@pytest.mark.parametrize("policy", ["consistent_hash", "bounded_hash", "rendezvous", "maglev"])
def test_a_large_tenant_makes_its_gateway_the_fullest(policy: str) -> None:
    topology = topology_of(f"balancer.policy={policy}", "balancer.key=tenant", "clients.tenant_popularity=1.5", "balancer.load_bound=400%")
    largest = 1 / (np.arange(1, 31) ** 1.5 * (np.arange(1, 31) ** -1.5).sum())[0]
    assert gateway_shares(topology).sum() == pytest.approx(1.0)
    assert gateway_shares(topology).max() >= largest - 1e-9
    assert placed(topology).max() >= 0.9 * largest
    if policy == "consistent_hash":
        assert gateway_shares(topology) == pytest.approx(placed(topology), abs=0.03)


def test_more_points_make_a_ring_more_even() -> None:
    deviations = [ring_shares(50, points, 7).std() * 50 for points in (1, 10, 100, 1000)]
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[2] == pytest.approx(0.1, rel=0.4)  # 1 / sqrt(100).
    assert ring_shares(1, 1, 7) == pytest.approx([1.0])


def test_no_share_is_above_its_bound() -> None:
    shares = bounded(np.array([0.5, 0.2, 0.2, 0.05, 0.05]), 0.25)
    assert shares.sum() == pytest.approx(1.0)
    assert shares.max() <= 0.25 + 1e-9
    assert shares == pytest.approx([0.25, 0.25, 0.25, 0.125, 0.125])


def test_gateways_of_many_sizes_are_taken_together_and_the_fullest_stays_alone() -> None:
    shares = np.random.default_rng(1).dirichlet(np.full(1000, 30.0))
    spread = spread_of(shares)
    assert [spread.count.sum(), spread.count @ spread.share] == pytest.approx([1000.0, 1.0])
    assert [spread.share[-1], spread.count[-1]] == pytest.approx([shares.max(), 1.0])
    one = Aim(np.ones(1), np.array([0.002]), 0)
    exact = (1 - 0.998 ** (shares * 100_000)).sum()
    assert spread.reach(one, 100_000) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(("share", "surely", "reach"), [(0.0, 0, 0.0), (0.0, 1, 1.0), (1.0, 0, 4.0), (1.0, 1, 4.0)])
def test_who_nobody_reads_reaches_no_gateway_and_who_all_read_reaches_all(share: float, surely: int, reach: float) -> None:
    spread = Spread(np.array([4.0]), np.array([0.25]))
    assert spread.reach(Aim(np.ones(1), np.array([share]), surely), 1000) == pytest.approx(reach)
