"""Numbers of the server at their edges that no other test needs."""

import pytest

from simfabric.live.backend import Backend
from simfabric.live.gateway import Gateway
from simfabric.protocol.codec import HEAD
from simfabric.protocol.limits import TAKEN, Limits
from simfabric.protocol.parameters import MINUTE, SECOND, Parameters
from tests.protocol.desk import Desk, sent
from tests.protocol.test_server_publish import acks, send


@pytest.mark.parametrize(("after", "known"), [(10 * MINUTE, True), (10 * MINUTE + 1, False)])
def test_case_37_a_gateway_knows_a_key_for_10_minutes(after, known):
    desk = Desk(Parameters(heartbeat_interval=60 * MINUTE))
    desk.log = Backend((3,)).logs[3]
    assert acks(desk.settle(send(desk, 9))) == [(9, 1, False)]
    desk.now = after
    assert acks(desk.settle(send(desk, 9))) == [(9, 1, True) if known else (9, 2, False)]
    assert Parameters().outbox_age + Parameters().ack_timeout < 10 * MINUTE


def test_case_37_who_tries_again_later_finds_his_own_key_in_the_log():
    desk = Desk(Parameters(heartbeat_interval=60 * MINUTE))
    desk.settle(send(desk, 9))
    assert [desk.log.find(5, key) is not None for key in (8, 9)] == [False, True] and desk.log.find(6, 9) is None


def test_the_reply_to_a_subscribe_carries_no_events_unless_it_is_told_to():
    (reply,) = sent(Desk(events=3).subscribe(1, 2))
    assert reply.recovered and reply.top == 3 and reply.events == ()


@pytest.mark.parametrize(("behind", "recovered"), [(2_000, True), (2_001, False)])
def test_2000_missed_events_are_replayed_and_2001_are_a_snapshot(behind, recovered):
    (reply,) = sent(Desk(events=2_001).subscribe(1, 2_001 - behind))
    assert reply.recovered is recovered


@pytest.mark.parametrize(("size", "count"), [(4_096, 12), (4_097, 11)])
def test_a_page_of_a_replay_has_at_most_48_kb(size, count):
    backend = Backend((3,))
    for key in range(20):
        backend.append(0, 3, 1, key, size - HEAD, 0)
    assert len(backend.replay(3, 1, 0, 300).events) == count


def test_a_token_is_good_for_60_s():
    backend = Backend((3,))
    assert backend.accept(backend.issue(1, 5 * SECOND), 2).expires_at == 65 * SECOND


def test_a_tenant_subscribes_40000_times_at_once_and_then_2000_times_a_second():
    limits = Limits(Parameters())
    assert all(limits.subscribe(user, 1, 0) == TAKEN for user in range(40_000))
    assert limits.subscribe(40_000, 1, 0) == SECOND // 2_000 and limits.subscribe(40_000, 2, 0) == TAKEN


def test_a_gateway_compares_its_channels_with_the_log_every_25_s():
    gateway = Gateway.of(Backend((3,)))
    gateway.connect(Silent(), gateway.backend.accepted(1, 2, 60 * SECOND), 7)
    assert gateway.position_at == 25 * SECOND + 7


class Silent:
    """A sink that keeps nothing."""

    def send(self, frame):
        """Nothing."""

    def close(self, effect):
        """Nothing."""
