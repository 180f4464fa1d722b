"""The client's cursors, replay, order: section A of the edge cases."""

import pytest

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import MS, Play, S


def behind(top=5, seen=2, **named):
    """A client that was at `seen`, lost its connection, and comes back to a log at `top`."""
    play = Play(**named).live(0)
    for at in range(1, seen + 1):
        play.event(at)
    play.show()
    play.close(1006)
    play.reply(play.redial(), top=top)
    return play


def test_case_1_another_epoch_drops_cursor_and_held_events_and_takes_a_snapshot():
    play = Play().live(0)
    play.event(1)
    play.event(3)  # Held.
    play.close(1006)
    asked = play.redial()
    assert asked[0].channels == ((0, 1, 1),)
    play.reply(asked, epoch=2, top=7, recovered=False)
    assert play.state == "replaying"
    play.snapshot(7, epoch=2)
    play.event(8, epoch=2)
    play.show()
    assert play.shown() == [1, (2, 7), 8]
    assert play.session.cursors == {0: (2, 8)}


def test_case_1_a_reply_of_another_epoch_is_a_reset_even_if_it_says_recovered():
    play = Play().live(0)
    play.event(1)
    play.close(1006)
    play.reply(play.redial(), epoch=2, top=1, recovered=True)
    assert play.state == "replaying"
    play.snapshot(1, epoch=2)
    play.show()
    assert play.shown() == [1, (2, 1)]


def test_case_1_an_event_of_another_epoch_on_a_live_connection_does_the_same():
    play = Play().live(0, top=10)
    play.event(1, epoch=2)
    assert play.state == "syncing" and not play.of(do.FetchReplay)
    play.snapshot(1, epoch=2)
    play.event(2, epoch=2)
    play.show()
    assert play.shown() == [(2, 1), 2] and play.state == "live"


def test_case_2_epoch_and_sequence_move_together():
    play = Play().live(0)
    play.event(1)
    play.event(5, epoch=2)
    play.event(2, epoch=1)  # Of the log that is gone.
    play.snapshot(3, epoch=2)
    play.wait(2 * S)
    assert [(effect.epoch, effect.sequence) for effect in play.ever(do.PersistCursor)][-1] == (2, 3)
    assert all((effect.epoch, effect.sequence) in ((1, 0), (1, 1), (2, 3)) for effect in play.ever(do.PersistCursor))


def test_case_3_to_an_empty_channel_the_first_event_brings_the_epoch_and_the_next_is_checked_against_it():
    play = Play()
    play.start(0)
    asked = play.open()
    play.ack()
    play.reply(asked, epoch=0, top=0)
    play.event(1, epoch=4)
    play.event(2, epoch=5)
    assert play.state == "syncing" and play.of(do.FetchSnapshot)
    play.show()
    assert play.shown() == [1]


def test_case_4_a_truncated_log_is_a_snapshot_and_no_part_of_a_replay_is_shown():
    play = behind()
    play.page(3, 4, more=True, top=5)
    play.page(5, 4, truncated=True, top=9)
    play.show()
    assert play.shown() == [1, 2]
    play.snapshot(9)
    assert play.shown() == [1, 2, (1, 9)] and play.state == "live"


def test_case_5_a_cursor_ahead_of_the_top_is_retried_once_and_then_a_snapshot():
    play = Play().live(0, top=10)
    play.close(1006)
    play.reply(play.redial(), top=7)
    assert play.state == "live" and not play.ever(do.FetchSnapshot) and play.counted("ahead") == 1
    play.wait(2 * S)
    (again,) = play.sent(frames.Subscribe)
    play.reply([again], top=7)
    assert play.of(do.FetchSnapshot) and play.state == "syncing"
    play.snapshot(7)
    assert play.shown() == []  # The state does not go back.


def test_case_6_a_cursor_at_the_top_is_a_success_without_events_even_if_retention_has_passed_it():
    play = Play().live(0, top=10)
    play.close(1006)
    play.reply(play.redial(), top=10, floor=11)
    assert play.state == "live" and not play.ever(do.FetchReplay) and not play.ever(do.FetchSnapshot)


def test_case_7_cursor_0_is_from_the_first_event_and_no_cursor_is_live_only():
    play = Play()
    play.feed(inputs.CursorLoaded(0, 1, 0, with_state=True))
    play.start(0, 1)
    asked = play.open()
    assert [frame.channels for frame in asked] == [((0, 1, 0),), ((1, 0, -1),)]
    play.ack()
    play.reply(asked, top=4)
    assert [(effect.channel, effect.after) for effect in play.ever(do.FetchReplay)] == [(0, 0)]


def test_case_8_without_a_cursor_the_top_of_the_reply_is_the_cursor():
    play = Play().live(0, top=12)
    assert play.session.cursors == {0: (1, 12)}
    play.event(13)
    play.show()
    assert play.shown() == [13]


def test_case_9_and_10_events_before_subscribed_are_held_and_then_shown_in_order():
    play = Play()
    play.start(0)
    asked = play.open()
    play.ack()
    play.event(8)
    play.event(7)
    play.show()
    assert play.shown() == []
    play.reply(asked, top=6)
    play.show()
    assert play.shown() == [7, 8] and play.state == "live"


def test_case_11_replay_and_live_events_overlap():
    play = behind(top=4)
    play.event(4)
    play.event(5)
    play.page(3, 4)
    play.show()
    assert play.shown() == [1, 2, 3, 4, 5]


def test_case_12_a_new_gap_while_a_replay_is_in_flight_makes_no_second_request():
    play = behind(top=4)
    play.event(7)
    play.wait(400 * MS)
    assert len(play.ever(do.FetchReplay)) == 1
    play.page(3, 4)
    play.wait(400 * MS)
    assert [effect.after for effect in play.ever(do.FetchReplay)] == [2, 4]
    play.page(5, 7)
    play.show()
    assert play.shown() == [1, 2, 3, 4, 5, 6, 7] and play.state == "live"


def test_case_13_a_replay_without_progress_is_made_once_more_and_then_a_snapshot():
    play = behind(top=5)
    play.page(1, 0, top=2)
    assert play.state == "live" and not play.of(do.FetchReplay)  # The channel waits by itself.
    play.wait(2 * S)
    assert play.state == "syncing" and len(play.ever(do.FetchReplay)) == 2
    play.page(1, 0, top=2)
    assert len(play.ever(do.FetchReplay)) == 2 and play.of(do.FetchSnapshot)


@pytest.mark.parametrize("stale", [inputs.ReplayReady(10**6, 0, 1, (), 9), inputs.SnapshotReady(10**6, 0, 1, 9), inputs.TokenReady(10**6, S)])
def test_case_14_an_answer_of_a_superseded_call_is_ignored(stale):
    play = behind(top=5)
    play.feed(stale)
    assert play.made == [do.Count("stale")] and play.state == "replaying"


def test_case_14_a_replay_that_was_under_way_at_the_close_is_called_off():
    play = behind(top=5)
    ticket = play.last(do.FetchReplay).ticket
    play.close(1006)
    assert do.CancelFetch(ticket, inputs.REPLAY) in play.made
    play.page(3, 5)
    play.show()
    assert play.counted("stale") == 1 and play.shown() == [1, 2]


def test_case_15_retention_moves_between_two_pages():
    play = behind(top=900)
    play.page(3, 302, top=900, more=True)
    assert play.last(do.FetchReplay).after == 302
    play.page(1, 0, top=900, truncated=True)
    play.snapshot(900)
    play.show()
    assert play.shown() == [1, 2, (1, 900)]


def test_case_16_live_events_that_meet_a_snapshot_are_shown_from_its_watermark_on():
    play = Play().live(0, top=10)
    play.frame(frames.ChannelResync(0, 2, 3))
    for at in (3, 4, 5):
        play.event(at, epoch=2)
    play.snapshot(4, epoch=2)
    play.show()
    assert play.shown() == [(2, 4), 5]


def test_case_17_a_snapshot_older_than_the_cursor_is_refused_and_asked_for_again():
    play = Play().live(0, top=10)
    play.event(11)
    play.event(11, event=99)  # An integrity fault asks for the state.
    play.snapshot(5)
    assert play.counted("old_snapshot") == 1 and play.shown() == []
    play.wait(10 * S)
    assert len(play.ever(do.FetchSnapshot)) == 2
    play.snapshot(11)
    assert play.shown()[-1] == (1, 11)


def test_case_18_the_same_event_twice_is_shown_once():
    play = Play().live(0)
    play.event(1)
    play.event(1)
    play.show()
    assert play.shown() == [1] and play.counted("duplicate") == 1 and not play.ever(do.Fault)


def test_case_19_the_same_event_at_a_new_sequence_moves_the_cursor_and_is_not_shown():
    play = Play().live(0)
    play.event(1, event=7)
    play.show()
    play.event(2, event=7)
    assert play.session.cursors == {0: (1, 2)}
    play.event(3)
    play.show()
    assert play.shown() == [1, 3]


def test_case_20_another_event_at_the_same_sequence_is_reported_and_the_channel_is_reset():
    play = Play().live(0)
    play.event(1, event=7)
    play.event(1, event=8)
    assert play.of(do.Fault) == [do.Fault("one event at one sequence", 0, 1)]
    assert play.of(do.FetchSnapshot) and play.state == "syncing"


def test_case_21_the_window_of_ids_is_bounded_and_the_sequence_is_the_main_guard():
    play = Play(Parameters(dedupe_window=4, outbox_cap=4)).live(0)
    for at in range(1, 11):
        play.event(at)
    channel = play.session.channels[0]
    assert len(channel.ids) == len(channel.places) == 4
    play.event(2)  # Its id is forgotten.
    play.show()
    assert play.shown() == list(range(1, 11))


def test_case_22_a_hole_by_design_is_jumped_also_when_it_comes_early():
    play = Play().live(0)
    play.event(1)
    play.frame(frames.SequenceSkip(0, 1, 2, 4))
    play.event(5)
    play.frame(frames.SequenceSkip(0, 1, 7, 8))
    play.event(9)
    play.event(6)
    play.show()
    assert play.shown() == [1, 5, 6, 9] and play.session.cursors == {0: (1, 9)}
    play.wait(S)
    assert not play.ever(do.FetchReplay)


def test_case_23_the_top_in_a_ping_shows_a_last_event_that_was_lost():
    play = Play().live(0)
    play.event(1)
    play.frame(frames.Ping(0, ((0, 1, 2),)))
    assert play.state == "syncing"
    assert [(effect.epoch, effect.after) for effect in play.of(do.FetchReplay)] == [(1, 1)]


def test_case_24_a_swap_within_gap_wait_repairs_itself():
    play = Play().live(0)
    play.event(2)
    play.wait(299 * MS)
    play.event(1)
    play.wait(S)
    assert play.shown() == [1, 2] and not play.ever(do.FetchReplay) and play.state == "live"


@pytest.mark.parametrize(("waited", "asked"), [(300 * MS - 1, 0), (300 * MS, 1)])
def test_case_24_a_gap_that_outlasts_gap_wait_is_replayed(waited, asked):
    play = Play().live(0)
    play.event(2)
    play.wait(waited)
    assert len(play.ever(do.FetchReplay)) == asked


def test_gap_wait_0_is_the_literal_rule():
    play = Play(Parameters(gap_wait=0)).live(0)
    play.event(2)
    assert play.of(do.FetchReplay)


def test_case_27_a_cursor_is_saved_after_it_was_applied():
    play = Play().live(0)
    play.event(1)
    play.wait(40 * MS)
    assert not play.ever(do.PersistCursor) and play.session.cursors == {0: (1, 0)} and play.session.channels[0].seen == 1
    play.wait(2 * S)
    assert [(effect.epoch, effect.sequence) for effect in play.ever(do.PersistCursor)] == [(1, 1)]


def test_case_28_a_saved_cursor_without_its_state_is_a_snapshot_first():
    play = Play()
    play.feed(inputs.CursorLoaded(0, 1, 5))
    play.start(0)
    asked = play.open()
    assert asked[0].channels == ((0, 0, -1),)
    play.ack()
    play.reply(asked, top=9)
    assert play.state == "replaying" and play.of(do.FetchSnapshot)
    play.event(10)
    play.snapshot(9)
    play.show()
    assert play.shown() == [(1, 9), 10]


def test_case_30_an_older_presence_of_a_user_is_dropped():
    play = Play().live(0)
    for ts, status in ((10, 1), (5, 0), (11, 2)):
        play.event(0, epoch=0, type=frames.PRESENCE, ts=ts, user=3, status=status)
    play.show()
    assert [event.status for effect in play.ever(do.Deliver) for event in effect.events] == [2]
    assert play.counted("outdated") == 1


def test_events_carried_by_the_reply_need_no_replay():
    play = Play().live(0)
    play.event(1)
    play.close(1006)
    (asked,) = play.redial()
    events = tuple(play.envelope(at) for at in (2, 3))
    play.frame(frames.Subscribed(asked.correlation, 0, 1, 3, 1, True, events))
    play.show()
    assert play.shown() == [1, 2, 3] and play.state == "live" and not play.ever(do.FetchReplay)


def test_a_fetch_that_fails_waits_its_own_time_and_a_forbidden_one_ends_the_channel():
    play = behind(top=5)
    play.feed(inputs.FetchFailed(play.last(do.FetchReplay).ticket, inputs.REPLAY, 503, advised=7 * S, channel=0))
    assert play.state == "live"
    play.wait(7 * S - 1)
    assert len(play.ever(do.FetchReplay)) == 1
    play.wait(1)
    assert len(play.ever(do.FetchReplay)) == 2
    play.feed(inputs.FetchFailed(play.last(do.FetchReplay).ticket, inputs.REPLAY, 403, channel=0))
    assert play.state == "live" and play.session.cursors == {}


def test_a_replay_longer_than_replay_max_is_a_snapshot():
    play = behind(top=2_400)
    last = 2
    while not play.of(do.FetchSnapshot):
        assert last < 2_400
        play.page(last + 1, last + 300, top=2_400, more=True)
        last += 300
    assert last == 2_102


def test_a_fetch_without_an_answer_is_made_again():
    play = behind(top=5)
    play.wait(12 * S)
    assert len(play.ever(do.FetchReplay)) == 2
    assert [type(effect) for _, effect in play.log].count(do.CancelFetch) == 1
