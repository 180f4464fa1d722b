"""Columns and plain SimPy agree on the life of every connection through a storm: who did what, to the nanosecond."""

import pytest

from simfabric.fabric import Fabric
from simfabric.kernels import clients as kernels
from simfabric.kernels.clients import GIVEN_UP, LEFT, OFFLINES, SILENCES
from simfabric.kernels.frames import ASK, BOOT, DIAL, OPENED, REFUSED
from simfabric.kernels.state import DELAY, LIFE
from simfabric.kernels.tickets import TURN
from tests.components.watching import Heard
from tests.helpers import drive, run, topology_of
from tests.reference.reconnecting import Reconnecting

STORM = """
run: {duration: 400s, warmup: 0s, compiled: never}
clients: {count: 120, subscriptions: 1, delay: "uniform(3ms, 40ms)"}
channels: {count: 10}
traffic: [{name: chat, rate: 0/s}]
gateways: {count: 2, work: {handshake: 0s, subscribe: 0s}}
balancer: {servers: 1, handshake: exponential(700ms), queue_timeout: 500ms, health: {interval: 1h}}
apis: {token: {servers: 2, work: exponential(20ms), queue_timeout: 300ms}}
faults: [{at: 10s, down: 1ms, target: {gateway: all}}]
"""
TWICE = "[{at: 10s, down: 1ms, target: {gateway: all}}, {at: 300s, down: 1ms, target: {gateway: all}}]"
GOING = "[{name: office, share: 80%, stays: exponential(50s), away: exponential(20s)}]"
SILENT = "[{name: mobile, share: 80%, stays: exponential(70s), ends: silent}]"
BOTH = '[{name: mobile, share: 40%, stays: exponential(60s), ends: silent}, {name: office, share: 40%, stays: "uniform(10s, 90s)", away: 15s}]'
CASES = {
    "one storm": {},
    "the cap after the jitter": {"clients.reconnect.jitter_order": "jitter_first"},
    "an early banner": {"clients.reconnect.attempt_limit": "3", "clients.reconnect.offline_retry": "20s"},
    "a token API that refuses": {"apis.token.work": "exponential(200ms)"},
    "no tokens at all": {"apis.token.ttl": "0s"},
    "tokens that live for long": {"apis.token.ttl": "10min"},
    "refusals with advice": {"balancer.retry_after": "2s", "balancer.retry_spread": "60s"},
    "a planned restart": {"faults[0].kind": "restart_node"},
    "a planned restart of clients that notice late": {"faults[0].kind": "restart_node", "clients.notice": "3s"},
    "a crash that is noticed late": {"clients.notice": "3s"},
    "two storms, stable between": {"faults": TWICE, "balancer.handshake": "exponential(300ms)"},
    "two storms, never stable": {"faults": TWICE, "balancer.handshake": "exponential(300ms)", "clients.reconnect.stable_after": "10min"},
    "a mixed fleet": {
        "clients.fleet": "[{profile: phoenix, share: 20%}, {profile: signalr, share: 20%}, {profile: ably-js, share: 20%}, {profile: socket.io, share: 20%}]",
    },
    "a mixed fleet through two restarts": {
        "clients.fleet": "[{profile: centrifuge-js, share: 30%}, {profile: mattermost, share: 30%}, {profile: nats.py, share: 30%}]",
        "faults": TWICE.replace("{at", "{kind: restart_node, at"),
        "balancer.handshake": "exponential(200ms)",
    },
    "clients that give up waiting, at an edge that never refuses": {"clients.connect_timeout": "2s", "balancer.queue_timeout": "1h"},
    "clients that give up waiting for a token": {"clients.connect_timeout": "1s", "apis.token.work": "exponential(200ms)", "apis.token.queue_timeout": "1h"},
    "no jitter": {"clients.reconnect.jitter": "0%"},
    "clients that start": {"faults": "[]", "clients.start": "5s"},
    "clients that start without bootstrap": {"faults": "[]", "clients.start": "5s", "apis.bootstrap.enabled": "false"},
    "a bootstrap API that refuses": {
        "faults": "[]",
        "clients.start": "5s",
        "apis.bootstrap": "{servers: 1, work: exponential(300ms), queue_timeout: 1s}",
        "balancer.retry_after": "9s",
    },
    "clients that give up waiting for bootstrap": {"faults": "[]", "clients.start": "2s", "apis.bootstrap": "{servers: 1, work: 300ms, queue_timeout: 1h}"},
    "a bootstrap API that fails": {"faults": "[]", "clients.start": "5s", "apis.bootstrap.errors": "60%", "balancer.retry_after": "30s"},
    "users who come and go": {"clients.churn": GOING},
    "links that fall silent": {"clients.churn": SILENT, "balancer.handshake": "exponential(200ms)"},
    "both, from the start on, without a fault": {"clients.churn": BOTH, "faults": "[]", "clients.start": "20s"},
    "both, through two storms": {"clients.churn": BOTH, "faults": TWICE, "balancer.handshake": "exponential(200ms)"},
    "both, through a planned restart that is noticed late": {"clients.churn": BOTH, "faults[0].kind": "restart_node", "clients.notice": "3s"},
    "a mixed fleet that comes and goes": {
        "clients.churn": BOTH,
        "clients.fleet": "[{profile: phoenix, share: 30%}, {profile: centrifuge-js, share: 30%}]",
    },
    "links that fall silent at once": {"clients.churn": SILENT.replace("exponential(70s)", "1ms"), "clients.delay": "uniform(300ms, 3s)", "faults": "[]"},
    "short heartbeats": {"clients.churn": SILENT, "clients.heartbeat_interval": "5s", "clients.heartbeat_timeout": "2s"},
    "a token API that fails": {"apis.token.errors": "40%", "balancer.retry_after": "30s"},
}


DEPLOYS = """
run: {duration: 300s, warmup: 0s, compiled: never}
clients: {count: 120, subscriptions: 1, delay: "uniform(3ms, 40ms)", behind_nat: 50%, nat_size: 6, devices_per_user: 2}
channels: {count: 10}
traffic: [{name: chat, rate: 0/s}]
gateways: {count: 6, work: {handshake: 0s, subscribe: 0s}, drain: {spread: 5s}}
balancer: {servers: 2, handshake: exponential(100ms), queue_timeout: 500ms, health: {interval: 1s, timeout: 300ms, fall: 2, rise: 3}}
apis: {token: {servers: 2, work: exponential(20ms), queue_timeout: 300ms}}
"""
PLANS = {
    "gateways one after the other": "[{kind: rolling_deploy, at: 10s, down: 15s, pause: 9s}]",
    "by twos, without a pause": "[{kind: rolling_deploy, at: 10s, batch: 2, down: 7s, pause: 0s}, {kind: rolling_deploy, at: 200s, batch: 4, down: 3s}]",
    "all at once, and none is left": "[{kind: rolling_deploy, at: 10s, batch: 6, down: 20s}, {kind: rolling_deploy, at: 100s, batch: 5, down: 20s}]",
    "two join, then one dies": "[{kind: scale_out, count: 2, at: 30s}, {at: 60s, down: 40s, target: {gateway: 0}}, {at: 61s, down: 1h, target: {gateway: 4}}]",
    "they join in turn, in the middle of a deploy": "[{kind: scale_out, count: 2, at: 50s}, {kind: scale_out, at: 80s}, {kind: rolling_deploy, at: 20s, "
    "down: 10s, pause: 11s}, {at: 160s, down: 50s, target: {gateway: 5}}]",
}
COMING = "[{name: office, share: 50%, stays: exponential(50s), away: exponential(20s)}, {name: mobile, share: 30%, stays: exponential(90s), ends: silent}]"


def columns(topology, monkeypatch):
    """What the fabric's frames say: rows of (client, what, time [ns])."""
    fabric = Fabric(topology, False)
    acted = []

    def noting(what, function, seat_first):
        def noted(*arguments):
            seat, at = arguments[:2] if seat_first else arguments[1::-1]
            acted.append((int(fabric.columns.crowd.client[seat]), what, at))
            return function(*arguments)

        return noted

    for name, what, seat_first in (("ended", "lost", True), ("go", "left", False)):  # Not every notice finds its connection still there.
        monkeypatch.setattr(kernels, name, noting(what, getattr(kernels, name), seat_first))
    heard, tokens, balancer, bootstrap = Heard(fabric.clients), Heard(fabric.tokens), Heard(fabric.balancer), Heard(fabric.bootstrap)
    drive(fabric)
    crowd, hop, end = fabric.columns.crowd, topology.network.hop, topology.run.duration
    fabric.opened = [(int(crowd.client[seat]), at, ticket % TURN // LIFE) for at, _, _, seat, ticket in heard.frames(OPENED).tolist()]
    rows = acted
    for watched, kind, what in (
        (heard, REFUSED, "refused"), (heard, OPENED, "opened"), (tokens, ASK, "asked"), (balancer, DIAL, "dialled"),
        (bootstrap, BOOT, "started"),
    ):  # fmt: skip
        for frame in watched.frames(kind).tolist():
            way = int(crowd.link[frame[3], DELAY]) + hop if what in ("asked", "dialled", "started") else 0
            rows.append((int(crowd.client[frame[3]]), what, frame[0] - way))
    return fabric, sorted((row for row in rows if row[2] < end), key=lambda row: (row[2], row[0], row[1]))


def test_compiled_columns_leave_the_same_facts():
    topology = topology_of(STORM, **CASES["a mixed fleet"])
    plain, compiled = run(topology), run(topology, by_numba=True)
    assert all((plain.facts[name] == compiled.facts[name]).all() for name in plain.facts)


@pytest.mark.parametrize("case", ["one storm", "a mixed fleet through two restarts", "clients that give up waiting, at an edge that never refuses"])
def test_shorter_windows_leave_the_same_facts(case):
    topology = topology_of(STORM, **CASES[case])
    whole, short = run(topology), run(topology_of(STORM, **CASES[case], run__window="300us"))
    assert all((whole.facts[name] == short.facts[name]).all() for name in whole.facts)


@pytest.mark.parametrize("case", CASES)
def test_every_client_does_what_its_process_does_to_the_nanosecond(case, monkeypatch):
    topology = topology_of(STORM, **CASES[case])
    fabric, seen = columns(topology, monkeypatch)
    crowd = fabric.columns.crowd
    delay = [0] * len(crowd.client)
    for seat, client in enumerate(crowd.client.tolist()):
        delay[client] = int(crowd.link[seat, DELAY])
    expected = Reconnecting(topology, delay).run()
    banners = {client for client, what, _ in expected if what == "offline"}
    gave_up = sum(what == "gave up" for _, what, _ in expected)
    expected = [row for row in expected if row[1] not in ("offline", "gave up")]
    latest = topology.run.duration - max(delay) - topology.network.hop  # What a client does later may not have reached the others.
    assert [row for row in seen if row[2] < latest] == [row for row in expected if row[2] < latest]
    assert len(expected) > 400, "void: too little happened"
    going, silent = (text in str(CASES[case].get("clients.churn")) for text in ("office", "mobile"))
    assert (fabric.clients.tally.counters[LEFT] > 50) == going and (fabric.clients.tally.counters[SILENCES] > 50) == silent
    assert fabric.clients.tally.counters[GIVEN_UP] == gave_up and (gave_up > 0) == (case == "a mixed fleet")
    if "two" not in case and "clients.churn" not in CASES[case]:
        assert fabric.clients.tally.counters[OFFLINES] == len(banners)


@pytest.mark.parametrize("policy", ["cookie", "source_ip", "consistent_hash", "rendezvous", "round_robin", "random"])
@pytest.mark.parametrize("plan", PLANS)
def test_through_deploys_every_client_dials_and_lands_where_plain_simpy_says(plan, policy, monkeypatch):
    """Each health check happens there, and each policy is its definition: who does what, to the nanosecond, and at which gateway it ends."""
    changes = {"faults": PLANS[plan], "balancer.policy": policy, "clients.churn": COMING if policy in ("cookie", "rendezvous") else "[]"}
    topology = topology_of(DEPLOYS, **changes)
    fabric, seen = columns(topology, monkeypatch)
    crowd, who = fabric.columns.crowd, fabric.columns.who
    reference = Reconnecting(topology, crowd.link[fabric.columns.seat_of, DELAY].tolist(), who.address.tolist())
    expected = [row for row in reference.run() if row[1] not in ("offline", "gave up")]
    latest = topology.run.duration - int(crowd.link[:, DELAY].max()) - topology.network.hop
    assert [row for row in seen if row[2] < latest] == [row for row in expected if row[2] < latest]
    assert sorted(row for row in fabric.opened if row[1] < latest) == sorted(row for row in reference.placed if row[1] < latest)
    assert len(reference.placed) > 20 and len({gateway for _, _, gateway in reference.placed}) > 1, "void"
