"""Transports, versions, limits: section E of the edge cases, the client's part."""

import pytest

from simfabric.chance import decision_key, uniform
from simfabric.protocol import codes, frames, inputs, rules
from simfabric.protocol import effects as do
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import Play, S

MINUTE = 60 * S


def blocked(dials, parameters=None):
    """A client whose websockets get no byte through, after so many dials; every time it asked for a token first."""
    play = Play(parameters or Parameters(reconnect_jitter=0.0)).start(0)
    for _ in range(dials):
        play.close(1006, bytes_seen=False)
        while play.state == "backoff":
            play.wait(play.session.next_deadline() - play.now)
        if play.state == "token":
            play.answer_token()
    return play


@pytest.mark.parametrize(("dials", "kind"), [(2, inputs.WEBSOCKET), (3, inputs.SSE), (4, inputs.SSE), (5, inputs.LONG_POLL)])
def test_case_77_the_transport_goes_down_by_counted_failures(dials, kind):
    assert blocked(dials).last(do.OpenTransport).kind == kind


def test_case_77_a_websocket_that_worked_and_now_fails_is_first_a_network_fault():
    play = Play(Parameters(reconnect_jitter=0.0)).live(0)
    play.close(1006)
    for _ in range(4):
        while play.state == "backoff":
            play.wait(play.session.next_deadline() - play.now)
        play.close(1006, bytes_seen=False)
    assert play.session.ladder is None  # No call has worked since.


def fallen_back():
    play = blocked(3)
    asked = play.open()
    play.ack()
    play.reply(asked)
    assert play.session.primary.kind == inputs.SSE and play.state == "live"
    return play


def test_case_78_in_fallback_a_websocket_is_tried_beside_and_its_success_takes_over_without_a_gap():
    play = fallen_back()
    play.event(1)
    tried = [at for at, effect in play.log if isinstance(effect, do.OpenTransport)]
    while play.session.standby is None:
        play.wait(10 * S)
        play.frame(frames.Ping(0))
    assert play.now - tried[-1] > 4 * MINUTE
    if play.session.standby.ticket:
        play.answer_token()
    standby = play.session.standby.dialled
    assert play.last(do.OpenTransport) == do.OpenTransport(standby, inputs.WEBSOCKET)
    play.feed(inputs.TransportOpened(standby))
    asked = play.sent(frames.Subscribe)
    play.ack(standby)
    play.reply(asked, top=1, generation=standby)
    assert play.generation == standby and play.session.primary.kind == inputs.WEBSOCKET and play.state == "live"
    play.event(2)
    play.show()
    assert play.shown() == [1, 2]
    play.wait(20 * S)
    assert play.session.deadline(7) > play.now + 1000 * MINUTE  # WS_RETRY is off.


def test_case_78_a_try_that_fails_changes_nothing_and_the_next_comes_in_5_to_10_minutes():
    play = fallen_back()
    while play.session.standby is None:
        play.wait(10 * S)
        play.frame(frames.Ping(0))
    if play.session.standby.ticket:
        play.answer_token()
    began = play.now
    play.feed(inputs.TransportClosed(play.session.standby.dialled, 1006, bytes_seen=False))
    assert play.state == "live" and play.session.standby is None
    while play.session.standby is None:
        play.wait(10 * S)
        play.frame(frames.Ping(0))
    assert 4 * MINUTE < play.now - began <= 10 * MINUTE + 10 * S


def test_case_78_the_times_of_the_tries_are_addressed_draws():
    play = blocked(3)
    u = uniform(decision_key(0, 0, "clients/ws_retry"), 1, 0)
    failed_at = [at for at, effect in play.log if isinstance(effect, do.StateChanged) and effect.new == 8][-1]
    assert play.session.deadline(7) == rules.ws_retry_at(failed_at, 5 * MINUTE, 10 * MINUTE, u)


def test_case_78_a_page_that_is_loaded_anew_starts_at_the_top():
    assert Play().start(0).last(do.OpenTransport).kind == inputs.WEBSOCKET


def test_case_81_no_byte_of_sse_in_time_is_a_failure_of_that_rung():
    play = blocked(3, Parameters(reconnect_jitter=0.0, first_byte_timeout=3 * S))
    assert play.last(do.OpenTransport).kind == inputs.SSE
    play.wait(3 * S - 1)
    assert play.state == "dialing"
    play.wait(1)
    assert play.state == "backoff" and play.session.ladder.sse_failures == 1


def test_a_long_poll_carries_visible_and_direct_channels_only():
    play = Play(Parameters(reconnect_jitter=0.0))
    play.feed(inputs.SubscribeWanted(0))
    play.feed(inputs.SubscribeWanted(1, direct=True))
    play.feed(inputs.VisibleChanged((2,)))
    play.start()
    for _ in range(5):
        play.close(1006, bytes_seen=False)
        while play.state == "backoff":
            play.wait(play.session.next_deadline() - play.now)
        if play.state == "token":
            play.answer_token()
    assert sorted(frame.channels[0][0] for frame in play.open()) == [1, 2]


def test_case_82_what_this_version_does_not_know_is_ignored_and_counted():
    play = Play().live(0)
    play.frame(frames.Unknown("poll.created"))
    assert play.made == [do.Count("unknown")]
    play.frame(frames.MessageSend(1, 0, 1, 1))
    assert play.made == [do.Count("unexpected")]
    play.event(1, type=77)
    play.frame(frames.ErrorFrame(12345, 77))
    play.show()
    assert play.shown() == [1] and play.state == "live"


def test_case_82_the_version_is_agreed_anew_on_every_connection():
    play = Play().live(0)
    play.frame(frames.ConnectionAck(1, 1, 3, 25 * S, 10 * S, 200))
    assert play.counted("lenient") == 1
    play.close(1006)
    play.redial()
    assert play.counted("lenient") == 1


def test_case_83_too_old_is_the_end_with_its_reason():
    play = Play().start(0)
    play.open()
    play.close(4426)
    assert play.state == "signed_out" and play.session.reason == codes.REASON_UPGRADE


@pytest.mark.parametrize(("size", "state"), [(65_536, "live"), (65_537, "backoff")])
def test_case_84_a_frame_above_the_limit_ends_the_connection(size, state):
    play = Play().live(0)
    play.frame(play.envelope(1), size)
    assert play.state == state and len(play.of(do.Fault)) == (state == "backoff")


def test_a_text_that_is_no_frame_is_a_fault_of_the_server():
    play = Play().live(0)
    play.frame(frames.Unknown("", malformed=True))
    assert play.state == "backoff" and play.of(do.Fault)


def test_case_85_each_resubscribe_of_a_channel_has_its_own_backoff():
    play = Play().start(0)
    (asked,) = play.open()
    play.ack()
    for n in range(4):
        play.frame(frames.ErrorFrame(asked.correlation, frames.UNAVAILABLE, 0, 0))
        shortest, longest = int(0.8 * 2**n * S), int(1.2 * 2**n * S)
        play.wait(shortest - 1)
        assert not play.sent(frames.Subscribe)
        play.wait(longest - shortest + 1)
        (asked,) = play.sent(frames.Subscribe)
    assert play.state == "live" and play.session.attempt == 0
