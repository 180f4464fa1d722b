"""Faults: a gateway dies and comes back. What it held is lost with a reason, its clients come back elsewhere, and in the end all are complete."""

import numpy as np
import pytest

from simfabric.chance import below
from simfabric.components.faults import deaths
from simfabric.errors import SimfabricError
from simfabric.fabric import Fabric
from simfabric.kernels.frames import DELIVER, NEVER
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.state import ALIVE, DIES_AT, FATE, INCARNATION, LOST_AFTER_SAVE, LOST_AT_GATEWAY, PUBLISHED_AT, STAGE_NAMES, STALE
from simfabric.laws.conservation import in_flight
from simfabric.recorder import TIMELINE
from simfabric.running import run
from simfabric.topology import loads
from simfabric.world import World
from tests.components.watching import Heard, simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 16s, warmup: 1s, compiled: never}
clients: {count: 60, subscriptions: 2, reconnect: {first: 500ms}}
channels: {count: 10, popularity: uniform}
traffic: [{name: chat, per: all, rate: 10/s}]
gateways: {count: 3, cores: 2}
balancer: {health: {interval: 500ms, timeout: 200ms, fall: 2, rise: 2}}
routing: {heartbeat: 1s, ttl: 3s}
"""
PATTERNS = ["targeted", "broadcast", "direct"]


def faulty(*faults, **changes):
    """The base with deaths of gateways: (gateway, at, down)."""
    listed = ", ".join(f"{{target: {{gateway: {gateway}}}, at: {at}, down: {down}}}" for gateway, at, down in faults)
    return topology_of(BASE, faults=f"[{listed}]", **changes)


def quiet_end(tmp_path, faults, duration="40s", messages=160, **changes):
    """A topology whose traffic is a trace that stops long before the end. No cached routes: see the test of what they hide."""
    (tmp_path / "trace.csv").write_text("at_s,channel,client\n" + "".join(f"{0.05 * i:.2f},{i % 10},{i % 60}\n" for i in range(messages)))
    text = "version: 1\n" + BASE.replace("{name: chat, per: all, rate: 10/s}", "{name: chat, kind: trace, file: trace.csv}")
    sets = ["routing.cache=0s", f"faults={faults}", f"run.duration={duration}", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())]
    return loads(text, folder=tmp_path, sets=sets)


def lawful(result):
    """No law is broken, and what was owed is accounted for to the last obligation."""
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    for c in result.checkpoints:
        assert c.owed == c.live + c.replayed + sum(c.dropped.values()) + in_flight(c) + c.away_lacks
    return result


# Nothing is lost without a reason


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("down", ["200ms", "4s", "12s"])
def test_when_traffic_has_stopped_every_client_has_every_message_of_the_log(pattern, down, tmp_path):
    result = lawful(run(quiet_end(tmp_path, f"[{{target: {{gateway: 0}}, at: 4s, down: {down}}}]", fanout__pattern=pattern)))
    end = result.end
    assert end.logged == end.cursors == end.live + end.replayed and end.replayed > 0
    assert end.away_lacks == end.upstream == in_flight(end) == 0
    lost = end.dropped["gateway_died_before_save"] + end.dropped["gateway_died_after_save"]
    assert end.owed == end.live + end.replayed + lost and end.connections == 60


def test_publications_on_their_way_into_a_dead_gateway_are_lost_there():
    topology = faulty((0, "4s", "3s"), clients__delay="200ms", traffic__chat__rate="40/s")
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    lost = rows[rows[:, FATE] == LOST_AT_GATEWAY]
    assert len(lost) > 3 and (lost[:, PUBLISHED_AT] > 3.8 * SECOND).all()
    assert (lost[:, PUBLISHED_AT] < 4.2 * SECOND).all(), "from then on the clients know"


def test_publications_that_were_saved_and_not_published_are_lost_after_the_save():
    """The storage takes 300 ms: whoever asked is dead when the answer comes."""
    result = lawful(run(faulty((0, "4s", "3s"), storage__work="300ms", storage__shards="100", traffic__chat__rate="40/s")))
    after = result.end.dropped["gateway_died_after_save"]
    fates = result.table("messages")["fate"]
    assert after > 0 and (fates == LOST_AFTER_SAVE).sum() > 2
    assert result.end.dropped["gateway_died_before_save"] < after


def test_records_of_an_open_batch_die_with_their_producer():
    result = lawful(run(faulty((0, "4s", "3s"), storage__enabled="false", bus__linger="500ms", traffic__chat__rate="40/s")))
    assert result.end.dropped["gateway_died_after_save"] > 0


def test_with_direct_fan_out_what_is_saved_is_in_the_log_and_is_replayed():
    result = lawful(run(faulty((0, "4s", "3s"), fanout__pattern="direct", storage__work="300ms", storage__shards="100", traffic__chat__rate="40/s")))
    assert result.end.dropped["gateway_died_after_save"] == 0 and result.end.replayed > 0


def test_cursors_go_back_to_the_clients_and_come_along_to_the_next_gateway():
    topology = faulty((0, "4s", "8s"))
    fabric = Fabric(topology, False)
    crowd, seen = fabric.columns.crowd, {}

    def look():
        yield fabric.world.env.timeout(4 * SECOND + 1)
        orphans = np.flatnonzero(crowd.home < 0)
        seen["orphans"] = orphans
        seen["resume"] = [crowd.resume_cursor[crowd.start[s] : crowd.start[s + 1]].copy() for s in orphans]
        seen["heads"] = [fabric.columns.log.head_sequence[crowd.channels[crowd.start[s] : crowd.start[s + 1]]].copy() for s in orphans]

    fabric.world.env.process(look())
    fabric.gateways.keep_trail()
    simulate(fabric, topology)
    assert len(seen["orphans"]) == 20 and (crowd.home[seen["orphans"]] > 0).all()
    resume, heads = np.concatenate(seen["resume"]), np.concatenate(seen["heads"])
    assert (resume > 0).any() and (resume <= heads).all()
    trail = fabric.gateways.trail()
    pairs = trail[:, 0] * 1000 + trail[:, 1]
    assert len(np.unique(pairs)) == len(pairs), "nobody gets a message twice"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_client_sees_each_channel_in_order_and_without_holes_through_a_death(pattern):
    topology = faulty((0, "4s", "3s"), fanout__pattern=pattern)
    fabric = Fabric(topology, False)
    fabric.gateways.keep_trail()
    simulate(fabric, topology)
    rows, last = fabric.columns.log.rows, {}
    trail = sorted(fabric.gateways.trail().tolist(), key=lambda row: (row[2], rows[row[0], 4]))  # A replay's messages arrive at one instant, in order.
    for message, client, _ in trail:
        key = (client, int(rows[message, 1]))
        sequence = int(rows[message, 4])
        last.setdefault(key, []).append(sequence)
    assert all(sorted(sequences) == list(range(1, len(sequences) + 1)) for sequences in last.values())
    assert all(sequences == sorted(sequences) for sequences in last.values()) and len(last) == 120


# Stale routes


def test_routers_send_to_a_dead_gateway_until_its_lease_ends():
    """The stale frames are those routed up to a TTL after the last heartbeat before the death, and not one more."""
    stale = {}
    for ttl in (5, 15, 60):
        topology = faulty((0, "10s", "100s"), run__duration="90s", routing__ttl=f"{ttl}s", routing__cache="0s", traffic__chat__rate="4/s")
        fabric = Fabric(topology, False)
        heard = Heard(fabric.gateways)
        simulate(fabric, topology)
        frames = heard.frames(DELIVER)
        sent = frames[(frames[:, 2] == 0) & (frames[:, 0] >= 10 * SECOND), 0] - topology.network.hop
        phase = int(below(fabric.world.key("routing/heartbeat"), 0, 0, min(SECOND, 2**31)))
        ends = 10 * SECOND - (10 * SECOND - phase) % SECOND + ttl * SECOND
        assert fabric.routers.state.evicted_at[0, 0] == ends and 10 * SECOND + (ttl - 1) * SECOND < ends <= 10 * SECOND + ttl * SECOND
        work = 100_000_000  # Far more than a router works on a message.
        assert ends - 5 * SECOND < sent.max() < ends + work
        stale[ttl] = int(fabric.gateways.workers[0].tally.counters[STALE])
        assert stale[ttl] == len(sent)
    assert 0 < stale[5] < stale[15] < stale[60]


def test_a_router_that_caches_sends_on_for_as_long_as_its_entry_lives():
    fresh, cached = (run(faulty((0, "4s", "12s"), routing__cache=cache, routing__ttl="2s")).stale for cache in ("0s", "5s"))
    assert fresh < cached


def test_a_cached_route_hides_a_new_gateway_until_the_next_message_shows_the_gap():
    """Who comes back to a gateway that had no subscriber of the channel misses what older entries route, and asks when it sees the hole."""
    text = """
run: {duration: 12s, warmup: 0s, compiled: never, checkpoints: 24}
clients: {count: 12, subscriptions: 0, reconnect: {first: 200ms}}
channels: {count: 1, given: [{name: lonely, members: 1}]}
traffic: [{name: news, kind: producers, to: lonely, rate: 10/s, arrivals: regular}]
gateways: {count: 12}
balancer: {policy: round_robin, health: {interval: 10ms, timeout: 10ms, fall: 1}}
"""
    crowd = Fabric(topology_of(text), False).columns.crowd
    (member,) = np.flatnonzero(np.diff(crowd.start))
    faults = f"[{{target: {{gateway: {crowd.home[member]}}}, at: 1s, down: 1h}}]"
    fresh, cached = (lawful(run(topology_of(text, faults=faults, routing__cache=cache))) for cache in ("0s", "4s"))
    assert fresh.figures()["tried_in_vain"]["gap"] == 0 and cached.figures()["tried_in_vain"]["gap"] == 1
    most = {name: max(in_flight(c) for c in result.checkpoints if c.at > 2 * SECOND) for name, result in (("fresh", fresh), ("cached", cached))}
    assert most["fresh"] <= 2 and most["cached"] > 10, "nobody lost them: they are owed until the gap is seen"
    assert in_flight(cached.end) <= 2


def test_a_message_for_an_earlier_life_is_stale_in_the_next_one():
    """The node is back before its old entries are gone: they lead to a life that has ended."""
    result = lawful(run(faulty((0, "4s", "500ms"), routing__ttl="10s", routing__heartbeat="1s")))
    assert result.stale > 10 and result.end.replayed > 0


# Several deaths


def test_one_gateway_may_die_twice_and_each_life_has_its_number():
    topology = faulty((1, "3s", "2s"), (1, "9s", "2s"))
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    state = fabric.gateways.nodes.state
    assert state[:, INCARNATION].tolist() == [0, 2, 0] and state[:, ALIVE].tolist() == [1, 1, 1] and (state[:, DIES_AT] == NEVER).all()
    assert [event for _, event in fabric.faults.events if event.startswith("gateway 1 up")] == ["gateway 1 up again"] * 2
    result = lawful(run(topology))
    assert result.events == tuple(fabric.faults.events) and result.end.connections == 60
    assert result.timeline[-1, TIMELINE.index("breaks")] >= 20


def test_all_gateways_may_die_one_after_the_other_and_everybody_is_back(tmp_path):
    faults = "[" + ", ".join(f"{{target: {{gateway: {g}}}, at: {2 + 2 * g}s, down: 1s}}" for g in range(3)) + "]"
    result = lawful(run(quiet_end(tmp_path, faults)))
    assert result.end.logged == result.end.cursors and result.end.connections == 60 and result.end.replayed > 0


def test_two_gateways_that_die_at_the_same_instant_both_die():
    result = lawful(run(faulty((0, "5s", "2s"), (2, "5s", "3s"))))
    assert [event.split(",")[0] for _, event in result.events] == ["gateway 0 killed", "gateway 2 killed", "gateway 0 up again", "gateway 2 up again"]


@pytest.mark.parametrize("at", ["4s", "5s", "6s"], ids=["at the same instant", "while it is down", "at the instant of its return"])
def test_a_death_that_strikes_a_node_that_is_down_has_no_effect(at):
    once, twice = faulty((0, "4s", "2s")), faulty((0, "4s", "2s"), (0, at, "2s"))
    assert [(d.gateway, d.at, d.back_at) for d in deaths(World(twice, False), twice)] == [(0, 4 * SECOND, 6 * SECOND)]
    one, other = lawful(run(once)), lawful(run(twice))
    assert one.digest == other.digest and one.events == other.events


def test_target_one_is_drawn_by_its_address():
    drawn = set()
    for seed in range(12):
        topology = faulty(("one", "4s", "2s"), ("one", "9s", "2s"), run__seed=str(seed))
        world = World(topology, False)
        expected = [int(below(world.key("faults/target"), number, 0, 3)) for number in (0, 1)]
        assert [d.gateway for d in deaths(world, topology)] == expected
        assert deaths(world, topology) == deaths(World(topology.with_({"clients.count": 7}), False), topology), "nothing else has a say"
        drawn |= set(expected)
    assert drawn == {0, 1, 2}


def test_an_answer_of_the_log_to_a_life_that_has_ended_changes_nothing(tmp_path):
    """The log takes 3 s to answer, and the gateway dies again meanwhile: the client asks anew, from where it stood."""
    faults = "[{target: {gateway: 0}, at: 3s, down: 100ms}, {target: {gateway: 0}, at: 5s, down: 100ms}]"
    slow = {"replay.work": "1500ms", "replay.servers": 1000}
    result = lawful(run(quiet_end(tmp_path, faults, **slow)))
    recovered = int(result.stages[STAGE_NAMES.index("recovery")].sum())
    assert recovered < result.replay["requests"], "some answers came too late"
    assert result.end.logged == result.end.cursors and result.end.connections == 60


def test_an_answer_that_would_arrive_after_the_break_is_not_received():
    """It is written to a connection that ends before it gets there: the way to the client takes 700 ms."""
    for at in ("5900ms", "6300ms", "6700ms"):
        topology = faulty((0, "2s", "200ms"), (0, at, "200ms"), (1, at, "200ms"), (2, at, "200ms"), clients__delay="700ms", clients__reconnect="{first: 10ms}")
        result = lawful(run(topology.with_({"run.duration": "25s"})))
        assert result.end.connections == 60 and result.end.away_lacks == 0


def test_a_gap_that_is_filled_too_late_is_asked_for_again(tmp_path):
    """The link overflows, the client asks, its gateway dies before the answer is there, and the next life gives it everything."""
    rows = [*((0.5 + 0.01 * i, 10_000) for i in range(30)), (20.0, 100)]
    (tmp_path / "trace.csv").write_text("at_s,channel,size_bytes,client\n" + "".join(f"{at:.2f},0,{size},0\n" for at, size in rows))
    text = """
version: 1
run: {duration: 40s, warmup: 0s, compiled: never}
clients: {count: 20, subscriptions: 1, bandwidth: 800kbit/s, delay: 300ms}
channels: {count: 1}
traffic: [{name: chat, kind: trace, file: trace.csv}]
gateways: {count: 1, buffer: 50KB}
routing: {cache: 0s}
balancer: {health: {interval: 100ms, timeout: 50ms, fall: 1, rise: 1}}
"""
    calm = run(loads(text, folder=tmp_path))
    killed = [
        run(loads(text, folder=tmp_path, sets=[f"faults=[{{target: {{gateway: 0}}, at: {at}ms, down: 200ms}}]"])) for at in (1600, 1800, 2000, 2200, 2400)
    ]
    for result in [calm, *killed]:
        lawful(result)
        assert result.end.logged == result.end.cursors
    assert calm.end.tried["gap"] > 0
    assert any(result.replay["messages"] > result.end.replayed for result in killed), "some answers came too late"


def test_a_gateway_has_no_more_lives_than_can_be_numbered():
    faults = ", ".join(f"{{target: {{gateway: 0}}, at: {10 * i}ms, down: 1ms}}" for i in range(1100))
    with pytest.raises(SimfabricError, match="dies more than 1022 times"):
        Fabric(topology_of(BASE, faults=f"[{faults}]"), False)


# At the edges of the run


def test_a_death_at_the_instant_of_a_checkpoint_leaves_every_law_whole():
    result = lawful(run(faulty((0, "8s", "3s"), run__checkpoints="16")))
    assert [c.at for c in result.checkpoints] == [SECOND * (i + 1) for i in range(16)]
    assert result.checkpoints[8].connections < 60, "a second later some are still away"


def test_a_node_that_is_down_for_the_rest_of_the_run_stays_down():
    topology = faulty((0, "4s", "1h"))
    result = lawful(run(topology))
    assert [event.split(",")[0] for _, event in result.events] == ["gateway 0 killed"]
    assert result.end.connections == 60 and result.busiest["gateways"] > 0


def test_with_no_gateway_left_the_messages_are_offline_and_the_laws_hold():
    result = lawful(run(faulty((0, "4s", "1h"), gateways__count="1", traffic__chat__kind="producers", traffic__chat__rate="20/s")))
    end = result.end
    assert end.connections == 0 and end.away == end.subscriptions and end.rows == 0
    assert end.away_lacks > 0 and end.away_lacks == result.figures()["offline"]
    assert in_flight(end) == end.upstream


def test_a_death_at_the_very_start_is_a_death():
    result = lawful(run(faulty((0, "0s", "2s"))))
    assert result.events[0] == (0, "gateway 0 killed, 20 connections lost") and result.end.connections == 60


def test_a_handshake_in_the_hands_of_a_dying_node_is_no_connection():
    """Handshakes take a second and all clients dial at once: some are being served when the node dies."""
    result = lawful(run(faulty((0, "2s", "2s"), clients__start="1s", gateways__work__handshake="300ms", run__duration="30s")))
    assert result.end.connections == 60 and result.end.open == 60
    assert result.timeline[-1, TIMELINE.index("refusals")] > 0


def test_the_timeline_shows_the_fall_and_the_recovery():
    result = run(faulty((0, "4s", "3s"), clients__notice="300ms"))
    connected = dict(zip(result.timeline[:, 0].tolist(), result.timeline[:, TIMELINE.index("connected")].tolist()))
    assert [connected[at * SECOND] for at in (3, 4, 16)] == [60, 40, 60]
    recoveries = result.stages[STAGE_NAMES.index("recovery")]
    assert recoveries.sum() == result.timeline[-1, TIMELINE.index("breaks")] == 20
    assert recoveries[: bin_of(SECOND * 4 // 10)].sum() == 0, "nobody is back before its first wait is over"
