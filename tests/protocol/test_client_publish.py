"""What the user sends: section B of the edge cases, the client's part."""

import pytest

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs
from simfabric.protocol.codec import wire_size
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import Play, S

MINUTE = 60 * S


def keys(play):
    return [send.client_message_id for send in play.sent(frames.MessageSend)]


def publish(play, *sends, channel=0):
    for key in sends:
        play.feed(inputs.PublishRequested(channel, key, 100))


def acknowledge(play, key, sequence=1):
    correlation = next(e.frame.correlation for e in reversed(play.ever(do.SendFrame)) if getattr(e.frame, "client_message_id", -1) == key)
    play.frame(frames.MessageAck(correlation, key, 1, sequence, 1))


def settled(play):
    return [(effect.client_message_id, effect.outcome, effect.reason) for effect in play.ever(do.PublishSettled)]


def refuse(play, error, retry_after=-1):
    correlation = play.sent(frames.MessageSend)[0].correlation
    play.frame(frames.ErrorFrame(correlation, error, 0, retry_after))


def test_case_31_after_a_lost_ack_the_send_goes_again_with_the_same_key():
    play = Play().live(0)
    publish(play, 7)
    play.close(1006)
    play.reply(play.redial())
    assert keys(play) == [7]
    acknowledge(play, 7)
    assert settled(play) == [(7, "sent", "")]


def test_case_31_and_34_the_echo_settles_a_send_once_even_if_the_ack_comes_later_or_never():
    play = Play().live(0)
    publish(play, 7)
    play.event(1, client_message_id=7)
    assert settled(play) == [(7, "sent", "")]
    acknowledge(play, 7)
    play.show()
    assert settled(play) == [(7, "sent", "")] and play.shown() == [1] and play.counted("unknown_ack") == 1
    play.wait(6 * MINUTE)
    assert len(settled(play)) == 1


def test_case_32_an_ack_for_an_unknown_key_changes_nothing():
    play = Play().live(0)
    play.frame(frames.MessageAck(5, 99, 1, 1, 1))
    assert play.made == [do.Count("unknown_ack")]


@pytest.mark.parametrize(("error", "reason"), [(frames.NOT_AUTHORIZED, "not_authorized"), (frames.TOO_LARGE, "too_large")])
def test_case_33_and_41_a_final_error_rolls_back_without_another_try(error, reason):
    play = Play().live(0)
    publish(play, 7)
    refuse(play, error)
    assert settled(play) == [(7, "failed", reason)]
    play.close(1006)
    play.reply(play.redial())
    assert keys(play) == []


@pytest.mark.parametrize("error", [frames.RATE_LIMITED, frames.UNAVAILABLE])
def test_case_33_and_42_a_temporary_error_waits_and_keeps_the_key(error):
    play = Play().live(0)
    publish(play, 7)
    refuse(play, error, 3 * S)
    publish(play, 8)
    assert keys(play) == []  # Nothing overtakes.
    play.wait(3 * S - 1)
    assert keys(play) == []
    play.wait(1)
    assert keys(play) == [7, 8] and settled(play) == []


def test_where_nothing_is_sent_again_too_much_is_the_users_choice():
    play = Play(Parameters(resend_limited=False)).live(0)
    publish(play, 7)
    refuse(play, frames.RATE_LIMITED, 3 * S)
    assert settled(play) == [(7, "failed", "rate_limited")]
    publish(play, 8)
    assert keys(play) == [8]


def test_case_35_all_unacked_sends_go_again_in_their_order_before_anything_new():
    play = Play().live(0)
    publish(play, 3, 1, 2)
    acknowledge(play, 1)
    play.close(1006)
    publish(play, 9)
    play.reply(play.redial())
    assert keys(play) == [3, 2, 9]


@pytest.mark.parametrize(("waited", "offered"), [(5 * S - 1, []), (5 * S, [do.PublishUnconfirmed(7)])])
def test_case_36_a_late_ack_on_a_healthy_connection_is_the_users_choice(waited, offered):
    play = Play().live(0)
    publish(play, 7)
    play.wait(waited)
    assert play.ever(do.PublishUnconfirmed) == offered
    assert len([effect for effect in play.ever(do.SendFrame) if isinstance(effect.frame, frames.MessageSend)]) == 1 and settled(play) == []


def test_case_36_the_user_tries_again_with_the_same_key():
    play = Play().live(0)
    publish(play, 7)
    publish(play, 7)
    assert keys(play) == []  # It is under way.
    play.wait(5 * S)
    publish(play, 7)
    assert keys(play) == [7]
    acknowledge(play, 7)
    assert settled(play) == [(7, "sent", "")]


@pytest.mark.parametrize(("age", "outcome"), [(5 * MINUTE, []), (5 * MINUTE + 1, [(7, "expired", "age")])])
def test_case_37_a_send_that_is_too_old_expires_visibly(age, outcome):
    play = Play()
    play.feed(inputs.ConnectRequested())
    publish(play, 7)
    play.wait(age)
    assert settled(play) == outcome


def test_case_38_a_page_that_closes_fails_what_is_not_settled():
    play = Play().live(0)
    publish(play, 7, 8)
    play.feed(inputs.LogoutRequested(closing=True))
    assert settled(play) == [(7, "failed", "closed"), (8, "failed", "closed")]


def test_case_39_sends_before_live_wait_in_a_bounded_outbox():
    play = Play()
    play.start(0)
    publish(play, *range(201))
    assert settled(play) == [(200, "failed", "full")]
    asked = play.open()
    play.ack()
    play.reply(asked)
    assert keys(play) == list(range(200))


def test_case_40_an_ack_moves_no_cursor():
    play = Play().live(0)
    publish(play, 7)
    acknowledge(play, 7, sequence=5)
    play.event(1)
    play.show()
    assert play.session.cursors == {0: (1, 1)} and play.shown() == [1]


@pytest.mark.parametrize("over", [0, 1])
def test_case_84_a_send_above_the_largest_frame_is_refused_beforehand(over):
    play = Play().live(0)
    head = wire_size(frames.MessageSend(0, 0, 7, 0))
    play.feed(inputs.PublishRequested(0, 7, Parameters().max_frame - head + over))
    assert settled(play) == [(7, "failed", "too_large")] * over and len(keys(play)) == 1 - over


def test_case_84_close_1009_ends_the_message_and_not_the_connection_for_ever():
    play = Play().live(0)
    publish(play, 7, 8)
    play.close(1009)
    assert settled(play) == [(7, "failed", "too_large")] and play.state == "backoff"
    play.reply(play.redial())
    assert keys(play) == [8]
