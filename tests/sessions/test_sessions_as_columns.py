"""A population does what its sessions would do: the same topology with its clients as columns and as sessions, event by event."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simfabric.kernels.clients import DIALS, GIVEN_UP, OFFLINES, REFUSALS
from simfabric.kernels.state import DUPLICATE, FILLS, GAPPED, HELD, OVERFLOWN, REPLAYED_COUNT
from tests.helpers import topology_of
from tests.sessions.comparing import differing, ran, shown

CHAT = """
run: {duration: 120s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: "uniform(3ms, 40ms)", bandwidth: 10Mbit/s}
channels: {count: 12}
traffic: [{name: chat, rate: 20/min}]
gateways: {count: 3, work: {handshake: 2ms, subscribe: 1ms}}
balancer: {servers: 1, handshake: exponential(100ms), queue_timeout: 500ms, health: {interval: 1s}}
apis: {token: {servers: 2, work: exponential(20ms), queue_timeout: 300ms}}
faults: [{at: 10s, down: 5s, target: {gateway: all}}, {at: 70s, kind: restart_node, down: 3s, target: {gateway: 1}}]
"""
CASES = {
    "a storm, and a planned restart": {},
    "everybody dials at the start": {"clients.start": "20s"},
    "refusals with advice": {"balancer.retry_after": "2s", "balancer.retry_spread": "20s", "balancer.handshake": "exponential(400ms)"},
    "an early banner": {"clients.reconnect.attempt_limit": "2", "balancer.handshake": "exponential(900ms)", "clients.reconnect.offline_retry": "20s"},
    "a token API that refuses": {"apis.token.work": "exponential(200ms)"},
    "no tokens": {"apis.token.ttl": "0s"},
    "slow links that overflow": {"clients.bandwidth": "40kbit/s", "gateways.buffer": "6KB", "traffic[0].size": "2KB", "traffic[0].rate": "10/min"},
    "gaps asked for at once": {
        "clients.bandwidth": "40kbit/s", "gateways.buffer": "6KB", "traffic[0].size": "2KB", "traffic[0].rate": "10/min", "clients.gap_wait": "0s",
    },
    "broadcast": {"fanout.pattern": "broadcast"},
    "direct": {"fanout.pattern": "direct"},
    "crashes noticed late": {"clients.notice": "4s"},
    "no subscriptions": {"clients.subscriptions": "0"},
    "the jitter before the cap": {"clients.reconnect.jitter_order": "jitter_first", "clients.reconnect.cap": "2s", "balancer.handshake": "exponential(600ms)"},
    "a mixed fleet": {
        "clients.fleet": "[{profile: phoenix, share: 20%}, {profile: signalr, share: 20%}, {profile: ably-js, share: 20%}, {profile: socket.io, share: 20%}]",
        "balancer.handshake": "exponential(500ms)",
    },
    "another mixed fleet": {
        "clients.fleet": "[{profile: centrifuge-js, share: 30%}, {profile: mattermost, share: 30%}, {profile: nats.py, share: 30%}]",
        "balancer.handshake": "exponential(500ms)",
    },
    "clients that give up waiting": {"clients.connect_timeout": "2s", "balancer.queue_timeout": "1h", "balancer.handshake": "exponential(500ms)"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_sessions_leave_the_same_facts_as_columns(case):
    topology = topology_of(CHAT, **CASES[case])
    columns, facts = ran(topology)
    sessions, same = ran(topology_of(CHAT, **CASES[case], clients__sessions="all"))
    assert differing(facts, same) == []
    counters, clients = facts["counters"], facts["clients counters"]
    assert clients[DIALS] >= 60 and (counters[REPLAYED_COUNT] > 100 or case in ("no subscriptions", "everybody dials at the start", "clients that give up waiting")), "void"
    if "overflow" in case or "gaps" in case:
        assert min(counters[[OVERFLOWN, GAPPED, FILLS, HELD]]) > 50, "void"
    if case in ("refusals with advice", "an early banner", "a token API that refuses"):
        assert clients[REFUSALS] > 20, "void"
    assert (clients[OFFLINES] > 0) == (case in BANNERS) and (clients[GIVEN_UP] > 0) == (case == "a mixed fleet")
    assert_shown(facts["trail"], shown(sessions), topology.run.duration)


BANNERS = ("an early banner", "the jitter before the cap")


def assert_shown(trail, shown_rows, end):
    """The users saw what arrived, once each, with the next batch; what arrived as the run ended may wait for its batch still."""
    flush = 50_000_000
    trail = trail[np.lexsort((trail[:, 1], trail[:, 0]))]
    arrived = {(message, client): at for message, client, at in trail.tolist()}
    seen = {(message, client): at for message, client, at in shown_rows.tolist()}
    assert len(seen) == len(shown_rows) and seen.keys() <= arrived.keys()
    assert all(0 < at - arrived[which] <= flush for which, at in seen.items())
    assert all(at + flush >= end for which, at in arrived.items() if which not in seen)
