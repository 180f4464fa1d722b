"""The lives of gateways and what a balancer makes of them, in plain SimPy: every health check happens, every policy is its definition.

Leaves out: what the gateways do; policies that look at loads; Maglev.
"""

from dataclasses import dataclass, field
from typing import Any

import simpy

from simfabric.chance import ODD, below, decision_key, mixed, word
from simfabric.topology import Topology


def lives_of(topology: Topology) -> list[list[tuple[int, int, bool]]]:
    """When each gateway ends, is up again, and whether it says so before: in time order; it cannot end while it is down. -1: before the run."""
    count, ends = topology.gateways.count, list[tuple[int, int, int, bool]]()
    left = count
    for fault in topology.faults:
        if fault.kind == "scale_out":
            for _ in range(1 if fault.count is None else fault.count):
                left -= 1
                ends.append((-1, left, fault.at, False))
        elif fault.kind == "rolling_deploy":
            waiting, at = list(range(count if fault.count is None else fault.count)), fault.at
            while waiting:
                ends += [(at, gateway, at + fault.down, True) for gateway in waiting[: fault.batch]]
                waiting, at = waiting[fault.batch :], at + fault.down + fault.pause
        else:
            struck = list(range(count)) if fault.target.gateway == "all" else [int(fault.target.gateway)]
            ends += [(fault.at, gateway, fault.at + fault.down, fault.kind == "restart_node") for gateway in struck]
    lives: list[list[tuple[int, int, bool]]] = [[] for _ in range(count)]
    for at, gateway, back_at, planned in sorted(ends):
        if not lives[gateway] or at > lives[gateway][-1][1]:
            lives[gateway].append((at, back_at, planned))
    return lives


@dataclass
class Edge:
    """Which gateways the balancer believes in, and where it sends a dial."""

    env: simpy.Environment
    topology: Topology
    address: list[int]  # Of each client.
    turn: int = 0
    cookie: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lives = lives_of(self.topology)
        self.eligible = [not self.down(gateway, 0) for gateway in range(len(self.lives))]
        for gateway in range(len(self.lives)):
            self.env.process(self.checking(gateway))

    def key(self, decision: str) -> int:
        return decision_key(self.topology.run.seed, self.topology.run.replication, decision)

    def down(self, gateway: int, at: int) -> bool:
        return any(end <= at < back for end, back, _ in self.lives[gateway])

    def life(self, gateway: int, at: int) -> int:
        return sum(back <= at for _, back, _ in self.lives[gateway])

    def checking(self, gateway: int) -> Any:
        health, good, failed = self.topology.balancer.health, 0, 0
        yield self.env.timeout(int(below(self.key("balancer/health"), gateway, 0, min(health.interval, 2**31))))
        while True:
            if self.down(gateway, int(self.env.now)):
                yield self.env.timeout(health.timeout)
                good, failed = 0, failed + 1
                if failed >= health.fall:
                    self.eligible[gateway] = False
                yield self.env.timeout(health.interval - health.timeout)
            else:
                good, failed = good + 1, 0
                if good >= health.rise:
                    self.eligible[gateway] = True
                yield self.env.timeout(health.interval)

    def pick(self, client: int, n: int) -> int:
        """The gateway of dial number n, -1 if there is none."""
        members, key, policy = [g for g, is_in in enumerate(self.eligible) if is_in], self.key("balancer"), self.topology.balancer.policy
        if not members:
            return -1
        self.turn += 1
        user = client // self.topology.clients.devices_per_user
        if policy == "source_ip":
            return members[int(word(key, self.address[client], -1)) % len(members)]
        if policy == "rendezvous":
            return max(members, key=lambda g: int(mixed((int(word(key, user, -1)) + g * ODD) % 2**64)))
        if policy == "consistent_hash":
            points = range(self.topology.balancer.virtual_nodes)
            return min(members, key=lambda g: min((int(word(key, g, p)) - int(word(key, user, -1))) % 2**64 for p in points))
        if policy == "random":
            return members[int(below(key, n, 0, len(members)))]
        if policy == "cookie" and self.cookie.get(client) in members:
            return self.cookie[client]
        if policy in ("cookie", "round_robin"):
            return members[(self.turn - 1) % len(members)]
        assert all(lives == self.lives[0] for lives in self.lives), "the reference does not know this policy, so the gateways must be alike"
        return 0
