"""A gateway's half of a connection: admission, heartbeat, drain, revocation."""

import pytest

from simfabric.protocol import codes, frames, inputs
from simfabric.protocol.effects import CloseTransport, Count, DropRoute, Fault, SendFrame
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import CLOSED, DRAINING, LEEWAY, OPEN
from tests.protocol.desk import CONNECTION, SECOND, USER, Desk, closes, sent


def test_an_accepted_connection_is_confirmed_once_with_what_was_agreed():
    desk = Desk(opened=False)
    assert desk.open() == [SendFrame(CONNECTION, frames.ConnectionAck(CONNECTION, USER, 2, 25 * SECOND, 10 * SECOND, 200))]
    assert desk.open() == [Count("ignored")]


def test_a_fallback_transport_learns_its_session_and_gateway():
    desk = Desk(opened=False, kind=inputs.LONG_POLL)
    (ack,) = sent(desk.open())
    assert (ack.session, ack.gateway) == (CONNECTION, 2)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"revision": 4, "revoked": 5}, 4401), ({"expires_at": -LEEWAY}, 4101), ({"schema": 0}, 4426)],
)
def test_case_50_a_refused_connection_is_accepted_and_closed_with_a_code_that_says_why(change, code):
    desk = Desk(opened=False)
    effects = desk.open(**change)
    assert closes(effects) == [code] and sent(effects) == [] and desk.session.state == CLOSED
    assert desk.session.next_deadline() is None


@pytest.mark.parametrize(("expires_at", "admitted"), [(10 * SECOND, True), (10 * SECOND - LEEWAY + 1, True), (10 * SECOND - LEEWAY, False)])
def test_case_55_a_token_has_some_leeway_for_skewed_clocks(expires_at, admitted):
    desk = Desk(opened=False)
    desk.now = 10 * SECOND
    assert (closes(desk.open(expires_at=expires_at)) == []) is admitted


def test_case_54_an_open_connection_outlives_its_token():
    desk = Desk(Parameters(heartbeat_interval=3600 * SECOND))
    desk.wait_until(600 * SECOND)
    assert closes(desk.subscribe()) == [] and desk.session.state == OPEN


@pytest.mark.parametrize(("revision", "admitted"), [(4, False), (5, True), (6, True)])
def test_case_58_a_token_from_before_a_revocation_is_refused_by_every_gateway(revision, admitted):
    assert (closes(Desk(opened=False).open(revision=revision, revoked=5)) == []) is admitted


def test_case_58_a_revocation_that_arrives_before_the_admission_wins():
    desk = Desk(opened=False)
    assert closes(desk.give(inputs.UserRevoked())) == [4401]
    assert desk.open() == [Count("ignored")]
    desk = Desk(opened=False)
    desk.give(inputs.AccessRevoked(3))
    assert frames.ChannelAccessRevoked(3) in sent(desk.open())
    assert sent(desk.subscribe()) == [frames.ErrorFrame(1, frames.NOT_AUTHORIZED, 3)]


@pytest.mark.parametrize(("schema", "agreed"), [(1, 1), (2, 2), (3, 2)])
def test_case_83_the_version_before_is_served_and_a_newer_client_gets_ours(schema, agreed):
    (ack,) = sent(Desk(opened=False).open(schema=schema))
    assert ack.schema == agreed


def test_a_client_of_the_version_before_never_sees_what_was_added():
    desk = Desk(opened=False)
    desk.open(schema=1)
    desk.subscribe()
    echo = desk.append(user=USER, key=9)
    (event,) = sent(desk.route(echo))
    assert (event.client_message_id, event.schema, event.sequence) == (-1, 1, 1)
    assert [frame.tops for frame in sent(desk.wait_until(25 * SECOND)) if isinstance(frame, frames.Ping)] == [()]


# ------------------------------------------------------------------------------------------------------------------------- heartbeat


def test_case_48_first_pings_are_spread_over_the_interval():
    firsts = []
    for connection in range(400):
        desk = Desk(opened=False)
        desk.session = type(desk.session)(connection, 2, seed=1)
        desk.open()
        firsts.append(desk.session.next_deadline() / (25 * SECOND))
    assert 0 < min(firsts) < 0.02 and 0.98 < max(firsts) < 1 and 0.45 < sum(firsts) / 400 < 0.55


def test_pings_follow_at_the_interval_while_the_client_answers():
    desk = Desk()
    first = desk.session.next_deadline()
    times = []
    for _ in range(3):
        desk.now = desk.session.next_deadline()
        (ping,) = sent(desk.session.handle_timers(desk.now))
        times.append(ping.t)
        desk.now += SECOND
        assert desk.frame(frames.Pong(ping.t)) == []
    assert times == [first, first + 25 * SECOND, first + 50 * SECOND]


@pytest.mark.parametrize("sign", [frames.Pong(0), frames.TypingSent(3), frames.Unknown("x")])
def test_any_frame_is_a_sign_of_life(sign):
    desk = Desk()
    first = desk.session.next_deadline()
    desk.wait_until(first)
    desk.frame(sign)
    assert closes(desk.wait_until(first + 24 * SECOND)) == []


def test_silence_after_a_ping_closes_the_connection_and_gives_its_routes_back():
    desk = Desk()
    desk.subscribe()
    first = desk.session.next_deadline()
    desk.wait_until(first)
    assert desk.wait_until(first + 10 * SECOND - 1) == []
    effects = desk.wait_until(first + 10 * SECOND)
    assert effects == [CloseTransport(CONNECTION, codes.HEARTBEAT_DEAD, "no pong"), DropRoute(3)]


def test_a_gateway_that_was_suspended_asks_once_more_before_it_judges():
    desk = Desk()
    desk.now = desk.session.next_deadline()
    desk.session.handle_timers(desk.now)
    desk.now += 10 * SECOND + 26 * SECOND
    effects = desk.session.handle_timers(desk.now)
    assert closes(effects) == [] and any(isinstance(frame, frames.Ping) for frame in sent(effects))
    assert closes(desk.wait_until(desk.now + 10 * SECOND)) == [codes.HEARTBEAT_DEAD]


def test_when_the_client_drives_the_heartbeat_the_gateway_answers_and_watches():
    desk = Desk(Parameters(heartbeat_driver="client"))
    desk.now = 30 * SECOND
    assert sent(desk.frame(frames.Ping(123))) == [frames.Pong(123)]
    assert closes(desk.wait_until(65 * SECOND - 1)) == []
    assert closes(desk.wait_until(65 * SECOND)) == [codes.HEARTBEAT_DEAD]


def test_case_64_a_client_that_woke_up_gets_a_pong_and_the_tops_that_changed():
    desk = Desk(events=2)
    desk.subscribe()
    desk.route(desk.append())
    assert sent(desk.frame(frames.Ping(5))) == [frames.Pong(5), frames.Ping(0, ((3, 1, 3),))]
    assert sent(desk.frame(frames.Ping(6))) == [frames.Pong(6)]


def test_case_23_a_ping_names_the_tops_that_changed_since_the_last_one():
    desk = Desk(events=2)
    desk.subscribe()
    desk.subscribe(channel=4)
    desk.now = desk.session.next_deadline()
    assert [ping.tops for ping in sent(desk.session.handle_timers(desk.now))] == [()]
    desk.frame(frames.Pong(0))
    desk.route(desk.append())
    desk.now = desk.session.next_deadline()
    assert [ping.tops for ping in sent(desk.session.handle_timers(desk.now))] == [((3, 1, 3),)]


# --------------------------------------------------------------------------------------------------------------------- drain and end


def test_case_60_a_draining_gateway_says_so_serves_on_and_closes_at_the_deadline():
    desk = Desk(Parameters(heartbeat_interval=3600 * SECOND), events=1)
    desk.subscribe()
    assert sent(desk.give(inputs.DrainStarted(SECOND, 30 * SECOND, 60 * SECOND))) == [frames.Draining(SECOND, 30 * SECOND, 60 * SECOND)]
    assert desk.session.state == DRAINING
    assert sent(desk.subscribe(channel=4)) == [frames.ErrorFrame(1, frames.UNAVAILABLE, 4, SECOND)]
    assert [frame.sequence for frame in sent(desk.route(desk.append()))] == [2]
    assert desk.give(inputs.DrainStarted(SECOND, 30 * SECOND, 90 * SECOND)) == []
    assert closes(desk.wait_until(60 * SECOND - 1)) == []
    effects = desk.wait_until(60 * SECOND)
    assert CloseTransport(CONNECTION, codes.SERVICE_RESTART, "draining", SECOND, 30 * SECOND) in effects and DropRoute(3) in effects


def test_a_connection_that_arrives_while_its_gateway_drains_is_told():
    desk = Desk(opened=False)
    desk.give(inputs.DrainStarted(0, SECOND, 2 * SECOND))
    assert [type(frame) for frame in sent(desk.open())] == [frames.ConnectionAck, frames.Draining]


def test_case_56_a_revoked_user_is_told_closed_and_gets_nothing_more():
    desk = Desk()
    desk.subscribe()
    effects = desk.give(inputs.UserRevoked())
    assert effects == [SendFrame(CONNECTION, frames.AuthRevoked("revoked")), CloseTransport(CONNECTION, 4401, "revoked"), DropRoute(3)]
    assert desk.route(desk.append()) == [Count("ignored")]


def test_a_session_that_was_replaced_is_closed_but_not_revoked():
    effects = Desk().give(inputs.UserRevoked(codes.REPLACED))
    assert sent(effects) == [] and closes(effects) == [4409]


def test_case_57_a_revoked_channel_ends_and_the_others_go_on():
    desk = Desk()
    desk.subscribe()
    desk.subscribe(channel=4)
    effects = desk.give(inputs.AccessRevoked(3))
    assert effects == [DropRoute(3), SendFrame(CONNECTION, frames.ChannelAccessRevoked(3))]
    assert sent(desk.route(desk.append())) == []
    assert sent(desk.route(frames.Envelope(4, 1, 1, 99))) == [frames.Envelope(4, 1, 1, 99)]
    assert sent(desk.subscribe()) == [frames.ErrorFrame(1, frames.NOT_AUTHORIZED, 3)]
    desk.give(inputs.AccessGranted(3))
    assert [type(frame) for frame in sent(desk.subscribe())] == [frames.Subscribed]


def test_case_57_a_channel_that_is_revoked_while_it_is_subscribed_is_refused():
    desk = Desk()
    (route,) = desk.frame(frames.Subscribe(8, ((3, 0, -1),)))
    assert sent(desk.give(inputs.AccessRevoked(3))) == [frames.ErrorFrame(8, frames.NOT_AUTHORIZED, 3), frames.ChannelAccessRevoked(3)]
    assert desk.give(inputs.RouteReady(3, route.ticket)) == [Count("stale")]


def test_a_closed_transport_gives_its_routes_back_and_closes_nothing():
    desk = Desk()
    desk.subscribe()
    assert desk.give(inputs.TransportClosed(CONNECTION + 1, 1000)) == [Count("stale")]
    assert desk.give(inputs.TransportClosed(CONNECTION, 1006)) == [DropRoute(3)]
    assert desk.session.next_deadline() is None


# ---------------------------------------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize(("size", "kept"), [(65_536, True), (65_537, False)])
def test_case_84_a_frame_above_64_kb_closes_with_1009(size, kept):
    assert closes(Desk().frame(frames.Pong(0), size)) == ([] if kept else [codes.FRAME_TOO_BIG])


def test_case_82_an_unknown_frame_is_counted_and_a_malformed_one_is_a_fault():
    desk = Desk()
    assert desk.frame(frames.Unknown("reaction.added")) == [Count("unknown")]
    assert desk.frame(frames.AuthRevoked()) == [Count("unexpected")]
    effects = desk.frame(frames.Unknown("", malformed=True))
    assert effects == [Fault("a message is a frame"), CloseTransport(CONNECTION, codes.INVALID_PAYLOAD, "malformed frame")]


def test_case_79_a_frame_for_another_session_is_not_taken():
    desk = Desk()
    assert desk.give(inputs.FrameReceived(CONNECTION + 1, frames.Subscribe(1, ((3, 0, -1),)))) == [Count("stale")]
