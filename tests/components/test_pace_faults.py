"""Faults of downlinks: slow readers fill their own buffers and nobody else's, and what a link held comes in a burst, in order."""

from typing import Any

import numpy as np
import pytest

from simfabric.components.link_faults import clients_struck
from simfabric.components.schedule import episodes
from simfabric.kernels.state import OVERFLOWN
from simfabric.topology import Topology, loads
from simfabric.world import SECOND
from tests import helpers
from tests.sessions.comparing import differing, ran

SMALL = """
version: 1
run: {duration: 13s, warmup: 0s, compiled: never, checkpoints: 4}
clients: {count: 16, subscriptions: 2, delay: "uniform(2ms, 20ms)"}
channels: {count: 4}
gateways: {count: 2}
traffic: [{name: chat, per: all, rate: 20/s, until: 11s, size: 1KB}]
"""
HELD = "{kind: clog_link, at: 4s, length: 5s, share: 50%}"
DEAF = "{kind: slow_clients, at: 4s, length: 5s, share: 50%}"
THIN = "{kind: cap_bandwidth, at: 4s, length: 5s, share: 50%, bandwidth: 32kbit/s}"
ALL = {"clog_link": HELD, "slow_clients": DEAF, "cap_bandwidth": THIN}


def small(faults: str = "", **changes: Any) -> Topology:
    return loads(SMALL, sets=[f"faults=[{faults}]", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())])


def struck(outcome: helpers.Outcome) -> set[int]:
    world = outcome.fabric.world
    return set(clients_struck(world, episodes(world, world.topology)[0]).tolist())


@pytest.mark.parametrize("kind", ALL)
def test_neighbours_get_everything_at_the_same_nanosecond(kind: str) -> None:
    calm, slow = helpers.run(small()), helpers.run(small(ALL[kind]))
    hit = struck(slow)
    assert 0 < len(hit) < 16
    theirs, own = ([row for row in outcome.trail.tolist() if row[1] not in hit] for outcome in (calm, slow))
    assert theirs == own
    assert len(calm.trail) == len(slow.trail)  # Nobody lacks a message at the end.
    assert slow.facts["messages"][:, 0].size > 0


@pytest.mark.parametrize("kind", ALL)
def test_each_connection_keeps_its_order(kind: str) -> None:
    outcome = helpers.run(small(ALL[kind]))
    rows = outcome.trail  # By arrival; messages are numbered by their publication, and each channel has its own order.
    channel = outcome.facts["messages"][rows[:, 0], 1]
    sequence = outcome.facts["messages"][rows[:, 0], 4]
    for client in range(16):
        for one in range(4):
            mine = (rows[:, 1] == client) & (channel == one)
            assert (np.diff(sequence[mine]) > 0).all()


@pytest.mark.parametrize("kind", ["clog_link", "slow_clients"])
def test_a_link_that_holds_lets_nothing_through_and_then_all_at_once(kind: str) -> None:
    outcome = helpers.run(small(ALL[kind]))
    hit = list(struck(outcome))
    times = outcome.trail[np.isin(outcome.trail[:, 1], hit), 2]
    held = (times > 4.1 * SECOND) & (times < 9 * SECOND)
    burst = (times >= 9 * SECOND) & (times < 9.1 * SECOND)
    assert int(held.sum()) == 0
    assert int(burst.sum()) > 100


def test_a_thin_link_passes_what_it_can_carry() -> None:
    """32 kbit/s are four messages of 1 KB a second, and a link gets ten: in five seconds 20 pass, and the rest in a burst."""
    outcome = helpers.run(small(THIN))
    hit = list(struck(outcome))
    times = outcome.trail[np.isin(outcome.trail[:, 1], hit), 2]
    passed = ((times > 4.5 * SECOND) & (times < 9 * SECOND)).sum() / len(hit)
    assert 12 <= passed <= 19
    assert ((times >= 9 * SECOND) & (times < 9.1 * SECOND)).sum() / len(hit) > 10


def test_a_buffer_holds_no_more_than_its_bound() -> None:
    """With 4 KB a link holds four messages and one that is being sent; the others overflow, and their clients ask for them."""
    outcome = helpers.run(small(HELD, gateways__buffer="4KB"))
    hit = list(struck(outcome))
    live = helpers.run(small(HELD))
    burst = [((o.trail[:, 2] >= 9 * SECOND) & (o.trail[:, 2] < 9.03 * SECOND) & np.isin(o.trail[:, 1], hit)).sum() for o in (outcome, live)]
    assert burst[0] <= 5 * len(hit) < burst[1]
    assert int(outcome.counters[OVERFLOWN]) > 100
    assert len(outcome.trail) == len(live.trail)


def test_readers_read_the_share_that_they_are_said_to() -> None:
    outcome = helpers.run(small("{kind: slow_clients, at: 4s, length: 5s, share: 50%, reads: 40%}"))
    hit, trail = list(struck(outcome)), outcome.trail
    mine = np.isin(trail[:, 1], hit)
    before, meanwhile = (int((mine & (trail[:, 2] > a * SECOND) & (trail[:, 2] < b * SECOND)).sum()) for a, b in ((1, 4), (5, 9)))
    assert 0.25 < (meanwhile / 4) / (before / 3) < 0.55


@pytest.mark.parametrize("kind", ALL)
def test_half_windows_leave_the_same_behind(kind: str) -> None:
    topology = small(f"{ALL[kind]}, {{kind: {kind}, every: 2s, length: 3s, share: 30%}}", run__duration="9s", gateways__buffer="4KB")
    half = topology.with_({"run.window": f"{helpers.lookahead_of(topology) // 2}ns"})
    assert helpers.differences(helpers.run(topology), helpers.run(half)) == []


def test_sessions_do_the_same() -> None:
    faults = ", ".join([HELD, "{kind: slow_clients, at: 7s, length: 4s, share: 50%, reads: 30%}", "{kind: cap_bandwidth, every: 3s, length: 2s, share: 30%}"])
    changes = {"gateways__buffer": "4KB", "gateways__overflow": "disconnect", "gateways__overflow_grace": "1s"}
    _, facts = ran(small(faults, **changes))
    _, same = ran(small(faults, clients__sessions="all", **changes))
    assert differing(facts, same) == []
