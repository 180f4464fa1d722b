"""Credits: a router stops at a gateway that has taken up too little of what it sent, and goes on to the nanosecond when it has."""

import numpy as np
import pytest
import simpy

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.credits import SENDER, give_back
from simfabric.kernels.frames import DELIVER, EXTRA, KIND_SHIFT, WIDTH
from simfabric.kernels.state import CHANNEL, GATEWAY, LIVE, SIZE, STALE
from simfabric.kernels.subscriptions import next_slot
from simfabric.planning.swarm import CHOICES
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, differences, drive, topology_of
from tests.helpers import run as outcome_of

# Each gateway can write 400 messages a second to its 30 clients, and gets 700 for four seconds of fifteen.
BASE = """
run: {duration: 14s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 1, delay: 10ms}
channels: {count: 4, given: [{name: hall, members: 100%}]}
gateways: {count: 2, cores: 2, work: {delivery: 4ms}}
bus: {fetch: {max_bytes: 2KB}}
backpressure: {policy: credits, window: 4, check: 20ms}
traffic:
  - {name: hall, kind: producers, to: hall, rate: 5/s, bursts: {every: 15s, length: 4s, times: 5}}
  - {name: typing, per: all, rate: 6/s, lane: transient, size: 64B}
"""
HOP = 500_000
KILLED = "[{at: 3s, down: 2s, target: {gateway: 0}}]"


def under_way(fabric):
    """Credits that are not back now, int64[routers, gateways, lives]."""
    given = fabric.routers.credits
    return given.sent - given.back + (given.back_at > fabric.world.now).sum(axis=-1)


def watched(**changes):
    """The fabric at the end, and its queues over time: behind [ns], backlog of the bus, messages that wait in routers, credits taken."""
    fabric = Fabric(topology_of(BASE, **changes), False)
    seen = []

    def watching():
        while True:
            yield fabric.world.env.timeout(50_000_000)
            queue = fabric.routers.queue
            seen.append(
                (int(fabric.pressure.behind().max()), fabric.consumers.backlog(), 0 if queue is None else len(queue.waiting), int(under_way(fabric).max()))
            )

    fabric.world.env.process(watching())
    drive(fabric)
    return fabric, np.array(seen)


def delivered(fabric):
    return int(tallies(fabric)["gateways"].counters[LIVE])


def test_messages_wait_in_the_bus_while_a_gateway_lacks_time_and_all_of_them_arrive():
    plain, free = watched(backpressure__policy="none")
    fabric, seen = watched()
    assert free[:, 0].max() > 2_000_000_000 and seen[:, 0].max() < 400_000_000  # Four frames of 72 ms, and one in service.
    assert seen[:, 1].max() > 30 and seen[-1, 1] == 0 and seen[-1, 2] == 0  # Lag has grown, and is gone.
    assert seen[:, 3].max() == 4 and fabric.pressure.paused > 0
    assert delivered(fabric) == delivered(plain) > 9000


def test_a_router_fetches_no_more_while_it_has_more_to_send_than_credits():
    _, seen = watched(backpressure__window=2, backpressure__check="5ms")
    assert 2 < seen[:, 2].max() <= 2 + 8 and seen[:, 1].max() > 30  # Two, and what the last answer of two brokers carried.


def in_plain_simpy(fabric, arrived, window, work, per_target, read, delivery):
    """What routers send to gateways of one core, as (arrival, gateway, message): processes, and credits as tokens in containers."""
    env, columns, found = simpy.Environment(), fabric.columns, []
    gateways = range(fabric.topology.gateways.count)
    queues = [simpy.Store(env) for _ in gateways]

    def members(channel):
        slot = next_slot(channel, -1, columns.book)
        while slot >= 0:
            yield int(columns.book.slots[slot, GATEWAY]), int(columns.book.slots[slot, SIZE])
            slot = next_slot(channel, slot, columns.book)

    def router(frames):
        tokens = [simpy.Container(env, window, window) for _ in gateways]
        read_at = {}
        for at, message in frames:
            channel = int(columns.log.rows[message, CHANNEL])
            ready = at if channel in read_at else at + 1_000_000
            read_at.setdefault(channel, at)
            yield env.timeout(max(0, ready - env.now))
            for gateway, _ in members(channel):
                yield tokens[gateway].get(1)
            yield env.timeout(work)
            for gateway, size in members(channel):
                yield env.timeout(per_target)
                env.process(on_the_way(gateway, message, size, tokens[gateway]))

    def on_the_way(gateway, message, size, credit):
        yield env.timeout(HOP)
        found.append((env.now, gateway, message))
        queues[gateway].put((size, credit))

    def core(gateway):
        while True:
            size, credit = yield queues[gateway].get()
            env.process(on_its_way_back(credit))
            yield env.timeout(read + size * delivery)

    def on_its_way_back(credit):
        yield env.timeout(HOP)
        yield credit.put(1)

    for frames in arrived.values():
        env.process(router(frames))
    for gateway in gateways:
        env.process(core(gateway))
    env.run(until=fabric.topology.run.duration)
    return found


ONE_CORE = {
    "run__duration": "6s",
    "traffic__typing__rate": "0/s",
    "gateways__cores": 1,
    "gateways__work__delivery": "1907us",
    "gateways__work__frame_in": "3us",
}
ROUTERS = {"routing__cache": "1h", "fanout__work": "11us", "fanout__work_per_target": "7us", "channels__given": "[{name: hall, members: 37}]"}


@pytest.mark.parametrize("window", [1, 3])
def test_frames_go_at_the_nanosecond_at_which_they_go_in_plain_simpy(window):
    chat = "[{name: hall, kind: producers, to: hall, rate: 20/s}, {name: chat, kind: producers, to: popularity, rate: 90/s}]"
    fabric = Fabric(topology_of(BASE, **ONE_CORE, **ROUTERS, traffic=chat, backpressure__window=window, backpressure__check="1h"), False)
    sent, arrived = [], {}
    routers, gateways = fabric.routers.inbox.put, fabric.gateways.inbox.put

    def to_routers(frames, count):
        for at, _, router, message, _ in frames[:count].tolist():
            arrived.setdefault(router, []).append((at, message))
        routers(frames, count)

    def to_gateways(frames, count):
        sent.extend((at, gateway, message) for at, name, gateway, message, _ in frames[:count].tolist() if name >> KIND_SHIFT == DELIVER)
        gateways(frames, count)

    fabric.routers.inbox.put, fabric.gateways.inbox.put = to_routers, to_gateways
    drive(fabric)
    expected = in_plain_simpy(fabric, arrived, window, 11_000, 7_000, 3_000, 1_907_000)
    assert sorted(frame for frame in sent if frame[0] < 6_000_000_000) == sorted(expected) and len(expected) > 200 and len(arrived) == 2
    assert len(fabric.routers.queue.waiting) > 10  # It is not that nothing had to wait.


def test_no_router_has_more_frames_under_way_to_a_gateway_or_waiting_there_than_it_has_credits():
    fabric = Fabric(topology_of(BASE, **ONE_CORE, fanout__routers=1, backpressure__window=3), False)
    frames, free = [[], []], [0, 0]
    put = fabric.gateways.inbox.put

    def spying(out, count):
        for at, name, gateway, _, _ in out[:count].tolist():
            if name >> KIND_SHIFT == DELIVER:
                begins = max(at, free[gateway])
                free[gateway] = begins + 3_000 + 30 * 1_907_000
                frames[gateway].append((at - HOP, begins))
        put(out, count)

    fabric.gateways.inbox.put = spying
    drive(fabric)
    for gateway in (0, 1):
        held = [sum(sent <= now < begins for sent, begins in frames[gateway]) for now, _ in frames[gateway]]
        assert max(held) == 3 and len(held) > 50


def test_a_credit_comes_back_when_the_last_core_has_taken_the_frame_up():
    fabric = Fabric(topology_of(BASE, traffic__typing__rate="0/s", backpressure__window=1, gateways__count=1, fanout__routers=1, run__duration="2s"), False)
    fabric.gateways.nodes.free_at[1] = 1_500_000_000  # The second core has something else to do.
    drive(fabric, 1_500_000_000)
    given = fabric.routers.credits
    assert given.sent.sum() == 1 and len(fabric.routers.queue.waiting) > 1 and given.back_at[0, 0, 0, 0] == 1_500_000_000 + HOP
    drive(fabric, 1_600_000_000)
    assert given.sent.sum() == 2


def test_credits_come_back_in_the_order_of_the_frames_and_with_the_death_of_the_gateway():
    fabric = Fabric(topology_of(BASE, faults="[{at: 700ms, target: {gateway: 0}}]"), False)
    gateways, given = fabric.gateways, fabric.gateways.credits
    for at in (500, 300, 900_000_000):  # A frame for a core that is free is taken up before the one that came first.
        give_back(SENDER, 0, at, gateways.nodes, gateways.columns.book, given)
    assert given.back[1, 0, 0] == 3 and given.back.sum() == 3
    assert given.back_at[1, 0, 0].tolist() == [500 + HOP, 500 + HOP, 700_000_000 + HOP, 0]


def test_what_goes_in_one_frame_takes_one_credit():
    batch = {"hot": "{policy: batch, members: 50, window: 200ms}", "traffic__hall__until": "5s", "traffic__typing__until": "5s", "run__duration": "8s"}
    fabric, _ = watched(**batch)
    given, frames = fabric.routers.credits, tallies(fabric)["routers"].counters[LIVE]
    assert (given.sent == given.back).all() and given.sent.sum() < frames - 50 and len(fabric.routers.queue.waiting) == 0


def test_a_router_that_is_behind_by_its_own_work_fetches_on():
    busy = {"fanout__work": "150ms", "gateways__work__delivery": "10us", "traffic__hall__until": "5s", "traffic__typing__rate": "0/s"}
    fabric, seen = watched(**busy)
    assert seen[:, 2].max() > 20 and fabric.pressure.paused == 0
    assert delivered(fabric) == delivered(watched(**busy, backpressure__policy="none")[0])


def test_a_window_that_nothing_reaches_changes_nothing():
    plain = outcome_of(topology_of(BASE, backpressure__policy="none", run__duration="8s", faults=KILLED))
    assert differences(plain, outcome_of(topology_of(BASE, backpressure__window="10k", run__duration="8s", faults=KILLED))) == []


@pytest.mark.parametrize("window", [1, 5])
def test_the_conductors_window_changes_nothing_with_credits(window):
    faults = "[{at: 700ms, down: 500ms, target: {gateway: 0}}, {at: 900ms, down: 300ms, target: {router: 0}}]"
    topology = topology_of(BASE, backpressure__window=window, run__duration="2s", faults=faults, hot="{policy: batch, members: 50, window: 30ms}")
    assert differences(check_invariance(topology), outcome_of(topology, by_numba=True)) == []


def test_a_window_longer_than_the_loop_still_ends():
    fabric, seen = watched(run__window="20ms", run__duration="3s")
    assert seen[:, 3].max() == 4 and delivered(fabric) > 2000


def test_a_gateway_that_dies_gives_back_all_credits_and_a_blocked_router_goes_on():
    fabric = Fabric(topology_of(BASE, faults="[{at: 2s, down: 5s, target: {gateway: 0}}, {at: 8s, target: {gateway: 1}}]", backpressure__window=2), False)
    drive(fabric, 2_000_000_000)
    given = fabric.routers.credits
    assert (given.wants[:, 0] >= 0).any() and under_way(fabric)[:, 0].max() == 2
    sent = given.sent[:, 1].sum()
    drive(fabric, 2_400_000_000)
    assert given.sent[:, 1].sum() > sent + 3 and tallies(fabric)["gateways"].counters[STALE] > 0  # Also frames to the dead one come back.
    drive(fabric)
    assert given.sent[:, 0, 1].sum() > 0  # Its next life has credits of its own.
    assert len(fabric.routers.queue.waiting) == 0 and (given.sent == given.back).all()


@pytest.mark.parametrize("target", ["{gateway: all}", "{router: 0}", "{router: all}"])
def test_every_law_holds_with_credits_over_deaths(target):
    result = run(topology_of(BASE, faults=f"[{{at: 2s, down: 2s, target: {target}}}]", run__duration="12s"))
    assert [law for law in result.laws if law.verdict == "invalid"] == []
    assert result.backpressure["pauses"] > 0


def test_a_router_that_dies_blocked_takes_up_nothing_of_what_it_had():
    fabric = Fabric(topology_of(BASE, faults="[{at: 2s, down: 2s, target: {router: all}}]", backpressure__window=3, traffic__hall__until="8s"), False)
    drive(fabric, 1_999_999_999)
    assert len(fabric.routers.queue.waiting) > 0
    sent = fabric.routers.credits.sent.copy()
    drive(fabric, 2_000_000_000)
    assert len(fabric.routers.queue.waiting) == 0 and not fabric.routers.state.refreshed_at.any()
    drive(fabric, 2_010_000_000)
    late = np.zeros((1, WIDTH), np.int64)  # One more was on its way to it.
    late[0, :EXTRA] = 2_011_000_000, DELIVER << KIND_SHIFT, 0, 20
    fabric.routers.inbox.put(late, 1)
    fabric.routers.credits.sent[0] += 3
    drive(fabric, 2_020_000_000)
    fabric.routers.credits.sent[0] -= 3
    drive(fabric, 3_900_000_000)
    assert len(fabric.routers.queue.waiting) == 0 and (fabric.routers.credits.sent == sent).all()
    drive(fabric)
    assert delivered(fabric) == delivered(watched(backpressure__policy="none", traffic__hall__until="8s")[0])  # They were read again.


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"fanout__pattern": "broadcast"}, "no routers"),
        ({"fanout__pattern": "direct", "traffic": "[{name: chat, per: all, rate: 1/s}]"}, "no routers"),
        ({"lanes__policy": "strict"}, "in their order"),
        ({"gateways__count": 1000, "fanout__routers": 100, "backpressure__window": 1000}, "at most 50_000_000 credits"),
        ({"backpressure__window": 0}, "window"),
    ],
)
def test_credits_are_refused_where_they_have_no_place(changes, law):
    with pytest.raises(TopologyError, match=law):
        topology_of(BASE, **changes)


def test_the_swarm_draws_credits():
    assert "credits" in CHOICES["backpressure.policy"] and CHOICES["backpressure.window"]
