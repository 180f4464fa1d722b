"""Faults of the hop from routers to gateways: users see every message once and in order, whatever the wire does."""

from typing import Any

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.kernels.state import DUPLICATE, EXPECTED, FILLS, GAPPED
from simfabric.running import run
from simfabric.topology import Topology, loads
from simfabric.world import SECOND
from tests import helpers

SMALL = """
version: 1
run: {duration: 10s, warmup: 0s, compiled: never, checkpoints: 4}
clients: {count: 8, subscriptions: 2, delay: "uniform(2ms, 20ms)"}
channels: {count: 3}
gateways: {count: 3}
fanout: {routers: 2}
routing: {cache: 0s}
traffic: [{name: chat, per: all, rate: 20/s, until: 8s}, {name: typing, per: all, rate: 5/s, lane: transient, until: 8s}]
"""
MIXED = "{kind: reorder_packets, at: 2s, length: 4s, share: 40%, most: 400ms}"
TWICE = "{kind: duplicate_packets, at: 2s, length: 4s, share: 40%, most: 400ms}"
LATE = "{kind: delay_packets, at: 2s, length: 4s, most: 700ms}"
LOSSY = "{kind: lose_packets, at: 2s, length: 4s, share: 5%}"
ALL = {"reorder": MIXED, "duplicate": TWICE, "delay": LATE, "lose": LOSSY}


def small(faults: str = "", **changes: Any) -> Topology:
    return loads(SMALL, sets=[f"faults=[{faults}]", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())])


@pytest.fixture(scope="module")
def outcomes() -> dict[str, helpers.Outcome]:
    return {"calm": helpers.run(small())} | {case: helpers.run(small(fault)) for case, fault in ALL.items()}


@pytest.mark.parametrize("case", ALL)
def test_everybody_gets_everything_once_and_in_order(case: str, outcomes: dict[str, helpers.Outcome]) -> None:
    trail, messages = outcomes[case].trail, outcomes[case].facts["messages"]
    calm = outcomes["calm"].trail
    assert sorted(map(tuple, trail[:, :2].tolist())) == sorted(map(tuple, calm[:, :2].tolist()))
    durable = messages[trail[:, 0], 4] > 0
    for client in range(8):
        for channel in range(3):
            mine = durable & (trail[:, 1] == client) & (messages[trail[:, 0], 1] == channel)
            in_order = trail[mine][np.argsort(messages[trail[mine, 0], 4])]
            assert (np.diff(in_order[:, 2]) >= 0).all()


@pytest.mark.parametrize("case", ALL)
def test_laws_hold_and_everybody_is_complete(case: str) -> None:
    result = run(small(f"{ALL[case]}, {{kind: kill_node, at: 3s, down: 1s}}"))
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]
    assert result.end.cursors == result.end.logged > 0


def test_frames_that_overtake_open_gaps_and_most_close_by_themselves(outcomes: dict[str, helpers.Outcome]) -> None:
    calm, mixed = outcomes["calm"].counters, outcomes["reorder"].counters
    assert int(calm[GAPPED]) < 5 < 20 < int(mixed[GAPPED])
    assert int(mixed[FILLS]) > 0


def test_four_frames_of_ten_come_twice_and_cost_gateways_work(outcomes: dict[str, helpers.Outcome]) -> None:
    calm, twice = outcomes["calm"].counters, outcomes["duplicate"].counters
    assert int(twice[DUPLICATE]) == int(twice[EXPECTED]) - int(calm[EXPECTED])
    assert 0.12 < int(twice[DUPLICATE]) / int(calm[EXPECTED]) < 0.28  # 40 % of the durable ones, four fifths, in four of eight seconds: 16 %.


def test_a_delay_delays_all_and_keeps_the_order_when_it_falls_back(outcomes: dict[str, helpers.Outcome]) -> None:
    calm, late = ({(m, c): at for m, c, at in outcomes[case].trail.tolist()} for case in ("calm", "delay"))
    extra = {key: at - calm[key] for key, at in late.items()}
    published = outcomes["calm"].facts["messages"][:, 0]
    within = [extra[key] for key in extra if 2.2 * SECOND < published[key[0]] < 5.8 * SECOND]
    assert min(within) > 0.69 * SECOND
    assert max(extra[key] for key in extra if published[key[0]] > 6.8 * SECOND) == 0
    assert int(outcomes["delay"].counters[GAPPED]) <= int(outcomes["calm"].counters[GAPPED])


def test_what_is_lost_comes_two_hundred_milliseconds_later_and_holds_up_what_follows(outcomes: dict[str, helpers.Outcome]) -> None:
    calm, lossy = ({(m, c): at for m, c, at in outcomes[case].trail.tolist()} for case in ("calm", "lose"))
    extra = np.array([lossy[key] - calm[key] for key in calm])
    published = np.array([outcomes["calm"].facts["messages"][key[0], 0] for key in calm])
    within = extra[(published > 2.1 * SECOND) & (published < 5.9 * SECOND)]
    assert 0.3 < (within > 0).mean() < 0.85  # One of 21 slots is lost: 1 - 0.95^21 = 66 %.
    assert within.max() < 0.25 * SECOND
    assert int(outcomes["lose"].counters[GAPPED]) <= int(outcomes["calm"].counters[GAPPED])


@pytest.mark.parametrize("case", ALL)
def test_half_windows_leave_the_same_behind(case: str, outcomes: dict[str, helpers.Outcome]) -> None:
    half = small(ALL[case], run__window=f"{helpers.lookahead_of(small()) // 2}ns")
    assert helpers.differences(outcomes[case], helpers.run(half)) == []


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"fanout__pattern": "broadcast"}, "with broadcast there are none"),
        ({"backpressure__policy": "credits"}, "credits on their way"),
        ({"hot__policy": "batch", "hot__members": "2"}, "hold one message each"),
        ({"clients__sessions": "all"}, "clients that are columns"),
    ],
)
def test_where_it_has_no_subject_it_is_refused(changes: dict[str, str], law: str) -> None:
    with pytest.raises(TopologyError, match=law):
        small(MIXED, **changes)
