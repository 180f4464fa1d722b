"""The gateway carries out what its sessions ask for: routes, order, limits over all connections of a user, timers by deadline."""

from simfabric.live.backend import Backend
from simfabric.live.gateway import Gateway
from simfabric.protocol import effects, frames
from simfabric.protocol.parameters import SECOND, Parameters

MINUTE = 60 * SECOND


class Inbox:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.frames = []
        self.closed = None

    def send(self, frame):
        self.frames.append(frame)

    def close(self, effect):
        self.closed = effect

    def of(self, kind):
        return [frame for frame in self.frames if isinstance(frame, kind)]


def connected(users, **changes):
    gateway = Gateway.of(Backend((7, 8), Parameters(**changes)))
    inboxes = [Inbox() for _ in users]
    numbers = [gateway.connect(inbox, gateway.backend.accepted(user, 2, MINUTE), 0) for user, inbox in zip(users, inboxes)]
    return gateway, numbers, inboxes


def subscribe(gateway, number, channel, now=0):
    gateway.receive(number, frames.Subscribe(channel, ((channel, 0, -1),)), 100, now)


def test_an_event_goes_to_the_connections_with_a_route_and_to_no_other():
    gateway, (first, second), (a, b) = connected([1, 2])
    subscribe(gateway, first, 7)
    subscribe(gateway, second, 8)
    gateway.publish(7, 99, 1, 10, 0)
    assert [event.channel for event in a.of(frames.Envelope)] == [7]
    assert b.of(frames.Envelope) == []
    assert "unrouted" not in gateway.counts


def test_an_author_hears_the_ack_before_the_echo_and_others_the_event():
    gateway, (first, second), (a, b) = connected([1, 2])
    subscribe(gateway, first, 7)
    subscribe(gateway, second, 7)
    gateway.receive(first, frames.MessageSend(9, 7, 5001, 10), 100, 0)
    assert [type(frame) for frame in a.frames[-2:]] == [frames.MessageAck, frames.Envelope]
    assert [event.sequence for event in b.of(frames.Envelope)] == [1]


def test_typing_reaches_the_others_and_is_not_in_the_log():
    gateway, (first, second), (_, b) = connected([1, 2])
    subscribe(gateway, first, 7)
    subscribe(gateway, second, 7)
    gateway.receive(first, frames.TypingSent(7), 100, 5)
    (typing,) = b.of(frames.Envelope)
    assert (typing.type, typing.user, typing.sequence, typing.ts) == (frames.TYPING, 1, 0, 5)
    assert gateway.backend.logs[7].top == 0


def test_pings_come_at_their_deadlines_and_silence_ends_the_connection():
    gateway, (number,), (inbox,) = connected([1])
    first = gateway.next_deadline()
    assert 0 < first <= 25 * SECOND
    gateway.handle_timers(first - 1)
    assert inbox.of(frames.Ping) == []
    gateway.handle_timers(first)
    assert len(inbox.of(frames.Ping)) == 1
    while inbox.closed is None:
        gateway.handle_timers(gateway.next_deadline())
    assert inbox.closed.code == 4000
    assert number not in gateway.connections
    assert gateway.next_deadline() is None or gateway.next_deadline() > first


def test_a_closed_connection_has_no_routes_and_hears_nothing_more():
    gateway, (number,), (inbox,) = connected([1])
    subscribe(gateway, number, 7)
    gateway.revoke_user(1, 5)
    count = len(inbox.frames)
    gateway.publish(7, 99, 1, 10, 6)
    gateway.receive(number, frames.Pong(0), 10, 6)
    gateway.disconnected(number, 1006, 6)
    assert inbox.closed == effects.CloseTransport(number, 4401, "revoked")
    assert len(inbox.frames) == count


def test_case_58_a_token_that_was_given_before_a_revocation_is_refused_at_the_next_dial():
    gateway, _, _ = connected([1])
    secret = gateway.backend.issue(1, 0)
    gateway.revoke_user(1, 5)
    inbox = Inbox()
    gateway.connect(inbox, gateway.backend.accept(secret, 2), 6)
    assert inbox.closed.code == 4401
    fresh = Inbox()
    gateway.connect(fresh, gateway.backend.accept(gateway.backend.issue(1, 7), 2), 7)
    assert fresh.closed is None


def test_access_that_is_granted_again_lets_the_channel_be_subscribed_again():
    gateway, (number,), (inbox,) = connected([1])
    gateway.revoke_access(1, 7, 0)
    subscribe(gateway, number, 7)
    assert [frame.error for frame in inbox.of(frames.ErrorFrame)] == [frames.NOT_AUTHORIZED]
    gateway.grant_access(1, 7, 1)
    subscribe(gateway, number, 7, 1)
    assert [frame.channel for frame in inbox.of(frames.Subscribed)] == [7]


def test_the_limits_of_a_user_hold_over_all_connections():
    gateway, (first, second), (a, b) = connected([1, 1], publish_burst_user=3)
    for key in range(4):
        gateway.receive(first if key % 2 else second, frames.MessageSend(key + 1, 7, key, 10), 100, 0)
    refused = [frame.error for inbox in (a, b) for frame in inbox.of(frames.ErrorFrame)]
    assert refused == [frames.RATE_LIMITED]


def test_case_23_the_position_check_brings_events_whose_fan_out_was_lost():
    gateway, (number,), (inbox,) = connected([1], position_check=SECOND)
    subscribe(gateway, number, 7)
    gateway.publish(7, 99, 1, 10, 1)
    gateway.backend.append(0, 7, 99, 2, 10, 2)
    gateway.backend.append(0, 7, 99, 3, 10, 2)
    assert [event.sequence for event in inbox.of(frames.Envelope)] == [1]
    gateway.handle_timers(SECOND)
    assert [event.sequence for event in inbox.of(frames.Envelope)] == [1, 2, 3]
