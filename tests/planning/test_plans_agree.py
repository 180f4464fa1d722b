"""A plan foretells what the run then does: rates, frames and utilisation within 5 %, one topology for each pattern of fan-out."""

from __future__ import annotations

import pytest

from simfabric.planning import Plan, plan
from simfabric.topology import Topology, loads
from tests.planning.measuring import Measured, measured

COMMON = """
version: 1
run: {duration: 20s, warmup: 1s}
clients: {count: 1_000, subscriptions: 4, bandwidth: unlimited}
channels: {count: 150, popularity: zipf(0.4), given: [{name: hall, members: 12%}, {name: few, members: 40}]}
"""
TARGETED = """
traffic:
  - {name: chat, rate: 9/min, arrivals: regular, size: exponential(600B)}
  - {name: notices, to: hall, per: all, rate: 4/s, arrivals: regular}
  - {name: news, kind: producers, to: few, rate: 5/s, arrivals: regular}
gateways: {count: 5, cores: 2, work: {frame_in: exponential(300us), delivery: 200us, byte_out: 50ns}}
balancer: {policy: consistent_hash}
bus: {partitions: 6, linger: 20ms, work: 3ms, work_per_byte: 200ns, threads: 2}
fanout: {routers: 2, work: exponential(1ms), work_per_target: 300us}
"""
BROADCAST = """
traffic:
  - {name: chat, rate: 6/min, arrivals: regular, to: popularity}
  - {name: bots, kind: channels, rate: 12/min, arrivals: regular, to: uniform}
gateways: {count: 8, cores: 4, work: {frame_in: 400us, delivery: exponential(100us)}, pauses: {every: exponential(300ms), length: 15ms}}
storage: {shards: 3}
bus: {brokers: 2, replication: 2, partitions: 10, work: exponential(2ms)}
fanout: {pattern: broadcast}
"""
DIRECT = """
traffic:
  - {name: chat, rate: 6/min, arrivals: regular, bursts: {every: 5s, length: 1s, times: 4}}
gateways: {count: 4, cores: 2, work: {frame_in: 300us, delivery: 50us}}
balancer: {policy: consistent_hash, key: tenant}
fanout: {pattern: direct, work: 500us, work_per_target: 200us}
"""
TOPOLOGIES = {"targeted": TARGETED, "broadcast": BROADCAST, "direct": DIRECT}
TOLERANCE = 0.05


@pytest.fixture(scope="module", params=TOPOLOGIES)
def case(request: pytest.FixtureRequest) -> tuple[Topology, Plan, Measured]:
    changes = ["clients.tenants=40", "clients.tenant_popularity=0.5"] if request.param == "direct" else []
    topology = loads(COMMON + TOPOLOGIES[request.param], sets=changes)
    return topology, plan(topology), measured(topology)


def slack(topology: Topology, component: str) -> float:
    """With direct fan-out, messages of two senders overtake each other, and clients ask for the gap: plans leave that out."""
    return 0.02 if topology.fanout.pattern == "direct" and component == "replay" else 1e-9


def test_the_fan_out_is_measured_well_enough_to_judge_a_plan(case: tuple[Topology, Plan, Measured]) -> None:
    assert case[2].half_width <= TOLERANCE / 2


def test_publications_and_deliveries_agree(case: tuple[Topology, Plan, Measured]) -> None:
    _, foretold, did = case
    assert did.publications == pytest.approx(foretold.publications, rel=TOLERANCE)
    assert did.deliveries == pytest.approx(foretold.deliveries, rel=TOLERANCE)
    assert did.fan_outs.mean() == pytest.approx(foretold.fan_out, rel=TOLERANCE)


def test_a_publication_reaches_as_many_gateways_as_foretold(case: tuple[Topology, Plan, Measured]) -> None:
    topology, foretold, did = case
    if topology.fanout.pattern == "broadcast":
        assert did.reach == 0 and foretold.reach < topology.gateways.count
    else:
        assert did.reach == pytest.approx(foretold.reach, rel=TOLERANCE)


def test_every_component_serves_as_many_frames_as_foretold(case: tuple[Topology, Plan, Measured]) -> None:
    topology, foretold, did = case
    assert {load.name for load in foretold.loads} - {"clients"} == set(did.frames)
    assert did.frames == {name: pytest.approx(foretold.load(name).frames, rel=TOLERANCE, abs=slack(topology, name) * did.publications) for name in did.frames}


def test_every_component_is_as_busy_as_foretold(case: tuple[Topology, Plan, Measured]) -> None:
    topology, foretold, did = case
    assert did.utilisation == {name: pytest.approx(share, rel=TOLERANCE, abs=slack(topology, name)) for name, share in foretold.utilisation.items()}
    assert min(share for name, share in did.utilisation.items() if name not in ("balancer", "replay", "token_api", "bootstrap_api", "snapshot_api")) > 0


def test_the_bottleneck_is_the_one_foretold(case: tuple[Topology, Plan, Measured]) -> None:
    _, foretold, did = case
    weakest = foretold.bottleneck
    assert max(did.busiest, key=lambda name: did.busiest[name]) == weakest.name
    assert did.busiest[weakest.name] == pytest.approx(weakest.busiest, rel=0.15)  # The busiest of a few rows: chance adds to it.
    assert foretold.load(weakest.name).headroom == pytest.approx(1 / weakest.busiest - 1)
