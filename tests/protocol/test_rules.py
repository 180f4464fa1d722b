"""Rules of the connection, each number at its edge."""

import math

import pytest

from simfabric.protocol import codes, machine, rules
from simfabric.protocol.inputs import LONG_POLL, SSE, WEBSOCKET
from simfabric.protocol.parameters import MILLISECOND, MINUTE, SECOND, Parameters

DEFAULT = Parameters()
LAST_U = 1 - 2**-53
US = (0.0, 0.1, 0.5, 0.9, LAST_U)


def wait(attempt, u=0.5):
    p = DEFAULT
    return rules.backoff(attempt, p.reconnect_first, p.reconnect_factor, p.reconnect_cap, p.reconnect_jitter, u)


# ------------------------------------------------------------------------------------------------------------------------- waits


def test_the_eight_waits_sum_to_two_minutes_and_one_second():
    assert [wait(attempt) // SECOND for attempt in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert sum(wait(attempt) for attempt in range(8)) == 121 * SECOND


def test_late_waits_lie_in_24_to_36_s_and_do_not_pile_up_at_the_cap():
    late = [wait(6, i / 1000) for i in range(1000)]
    assert min(late) == 24 * SECOND and max(late) < 36 * SECOND
    assert len(set(late)) == 1000


def test_with_the_cap_after_the_jitter_half_of_the_late_waits_are_exactly_the_cap():
    late = [rules.backoff_jitter_first(6, SECOND, 2.0, 30 * SECOND, 0.2, i / 1000) for i in range(1000)]
    assert max(late) == 30 * SECOND and min(late) == 24 * SECOND
    assert late.count(30 * SECOND) == 500


@pytest.mark.parametrize("u", US)
@pytest.mark.parametrize("jitter", [0.0, 0.2, 0.9])
def test_the_jitter_first_order_is_the_law_as_written(u, jitter):
    for attempt in range(12):
        exact = min(30 * SECOND, min(30 * SECOND, SECOND * 2**attempt) * (1 + jitter * (2 * u - 1)))
        assert rules.backoff_jitter_first(attempt, SECOND, 2.0, 30 * SECOND, jitter, u) == pytest.approx(exact, abs=1)


def test_advice_lengthens_a_wait_and_never_shortens_it():
    assert rules.retry_delay(4 * SECOND, -1, 30 * SECOND, 0.5) == 4 * SECOND
    assert rules.retry_delay(4 * SECOND, 0, 0, 0.5) == 4 * SECOND
    assert rules.retry_delay(4 * SECOND, 0, 30 * SECOND, 0.5) == 15 * SECOND  # Advice of no delay still has its spread.
    assert rules.retry_delay(4 * SECOND, 10 * SECOND, 20 * SECOND, 0.25) == 15 * SECOND
    assert rules.retry_delay(40 * SECOND, 10 * SECOND, 20 * SECOND, 0.25) == 40 * SECOND


def test_case_61_after_overload_the_wait_is_at_least_as_advised_whatever_the_draw():
    assert all(rules.retry_delay(wait(0, u), 12 * SECOND, 8 * SECOND, u) >= 12 * SECOND for u in US)


def test_a_planned_close_without_advice_spreads_over_5_to_30_s():
    delays = [rules.away_delay(-1, 0, DEFAULT.away_min, DEFAULT.away_spread, u) for u in (0.0, 0.5, LAST_U)]
    assert delays == [5 * SECOND, 17_500 * MILLISECOND, 30 * SECOND]


def test_case_60_a_planned_close_with_advice_keeps_the_advised_spread():
    assert rules.away_delay(0, 30 * SECOND, DEFAULT.away_min, DEFAULT.away_spread, 0.0) == 0
    assert rules.away_delay(2 * SECOND, 30 * SECOND, DEFAULT.away_min, DEFAULT.away_spread, 0.5) == 17 * SECOND


def test_an_offline_client_retries_every_48_to_72_s():
    ends = [rules.offline_delay(DEFAULT.offline_retry, DEFAULT.offline_jitter, u) for u in (0.0, 0.5, LAST_U)]
    assert ends == [48 * SECOND, 60 * SECOND, 72 * SECOND]


def test_case_63_a_network_that_comes_back_is_dialled_within_a_second_but_once_a_second_while_it_flaps():
    now = 100 * SECOND
    assert rules.soon(now, 50 * SECOND, 130 * SECOND, 0.5, SECOND, SECOND) == now + SECOND // 2
    assert rules.soon(now, now - SECOND // 10, 130 * SECOND, 0.5, SECOND, SECOND) == now + 900 * MILLISECOND
    assert rules.soon(now, 50 * SECOND, now + 5 * MILLISECOND, 0.5, SECOND, SECOND) == now + 5 * MILLISECOND  # Never later than planned.


@pytest.mark.parametrize("u", US)
def test_a_deadline_made_from_now_lies_after_now(u):
    now = 77 * SECOND
    least = now + rules.LEAST_DELAY
    assert rules.soon(now, 0, 0, u, 0, 0) == least
    assert rules.standby_at(now, 0, 0, 0, u) == least
    assert rules.claim_at(now, 0, True, u) == least
    assert rules.ws_retry_at(now, 0, 0, u) == least
    assert rules.ping_at(now, 0, u, True) == least


def test_case_49_attempts_start_anew_only_after_30_s_in_a_ready_state():
    assert rules.attempt_after(5, DEFAULT.stable_after - 1, DEFAULT.stable_after) == 5
    assert rules.attempt_after(5, DEFAULT.stable_after, DEFAULT.stable_after) == 0


def test_the_banner_comes_when_the_eighth_dial_fails_and_not_before():
    assert rules.fail_input(7, DEFAULT.attempt_limit) == machine.FAIL
    assert rules.fail_input(8, DEFAULT.attempt_limit) == machine.FAIL_LIMIT
    assert rules.fail_input(9, DEFAULT.attempt_limit) == machine.FAIL_LIMIT


def close(code, ready=True, refetched=False, faulted=False, attempt=0):
    return rules.close_input(codes.close_class(code), ready, refetched, faulted, attempt, DEFAULT.attempt_limit)


def test_a_planned_close_before_ready_is_a_failure():
    assert close(1012) == machine.AWAY
    assert close(1012, ready=False) == machine.FAIL
    assert close(1012, ready=False, attempt=8) == machine.FAIL_LIMIT


def test_case_52_an_expired_token_is_refetched_once_and_then_fails():
    assert close(4101, attempt=8) == machine.STALE_TOKEN
    assert close(4101, refetched=True) == machine.FAIL


def test_a_protocol_fault_is_forgiven_once():
    assert close(1002) == machine.FAIL
    assert close(1002, faulted=True) == machine.TERMINAL


def test_case_83_a_client_that_is_too_old_is_signed_out_for_good():
    assert close(4426, ready=False) == machine.TERMINAL
    assert codes.reason_of(4426) == codes.REASON_UPGRADE


@pytest.mark.parametrize("code", [1000, 1006, 1009, 1013, 4129, 4508])
def test_other_closes_fail_and_are_counted(code):
    assert close(code) == machine.FAIL
    assert close(code, attempt=8) == machine.FAIL_LIMIT


def test_a_standby_opens_within_the_spread_and_before_the_deadline():
    now = 10 * SECOND
    assert rules.standby_at(now, 2 * SECOND, 30 * SECOND, 60 * SECOND, 0.5) == now + 17 * SECOND
    assert rules.standby_at(now, 2 * SECOND, 30 * SECOND, 12 * SECOND, 0.5) == now + 7 * SECOND
    assert rules.standby_at(now, 2 * SECOND, 30 * SECOND, SECOND, 0.5) == now + 2 * SECOND  # No time is left to spread.


# ------------------------------------------------------------------------------------------------------- heartbeat, token, generation


def test_case_48_first_pings_spread_over_the_interval_and_later_ones_keep_it():
    firsts = [rules.ping_at(0, DEFAULT.heartbeat_interval, i / 100, True) for i in range(100)]
    assert max(firsts) < DEFAULT.heartbeat_interval and len(set(firsts)) == 100
    assert rules.ping_at(SECOND, DEFAULT.heartbeat_interval, 0.3, False) == 26 * SECOND


def test_case_45_a_half_open_connection_is_dead_35_s_after_its_last_byte():
    deadline = rules.hb_deadline(SECOND, DEFAULT.heartbeat_interval, DEFAULT.heartbeat_timeout)
    assert deadline == 36 * SECOND
    assert rules.hb_verdict(deadline - 1, deadline, DEFAULT.heartbeat_interval) == rules.ALIVE
    assert rules.hb_verdict(deadline, deadline, DEFAULT.heartbeat_interval) == rules.DEAD


def test_case_46_a_check_that_is_late_by_more_than_an_interval_probes_instead_of_closing():
    interval = DEFAULT.heartbeat_interval
    assert rules.hb_verdict(interval, 0, interval) == rules.DEAD
    assert rules.hb_verdict(interval + 1, 0, interval) == rules.PROBE


def test_case_54_a_token_that_ends_within_the_margin_is_not_used():
    edge = DEFAULT.token_ttl - DEFAULT.token_margin
    assert rules.token_fresh(edge - 1, 0, DEFAULT.token_ttl, DEFAULT.token_margin)
    assert not rules.token_fresh(edge, 0, DEFAULT.token_ttl, DEFAULT.token_margin)


def test_case_43_only_the_primary_and_the_standby_are_heard():
    assert [rules.accept_gen(g, 7, 0) for g in (0, 6, 7, 8)] == [False, False, True, False]
    assert [rules.accept_gen(g, 7, 8) for g in (0, 6, 7, 8)] == [False, False, True, True]


# --------------------------------------------------------------------------------------------------------------- transports and schemas


def test_case_77_websockets_are_given_up_after_three_counted_failures_or_six_once_they_have_worked():
    def step(kind, fails, ever=False, sse=0):
        return rules.ladder(kind, fails, ever, sse, DEFAULT.ws_failures, DEFAULT.sse_failures)

    assert [step(WEBSOCKET, n) for n in (2, 3)] == [WEBSOCKET, SSE]
    assert [step(WEBSOCKET, n, True) for n in (5, 6)] == [WEBSOCKET, SSE]
    assert [step(SSE, 3, sse=n) for n in (1, 2)] == [SSE, LONG_POLL]
    assert step(LONG_POLL, 99, sse=99) == LONG_POLL


def test_a_failure_counts_towards_fallback_only_without_a_byte_and_with_https_at_work():
    cases = [(seen, worked) for seen in (False, True) for worked in (False, True) if rules.counts_for_fallback(seen, worked)]
    assert cases == [(False, True)]


def test_case_78_in_fallback_a_websocket_is_tried_every_five_to_ten_minutes():
    ends = [rules.ws_retry_at(SECOND, DEFAULT.ws_retry_min, DEFAULT.ws_retry_max, u) - SECOND for u in (0.0, 0.5, LAST_U)]
    assert ends == [5 * MINUTE, 7.5 * MINUTE, 10 * MINUTE]


def test_a_long_poll_carries_control_and_the_durable_events_of_visible_or_direct_channels():
    frames = [(kind, near) for kind in range(3) for near in (False, True)]
    assert all(rules.carries(transport, kind, near) for transport in (WEBSOCKET, SSE) for kind, near in frames)
    assert [rules.carries(LONG_POLL, kind, near) for kind, near in frames] == [True, True, False, True, False, False]


def test_case_82_versions_n_and_n_minus_one_are_served_newer_ones_leniently_older_ones_not():
    verdicts = [rules.accepts(schema, 5, 1) for schema in (3, 4, 5, 6)]
    assert verdicts == [rules.REFUSE, rules.OK, rules.OK, rules.LENIENT]


# --------------------------------------------------------------------------------------------------------------- channels, tabs, screen


def test_case_75_the_two_hundredth_channel_is_wanted_and_the_next_is_not():
    assert rules.wanted(True, True, 199, DEFAULT.max_channels)
    assert not rules.wanted(True, True, 200, DEFAULT.max_channels)
    assert not rules.wanted(False, True, 0, DEFAULT.max_channels)
    assert not rules.wanted(True, False, 0, DEFAULT.max_channels)


def test_case_71_the_higher_term_leads_and_among_equals_the_lower_tab():
    assert rules.outranks(2, 9, 1, 0) and not rules.outranks(1, 0, 2, 9)
    assert rules.outranks(1, 0, 1, 1) and not rules.outranks(1, 1, 1, 0)
    assert not rules.outranks(1, 1, 1, 1)


def test_a_lease_ends_six_seconds_after_the_last_beat():
    assert rules.lease_ok(6 * SECOND - 1, 0, DEFAULT.lease)
    assert not rules.lease_ok(6 * SECOND, 0, DEFAULT.lease)


def test_every_visible_tab_claims_before_any_hidden_one():
    visible = [rules.claim_at(0, DEFAULT.beat, True, u) for u in US]
    hidden = [rules.claim_at(0, DEFAULT.beat, False, u) for u in US]
    assert max(visible) <= min(hidden) == DEFAULT.beat
    assert max(hidden) == 2 * DEFAULT.beat


NAMES = list(machine.STATE_NAMES)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((False, False), "nothing connecting connecting connecting connecting connecting connected syncing connecting offline signed_out"),
        ((True, False), "nothing reconnecting reconnecting reconnecting reconnecting reconnecting connected syncing reconnecting offline signed_out"),
        ((True, True), "nothing offline offline offline offline offline connected syncing offline offline signed_out"),
        ((False, True), "nothing offline offline offline offline offline connected syncing offline offline signed_out"),
    ],
)
def test_the_screen_shows_what_the_protocol_says_and_the_banner_does_not_flicker(flags, expected):
    assert " ".join(rules.SHOWN_NAMES[rules.ui_state(state, *flags)] for state in range(len(NAMES))) == expected


def test_no_wait_is_infinite_or_negative_for_any_attempt():
    assert all(0 < wait(attempt, u) < 36 * SECOND + 1 for attempt in range(200) for u in US)
    assert math.isfinite(rules.backoff_jitter_first(10_000, SECOND, 2.0, 30 * SECOND, 0.2, 0.5))
