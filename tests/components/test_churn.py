"""Users who come and go, and links that fall silent: who is online, who finds out when, what it costs, and that everything is accounted for."""

import math

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.churn import FOUND_DEAD
from simfabric.kernels.clients import BREAKS, LEFT, SILENCES, UNHEARD
from simfabric.kernels.frames import DROPPED, GO, HALF_OPEN, NOTICE, OPENED, SILENCE
from simfabric.kernels.state import CURSOR, DELAY, GHOSTS, OPEN, PUBLISHED_AT, RESET_COUNT, SEAT, TO_GHOSTS
from simfabric.kernels.tallying import merged
from simfabric.recorder import TIMELINE
from simfabric.running import run as run_whole
from tests.components.watching import Heard
from tests.helpers import check_invariance, differences, drive, run, topology_of

SECOND = 1_000_000_000
GOING = "[{name: office, share: 100%, stays: exponential(8s), away: exponential(4s)}]"
SILENT = "[{name: mobile, share: 100%, stays: exponential(12s), ends: silent}]"
BOTH = "[{name: mobile, share: 50%, stays: exponential(9s), ends: silent}, {name: office, share: 40%, stays: exponential(8s), away: 3s}]"
BASE = f"""
run: {{duration: 60s, warmup: 0s, compiled: never}}
clients:
  count: 40
  subscriptions: 3
  delay: "uniform(5ms, 40ms)"
  reconnect: {{first: 500ms}}
  heartbeat_interval: 5s
  heartbeat_timeout: 2s
  churn: {BOTH}
channels: {{count: 8, given: [{{name: hall, members: 100%}}]}}
traffic: [{{name: chat, rate: 20/min}}, {{name: news, kind: producers, to: hall, per: all, rate: 1/s}}]
gateways: {{count: 3}}
balancer: {{health: {{interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}}}
routing: {{heartbeat: 500ms, ttl: 2s, cache: 0s}}
"""
FAULTS = "[{target: {gateway: 0}, at: 20s, down: 1s}, {target: {gateway: all}, at: 40s, down: 1s}]"


def counters_of(fabric):
    return merged([worker.tally for worker in fabric.gateways.workers]).counters


def watched(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    fabric.gateways.keep_trail()
    heard = {name: Heard(getattr(fabric, name)) for name in ("clients", "gateways", "balancer")}
    return fabric, heard


CASES = {
    "targeted": {},
    "broadcast": {"fanout.pattern": "broadcast"},
    "direct": {"fanout.pattern": "direct", "traffic.news.kind": "users"},
    "deaths": {"faults": FAULTS},
    "deaths that are planned and noticed late": {"faults": FAULTS.replace("{target", "{kind: restart_node, target"), "clients.notice": "2s"},
    "everybody dials first": {"clients.start": "10s"},
    "snapshots only": {"clients.replay_max": 0, "apis.snapshot.errors": "20%"},
    "one core for all": {"gateways.dispatch": "shared", "gateways.work.delivery": "exponential(300us)"},
    "random work and pauses": {"gateways.work.delivery": "exponential(300us)", "gateways.pauses": "{every: exponential(3s), length: 100ms}"},
    "slow readers": {"clients.bandwidth": "20kbit/s", "gateways.buffer": "2KB", "clients.gap_wait": "0s"},
    "links so long that a connection is broken before it is used": {
        "clients.delay": "uniform(300ms, 3s)",
        "clients.churn": BOTH.replace("exponential(9s)", "1ms"),
    },
    "a policy that looks at the load": {"balancer.policy": "two_choices"},
    "errors everywhere": {"apis": "{bootstrap: {errors: 30%}, token: {errors: 30%}, snapshot: {errors: 30%}}", "clients.replay_max": 3},
    "busy gateways": {"gateways.work.handshake": "300ms", "gateways.cores": 1, "gateways.accept_timeout": "1s", "clients.connect_timeout": "2s"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_laws_hold_with_and_without_retention(case):
    for retention in ({}, {"bus__retention": "3s", "run__checkpoints": 60}):
        result = run_whole(topology_of(BASE, **CASES[case], **retention))
        assert [v for v in result.laws if v.verdict == "invalid"] == []
        assert result.delivered > 500
        assert result.end.expired < 0.01 * result.delivered


@pytest.mark.parametrize("case", CASES)
def test_neither_the_window_nor_compiling_changes_anything(case):
    topology = topology_of(BASE, **CASES[case])
    whole = check_invariance(topology)
    assert differences(whole, run(topology, by_numba=True)) == []
    counters = whole.fabric.clients.tally.counters
    assert counters[LEFT] > 20 and counters[SILENCES] > 10 and whole.counters[TO_GHOSTS] > 0


@pytest.mark.parametrize("window", ["20ms", "500ms", "3s"])
def test_the_laws_hold_in_windows_that_are_longer_than_exact_ones(window):
    result = run_whole(topology_of(BASE, run__window=window, faults=FAULTS))
    assert [v for v in result.laws if v.verdict == "invalid"] == [] and result.churn["left"] > 20 and result.churn["half_open"] > 0


def test_two_workers_and_one_leave_the_same_behind(monkeypatch):
    monkeypatch.setattr("simfabric.components.gateways.WORTH_A_THREAD", 1)
    topology = topology_of(BASE, clients__count=200)
    assert differences(run(topology, by_numba=True), run(topology.with_({"run.workers": 2}), by_numba=True)) == []


# Users who come and go.


def test_a_user_who_closes_the_page_is_gone_at_once_and_starts_anew_after_its_time_away():
    fabric, heard = watched(clients__churn=GOING.replace("exponential(4s)", "3s"))
    drive(fabric)
    opened, left = heard["clients"].frames(OPENED).tolist(), heard["clients"].frames(GO).tolist()
    tally = fabric.clients.tally.counters
    assert tally[LEFT] == sum(row[0] < 60 * SECOND for row in left) > 100 and tally[BREAKS] == 0
    for at, _, _, seat, _ in left:
        back = min((t for t, _, _, s, _ in opened if s == seat and t > at), default=None)
        assert back is None or at + 3 * SECOND < back < at + 4 * SECOND
    assert fabric.bootstrap.counters[0] == pytest.approx(tally[LEFT], abs=20)


@pytest.mark.slow
def test_the_share_of_users_online_is_their_stay_over_stay_and_absence():
    """Four hundred independent renewal processes over 60 cycles; the share has a standard error of about 0.002, so that an error of 1 % is found."""
    sets = {"clients__count": 400, "clients__churn": GOING, "run__duration": "12min", "traffic__chat__rate": "0/s", "traffic__news__rate": "0/s"}
    result = run_whole(topology_of(BASE, **sets, run__compiled="always", clients__delay="5ms"))
    online = result.timeline[60:, TIMELINE.index("connected")] / 400
    # Stays and absences are raised to a second at least; connecting takes bootstrap, token, handshakes and six ways.
    stay, away = (math.exp(-1 / mean) * mean + 1 for mean in (8, 4))
    connecting = 0.005 + 0.002 + 0.0005 + 0.0005 + 5 * 0.005 + 6 * 0.0005 + 0.005
    closing = 0.005  # Until the gateway has heard of it.
    expected = (stay + closing) / (stay + away + connecting)
    share = float(online.mean())
    blocks = online[: len(online) // 20 * 20].reshape(20, -1).mean(axis=1)
    error = float(blocks.std(ddof=1) / math.sqrt(20))
    assert error < 0.004
    assert share == pytest.approx(expected, abs=3 * error)


def test_nobody_is_online_or_away_for_less_than_a_second():
    fabric, heard = watched(clients__churn="[{name: restless, share: 100%, stays: 0s, away: 0s}]", run__duration="20s")
    drive(fabric)
    opened, left = heard["clients"].frames(OPENED).tolist(), heard["clients"].frames(GO).tolist()
    assert len(left) > 300
    by_seat = {}
    for at, _, _, seat, _ in opened:
        by_seat.setdefault(seat, []).append(at)
    assert all(at == SECOND or at - SECOND in by_seat[seat] for at, _, _, seat, _ in left)
    assert all(any(at + SECOND < t for t in by_seat[seat]) for at, _, _, seat, _ in left if at < 17 * SECOND)


def test_who_stays_is_not_touched_by_those_who_come_and_go():
    """Common random numbers: the same clients, with others leaving around them."""

    def driven(**changes):
        fabric, _ = watched(traffic__chat__rate="0/s", gateways__count=1, **changes)
        drive(fabric)
        return fabric

    with_churn, without = driven(), driven(clients__churn="[]")
    habits = with_churn.clients.habits
    stays = {int(client) for client, part in zip(with_churn.columns.crowd.client, habits.part) if part < 0}
    assert 0 < len(stays) < 20
    one, other = ({(m, c) for m, c, _ in fabric.gateways.trail().tolist() if c in stays} for fabric in (with_churn, without))
    assert one == other and len(one) > 100


# Links that fall silent.


def test_a_silent_link_is_found_an_interval_and_a_timeout_after_the_last_byte_event_or_ping():
    fabric, heard = watched(clients__churn=SILENT, clients__bandwidth="unlimited", traffic__chat__rate="0/s", traffic__news__rate="12/min")
    drive(fabric)
    arrived = {}
    seat_of = fabric.columns.seat_of
    for message, client, at in fabric.gateways.trail().tolist():
        if at - fabric.columns.log.rows[message, PUBLISHED_AT] < SECOND // 5:  # A replay comes by another way, and says nothing of the link.
            arrived.setdefault(int(seat_of[client]), []).append(at)
    silent = {}
    for at, _, _, seat, _ in heard["clients"].frames(SILENCE).tolist():
        silent.setdefault(seat, []).append(at)
    by_event = by_ping = 0
    for at, _, row, seat, _ in heard["clients"].frames(NOTICE).tolist():
        if row != FOUND_DEAD:
            continue
        broke = max(t for t in silent[seat] if t < at)
        last, events = at - 7 * SECOND, [t for t in arrived.get(seat, []) if t < broke]
        assert broke - 5 * SECOND <= last < broke, "a ping comes every five seconds"
        assert last >= max(events, default=0)
        by_event += last in events
        by_ping += last not in events
    assert by_event > 20 and by_ping > 20
    assert fabric.clients.tally.counters[SILENCES] > 80


def test_a_gateway_writes_on_to_a_silent_link_until_its_own_heartbeat_ends_it():
    fabric, heard = watched(clients__churn=SILENT)
    drive(fabric)
    broken = {(item, until): (at, row) for at, _, row, item, until in heard["gateways"].frames(HALF_OPEN).tolist()}
    dropped = heard["gateways"].frames(DROPPED).tolist()
    assert len(dropped) > 80
    for until, _, gateway, item, _ in dropped:
        at, row = broken[item, until]
        delay = int(fabric.columns.crowd.link[item & 0xFFFFFFFF, DELAY])
        assert row == gateway and 2 * SECOND - delay <= until - at <= 7 * SECOND
    assert counters_of(fabric)[TO_GHOSTS] > 100
    book, used = fabric.columns.book, int(fabric.columns.book.pool[0])
    ghosts = book.rows[:used, SEAT] < -1
    assert (book.rows[:used, CURSOR][ghosts] == 0).all()
    assert int(ghosts.sum()) <= 4 * int(fabric.gateways.nodes.state[:, GHOSTS].sum())


def test_when_all_is_over_no_ghost_is_left():
    """Everybody falls silent once, and then stays: the second stay is longer than the run."""
    sets = {"clients__churn": "[{name: mobile, share: 100%, stays: 'quantiles(0: 5s, 50%: 5s, 50.1%: 1h, 100%: 1h)', ends: silent}]"}
    fabric, _ = watched(**sets, run__duration="10min", traffic__chat__rate="0/s", traffic__news__rate="6/min")
    drive(fabric)
    state = fabric.gateways.nodes.state
    home = fabric.columns.crowd.home
    assert fabric.clients.tally.counters[SILENCES] > 15 and (home >= 0).all()
    assert state[:, GHOSTS].sum() == 0 and state[:, OPEN].tolist() == np.bincount(home, minlength=3).tolist() == fabric.balancer.open.tolist()


def test_what_a_user_sends_into_the_silence_is_lost_and_counted():
    fabric, _ = watched(clients__churn=SILENT, traffic__chat__rate="1/s")
    drive(fabric)
    assert fabric.clients.tally.counters[UNHEARD] > 100
    result = run_whole(topology_of(BASE, clients__churn=SILENT, traffic__chat__rate="1/s"))
    assert result.lawful and result.figures()["churn"]["unheard"] == fabric.clients.tally.counters[UNHEARD]
    assert "fell silent" in result.summary()


def test_a_death_is_not_heard_through_a_silent_link():
    """The gateway dies while some of its connections are silent: those clients find out by their own heartbeat only."""
    fabric, heard = watched(clients__churn=SILENT, faults="[{target: {gateway: all}, at: 30s, down: 1s}]")
    drive(fabric)
    silent, found = {}, []
    for at, _, _, seat, _ in heard["clients"].frames(SILENCE).tolist():
        silent.setdefault(seat, []).append(at)
    for at, _, row, seat, _ in heard["clients"].frames(NOTICE).tolist():
        if row == FOUND_DEAD and any(t < 30 * SECOND < at and at - t <= 7 * SECOND for t in silent.get(seat, [])):
            found.append(seat)
    died = {seat for at, _, row, seat, _ in heard["clients"].frames(NOTICE).tolist() if row != FOUND_DEAD}
    assert len(found) > 3 and not died & set(found)


@pytest.mark.parametrize(
    ("churn", "law"),
    [
        ("[{name: a, share: 60%, stays: 1min, away: 1s}, {name: b, share: 50%, stays: 1min, away: 1s}]", "at most 100%"),
        ("[{name: a, share: 60%, stays: 1min, away: 1s}, {name: a, share: 10%, stays: 1min, away: 1s}]", "must be unique"),
        ("[{name: a, share: 60%, stays: 1min}]", "has a time away"),
        ("[{name: a, share: 60%, stays: 1min, ends: silent, away: 1s}]", "has a time away"),
        ("[{name: a, share: 60%}]", "must be given"),
    ],
)
def test_a_churn_that_makes_no_sense_is_refused(churn, law):
    with pytest.raises(TopologyError, match=law):
        topology_of(BASE, clients__churn=churn)


def test_the_summary_tells_what_went_wrong_on_the_way_to_a_connection():
    quiet = run_whole(topology_of(BASE, clients__churn="[]"))
    assert not any(word in quiet.summary() for word in ("answered too late", "too busy", "fell silent", "snapshots   "))
    sets = {"apis": "{bootstrap: {errors: 30%}, token: {errors: 30%, servers: 1, queue_timeout: 0s}}", "gateways.work.handshake": "300ms", "gateways.cores": 1}
    told = run_whole(topology_of(BASE, **sets, gateways__accept_timeout="100ms"))
    counts = told.figures()["apis"]["bootstrap_api"]
    assert 0.15 < counts["failed"] / counts["requests"] < 0.45 and counts["refused"] == 0
    assert told.figures()["turned_away_busy"] > 5
    for line in ("bootstrap_api ", "token_api ", "busy  ", "churn  "):
        assert f"\n{line}" in told.summary()


def test_snapshots_and_churn_together_reset_and_recover():
    fabric, _ = watched(clients__replay_max=2, clients__churn=GOING, traffic__news__rate="5/s")
    drive(fabric)
    assert counters_of(fabric)[RESET_COUNT] > 100
