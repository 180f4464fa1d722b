"""Leadership: which broker leads the partitions of each shelf, from when on, and when their records are taken up.

The copies of a partition lie on the broker that leads it by plan and on the next ones; partitions of one such broker share their copies, and so their
leader (a shelf). When a leader goes away, the first of the copies that is there leads after bus.election; with no copy left, the first broker that
is back. A broker that is back leads its own partitions at once (preferred leader election, a move by plan). Records that come while nobody leads
wait at their producers, and fetches wait; with acks all, records wait too while fewer copies are in sync than bus.min_in_sync.

Source: Apache Kafka, "Replication" (leaders, in-sync replicas, preferred leader, min.insync.replicas).

Leaves out: copies that catch up before they are in sync; producers that give up waiting (delivery.timeout.ms); the controller's own failures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from simfabric.world import Array, World

if TYPE_CHECKING:
    from simfabric.components.bus import Brokers, Consumers

FAR = 1 << 61  # No end is known [ns].


class Leadership:
    """Who leads what, while brokers are away and copies are not in sync; see the module."""

    def __init__(self, world: World, brokers: Brokers, consumers: Consumers) -> None:
        self.world = world
        self.brokers = brokers
        self.consumers = consumers
        self.config = world.topology.bus
        self.leader = np.arange(self.config.brokers)  # Of each shelf: the broker that leads it, or will when it is back.
        self.back_at = np.zeros(self.config.brokers, np.int64)  # When each broker is there again, if it is not [ns].
        self.in_sync = self.config.replication  # Most copies that may be in sync now.
        brokers.taken_from = np.zeros(self.config.partitions, np.int64)

    def fail(self, struck: Iterable[int], until: int) -> Array:
        """These brokers go away, now, for so long; returns the shelves that have no leader for a while."""
        now, gone = self.world.now, list(struck)
        self.back_at[gone] = np.maximum(self.back_at[gone], until)
        shelves = np.flatnonzero(np.isin(self.leader, gone))
        for shelf in shelves.tolist():
            copies = self.copies(shelf)
            away = self.back_at[copies]
            ready = np.where(away > now, away, now + self.config.election)
            first = int(ready.argmin())
            self.leader[shelf] = copies[first]
            self.consumers.unled(shelf, int(ready[first]))
        self.settle()
        return shelves

    def back(self, struck: Iterable[int]) -> list[int]:
        """These brokers are there again, unless something else keeps them away; returns those that are."""
        there = [broker for broker in struck if self.back_at[broker] <= self.world.now]
        self.leader[there] = there
        self.settle()
        return there

    def settle(self) -> None:
        """From when on records of each partition are taken up."""
        now, brokers, config = self.world.now, self.brokers, self.config
        brokers.leader_of[:] = self.leader[brokers.shelf_of]
        for shelf in range(config.brokers):
            ready = max(now, int(self.consumers.led_from[shelf]))
            there = min(self.in_sync, int((self.back_at[self.copies(shelf)] <= now).sum()))
            if config.acks == "all" and there < config.min_in_sync:
                ready = FAR
            assert brokers.taken_from is not None
            brokers.taken_from[brokers.shelf_of == shelf] = ready

    def copies(self, shelf: int) -> Array:
        """The brokers with copies of the partitions of this shelf, the first being that which leads them by plan."""
        return np.asarray((shelf + np.arange(self.config.replication)) % self.config.brokers)


def leadership(world: World, brokers: Brokers, consumers: Consumers) -> Leadership:
    """The leadership of these brokers: one for all faults of a run."""
    if brokers.leadership is None:
        brokers.leadership = Leadership(world, brokers, consumers)
    return brokers.leadership
