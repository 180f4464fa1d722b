"""Retention: the log forgets what is old. Who was away for longer learns that it has expired, and the memory of a long run stays bounded."""

import pytest

from simfabric.fabric import Fabric
from simfabric.recorder import TIMELINE
from simfabric.running import run
from simfabric.running.one_run import Watch
from tests.components.watching import simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 20s, warmup: 1s, compiled: never, checkpoints: 40}
clients: {count: 40, subscriptions: 3, reconnect: {first: 200ms}}
channels: {count: 8}
traffic: [{name: chat, per: all, rate: 20/s}]
gateways: {count: 2}
bus: {retention: 2s}
balancer: {health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}
routing: {heartbeat: 500ms, ttl: 2s, cache: 0s}
"""
AWAY = "[{target: {gateway: 0}, at: 3s, down: 6s}, {target: {gateway: 1}, at: 3s, down: 6s}]"  # Everybody is away for longer than the log keeps.
NEWS = "[{name: chat, kind: producers, to: uniform, rate: 20/s}]"  # Back ends go on meanwhile.


def lawful(result):
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    return result


def test_who_is_away_for_longer_than_the_log_keeps_is_told_what_has_expired():
    result = lawful(run(topology_of(BASE, faults=AWAY, traffic=NEWS)))
    end = result.end
    assert end.reset > 100 and end.dropped["snapshot"] == end.reset and end.expired == 0 and end.replayed > 0
    assert end.connections == 40 and end.away_lacks == 0
    (promise,) = (o for o in result.slo if o.name == "replay success")
    assert promise.value == pytest.approx(end.replayed / (end.replayed + end.reset)) and promise.met is False


def test_what_is_replayed_is_no_older_than_the_log_keeps():
    longest = {}
    for retention in ("2s", "1h"):
        topology = topology_of(BASE, faults=AWAY, traffic=NEWS, bus__retention=retention)
        fabric = Fabric(topology, False)
        fabric.gateways.keep_trail()
        fabric.world.env.process(Watch(fabric, 0.0, None).sampling(topology.run.duration))
        published, add = [], fabric.columns.add_messages

        def noting(at, *others, published=published, add=add):
            published.extend(at.tolist())
            return add(at, *others)

        fabric.columns.add_messages = noting
        simulate(fabric, topology)
        longest[retention] = max(at - published[message] for message, _, at in fabric.gateways.trail().tolist())
    checkpoint, way = SECOND // 2, SECOND  # The log is cut at checkpoints, and an answer takes its time.
    assert longest["2s"] < 2 * SECOND + checkpoint + way and longest["1h"] > 5 * SECOND


def test_a_short_absence_loses_nothing():
    result = lawful(run(topology_of(BASE, faults="[{target: {gateway: 0}, at: 3s, down: 200ms}]")))
    assert result.end.expired == result.end.reset == 0 and result.end.replayed > 0


def test_without_retention_in_sight_nothing_expires():
    result = lawful(run(topology_of(BASE, faults=AWAY, traffic=NEWS, bus__retention="1h")))
    assert result.end.expired == result.end.reset == 0 and result.end.replayed > 500


@pytest.mark.parametrize("pattern", ["targeted", "broadcast"])
def test_the_result_does_not_depend_on_the_window(pattern):
    topology = topology_of(BASE, faults=AWAY, traffic=NEWS, fanout__pattern=pattern)
    whole, half, seventh = (lawful(run(topology.with_({"run.window": window}))) for window in ("exact", "1ms", "285us"))
    assert whole.end.reset > 0 and whole.digest == half.digest == seventh.digest


def test_with_direct_fan_out_what_users_wrote_expires_too():
    """One gateway dies, the users of the other go on."""
    topology = topology_of(BASE, faults="[{target: {gateway: 0}, at: 3s, down: 6s}]", fanout__pattern="direct", clients__reconnect="{first: 5s}")
    assert lawful(run(topology)).end.reset > 0


def test_a_channel_that_fell_silent_expires_too():
    """The last message of the channel is gone when its readers ask: they learn that it was there."""
    source = "[{name: chat, kind: producers, to: uniform, per: all, rate: 20/s, bursts: {every: 1h, length: 5s, times: 10000}}]"
    topology = topology_of(BASE, faults=AWAY, traffic=source.replace("20/s", "2/h"))
    result = lawful(run(topology.with_({"traffic.chat.rate": "7/h"})))
    end = result.end
    assert end.reset > 20 and end.logged == end.live + end.replayed + end.reset == end.cursors


@pytest.mark.parametrize(("work", "compiled"), [("1ms", "never"), ("400ms", "never"), ("2s", "never"), ("400ms", "always")])
def test_what_expires_between_question_and_answer_is_had_by_snapshot(work, compiled):
    """The replay service is slow: what it found is gone when its answer arrives, and no later message tells of it."""
    source = "[{name: chat, kind: producers, to: uniform, per: all, rate: 7/h, bursts: {every: 1h, length: 4s, times: 10000}}]"
    away = "[{target: {gateway: 0}, at: 3s, down: 1s}, {target: {gateway: 1}, at: 3s, down: 1s}]"
    sets = {"run.checkpoints": 200, "bus.retention": "1s", "replay.work": work, "replay.servers": 1000, "clients.reconnect": "{first: 1s}"}
    result = lawful(run(topology_of(BASE, run__compiled=compiled, faults=away, traffic=source, **sets)))
    end = result.end
    assert end.reset > 0 and end.logged == end.cursors == end.live + end.replayed + end.reset + end.expired


def test_the_memory_of_the_log_is_bounded_however_long_the_run(monkeypatch):
    """Four times as long: as many rows, and a base that has moved."""
    kept = []

    class Kept(Fabric):
        def __init__(self, topology, by_numba):
            super().__init__(topology, by_numba)
            kept.append(self)

    monkeypatch.setattr("simfabric.running.one_run.Fabric", Kept)
    for seconds in (8, 32):
        sets = {"run.duration": f"{seconds}s", "run.checkpoints": 2 * seconds, "clients.count": 2, "traffic.chat.rate": "60/s"}
        lawful(run(topology_of(BASE, **sets)))
    short, long = (fabric.columns for fabric in kept)
    assert len(long.log.rows) == len(short.log.rows) <= 1024
    assert long.log.base[0] > 0.85 * long.messages > 4 * short.log.base[0] > 0


def test_messages_that_were_retired_still_count_and_stand_in_the_table():
    result = lawful(run(topology_of(BASE, run__duration="10s")))
    table = result.messages
    assert result.end.published == len(table) == result.timeline[-1, TIMELINE.index("published")]
    assert table[:, 0].tolist() == list(range(len(table))) and (table[:-1, 1] <= table[1:, 1]).all()
