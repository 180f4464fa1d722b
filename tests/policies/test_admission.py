"""Admission: a bucket never gives more than it holds (Cruz 1991), and is the protocol's bucket in one number instead of two."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.compiling import compiled
from simfabric.policies.admission import ADMISSION, interval_of, leaky_bucket, token_bucket
from simfabric.protocol.queues import TOKEN, bucket, bucket_wait

SECOND = 1_000_000_000
quickly = settings(max_examples=200, deadline=None, derandomize=True, database=None)
GAPS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 40), st.integers(0, 400)), min_size=1, max_size=60)


def times(gaps):
    """Arrivals, each so long after the one before."""
    at = 0
    for gap in gaps:
        at += gap
        yield at


def asked(policy, gaps, interval, burst, costs=None):
    """(arrival, cost, admitted, wait) of every request."""
    full_at, answers = 0, []
    for at, cost in zip(times(gaps), costs or [1] * len(gaps)):
        admitted, full_at, wait = policy(at, full_at, interval, burst, cost)
        answers.append((at, cost, admitted, wait))
    return answers


@quickly
@given(GAPS, st.integers(1, 50), st.integers(1, 8), st.lists(st.integers(1, 4), min_size=60, max_size=60))
@pytest.mark.parametrize("name", ADMISSION)
def test_in_no_window_more_is_admitted_than_the_burst_and_what_comes_meanwhile(name, gaps, interval, burst, costs):
    taken = [(at, cost) for at, cost, admitted, _ in asked(ADMISSION[name], gaps, interval, burst, costs) if admitted]
    for i, (first, _) in enumerate(taken):
        total = 0
        for last, cost in taken[i:]:
            total += cost
            assert (total - burst) * interval <= last - first


@quickly
@given(GAPS, st.integers(1, 50), st.integers(1, 8))
def test_what_leaves_a_queue_is_evenly_spaced_and_in_order(gaps, interval, burst):
    slots = [at + wait for at, _, admitted, wait in asked(leaky_bucket, gaps, interval, burst) if admitted]
    assert all(later - earlier >= interval for earlier, later in pairwise(slots))


@quickly
@given(GAPS, st.integers(1, 50), st.integers(1, 8))
def test_a_queue_admits_whom_a_bucket_admits_and_nobody_waits_longer_than_it_takes_to_drain(gaps, interval, burst):
    token, leaky = (asked(policy, gaps, interval, burst) for policy in (token_bucket, leaky_bucket))
    assert [answer[2] for answer in token] == [answer[2] for answer in leaky]
    assert all(0 <= wait <= (burst - 1) * interval for _, _, admitted, wait in leaky if admitted)


@quickly
@given(GAPS, st.integers(1, 50), st.integers(1, 8), st.integers(1, 3))
@pytest.mark.parametrize("name", ADMISSION)
def test_advice_is_the_first_time_at_which_another_try_would_be_admitted(name, gaps, interval, burst, cost):
    policy, full_at = ADMISSION[name], 0
    for at in times(gaps):
        admitted, full_then, wait = policy(at, full_at, interval, burst, cost)
        if not admitted and cost <= burst:
            assert full_then == full_at and not policy(at + wait - 1, full_at, interval, burst, cost)[0]
            assert policy(at + wait, full_at, interval, burst, cost)[0]
        full_at = full_then


@quickly
@given(st.lists(st.integers(0, SECOND), min_size=1, max_size=60), st.sampled_from([1, 2, 5, 8, 20, 1000]), st.integers(1, 8), st.integers(1, 3))
def test_it_is_the_bucket_of_the_protocol_in_one_number(gaps, rate, burst, cost):
    """Rates that divide a second: others the protocol keeps as fractions of a token, and this as whole nanoseconds."""
    interval, full_at, tokens, last = interval_of(rate), 0, burst * TOKEN, 0
    for at in times(gaps):
        admitted, full_at, wait = token_bucket(at, full_at, interval, burst, cost)
        tokens, last, taken = bucket(tokens, last, at, rate, burst, cost)
        assert admitted == taken
        if not taken and cost <= burst:
            assert wait == bucket_wait(tokens, rate, burst, cost)


@pytest.mark.parametrize("rate", [1 / 86_400, 1 / 6, 0.1, 1 / 3, 1, 3, 5, 7, 1000, 3e5, 1e6, 7e7])
def test_an_interval_is_never_shorter_than_the_rate_allows_and_less_than_a_nanosecond_longer(rate):
    assert SECOND / rate * (1 - 1e-11) <= interval_of(rate) < SECOND / rate + 1


def test_compiled_and_plain_rules_say_the_same():
    for policy in ADMISSION.values():
        fast = compiled(policy)
        for now in range(0, 60, 7):
            for full_at in range(0, 90, 4):
                for cost in (1, 3):
                    assert tuple(fast(now, full_at, 10, 4, cost)) == policy(now, full_at, 10, 4, cost)
