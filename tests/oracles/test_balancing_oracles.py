"""Balancing and skew against their closed forms: rows B1, B2, B4, B5, B7, B8 and B10 of the oracles.

Every statistical assert goes through `agrees`: it is void unless the half-width of its 95 % interval is at most half its tolerance, so a
correct engine fails it with probability below 1e-4 and a bias of 1.5 tolerances is caught in 97.5 %. Seeds are fixed.
"""

import math

import numpy as np
import pytest

from simfabric.chance import decision_key
from simfabric.compiling import compiled
from simfabric.policies.balancing import BoundedHash, ConsistentHash, Dials, LeastConnections, Pool, Random, SourceAddress, TwoChoices
from simfabric.policies.partitioning import channel_partitions
from simfabric.policies.popularity import zipf


def agrees(samples, truth, delta, transformed=lambda mean: (mean, 1.0)):
    """The mean of independent samples is the truth to within delta, by an interval at most half as wide.

    `transformed` answers the estimate at a mean and its derivative there (for a root of a mean).
    """
    estimate, slope = transformed(np.mean(samples))
    half_width = 1.96 * np.std(samples, ddof=1) / math.sqrt(len(samples)) * slope
    assert half_width <= delta / 2 * truth, f"void: half-width {half_width / truth:.2%} of the truth, delta {delta:.2%}"
    assert abs(estimate / truth - 1) <= delta, f"{estimate} ± {half_width} is not within {delta:.2%} of {truth}"


def root(mean):
    return math.sqrt(mean), 0.5 / math.sqrt(mean)


def squared_variation(loads):
    """The square of the coefficient of variation of the loads, about their known mean (so that rings may be averaged)."""
    return ((loads * (len(loads) / loads.sum()) - 1) ** 2).mean()


def dials_of(count, address=None):
    row = np.arange(count)
    return Dials(row, row, row, row if address is None else address, np.full(count, -1), row, row)


def pool_of(count, replication, **columns):
    key = decision_key(2024, replication, "balancer")
    return Pool(np.ones(count, bool), columns.get("open", np.zeros(count, np.int64)), columns.get("weight", np.ones(count)), key)


def loads_of(policy, dials, pool, form=compiled):
    return np.bincount(policy.pick(dials, pool, form), minlength=len(pool.eligible))


# B1: the shares of a hash ring.


def arcs_of(policy, pool):
    """The exact share of the ring that every gateway owns."""
    points, owners = policy.table(pool.eligible, pool.key)
    arcs = np.diff(points, prepend=points[-1:])  # Wraps around zero, as the ring does.
    return np.bincount(owners, arcs.astype(np.float64), minlength=len(pool.eligible))


@pytest.mark.parametrize(
    ("gateways", "points", "variation", "highest"), [(10, 10, 0.29851, None), (10, 100, 0.09482, 1.160), (10, 1000, 0.03, None), (50, 100, 0.09899, 1.239)]
)
def test_the_arcs_of_a_ring_vary_as_the_beta_law_says(gateways, points, variation, highest):
    """B1, over 1 600 rings; the mean of the highest share over the average is a measurement (± 1 %)."""
    policy = ConsistentHash(points=points)
    rings = [arcs_of(policy, pool_of(gateways, replication)) for replication in range(1600)]
    assert rings[0].sum() == pytest.approx(2.0**64)
    assert variation == pytest.approx(math.sqrt((gateways - 1) / (gateways * points + 1)), abs=5e-5)
    agrees([squared_variation(arcs) for arcs in rings], variation, 0.03, root)
    if highest:
        agrees([arcs.max() / arcs.mean() for arcs in rings], highest, 0.01)


def test_the_clients_of_a_ring_vary_by_their_own_number_too():
    """B1 with 10^4 keys on 10 gateways of 1 000 points: CV² (1 - 1/N) + (n - 1)/N."""
    policy, dials = ConsistentHash(points=1000), dials_of(10_000)
    samples = [squared_variation(loads_of(policy, dials, pool_of(10, replication))) for replication in range(1600)]
    truth = math.sqrt(9 / 10_001 * (1 - 1 / 10_000) + 9 / 10_000)
    assert truth == pytest.approx(0.04242, abs=5e-6)
    agrees(samples, truth, 0.03, root)


# B2: bounded loads.


@pytest.mark.parametrize(("excess", "bound"), [(0.25, 1250), (0.1, 1100)])
def test_no_gateway_of_a_bounded_ring_is_ever_above_its_bound(excess, bound):
    """B2: hard, on every path; 1100 and not the 1101 of floating point."""
    highest = [loads_of(BoundedHash(excess=excess), dials_of(100_000), pool_of(100, replication)).max() for replication in range(20)]
    assert max(highest) <= bound
    assert max(highest) == bound, "some gateway of a ring of 100 points would be above, so the bound is reached"


# B4 and B5: balls into bins.


@pytest.mark.parametrize(("dials", "gateways", "highest", "draws"), [(100_000, 100, 1080.2, 400), (1000, 1000, 5.514, 12_000)])
def test_the_highest_load_of_random_placement_is_the_exact_mean(dials, gateways, highest, draws):
    batch = dials_of(dials)
    agrees([loads_of(Random(), batch, pool_of(gateways, replication)).max() for replication in range(draws)], highest, 0.005)


def test_two_choices_leave_a_gap_that_does_not_grow_with_the_dials():
    """B5: the gap between the highest load and the average is ln ln n / ln 2 + O(1), always within [1, 3]; one choice leaves 80 and more."""
    gaps = {}
    for dials, gateways, draws in [(100_000, 100, 100), (1_000_000, 100, 12), (1_000_000, 1000, 12)]:
        batch = dials_of(dials)
        gaps[dials, gateways] = [loads_of(TwoChoices(), batch, pool_of(gateways, replication)).max() - dials / gateways for replication in range(draws)]
        assert min(gaps[dials, gateways]) >= 1 and max(gaps[dials, gateways]) <= 3
    agrees(gaps[100_000, 100], 1.89, 0.1)  # Measured: ± .03.


# B7: clients that share an address.


@pytest.mark.parametrize(("groups", "size", "variation"), [(0, 1, 0.03), (50, 40, 0.08899), (20, 100, 0.13682)])
def test_shared_addresses_widen_the_shares_of_a_source_hash_by_the_design_effect(groups, size, variation):
    """B7: 10 000 clients on 10 gateways, 8 000 alone and 2 000 behind shared addresses (or all alone), over 2 000 hashes."""
    alone = 10_000 - groups * size
    sizes = np.concatenate([np.ones(alone, np.int64), np.full(groups, size)])
    assert math.sqrt(9 * (sizes**2).sum()) / 10_000 == pytest.approx(variation, abs=5e-6)
    policy, addresses = SourceAddress(), dials_of(len(sizes))
    clients = dials_of(10_000, address=np.repeat(np.arange(len(sizes)), sizes))
    samples = []
    for replication in range(2000):
        pool = pool_of(10, replication)
        loads = np.bincount(policy.pick(addresses, pool), sizes, minlength=10)
        if replication < 5:
            assert (loads == loads_of(policy, clients, pool)).all(), "an address at a time or a client at a time"
        samples.append(squared_variation(loads))
    agrees(samples, variation, 0.03, root)


# B8: skewed channels on partitions.


@pytest.mark.parametrize(
    ("channels", "exponent", "share", "variation"),
    [(100_000, 0.8, 0.05251, 0.18468), (100_000, 1.0, 0.11138, 0.59064), (100_000, 1.2, 0.22151, 1.28615), (1000, 1.0, 0.16067, 0.95368)],
)
def test_zipf_channels_load_kafkas_partitions_as_the_sum_of_their_squares_says(channels, exponent, share, variation):
    """B8 on 32 partitions, over maps of Kafka's own partitioner: each map is another range of channel ids."""
    shares = zipf(channels, exponent)
    assert shares[0] + (1 - shares[0]) / 32 == pytest.approx(share, abs=5e-6)
    assert math.sqrt(31 * (shares**2).sum()) == pytest.approx(variation, abs=5e-6)
    of_the_first, samples = [], []
    for index in range(400 if channels > 1000 else 4000):
        partitions = channel_partitions(np.arange(index * channels, (index + 1) * channels), 32)
        loads = np.bincount(partitions, shares, minlength=32)
        of_the_first.append(loads[partitions[0]])
        samples.append(squared_variation(loads))
    agrees(of_the_first, share, 0.03)
    agrees(samples, variation, 0.03, root)


# B10: least connections and the gateway that joins.


def test_all_dials_go_to_the_gateway_that_joined_empty_until_it_has_as_many():
    loads = np.array([1000] * 4 + [0] + [1000] * 5)
    answer = LeastConnections().pick(dials_of(1010), pool_of(10, 1, open=loads))
    assert (answer[:1000] == 4).all()
    assert sorted(answer[1000:]) == list(range(10))


def test_slow_start_spreads_the_dials_over_all():
    """With a weight of 0.1 the new gateway is level at x/0.1 = y, x + 9 y = 10 000: 110 of the next 1 000 dials are its own, not all."""
    loads, weight = np.array([1000] * 4 + [0] + [1000] * 5), np.array([1.0] * 4 + [0.1] + [1.0] * 5)
    answer = LeastConnections().pick(dials_of(1000), pool_of(10, 1, open=loads, weight=weight))
    shares = np.bincount(answer)
    assert shares[4] in (109, 110)
    assert shares[np.arange(10) != 4].min() >= 98


def test_a_slow_start_never_gives_the_new_gateway_everything():
    """1 000 dials in each of ten steps of a slow start of ten seconds; without it, the first step would give the new gateway all."""
    policy, loads, own = LeastConnections(slow_start=10_000_000_000), np.array([5000] * 9 + [0]), []
    for second in range(11):
        age = np.array([100] * 9 + [second]) * 1_000_000_000
        answer = policy.pick(dials_of(1000), pool_of(10, 1, open=loads, weight=policy.weights(age)))
        loads = loads + np.bincount(answer, minlength=10)
        own.append(int((answer == 9).sum()))
    assert max(own) < 900
    assert own[0] < 600
    assert loads[9] == pytest.approx(loads[:9].mean(), rel=0.01), "at the end it carries as much as the others"
