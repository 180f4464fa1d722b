"""Clients that lose their gateway and come back, in plain SimPy, one process each: the independent oracle of the columns' lifecycle.

It states the course of a connection as protocol.md tells it, not as the table does; draws have the engine's addresses. Token API and edge
are queues that refuse who would wait too long; see `edge` for the gateways. Leaves out: their own work, and all events that are said over a connection.
"""

from dataclasses import dataclass, field
from typing import Any

import simpy

from simfabric.chance import Law, decision_key, draw, tabulated, uniform, word
from simfabric.protocol.profiles import PROFILES
from simfabric.topology import Topology
from tests.reference.edge import Edge

SECOND = 1_000_000_000
LEAST = 1_000_000  # No timer is shorter.


OK, BUSY, BROKEN = "ok", "busy", "broken"  # What a service answers.


class Queue:
    """Servers behind one queue; who would wait longer than `patience` is sent away when that time is over, and a share is served in vain."""

    def __init__(self, env: simpy.Environment, servers: int, patience: int, law: Law, key: int, errors: float = 0.0, unlucky: int = 0) -> None:
        self.env, self.patience, self.table, self.key, self.errors, self.unlucky = env, patience, tabulated(law), key, errors, unlucky
        self.free_at = [0] * servers

    def takes(self) -> bool:
        return max(0, min(self.free_at) - int(self.env.now)) <= self.patience

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
    address: list[int] = field(default_factory=list)  # Whence each client dials; not given: each has its own.
    placed: list[tuple[int, int, int]] = field(default_factory=list)  # Client, time at which its connection opened, gateway.
    happened: list[tuple[int, str, int]] = field(default_factory=list)

    def run(self) -> list[tuple[int, str, int]]:
        topology = self.topology
        self.env = env = simpy.Environment()
        balancer = topology.balancer
        self.bootstrap, self.tokens = (self.api(name) for name in ("bootstrap", "token"))
        self.edge = Queue(env, balancer.servers, balancer.queue_timeout, balancer.handshake, self.key("balancer"))
        self.gateways = Edge(env, topology, self.address or list(range(topology.clients.count)))
        self.home = [self.gateways.pick(client, client) if not topology.clients.start else -1 for client in range(topology.clients.count)]
        self.gateways.cookie = {client: home for client, home in enumerate(self.home) if home >= 0}
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

    def call(self, queue: Queue, client: int, way: int, refused_way: int, n: int = 0) -> Any:
        yield self.env.timeout(way)
        came, gateway = int(self.env.now), -1
        if queue is self.edge and queue.takes():
            gateway = self.gateways.pick(client, n)
        answer = yield from queue.ask(client)
        if queue is self.edge and answer == OK and gateway < 0:
            answer = BUSY
        if queue is not self.edge:
            yield self.env.timeout(way)
            return answer
        if answer != OK:
            yield self.env.timeout(refused_way)
            return answer
        yield self.env.timeout(self.topology.network.hop)  # A gateway is a hop further than the edge.
        there, now = self.gateways.life(gateway, came), int(self.env.now)
        yield self.env.timeout(refused_way)
        if there != self.gateways.life(gateway, now) or self.gateways.down(gateway, now):
            return BROKEN
        self.home[client] = gateway
        return OK

    def in_time(self, call: Any) -> Any:
        """The answer of a call, or None if there was none in time; the call then goes on all the same."""
        running = self.env.process(call)
        yield running | self.env.timeout(self.topology.clients.connect_timeout)
        return running.value if running.processed else None

    def client(self, client: int) -> Any:
        config, attempts, ready_at, asked_at = self.topology.clients.reconnect, 0, -(10**15), -(10**15)
        starts, dials, hop = self.topology.clients.start, 0, self.topology.network.hop
        opened, broke_at, booted = (None, 0, False) if starts else (0, 0, True)
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
                return max(LEAST, library.wait(attempts - 1, u("backoff"), int(self.env.now) - broke_at))
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
            return max(LEAST, wait)

        library, share = None, float(uniform(self.key("clients/profile"), client, 0)) - (1 - sum(part.share for part in self.topology.clients.fleet))
        for part in self.topology.clients.fleet if share >= 0 else ():
            if share < part.share:
                library = PROFILES[part.profile]
                break
            share -= part.share
        way = self.delay[client] + self.topology.network.hop
        habit = self.habit(client)
        wait = int(uniform(self.key("clients/start"), client, 0) * starts)
        while True:
            if opened is not None:
                why, at = self.end(client, habit, opened, dials, ready_at)
                yield self.env.timeout(at - int(self.env.now))
                self.note(client, "left" if why == "close" else "lost")
                broke_at = at
                if why == "close":
                    wait, booted, attempts = self.drawn(habit.away, "clients/absence", client, dials), False, 0
                else:
                    if at - ready_at >= config.stable_after:
                        attempts = 0
                    drain = self.topology.gateways.drain
                    planned = why == "planned" and library is None
                    wait = 0 if planned and ready_at < at else failed(False)  # Before it is ready, a planned end counts as a failure, too.
                    if planned:
                        wait = max(LEAST, wait, drain.retry_after + round(u("away") * drain.spread))
            opened = None
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
            dials += 1
            admitted = yield from self.in_time(self.call(self.edge, client, way, self.delay[client], client * 1024 + dials - 1))
            if admitted != OK:
                self.note(client, "refused")
                wait = failed(admitted == BUSY, self.topology.balancer.retry_spread)
                continue
            self.note(client, "opened")
            self.placed.append((client, int(self.env.now), self.home[client]))
            self.gateways.cookie[client] = self.home[client]
            opened = int(self.env.now)
            ready_at = opened + 2 * self.delay[client] + self.topology.routing.store_delay + 3 * hop  # Subscribed, and told where it stands.
            if library is not None and library.reset_on_open:
                attempts = 0

    def habit(self, client: int) -> Any:
        """The part of the churn that a client belongs to, or None."""
        share = float(uniform(self.key("clients/churn"), client, 0))
        for part in self.topology.clients.churn:
            if share < part.share:
                return part
            share -= part.share
        return None

    def drawn(self, law: Law, decision: str, client: int, n: int) -> int:
        return max(SECOND, draw(tabulated(law), word(self.key(decision), client, n)))

    def end(self, client: int, habit: Any, opened: int, dials: int, ready_at: int) -> tuple[str, int]:
        """Why and when a connection ends for its client, if it was opened then."""
        config, delay, never = self.topology.clients, self.delay[client], self.topology.run.duration + 1
        losses = [(at, planned) for at, _, planned in self.gateways.lives[self.home[client]] if at > opened - delay]
        lost = [(at + delay + (0 if planned else config.notice), "planned" if planned else "lost") for at, planned in losses]
        heard_at, why = min(lost, default=(never, "lost"))
        if habit is None:
            return why, heard_at
        silent_from = opened + self.drawn(habit.stays, "clients/stay", client, dials)
        if heard_at < silent_from:
            return why, heard_at
        if habit.ends == "close":
            return "close", silent_from
        last, is_ready = opened, ready_at < min([silent_from, *(at for at, _ in losses)])
        last = max(last, ready_at) if is_ready else last
        ping = opened + max(1_000_000, round(float(uniform(self.key("clients/heartbeat_phase"), client, dials)) * config.heartbeat_interval))
        while ping < silent_from:
            last = max(last, ping)
            ping += config.heartbeat_interval
        dead = last + config.heartbeat_interval + config.heartbeat_timeout
        return "silent", dead if is_ready else min(dead, opened + config.connect_timeout)
