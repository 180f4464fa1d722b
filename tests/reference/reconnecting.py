"""Clients that lose their gateway and come back, in plain SimPy, one process each: the independent oracle of the columns' lifecycle.

It states the course of a connection as protocol.md tells it, not as the table does; draws have the engine's addresses. Token API and edge
are queues that refuse who would wait too long. Leaves out: the gateway's own work, and everything that is said over a connection.
"""

from dataclasses import dataclass, field
from typing import Any

import simpy

from simfabric.chance import Law, decision_key, draw, tabulated, uniform, word
from simfabric.protocol.profiles import PROFILES
from simfabric.topology import Topology

SECOND = 1_000_000_000


OK, BUSY, BROKEN = "ok", "busy", "broken"  # What a service answers.


class Queue:
    """Servers behind one queue; who would wait longer than `patience` is sent away when that time is over, and a share is served in vain."""

    def __init__(self, env: simpy.Environment, servers: int, patience: int, law: Law, key: int, errors: float = 0.0, unlucky: int = 0) -> None:
        self.env, self.patience, self.table, self.key, self.errors, self.unlucky = env, patience, tabulated(law), key, errors, unlucky
        self.free_at = [0] * servers

    def ask(self, client: int) -> Any:
        now = int(self.env.now)
        server = min(range(len(self.free_at)), key=lambda s: self.free_at[s])
        waits = max(0, self.free_at[server] - now)
        if waits > self.patience:
            yield self.env.timeout(self.patience)
            return BUSY
        work = draw(self.table, word(self.key, client, now))
        self.free_at[server] = now + waits + work
        yield self.env.timeout(waits + work)
        return BROKEN if uniform(self.unlucky, client, now) < self.errors else OK


@dataclass
class Reconnecting:
    """`run()` it, and read what happened: (client, what, time [ns])."""

    topology: Topology
    delay: list[int]  # One-way delay of each client [ns].
    happened: list[tuple[int, str, int]] = field(default_factory=list)

    def run(self) -> list[tuple[int, str, int]]:
        topology = self.topology
        self.env = env = simpy.Environment()
        balancer = topology.balancer
        self.bootstrap, self.tokens = (self.api(name) for name in ("bootstrap", "token"))
        self.edge = Queue(env, balancer.servers, balancer.queue_timeout, balancer.handshake, self.key("balancer"))
        self.losses = [(fault.at, fault.kind == "restart_node") for fault in topology.faults]
        for client in range(topology.clients.count):
            env.process(self.client(client))
        env.run(until=topology.run.duration)
        return sorted(self.happened, key=lambda row: (row[2], row[0], row[1]))

    def key(self, decision: str) -> int:
        return decision_key(self.topology.run.seed, self.topology.run.replication, decision)

    def api(self, name: str) -> Queue:
        config = getattr(self.topology.apis, name)
        return Queue(self.env, config.servers, config.queue_timeout, config.work, self.key(f"apis/{name}"), config.errors, self.key(f"apis/{name}/errors"))

    def note(self, client: int, what: str) -> None:
        self.happened.append((client, what, int(self.env.now)))

    def call(self, queue: Queue, client: int, way: int, refused_way: int) -> Any:
        yield self.env.timeout(way)
        answer = yield from queue.ask(client)
        yield self.env.timeout(way if answer == OK else refused_way)  # A gateway is a hop further than the edge.
        return answer

    def in_time(self, call: Any) -> Any:
        """The answer of a call, or None if there was none in time; the call then goes on all the same."""
        running = self.env.process(call)
        yield running | self.env.timeout(self.topology.clients.connect_timeout)
        return running.value if running.processed else None

    def client(self, client: int) -> Any:
        config, attempts, ready_at, asked_at = self.topology.clients.reconnect, 0, -(10**15), -(10**15)
        starts, booted = self.topology.clients.start, not self.topology.clients.start
        drawn = {"backoff": 0, "offline": 0, "away": 0}

        def u(what: str) -> float:
            drawn[what] += 1
            return float(uniform(self.key(f"clients/{what}"), client, drawn[what] - 1))

        def failed(advised: bool, spread: int = 0) -> int:
            nonlocal attempts
            if library is not None:
                if library.gives_up(attempts):
                    return -1
                attempts += 1
                return library.wait(attempts - 1, u("backoff"), int(self.env.now) - broke_at)
            if attempts < config.attempt_limit:
                middle = min(config.first * config.factor**attempts, config.cap)
                wait = round(middle * (1 + config.jitter * (2 * u("backoff") - 1)))
                if config.jitter_order == "jitter_first":
                    wait = min(wait, config.cap)
                attempts += 1
            else:
                self.note(client, "offline")
                wait = round(config.offline_retry * (1 + config.jitter * (2 * u("offline") - 1)))
            if advised and self.topology.balancer.retry_after is not None:
                wait = max(wait, self.topology.balancer.retry_after + round(u("away") * spread))
            return wait

        library, share = None, float(uniform(self.key("clients/profile"), client, 0)) - (1 - sum(part.share for part in self.topology.clients.fleet))
        for part in self.topology.clients.fleet if share >= 0 else ():
            if share < part.share:
                library = PROFILES[part.profile]
                break
            share -= part.share
        way = self.delay[client] + self.topology.network.hop
        for lost_at, planned in [(-1, False)] * bool(starts) + self.losses:
            noticed = 0 if planned else self.topology.clients.notice  # A gateway that closes by plan says so.
            if lost_at < 0:  # The user comes.
                wait, broke_at = int(uniform(self.key("clients/start"), client, 0) * starts), 0
            else:
                yield self.env.timeout(lost_at + noticed + self.delay[client] - int(self.env.now))
                self.note(client, "lost")
                broke_at = int(self.env.now)
                if self.env.now - ready_at >= config.stable_after:
                    attempts = 0
                drain = self.topology.gateways.drain
                wait = drain.retry_after + round(u("away") * drain.spread) if planned and library is None else failed(False)
            while True:
                if wait < 0:
                    self.note(client, "gave up")
                    return
                yield self.env.timeout(wait)
                if not booted and self.topology.apis.bootstrap.enabled:
                    self.note(client, "started")
                    answer = yield from self.in_time(self.call(self.bootstrap, client, way, way))
                    if answer != OK:
                        self.note(client, "refused")
                        wait = failed(answer == BUSY)
                        continue
                    booted = True
                token = self.topology.apis.token
                if token.ttl and self.env.now + token.margin >= asked_at + token.ttl:
                    self.note(client, "asked")
                    asked_at = int(self.env.now)
                    given = yield from self.in_time(self.call(self.tokens, client, way, way))
                    if given != OK:
                        asked_at = -(10**15)
                        self.note(client, "refused")
                        wait = failed(given == BUSY)
                        continue
                self.note(client, "dialled")
                admitted = yield from self.in_time(self.call(self.edge, client, way, self.delay[client]))
                if admitted == OK:
                    break
                self.note(client, "refused")
                wait = failed(admitted == BUSY, self.topology.balancer.retry_spread)
            self.note(client, "opened")
            ready_at = int(self.env.now)
            if library is not None and library.reset_on_open:
                attempts = 0
