"""A population does what its sessions would do: the same topology with its clients as columns and as sessions, event by event."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simfabric.kernels.clients import DIALS, GIVEN_UP, OFFLINES, REFUSALS
from simfabric.kernels.looking import SHOWN, SHOWN_FULL
from simfabric.kernels.state import (
    CLOSED_SLOW,
    FILLS,
    GAPPED,
    HELD,
    LANE,
    OVERFLOWN,
    REPLAYED_COUNT,
    TRANSIENT,
    TRANSIENT_DROPPED,
    TRANSIENT_LIVE,
    TURNED_AWAY_BUSY,
)
from tests.helpers import topology_of
from tests.sessions.comparing import differing, ran, shown

CHAT = """
run: {duration: 80s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: "uniform(3ms, 40ms)", bandwidth: 10Mbit/s}
channels: {count: 12}
traffic: [{name: chat, rate: 8/min}]
gateways: {count: 3, work: {handshake: 2ms, subscribe: 1ms}}
balancer: {servers: 1, handshake: exponential(100ms), queue_timeout: 500ms, health: {interval: 1s}}
apis: {token: {servers: 2, work: exponential(20ms), queue_timeout: 300ms}}
faults: [{at: 10s, down: 5s, target: {gateway: all}}, {at: 50s, kind: restart_node, down: 3s, target: {gateway: 1}}]
"""
SLOW_LINKS = {"clients.bandwidth": "40kbit/s", "gateways.buffer": "6KB", "gateways.transients_upto": "20%"}
CASES = {
    "a storm, and a planned restart": {},
    "a deploy, and a gateway that joins": {
        "faults": "[{kind: scale_out, at: 8s}, {kind: rolling_deploy, at: 20s, down: 4s, pause: 6s}, {at: 60s, down: 9s, target: {gateway: 2}}]",
        "gateways.drain": "{spread: 5s}", "balancer.policy": "cookie",
    },
    "everybody dials at the start": {"clients.start": "20s"},
    "refusals with advice": {"balancer.retry_after": "2s", "balancer.retry_spread": "20s", "balancer.handshake": "exponential(400ms)"},
    "an early banner": {"clients.reconnect.attempt_limit": "2", "balancer.handshake": "exponential(900ms)", "clients.reconnect.offline_retry": "20s"},
    "a token API that refuses": {"apis.token.work": "exponential(200ms)"},
    "no tokens": {"apis.token.ttl": "0s"},
    "slow links that overflow": {"clients.bandwidth": "40kbit/s", "gateways.buffer": "6KB", "traffic[0].size": "2KB", "traffic[0].rate": "10/min"},
    "gaps asked for at once": {
        "clients.bandwidth": "40kbit/s", "gateways.buffer": "6KB", "traffic[0].size": "2KB", "traffic[0].rate": "10/min", "clients.gap_wait": "0s",
    },
    "typing beside messages": {"traffic": "[{name: chat, rate: 8/min}, {name: typing, rate: 8/min, lane: transient, size: 2KB}]", **SLOW_LINKS},
    "typing straight to the routers": {
        "traffic": "[{name: chat, rate: 8/min}, {name: typing, rate: 6/min, lane: transient}]", "fanout.pattern": "direct",
    },
    "slow consumers that are cut off": {
        "clients.links": "[{name: cell, share: 40%, bandwidth: 8kbit/s}]", "gateways.buffer": "6KB", "gateways.overflow": "disconnect",
        "gateways.overflow_grace": "1s", "traffic[0].size": "2KB", "traffic[0].rate": "10/min",
    },
    "broadcast": {"fanout.pattern": "broadcast"},
    "direct": {"fanout.pattern": "direct", "traffic[0].rate": "20/min"},  # Often enough that messages of a channel change places.
    "holes behind gaps": {
        "fanout.pattern": "direct", "fanout.work": "exponential(20ms)", "clients.gap_wait": "40ms", "clients.count": "30", "channels.count": "3",
        "traffic[0].rate": "120/min", "run.duration": "20s", "faults": "[{at: 8s, down: 2s, target: {gateway: all}}]",
    },
    "crashes noticed late": {"clients.notice": "4s"},
    "no subscriptions": {"clients.subscriptions": "0"},
    "the jitter before the cap": {
        "traffic[0].rate": "14/min",
        "clients.reconnect.jitter_order": "jitter_first", "clients.reconnect.cap": "2s", "balancer.handshake": "exponential(600ms)",
    },
    "a mixed fleet": {
        "clients.fleet": "[{profile: phoenix, share: 20%}, {profile: signalr, share: 20%}, {profile: ably-js, share: 20%}, {profile: socket.io, share: 20%}]",
        "balancer.handshake": "exponential(500ms)",
    },
    "another mixed fleet": {
        "clients.fleet": "[{profile: centrifuge-js, share: 30%}, {profile: mattermost, share: 30%}, {profile: nats.py, share: 30%}]",
        "balancer.handshake": "exponential(500ms)",
    },
    "services that fail now and then": {
        "apis": "{bootstrap: {errors: 20%}, token: {errors: 20%}, snapshot: {errors: 30%}}", "clients.start": "20s", "clients.replay_max": "3",
    },
    "services that refuse with advice": {
        "apis": "{bootstrap: {servers: 1, work: exponential(300ms), queue_timeout: 300ms}, token: {servers: 2, work: exponential(150ms), "
        "queue_timeout: 300ms}, snapshot: {servers: 1, work: exponential(200ms), queue_timeout: 200ms}}",
        "balancer.retry_after": "2s", "balancer.retry_spread": "10s", "clients.start": "8s", "clients.replay_max": "3",
        "faults[0].at": "40s",
    },
    "more missed than a replay brings": {"clients.replay_max": "5"},
    "a log that forgets": {"bus.retention": "4s", "traffic[0].rate": "20/min", "faults[0].down": "12s"},
    "users who come and go": {"clients.churn": "[{name: office, share: 80%, stays: exponential(20s), ends: close, away: exponential(8s)}]"},
    "links that fall silent": {"clients.churn": "[{name: mobile, share: 80%, stays: exponential(40s), ends: silent}]", "run.duration": "140s"},
    "presence that comes and goes": {
        "clients.churn": "[{name: a, share: 40%, stays: exponential(15s), ends: silent}, {name: b, share: 50%, stays: 8s, ends: close, away: 3s}]",
        "presence": "{enabled: true, debounce: 2s, looking: 60%, lease: 12s}", "clients.heartbeat_interval": "6s",
    },
    "presence on slow links": {"presence": "{enabled: true, debounce: 0s, looking: 100%, size: 1KB}", **SLOW_LINKS},
    "both, and heartbeats that are short": {
        "clients.churn": "[{name: a, share: 40%, stays: exponential(15s), ends: silent}, {name: b, share: 50%, stays: 8s, ends: close, away: 3s}]",
        "clients.heartbeat_interval": "4s", "clients.heartbeat_timeout": "2s", "clients.gap_wait": "50ms",
    },
    "busy gateways": {"gateways.work.handshake": "400ms", "gateways.accept_timeout": "100ms", "gateways.count": "2", "balancer.handshake": "1ms"},
    "busy gateways that advise": {
        "gateways.work.handshake": "400ms", "gateways.accept_timeout": "100ms", "gateways.count": "2", "balancer.handshake": "1ms",
        "balancer.retry_after": "1s", "balancer.retry_spread": "4s",
    },
    "replies that come too late": {
        "gateways.work.subscribe": "120ms", "clients.connect_timeout": "1500ms", "gateways.count": "2", "balancer.handshake": "1ms", "clients.notice": "3s",
    },
    "clients that give up waiting": {"clients.connect_timeout": "2s", "balancer.queue_timeout": "1h", "balancer.handshake": "exponential(500ms)"},
    "more published than a user may": {"limits.publish": "{per_user: {rate: 6/min, burst: 2}}", "traffic[0].rate": "12/min", "clients.devices_per_user": "2"},
    "queues for what is published": {
        "limits.publish": "{per_user: {rate: 6/min, burst: 2, policy: leaky_bucket}, per_tenant: {rate: 3/s}}", "traffic[0].rate": "12/min",
    },
    "more subscribes than a tenant may": {"limits.subscribe": "{per_tenant: {rate: 2/s, burst: 4}}"},
    "more subscribes than users and tenants may": {
        "limits.subscribe": "{per_user: {rate: 12/min, burst: 3}, per_tenant: {rate: 3/s, burst: 5}}", "clients.devices_per_user": "3", "clients.start": "20s",
    },
    "subscribes that queue": {"limits.subscribe": "{per_tenant: {rate: 20/s, burst: 60, policy: leaky_bucket}}"},
}  # fmt: skip


# The others with `pytest -m slow tests/sessions`: each is a variation of one that always runs, or of what the drawn topologies below cover.
LONGER = (
    "typing straight to the routers", "direct", "a log that forgets", "busy gateways", "no tokens", "another mixed fleet", "refusals with advice",
    "both, and heartbeats that are short", "gaps asked for at once", "presence on slow links", "queues for what is published", "an early banner",
    "crashes noticed late", "more subscribes than a tenant may", "a deploy, and a gateway that joins", "everybody dials at the start",
)  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] if case in LONGER else []) for case in CASES])
def test_sessions_leave_the_same_facts_as_columns(case):
    topology = topology_of(CHAT, **CASES[case])
    _, facts = ran(topology)
    sessions, same = ran(topology_of(CHAT, **CASES[case], clients__sessions="all"))
    assert differing(facts, same) == []
    counters, clients = facts["counters"], facts["clients counters"]
    assert clients[DIALS] >= topology.clients.count and (counters[REPLAYED_COUNT] > 100 or case in FEW), "void"
    if "overflow" in case or case == "gaps asked for at once":
        assert min(counters[[OVERFLOWN, GAPPED, FILLS, HELD]]) > 50, "void"
    if "typing" in case:
        assert counters[TRANSIENT_LIVE] > 1000 and (counters[TRANSIENT_DROPPED] > 50 or "routers" in case), "void"
    if case == "slow consumers that are cut off":
        assert counters[CLOSED_SLOW] > 10, "void"
    if "presence" in case:
        assert counters[SHOWN] > 200 and (counters[SHOWN_FULL] > 20 or "slow" not in case), "void"
    if case == "holes behind gaps":
        assert counters[FILLS] > 500 and counters[GAPPED] > 2 * counters[FILLS], "void"  # Many close by themselves, and many do not.
    if case in ("refusals with advice", "an early banner", "a token API that refuses"):
        assert clients[REFUSALS] > 20, "void"
    assert (counters[TURNED_AWAY_BUSY] > 20) == ("busy gateways" in case), "void"
    assert (clients[OFFLINES] > 0) == (case in BANNERS) and (clients[GIVEN_UP] > 0) == (case == "a mixed fleet")
    assert_shown(*durable(facts, shown(sessions)), topology.run.duration)


FEW = ("no subscriptions", "everybody dials at the start", "clients that give up waiting")
BANNERS = ("an early banner", "the jitter before the cap")


CHURNS = (
    "[{name: a, share: 70%, stays: exponential(12s), ends: silent}]",
    "[{name: a, share: 50%, stays: exponential(8s), ends: close, away: exponential(4s)}, {name: b, share: 40%, stays: 9s, ends: silent}]",
)


TYPING = "{name: typing, rate: 20/min, lane: transient, size: 100B}"
CONTROL = "{name: notices, rate: 6/min, lane: control}"
LEAKY = "{per_user: {rate: 1/s, burst: 5}, per_tenant: {rate: 100/s, burst: 30, policy: leaky_bucket}}"


@st.composite
def drawn(draw):
    """A small topology, as changes of CHAT: any pattern, delays, links, queues and waits, one to three faults, and gateways that join."""

    def one_of(*values):
        return draw(st.sampled_from(values))

    gateways = draw(st.integers(1, 4))

    def fault():
        when = f"at: {draw(st.integers(1, 38))}s, down: {one_of('1ms', '900ms', '4s')}"
        kind = one_of("kill_node", "restart_node", "kill_node", "restart_node", "rolling_deploy")
        if kind == "rolling_deploy":
            return f"{{kind: rolling_deploy, {when}, pause: {one_of('0s', '2s')}, batch: {draw(st.integers(1, 2))}, count: {draw(st.integers(0, gateways))}}}"
        return f"{{kind: {kind}, {when}, target: {{gateway: {one_of('all', 'one', '0')}}}}}"

    faults = [fault() for _ in range(draw(st.integers(1, 3)))]
    if gateways > 1 and draw(st.booleans()):
        faults.append(f"{{kind: scale_out, at: {draw(st.integers(0, 38))}s, count: {draw(st.integers(1, gateways - 1))}}}")
    chat = f"{{name: chat, rate: {one_of('6/min', '30/min', '150/min')}, size: {one_of('200B', '3KB')}}}"  # Often, so that messages change places.
    patience = one_of("700ms", "10s")
    return {
        "run.duration": "45s",
        "run.seed": draw(st.integers(0, 1000)),
        "clients.count": draw(st.integers(1, 40)),
        "clients.subscriptions": draw(st.integers(1, 5)),
        "clients.delay": one_of("1ms", "uniform(1ms, 30ms)", "exponential(20ms)"),
        "clients.bandwidth": one_of("unlimited", "2Mbit/s", "100kbit/s"),
        "clients.gap_wait": one_of("0s", "50ms", "300ms"),
        "clients.notice": one_of("0s", "0s", "1500ms"),
        "clients.start": one_of("connected", "connected", "10s"),
        "clients.reconnect.attempt_limit": one_of("1", "8"),
        "clients.reconnect.stable_after": one_of("0s", "5s", "30s"),
        "clients.fleet": one_of("[]", "[{profile: ably-js, share: 40%}, {profile: phoenix, share: 40%}]"),
        "gateways.count": gateways,
        "balancer.policy": one_of("least_connections", "cookie", "rendezvous"),
        "gateways.buffer": one_of("1MB", "4KB"),
        "gateways.work.subscribe": one_of("1ms", "20us"),
        "gateways.work.handshake": one_of("100us", "100ms") if patience == "10s" else "100us",  # Columns leave it out of that time-out.
        "balancer.handshake": one_of("1ms", "exponential(150ms)"),
        "balancer.queue_timeout": one_of("200ms", "10s"),
        "balancer.retry_after": one_of("1s", "5s"),
        "balancer.retry_spread": one_of("0s", "3s"),
        "apis.token.ttl": one_of("0s", "20s", "10min"),
        "fanout.pattern": one_of("targeted", "broadcast", "direct"),
        "fanout.work": one_of("10us", "exponential(2ms)"),  # Of `direct`: what is slow lets messages of a channel change places.
        "storage.shards": one_of("1", "4"),
        "traffic": f"[{', '.join([chat, *one_of([], [TYPING], [CONTROL, TYPING])])}]",
        "lanes.policy": one_of("fifo", "fifo", "strict", "weighted"),
        "lanes.patience": one_of("5ms", "1h"),
        "clients.links": one_of("[]", "[{name: cell, share: 50%, bandwidth: 20kbit/s}]"),
        "gateways.overflow": one_of("resync", "disconnect"),
        "gateways.overflow_grace": one_of("300ms", "1s"),
        "clients.replay_max": one_of("0", "4", "2000"),
        "clients.churn": one_of("[]", "[]", *CHURNS),
        "clients.devices_per_user": one_of("1", "2"),
        "limits.publish": one_of("{}", "{per_user: {rate: 10/min, burst: 2}}", "{per_user: {rate: 10/min, burst: 3, policy: leaky_bucket}}"),
        "limits.subscribe": one_of("{}", "{per_user: {rate: 30/min, burst: 6}}", "{per_tenant: {rate: 4/s, burst: 6}}", LEAKY),
        "clients.heartbeat_interval": one_of("3s", "25s"),
        "clients.connect_timeout": patience,
        "gateways.accept_timeout": one_of("20ms", "10s"),
        "apis.bootstrap.errors": one_of("0%", "20%"),
        "apis.snapshot.errors": one_of("0%", "50%"),
        "apis.snapshot.work": one_of("2ms", "exponential(300ms)"),
        "faults": f"[{', '.join(faults)}]",
    }


@settings(max_examples=14, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn(), st.sampled_from(["all", "3"]))
def test_on_any_small_topology_sessions_do_what_columns_do(changes, which):
    topology = topology_of(CHAT, **changes)
    _, facts = ran(topology)
    sessions, same = ran(topology_of(CHAT, **changes, clients__sessions=which))
    assert differing(facts, same) == []
    if which == "all":
        assert_shown(*durable(facts, shown(sessions)), topology.run.duration)


def test_sessions_beside_compiled_columns_change_nothing():
    _, facts = ran(topology_of(CHAT), by_numba=True)
    _, same = ran(topology_of(CHAT, clients__sessions="7"), by_numba=True)
    assert differing(facts, same) == []


def test_what_sessions_do_does_not_depend_on_the_window():
    whole, facts = ran(topology_of(CHAT, clients__sessions="all", run__duration="72s"))
    short, same = ran(topology_of(CHAT, clients__sessions="all", run__window="400us", run__duration="72s"))
    assert differing(facts, same) == [] and np.array_equal(shown(whole), shown(short))


def durable(facts, shown_rows):
    """Deliveries and what was shown, of messages that nobody may lack: of what is transient, a user sees the newest."""
    owed = facts["messages"][:, LANE] != TRANSIENT
    return facts["trail"][owed[facts["trail"][:, 0]]], shown_rows[owed[shown_rows[:, 0]]]


def assert_shown(trail, shown_rows, end):
    """The users saw what arrived, once each, with the next batch; what arrived as the run ended may wait for its batch still."""
    flush = 50_000_000
    trail = trail[np.lexsort((trail[:, 1], trail[:, 0]))]
    arrived = {(message, client): at for message, client, at in trail.tolist()}
    seen = {(message, client): at for message, client, at in shown_rows.tolist()}
    assert len(seen) == len(shown_rows) and seen.keys() <= arrived.keys()
    assert all(0 < at - arrived[which] <= flush for which, at in seen.items())
    assert all(at + flush >= end for which, at in arrived.items() if which not in seen)
