"""Gateways: pauses, slow consumers, duplicates and gaps, limits, workers, and windows that are longer than exact."""

import numpy as np
import pytest

from simfabric.analysis.quantiles import mean
from simfabric.components import gateways as module
from simfabric.fabric import Fabric
from simfabric.kernels.frames import REFUSED
from simfabric.kernels.state import (
    BYTES,
    CHANNEL,
    DELAY,
    DUPLICATE,
    FILLS,
    FRAMES,
    GAPPED,
    HELD,
    LIFE,
    LIVE,
    OPEN,
    OVERFLOWN,
    REPLAYED_COUNT,
    ROUTED_AT,
    SEQUENCE,
    VISIBLE_AT,
    WASTED,
    WORK,
)
from simfabric.laws.conservation import in_flight
from simfabric.running import run
from simfabric.topology import loads
from tests.components.watching import Heard, simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BASE = """
run: {duration: 6s, warmup: 0s, compiled: never}
clients: {count: 40, subscriptions: 3}
channels: {count: 8}
traffic: [{name: chat, per: all, rate: 20/s}]
gateways: {count: 2, cores: 2}
"""


def lawful(result):
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    return result


def traced(tmp_path, rows, text=BASE, **changes):
    """A topology that publishes exactly these (at_s, channel, size) rows, all from one client."""
    (tmp_path / "trace.csv").write_text("at_s,channel,size_bytes,client\n" + "".join(f"{at:.4f},{channel},{size},0\n" for at, channel, size in rows))
    text = "version: 1\n" + text.replace("{name: chat, per: all, rate: 20/s}", "{name: chat, kind: trace, file: trace.csv}")
    return loads(text, folder=tmp_path, sets=[f"{path.replace('__', '.')}={value}" for path, value in changes.items()])


def ran(topology):
    """The fabric and the trail of a topology, after its run."""
    fabric = Fabric(topology, False)
    fabric.gateways.keep_trail()
    simulate(fabric, topology)
    return fabric, fabric.gateways.trail()


# Pauses

PAUSED = {"clients.bandwidth": "unlimited", "gateways.cores": "1", "traffic.chat.rate": "60/s", "gateways.pauses": "{every: 1s, length: 200ms}"}


def test_during_a_pause_nothing_is_written():
    """Pauses of 200 ms at 1, 2, 3 … s: no write ends in one, and what came meanwhile is written right after it."""
    fabric, trail = ran(topology_of(BASE, **PAUSED))
    crowd, seat_of = fabric.columns.crowd, fabric.columns.seat_of
    written = trail[:, 2] - crowd.link[seat_of[trail[:, 1]], DELAY]
    since = (written % SECOND)[written >= SECOND]
    assert not ((since > 0) & (since <= 200 * MILLISECOND)).any() and len(since) > 1000
    after = np.bincount(since // (20 * MILLISECOND), minlength=50)
    assert after[10] > 5 * after[15:].mean()


def test_a_frame_waits_for_the_end_of_a_pause_and_no_longer(tmp_path):
    rows = [(0.1, 0, 100), *((1.0 + 0.01 * i, 0, 100) for i in range(20)), (1.5, 0, 100)]
    topology = traced(tmp_path, rows, gateways__pauses="{every: 1s, length: 300ms}", gateways__cores="1", clients__bandwidth="unlimited")
    paused, plain = (ran(t) for t in (topology, topology.with_({"gateways.pauses": None})))
    at = [{(message, client): arrives for message, client, arrives in trail.tolist()} for _, trail in (paused, plain)]
    late = {key: at[0][key] - at[1][key] for key in at[1]}
    assert set(at[0]) == set(at[1]) and min(late.values()) == 0
    assert 200 * MILLISECOND < max(late.values()) < 310 * MILLISECOND
    assert all(late[key] == 0 for key in late if key[0] in (0, 21)), "before and well after the pause nothing is late"


@pytest.mark.parametrize(
    ("pauses", "written_in_3_s"), [("{every: 1s, length: 200ms}", 240), ("{every: 1s, length: 500ms}", 150), ("{every: 7d, length: 0s}", 300)]
)
def test_work_that_a_pause_interrupts_goes_on_after_it(pauses, written_in_3_s):
    """A core that is always busy with writes of 10 ms does those that the pauses leave time for."""
    changes = {"gateways.work.delivery": "10ms", "gateways.count": 1, "gateways.cores": 1, "clients.bandwidth": "unlimited", "traffic.chat.rate": "100/s"}
    fabric, trail = ran(topology_of(BASE, gateways__pauses=pauses, **changes))
    written = trail[:, 2] - fabric.columns.crowd.link[fabric.columns.seat_of[trail[:, 1]], DELAY]
    assert ((written > 2 * SECOND) & (written <= 5 * SECOND)).sum() == pytest.approx(written_in_3_s, abs=2)


def test_pauses_of_one_gateway_are_drawn_by_their_address():
    """The same pauses whatever the traffic, and those of all its cores at once."""
    changes = {"gateways.pauses": "{every: exponential(300ms), length: exponential(20ms)}", "gateways.cores": 3}
    one, other = (ran(topology_of(BASE, traffic__chat__rate=rate, **changes))[0].gateways.nodes.pauses for rate in ("20/s", "60/s"))
    assert (one[:, 0] > 3 * SECOND).any() and len(set(one[:3, 0].tolist()) | set(one[3:, 0].tolist())) >= 2
    shared = set(map(tuple, one[:, :2].tolist())) & set(map(tuple, other[:, :2].tolist()))
    assert shared, "where both have come equally far, the next pause is the same"


def test_pauses_keep_all_laws():
    pauses = "{every: exponential(100ms), length: 'weibull(5ms, 0.5)'}"
    assert lawful(run(topology_of(BASE, gateways__pauses=pauses, gateways__work__delivery="1ms"))).delivered > 0


# Slow consumers


def test_a_full_outbound_buffer_overflows_and_the_gap_is_filled_from_the_log(tmp_path):
    """Sixty messages of 10 kB in 0.6 s for links of 100 kB/s with room for 50 kB; then silence, then one more message that shows the hole."""
    rows = [*((0.5 + 0.01 * i, 0, 10_000) for i in range(60)), (20.0, 0, 100)]
    slow = {"clients.bandwidth": "800kbit/s", "gateways.buffer": "50KB", "run.duration": "40s", "clients.subscriptions": 1, "channels.count": 1}
    topology = traced(tmp_path, rows, **slow)
    fabric, trail = ran(topology)
    counters = fabric.gateways.workers[0].tally.counters
    assert counters[OVERFLOWN] > 100 and counters[GAPPED] > 0 and counters[FILLS] == counters[GAPPED]
    result = lawful(run(topology))
    assert result.end.logged == result.end.cursors == 61 * 40 == len(trail) and in_flight(result.end) == 0
    assert result.end.tried["overflown"] == counters[OVERFLOWN] and result.end.replayed == counters[REPLAYED_COUNT] > 0
    quick = lawful(run(topology.with_({"clients.bandwidth": "20Mbit/s"})))
    assert quick.end.tried["overflown"] == 0 and quick.end.cursors == result.end.cursors


def test_a_lost_tail_is_owed_until_the_next_message(tmp_path):
    """Without a later message nobody sees the hole: these obligations are in flight, neither delivered nor lost."""
    rows = [(0.5 + 0.01 * i, 0, 10_000) for i in range(8)]
    slow = {"clients.bandwidth": "800kbit/s", "gateways.buffer": "50KB", "run.duration": "40s", "clients.subscriptions": 1, "channels.count": 1}
    result = lawful(run(traced(tmp_path, rows, **slow)))
    assert in_flight(result.end) == result.end.logged - result.end.cursors > 0


def test_a_slow_link_delays_only_its_own_client(tmp_path):
    """A message of 25 kB takes 1 s on a link of 200 kbit/s, and is written to all within a millisecond."""
    topology = traced(tmp_path, [(1.0, 0, 25_000)], clients__bandwidth="200kbit/s", clients__subscriptions="1", channels__count="1", clients__delay="5ms")
    _, trail = ran(topology)
    assert len(trail) == 40 and np.ptp(trail[:, 2]) < MILLISECOND and (trail[:, 2] > 2 * SECOND).all()


def test_on_one_link_messages_follow_each_other(tmp_path):
    """Each takes 40 ms on the link: ten at once arrive 40 ms apart."""
    rows = [(1.0 + 0.0001 * i, 0, 1000) for i in range(10)]
    topology = traced(tmp_path, rows, clients__bandwidth="200kbit/s", clients__subscriptions="1", channels__count="1")
    _, trail = ran(topology)
    for client in range(40):
        arrivals = trail[trail[:, 1] == client, 2]
        assert np.diff(arrivals).tolist() == [40 * MILLISECOND] * 9


# Order: gaps and duplicates


def test_with_one_core_for_each_connection_nothing_overtakes():
    fabric, trail = ran(topology_of(BASE, gateways__cores="4", gateways__work__delivery="exponential(3ms)", gateways__work__frame_in="exponential(3ms)"))
    counters = fabric.gateways.workers[0].tally.counters
    assert counters[GAPPED] == counters[DUPLICATE] == counters[HELD] == 0 and counters[LIVE] == len(trail)


def in_order(fabric, trail):
    """Every client has every channel in order, once and without a hole; what the log gave at one time counts in the log's order."""
    rows, seen = fabric.columns.log.rows, {}
    for message, client, at in trail.tolist():
        seen.setdefault((client, int(rows[message, CHANNEL])), []).append((at, int(rows[message, SEQUENCE])))
    return all([sequence for _, sequence in sorted(received)] == list(range(1, len(received) + 1)) for received in seen.values())


def test_cores_that_share_one_queue_write_to_each_link_in_the_order_in_which_they_took_the_frames_up():
    """A quick frame does not overtake a slow one of another core on the same socket; each core serves whoever is next."""
    changes = {"gateways.dispatch": "shared", "gateways.work.frame_in": "exponential(30ms)", "traffic.chat.rate": "100/s", "channels.count": 3}
    topology = topology_of(BASE, gateways__cores="4", **changes)
    fabric, trail = ran(topology)
    assert in_order(fabric, trail) and fabric.gateways.workers[0].tally.counters[GAPPED] == 0
    assert (fabric.gateways.nodes.turn[:, 0] > 0).all(), "every core has taken up frames"
    lawful(run(topology))


@pytest.mark.parametrize("dispatch", ["connection", "shared"])
def test_a_message_that_nobody_here_reads_is_read_once_and_wasted(dispatch):
    """Broadcast: every gateway reads all, and works for it; which core does is settled by the dispatch."""
    changes = {"fanout.pattern": "broadcast", "gateways.count": 4, "gateways.cores": 2, "channels.popularity": "uniform", "channels.count": 60}
    topology = topology_of(BASE, gateways__dispatch=dispatch, gateways__work__frame_in="5ms", gateways__work__delivery="0s", **changes)
    result = lawful(run(topology))
    assert result.wasted > 100 and result.wasted == result.figures()["tried_in_vain"]["wasted"]
    fabric, _ = ran(topology)
    (worker,) = fabric.gateways.workers
    frames = int(fabric.gateways.nodes.state[:, FRAMES].sum())
    assert worker.tally.counters[WORK] >= 5 * MILLISECOND * frames and frames > worker.tally.counters[WASTED] == result.wasted


def test_a_live_message_that_the_log_gave_already_is_a_duplicate_and_not_delivered_twice():
    """Routers take 400 ms: the answer of the log overtakes them."""
    text = BASE + "faults: [{target: {gateway: 0}, at: 1s, down: 100ms}]\n"
    topology = topology_of(text, fanout__work="40ms", fanout__routers="4", clients__reconnect="{first: 300ms}", replay__work="10us", routing__cache="0s")
    fabric, trail = ran(topology)
    assert fabric.gateways.workers[0].tally.counters[DUPLICATE] > 0 and in_order(fabric, trail)
    result = lawful(run(topology))
    assert result.end.tried["duplicate"] == fabric.gateways.workers[0].tally.counters[DUPLICATE]


def test_while_it_catches_up_a_client_holds_what_is_live():
    """The log takes a second to answer; what comes meanwhile is held and given right after the answer."""
    text = BASE + "faults: [{target: {gateway: 0}, at: 1s, down: 100ms}]\n"
    changes = {"replay.servers": 200, "clients.reconnect": "{first: 300ms}", "routing.cache": "0s", "traffic.chat.rate": "60/s"}
    topology = topology_of(text, replay__work="300ms", **changes)
    fabric, trail = ran(topology)
    assert fabric.gateways.workers[0].tally.counters[HELD] > 0
    assert in_order(fabric, trail)
    lawful(run(topology))


# Limits


@pytest.mark.parametrize(
    ("limit", "room"),
    [
        ({"gateways.connections": 15}, 15),
        ({"gateways.descriptors": 15}, 15),
        ({"gateways.memory": "1MB", "gateways.memory_per_connection": "50KB"}, 20),
    ],
    ids=["connections", "descriptors", "memory"],
)
def test_a_full_gateway_refuses_further_dials(limit, room):
    """One of three gateways is away: the others fill up to the limit that is hit first, and refuse the rest with their number."""
    text = BASE + "faults: [{target: {gateway: 0}, at: 3s, down: 20s}]\nbalancer: {health: {interval: 100ms, timeout: 50ms, fall: 1}}\n"
    topology = topology_of(text, gateways__count="3", clients__count="45", run__duration="12s", clients__start="connected", **limit)
    fabric = Fabric(topology, False)
    heard = Heard(fabric.clients)
    simulate(fabric, topology)
    refused = heard.frames(REFUSED)
    assert fabric.gateways.nodes.state[:, OPEN].tolist() == [0, room, room]
    assert len(refused) > 10 and set((refused[refused[:, 4] >= 0, 4] // LIFE).tolist()) <= {1, 2}
    lawful(run(topology))


def test_memory_counts_connections_that_do_not_fit_as_refused_from_the_start():
    topology = topology_of(BASE, gateways__count="1", gateways__memory="1MB", gateways__memory_per_connection="50KB", clients__start="1s", run__duration="4s")
    result = lawful(run(topology))
    assert result.end.connections == 20 and result.end.away > 0
    (promise,) = (o for o in result.slo if o.name == "connect success")
    assert promise.met is False


# Growing


def test_outboxes_books_and_trails_grow_when_they_are_full(tmp_path):
    """700 clients of one channel on one gateway: every one of them sees a gap at once, and all come back together."""
    rows = [*((0.2 + 0.001 * i, 0, 30_000) for i in range(6)), (3.0, 0, 10), (3.5, 0, 10), (8.0, 0, 10)]
    text = BASE.replace("{count: 40, subscriptions: 3}", "{count: 700, subscriptions: 1, reconnect: {first: 1s}}").replace("count: 8", "count: 1")
    sets = {"gateways.count": 1, "clients.bandwidth": "800kbit/s", "gateways.buffer": "50KB", "run.duration": "14s", "routing.cache": "0s"}
    sets |= {"faults": "[{target: {gateway: 0}, at: 5s, down: 500ms}]", "balancer.health": "{interval: 100ms, timeout: 100ms, fall: 1, rise: 1}"}
    topology = traced(tmp_path, rows, text, **sets)
    fabric, trail = ran(topology)
    worker = fabric.gateways.workers[0]
    assert len(worker.ask.frames) > 700 and len(worker.tally.trail) >= len(trail) == 9 * 700 > 4096
    assert worker.tally.counters[GAPPED] >= 700 and len(fabric.columns.book.rows) > 700 + 256
    result = lawful(run(topology))
    assert result.end.cursors == 9 * 700


# Workers and windows


def test_two_workers_leave_the_same_behind_as_one(monkeypatch):
    """Compiled, with every step shared out, with dials, a death and pauses among the traffic."""
    monkeypatch.setattr(module, "WORTH_A_THREAD", 1)
    text = BASE + "faults: [{target: {gateway: 1}, at: 2s, down: 500ms}]\nbalancer: {health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}\n"
    changes = {"run.compiled": "always", "gateways.count": 5, "clients.start": "500ms", "gateways.pauses": "{every: exponential(200ms), length: 5ms}"}
    topology = topology_of(text, traffic__chat__rate="200/s", **changes)
    one, two, three = (lawful(run(topology.with_({"run.workers": workers}), trail=True)) for workers in (1, 2, 3))
    assert one.digest == two.digest == three.digest and one.delivered > 5000
    assert np.array_equal(one.trail, two.trail) and np.array_equal(one.delays, three.delays)
    shared = Fabric(topology.with_({"run.workers": 2}), True)
    simulate(shared, topology)
    assert min(int(worker.tally.counters[LIVE]) for worker in shared.gateways.workers) > 500, "both had work"


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
@pytest.mark.parametrize("window", ["5ms", "20ms", "100ms"])
def test_a_window_longer_than_exact_errs_by_less_than_itself_and_keeps_every_law(pattern, window):
    text = BASE + "faults: [{target: {gateway: 1}, at: 2s, down: 500ms}]\n"
    topology = topology_of(text, fanout__pattern=pattern, traffic__chat__rate="60/s")
    exact, longer = (lawful(run(topology.with_({"run.window": w}), trail=True)) for w in ("exact", window))
    assert longer.window > longer.lookahead == exact.window
    assert abs(mean(exact.delays[1].sum(axis=0)) - mean(longer.delays[1].sum(axis=0))) < longer.window
    at = [{(message, client): arrives for message, client, arrives in result.trail.tolist()} for result in (exact, longer)]
    both = set(at[0]) & set(at[1])
    assert len(both) > 0.9 * len(at[0])
    apart = np.array([at[1][key] - at[0][key] for key in both])
    assert np.abs(apart).mean() < longer.window and abs(exact.end.published - longer.end.published) <= 2


def test_the_stages_of_a_message_come_one_after_the_other():
    fabric, trail = ran(topology_of(BASE, gateways__work__byte_out="10ns", traffic__chat__size="exponential(2KB)"))
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    done = rows[np.unique(trail[:, 0])]
    stages = done[:, [0, 6, 7, 8, VISIBLE_AT, ROUTED_AT]]
    assert (np.diff(stages, axis=1) >= 0).all() and (stages[:, 1:] > 0).all() and (done[:, BYTES] > 0).all()
    assert (trail[:, 2] > rows[trail[:, 0], ROUTED_AT]).all()
