"""Chance: the same address gives the same word in every form, words are as good as random, and every law is its own."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simfabric import chance
from simfabric.chance import SIDE, Law, below, bit_length, constant, decision_key, draw, tabulated, uniform, word
from simfabric.compiling import compiled, plain

MANY = 1_000_000
MS = 1_000_000.0  # Laws here are in ns, so that rounding to a whole number is far below what a million draws can show.
KEY = -7336000750645849715
WORDS = [4640269336218998925, 15996397076354509905, 7387689924482407163, 9818349105567873149]
NUMBERS = st.integers(-(2**63), 2**63 - 1)


def agrees(estimate, half_width, truth, delta):
    """The rule for statistical asserts: an interval too wide makes the test void, then the estimate must be within delta."""
    assert half_width <= delta / 2 * abs(truth), f"void: half-width {half_width / abs(truth):.2%} of the truth, delta {delta:.2%}"
    assert abs(estimate / truth - 1) <= delta, f"{estimate} is not within {delta:.2%} of {truth}"


# The words.


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_an_address_has_the_same_word_in_plain_python_in_numpy_and_compiled(key, entity, n):
    as_column = word(key, np.array([entity]), np.array([n]))
    assert as_column.dtype == np.uint64
    assert word(key, entity, n) == int(as_column[0]) == int(word(np.array([key]), entity, n)[0]) == compiled(word)(key, entity, n)


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, st.integers(1, 2**32 - 1))
def test_an_address_has_the_same_uniform_and_whole_number_in_every_form(key, entity, n, count):
    u, chosen = uniform(key, entity, n), below(key, entity, n, count)
    assert 0 <= u < 1 and 0 <= chosen < count
    assert u == uniform(key, np.array([entity]), n)[0] == compiled(uniform)(key, entity, n)
    assert chosen == int(below(key, np.array([entity]), n, count)[0]) == compiled(below)(key, entity, n, count)


def test_the_words_are_these_for_ever():
    assert decision_key(7, 0, "clients/backoff") == KEY
    assert [word(KEY, 0, 0), word(KEY, 1, 0), word(KEY, 0, 1), word(KEY, -1, 2**40)] == WORDS


def test_the_key_of_a_decision_tells_seed_replication_and_name_apart():
    keys = {decision_key(seed, replication, name) for seed in range(10) for replication in range(10) for name in ("a", "b", "a/b", "")}
    assert len(keys) == 400
    assert all(-(2**63) <= key < 2**63 for key in keys)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_the_bits_of_a_number_are_counted_right(v):
    for number in (v, 1 << (v % 63), (1 << (v % 63)) - 1):
        assert bit_length(number) == number.bit_length() == compiled(bit_length)(number)


# Z9: how random the words are.


def _keys_of_decisions():
    names = np.array([int.from_bytes(hashlib.blake2b(b"decision/%d" % i, digest_size=8).digest(), "big") for i in range(MANY)], np.uint64)
    keys = word(names, 7, 0)
    assert [int(key) for key in keys[:20].astype(np.int64)] == [decision_key(7, 0, f"decision/{i}") for i in range(20)]
    return keys


def _keys_of_seeds():
    name = int.from_bytes(hashlib.blake2b(b"clients/backoff", digest_size=8).digest(), "big")
    keys = word(name, np.arange(MANY), 0)
    assert [int(key) for key in keys[:20].astype(np.int64)] == [decision_key(seed, 0, "clients/backoff") for seed in range(20)]
    return keys


AXES = {
    "n": lambda: uniform(decision_key(7, 0, "z9"), 12, np.arange(MANY)),
    "entities": lambda: uniform(decision_key(7, 0, "z9"), np.arange(MANY), 12),
    "decisions": lambda: uniform(_keys_of_decisions(), 12, 3),
    "seeds": lambda: uniform(_keys_of_seeds(), 12, 3),
}


@pytest.mark.parametrize("axis", AXES)
def test_a_million_uniforms_along_any_axis_look_independent_and_even(axis):
    """Z9. Widths are over 4 standard errors, so the half-width of each estimate is below half its tolerance by construction."""
    u = AXES[axis]()
    assert len(u) == MANY and u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) <= 0.0012
    assert abs(u.var() * 12 - 1) <= 0.004
    cells = np.bincount((u * 1000).astype(np.int64), minlength=1000)
    chi2 = ((cells - MANY / 1000) ** 2).sum() / (MANY / 1000)
    low, high = stats.chi2.ppf([0.0005, 0.9995], 999)
    assert low <= chi2 <= high
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) <= 0.004


def test_addresses_next_to_each_other_on_two_axes_are_not_correlated():
    table = uniform(decision_key(7, 0, "z9"), np.arange(1000)[:, None], np.arange(1000)[None, :])
    diagonal = np.corrcoef(table[:-1, :-1].ravel(), table[1:, 1:].ravel())[0, 1]
    mirrored = np.corrcoef(table.ravel(), table.T.ravel())[0, 1]
    assert abs(diagonal) <= 0.004
    assert abs(mirrored) <= 0.006  # Every pair is there twice: half as many, √2 as wide.


def test_whole_numbers_below_a_count_are_even():
    drawn = below(decision_key(7, 0, "z9"), np.arange(MANY), 0, 37).astype(np.int64)
    assert stats.chisquare(np.bincount(drawn, minlength=37)).pvalue > 1e-3


# Z10: every law is its own.


def draws(answers, table, words):
    """A draw per word."""
    for i in range(len(words)):
        answers[i] = draw(table, words[i])


def drawn(law, words, form):
    answers = np.empty(len(words), np.int64)
    form(draws)(answers, tabulated(law), words)
    return answers


PIECES = (0.0, 10 * MS, 0.5, 20 * MS, 0.9, 100 * MS, 1.0, 400 * MS)
SIGMA = chance._lognormal_sigma(200.0, 640.0)
PIECES_MEAN = (0.5 * 15 + 0.4 * 60 + 0.1 * 250) * MS
PIECES_SQUARE = (0.5 * (15**2 + 10**2 / 12) + 0.4 * (60**2 + 80**2 / 12) + 0.1 * (250**2 + 300**2 / 12)) * MS**2

LAWS = {
    "uniform": (Law("uniform", (20 * MS, 60 * MS)), stats.uniform(20 * MS, 40 * MS)),
    "exponential": (Law("exponential", (25 * MS,)), stats.expon(0, 25 * MS)),
    "lognormal": (Law("lognormal", (200 * MS, 640 * MS)), stats.lognorm(SIGMA, 0, 200 * MS)),
    "weibull": (Law("weibull", (50 * MS, 1.5)), stats.weibull_min(1.5, 0, 50 * MS)),
    "weibull, stretched": (Law("weibull", (50 * MS, 0.7)), stats.weibull_min(0.7, 0, 50 * MS)),
    "pareto": (Law("pareto", (10 * MS, 1.5)), stats.pareto(1.5, 0, 10 * MS)),
}
ALL_LAWS = {name: law for name, (law, _) in LAWS.items()} | {"quantiles": Law("quantiles", PIECES), "constant": constant(12.4)}


def a_million(law):
    return drawn(law, word(decision_key(11, 0, "z10"), 5, np.arange(MANY)), compiled).astype(np.float64)


def check_mean_and_variance(x, mean, variance):
    """Z10: 0.6 % for the mean, 3 % for the variance; the 95 % interval of a million draws is less than half as wide."""
    agrees(x.mean(), 1.96 * x.std() / 1000, mean, 0.006)
    agrees(x.var(), 1.96 * ((x - x.mean()) ** 2).std() / 1000, variance, 0.03)


@pytest.mark.parametrize("name", ["uniform", "exponential", "lognormal", "weibull", "weibull, stretched"])
def test_a_million_draws_have_the_mean_variance_and_distribution_of_their_law(name):
    law, truth = LAWS[name]
    x = a_million(law)
    check_mean_and_variance(x, truth.mean(), truth.var())
    assert stats.kstest(x, truth.cdf).pvalue > 1e-3
    assert law.mean == pytest.approx(truth.mean())


def test_a_million_draws_from_given_quantiles_have_their_mean_variance_and_distribution():
    law = Law("quantiles", PIECES)
    x = a_million(law)
    check_mean_and_variance(x, PIECES_MEAN, PIECES_SQUARE - PIECES_MEAN**2)
    assert stats.kstest(x, lambda value: np.interp(value, PIECES[1::2], PIECES[0::2])).pvalue > 1e-3
    assert law.mean == pytest.approx(PIECES_MEAN)


def test_a_million_heavy_tailed_draws_have_the_quantiles_and_distribution_of_their_law():
    """A Pareto law of shape 1.5 has no variance: its quantiles are asked instead."""
    law, truth = LAWS["pareto"]
    x = a_million(law)
    assert stats.kstest(x, truth.cdf).pvalue > 1e-3
    for q in (0.5, 0.9, 0.99):
        error = math.sqrt(q * (1 - q) / MANY) / truth.pdf(truth.ppf(q))
        agrees(np.quantile(x, q), 1.96 * error, truth.ppf(q), 0.03)
    assert law.mean == pytest.approx(30 * MS)
    assert Law("pareto", (10.0, 1.0)).mean == math.inf


@pytest.mark.parametrize("name", LAWS)
def test_every_draw_is_the_quantile_of_its_word_far_into_both_tails(name):
    law, truth = LAWS[name]
    tail = np.unique(np.geomspace(2**7, 2**52, 3000).astype(np.int64))  # Probabilities 2^-46 … 1/2, in steps of 2^-53.
    lower = drawn(law, tail.astype(np.uint64) << np.uint64(11), plain)
    upper = drawn(law, (2**53 - 1 - tail).astype(np.uint64) << np.uint64(11), plain)
    assert lower == pytest.approx(truth.ppf(tail / 2.0**53), rel=3e-4, abs=1)
    assert upper == pytest.approx(truth.isf(tail / 2.0**53), rel=3e-4, abs=1)


@pytest.mark.parametrize("name", ALL_LAWS)
def test_a_draw_is_the_same_plain_and_compiled(name):
    law = ALL_LAWS[name]
    edges = [0, 2**64 - 1, 2**63, 2**63 - 1, 2**63 + 1, 63 << 11, 64 << 11, 65 << 11, (2**53 - 64) << 11, (2**53 - 65) << 11]
    octaves = [(2**k + step) << 11 for k in range(1, 53) for step in (-1, 0, 1)]
    words = np.concatenate([np.array(edges + octaves, np.uint64), word(decision_key(3, 0, "draws"), 0, np.arange(5000))])
    assert (drawn(law, words, plain) == drawn(law, words, compiled)).all()


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(ALL_LAWS)), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_greater_word_never_gives_a_smaller_draw(name, one, other):
    table = tabulated(ALL_LAWS[name])
    assert draw(table, min(one, other)) <= draw(table, max(one, other))


def test_a_constant_law_is_one_number_and_a_table_is_two_tails():
    assert constant(25.0).constant and constant(25.0).mean == 25.0
    assert {draw(tabulated(constant(25.0)), w) for w in (0, 2**63, 2**64 - 1)} == {25}
    assert len(tabulated(Law("exponential", (1.0,)))) == 2 * SIDE
    assert str(Law("lognormal", (200.0, 640.0))) == "lognormal(200, 640)"
