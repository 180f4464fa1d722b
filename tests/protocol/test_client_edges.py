"""Numbers of the client at their edges that no other test needs, how it closes, and that its clock may be wrong."""

from itertools import pairwise

import pytest

from simfabric.chance import decision_key, uniform
from simfabric.protocol import codes, frames, inputs, tabs
from simfabric.protocol import effects as do
from simfabric.protocol.parameters import Parameters
from tests.protocol.playing import MS, Play, S
from tests.protocol.test_client_queue import fill, stuck
from tests.protocol.test_client_transports import blocked

YEAR = 365 * 24 * 3600 * S


def put_off(wait=0):
    """A client that is to dial 20 s from now, and dialled `wait` ago."""
    play = Play(Parameters(reconnect_jitter=0.0)).start(0)
    play.wait(wait)
    play.close(1013, advised=20 * S)
    assert play.session.next_deadline() == play.now + 20 * S
    return play


def test_a_network_that_is_up_again_is_dialled_at_a_random_part_of_a_second():
    play = put_off(5 * S)
    play.feed(inputs.NetworkChanged(up=True))
    u = uniform(decision_key(0, 0, "clients/wake"), 1, 0)
    assert play.session.next_deadline() == play.now + int(u * S + 0.5)


def test_but_not_within_a_second_of_the_last_dial():
    play = put_off()
    play.feed(inputs.NetworkChanged(up=True))
    assert play.session.next_deadline() == play.now + S


@pytest.mark.parametrize(("waited", "called_off"), [(10 * S - 1, 0), (10 * S, 1)])
def test_a_fetch_is_called_off_after_10_s(waited, called_off):
    play = Play().live(0)
    play.frame(frames.Ping(0, ((0, 1, 3),)))
    assert [effect.limit for effect in play.of(do.FetchReplay)] == [300]
    play.wait(waited)
    assert len(play.of(do.CancelFetch)) == called_off


def test_the_ids_of_1024_events_are_kept_and_no_more():
    play = Play().live(0)
    for at in range(1, 1_025):
        play.event(at)
    play.event(1_025, event=play.envelope(1).event)  # The first event again: still known.
    assert play.counted("same_event") == 1
    play.event(1_026)
    play.event(1_027, event=play.envelope(2).event)  # The second one is forgotten.
    assert play.counted("same_event") == 1 and len(play.session.channels[0].ids) == 1_024


@pytest.mark.parametrize(("queued", "dropped"), [(3_999, 0), (4_000, 1)])
def test_transients_are_dropped_from_4000_queued_events_on(queued, dropped):
    play = stuck(Parameters())
    fill(play, 0, 2, queued + 1)
    play.event(0, epoch=0, type=frames.TYPING, user=3)
    assert play.counted("dropped") == dropped


@pytest.mark.parametrize(("waited", "asked"), [(5 * S - 1, 0), (5 * S, 1)])
def test_one_snapshot_of_a_channel_is_asked_for_in_5_s(waited, asked):
    play = stuck(Parameters(queue_cap=10))
    fill(play, 0, 2, 12)
    play.page(2, 13)
    assert play.of(do.FetchSnapshot)
    play.snapshot(13)
    fill(play, 0, 14, 24)
    play.wait(waited)
    assert len(play.of(do.FetchSnapshot)) == asked


def test_a_cursor_is_saved_a_second_after_it_moved():
    play = Play().live(0)
    play.wait(5 * S)
    play.event(1)
    play.wait(50 * MS + S - 1)
    assert play.shown() == [1] and not play.of(do.PersistCursor)
    play.wait(1)
    assert play.of(do.PersistCursor) == [do.PersistCursor(0, 1, 1)]


def test_case_81_the_first_byte_of_sse_has_10_s():
    play = blocked(3)
    play.wait(10 * S - 1)
    assert play.state == "dialing" and play.last(do.OpenTransport).kind == inputs.SSE
    play.wait(1)
    assert play.state == "backoff"


def test_a_leader_beats_every_2_s():
    play = Play(shares=True)
    play.feed(inputs.ConnectRequested())
    play.wait(30 * S)
    beats = [at for at, effect in play.log if isinstance(effect, do.Broadcast) and isinstance(effect.message, tabs.Beat)]
    assert len(beats) > 5 and {later - earlier for earlier, later in pairwise(beats[1:])} == {2 * S}


def test_a_follower_waits_6_s_after_the_last_beat():
    play = Play(shares=True, tab=5)
    play.feed(inputs.ConnectRequested())
    play.feed(inputs.PeerMessage(1, tabs.Beat(1, 1)))
    assert play.session.sharing.leader.lease_at == play.now + 6 * S
    play.wait(6 * S - 1)
    assert play.session.sharing.leader.leader == 1
    play.wait(1)
    assert play.session.sharing.leader.leader == -1


# ---------------------------------------------------------------------------------------------------------------- how it closes


def dead(play):
    play.wait(35 * S)


def unanswered(play):
    play.feed(inputs.NetworkChanged(up=False))
    play.wait(5 * S)


def oversized(play):
    play.frame(frames.Pong(0), 65_537)


def malformed(play):
    play.frame(frames.Unknown("", malformed=True))


@pytest.mark.parametrize("end", [dead, unanswered, oversized, malformed])
def test_case_51_a_client_that_leaves_in_order_to_dial_again_says_so_by_its_code(end):
    play = Play().live(0)
    end(play)
    (close,) = play.of(do.CloseTransport)
    assert 4000 <= close.code <= 4399 and play.session.next_deadline() is not None


@pytest.mark.parametrize("opened", [False, True])
def test_case_51_so_does_one_whose_dial_takes_too_long(opened):
    play = Play().start(0)
    if opened:
        play.open()
    play.wait(10 * S)
    assert play.of(do.CloseTransport) == [do.CloseTransport(1, codes.LEFT_TO_REDIAL)] and play.state == "backoff"


@pytest.mark.parametrize("end", [inputs.LogoutRequested(), inputs.LogoutRequested(closing=True)])
def test_case_51_1000_is_a_real_end(end):
    play = Play().live(0)
    play.feed(end)
    assert [close.code for close in play.of(do.CloseTransport)] == [1000]
    play.wait(3600 * S)
    assert not play.of(do.OpenTransport)


# ---------------------------------------------------------------------------------------------------------------- its clock


def a_day(begins):
    """What a client does over a few connections, and when, if its clock shows `begins` at the start."""
    play = Play()
    play.now = begins
    play.live(0, top=1)
    for at in range(2, 6):
        play.wait(20 * S)
        play.event(at)
    play.feed(inputs.PublishRequested(0, 9, 10))
    play.close(1006)
    play.reply(play.redial(), top=8)
    play.page(6, 8)
    play.wait(20 * S)
    play.close(4101)
    play.answer_token()
    play.open()
    return [(at - begins, effect) for at, effect in play.log if not isinstance(effect, do.SendFrame) or not isinstance(effect.frame, frames.Ping)]


@pytest.mark.parametrize("skew", [-S + 1, 7 * S, 40 * YEAR])
def test_case_55_whatever_its_clock_shows_a_client_does_the_same(skew):
    assert a_day(S + skew) == a_day(S)


def test_case_55_a_token_is_good_for_its_ttl_from_when_it_was_asked_for():
    for now in (S, 40 * YEAR):
        play = Play(Parameters(reconnect_jitter=0.0))
        play.now = now
        play.start(0)
        play.wait(5 * S)
        play.close(1006)
        play.wait(S)
        assert len(play.ever(do.OpenTransport)) == 2 and len(play.ever(do.FetchToken)) == 1
