"""A swarm: small fabrics drawn at random, each with policies, traffic and faults that it must survive, in search of a broken law.

    seed ─▶ keys drawn from CHOICES ─▶ topology ─▶ run ─▶ laws, the same in half windows, complete at the end ─▶ shrunk to what it takes

A seed is a topology: the same seed draws the same one, in any process (swarm testing: Groce et al. 2012; each draw leaves most features out, so that
they do not hide each other). Traffic falls silent and faults end well before the run does; by then whoever is connected must have every message,
unless something was dropped for him that only a later message would show.

A law that no run has exercised is told as such: it says nothing about the fabric.

Leaves out: the laws without a subject in this fabric (see `laws/records/table.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from simfabric.chance import below, decision_key
from simfabric.errors import TopologyError
from simfabric.laws import Verdict, judge_history
from simfabric.laws.records import LAWS
from simfabric.planning.many import Interrupted, run_many
from simfabric.planning.swarm_faults import drawn_faults
from simfabric.running import Result, run
from simfabric.topology import Topology, loads

BASE = """version: 1
run: {duration: 40s, warmup: 0s, compiled: never, window: exact, messages: 1000}
clients: {count: 12, subscriptions: 3, delay: "uniform(1ms, 20ms)", notice: 500ms, reconnect: {first: 200ms, cap: 2s}}
channels: {count: 6}
gateways: {count: 3}
bus: {partitions: 4, brokers: 1, replication: 1, commit_every: 1s, session_timeout: 3s}
fanout: {routers: 2}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 12/s, until: 24s}]
"""
TYPING = "{name: typing, per: all, rate: 4/s, lane: transient, size: 100B, until: 24s}"
LOUD = "{name: chat, per: all, rate: 60/s, size: 2KB, until: 24s}"
CHOICES: dict[str, tuple[str, ...]] = {
    "clients.count": ("1", "5", "30"),
    "clients.subscriptions": ("0", "1", "6"),
    "clients.delay": ("1ms", "exponential(30ms)"),
    "clients.gap_wait": ("0s", "50ms"),
    "clients.start": ("5s",),
    "clients.devices_per_user": ("2",),
    "clients.replay_max": ("0", "4"),
    "clients.heartbeat_interval": ("3s",),
    "clients.links": ("[{name: cell, share: 50%, bandwidth: 60kbit/s}]",),
    "clients.churn": (
        "[{name: phone, share: 60%, stays: exponential(8s), ends: silent}]",
        "[{name: desk, share: 50%, stays: exponential(6s), ends: close, away: exponential(3s)}]",
    ),
    "clients.fleet": ("[{profile: ably-js, share: 50%}]",),
    "channels.given": ("[{name: hall, members: 100%}]",),
    "channels.popularity": ("uniform",),
    "gateways.count": ("1", "5"),
    "gateways.buffer": ("4KB",),
    "gateways.overflow": ("disconnect",),
    "gateways.overflow_grace": ("300ms",),
    "gateways.work.delivery": ("exponential(2ms)",),
    "gateways.work.frame_in": ("exponential(5ms)",),
    "gateways.pauses": ("{every: exponential(3s), length: exponential(100ms)}",),
    "balancer.policy": ("least_connections", "cookie", "rendezvous", "bounded_hash", "random", "round_robin"),
    "balancer.handshake": ("exponential(80ms)",),
    "storage.enabled": ("false",),
    "storage.work": ("exponential(20ms)",),
    "bus.linger": ("50ms",),
    "bus.brokers": ("2",),
    "bus.replication": ("2",),
    "bus.min_in_sync": ("2",),
    "bus.assignor": ("round_robin",),
    "bus.retention": ("5s",),
    "fanout.pattern": ("broadcast", "direct"),
    "fanout.routers": ("1", "4"),
    "fanout.work": ("exponential(10ms)",),
    "routing.ttl": ("10s",),
    "lanes.policy": ("strict", "weighted"),
    "lanes.patience": ("5ms",),
    "hot.members": ("5",),
    "hot.policy": ("batch", "cap", "coalesce"),
    "hot.partitions": ("1",),
    "hot.shards": ("2",),
    "hot.gateways": ("1",),
    "backpressure.policy": ("shed", "pull", "credits"),
    "backpressure.queue": ("20ms",),
    "limits.publish": ("{per_user: {rate: 20/min, burst: 2}}", "{per_user: {rate: 20/min, burst: 3, policy: leaky_bucket}}"),
    "limits.subscribe": ("{per_tenant: {rate: 4/s, burst: 6}}",),
    "presence.enabled": ("true",),
    "presence.debounce": ("0s", "1s"),
    "apis.bootstrap.errors": ("20%",),
    "apis.snapshot.errors": ("30%",),
    "apis.token.ttl": ("10s",),
    "traffic": (f"[{LOUD}]", f"[{{name: chat, per: all, rate: 12/s, until: 24s}}, {TYPING}]", f"[{LOUD}, {TYPING}]"),
    "backpressure.window": ("4", "16"),
    "gateways.zones": ("2",),
}
LEAVES_OUT = 70  # Percent of the keys that a draw leaves at their default.
AGAIN = "the same in half windows"
COMPLETE = "complete at the end"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one seed: the verdicts, by law."""

    seed: int
    changes: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    digest: str

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The laws that do not hold."""
        return tuple(verdict for verdict in self.verdicts if verdict.verdict == "invalid")


def drawn(seed: int) -> dict[str, str]:
    """The changes of BASE that a seed stands for; a draw that no topology allows is drawn again."""
    for attempt in range(1000):
        changes = _draw(seed, attempt)
        try:
            topology_of(changes)
        except TopologyError:
            continue
        return changes
    raise AssertionError(f"no topology in a thousand draws of seed {seed}")


def _draw(seed: int, attempt: int) -> dict[str, str]:
    keys = tuple(CHOICES)
    n = np.arange(len(keys), dtype=np.int64) + attempt * len(keys)
    skipped = below(decision_key(seed, 0, "swarm/skipped"), 0, n, 100).tolist()
    changes = {"run.seed": str(seed)}
    for place, key in enumerate(keys):
        if skipped[place] >= LEAVES_OUT:
            options = CHOICES[key]
            changes[key] = options[int(below(decision_key(seed, 0, "swarm/choice"), 0, int(n[place]), len(options)))]
    faults = drawn_faults(seed, attempt)
    return {**changes, "faults": f"[{', '.join(faults)}]"} if faults else changes


def topology_of(changes: Mapping[str, str]) -> Topology:
    """BASE with these changes; raises TopologyError."""
    return loads(BASE, sets=[f"{key}={value}" for key, value in changes.items()])


def judged(result: Result) -> tuple[tuple[Verdict, ...], str]:
    """The verdicts of a run, with those that belong to the swarm, and its digest."""
    topology = result.topology
    again = run(topology.with_({"run.window": f"{max(1, result.window // 2)}ns"}), laws=True)  # Watched, which must not change anything either.
    same = Verdict(AGAIN, "valid", 1)
    if again.digest != result.digest:
        same = Verdict(AGAIN, "invalid", 1, f"digest {result.digest} at {result.window} ns, {again.digest} at half of it", topology.run.duration)
    assert again.history is not None
    told = tuple(verdict for verdict, law in zip(judge_history(again.history, topology), LAWS) if law.check is not None)
    return (*result.laws, *told, same, complete(result)), result.digest


def complete(result: Result) -> Verdict:
    """Whether connected clients have every message of the log, long after the last one. What was dropped at the end, only a later message would show."""
    end = result.end
    hidden = sum(end.tried[name] for name in ("overflown", "gap", "cut_off", "half_open")) + result.backpressure["shed"] + result.unrouted + end.half_open
    hidden += sum(queue.waiting for queue in end.queues if queue.name == "routers")  # What a cap has deferred until after the end.
    hidden += sum(end.aside.values())
    lacks = end.logged - end.cursors - end.away_lacks
    if not end.logged or (lacks and hidden):
        return Verdict(COMPLETE, "unknown", 0)
    if lacks:
        return Verdict(COMPLETE, "invalid", end.logged, f"connected clients lack {lacks} of {end.logged} messages that are theirs", end.at)
    return Verdict(COMPLETE, "valid", end.logged)


def tried(changes: Mapping[str, str], seed: int = 0) -> Finding:
    """Run one topology and judge it."""
    verdicts, digest = judged(run(topology_of(changes)))
    return Finding(seed, tuple(changes.items()), verdicts, digest)


def shrunk(finding: Finding) -> Finding:
    """The fewest changes, and the fewest faults, one after the other left out, with which the same law is still broken."""
    law = finding.broken[0].law
    smallest = finding
    for key in [key for key, _ in finding.changes if key != "run.seed"]:
        smallest = _without(smallest, key, None, law)
    faults = dict(smallest.changes).get("faults", "[]")[1:-1]
    for fault in filter(None, faults.replace("}, {kind", "}\n{kind").split("\n")):
        if fault in dict(smallest.changes).get("faults", ""):
            smallest = _without(smallest, "faults", fault, law)
    return smallest


def _without(finding: Finding, key: str, fault: str | None, law: str) -> Finding:
    """The same without a key, or without one of its faults, if that still breaks the law; else as it was."""
    fewer = dict(finding.changes)
    kept = fewer.pop(key)
    if fault is not None:
        left = kept[1:-1].replace(fault, "").replace(", , ", ", ").strip(", ")
        fewer |= {key: f"[{left}]"} if left else {}
    try:
        found = tried(fewer, finding.seed)
    except TopologyError:
        return finding
    return found if law in [verdict.law for verdict in found.broken] else finding


@dataclass(frozen=True)
class Swarm:
    """What a swarm found. `asked` seeds from `first` on, and those of which there is a finding."""

    first: int
    asked: int
    findings: tuple[Finding, ...]
    cpu_s: float  # Of this process and its workers.

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings with a broken law."""
        return tuple(finding for finding in self.findings if finding.broken)

    @property
    def next(self) -> int:
        """The first seed that has not been judged: where to go on."""
        done = {finding.seed for finding in self.findings}
        return min(seed for seed in range(self.first, self.first + self.asked + 1) if seed not in done)

    def laws(self) -> dict[str, tuple[int, int, int]]:
        """By law: in how many runs it held, was broken, and was not exercised."""
        counted: dict[str, list[int]] = {}
        for finding in self.findings:
            for verdict in finding.verdicts:
                counted.setdefault(verdict.law, [0, 0, 0])[("valid", "invalid", "unknown").index(verdict.verdict)] += 1
        return {law: (held, broken, unknown) for law, (held, broken, unknown) in counted.items()}


def fuzz(
    seeds: int, first: int = 0, *, processes: int | None = None, executor: Executor | None = None, tell: Callable[[int, int], None] | None = None
) -> Swarm:
    """Judge the topologies of seeds first .. first + seeds - 1. Ctrl-C ends it early with what was found."""
    began = _cpu_s()
    changes = [drawn(seed) for seed in range(first, first + seeds)]
    try:
        judgements = run_many([topology_of(change) for change in changes], judged, executor=executor, processes=processes, tell=tell)
        found = dict(enumerate(judgements))
    except Interrupted as interrupted:
        found = interrupted.done
    findings = tuple(Finding(first + place, tuple(changes[place].items()), *of_it) for place, of_it in sorted(found.items()))
    return Swarm(first, seeds, findings, _cpu_s() - began)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
