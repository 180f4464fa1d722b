"""Bounds: the client's queue, the gateway's buffer, the outbox and the token bucket, each at its edge."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.protocol import queues
from simfabric.protocol.parameters import MINUTE, SECOND, Parameters
from simfabric.protocol.queues import TOKEN, admit, bucket, bucket_wait, expire_at, pick_lane, publish_verdict, slow_consumer

DEFAULT = Parameters()


def admitted(length, transient=False, twin=False):
    return admit(length, DEFAULT.queue_cap, DEFAULT.near_full_events, transient, twin)


def test_case_67_the_five_thousandth_event_enters_and_the_next_one_overflows():
    assert admitted(4_999) == queues.ENQUEUE
    assert admitted(5_000) == queues.OVERFLOW


def test_case_67_transients_go_at_four_fifths_and_a_twin_is_always_replaced():
    assert admitted(3_999, transient=True) == queues.ENQUEUE
    assert admitted(4_000, transient=True) == queues.DROP
    assert admitted(9_999, transient=True, twin=True) == queues.COALESCE


def test_case_67_a_durable_event_is_never_dropped_or_coalesced():
    assert {admitted(length, False, twin) for length in range(0, 6_000, 50) for twin in (False, True)} == {queues.ENQUEUE, queues.OVERFLOW}


def test_case_69_after_64_visible_events_the_background_gets_one():
    assert pick_lane(1, 1, 63, DEFAULT.visible_burst) == queues.VISIBLE
    assert pick_lane(1, 1, 64, DEFAULT.visible_burst) == queues.BACKGROUND
    assert pick_lane(1, 0, 64, DEFAULT.visible_burst) == queues.VISIBLE
    assert pick_lane(0, 1, 0, DEFAULT.visible_burst) == queues.BACKGROUND
    assert pick_lane(0, 0, 64, DEFAULT.visible_burst) == queues.NEITHER


def sent(buffered, size, transient=False, over_for=0):
    return slow_consumer(buffered, size, DEFAULT.out_soft_bytes, DEFAULT.out_buffer, transient, over_for, DEFAULT.slow_grace)


def test_a_slow_consumer_loses_transients_at_half_a_buffer_and_a_channel_at_a_full_one():
    assert [sent(524_287, size, True) for size in (1, 2)] == [queues.SEND, queues.DROP]
    assert [sent(1_048_575, size) for size in (1, 2)] == [queues.SEND, queues.RESYNC]


def test_a_consumer_that_stays_slow_for_more_than_ten_seconds_is_closed():
    assert sent(1_048_576, 1, over_for=10 * SECOND) == queues.RESYNC
    assert sent(1_048_576, 1, over_for=10 * SECOND + 1) == queues.CLOSE
    assert sent(1_048_576, 1, True, over_for=10 * SECOND + 1) == queues.DROP


def verdict(error=False, age=0, sent_in=1, generation=1, since=0):
    return publish_verdict(error, age, DEFAULT.outbox_age, sent_in, generation, since, DEFAULT.ack_timeout)


def test_case_36_a_late_ack_on_a_healthy_connection_asks_the_user_and_does_not_resend():
    assert verdict(since=DEFAULT.ack_timeout - 1) == queues.WAIT
    assert verdict(since=DEFAULT.ack_timeout) == queues.ASK_USER
    assert verdict(since=DEFAULT.ack_timeout, generation=2) == queues.RESEND


def test_case_33_a_final_refusal_rolls_back_and_silence_does_not():
    assert verdict(error=True, age=99 * MINUTE, generation=2) == queues.ROLLBACK


def test_case_37_a_send_expires_after_five_minutes_even_on_a_new_connection():
    assert verdict(age=DEFAULT.outbox_age, generation=2) == queues.RESEND
    assert verdict(age=DEFAULT.outbox_age + 1, generation=2) == queues.EXPIRE
    assert verdict(age=expire_at(7, DEFAULT.outbox_age) - 7) == queues.EXPIRE
    assert verdict(age=expire_at(7, DEFAULT.outbox_age) - 8) == queues.WAIT


def test_case_42_a_burst_of_twenty_passes_and_the_next_one_waits_a_fifth_of_a_second():
    tokens, last = DEFAULT.publish_burst_user * TOKEN, 0
    taken = []
    for _ in range(21):
        tokens, last, ok = bucket(tokens, last, 0, DEFAULT.publish_rate_user, DEFAULT.publish_burst_user, 1)
        taken.append(ok)
    assert taken == [True] * 20 + [False]
    advice = bucket_wait(tokens, DEFAULT.publish_rate_user, DEFAULT.publish_burst_user, 1)
    assert advice == SECOND // 5
    assert not bucket(tokens, last, advice - 1, DEFAULT.publish_rate_user, DEFAULT.publish_burst_user, 1)[2]
    assert bucket(tokens, last, advice, DEFAULT.publish_rate_user, DEFAULT.publish_burst_user, 1)[2]


def test_a_bucket_never_holds_more_than_its_burst_and_time_never_runs_backwards_in_it():
    assert bucket(0, 0, 10**18, 2_000, 40_000, 0) == (40_000 * TOKEN, 10**18, True)
    assert bucket(TOKEN - 10, 0, 3, 3, 1, 0) == (TOKEN - 1, 3, True)  # Nine of the ten missing units.
    assert bucket(TOKEN - 10, 0, 4, 3, 1, 0) == (TOKEN, 4, True)
    assert bucket(5, 100, 50, 10, 10, 1) == (5, 100, False)
    assert bucket(5, 0, 100, 0, 10, 1) == (5, 100, False)


def test_what_a_bucket_cannot_hold_never_comes():
    assert bucket_wait(0, 5, 20, 21) == queues.NEVER
    assert bucket_wait(0, 0, 20, 1) == queues.NEVER
    assert bucket_wait(0, 5, 20, 20) == 4 * SECOND
    assert bucket_wait(TOKEN, 0, 20, 1) == 0


@settings(deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 50_000), st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 400)), max_size=20))
def test_a_bucket_is_exact_whatever_the_pauses(rate, burst, steps):
    tokens, last, now = burst * TOKEN, 0, 0
    exact = Fraction(burst)
    for pause, cost in steps:
        now += pause
        exact = min(Fraction(burst), exact + Fraction(rate * pause, SECOND))
        tokens, last, ok = bucket(tokens, last, now, rate, burst, cost)
        assert ok == (exact >= cost)
        exact -= cost if ok else 0
        assert Fraction(tokens, TOKEN) == exact
