"""Subscribing at a gateway: nothing between the cursor and the live events is lost, doubled or passed over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.protocol import frames, inputs
from simfabric.protocol.effects import Count, DropRoute, MakeRoute, ReadLog
from simfabric.protocol.frames import Envelope, Subscribed
from simfabric.protocol.parameters import Parameters
from tests.protocol.desk import SECOND, Desk, presence, sent, sequences

INLINE = Parameters(inline_recovery=300)


def reply(effects):
    (answer,) = [frame for frame in sent(effects) if isinstance(frame, Subscribed)]
    return answer


def begin(desk, epoch=1, sequence=2):
    """Up to the read of the log, which the test answers."""
    (route,) = desk.frame(frames.Subscribe(1, ((3, epoch, sequence),)))
    (read,) = desk.give(inputs.RouteReady(3, route.ticket))
    return read


# One row of the recovery table: the log, the cursor, and what the reply is.
TABLE = {
    "an empty channel": ({"events": 0}, (0, 0), (0, 0, 1, True)),
    "live only": ({"events": 5}, (0, -1), (1, 5, 1, True)),
    "from the first event": ({"events": 5}, (0, 0), (1, 5, 1, True)),
    "from the first event, with its epoch": ({"events": 5}, (1, 0), (1, 5, 1, True)),
    "from a cursor": ({"events": 5}, (1, 2), (1, 5, 1, True)),
    "at the limit": ({"events": 2_002}, (1, 2), (1, 2_002, 1, True)),
    "over the limit": ({"events": 2_003}, (1, 2), (1, 2_003, 1, False)),
    "at the edge of retention": ({"events": 9, "floor": 5}, (1, 4), (1, 9, 5, True)),
    "past retention": ({"events": 9, "floor": 5}, (1, 3), (1, 9, 5, False)),
    "from the first event, past retention": ({"events": 9, "floor": 5}, (0, 0), (1, 9, 5, False)),
    "ahead of the top": ({"events": 5}, (1, 6), (1, 5, 1, False)),
    "the same position": ({"events": 5}, (1, 5), (1, 5, 1, True)),
    "the same position after expiry": ({"events": 5, "floor": 99}, (1, 5), (1, 5, 6, True)),
    "another epoch": ({"events": 5, "epochs": 1}, (1, 2), (2, 5, 1, False)),
    "an epoch that has no event yet": ({"events": 0, "epochs": 1}, (1, 2), (0, 0, 1, False)),
    "no epoch": ({"events": 5}, (0, 2), (1, 5, 1, False)),
    "an empty channel, ahead": ({"events": 0}, (0, 3), (0, 0, 1, False)),
}


def desk_with(events, floor=1, epochs=0, parameters=None):
    desk = Desk(parameters)
    for _ in range(epochs):
        desk.append()
        desk.log.new_epoch()
    for _ in range(events):
        desk.append()
    desk.log.truncate(floor)
    return desk


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("parameters", [None, INLINE], ids=["by replay", "inline"])
def test_recovery_is_all_or_nothing(row, parameters):
    log, cursor, (epoch, top, floor, recovered) = TABLE[row]
    desk = desk_with(**log, parameters=parameters)
    answer = reply(desk.subscribe(*cursor))
    assert (answer.epoch, answer.top, answer.floor, answer.recovered) == (epoch, top, floor, recovered)
    inline = parameters is not None and recovered and 0 <= cursor[1] < top <= cursor[1] + 300
    assert [event.sequence for event in answer.events] == (list(range(cursor[1] + 1, top + 1)) if inline else [])


def test_case_6_the_same_position_misses_nothing():
    answer = reply(desk_with(events=5, floor=99).subscribe(1, 5))
    assert (answer.recovered, answer.events, answer.floor) == (True, (), 6)


def test_case_7_zero_is_from_the_first_event_and_absent_is_live_only():
    assert [event.sequence for event in reply(desk_with(3, parameters=INLINE).subscribe(0, 0)).events] == [1, 2, 3]
    assert reply(desk_with(3, parameters=INLINE).subscribe(0, -1)).events == ()


# -------------------------------------------------------------------------------------------------------------- the order of the steps


def test_case_9_the_log_is_read_only_when_the_route_is_visible():
    desk = Desk(events=5)
    effects = desk.frame(frames.Subscribe(1, ((3, 1, 2),)))
    assert effects == [MakeRoute(3, 1)]
    assert desk.give(inputs.RouteReady(3, 9)) == [Count("stale")]
    assert desk.give(inputs.RouteReady(3, 1)) == [ReadLog(3, 2, 2, 0)]


def test_case_9_an_event_before_the_route_one_during_the_read_and_one_after_come_once_each():
    desk = Desk(events=5)
    (route,) = desk.frame(frames.Subscribe(1, ((3, 1, 2),)))
    before = desk.append()
    assert desk.route(before) == []
    (read,) = desk.give(inputs.RouteReady(3, route.ticket))
    answer = desk.read(read)
    during = desk.append()
    assert desk.route(during) == []
    effects = desk.give(answer)
    assert reply(effects).top == 6 and reply(effects).recovered and sequences(effects) == [7]
    assert sequences(desk.route(desk.append())) == [8]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.data())
def test_case_9_whatever_order_events_take_a_recovered_reply_has_no_hole(data):
    desk = Desk(data.draw(st.sampled_from([None, INLINE])), events=4)
    read = begin(desk)
    held = []
    for _ in range(data.draw(st.integers(0, 5))):
        held.append(desk.append())
        if data.draw(st.booleans()):
            desk.route(held[-1])
    effects = []
    reads = [read]
    while reads:
        answer = desk.read(reads.pop())
        for _ in range(data.draw(st.integers(0, 3))):
            held.append(desk.append())
        for event in data.draw(st.lists(st.sampled_from(held), max_size=6)) if held else []:
            desk.route(event)
        effects += desk.give(answer)
        reads += [effect for effect in effects if isinstance(effect, ReadLog)][-1:] if desk.session.subscriptions.channels[3].state != 2 else []
    answer = reply(effects)
    got = sequences(effects)
    if answer.recovered:
        assert got == list(range(answer.top + 1, answer.top + 1 + len(got)))
        assert [event.sequence for event in answer.events] in ([], list(range(3, answer.top + 1)))
    else:
        assert answer.events == () and got == sorted(set(got)) and all(sequence > answer.top for sequence in got)


def test_case_9_a_hole_is_read_once_more_and_then_admitted():
    desk = Desk(events=5)
    read = begin(desk)
    stale = desk.read(read)
    desk.append()
    desk.route(desk.append())
    (again,) = desk.give(stale)
    assert isinstance(again, ReadLog) and again.ticket != read.ticket
    effects = desk.give(desk.read(again))
    assert reply(effects).recovered and reply(effects).top == 7 and sequences(effects) == []

    desk = Desk(events=5)
    read = begin(desk)
    stale = desk.read(read)
    desk.append()
    desk.route(desk.append())
    (again,) = desk.give(stale)
    stale.ticket = again.ticket
    effects = desk.give(stale)
    assert not reply(effects).recovered and sequences(effects) == [7]


def test_events_that_were_held_and_are_in_the_log_are_not_said_again():
    desk = Desk(events=5)
    read = begin(desk)
    for _ in range(3):
        desk.route(desk.append())
    effects = desk.give(desk.read(read))
    assert reply(effects).top == 8 and sequences(effects) == []
    assert desk.route(desk.log.events[-1]) == [Count("covered")]


def test_held_events_fill_what_an_inline_read_did_not_bring():
    desk = Desk(INLINE, events=5)
    read = begin(desk)
    answer = desk.read(read)
    desk.route(desk.log.events[4])
    answer.events = answer.events[:-1]
    assert [event.sequence for event in reply(desk.give(answer)).events] == [3, 4, 5]


@pytest.mark.parametrize(("size", "carried"), [(100, True), (30_000, False)])
def test_case_84_a_reply_that_would_exceed_a_frame_leaves_its_events_to_the_pages(size, carried):
    desk = Desk(INLINE)
    for _ in range(5):
        desk.append(size=size)
    answer = reply(desk.subscribe(1, 2))
    assert answer.recovered and bool(answer.events) is carried


def test_case_1_an_epoch_that_begins_during_the_read_is_read_again():
    desk = Desk(events=5)
    read = begin(desk)
    old = desk.read(read)
    desk.log.new_epoch()
    desk.route(desk.append())
    (again,) = desk.give(old)
    answer = reply(desk.give(desk.read(again)))
    assert (answer.epoch, answer.top, answer.recovered) == (2, 1, False)


def test_case_2_events_of_an_old_epoch_that_were_held_are_not_let_go():
    desk = Desk(events=5)
    read = begin(desk)
    desk.route(desk.append())
    desk.log.new_epoch()
    desk.append()
    effects = desk.give(desk.read(read))
    assert reply(effects).epoch == 2 and sequences(effects) == []


def test_case_3_the_first_event_of_an_empty_channel_brings_the_epoch():
    desk = Desk()
    assert (reply(desk.subscribe(0, 0)).epoch, reply(desk.subscribe(0, 0)).top) == (0, 0)
    (event,) = sent(desk.route(desk.append()))
    assert (event.epoch, event.sequence) == (1, 1)


def test_a_channel_that_is_left_while_it_is_subscribed_stays_left():
    desk = Desk(events=5)
    read = begin(desk)
    answer = desk.read(read)
    assert desk.frame(frames.Unsubscribe(2, 3))[0] == DropRoute(3)
    assert desk.give(answer) == [Count("stale")]
    assert sent(desk.route(desk.append())) == []


def test_case_14_the_answer_of_an_older_subscribe_is_not_taken_for_the_new_one():
    desk = Desk(events=5)
    first = desk.read(begin(desk))
    second = begin(desk, sequence=4)
    assert desk.give(first) == [Count("stale")]
    assert reply(desk.give(desk.read(second))).recovered


def test_more_held_events_than_the_buffer_may_have_are_read_from_the_log_instead():
    desk = Desk(Parameters(out_buffer=65_536), events=5)
    read = begin(desk)
    stale = desk.read(read)
    for _ in range(300):
        desk.route(desk.append(size=100))
    assert desk.session.subscriptions.channels[3].held_bytes <= 65_536
    (again,) = desk.give(stale)
    assert reply(desk.give(desk.read(again))).recovered


def test_case_30_after_the_reply_one_batch_says_how_everybody_is():
    desk = Desk(events=5)
    read = begin(desk)
    desk.route(presence(8, 5))
    desk.route(presence(8, 4))
    desk.route(presence(9, 7))
    effects = desk.give(desk.read(read, (presence(8, 3), presence(9, 9), presence(10, 1))))
    assert [(frame.user, frame.ts) for frame in sent(effects)[1:]] == [(8, 5), (9, 9), (10, 1)]


# ------------------------------------------------------------------------------------------------------------------- position check


def subscribed(**settings):
    desk = Desk(**settings)
    desk.subscribe()
    return desk


def checked(desk, events=()):
    return desk.give(inputs.PositionChecked(3, desk.log.epoch, desk.log.top, tuple(events)))


def test_case_23_a_last_event_that_was_lost_is_pushed_by_the_position_check():
    desk = subscribed(events=5)
    assert checked(desk) == []
    lost = [desk.append(), desk.append()]
    assert sequences(checked(desk, lost)) == [6, 7]
    assert checked(desk, lost) == []


def test_case_23_without_the_range_the_channel_is_to_be_fetched():
    desk = subscribed(events=5)
    lost = [desk.append(), desk.append()]
    assert sent(checked(desk, lost[1:])) == [frames.ChannelResync(3, 1, 7, "position")]
    assert checked(desk) == []


def test_a_range_of_the_first_events_of_an_empty_channel_is_pushed():
    desk = subscribed()
    assert sequences(checked(desk, [desk.append()])) == [1]


def test_a_position_of_another_epoch_asks_for_a_resync_and_an_older_one_for_nothing():
    desk = subscribed(events=5)
    old = inputs.PositionChecked(3, 1, 9)
    desk.log.new_epoch()
    event = desk.append()
    assert sent(checked(desk, [event])) == [frames.ChannelResync(3, 2, 1, "position")]
    assert desk.give(old) == []


def test_a_position_of_a_channel_that_is_not_live_yet_says_nothing():
    desk = Desk(events=5)
    begin(desk)
    desk.append()
    assert checked(desk) == []
    assert desk.give(inputs.PositionChecked(77, 1, 3)) == []


# --------------------------------------------------------------------------------------------------------------------------- limits


def test_case_75_the_two_hundred_and_first_channel_is_refused_for_good():
    desk = Desk()
    for channel in range(200):
        assert isinstance(sent(desk.subscribe(channel=channel))[0], Subscribed)
    assert sent(desk.subscribe(channel=200)) == [frames.ErrorFrame(1, frames.CHANNEL_LIMIT, 200)]
    assert isinstance(sent(desk.subscribe(channel=7))[0], Subscribed)
    desk.frame(frames.Unsubscribe(1, 7))
    assert isinstance(sent(desk.subscribe(channel=200))[0], Subscribed)


def test_a_list_of_channels_is_answered_channel_by_channel():
    desk = Desk(allowed=(3, 5))
    effects = desk.settle(desk.frame(frames.Subscribe(4, ((3, 0, -1), (4, 0, -1), (5, 0, -1)))))
    assert sorted((type(frame).__name__, frame.channel, frame.correlation) for frame in sent(effects)) == [
        ("ErrorFrame", 4, 4),
        ("Subscribed", 3, 4),
        ("Subscribed", 5, 4),
    ]


def test_case_59_a_channel_that_is_not_allowed_is_refused_and_the_others_go_on():
    desk = Desk(allowed=(3,))
    assert sent(desk.subscribe(channel=4)) == [frames.ErrorFrame(1, frames.NOT_AUTHORIZED, 4)]
    assert isinstance(sent(desk.subscribe())[0], Subscribed)


def test_subscribes_above_the_burst_are_refused_with_advice_and_then_admitted():
    desk = Desk()
    answers = [sent(desk.subscribe(channel=at % 200))[0] for at in range(401)]
    assert all(isinstance(answer, Subscribed) for answer in answers[:400])
    assert answers[400] == frames.ErrorFrame(1, frames.RATE_LIMITED, 0, SECOND // 20)
    desk.now += SECOND // 20
    assert isinstance(sent(desk.subscribe())[0], Subscribed)


def test_an_event_is_forwarded_without_the_key_of_its_author():
    desk = subscribed(events=1)
    (event,) = sent(desk.route(desk.append(user=6, key=4)))
    assert event == Envelope(3, 2, 1, event.event, ts=0, user=6, size=100)
    (echo,) = sent(desk.route(desk.append(user=5, key=4)))
    assert echo.client_message_id == 4
