"""Positions: what an event, a reply, a page and a snapshot mean to a cursor."""

import itertools

import pytest

from simfabric.protocol import cursors
from simfabric.protocol.cursors import (
    after_skip,
    before,
    classify,
    may_save,
    recoverable,
    replay_verdict,
    snapshot_ok,
    sub_verdict,
)
from simfabric.protocol.parameters import Parameters


def test_case_18_and_24_an_event_is_a_duplicate_the_next_one_or_beyond_a_gap():
    verdicts = [classify(sequence, 1, 10, 1) for sequence in (1, 9, 10, 11, 12, 99)]
    assert verdicts == [cursors.DUPLICATE] * 3 + [cursors.DELIVER] + [cursors.GAP] * 2


def test_case_1_another_epoch_resets_whatever_the_sequence():
    assert {classify(sequence, 2, 10, 1) for sequence in (1, 10, 11, 12)} == {cursors.RESET}


def test_case_3_the_first_event_of_an_empty_channel_brings_the_epoch():
    assert classify(1, 7, 0, 0) == cursors.DELIVER
    assert classify(2, 7, 0, 0) == cursors.GAP
    assert classify(2, 8, 1, 7) == cursors.RESET  # A later change of epoch is still seen.


def test_a_transient_is_neither_a_gap_nor_a_duplicate_in_any_epoch():
    assert {classify(0, epoch, 10, known) for epoch in (0, 1, 2) for known in (0, 1)} == {cursors.TRANSIENT}


def test_case_8_without_a_cursor_the_reply_gives_the_position():
    assert sub_verdict(-1, 0, 50, 3, 1) == cursors.LIVE_ONLY


def test_case_7_cursor_zero_asks_for_everything_and_is_not_live_only():
    assert sub_verdict(0, 0, 50, 3, 1) == cursors.BEHIND
    assert sub_verdict(0, 0, 0, 0, 1) == cursors.CURRENT


def test_case_4_a_cursor_older_than_retention_is_reset_at_its_edge():
    assert sub_verdict(9, 1, 50, 1, 10) == cursors.BEHIND
    assert sub_verdict(8, 1, 50, 1, 10) == cursors.RESET


def test_case_5_a_cursor_ahead_of_the_top_is_not_a_success():
    assert [sub_verdict(cursor, 1, 50, 1, 1) for cursor in (49, 50, 51)] == [cursors.BEHIND, cursors.CURRENT, cursors.AHEAD]


def test_case_6_a_cursor_at_the_top_is_current_even_when_retention_has_passed_it():
    assert sub_verdict(50, 1, 50, 1, 51) == cursors.CURRENT
    assert recoverable(50, 1, 50, 1, 51, 0)
    assert recoverable(50, 1, 50, 1, 99, 0)


def test_another_epoch_is_reset_before_sequences_are_compared():
    assert {sub_verdict(cursor, 1, 50, 2, 1) for cursor in (0, 49, 50, 51)} == {cursors.RESET}


def test_recovery_is_all_or_nothing_at_each_of_its_bounds():
    most = Parameters().replay_max
    assert recoverable(100, 1, 100 + most, 1, 1, most)
    assert not recoverable(100, 1, 101 + most, 1, 1, most)
    assert recoverable(9, 1, 50, 1, 10, most) and not recoverable(8, 1, 50, 1, 10, most)
    assert not recoverable(51, 1, 50, 1, 1, most)
    assert not recoverable(50, 1, 50, 2, 1, most)
    assert recoverable(-1, 0, 50, 1, 40, most)


def test_case_13_a_replay_without_progress_is_tried_once_more_and_then_replaced_by_a_snapshot():
    assert replay_verdict(1, 1, False, True, 0, 2) == cursors.APPLY
    assert replay_verdict(1, 1, False, False, 1, 2) == cursors.RETRY
    assert replay_verdict(1, 1, False, False, 2, 2) == cursors.SNAPSHOT


def test_case_15_a_truncated_page_is_thrown_away_even_when_it_has_events():
    assert replay_verdict(1, 1, True, True, 0, 2) == cursors.SNAPSHOT


def test_a_page_of_another_epoch_is_thrown_away_and_one_that_brings_the_epoch_is_not():
    assert replay_verdict(2, 1, False, True, 0, 2) == cursors.SNAPSHOT
    assert replay_verdict(2, 0, False, True, 0, 2) == cursors.APPLY


def test_case_17_a_snapshot_never_takes_the_state_back():
    assert [snapshot_ok(1, sequence, 0, 1, 10) for sequence in (9, 10, 11)] == [False, True, True]
    assert snapshot_ok(2, 1, 0, 1, 10)


def test_a_snapshot_of_another_epoch_than_the_announced_one_is_refused():
    assert not snapshot_ok(1, 99, 2, 1, 10)
    assert snapshot_ok(2, 0, 2, 1, 10)


def test_events_are_ordered_by_sequence_then_timestamp_then_id():
    events = list(itertools.product(range(3), repeat=3))
    for a, b in itertools.product(events, repeat=2):
        assert before(*a, *b) == (a < b)


@pytest.mark.parametrize(("first", "last", "cursor", "after"), [(11, 15, 10, 15), (9, 15, 10, 15), (12, 15, 10, 10), (5, 10, 10, 10), (5, 9, 10, 10)])
def test_case_22_a_hole_by_design_is_passed_from_its_edge_only_and_never_backwards(first, last, cursor, after):
    assert after_skip(first, last, cursor) == after


def test_case_76_a_save_raises_the_sequence_or_brings_a_newer_epoch():
    assert may_save(1, 11, 1, 10) and may_save(2, 1, 1, 10)
    assert not may_save(1, 10, 1, 10) and not may_save(1, 9, 1, 10) and not may_save(1, 99, 2, 1)
