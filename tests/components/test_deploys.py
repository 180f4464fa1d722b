"""Deploys: gateways restarted in batches, and gateways that join. What changes is what the fault may change, and nothing else."""

import numpy as np
import pytest

from simfabric.components.faults import deaths
from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.frames import HANDSHAKE
from simfabric.kernels.state import ALIVE, INCARNATION, OPEN
from simfabric.laws.conservation import in_flight
from simfabric.recorder import TIMELINE
from simfabric.running import run
from simfabric.world import World
from tests.components.watching import Heard, simulate
from tests.helpers import check_invariance, topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 30s, warmup: 1s, compiled: never}
clients: {count: 60, subscriptions: 2, reconnect: {first: 500ms}, devices_per_user: 2, tenants: 6}
channels: {count: 10, popularity: uniform}
traffic: [{name: chat, per: all, rate: 10/s}]
gateways: {count: 4, cores: 2, drain: {spread: 1s}}
balancer: {health: {interval: 500ms, timeout: 200ms, fall: 1, rise: 2}}
routing: {heartbeat: 1s, ttl: 3s}
"""
PATTERNS = ["targeted", "broadcast", "direct"]


def with_faults(*faults, **changes):
    """The base with these faults, as YAML."""
    return topology_of(BASE, faults=f"[{', '.join(faults)}]", **changes)


def planned(topology):
    """Who dies when, and is back when [s]."""
    return [(death.gateway, death.at / SECOND, death.back_at / SECOND) for death in deaths(World(topology, False), topology)]


def lawful(result):
    """No law is broken, everybody is connected, and what was owed is accounted for."""
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    for c in result.checkpoints:
        assert c.owed == c.live + c.replayed + sum(c.dropped.values()) + in_flight(c) + c.away_lacks
    assert result.end.connections == 60
    return result


# A rolling deploy


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("down: 2s, pause: 3s", [(0, 4, 6), (1, 9, 11), (2, 14, 16), (3, 19, 21)]),
        ("down: 2s, pause: 3s, batch: 2", [(0, 4, 6), (1, 4, 6), (2, 9, 11), (3, 9, 11)]),
        ("down: 2s, pause: 3s, batch: 3", [(0, 4, 6), (1, 4, 6), (2, 4, 6), (3, 9, 11)]),
        ("down: 2s, pause: 0s, batch: 9", [(0, 4, 6), (1, 4, 6), (2, 4, 6), (3, 4, 6)]),
        ("down: 2s, pause: 0s, count: 2", [(0, 4, 6), (1, 6, 8)]),
        ("count: 0", []),
    ],
)
def test_a_rolling_deploy_restarts_batch_after_batch_with_a_pause_between(keys, expected):
    topology = with_faults(f"{{kind: rolling_deploy, at: 4s, {keys}}}")
    assert planned(topology) == expected
    assert all(death.planned for death in deaths(World(topology, False), topology))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_rolling_deploy_is_the_restarts_of_its_gateways_to_the_last_bit(pattern):
    rolling = with_faults("{kind: rolling_deploy, at: 4s, down: 2s, pause: 1s}", fanout__pattern=pattern)
    single = [f"{{kind: restart_node, target: {{gateway: {g}}}, at: {4 + 3 * g}s, down: 2s}}" for g in range(4)]
    one, other = lawful(run(rolling)), lawful(run(with_faults(*single, fanout__pattern=pattern)))
    assert one.digest == other.digest and one.events == other.events
    assert one.timeline[-1, TIMELINE.index("breaks")] >= 60, "nobody is spared"


def test_clients_of_a_deploy_are_told_and_dial_when_they_are_advised():
    """No wait but the advised one: 2 s and up to 1 s more after the end of the gateway. Nobody is refused: the others are known to be well."""
    topology = with_faults("{kind: rolling_deploy, at: 4s, down: 5s, count: 1}", gateways__drain="{retry_after: 2s, spread: 1s}")
    fabric = Fabric(topology, False)
    dials = Heard(fabric.gateways)
    simulate(fabric, topology)
    at = dials.frames(HANDSHAKE)[:, 0]
    assert len(at) == 15 and at.min() > 6 * SECOND and at.max() < 7.5 * SECOND


def test_a_gateway_that_falls_during_a_deploy_is_not_restarted_while_it_is_down():
    topology = with_faults("{target: {gateway: 1}, at: 8s, down: 10s}", "{kind: rolling_deploy, at: 4s, down: 2s, pause: 3s}")
    assert planned(topology) == [(0, 4, 6), (1, 8, 18), (2, 14, 16), (3, 19, 21)]
    lawful(run(topology.with_({"run.duration": "60s"})))


# A scale-out


def test_the_last_gateways_are_not_there_until_they_join():
    topology = with_faults("{kind: scale_out, count: 2, at: 10s}", clients__start="20s")
    fabric = Fabric(topology, False)
    state, seen = fabric.gateways.nodes.state, {}

    def look():
        for at in (1, 9, 11, 29):
            yield fabric.world.env.timeout(at * SECOND - fabric.world.env.now)
            seen[at] = (state[:, ALIVE].tolist(), state[:, OPEN].copy())

    fabric.world.env.process(look())
    simulate(fabric, topology)
    assert [seen[at][0] for at in (1, 9, 11)] == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert seen[9][1][2:].tolist() == [0, 0] and seen[9][1][:2].min() > 0
    assert seen[29][1].sum() == 60 and seen[29][1].max() - seen[29][1].min() <= 1, "least connections fills those that came empty"
    assert state[:, INCARNATION].tolist() == [0, 0, 1, 1]
    assert fabric.faults.events == [(10 * SECOND, "gateway 2 joined"), (10 * SECOND, "gateway 3 joined")]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_who_is_connected_stays_and_who_dials_may_go_there(pattern):
    """Nobody breaks because gateways join; a gateway that dies later sends its clients to them."""
    alone = lawful(run(with_faults("{kind: scale_out, count: 2, at: 5s}", fanout__pattern=pattern)))
    assert alone.figures()["breaks"] == alone.figures()["dials"] == 0
    topology = with_faults("{kind: scale_out, count: 2, at: 5s}", "{target: {gateway: 0}, at: 12s, down: 1h}", fanout__pattern=pattern)
    result = lawful(run(topology))
    assert result.figures()["breaks"] == 30
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    assert np.bincount(fabric.columns.crowd.home).tolist() == [0, 30, 15, 15]


def test_the_balancer_learns_of_a_gateway_that_joins_by_its_checks():
    """After `rise` good ones, each at the phase of the gateway's checks; until then nobody is sent there, and nobody refused."""
    topology = with_faults("{kind: scale_out, at: 10s}", clients__start="25s", balancer__health="{interval: 3s, timeout: 1s, fall: 1, rise: 2}")
    fabric = Fabric(topology, False)
    dials = Heard(fabric.gateways)
    simulate(fabric, topology)
    frames = dials.frames(HANDSHAKE)
    first = int(fabric.balancer.back_at[3])
    assert 13 * SECOND < first <= 16 * SECOND, "the second check after the arrival"
    there = frames[frames[:, 2] == 3, 0]
    assert first < there.min() < first + 2 * SECOND
    assert fabric.clients.tally.counters[6] == 0


def test_several_scale_outs_take_the_last_gateways_that_are_left():
    topology = with_faults("{kind: scale_out, at: 12s}", "{kind: scale_out, count: 2, at: 5s}", "{target: {gateway: 3}, at: 7s, down: 2s}")
    assert planned(topology) == [(1, -1e-9, 5), (2, -1e-9, 5), (3, -1e-9, 12)], "and who is not there cannot die"
    lawful(run(topology))


def test_a_gateway_that_joined_may_die_and_come_back():
    topology = with_faults("{kind: scale_out, at: 5s}", "{target: {gateway: 3}, at: 12s, down: 2s}", clients__start="10s")
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    assert fabric.gateways.nodes.state[:, INCARNATION].tolist() == [0, 0, 0, 2] and fabric.gateways.nodes.state[:, OPEN].sum() == 60
    lawful(run(topology))


# Faults that strike nobody


@pytest.mark.parametrize(
    "fault",
    ["{kind: scale_out, count: 3, at: 0s}", "{kind: scale_out, count: 0, at: 5s}", "{kind: rolling_deploy, count: 0, at: 5s}"],
    ids=["all are there in time", "none joins", "none is restarted"],
)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_fault_without_length_or_target_changes_no_bit(fault, pattern):
    calm = {"fanout__pattern": pattern, "clients__start": "5s"}
    one, other = run(with_faults(**calm)), run(with_faults(fault, **calm))
    assert one.digest == other.digest and other.events == ()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_results_of_deploys_do_not_depend_on_the_window(pattern):
    faults = "{kind: scale_out, at: 3s}", "{kind: rolling_deploy, at: 6s, down: 1s, pause: 0s, batch: 2}"
    outcome = check_invariance(with_faults(*faults, fanout__pattern=pattern, run__duration="14s"))
    assert outcome.fabric.gateways.nodes.state[:, INCARNATION].tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("{kind: scale_out, count: 4, at: 5s}", "at most 3"),
        ("{kind: rolling_deploy, count: 5, at: 5s}", "at most 4"),
        ("{kind: rolling_deploy, target: {gateway: 1}, at: 5s}", "takes gateways in order"),
        ("{kind: kill_node, count: 1, at: 5s}", "kill_node takes no count"),
    ],
)
def test_a_deploy_that_cannot_be_is_refused_with_its_law(fault, told):
    with pytest.raises(TopologyError, match=told):
        with_faults(fault)
