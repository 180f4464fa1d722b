"""Publishing at a gateway: permission, size, rate, and the order of one author."""

import pytest

from simfabric.protocol import codes, frames, inputs
from simfabric.protocol.codec import HEAD
from simfabric.protocol.effects import Announce, Append, CloseTransport, Count
from simfabric.protocol.limits import TAKEN, Limits
from simfabric.protocol.parameters import Parameters
from tests.protocol.desk import CONNECTION, SECOND, USER, Desk, closes, sent

MANY = Parameters(publish_burst_user=1_000)


def send(desk, key, channel=3, size=100, correlation=None, schema=2):
    return desk.frame(frames.MessageSend(key if correlation is None else correlation, channel, key, size, schema))


def acks(effects):
    return [(frame.client_message_id, frame.sequence, frame.duplicate) for frame in sent(effects) if isinstance(frame, frames.MessageAck)]


def test_a_publication_is_acknowledged_with_its_place_in_the_log():
    desk = Desk(events=4)
    (append,) = send(desk, 9, correlation=55)
    assert (append.channel, append.user, append.client_message_id, append.size) == (3, USER, 9, 100)
    (ack,) = sent(desk.give(desk.appended(append)))
    assert ack == frames.MessageAck(55, 9, desk.log.events[-1].event, 5, 1)


def test_case_31_a_resend_gets_the_first_result():
    desk = Desk()
    desk.settle(send(desk, 9))
    assert acks(desk.settle(send(desk, 9))) == [(9, 1, True)]
    assert desk.log.top == 1


def test_case_35_one_author_keeps_the_order_of_a_channel():
    desk = Desk()
    first = send(desk, 1)
    assert send(desk, 2) == [] and send(desk, 3) == []
    assert [type(effect) for effect in send(desk, 4, channel=4)] == [Append]
    assert acks(desk.settle(first)) == [(1, 1, False), (2, 2, False), (3, 3, False)]


def test_case_35_when_storage_refuses_one_those_behind_it_do_not_overtake():
    desk = Desk()
    (append,) = send(desk, 1)
    send(desk, 2)
    effects = desk.give(inputs.AppendSettled(append.correlation, 1, 0, 0, 0, failed=True))
    assert [(frame.error, frame.correlation, frame.retry_after) for frame in sent(effects)] == [(frames.UNAVAILABLE, at, 5 * SECOND) for at in (1, 2)]
    assert acks(desk.settle([*send(desk, 1), *send(desk, 2)])) == [(1, 1, False), (2, 2, False)]


def test_case_32_an_answer_of_the_log_that_nobody_waits_for_is_ignored():
    desk = Desk()
    assert desk.give(inputs.AppendSettled(4, 1, 2, 3, 4)) == [Count("stale")]
    (append,) = send(desk, 1)
    answer = desk.appended(append)
    assert acks(desk.give(answer)) == [(1, 1, False)]
    assert desk.give(answer) == [Count("stale")]


def test_case_41_without_permission_nothing_reaches_the_log():
    desk = Desk(allowed=(3,))
    assert sent(send(desk, 1, channel=4)) == [frames.ErrorFrame(1, frames.NOT_AUTHORIZED, 4)]
    desk.give(inputs.AccessRevoked(3))
    assert sent(send(desk, 2)) == [frames.ErrorFrame(2, frames.NOT_AUTHORIZED, 3)]
    assert desk.log.top == 0


def test_case_57_what_waits_behind_the_log_when_access_ends_is_refused():
    desk = Desk()
    (append,) = send(desk, 1)
    send(desk, 2)
    send(desk, 3)
    refused = [frame.correlation for frame in sent(desk.give(inputs.AccessRevoked(3))) if isinstance(frame, frames.ErrorFrame)]
    assert refused == [2, 3]
    assert acks(desk.give(desk.appended(append))) == [(1, 1, False)]


@pytest.mark.parametrize(("size", "taken"), [(65_536 - HEAD, True), (65_537 - HEAD, False)])
def test_case_84_a_message_that_would_not_fit_into_a_frame_is_refused(size, taken):
    effects = send(Desk(), 1, size=size)
    assert [type(effect) for effect in effects] == [Append] if taken else sent(effects) == [frames.ErrorFrame(1, frames.TOO_LARGE, 3)]


def test_case_42_the_twenty_first_message_of_a_burst_waits_for_a_token():
    desk = Desk()
    for key in range(20):
        assert acks(desk.settle(send(desk, key)))
    assert sent(send(desk, 20)) == [frames.ErrorFrame(20, frames.RATE_LIMITED, 3, SECOND // 5)]
    desk.now += SECOND // 5 - 1
    assert sent(send(desk, 20)) == [frames.ErrorFrame(20, frames.RATE_LIMITED, 3, 1)]
    desk.now += 1
    assert acks(desk.settle(send(desk, 20))) == [(20, 21, False)]


def test_the_buckets_are_shared_by_all_connections_of_a_user_and_by_a_tenant():
    limits = Limits(Parameters())
    desks = [Desk(limits=limits), Desk(limits=limits)]
    for key in range(20):
        desks[key % 2].settle(send(desks[key % 2], key))
    assert [frame.error for frame in sent(send(desks[0], 20)) + sent(send(desks[1], 21))] == [frames.RATE_LIMITED] * 2
    assert limits.publish(6, 1, 0) == TAKEN
    for user in range(100, 100 + 1_979):
        assert limits.publish(user, 1, 0) == TAKEN
    assert limits.publish(9_999, 1, 0) == SECOND // 500
    assert limits.publish(9_999, 2, 0) == TAKEN


def test_a_refused_user_costs_the_tenant_nothing():
    limits = Limits(Parameters(publish_burst_user=1, publish_burst_tenant=2))
    assert limits.publish(1, 1, 0) == TAKEN
    assert [limits.publish(1, 1, 0) for _ in range(5)] == [SECOND // 5] * 5
    assert limits.publish(2, 1, 0) == TAKEN


def test_full_buckets_are_forgotten_so_that_memory_follows_the_active_users():
    limits = Limits(Parameters())
    for user in range(20_000):
        limits.publish(user, user, user * SECOND)
    assert len(limits.publish_user.levels) <= 1_025 and len(limits.publish_tenant.levels) <= 1_025


def test_who_asks_on_and_on_is_closed():
    desk = Desk()
    for key in range(20):
        desk.settle(send(desk, key))
    codes_seen = [closes(send(desk, 20)) for _ in range(401)]
    assert codes_seen[:400] == [[]] * 400 and codes_seen[400] == [codes.RATE_EXCEEDED]


def test_a_message_of_a_version_that_is_no_longer_served_closes_the_connection():
    assert [type(effect) for effect in send(Desk(), 1, schema=1) + send(Desk(), 1, schema=9)] == [Append, Append]
    assert send(Desk(), 1, schema=0) == [CloseTransport(CONNECTION, codes.UPGRADE_REQUIRED, "schema too old")]


def test_while_the_log_is_silent_only_so_many_wait():
    desk = Desk(MANY)
    answers = [sent(send(desk, key)) for key in range(201)]
    assert answers[:200] == [[]] * 200
    assert answers[200] == [frames.ErrorFrame(200, frames.UNAVAILABLE, 3, 5 * SECOND)]


def test_typing_is_announced_once_a_second_and_only_where_one_is_subscribed():
    desk = Desk()
    assert desk.frame(frames.TypingSent(3)) == [Count("typing_dropped")]
    desk.subscribe()
    assert desk.frame(frames.TypingSent(3)) == [Announce(3, USER, frames.TYPING)]
    desk.now += SECOND - 1
    assert desk.frame(frames.TypingSent(3)) == [Count("typing_dropped")]
    desk.now += 1
    assert desk.frame(frames.TypingSent(3)) == [Announce(3, USER, frames.TYPING)]
