"""The client's queue and its channels: section D of the edge cases."""

import pytest

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs
from simfabric.protocol.channel import OFF, ON
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import MS, Play, S

SMALL = Parameters(queue_cap=10)


def stuck(parameters=SMALL, channels=(0, 1, 2)):
    """A client whose user interface has a batch and does not take it."""
    play = Play(parameters).live(*channels)
    play.takes = False
    play.event(1, channel=channels[0])
    play.wait(60 * MS)
    return play


def fill(play, channel, first, last):
    for at in range(first, last + 1):
        play.event(at, channel=channel)


def test_events_go_out_in_one_batch_of_each_channel_after_flush_every():
    play = Play().live(0, 1)
    for at in (1, 2):
        play.event(at)
        play.event(at, channel=1)
    play.wait(50 * MS - 1)
    assert not play.of(do.Deliver)
    play.wait(1)
    assert [(effect.channel, [event.sequence for event in effect.events]) for effect in play.of(do.Deliver)] == [(0, [1, 2]), (1, [1, 2])]


def test_a_user_interface_that_is_busy_gets_no_second_batch():
    play = stuck()
    play.event(2)
    play.wait(S)
    assert play.shown() == [1]
    play.feed(inputs.ConsumerDrained())
    play.wait(MS)
    assert play.shown() == [1, 2]


def test_a_long_queue_goes_out_batch_by_batch_as_it_is_taken():
    play = Play().live(0)
    fill(play, 0, 1, 600)
    play.wait(50 * MS)
    assert play.shown() == list(range(1, 601))
    assert [len(effect.events) for effect in play.ever(do.Deliver)] == [256, 256, 88]


def test_case_67_at_the_bound_the_longest_background_channel_is_discarded_and_resynchronised():
    play = stuck()
    play.feed(inputs.VisibleChanged((0,)))
    fill(play, 0, 2, 6)
    fill(play, 1, 1, 2)
    fill(play, 2, 1, 3)
    assert play.counted("overflow") == 0
    play.event(7)
    assert play.counted("overflow") == 1 and play.state == "syncing"
    assert [(effect.channel, effect.after) for effect in play.of(do.FetchReplay)] == [(2, 0)]  # From what was applied.
    play.takes = True
    play.feed(inputs.ConsumerDrained())
    play.show()
    play.page(1, 3)
    play.show()
    assert play.shown(0) == [1, 2, 3, 4, 5, 6, 7] and play.shown(1) == [1, 2] and play.shown(2) == [1, 2, 3]


def test_case_67_a_visible_channel_is_discarded_only_if_there_is_no_other():
    play = stuck()
    play.feed(inputs.VisibleChanged((0,)))
    fill(play, 0, 2, 12)
    assert [(effect.channel, effect.after) for effect in play.of(do.FetchReplay)] == [(0, 1)]
    play.page(2, 12)
    play.feed(inputs.ConsumerDrained())
    play.takes = True
    play.show()
    assert play.shown(0)[:1] == [1]


def test_the_queue_takes_5000_events_and_not_one_more():
    play = stuck(Parameters())
    fill(play, 0, 2, 5_001)
    assert play.counted("overflow") == 0
    play.event(5_002)
    assert play.counted("overflow") == 1 and play.state == "syncing"


@pytest.mark.parametrize(("queued", "dropped"), [(7, 0), (8, 1)])
def test_case_67_transients_are_dropped_near_the_bound(queued, dropped):
    play = stuck()
    fill(play, 0, 2, queued + 1)
    play.event(0, epoch=0, type=frames.TYPING, user=3)
    assert play.counted("dropped") == dropped


def test_case_67_a_transient_with_a_queued_twin_takes_its_place_with_the_newest_content():
    play = Play().live(0)
    play.event(1)
    for status in (1, 2, 3):
        play.event(0, epoch=0, type=frames.PRESENCE, user=3, ts=status, status=status)
    play.show()
    (batch,) = play.ever(do.Deliver)
    assert [(event.type, event.status) for event in batch.events] == [(frames.MESSAGE, 0), (frames.PRESENCE, 3)]


def test_case_68_an_overflow_during_a_resync_is_a_snapshot_and_one_in_5_s():
    play = stuck()
    fill(play, 0, 2, 12)
    assert play.of(do.FetchReplay)
    play.page(2, 13)  # More than the queue takes.
    assert play.of(do.FetchSnapshot) and play.state == "syncing"
    play.snapshot(13)
    fill(play, 0, 14, 24)
    assert not play.of(do.FetchSnapshot) and not play.of(do.FetchReplay) and play.state == "syncing"  # The hint stays.
    play.wait(5 * S)
    assert play.of(do.FetchSnapshot)


def test_case_69_a_burst_of_visible_events_lets_the_background_live():
    play = Play().live(0, 1)
    play.feed(inputs.VisibleChanged((0,)))
    fill(play, 1, 1, 3)
    fill(play, 0, 1, 200)
    play.show()
    order = [(effect.channel, len(effect.events)) for effect in play.ever(do.Deliver)]
    assert order == [(0, 64), (1, 1), (0, 64), (1, 1), (0, 64), (1, 1), (0, 8)]


def test_case_69_a_channel_that_becomes_visible_changes_the_lane_as_a_whole():
    play = Play().live(0, 1)
    play.feed(inputs.VisibleChanged((0,)))
    fill(play, 0, 1, 2)
    fill(play, 1, 1, 3)
    play.feed(inputs.VisibleChanged((1,)))
    fill(play, 1, 4, 5)
    play.show()
    assert [(effect.channel, len(effect.events)) for effect in play.ever(do.Deliver)] == [(1, 5), (0, 2)]


def test_case_74_a_channel_that_nobody_needs_leaves_after_linger():
    play = Play().live(0)
    play.feed(inputs.SubscribeWanted(0, wanted=False))
    for _ in range(3):
        play.wait(10 * S - 1)
        assert not play.sent(frames.Unsubscribe)
        play.frame(frames.Ping(0))
    play.wait(3)
    assert [frame.channel for frame in play.sent(frames.Unsubscribe)] == [0]
    play.event(1)
    assert play.counted("unwanted") == 1


def test_case_74_who_comes_back_within_linger_finds_it_subscribed():
    play = Play().live(0)
    play.feed(inputs.SubscribeWanted(0, wanted=False))
    play.wait(20 * S)
    play.feed(inputs.SubscribeWanted(0))
    assert not play.sent(frames.Subscribe)
    play.frame(frames.Ping(0))
    play.wait(20 * S)
    assert play.session.subscriptions == {0: ON}


def test_who_comes_back_later_goes_on_from_where_he_was():
    play = Play().live(0)
    play.event(1)
    play.show()
    play.feed(inputs.SubscribeWanted(0, wanted=False))
    play.wait(31 * S)
    play.feed(inputs.SubscribeWanted(0))
    assert [frame.channels for frame in play.sent(frames.Subscribe)] == [((0, 1, 1),)]


def test_case_75_of_more_than_200_wanted_the_lowest_in_rank_leaves():
    channels = tuple(range(201))
    play = Play().live(*channels[:200], allowed=channels)
    assert sum(state == ON for state in play.session.subscriptions.values()) == 200
    play.feed(inputs.SubscribeWanted(200))
    assert [frame.channel for frame in play.sent(frames.Unsubscribe)] == [0]  # The one that was asked for longest ago.
    assert [frame.channels[0][0] for frame in play.sent(frames.Subscribe)] == [200]


def test_case_75_visible_and_direct_channels_come_first():
    channels = tuple(range(5))
    play = Play(Parameters(max_channels=3))
    play.feed(inputs.ConnectRequested())
    for channel in channels:
        play.feed(inputs.SubscribeWanted(channel, direct=channel == 1))
    play.feed(inputs.VisibleChanged((0,)))
    play.feed(inputs.Bootstrapped(play.last(do.FetchBootstrap).ticket, channels))
    play.answer_token()
    assert sorted(frame.channels[0][0] for frame in play.open()) == [0, 1, 4]


def test_case_75_channel_limit_is_final_for_that_request():
    play = Play().start(0, 1)
    first, second = play.open()
    play.ack()
    play.reply([first])
    play.frame(frames.ErrorFrame(second.correlation, frames.CHANNEL_LIMIT, 1))
    assert play.state == "live"
    play.wait(30 * S)
    assert not play.sent(frames.Subscribe)
    play.feed(inputs.SubscribeWanted(1))
    assert [frame.channels[0][0] for frame in play.sent(frames.Subscribe)] == [1]


def test_what_is_not_allowed_is_not_subscribed():
    play = Play().start(0, 7)
    assert [frame.channels[0][0] for frame in play.open()] == [0]


def test_channels_may_be_subscribed_several_in_a_frame():
    play = Play(Parameters(subscribe_batch=2)).start(0, 1, 2)
    asked = play.open()
    assert [[channel for channel, _, _ in frame.channels] for frame in asked] == [[0, 1], [2]]
    play.ack()
    play.reply(asked[:1])
    assert play.state == "subscribing"
    play.reply(asked[1:])
    assert play.state == "live"


def test_a_channel_opened_while_live_is_subscribed_at_once_and_may_be_behind():
    play = Play().live(0)
    play.feed(inputs.CursorLoaded(1, 1, 3, with_state=True))
    play.feed(inputs.SubscribeWanted(1))
    play.reply(play.sent(frames.Subscribe), top=5)
    assert play.state == "syncing"
    play.page(4, 5)
    play.show()
    assert play.shown(1) == [4, 5] and play.state == "live"


def test_a_subscribe_without_a_reply_is_made_again():
    play = Play().live(0)
    play.feed(inputs.SubscribeWanted(1))
    play.wait(12 * S)
    assert len(play.sent(frames.Subscribe)) == 1 and play.state == "live"


def test_a_channel_that_the_server_ended_is_subscribed_again_unless_it_was_final():
    play = Play().live(0, 1)
    play.frame(frames.Unsubscribed(-1, 0, "moved"))
    play.frame(frames.Unsubscribed(-1, 1, "gone", final=True))
    play.wait(2 * S)
    assert [frame.channels[0][0] for frame in play.sent(frames.Subscribe)] == [0]


def test_case_76_a_save_only_raises_the_sequence_or_brings_a_newer_epoch():
    play = Play()
    play.feed(inputs.CursorLoaded(0, 2, 9, with_state=True))
    play.feed(inputs.CursorLoaded(0, 2, 4))
    play.start(0)
    asked = play.open()
    assert asked[0].channels == ((0, 2, 9),)
    play.ack()
    play.reply(asked, epoch=2, top=9)
    play.wait(2 * S)
    assert not play.ever(do.PersistCursor)
    play.event(10, epoch=2)
    play.wait(2 * S)
    assert [(effect.epoch, effect.sequence) for effect in play.ever(do.PersistCursor)] == [(2, 10)]


def test_a_revoked_channel_is_gone_from_the_queue():
    play = Play().live(0)
    play.event(1)
    play.frame(frames.ChannelAccessRevoked(0))
    play.show()
    assert play.shown() == [] and play.session.subscriptions == {0: OFF}
