"""Faults of connections: they break loudly or silently, those who are struck come back and catch up, and nobody else notices."""

from typing import Any

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.kernels.clients import BREAKS, LEFT, SILENCES
from simfabric.kernels.state import MOVED
from simfabric.running import Result, run
from simfabric.topology import Topology, loads
from simfabric.topology.fault_kinds import CLIENTS, NETWORK
from tests import helpers
from tests.sessions.comparing import differing, ran

SMALL = """
version: 1
run: {duration: 16s, warmup: 0s, compiled: never, checkpoints: 4}
clients: {count: 20, subscriptions: 2, delay: "uniform(2ms, 20ms)", heartbeat_interval: 3s, heartbeat_timeout: 1s, reconnect: {first: 200ms, cap: 2s}}
channels: {count: 4}
gateways: {count: 3}
routing: {cache: 0s}
traffic: [{name: chat, per: all, rate: 15/s, until: 10s}]
"""
LOUD = "{kind: reset_connections, at: 5s, share: 50%, spread: 2s}"
STORM = "{kind: storm_reconnect, at: 5s}"
MUTE = "{kind: half_open, at: 5s, share: 50%}"
MOVE = "{kind: rebind_address, at: 5s, share: 60%}"
SLEEP = "{kind: sleep_clients, at: 4s, share: 50%, length: 5s, spread: 1s}"
OLD = "{kind: old_clients, at: 4s, share: 50%, length: 5s, profile: phoenix}"
ALL = {"reset_connections": LOUD, "storm_reconnect": STORM, "half_open": MUTE, "rebind_address": MOVE, "sleep_clients": SLEEP}


def small(faults: str = "", **changes: Any) -> Topology:
    return loads(SMALL, sets=[f"faults=[{faults}]", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())])


def assert_complete(result: Result) -> None:
    """Every law holds, nothing was lost, and at the end everybody has everything."""
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]
    assert result.end.logged > 0
    assert result.end.cursors == result.end.logged
    assert not any(result.end.dropped.values())


@pytest.mark.parametrize("kind", ALL)
def test_who_is_struck_comes_back_and_has_everything_in_the_end(kind: str) -> None:
    result = run(small(ALL[kind]))
    assert_complete(result)
    assert result.end.replayed > 0
    assert result.end.connections == 20
    assert len(result.events) == (2 if kind == "sleep_clients" else 1)


@pytest.mark.parametrize("kind", ALL)
def test_half_windows_leave_the_same_behind(kind: str) -> None:
    topology = small(ALL[kind], run__duration="11s", clients__count="12")
    half = topology.with_({"run.window": f"{helpers.lookahead_of(topology) // 2}ns"})
    assert helpers.differences(helpers.run(topology), helpers.run(half)) == []


NEUTRAL = {
    "no chance": ("p: 0%", [*NETWORK, *CLIENTS]),
    "no length": ("length: 0s", [kind for kind, of in (NETWORK | CLIENTS).items() if "length" in of.takes]),
    "no victims": ("share: 0%", [kind for kind, of in (NETWORK | CLIENTS).items() if "share" in of.takes and kind != "flood_clients"]),
    "no delay": ("most: 0s", ["delay_packets", "reorder_packets"]),
}


@pytest.mark.parametrize("case", NEUTRAL)
def test_faults_that_do_nothing_change_no_bit(case: str) -> None:
    """All kinds of faults of the network and of clients at once, each without a chance, without a length, or without anybody to strike."""
    key, kinds = NEUTRAL[case]
    faults = ", ".join(f"{{kind: {kind}, at: 2s, {key}}}" for kind in kinds)
    assert run(small(faults, run__duration="7s")).digest == run(small(run__duration="7s")).digest


def test_dials_to_dead_addresses_fail_after_the_timeout_and_are_tried_again() -> None:
    """Every dial of the storm goes astray: after two seconds and a backoff the next finds the balancer. Sessions and half windows do the same."""
    faults = f"{{kind: stale_dns, at: 4s, length: 2s}}, {STORM}"
    changes = {"clients__connect_timeout": "2s", "clients__count": "8", "run__duration": "11s"}
    topology = small(faults, **changes)
    assert run(topology).lawful
    first = helpers.run(topology)
    ready = (first.fabric.columns.crowd.ready_at - first.fabric.columns.crowd.broke_at) / 1e9
    assert 2.2 <= ready.min() < ready.max() < 3.5
    half = topology.with_({"run.window": f"{helpers.lookahead_of(topology) // 2}ns"})
    assert helpers.differences(first, helpers.run(half)) == []
    _, facts = ran(topology)
    _, same = ran(small(faults, clients__sessions="all", **changes))
    assert differing(facts, same) == []


def test_old_clients_change_nothing_where_nobody_dials() -> None:
    assert run(small(OLD, run__duration="8s")).digest == run(small(run__duration="8s")).digest
    topology = small(f"{OLD}, {LOUD}", run__duration="11s")
    half = topology.with_({"run.window": f"{helpers.lookahead_of(topology) // 2}ns"})
    assert helpers.differences(helpers.run(topology), helpers.run(half)) == []


def test_only_who_is_struck_loses_a_connection() -> None:
    """Half of 20 clients, drawn: 10 with a deviation of 2.2. What others get, they get at the same nanosecond."""
    calm, broken = helpers.run(small()), helpers.run(small(LOUD))
    crowd = broken.fabric.columns.crowd
    struck = set(crowd.client[np.diff(crowd.strikes_from) > 0].tolist())
    assert 4 <= len(struck) <= 16
    assert int(broken.fabric.clients.tally.counters[BREAKS]) == len(struck)
    theirs = {(message, client): at for message, client, at in calm.trail.tolist() if client not in struck and at < 4_900_000_000}
    assert theirs == {(message, client): at for message, client, at in broken.trail.tolist() if client not in struck and at < 4_900_000_000}


def test_a_loud_break_is_noticed_at_once_and_a_silent_one_by_heartbeat() -> None:
    """A recovery takes a backoff of 0.2 s after a reset; nobody knows of a silent link for up to an interval and a time-out, four seconds."""
    loud, mute = (run(small(fault)) for fault in ("{kind: reset_connections, at: 5s, share: 60%}", "{kind: half_open, at: 5s, share: 60%}"))
    assert loud.end.tried["half_open"] == 0
    assert mute.end.tried["half_open"] > 50
    missed = [result.end.replayed for result in (loud, mute)]
    assert missed[1] > 5 * missed[0] > 0
    assert mute.end.half_open == 0


def test_a_sleeper_misses_what_is_said_meanwhile_and_says_nothing() -> None:
    fabric = helpers.run(small("{kind: sleep_clients, at: 4s, length: 6s}")).fabric
    counters = fabric.clients.tally.counters
    assert (int(counters[SILENCES]), int(counters[BREAKS]), int(counters[LEFT])) == (20, 20, 0)
    assert int(fabric.columns.crowd.broke_at.min()) == int(fabric.columns.crowd.broke_at.max()) == 10_000_000_000  # All wake together.


def test_a_new_address_moves_who_is_placed_by_address_and_nobody_else() -> None:
    def moved(policy: str) -> int:
        return int(helpers.run(small(MOVE, balancer__policy=policy)).counters[MOVED])

    assert moved("source_ip") > 3
    assert moved("rendezvous") == moved("cookie") == 0


def test_a_storm_waits_for_the_balancer_and_calms_down() -> None:
    calm, storm = (run(small(STORM, balancer__servers=1, balancer__handshake=work)) for work in ("1ms", "150ms"))
    slow, fast = (result.stage("recovery", 1.0) for result in (storm, calm))
    assert slow is not None and fast is not None
    assert slow > 2 > 0.5 > fast
    assert storm.end.connections == 20


def test_sessions_do_the_same() -> None:
    faults = ", ".join([LOUD, MUTE, MOVE, *(f"{{kind: {kind}, every: 4s, share: 25%}}" for kind in ("reset_connections", "half_open", "rebind_address"))])
    faults += ", {at: 7s, down: 1s, target: {gateway: 1}}"
    _, facts = ran(small(faults))
    _, same = ran(small(faults, clients__sessions="all"))
    assert differing(facts, same) == []


def test_old_clients_without_jitter_come_back_at_the_same_instant() -> None:
    """The same storm: jitter spreads 20 dials over 0.4 of a first wait of a second; without it all of them queue for handshakes of 15 ms."""
    changes = {"clients__reconnect__first": "1s", "balancer__servers": "1", "balancer__handshake": "15ms", "clients__delay": "5ms"}
    old = "{kind: old_clients, at: 2s, length: 9s, profile: no_jitter}"
    new, aligned = (helpers.run(small(faults, **changes)) for faults in (STORM, f"{old}, {STORM}"))
    first, last = (np.array([outcome.fabric.columns.crowd.ready_at.min(), outcome.fabric.columns.crowd.ready_at.max()]) / 1e9 for outcome in (new, aligned))
    assert last[0] - first[0] > 0.1  # Nobody of them is early.
    assert int(aligned.fabric.clients.fleet.profile.max()) == 0  # And afterwards they are up to date.


def test_old_clients_that_never_reset_wait_longer_each_time() -> None:
    def slowest(faults: str) -> float:
        found = run(small(f"{faults}{{kind: storm_reconnect, every: 4s}}", clients__reconnect__stable_after="1s", run__duration="22s")).stage("connect", 1.0)
        assert found is not None
        return found

    forgetful, never = slowest(""), slowest("{kind: old_clients, at: 1s, length: 60s, profile: never_reset}, ")
    assert forgetful < 0.5  # 0.2 s, with jitter, and the way.
    assert never > 1.5  # 0.2, 0.4, 0.8, 1.6 s: the fourth storm.


def test_presence_learns_of_every_end() -> None:
    result = run(small(f"{LOUD}, {MUTE}, {MOVE}", presence__enabled="true", presence__debounce="0s"))
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]


def test_sleep_is_refused_where_clients_are_sessions() -> None:
    with pytest.raises(TopologyError, match="clients that are columns"):
        small(SLEEP, clients__sessions="all")
