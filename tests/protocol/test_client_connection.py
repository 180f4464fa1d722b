"""The client's connection: waits, heartbeat, token, ends, standby: section C of the edge cases, and the numbers at their edges."""

from itertools import pairwise

import pytest

from simfabric.chance import decision_key, uniform
from simfabric.protocol import codes, frames, inputs, machine, rules
from simfabric.protocol import effects as do
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.profiles import PROFILES
from simfabric.protocol.tabs import AuthEnded
from tests.protocol.playing import Play, S

SPREAD = Parameters(reconnect_jitter=0.0, offline_jitter=0.0)  # Waits without chance.


def waits(play, dials):
    """The times between the end of one dial and the next dial, when every dial fails."""
    answer = []
    for _ in range(dials):
        ended = play.now
        while play.state in ("backoff", "offline"):
            play.wait(play.session.next_deadline() - play.now)
        if play.state == "token":
            play.answer_token()
        answer.append(play.now - ended)
        play.close(1006)
    return answer


def test_a_start_calls_each_api_once_and_a_redial_calls_none():
    play = Play().live(0)
    assert (len(play.ever(do.FetchBootstrap)), len(play.ever(do.FetchToken)), len(play.ever(do.OpenTransport))) == (1, 1, 1)
    play.close(1006)
    play.redial()
    assert (len(play.ever(do.FetchBootstrap)), len(play.ever(do.FetchToken)), len(play.ever(do.OpenTransport))) == (1, 1, 2)
    assert do.StateChanged(machine.BACKOFF, machine.DIALING, machine.RETRY, rules.SHOW_RECONNECTING) in play.ever(do.StateChanged)


def test_case_43_a_late_open_of_an_old_socket_is_closed_and_its_frames_are_ignored():
    play = Play().live(0)
    old = play.generation
    play.close(1006)
    play.redial()
    for late in (inputs.FrameReceived(old, play.envelope(1)), inputs.TransportClosed(old, 4401)):
        play.feed(late)
        assert play.made == [do.Count("stale")]
    play.feed(inputs.TransportOpened(old))
    assert play.made == [do.Count("stale"), do.CloseTransport(old, codes.LEFT_TO_REDIAL)]
    assert play.state == "subscribing"


def test_case_44_an_open_after_the_connect_timeout_is_not_adopted():
    play = Play().start(0)
    old = play.generation
    play.wait(10 * S - 1)
    assert play.state == "dialing"
    play.wait(1)
    assert play.state == "backoff" and play.of(do.CloseTransport)
    play.feed(inputs.TransportOpened(old))
    assert play.state == "backoff" and play.of(do.CloseTransport)


def test_case_45_a_half_open_connection_is_dead_35_s_after_the_last_byte():
    play = Play().live(0)
    play.wait(3 * S)
    play.event(1)
    play.wait(35 * S - 1)
    assert play.state == "live"
    play.wait(1)
    assert play.state == "backoff" and play.of(do.CloseTransport) == [do.CloseTransport(1, codes.HEARTBEAT_DEAD)]


def test_case_46_a_check_that_is_late_by_more_than_an_interval_probes_first():
    play = Play().live(0)
    play.sleep(35 * S + 25 * S)
    assert play.state == "backoff"
    play = Play().live(0)
    play.sleep(35 * S + 25 * S + 1)
    assert play.state == "live" and play.sent(frames.Ping)
    play.wait(5 * S - 1)
    assert play.state == "live"
    play.wait(1)
    assert play.state == "backoff"


def test_case_46_a_probe_that_is_answered_keeps_the_connection():
    play = Play().live(0)
    play.sleep(100 * S)
    play.frame(frames.Pong(0))
    play.wait(30 * S)
    assert play.state == "live"


def test_case_47_a_hidden_tab_needs_no_timer_finer_than_a_minute_to_stay():
    play = Play().live(0)
    for at in range(1, 20):
        play.now += 20 * S
        play.frame(frames.Ping(at))
        if at % 3 == 0:
            play.sleep(0)
    assert play.state == "live" and play.generation == 1


def test_a_ping_is_answered_with_its_own_time():
    play = Play().live(0)
    play.frame(frames.Ping(77))
    assert play.sent(frames.Pong) == [frames.Pong(77)]


def test_a_client_that_drives_the_heartbeat_pings_at_a_random_part_of_the_first_interval():
    play = Play(Parameters(heartbeat_driver="client")).live(0)
    u = uniform(decision_key(0, 0, "clients/heartbeat_phase"), 1, 0)
    opened = play.now
    play.wait(int(u * 25 * S + 0.5))
    assert play.sent(frames.Ping) and play.now == opened + int(u * 25 * S + 0.5)
    play.frame(frames.Pong(0))
    play.wait(25 * S)
    assert play.sent(frames.Ping)
    play.wait(10 * S - 1)
    assert play.state == "live"
    play.wait(1)
    assert play.state == "backoff"


def test_case_49_a_connection_that_is_accepted_and_closed_does_not_reset_the_attempts():
    play = Play(SPREAD).live(0)
    for wait in (1, 2, 4, 8):
        play.close(1006)
        play.wait(wait * S - 1)
        assert play.state == "backoff"
        play.reply(play.redial())
        assert play.state == "live" and play.now - play.log[-1][0] == 0


@pytest.mark.parametrize(("ready_for", "attempt"), [(30 * S - 1, 2), (30 * S, 1)])
def test_attempts_are_forgotten_after_30_s_in_a_ready_state(ready_for, attempt):
    play = Play(SPREAD).live(0)
    play.close(1006)
    play.reply(play.redial())
    for _ in range(2):
        play.wait(ready_for // 2)
        play.frame(frames.Ping(0))
    play.now += ready_for % 2
    play.close(1006)
    assert play.session.attempt == attempt


def test_the_eight_waits_and_then_the_banner():
    play = Play(SPREAD).live(0)
    play.close(1006)
    assert [wait // S for wait in waits(play, 8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert play.state == "offline" and play.session.shown == rules.SHOW_OFFLINE
    assert waits(play, 2) == [60 * S, 60 * S]


def test_after_seven_failed_dials_there_is_no_banner_yet():
    play = Play(SPREAD).live(0)
    play.close(1006)
    waits(play, 7)
    assert play.state == "backoff"


def test_the_banner_stays_through_slow_retries_until_live():
    play = Play(SPREAD).live(0)
    play.close(1006)
    waits(play, 8)
    asked = play.redial()
    assert play.state == "subscribing" and play.session.shown == rules.SHOW_OFFLINE
    play.reply(asked)
    assert play.session.shown == rules.SHOW_CONNECTED


def test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life():
    play = Play(seed=7, replication=2, client=31).live(0)
    key = decision_key(7, 2, "clients/backoff")
    play.close(1006)
    expected = [rules.backoff(n, S, 2.0, 30 * S, 0.2, uniform(key, 31, n)) for n in range(5)]
    assert waits(play, 5) == expected
    play.reply(play.redial())
    for _ in range(3):
        play.wait(20 * S)
        play.frame(frames.Ping(0))
    play.close(1006)
    assert waits(play, 1) == [rules.backoff(0, S, 2.0, 30 * S, 0.2, uniform(key, 31, 6))]


def test_the_cap_after_the_jitter_is_the_other_order():
    play = Play(Parameters(jitter_order="jitter_first"), client=4).live(0)
    play.close(1006)
    assert max(waits(play, 8)) <= 30 * S


@pytest.mark.parametrize("code", [1001, 1012])
def test_a_planned_close_waits_as_advised_and_is_no_attempt(code):
    play = Play().live(0)
    play.close(code, advised=3 * S, spread=10 * S)
    u = uniform(decision_key(0, 0, "clients/away"), 1, 0)
    assert play.session.attempt == 0 and waits(play, 1) == [rules.away_delay(3 * S, 10 * S, 5 * S, 25 * S, u)]


def test_a_planned_close_without_advice_waits_5_to_30_s():
    play = Play().live(0)
    play.close(1012)
    u = uniform(decision_key(0, 0, "clients/away"), 1, 0)
    assert waits(play, 1) == [5 * S + int(u * 25 * S + 0.5)]


def test_a_planned_close_before_ready_is_a_failure():
    play = Play().start(0)
    play.open()
    play.close(1012, advised=0)
    assert play.state == "backoff" and play.session.attempt == 1


def test_case_52_an_expired_token_is_fetched_again_once_at_once():
    play = Play().start(0)
    play.open()
    play.close(4101)
    assert play.state == "token" and play.session.attempt == 0 and play.of(do.FetchToken)
    play.answer_token()
    play.open()
    play.close(4101)
    assert play.state == "backoff" and play.session.attempt == 1


def test_case_52_the_next_connection_that_got_ready_may_do_so_again():
    play = Play().start(0)
    play.open()
    play.close(4101)
    play.answer_token()
    asked = play.open()
    play.ack()
    play.reply(asked)
    play.close(4101)
    assert play.state == "token"


@pytest.mark.parametrize(("status", "state"), [(500, "backoff"), (0, "backoff"), (401, "signed_out"), (403, "signed_out")])
def test_case_53_a_token_call_that_fails_or_is_forbidden(status, state):
    play = Play()
    play.feed(inputs.ConnectRequested())
    play.feed(inputs.Bootstrapped(play.last(do.FetchBootstrap).ticket, (0,)))
    play.feed(inputs.FetchFailed(play.last(do.FetchToken).ticket, inputs.TOKEN, status))
    assert play.state == state


@pytest.mark.parametrize(("waited", "state"), [(10 * S - 1, "token"), (10 * S, "backoff")])
def test_case_53_a_token_call_that_hangs(waited, state):
    play = Play()
    play.feed(inputs.ConnectRequested())
    play.feed(inputs.Bootstrapped(play.last(do.FetchBootstrap).ticket, (0,)))
    play.wait(waited)
    assert play.state == state


@pytest.mark.parametrize(("age", "fetches"), [(55 * S - 1, 1), (55 * S, 2)])
def test_case_54_a_token_that_ends_within_the_margin_is_not_used(age, fetches):
    play = Play(Parameters(reconnect_jitter=0.0)).live(0)
    for _ in range(2):
        play.wait(20 * S)
        play.frame(frames.Ping(0))
    play.wait(age - 41 * S)  # One second before the dial.
    play.close(1006)
    play.wait(S)
    assert len(play.ever(do.FetchToken)) == fetches


def test_case_54_an_open_connection_outlives_its_token():
    play = Play().live(0)
    for _ in range(30):
        play.wait(20 * S)
        play.frame(frames.Ping(0))
    assert play.state == "live" and len(play.ever(do.FetchToken)) == 1


@pytest.mark.parametrize("how", [frames.AuthRevoked("gone"), 4401, 4403])
def test_case_56_auth_revoked_ends_everything(how):
    play = Play().live(0, 1)
    play.feed(inputs.PublishRequested(0, 9, 10))
    play.event(1)
    play.event(1, channel=1, epoch=2)  # A snapshot is under way.
    ticket = play.last(do.FetchSnapshot).ticket
    if isinstance(how, int):
        play.close(how)
    else:
        play.frame(how)
    assert play.state == "signed_out" and play.session.reason == codes.REASON_AUTH
    assert do.CancelFetch(ticket, inputs.SNAPSHOT) in play.made and play.of(do.ClearLocal) and play.of(do.Broadcast)
    assert play.of(do.PublishSettled) == [do.PublishSettled(9, "failed", "signed_out")]
    assert play.session.cursors == {} and play.session.next_deadline() is None
    play.snapshot(5)
    assert not play.of(do.ChannelReset)


def test_case_56_another_tab_was_told():
    play = Play().live(0)
    play.feed(inputs.PeerMessage(2, AuthEnded()))
    assert play.state == "signed_out" and not play.of(do.Broadcast)


@pytest.mark.parametrize(("code", "reason"), [(4409, codes.REASON_REPLACED), (4426, codes.REASON_UPGRADE), (4444, codes.REASON_FAULT)])
def test_other_terminal_closes_keep_what_is_stored(code, reason):
    play = Play().live(0, top=3)
    play.close(code)
    assert play.state == "signed_out" and play.session.reason == reason and not play.of(do.ClearLocal) and not play.of(do.Broadcast)
    play.feed(inputs.ConnectRequested())
    assert play.state == "bootstrap" and play.session.reason == -1


def test_case_57_access_revoked_ends_one_channel_and_leaves_the_others():
    play = Play().live(0, 1)
    play.event(1)
    play.event(1, channel=1)
    play.event(3)  # Held.
    play.frame(frames.ChannelAccessRevoked(0))
    play.event(2)
    play.show()
    assert play.shown(0) == [] and play.shown(1) == [1] and play.state == "live"
    play.close(1006)
    assert [frame.channels for frame in play.redial()] == [((1, 1, 1),)]


def test_case_57_a_new_grant_starts_without_the_old_cursor():
    play = Play().live(0, top=9)
    play.frame(frames.ChannelAccessRevoked(0))
    play.feed(inputs.LogoutRequested(closing=True))
    play.feed(inputs.ConnectRequested())
    play.feed(inputs.Bootstrapped(play.last(do.FetchBootstrap).ticket, (0,)))
    assert play.open()[0].channels == ((0, 0, -1),)


def test_case_59_a_refused_subscribe_is_final_and_the_others_go_on():
    play = Play().start(0, 1)
    first, second = play.open()
    play.ack()
    play.frame(frames.ErrorFrame(first.correlation, frames.NOT_AUTHORIZED, 0))
    play.reply([second])
    assert play.state == "live"
    play.wait(30 * S)
    play.feed(inputs.SubscribeWanted(0))
    assert not play.sent(frames.Subscribe)
    play.close(1006)
    assert [frame.channels[0][0] for frame in play.redial()] == [1]


def test_a_subscribe_that_is_put_off_is_made_again_no_earlier_than_advised():
    play = Play().start(0)
    (asked,) = play.open()
    play.ack()
    play.frame(frames.ErrorFrame(asked.correlation, frames.RATE_LIMITED, 0, 9 * S))
    assert play.state == "live"
    play.wait(9 * S - 1)
    assert not play.sent(frames.Subscribe)
    play.wait(1)
    assert play.sent(frames.Subscribe)


def test_what_is_refused_together_is_asked_for_together_again_and_waits_longer_each_time():
    play = Play(Parameters(subscribe_batch=3)).start(0, 1, 2)
    (asked,) = play.open()
    play.ack()
    key, began = decision_key(0, 0, "clients/sub_retry"), play.now
    for n in range(3):
        play.frame(frames.ErrorFrame(asked.correlation, frames.RATE_LIMITED, -1, S))
        wait = max(S, rules.backoff(n, S, 2.0, 30 * S, 0.2, uniform(key, 1, n)))
        play.wait(wait - 1)
        assert not play.sent(frames.Subscribe)
        play.wait(1)
        (asked,) = play.sent(frames.Subscribe)
        assert len(asked.channels) == 3
    assert play.now - began > 6 * S


def drained(spread=30 * S, deadline=60 * S):
    play = Play().live(0)
    play.frame(frames.Draining(0, spread, deadline))
    u = uniform(decision_key(0, 0, "clients/drain"), 1, 0)
    play.wait(rules.standby_at(play.now, 0, spread, deadline, u) - play.now)
    play.answer_token() if play.of(do.FetchToken) else None
    return play


def test_case_60_a_drain_opens_a_standby_that_takes_over_without_a_gap():
    play = drained()
    standby = play.session.standby.dialled
    assert play.state == "live" and standby != play.generation
    play.event(1)
    play.feed(inputs.TransportOpened(standby))
    asked = play.sent(frames.Subscribe)
    assert asked[0].channels == ((0, 1, 1),)
    play.ack(standby)
    play.event(2)
    play.reply(asked, top=1, generation=standby)
    assert play.of(do.CloseTransport) == [do.CloseTransport(1, codes.NORMAL)]
    assert play.state == "live" and play.generation == standby and play.session.standby is None
    play.event(2)  # The overlap.
    play.event(3)
    play.show()
    assert play.shown() == [1, 2, 3] and play.session.attempt == 0
    assert play.state == "live" and not [change for change in play.ever(do.StateChanged) if change.old == machine.LIVE]


def test_case_60_if_the_deadline_comes_first_it_is_a_planned_close_with_the_spread_kept():
    play = Play().live(0)
    play.frame(frames.Draining(0, 40 * S, 60 * S))
    play.close(1012)
    u = uniform(decision_key(0, 0, "clients/away"), 1, 0)
    assert play.session.attempt == 0 and waits(play, 1) == [rules.away_delay(0, 40 * S, 0, 0, u)]


def test_case_60_a_standby_that_fails_leaves_the_connection_alone_and_is_tried_again():
    play = drained()
    play.feed(inputs.TransportClosed(play.session.standby.dialled, 1006))
    assert play.state == "live" and play.session.standby is None and play.session.attempt == 0
    play.wait(2 * S)
    assert play.session.standby is not None


def test_case_60_a_standby_that_finds_more_replays_it():
    play = drained()
    standby = play.session.standby.dialled
    play.feed(inputs.TransportOpened(standby))
    asked = play.sent(frames.Subscribe)
    play.ack(standby)
    play.reply(asked, top=2, generation=standby)
    assert play.state == "replaying" and play.generation == standby
    play.page(1, 2)
    play.show()
    assert play.shown() == [1, 2] and play.state == "live"


def test_case_61_an_overload_waits_at_least_as_advised():
    play = Play().start(0)
    play.close(1013, advised=20 * S, spread=0)
    assert play.session.attempt == 1 and waits(play, 1) == [20 * S]


def test_case_62_the_gateway_that_was_lost_is_avoided_but_not_after_an_overload():
    play = Play().start(0)
    play.open()
    play.ack(gateway=5)
    play.close(1006)
    play.redial()
    assert play.last(do.OpenTransport).avoid == 5
    play.ack(gateway=6)
    play.close(1013)
    play.redial()
    assert play.last(do.OpenTransport).avoid == -1


def test_case_63_offline_is_probed_and_online_dials_within_a_second():
    play = Play().live(0)
    play.feed(inputs.NetworkChanged(up=False))
    assert play.state == "live" and play.sent(frames.Ping)
    play.wait(5 * S)
    assert play.state == "backoff"
    for _ in range(3):
        play.close(1006)
    attempt = play.session.attempt
    dialled = play.now
    play.feed(inputs.NetworkChanged(up=True))
    play.wait(S)
    assert play.state == "dialing" and play.session.attempt == attempt and play.now - dialled == S


def test_case_63_a_flapping_network_makes_one_dial_a_second_at_most():
    play = Play().live(0)
    play.wait(5 * S)
    play.close(1006)
    for _ in range(100):
        play.feed(inputs.NetworkChanged(up=True))
        play.wait(S // 10)
        if play.state == "token":
            play.answer_token()
        if play.state == "dialing":
            play.close(1006)
    dials = [at for at, effect in play.log if isinstance(effect, do.OpenTransport)]
    assert len(dials) > 3 and min(later - earlier for earlier, later in pairwise(dials)) >= S


def test_case_64_a_tab_that_slept_finds_out_and_catches_up():
    play = Play().live(0)
    play.sleep(3600 * S)
    play.feed(inputs.Resumed())
    assert len(play.ever(do.SendFrame)) == 2  # One subscribe, one probe.
    play.frame(frames.Pong(0))
    play.frame(frames.Ping(0, ((0, 1, 3),)))
    play.page(1, 3)
    play.show()
    assert play.shown() == [1, 2, 3] and play.state == "live"


def test_case_65_a_network_break_is_backoff_redial_resubscribe_replay():
    play = Play().live(0, top=5)
    play.close(1006)
    play.reply(play.redial(), top=7)
    play.page(6, 7)
    states = [machine.STATE_NAMES[change.new] for change in play.ever(do.StateChanged)]
    assert states[-5:] == ["backoff", "dialing", "subscribing", "replaying", "live"]


def test_case_66_the_standby_takes_over_as_it_is_and_the_sends_move_with_it():
    play = drained()
    play.feed(inputs.PublishRequested(0, 3, 10))
    standby = play.session.standby.dialled
    play.close(1006)
    assert play.state == "dialing" and play.generation == standby and play.session.attempt == 0
    asked = play.open()
    play.ack()
    play.reply(asked)
    assert play.state == "live" and [send.client_message_id for send in play.sent(frames.MessageSend)] == [3]


def test_a_protocol_fault_is_forgiven_once():
    play = Play().live(0)
    play.close(1002)
    assert play.state == "backoff" and play.of(do.Fault)
    play.redial()
    play.close(1007)
    assert play.state == "signed_out" and play.session.reason == codes.REASON_FAULT


@pytest.mark.parametrize("code", [1000, 1006, 1008, 1011, 4000, 4300, 4508, 4999])
def test_retryable_closes(code):
    play = Play().live(0)
    play.close(code)
    assert play.state == "backoff" and play.session.attempt == 1


def test_patience_shows_syncing_after_10_s_of_replaying():
    play = Play().live(0, top=1)
    play.close(1006)
    play.reply(play.redial(), top=9)
    play.wait(5 * S)
    play.page(2, 3, top=9, more=True)
    play.wait(5 * S - 1)
    assert play.session.shown == rules.SHOW_RECONNECTING
    play.wait(1)
    assert play.session.shown == rules.SHOW_SYNCING


def test_a_page_that_comes_back_to_the_front_probes_and_one_that_leaves_saves():
    play = Play().live(0)
    play.event(1)
    play.wait(S // 10)
    play.feed(inputs.VisibleChanged((), hidden=True))
    assert [effect.sequence for effect in play.of(do.PersistCursor)] == [1]
    play.feed(inputs.VisibleChanged((0,)))
    assert play.sent(frames.Ping)


def test_a_user_who_logs_out_leaves_nothing_and_a_page_that_closes_keeps_what_it_has():
    play = Play().live(0, top=3)
    play.feed(inputs.LogoutRequested(closing=True))
    assert play.state == "idle" and play.of(do.PersistCursor) and not play.of(do.ClearLocal)
    play = Play().live(0, top=3)
    play.feed(inputs.LogoutRequested())
    assert play.state == "idle" and play.of(do.ClearLocal) and play.of(do.CloseTransport) == [do.CloseTransport(1, 1000)]


@pytest.mark.parametrize("name", ["phoenix", "pusher-js", "socket.io", "nats.py"])
def test_other_clients_wait_as_their_profile_says(name):
    profile = PROFILES[name]
    play = Play(profile=profile).live(0)
    key = decision_key(0, 0, "clients/backoff")
    play.close(1006)
    expected = [max(rules.LEAST_DELAY, profile.wait(n, uniform(key, 1, n))) for n in range(4)]
    assert waits(play, 4) == expected


def test_signalr_gives_up_after_four_dials():
    play = Play(profile=PROFILES["signalr"]).live(0)
    play.close(1006)
    waits(play, 4)
    assert play.state == "signed_out"
