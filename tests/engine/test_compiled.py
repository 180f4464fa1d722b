"""Compiled kernels and the same source run as plain Python leave the same behind, to the last bit."""

import pytest

from tests.engine.small_topologies import BASE
from tests.helpers import differences, run, topology_of

FAULTS = "[{at: 300ms, down: 200ms, target: {gateway: 0}}, {at: 600ms, down: 100ms, target: {gateway: 1}}]"
USERS = {"traffic.news.kind": "users"}  # Without a bus, back ends have nowhere to publish.
LIMITS = {
    "limits.publish": "{per_user: {rate: 3/s, burst: 2, policy: leaky_bucket}, per_tenant: {rate: 15/s, burst: 4}}", "clients.tenants": "2",
    "clients.devices_per_user": "2", "traffic.chat.rate": "6/s",
}  # fmt: skip
CASES = {
    "targeted, with two deaths": {"faults": FAULTS, "bus.linger": "5ms", "clients.reconnect.first": "50ms"},
    "broadcast, with two deaths": {"faults": FAULTS, "fanout.pattern": "broadcast", "bus.fetch.min_bytes": "2KB", "clients.reconnect.first": "50ms"},
    "direct, with two deaths": {"faults": FAULTS, "fanout.pattern": "direct", "clients.reconnect.first": "50ms", **USERS},
    "clients that dial, and a policy that draws": {"clients.start": "300ms", "balancer.policy": "two_choices"},
    "slow consumers that overflow": {"clients.bandwidth": "100kbit/s", "gateways.buffer": "2KB"},
    "pauses, one queue, random work": {
        "gateways.pauses": "{every: exponential(50ms), length: exponential(5ms)}", "gateways.dispatch": "shared",
        "gateways.work.delivery": "exponential(500us)",
    },
    "limits": {"faults": FAULTS, **LIMITS},
    "limits of subscribes": {
        "faults": FAULTS, "clients.reconnect.first": "50ms", "limits.subscribe": "{per_user: {rate: 40/s, burst: 5}, per_tenant: {rate: 80/s, burst: 9}}",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_compiled_and_plain_kernels_leave_the_same_behind(case):
    topology = topology_of(BASE, **CASES[case])
    plain, compiled = run(topology), run(topology, by_numba=True)
    assert len(plain.trail) > 900, "void: too little happened"
    assert differences(plain, compiled) == []


@pytest.mark.parametrize("limits", [{}, LIMITS])
def test_two_workers_and_one_leave_the_same_behind(limits, monkeypatch):
    monkeypatch.setattr("simfabric.components.gateways.WORTH_A_THREAD", 1)
    topology = topology_of(BASE, clients__count=400, gateways__count=6, faults=FAULTS, **limits)
    one, two = run(topology, by_numba=True), run(topology.with_({"run.workers": 2}), by_numba=True)
    assert all(worker.tally.counters.any() for worker in two.fabric.gateways.workers), "void: one worker did all"
    assert differences(one, two) == []
