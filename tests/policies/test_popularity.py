"""Popularity: shares that sum to one, and a table that finds what a search finds."""

import math

import numpy as np
import pytest
from hypothesis import assume, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from simfabric.compiling import compiled, plain
from simfabric.policies.popularity import equal, find, given, guide, zipf

LAST = 1 - 2.0**-53  # The greatest uniform number below 1.
WEIGHTS = st.lists(st.floats(0, 1e6) | st.sampled_from([0.0, 1.0, 1e-300]), min_size=1, max_size=70)


@settings(deadline=None)
@drawn(WEIGHTS, st.lists(st.floats(0, LAST), max_size=20))
def test_a_channel_is_found_where_a_search_finds_it(weights, uniforms):
    assume(max(weights) > 0)
    shares = given(weights)
    cumulative, table = guide(shares)
    assert cumulative[-1] == 1.0 and table.dtype == np.int32
    assert len(table).bit_count() == 1 and len(shares) <= len(table) < 2 * len(shares), "a power of two of steps: u · steps is exact"
    edges = [u for edge in cumulative for u in (edge, math.nextafter(edge, 0), math.nextafter(edge, 1)) if u < 1]
    steps = [step / len(table) for step in range(len(table))]
    for u in [0.0, LAST, *uniforms, *edges, *steps, *(math.nextafter(step, 0) for step in steps)]:
        channel = plain(find)(cumulative, table, float(u))
        assert channel == np.searchsorted(cumulative, u, side="right") == compiled(find)(cumulative, table, float(u))
        assert shares[channel] > 0, "nobody publishes on a channel without a share"


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.0, 1.2])
def test_finding_a_channel_takes_less_than_two_comparisons_on_average(exponent):
    cumulative, table = guide(zipf(5000, exponent))
    u = (np.arange(100_000) + 0.5) / 100_000
    steps = np.searchsorted(cumulative, u, side="right") - table[(u * len(table)).astype(int)]
    assert steps.min() >= 0 and steps.mean() + 1 < 2


@pytest.mark.parametrize(("count", "exponent", "first"), [(10**5, 0.8, 0.02195), (10**5, 1.0, 0.08271), (10**5, 1.2, 0.19640), (10**3, 1.0, 0.13359)])
def test_the_first_of_zipf_has_one_over_the_harmonic_number(count, exponent, first):
    """The figures of oracle B8."""
    shares = zipf(count, exponent)
    assert shares[0] == pytest.approx(first, abs=5e-6)
    assert shares[9] == pytest.approx(shares[0] * 10**-exponent)
    assert shares.sum() == pytest.approx(1) and (np.diff(shares) < 0).all()


def test_equal_shares_are_equal_and_given_ones_are_in_proportion():
    assert (equal(8) == 0.125).all()
    assert zipf(8, 0.0) == pytest.approx(equal(8))
    assert given([1, 0, 3]).tolist() == [0.25, 0, 0.75]


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [1.0, math.nan], [math.inf]])
def test_weights_without_a_meaning_are_refused(weights):
    with pytest.raises(ValueError, match="popularity"):
        given(weights)


def test_no_channels_have_no_popularity():
    for shares in (lambda: equal(0), lambda: zipf(0, 1.0), lambda: guide(np.array([]))):
        with pytest.raises(ValueError, match="0 channels"):
            shares()
