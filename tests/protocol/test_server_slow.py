"""A slow consumer at a gateway: bounded memory, transients first, then the channel, then the connection."""

from simfabric.protocol import codes, frames, inputs
from simfabric.protocol.codec import HEAD, wire_size
from simfabric.protocol.effects import Count
from simfabric.protocol.outgoing import MOST_TRANSIENTS
from simfabric.protocol.parameters import Parameters
from tests.protocol.desk import SECOND, Desk, closes, presence, sent

HARD, SOFT = 1_048_576, 524_288
QUIET = {"heartbeat_interval": 3600 * SECOND}


def live(**settings):
    desk = Desk(Parameters(**QUIET, **settings))
    desk.write_out(desk.subscribe() + desk.subscribe(channel=4))
    desk.session.out.buffered = 0
    return desk


def fill(desk, size):
    """Events of channel 3 that bring the buffer to exactly this size."""
    while (room := size - desk.session.out.buffered) > 0:
        assert sent(desk.route(desk.append(size=min(room, 60_000) - HEAD if room > 60_000 + HEAD or room <= 60_000 else HEAD)))


def test_the_buffer_is_full_at_one_megabyte_and_not_a_byte_earlier():
    desk = live()
    fill(desk, HARD - HEAD)
    assert desk.session.out.buffered == HARD - HEAD
    assert len(sent(desk.route(desk.append(size=0)))) == 1
    assert desk.session.out.buffered == HARD
    assert desk.route(desk.append(size=0)) == [Count("durable_dropped")]


def test_transients_are_dropped_above_the_soft_bound():
    desk = live()
    fill(desk, SOFT - HEAD - 20)
    assert len(sent(desk.route(presence(8, 1)))) == 1
    assert desk.session.out.buffered == SOFT
    assert desk.route(presence(9, 1)) == [Count("transient_dropped")]
    assert len(sent(desk.route(desk.append()))) == 1


def test_a_dirty_channel_sends_nothing_more_until_the_buffer_drained_and_then_says_what_to_fetch():
    desk = live()
    fill(desk, HARD)
    first = desk.append()
    assert sent(desk.route(first)) == []
    assert sent(desk.give(inputs.BufferWritten(HARD - SOFT - 1))) == []
    assert sent(desk.route(desk.append())) == []
    last = desk.log.top
    assert sent(desk.route(frames.Envelope(4, 1, 1, 50))) != []
    assert sent(desk.give(inputs.BufferWritten(1 + HEAD))) == [frames.ChannelResync(3, 1, last, "slow")]
    assert [frame.sequence for frame in sent(desk.route(desk.append()))] == [last + 1]


def test_a_buffer_that_stays_full_for_longer_than_the_grace_ends_the_connection():
    desk = live()
    fill(desk, HARD)
    desk.route(desk.append())
    assert closes(desk.wait_until(10 * SECOND)) == []
    desk.give(inputs.BufferWritten(1_000))
    assert closes(desk.wait_until(10 * SECOND + 1)) == [codes.SLOW_CONSUMER]


def test_a_socket_that_recovers_within_the_grace_is_forgiven():
    desk = live()
    fill(desk, HARD)
    desk.route(desk.append())
    desk.wait_until(9 * SECOND)
    desk.give(inputs.BufferWritten(HARD))
    assert closes(desk.wait_until(600 * SECOND)) == []


def test_control_frames_have_a_reserve_and_then_end_the_connection_too():
    desk = live()
    fill(desk, HARD)
    answers = 0
    while not closes(effects := desk.frame(frames.Unsubscribe(answers, 99))):
        answers += len(sent(effects))
    assert answers == 65_536 // HEAD and closes(effects) == [codes.SLOW_CONSUMER]


def test_a_channel_that_is_asked_for_again_is_clean():
    desk = live()
    fill(desk, HARD)
    desk.route(desk.append())
    desk.give(inputs.BufferWritten(60_000))
    assert [frame.top for frame in sent(desk.subscribe(1, 2))] == [desk.log.top]
    assert sent(desk.give(inputs.BufferWritten(HARD))) == []


def test_the_account_of_the_buffer_is_that_of_its_frames():
    desk = live()
    effects = desk.route(desk.append()) + desk.frame(frames.Ping(0)) + desk.route(presence(8, 1))
    assert desk.session.out.buffered == sum(wire_size(frame) for frame in sent(effects))
    desk.write_out(effects)
    assert desk.session.out.buffered == 0
    desk.give(inputs.BufferWritten(99))
    assert desk.session.out.buffered == 0


def test_case_87_a_flood_of_transients_is_capped_and_coalesced_to_the_newest():
    desk = live()
    shown = [len(sent(desk.route(presence(user, 1)))) for user in range(MOST_TRANSIENTS + 10)]
    assert shown == [1] * MOST_TRANSIENTS + [0] * 10
    desk.route(presence(MOST_TRANSIENTS, 9))
    desk.route(presence(MOST_TRANSIENTS, 7))
    assert sent(desk.wait_until(SECOND - 1)) == []
    later = sent(desk.wait_until(SECOND))
    assert [(frame.user, frame.ts) for frame in later] == [(MOST_TRANSIENTS, 9), *((MOST_TRANSIENTS + at, 1) for at in range(1, 10))]


def test_case_87_no_more_transients_wait_than_a_window_may_have():
    desk = live()
    for user in range(1_000):
        desk.route(presence(user, 1))
    assert [frame.user for frame in sent(desk.wait_until(SECOND))] == list(range(1_000 - MOST_TRANSIENTS, 1_000))
    assert desk.session.next_deadline() > 2 * SECOND


def test_case_87_durable_events_are_not_capped():
    desk = live()
    assert sum(len(sent(desk.route(desk.append()))) for _ in range(500)) == 500


def test_transients_of_a_channel_that_was_left_do_not_come_later():
    desk = live()
    for user in range(MOST_TRANSIENTS + 10):
        desk.route(presence(user, 1))
    desk.frame(frames.Unsubscribe(1, 3))
    assert sent(desk.wait_until(SECOND)) == []
