"""The reconnect delay: doubled up to a cap, then spread."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.compiling import compiled
from simfabric.protocol.rules import backoff

SECOND = 1_000_000_000


def test_delays_double_up_to_the_cap():
    assert [backoff(attempt, SECOND, 2, 30 * SECOND, 0.2, 0.5) // SECOND for attempt in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 3600 * SECOND),
    st.floats(1, 100),
    st.integers(0, 3600 * SECOND),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_a_delay_lies_within_the_jitter_of_the_capped_one_in_both_forms(attempt, first, factor, cap, jitter, u):
    growth = math.exp(min(attempt * math.log(factor), 700.0))
    middle = min(cap, first * growth)
    delay = backoff(attempt, first, factor, cap, jitter, u)
    assert middle * (1 - jitter) * (1 - 1e-9) - 1 <= delay <= middle * (1 + jitter) * (1 + 1e-9) + 1
    assert delay == compiled(backoff)(attempt, first, factor, cap, jitter, u)


@pytest.mark.parametrize("attempt", [0, 3, 9])
def test_the_spread_is_even_and_reaches_both_ends(attempt):
    middle = min(30, 2**attempt) * SECOND
    assert backoff(attempt, SECOND, 2, 30 * SECOND, 0.25, 0.0) == round(0.75 * middle)
    assert backoff(attempt, SECOND, 2, 30 * SECOND, 0.25, 0.5) == middle
    assert backoff(attempt, SECOND, 2, 30 * SECOND, 0.25, 0.75) == round(1.125 * middle)
    assert backoff(attempt, SECOND, 2, 30 * SECOND, 0.25, 1 - 2**-53) == round(1.25 * middle)


def test_without_jitter_chance_does_not_matter():
    assert {backoff(2, SECOND, 3, 60 * SECOND, 0.0, u) for u in (0.0, 0.3, 0.99)} == {9 * SECOND}


def test_a_first_delay_above_the_cap_is_the_cap():
    assert backoff(0, 90 * SECOND, 2, 30 * SECOND, 0.0, 0.1) == 30 * SECOND
