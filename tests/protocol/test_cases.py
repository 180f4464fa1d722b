"""Whether the tests are complete: every numbered case of the protocol, every row of the architecture's check list, every number at its edge.

A test of case 25 is called `test_case_25_…`, one of two cases `test_case_9_and_10_…`. That a number is tested at its edge is tried out: moved by
one step, its default must make the test fail that is named here.
"""

import ast
import re
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest

from simfabric.protocol.effects import PublishUnconfirmed
from simfabric.protocol.frames import RATE_LIMITED
from simfabric.protocol.parameters import SECOND, Parameters
from tests.live import test_fallback_faults as faults
from tests.protocol import test_client_connection as connection
from tests.protocol import test_client_edges as edges
from tests.protocol import test_client_pair as pair
from tests.protocol import test_client_publish as publish
from tests.protocol import test_client_queue as queue
from tests.protocol import test_client_recovery as recovery
from tests.protocol import test_client_tabs as tabs
from tests.protocol import test_client_transports as transports
from tests.protocol import test_codec, test_leader, test_machine, test_rules
from tests.protocol import test_server_connection as gateway
from tests.protocol import test_server_edges as server_edges
from tests.protocol import test_server_publish as server_publish
from tests.protocol import test_server_recovery as server_recovery
from tests.protocol import test_server_slow as slow

TESTS = Path(__file__).parents[1]
NUMBERED = re.compile(r"test_case_([0-9]+(?:_and_[0-9]+)*)_")


def named_tests():
    """The names of all tests, by file."""
    return {
        str(path.relative_to(TESTS)): [node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
        for path in sorted(TESTS.rglob("test_*.py"))
        if "node_modules" not in path.parts
    }


def test_every_numbered_case_has_a_test_that_names_its_number():
    numbers = {int(number) for names in named_tests().values() for name in names for found in NUMBERED.findall(name) for number in found.split("_and_")}
    assert numbers == set(range(1, 88))


def test_a_number_in_the_name_of_a_test_is_written_in_one_way():
    names = [name for tests in named_tests().values() for name in tests if re.match(r"test_cases?_?[0-9]", name)]
    assert [name for name in names if not NUMBERED.match(name)] == []


# Rows of the check list, by the sections of the architecture, and the tests in which each ends.
ROWS = {
    "3.1, 3.2 one connection, four states shown, what is allowed and needed": (
        test_rules.test_the_screen_shows_what_the_protocol_says_and_the_banner_does_not_flicker,
        queue.test_what_is_not_allowed_is_not_subscribed,
    ),
    "3.3 dedupe by id, order by sequence": (
        recovery.test_case_18_the_same_event_twice_is_shown_once,
        recovery.test_case_19_the_same_event_at_a_new_sequence_moves_the_cursor_and_is_not_shown,
        recovery.test_case_24_a_swap_within_gap_wait_repairs_itself,
    ),
    "3.4, 6.2 optimistic send": (
        publish.test_case_31_and_34_the_echo_settles_a_send_once_even_if_the_ack_comes_later_or_never,
        publish.test_case_33_and_41_a_final_error_rolls_back_without_another_try,
        publish.test_case_36_a_late_ack_on_a_healthy_connection_is_the_users_choice,
    ),
    "3.5, 6.3 detect, back off, resubscribe, replay": (
        connection.test_case_65_a_network_break_is_backoff_redial_resubscribe_replay,
        test_machine.test_case_65_a_network_break_takes_the_one_path_through_backoff_back_to_live,
    ),
    "3.6 a leader among several tabs": (tabs.test_one_tab_of_several_dials, tabs.test_case_71_a_frozen_leader_is_replaced_and_steps_down_when_it_wakes),
    "6.1, 13.1 bootstrap, token, open, subscribe, replay": (
        connection.test_a_start_calls_each_api_once_and_a_redial_calls_none,
        recovery.test_case_8_without_a_cursor_the_top_of_the_reply_is_the_cursor,
    ),
    "7 the types": (test_codec.test_every_frame_is_read_back_as_it_was_written, recovery.test_case_2_epoch_and_sequence_move_together),
    "7.1 versions and deprecation": (
        "protocol/test_schema_timeline.py::test_what_a_served_version_says_is_read_and_written_as_ever",
        "protocol/test_schema_timeline.py::test_a_removal_while_a_client_of_the_version_before_may_be_connected_is_caught",
        "protocol/test_server_versions.py::test_a_live_event_of_a_newer_type_is_a_hole_by_design",
    ),
    "8 global state": (connection.test_other_terminal_closes_keep_what_is_stored, queue.test_a_user_interface_that_is_busy_gets_no_second_batch),
    "9, 9.1 four interfaces, three guarantees": (
        connection.test_a_start_calls_each_api_once_and_a_redial_calls_none,
        publish.test_case_31_after_a_lost_ack_the_send_goes_again_with_the_same_key,
        recovery.test_case_11_replay_and_live_events_overlap,
    ),
    "10 state in memory, cursor kept, batches": (
        recovery.test_case_27_a_cursor_is_saved_after_it_was_applied,
        recovery.test_case_28_a_saved_cursor_without_its_state_is_a_snapshot_first,
        queue.test_events_go_out_in_one_batch_of_each_channel_after_flush_every,
    ),
    "10.1 the numbers": ("protocol/test_cases.py::test_a_number_is_tested_at_its_edge",),
    "10.2 a bounded queue": (
        queue.test_case_67_at_the_bound_the_longest_background_channel_is_discarded_and_resynchronised,
        queue.test_case_68_an_overflow_during_a_resync_is_a_snapshot_and_one_in_5_s,
    ),
    "11 token, permission, ping": (gateway.test_case_50_a_refused_connection_is_accepted_and_closed_with_a_code_that_says_why,
                                   server_publish.test_case_41_without_permission_nothing_reaches_the_log),
    "11.1 the end of authority": (
        gateway.test_case_56_a_revoked_user_is_told_closed_and_gets_nothing_more,
        gateway.test_case_57_a_revoked_channel_ends_and_the_others_go_on,
        pair.test_what_is_revoked_is_shown_no_more_within_the_bound,
    ),
    "12 sleep, duplicates, reorder, several tabs": (connection.test_case_64_a_tab_that_slept_finds_out_and_catches_up,
                                                    test_leader.test_case_71_while_two_lead_a_follower_shows_each_event_once),
    "12.1 fallback": (
        transports.test_case_77_the_transport_goes_down_by_counted_failures,
        transports.test_a_long_poll_carries_visible_and_direct_channels_only,
        "live/test_fallback_faults.py::test_case_80_a_poll_answer_that_is_lost_is_given_again_to_the_same_session_and_shown_once",
    ),
    "13.2-13.5 calls, upgrade, first messages": (gateway.test_an_accepted_connection_is_confirmed_once_with_what_was_agreed,
                                                 server_recovery.test_a_list_of_channels_is_answered_channel_by_channel),
    "13.6, 13.7 expired token, bad subscribe, no token in logs": (
        connection.test_case_52_an_expired_token_is_fetched_again_once_at_once,
        connection.test_case_59_a_refused_subscribe_is_final_and_the_others_go_on,
        "live/test_server_bounds.py::test_no_token_and_no_key_is_in_a_repr_or_in_a_log",
    ),
}  # fmt: skip


def test_every_row_of_the_check_list_ends_in_tests_that_exist():
    sections = ", ".join(re.match(r"[0-9.,\- ]+(?= )", row)[0] for row in ROWS)
    assert sections == "3.1, 3.2, 3.3, 3.4, 6.2, 3.5, 6.3, 3.6, 6.1, 13.1, 7, 7.1, 8, 9, 9.1, 10, 10.1, 10.2, 11, 11.1, 12, 12.1, 13.2-13.5, 13.6, 13.7"
    names = named_tests()
    for row in ROWS.values():
        assert row
        for test in row:
            path, _, name = test.partition("::") if isinstance(test, str) else ("", "", test.__name__)
            assert name in names[path] if path else name.startswith("test_")


# Number -> the step by which its default is moved, and the test that must notice.
EDGES = {
    "heartbeat_interval": (1, gateway.test_pings_follow_at_the_interval_while_the_client_answers),
    "heartbeat_timeout": (1, gateway.test_silence_after_a_ping_closes_the_connection_and_gives_its_routes_back),
    "probe_timeout": (1, connection.test_case_46_a_check_that_is_late_by_more_than_an_interval_probes_first),
    "reconnect_first": (1, connection.test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life),
    "reconnect_factor": (0.001, connection.test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life),
    "reconnect_cap": (5, test_rules.test_late_waits_lie_in_24_to_36_s_and_do_not_pile_up_at_the_cap),
    "reconnect_jitter": (0.001, connection.test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life),
    "attempt_limit": (1, connection.test_the_eight_waits_and_then_the_banner),
    "stable_after": (1, partial(connection.test_attempts_are_forgotten_after_30_s_in_a_ready_state, 30 * SECOND, 1)),
    "offline_retry": (5, test_rules.test_an_offline_client_retries_every_48_to_72_s),
    "offline_jitter": (0.001, test_rules.test_an_offline_client_retries_every_48_to_72_s),
    "connect_timeout": (1, connection.test_case_44_an_open_after_the_connect_timeout_is_not_adopted),
    "wake_jitter": (SECOND // 1_000, edges.test_a_network_that_is_up_again_is_dialled_at_a_random_part_of_a_second),
    "dial_gap": (1, edges.test_but_not_within_a_second_of_the_last_dial),
    "away_min": (1, connection.test_a_planned_close_without_advice_waits_5_to_30_s),
    "away_spread": (SECOND // 1_000, connection.test_a_planned_close_without_advice_waits_5_to_30_s),
    "max_channels": (-1, server_recovery.test_case_75_the_two_hundred_and_first_channel_is_refused_for_good),
    "max_frame": (1, partial(gateway.test_case_84_a_frame_above_64_kb_closes_with_1009, 65_537, False)),
    "out_buffer": (-1, slow.test_the_buffer_is_full_at_one_megabyte_and_not_a_byte_earlier),
    "subscribe_batch": (1, connection.test_case_59_a_refused_subscribe_is_final_and_the_others_go_on),
    "linger": (1, queue.test_case_74_a_channel_that_nobody_needs_leaves_after_linger),
    "out_soft": (0.01, slow.test_transients_are_dropped_above_the_soft_bound),
    "slow_grace": (1, slow.test_a_buffer_that_stays_full_for_longer_than_the_grace_ends_the_connection),
    "queue_cap": (1, queue.test_the_queue_takes_5000_events_and_not_one_more),
    "near_full": (0.001, partial(edges.test_transients_are_dropped_from_4000_queued_events_on, 4_000, 1)),
    "visible_burst": (1, queue.test_case_69_a_burst_of_visible_events_lets_the_background_live),
    "flush_every": (1, queue.test_events_go_out_in_one_batch_of_each_channel_after_flush_every),
    "snapshot_min_gap": (1, partial(edges.test_one_snapshot_of_a_channel_is_asked_for_in_5_s, 5 * SECOND, 1)),
    "replay_patience": (1, connection.test_patience_shows_syncing_after_10_s_of_replaying),
    "token_ttl": (1, server_edges.test_a_token_is_good_for_60_s),
    "token_margin": (1, partial(connection.test_case_54_a_token_that_ends_within_the_margin_is_not_used, 55 * SECOND - 1, 1)),
    "gap_wait": (1, partial(recovery.test_case_24_a_gap_that_outlasts_gap_wait_is_replayed, 300 * SECOND // 1_000, 1)),
    "inline_recovery": (1, server_edges.test_the_reply_to_a_subscribe_carries_no_events_unless_it_is_told_to),
    "page_events": (1, partial(edges.test_a_fetch_is_called_off_after_10_s, 10 * SECOND, 1)),
    "page_bytes": (-1, partial(server_edges.test_a_page_of_a_replay_has_at_most_48_kb, 4_096, 12)),
    "replay_max": (1, partial(server_edges.test_2000_missed_events_are_replayed_and_2001_are_a_snapshot, 2_001, False)),
    "fetch_timeout": (1, partial(edges.test_a_fetch_is_called_off_after_10_s, 10 * SECOND, 1)),
    "replay_tries": (1, recovery.test_case_13_a_replay_without_progress_is_made_once_more_and_then_a_snapshot),
    "dedupe_window": (1, edges.test_the_ids_of_1024_events_are_kept_and_no_more),
    "ack_timeout": (1, partial(publish.test_case_36_a_late_ack_on_a_healthy_connection_is_the_users_choice, 5 * SECOND, [PublishUnconfirmed(7)])),
    "outbox_cap": (1, publish.test_case_39_sends_before_live_wait_in_a_bounded_outbox),
    "outbox_age": (1, partial(publish.test_case_37_a_send_that_is_too_old_expires_visibly, 5 * 60 * SECOND + 1, [(7, "expired", "age")])),
    "resend_limited": (-1, partial(publish.test_case_33_and_42_a_temporary_error_waits_and_keeps_the_key, RATE_LIMITED)),
    "idempotency_window": (1, partial(server_edges.test_case_37_a_gateway_knows_a_key_for_10_minutes, 600 * SECOND + 1, False)),
    "ws_retry_min": (SECOND // 1_000, transports.test_case_78_the_times_of_the_tries_are_addressed_draws),
    "ws_retry_max": (SECOND // 1_000, transports.test_case_78_the_times_of_the_tries_are_addressed_draws),
    "ws_failures": (1, partial(transports.test_case_77_the_transport_goes_down_by_counted_failures, 3, 1)),
    "sse_failures": (1, partial(transports.test_case_77_the_transport_goes_down_by_counted_failures, 5, 2)),
    "first_byte_timeout": (1, edges.test_case_81_the_first_byte_of_sse_has_10_s),
    "schema_current": (1, partial(gateway.test_case_83_the_version_before_is_served_and_a_newer_client_gets_ours, 3, 2)),
    "schema_back": (-1, partial(gateway.test_case_83_the_version_before_is_served_and_a_newer_client_gets_ours, 1, 1)),
    "beat": (1, edges.test_a_leader_beats_every_2_s),
    "lease": (1, edges.test_a_follower_waits_6_s_after_the_last_beat),
    "persist_every": (1, edges.test_a_cursor_is_saved_a_second_after_it_moved),
    "publish_rate_user": (1, server_publish.test_case_42_the_twenty_first_message_of_a_burst_waits_for_a_token),
    "publish_burst_user": (1, server_publish.test_case_42_the_twenty_first_message_of_a_burst_waits_for_a_token),
    "publish_rate_tenant": (1, server_publish.test_the_buckets_are_shared_by_all_connections_of_a_user_and_by_a_tenant),
    "publish_burst_tenant": (1, server_publish.test_the_buckets_are_shared_by_all_connections_of_a_user_and_by_a_tenant),
    "subscribe_rate_user": (1, server_recovery.test_subscribes_above_the_burst_are_refused_with_advice_and_then_admitted),
    "subscribe_burst_user": (1, server_recovery.test_subscribes_above_the_burst_are_refused_with_advice_and_then_admitted),
    "subscribe_rate_tenant": (1, server_edges.test_a_tenant_subscribes_40000_times_at_once_and_then_2000_times_a_second),
    "subscribe_burst_tenant": (1, server_edges.test_a_tenant_subscribes_40000_times_at_once_and_then_2000_times_a_second),
    "position_check": (1, server_edges.test_a_gateway_compares_its_channels_with_the_log_every_25_s),
    "poll_hold": (SECOND // 1_000, faults.test_the_hold_of_an_empty_poll_is_the_parameter),
}  # fmt: skip
# Not felt by a session: words, what the operator of a drain hands in, and a promise of the whole.
OTHERS = {"heartbeat_driver", "jitter_order", "drain_retry_after", "drain_spread", "drain_deadline", "revocation_bound"}


def test_every_number_has_an_edge_or_a_reason_to_have_none():
    assert set(EDGES) | OTHERS == {field.name for field in fields(Parameters)} and not set(EDGES) & OTHERS


def move(patch, name, step):
    """The default of one number is another one, also in what tests made of the defaults before."""
    names = [field.name for field in fields(Parameters)]
    old = Parameters.__init__.__defaults__
    new = tuple(value + step if at == name else value for at, value in zip(names, old))
    patch.setattr(Parameters.__init__, "__defaults__", new)
    default = dict(zip(names, old))[name]
    for module in (connection, test_rules, recovery, queue, slow, server_publish, server_recovery, faults):
        for key, value in vars(module).copy().items():
            if isinstance(value, Parameters) and getattr(value, name) == default:
                patch.setattr(module, key, copied(value, name, default + step))


def copied(parameters, name, value):
    """The same numbers but for one, whatever the laws say."""
    other = object.__new__(Parameters)
    for field in fields(Parameters):
        object.__setattr__(other, field.name, value if field.name == name else getattr(parameters, field.name))
    return other


@pytest.mark.parametrize("name", EDGES)
def test_a_number_is_tested_at_its_edge(name, monkeypatch):
    step, test = EDGES[name]
    test()
    with monkeypatch.context() as patch:
        move(patch, name, step)
        with pytest.raises((AssertionError, ValueError)):
            test()
