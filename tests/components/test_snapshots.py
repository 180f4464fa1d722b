"""Snapshots: who lacks more of a channel than a replay may bring, or what has expired, takes its state instead; it is told, and it is counted."""

import pytest

from simfabric.chance import uniform
from simfabric.fabric import Fabric
from simfabric.kernels.frames import NO_STATE, SNAPSHOT, STATE, SUBSCRIBED
from simfabric.kernels.state import DELAY, FILLS, RECOVERED, REPLAYED_COUNT, RESET_COUNT, RESET_OBLIGATIONS
from simfabric.kernels.tallying import merged
from simfabric.running import run as run_whole
from tests.components.watching import Heard
from tests.helpers import differences, drive, run, topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 30s, warmup: 0s, compiled: never}
clients: {count: 30, subscriptions: 2, delay: "uniform(5ms, 40ms)", replay_max: 20, reconnect: {first: 2s}}
channels: {count: 6}
traffic: [{name: chat, kind: producers, to: uniform, per: all, rate: 30/s}]
gateways: {count: 2}
balancer: {health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}
routing: {heartbeat: 500ms, ttl: 2s, cache: 0s}
faults: [{target: {gateway: 0}, at: 5s, down: 1s}, {target: {gateway: all}, at: 12s, down: 1s}]
"""


def counters_of(fabric):
    return merged([worker.tally for worker in fabric.gateways.workers]).counters


def watched(**changes):
    topology = topology_of(BASE, **changes)
    fabric = Fabric(topology, False)
    asked, answers, told = Heard(fabric.snapshots), Heard(fabric.gateways), Heard(fabric.clients)
    drive(fabric)
    return fabric, asked.frames(SNAPSHOT), answers, told


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
def test_what_a_snapshot_passes_over_is_accounted_for(pattern):
    kind = "users" if pattern == "direct" else "producers"
    result = run_whole(topology_of(BASE, fanout__pattern=pattern, traffic__chat__kind=kind, clients__replay_max=9))
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    end = result.end
    assert end.reset > 30 and end.dropped["snapshot"] == end.reset and end.replayed > 0 and end.expired == 0
    assert result.snapshots["messages"] == end.reset and result.snapshots["applied"] <= result.snapshots["requests"]
    assert "snapshots     " in result.summary()


def test_a_client_that_lacks_exactly_what_a_replay_may_bring_takes_the_replay_and_with_one_more_the_snapshot():
    alone = {"clients__count": 1, "clients__subscriptions": 1, "channels__count": 1, "gateways__count": 1, "faults": "[{at: 5s, down: 10ms}]"}
    alone |= {"traffic__chat__rate": "20/h", "traffic__chat__bursts": "{every: 1h, length: 6s, times: 5000}"}  # Then nothing comes any more.

    def counted(most):
        found = counters_of(watched(**alone, clients__replay_max=most, balancer__health="{interval: 1h}")[0])
        assert found[RECOVERED] == 1
        return [int(found[place]) for place in (REPLAYED_COUNT, RESET_COUNT, RESET_OBLIGATIONS)]

    missed, _, _ = counted(2000)
    assert missed > 10 and counted(missed) == [missed, 0, 0] and counted(missed - 1) == [0, 1, missed]


def test_channels_that_are_current_or_may_be_replayed_do_not_wait_for_a_snapshot():
    """The snapshot API does not answer at all; whatever is not asked of it goes live."""
    fabric, asked, answers, told = watched(apis__snapshot__work="1min", clients__replay_max=8)
    crowd = fabric.columns.crowd
    assert len(asked) > 10 and len(answers.frames(STATE)) == 0
    seats = {row[3] & 0xFFFFFFFF for row in asked.tolist()}
    assert all(crowd.ready_at[seat] < 60 * SECOND for seat in seats) and len(told.frames(SUBSCRIBED)) >= 40
    waiting = {(row[3] & 0xFFFFFFFF, row[4] >> 32) for row in asked.tolist()}
    for r in range(int(fabric.columns.book.pool[0])):
        seat, cursor = fabric.columns.book.rows[r]
        if seat >= 0 and cursor < 0:
            assert any(seat == other for other, _ in waiting)


def test_a_request_that_fails_is_made_again_after_the_protocols_backoff_to_the_nanosecond():
    fabric, asked, answers, _ = watched(apis__snapshot__errors="100%", apis__snapshot__work="3ms", clients__replay_max=0, faults="[{at: 5s, down: 1s}]")
    config, hop = fabric.topology.clients.reconnect, fabric.topology.network.hop
    key = fabric.world.key("clients/fetch_retry")
    failures, drawn, heard = answers.frames(NO_STATE), {}, {}
    expected = set()
    for at, _, _, item, extra in failures.tolist():
        seat, tries = item & 0xFFFFFFFF, (extra & 0xFFFFFFFF) >> 2
        n = drawn[seat] = drawn.get(seat, -1) + 1
        delay = int(fabric.columns.crowd.link[seat, DELAY])
        heard[seat] = max(at + delay, heard.get(seat, 0) + 1)  # Answers of one instant are heard one after the other.
        middle = min(config.first * 2**tries, config.cap)
        wait = int(middle * (1 + config.jitter * (2 * float(uniform(key, int(fabric.columns.crowd.client[seat]), n)) - 1)) + 0.5)
        expected.add((heard[seat] + wait + delay + hop, seat, extra >> 32, tries + 1))
    found = {(at, item & 0xFFFFFFFF, extra >> 32, (extra & 0xFFFFFFFF) >> 1) for at, _, _, item, extra in asked.tolist()}
    again = {row for row in found if row[3] > 0}
    assert len(again) > 100 and max(row[3] for row in again) >= 2
    assert again == {row for row in expected if row[0] < max(found)[0] + 1 and row in found} and {row for row in expected if row[0] < 29 * SECOND} <= again
    assert counters_of(fabric)[RESET_COUNT] == 0


def test_a_refused_request_waits_at_least_as_advised():
    fabric, asked, answers, _ = watched(
        apis__snapshot="{servers: 1, work: 100ms, queue_timeout: 200ms}", clients__replay_max=0, balancer__retry_after="7s", faults="[{at: 5s, down: 1s}]"
    )
    refused = [row for row in answers.frames(NO_STATE).tolist() if row[4] & 2]
    assert len(refused) > 5
    times = {}
    for row in asked.tolist():
        times.setdefault((row[3] & 0xFFFFFFFF, row[4] >> 32, (row[4] & 0xFFFFFFFF) >> 1), row[0])
    for at, _, _, item, extra in refused:
        again = times.get((item & 0xFFFFFFFF, extra >> 32, ((extra & 0xFFFFFFFF) >> 2) + 1))
        assert again is None or again >= at + 7 * SECOND
    assert counters_of(fabric)[RESET_COUNT] > 0


def test_no_answer_in_time_is_a_failure_at_the_deadline():
    fabric, asked, answers, _ = watched(apis__snapshot__work="4s", clients__fetch_timeout="3s", clients__replay_max=0, faults="[{at: 5s, down: 1s}]")
    link, hop = fabric.columns.crowd.link, fabric.topology.network.hop
    first = {(row[3], row[4] >> 32): row[0] for row in reversed(asked.tolist()) if (row[4] & 0xFFFFFFFF) >> 1 == 0}
    failed = [row for row in answers.frames(NO_STATE).tolist() if (row[4] & 0xFFFFFFFF) >> 2 == 0]
    assert len(failed) == len(first) > 10 and len(answers.frames(STATE)) == 0
    for at, _, _, item, extra in failed:
        delay = int(link[item & 0xFFFFFFFF, DELAY])
        assert at + delay == first[item, extra >> 32] - hop - delay + 3 * SECOND


CASES = {
    "snapshots": {},
    "snapshots that fail": {"apis.snapshot.errors": "50%", "apis.snapshot.work": "exponential(30ms)"},
    "snapshots of everything": {"clients.replay_max": 0},
    "snapshots that come late": {"apis.snapshot.work": "exponential(900ms)", "clients.fetch_timeout": "500ms", "clients.replay_max": 0},
    "live messages lost on the way": {"clients.bandwidth": "20kbit/s", "gateways.buffer": "2KB", "clients.gap_wait": "0s"},
}


@pytest.mark.parametrize("case", CASES)
def test_neither_the_window_nor_compiling_changes_anything(case):
    topology = topology_of(BASE, **CASES[case])
    whole = run(topology)
    assert whole.counters[RESET_COUNT] > 0
    for other in (run(topology.with_({"run.window": "300us"})), run(topology, by_numba=True)):
        assert differences(whole, other) == []


def test_a_gap_whose_range_has_expired_is_closed_by_a_snapshot():
    """Slow readers lose messages on the way; the log keeps them for a second only, and the replay service is slow."""
    sets = {"bus__retention": "1s", "run__checkpoints": 300, "replay__work": "1s", "replay__servers": 1000, "faults": "[]", "clients__gap_wait": "500ms"}
    result = run_whole(topology_of(BASE, clients__bandwidth="20kbit/s", gateways__buffer="2KB", **sets))
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    assert result.end.tried["gap"] > 50 and result.end.reset > 50


def test_the_gap_and_the_replay_are_closed_without_snapshots_where_nothing_expires():
    fabric, asked, _, _ = watched(clients__bandwidth="20kbit/s", gateways__buffer="2KB", clients__replay_max=2000)
    assert len(asked) == 0 and counters_of(fabric)[FILLS] > 50
