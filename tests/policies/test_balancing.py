"""Balancing: what every policy keeps, and what each one promises."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.chance import below, word
from simfabric.compiling import compiled, plain
from simfabric.policies.balancing import (
    BALANCING,
    BoundedHash,
    ConsistentHash,
    Cookie,
    Dials,
    LeastConnections,
    Maglev,
    Pool,
    Random,
    Rendezvous,
    RoundRobin,
    SourceAddress,
    TwoChoices,
)
from simfabric.policies.hashing import fill_in_turn
from simfabric.policies.loads import least_loaded, shuffled_rank
from simfabric.policies.pools import settled

# Every policy by name, and the policy that remembers on top of each kind of the others; a small Maglev table is as good as a large one here.
POLICIES = {name: make() for name, make in BALANCING.items()} | {
    "maglev": Maglev(size=251),
    "consistent_hash": ConsistentHash(points=7),
    "bounded_hash": BoundedHash(points=7, excess=0.1),
    "consistent_hash by tenant": ConsistentHash(by="tenant", points=7),
    "three choices": TwoChoices(choices=3),
    "cookie, random": Cookie(Random()),
    "cookie, rendezvous": Cookie(Rendezvous()),
    "cookie, two choices": Cookie(TwoChoices()),
    "cookie, least connections": Cookie(LeastConnections()),
    "cookie, bounded": Cookie(BoundedHash(points=7)),
    "cookie, cookie": Cookie(Cookie(LeastConnections())),
}
NAMES = sorted(POLICIES)


def dials_of(count, first=0, cookie=None):
    """`count` dials of as many clients, three to a user, five to a tenant, four to an address."""
    client = np.arange(first, first + count)
    cookies = np.full(count, -1) if cookie is None else np.asarray(cookie)
    return Dials(client, client // 3, client // 5, client // 4 + 1000, cookies, client.copy(), client * 1_000_000)


def pool_of(count, key=17, without=(), **columns):
    """A pool of `count` gateways, empty and warm unless told otherwise."""
    eligible = np.ones(count, bool)
    eligible[list(without)] = False
    return Pool(eligible, columns.get("open", np.zeros(count, np.int64)), columns.get("weight", np.ones(count)), key, columns.get("turn", 0))


@st.composite
def situations(draw):
    """A pool in any state and a batch of dials, some with a cookie (which may name a gateway that is not eligible, or was removed)."""
    gateways = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng(seed)
    dials = chance.integers(1, 80)
    eligible = chance.random(gateways) < draw(st.sampled_from([1.0, 0.7, 0.2]))
    connections = chance.integers(0, draw(st.sampled_from([1, 4, 100])), gateways)
    weight = np.where(chance.random(gateways) < 0.5, 1.0, chance.random(gateways))
    cookie = np.where(chance.random(dials) < 0.4, chance.integers(-1, gateways + 2, dials), -1)
    first = int(chance.integers(0, 1000))
    client = chance.integers(0, 50, dials)
    row = np.arange(first, first + dials)
    return (
        Dials(client, client // 3, client // 5, client // 4, cookie, row, row),
        Pool(eligible, connections, weight, int(chance.integers(-(2**63), 2**63 - 1)), first),
    )


def picked_in_parts(policy, dials, pool, cuts, form):
    """The same dials in batches, the caller carrying what is open."""
    connections, answers = pool.open.copy(), []
    for begin, end in pairwise([0, *sorted(cuts), len(dials)]):
        part = policy.pick(dials.part(slice(begin, end)), Pool(pool.eligible, connections.copy(), pool.weight, pool.key, pool.turn + begin), form)
        np.add.at(connections, part[part >= 0], 1)
        answers.append(part)
    return np.concatenate(answers)


# What every policy keeps.


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(situation=situations(), shares=st.lists(st.floats(0, 1), max_size=6))
def test_the_answers_do_not_depend_on_how_the_dials_are_cut_into_batches(name, situation, shares):
    dials, pool = situation
    whole = POLICIES[name].pick(dials, pool)
    cuts = [int(share * len(dials)) for share in shares]
    assert (picked_in_parts(POLICIES[name], dials, pool, cuts, plain) == whole).all()
    assert (picked_in_parts(POLICIES[name], dials, pool, range(1, len(dials)), plain) == whole).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(situation=situations())
def test_the_answers_are_the_same_plain_and_compiled(name, situation):
    dials, pool = situation
    assert (POLICIES[name].pick(dials, pool, compiled) == POLICIES[name].pick(dials, pool, plain)).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(situation=situations())
def test_every_dial_gets_an_eligible_gateway_or_none_when_there_is_none(name, situation):
    dials, pool = situation
    before = pool.open.copy()
    answer = POLICIES[name].pick(dials, pool)
    assert answer.dtype == np.int64 and len(answer) == len(dials)
    if pool.eligible.any():
        assert pool.eligible[answer].all()
    else:
        assert (answer == -1).all()
    assert (pool.open == before).all(), "a policy counts in a copy of its own"


@pytest.mark.parametrize("name", NAMES)
def test_no_dials_are_no_answers(name):
    assert len(POLICIES[name].pick(dials_of(0), pool_of(4))) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_frozen_and_equal_to_its_like(name):
    policy = POLICIES[name]
    assert hash(policy) == hash(POLICIES[name])
    with pytest.raises((AttributeError, TypeError)):
        policy.anything = 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_the_answer_and_counts_as_open(name):
    """A hundred dials are kept on gateway 2; whoever looks at loads then avoids it until the others have as many."""
    kept = np.full(400, -1)
    kept[:100] = 2
    answer = POLICIES[name].pick(dials_of(400), pool_of(4, weight=np.ones(4)), plain, kept)
    assert (answer[:100] == 2).all()
    if name in {"least_connections", "cookie, least connections", "cookie, cookie"}:
        assert (answer[100:] != 2).sum() == 300
    if name in {"two_choices", "three choices", "cookie, two choices", "bounded_hash", "cookie, bounded"}:
        assert (answer[100:] == 2).sum() < 30


# By turn and by chance.


def test_round_robin_goes_through_the_eligible_gateways_in_turn():
    assert list(RoundRobin().pick(dials_of(7), pool_of(4, without=[1]))) == [0, 2, 3, 0, 2, 3, 0]
    assert list(RoundRobin().pick(dials_of(3), pool_of(4, without=[1], turn=2))) == [3, 0, 2]


def test_random_is_drawn_by_the_number_of_the_dial_and_the_key_of_the_pool():
    one, other = (Random().pick(dials_of(1000), pool_of(10, key)) for key in (1, 2))
    assert (one == other).mean() == pytest.approx(0.1, abs=0.04)
    assert (Random().pick(dials_of(400, first=600), pool_of(10, 1)) == one[600:]).all()


# By load, against slow and obvious oracles.


def naive(dials, pool, best_of):
    """Dial by dial: the best eligible gateway by the plain words of the policy."""
    connections, answers = pool.open.astype(int).tolist(), []
    for i in range(len(dials)):
        gateway = best_of(i, connections)
        connections[gateway] += 1
        answers.append(gateway)
    return answers


@settings(max_examples=200, deadline=None)
@given(situations())
def test_least_connections_is_the_least_of_open_plus_one_over_weight(situation):
    dials, pool = situation
    members, rank = pool.members().tolist(), shuffled_rank(len(pool.open), pool.key)
    if members:
        truth = naive(dials, pool, lambda i, connections: min(members, key=lambda g: ((connections[g] + 1) / pool.weight[g], rank[g])))
        assert LeastConnections().pick(dials, pool).tolist() == truth


@settings(max_examples=200, deadline=None)
@given(situations(), st.integers(1, 4))
def test_two_choices_is_the_first_least_loaded_of_the_drawn(situation, choices):
    dials, pool = situation
    members = pool.members().tolist()
    if members:

        def best_of(i, connections):
            drawn = [members[below(pool.key, int(dials.n[i]), choice, len(members))] for choice in range(choices)]
            return min(drawn, key=lambda g: (connections[g] + 1) / pool.weight[g])

        assert TwoChoices(choices).pick(dials, pool).tolist() == naive(dials, pool, best_of)


@settings(max_examples=200, deadline=None)
@given(situations(), st.integers(1, 5), st.sampled_from([0.01, 0.1, 0.25, 3.0]))
def test_a_bounded_hash_is_the_first_gateway_clockwise_below_the_bound(situation, points, excess):
    dials, pool = situation
    members = pool.members().tolist()
    if members:
        policy = BoundedHash(points=points, excess=excess)
        ring, owners = policy.table(pool.eligible, pool.key)
        allowed = 1 + Fraction(str(excess))

        def best_of(i, connections):
            bound = math.ceil(allowed * (sum(connections[g] for g in members) + 1) / len(members))
            hashed = word(pool.key, int(dials.client[i]), -1)
            clockwise = sorted(range(len(ring)), key=lambda at: (int(ring[at]) - hashed) % 2**64)
            return next(int(owners[at]) for at in clockwise if connections[owners[at]] < bound)

        assert policy.pick(dials, pool).tolist() == naive(dials, pool, best_of)


def test_the_cost_of_a_dial_grows_with_the_logarithm_of_the_number_of_gateways():
    """Reads of the heap per dial, counted: a scan over 1 024 gateways would be 1 024 or more."""

    class Counted(list):
        reads = 0

        def __getitem__(self, at):
            Counted.reads += 1
            return super().__getitem__(at)

    count, dials = 1024, 5000
    heap = Counted(range(count))
    least_loaded([-1] * dials, heap, list(range(count)), list(range(count)), [1.0] * count, [0] * count, [1.0] * count)
    assert dials < Counted.reads <= dials * 6 * math.log2(count)


def test_a_gateway_without_weight_is_the_last_resort():
    for policy in (LeastConnections(), TwoChoices(choices=64)):
        answer = policy.pick(dials_of(300), pool_of(3, weight=np.array([1.0, 0.0, 1.0])))
        assert 1 not in answer
        assert (policy.pick(dials_of(10), pool_of(3, without=[0, 2], weight=np.array([1.0, 0.0, 1.0]))) == 1).all()


def test_equals_are_taken_in_an_order_that_the_key_shuffles():
    orders = {tuple(LeastConnections().pick(dials_of(6), pool_of(6, key))) for key in range(50)}
    assert len(orders) > 40
    assert all(sorted(order) == list(range(6)) for order in orders)


def test_a_gateway_that_joins_changes_nobodys_place_among_the_others():
    before, after = shuffled_rank(20, 5), shuffled_rank(21, 5)
    assert (np.argsort(before) == [g for g in np.argsort(after) if g != 20]).all()


def test_slow_start_grows_the_weight_from_least_to_one():
    second = 1_000_000_000
    policy = LeastConnections(slow_start=30 * second, least_weight=0.1)
    assert list(policy.weights(np.array([0, 1, 15, 30, 3000]) * second)) == [0.1, 0.1, 0.5, 1, 1]
    assert list(LeastConnections().weights(np.array([0, 5]))) == [1, 1]


# By who knocks.

RINGS = [ConsistentHash(points=40), Rendezvous()]


@pytest.mark.parametrize("policy", RINGS, ids=str)
def test_when_a_gateway_leaves_exactly_its_clients_move(policy):
    dials = dials_of(20_000)
    before = policy.pick(dials, pool_of(10))
    after = policy.pick(dials, pool_of(10, without=[3]))
    assert ((before != after) == (before == 3)).all()
    assert (before == 3).sum() > 1000
    assert len(np.unique(after[before == 3])) == 9, "they spread over all the others"


@pytest.mark.parametrize("policy", RINGS, ids=str)
def test_when_a_gateway_joins_clients_move_to_it_only(policy):
    dials = dials_of(20_000)
    before, after = policy.pick(dials, pool_of(10)), policy.pick(dials, pool_of(11))
    assert (after[before != after] == 10).all()
    assert (before != after).mean() == pytest.approx(1 / 11, abs=0.05)


def test_when_a_gateway_leaves_maglev_moves_its_clients_and_few_others():
    """The paper's figure 12: with slots a hundred times the gateways or more, a few per cent at most move for nothing."""
    table = Maglev().table(np.ones(10, bool), 17)
    after = Maglev().table(np.arange(10) != 3, 17)
    assert (after[table == 3] != 3).all()
    assert 0 < (table != after)[table != 3].mean() < 0.05


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_the_slots_of_maglev_are_shared_out_to_within_one(count):
    slots = np.bincount(Maglev(size=1009).table(np.ones(count, bool), 5), minlength=count)
    assert slots.sum() == 1009 and slots.max() - slots.min() <= 1


def test_maglev_fills_its_table_as_the_paper_does():
    """The example of the paper's table 1: offsets 3, 0, 3, skips 4, 2, 1, seven slots; then without the second backend."""
    table = np.full(7, -1)
    fill_in_turn(table, np.array([3, 0, 3]), np.array([4, 2, 1]))
    assert table.tolist() == [1, 0, 1, 0, 2, 2, 0]
    table = np.full(7, -1)
    fill_in_turn(table, np.array([3, 3]), np.array([4, 1]))
    assert table.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_when_a_gateway_leaves_a_source_hash_moves_nearly_everybody():
    dials = dials_of(40_000)
    before, after = SourceAddress().pick(dials, pool_of(10)), SourceAddress().pick(dials, pool_of(10, without=[3]))
    assert (before != after).mean() == pytest.approx(0.9, abs=0.02)


def test_clients_behind_one_address_stay_together():
    answer = SourceAddress().pick(dials_of(4000), pool_of(10))
    assert (answer.reshape(-1, 4) == answer[::4, None]).all()
    assert len(np.unique(answer)) == 10


@pytest.mark.parametrize("make", [ConsistentHash, Rendezvous, Maglev])
def test_a_hash_goes_by_what_it_is_told_to(make):
    dials = dials_of(3000)
    by_user = make(by="user").pick(dials, pool_of(10))
    assert (by_user.reshape(-1, 3) == by_user[::3, None]).all()
    assert (make(by="address").pick(dials, pool_of(10)).reshape(-1, 4).std(axis=1) == 0).all()
    assert len(np.unique(make(by="client").pick(dials.part(slice(0, 60)), pool_of(10)))) > 5


def test_another_key_is_another_ring():
    one, other = (ConsistentHash().pick(dials_of(2000), pool_of(10, key)) for key in (1, 2))
    assert (one == other).mean() < 0.2


def test_a_ring_has_its_points_per_eligible_gateway_in_order():
    points, owners = ConsistentHash(points=50).table(np.arange(8) != 5, 3)
    assert (np.diff(points.astype(object)) > 0).all()
    assert np.bincount(owners, minlength=8).tolist() == [50, 50, 50, 50, 50, 0, 50, 50]
    with pytest.raises(ValueError, match="read-only"):
        owners[0] = 1


# Memory, and errors.


def test_a_cookie_leads_back_until_its_gateway_is_gone():
    dials = dials_of(6, cookie=[3, -1, 1, 9, 3, -2])
    assert Cookie(RoundRobin()).pick(dials, pool_of(4, without=[1])).tolist() == [3, 2, 3, 0, 3, 3]


def test_a_cookies_connections_count_for_the_policy_behind_it():
    """Gateway 0 is given 30 by cookies, in between; the 30 without go to the two others."""
    dials = dials_of(60, cookie=[0, -1] * 30)
    answer = Cookie(LeastConnections()).pick(dials, pool_of(3))
    assert np.bincount(answer).tolist()[0] in (30, 31)


def test_a_policy_of_your_own_is_one_more_entry():
    class First:
        def pick(self, dials, pool, form=plain, kept=None):
            return settled(kept, np.full(len(dials), pool.members()[0]))

    assert Cookie(First()).pick(dials_of(3, cookie=[2, -1, 0]), pool_of(3, without=[0])).tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConsistentHash(points=0), "points = 0"),
        (lambda: BoundedHash(points=-1), "points = -1"),
        (lambda: BoundedHash(excess=0.0), "excess = 0.0"),
        (lambda: BoundedHash(excess=1e-9), "excess = 1e-09"),
        (lambda: Maglev(size=65536), "size = 65536"),
        (lambda: Maglev(size=1), "size = 1"),
        (lambda: TwoChoices(choices=0), "choices = 0"),
        (lambda: LeastConnections(least_weight=0.0), "least_weight = 0.0"),
    ],
)
def test_a_senseless_parameter_is_refused_with_its_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_dial_cannot_be_kept_on_a_gateway_that_is_not_eligible():
    with pytest.raises(AssertionError, match="not eligible"):
        LeastConnections().pick(dials_of(2), pool_of(3, without=[1]), plain, np.array([-1, 1]))
