"""The schedule of the faults: times and victims are drawn by address, and what lasts no time or has no chance is no fault."""

import pytest

from simfabric.components.schedule import Episode, episodes, struck
from simfabric.errors import TopologyError
from simfabric.running import run
from simfabric.topology import Topology, loads
from simfabric.world import SECOND, World

SMALL = """
version: 1
run: {duration: 20s, warmup: 1s, compiled: never}
clients: {count: 10, subscriptions: 2}
channels: {count: 4}
gateways: {count: 5}
traffic: [{name: chat, per: all, rate: 10/s}]
"""


def small(faults: str = "[]") -> Topology:
    return loads(SMALL + f"faults: {faults}\n")


def of(faults: str) -> list[Episode]:
    topology = small(faults)
    return episodes(World(topology, by_numba=False), topology)


def test_a_fault_with_every_comes_again_and_again_until_the_end_of_the_run() -> None:
    times = [episode.begin / SECOND for episode in of("[{kind: degrade_store, every: 3s, length: 1s}]")]
    assert times == [3, 6, 9, 12, 15, 18]


def test_a_chance_leaves_some_of_them_out_and_zero_leaves_all_out() -> None:
    assert 0 < len(of("[{kind: degrade_store, every: 100ms, length: 50ms, p: 30%}]")) < 100  # 199 times 0.3 is 60, with a deviation of 6.5.
    assert of("[{kind: degrade_store, every: 1s, p: 0%}]") == []


def test_a_fault_that_lasts_no_time_is_none() -> None:
    assert of("[{kind: degrade_store, at: 5s, length: 0s}]") == []


@pytest.mark.parametrize(("word", "count"), [("one", 1), ("minority", 2), ("majority", 3), ("all", 5)])
def test_words_strike_so_many_of_five_nodes(word: str, count: int) -> None:
    world = World(small(), by_numba=False)
    for episode in of("[{kind: degrade_store, every: 1s, length: 100ms}]"):
        nodes = struck(world, episode, word, 5, "target")
        assert len(set(nodes)) == count
        assert set(nodes) <= set(range(5))


def test_each_time_another_minority_is_drawn() -> None:
    world = World(small(), by_numba=False)
    drawn = {tuple(struck(world, episode, "minority", 5, "target")) for episode in of("[{kind: degrade_store, every: 500ms, length: 100ms}]")}
    assert len(drawn) > 3


@pytest.mark.parametrize(
    "neutral",
    ["{kind: degrade_store, at: 5s, length: 0s}", "{kind: degrade_store, every: 1s, p: 0%}", "{kind: degrade_store, at: 5s, factor: 1}"],
)
def test_a_neutral_fault_changes_no_bit_of_the_run(neutral: str) -> None:
    assert run(small(f"[{neutral}]")).digest == run(small()).digest


def test_a_stopped_store_delays_and_loses_nothing() -> None:
    calm, stopped = run(small()), run(small("[{kind: degrade_store, at: 5s, length: 4s, factor: 0}]"))
    assert stopped.delivered == calm.delivered
    late, usual = stopped.delay(0.95), calm.delay(0.95)
    assert late is not None
    assert usual is not None
    assert late > 2 > 10 * usual
    assert stopped.lawful


def test_a_slow_store_is_slower_while_it_lasts_in_every_window() -> None:
    slow = small("[{kind: degrade_store, at: 5s, length: 5s, factor: 5}, {kind: degrade_store, at: 8s, length: 4s, factor: 2}]")
    result = run(slow)
    assert result.digest == run(slow.with_({"run.window": "300us"})).digest
    assert result.digest != run(small()).digest


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ("{kind: degrade_store, at: 5s, every: 3s}", "a time: at, or every"),
        ("{kind: degrade_store, at: 5s, down: 3s}", "degrade_store takes no down"),
        ("{kind: degrade_store, at: 5s, target: {gateway: 1}}", "degrade_store strikes no single node"),
        ("{kind: scale_out, every: 5s}", "gateways join once"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_its_law(fault: str, law: str) -> None:
    with pytest.raises(TopologyError, match=law):
        small(f"[{fault}]")
