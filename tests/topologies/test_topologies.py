"""The topologies that come with the package: they load, they say what to look for, and they promise what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from simfabric.planning import plan, warnings
from simfabric.running import run
from simfabric.topology import load, loads

FOLDER = Path(__file__).parents[2] / "topologies"
STAGES = ("stage_a", "stage_b", "stage_c", "stage_c_10m")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_loads_and_reads_back_from_its_own_text(name: str) -> None:
    topology = load(FOLDER / f"{name}.yaml")
    assert loads(topology.to_yaml()) == topology
    assert topology.name and topology.description


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_begins_with_what_to_look_for(name: str) -> None:
    comment = [line for line in (FOLDER / f"{name}.yaml").read_text("utf-8").split("\n\n")[0].splitlines() if line]
    assert all(line.startswith("#") for line in comment)
    assert any("What to look for:" in line for line in comment)


def test_stage_a_fits_one_screen() -> None:
    assert len((FOLDER / "stage_a.yaml").read_text("utf-8").splitlines()) <= 50


@pytest.mark.parametrize(
    ("name", "clients", "gateways", "subscriptions"),
    [("stage_a", 100, 1, 5), ("stage_b", 10_000, 4, 8), ("stage_c", 1_000_000, 100, 20), ("stage_c_10m", 10_000_000, 1_000, 20)],
)
def test_a_stage_has_the_size_that_its_comment_says(name: str, clients: int, gateways: int, subscriptions: int) -> None:
    topology = load(FOLDER / f"{name}.yaml")
    assert (topology.clients.count, topology.gateways.count, topology.clients.subscriptions) == (clients, gateways, subscriptions)


@pytest.mark.parametrize("name", STAGES)
def test_the_gateways_of_a_stage_have_room_for_a_quarter_more_connections_than_they_hold(name: str) -> None:
    topology = load(FOLDER / f"{name}.yaml")
    gateways = topology.gateways
    room = min(gateways.connections, gateways.descriptors, gateways.memory // gateways.memory_per_connection)
    assert topology.clients.count / gateways.count <= 0.8 * room


def test_stage_c_has_the_traffic_of_a_large_fabric() -> None:
    topology = load(FOLDER / "stage_c.yaml")
    chat, all_hands = topology.traffic
    assert chat.rate and all_hands.rate
    assert chat.rate * topology.clients.count == pytest.approx(1_400, rel=0.02)
    assert all_hands.rate == pytest.approx(0.1)
    assert (all_hands.to, all_hands.per, topology.channels.given[0].members_share) == ("all-hands", "all", 1.0)
    assert topology.fanout.pattern == "targeted"
    assert topology.bus.partitions >= 64 and topology.fanout.routers >= 16
    assert topology.bus.partitions % topology.fanout.routers == 0


@pytest.mark.parametrize("name", STAGES)
def test_the_bottleneck_of_a_stage_is_busy_and_nothing_is_overloaded(name: str) -> None:
    foretold = plan(load(FOLDER / f"{name}.yaml"))
    assert 0.4 <= foretold.bottleneck.busiest <= 0.75
    assert foretold.bottleneck.name == "storage"
    assert max(load.busiest for load in foretold.loads) <= 0.8
    assert warnings(foretold) == []


def test_the_stages_of_millions_fan_out_as_their_comments_say() -> None:
    stage_c, ten_million = (plan(load(FOLDER / f"{name}.yaml")) for name in ("stage_c", "stage_c_10m"))
    chat, _ = stage_c.flows
    assert 160 <= chat.fan_out <= 180 and 65 <= chat.reach <= 67
    chat, _ = ten_million.flows
    assert 160 <= chat.fan_out <= 180 and 132 <= chat.reach <= 136
    assert ten_million.memory < 8e9


def test_the_rolling_deploy_says_what_to_look_for_and_ends_within_the_run() -> None:
    topology = load(FOLDER / "rolling_deploy.yaml")
    assert loads(topology.to_yaml()) == topology
    assert "What to look for:" in (FOLDER / "rolling_deploy.yaml").read_text("utf-8").split("\n\n")[0]
    assert (topology.clients.count, topology.gateways.count) == (10_000, 8)
    (deploy,) = topology.faults
    batches = -(-topology.gateways.count // deploy.batch)
    assert deploy.at + batches * (deploy.down + deploy.pause) < topology.run.duration, "there is time to see what it leaves"
    assert topology.gateways.drain.retry_after > topology.balancer.health.interval + topology.balancer.health.timeout, "nobody dials into a dead one"


def test_a_small_rolling_deploy_leaves_the_slope_that_its_comment_tells() -> None:
    """A fifth of the clients: by cookie the early ones fill up and stay so; with patience everybody is where they were; loads even them out."""
    small = {"clients.count": 2_000, "channels.count": 4_000, "run.compiled": "always"}
    topology = load(FOLDER / "rolling_deploy.yaml").with_(small)
    cookie, patient, even = (run(topology.with_(changes)) for changes in ({}, {"gateways.drain.retry_after": "20s"}, {"balancer.policy": "least_connections"}))
    assert all(result.lawful for result in (cookie, patient, even))
    assert cookie.imbalance.end is not None and patient.imbalance.end is not None and even.imbalance.end is not None
    assert cookie.imbalance.end.highest > 1.5 and patient.imbalance.end.highest < 1.1 and even.imbalance.end.highest < 1.1
    moved = [result.rehydration["moved"] / result.rehydration["accepted"] for result in (cookie, patient, even)]
    assert moved[0] > 0.6 and moved[1] < 0.05 and moved[2] > 0.9


def test_a_presence_storm_is_what_the_debounce_and_those_who_look_make_of_it() -> None:
    def shown(**changes: object) -> dict[str, int]:
        small = {"clients.count": 500, "channels.count": 50, "gateways.count": 2, "run.compiled": "never", "run.duration": "40s", "traffic.chat.rate": 0}
        return run(load(FOLDER / "presence_storm.yaml").with_({**small, **changes})).presence

    quiet, few, all_ = shown(), shown(**{"presence.debounce": "0s"}), shown(**{"presence.debounce": "0s", "presence.looking": "100%"})
    assert (quiet["joined"], quiet["published"], quiet["suppressed"], quiet["delivered"]) == (500, 0, 1000, 0)
    assert few["published"] == all_["published"] == 1000 and 12 < all_["delivered"] / few["delivered"] < 30
