"""Faults of the bus's brokers: they go away by plan or without, and copies fall out of sync.

A broker that ends by plan has handed everything on: what it had taken in becomes visible as it would have. One that dies, and is followed by a copy that
lacks its last records (unclean election), takes with it what no copy had: those records are cut off the log, at whose end they stood; since
readers see records only when all copies in sync have them, nobody has seen one. A producer that waits for the leader's answer sends again
what was not answered.

Leaves out: with acks none, records on their way to a dead broker (they wait for its successor); a broker's cold page cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.components.effects import Effect, Parts
from simfabric.components.leadership import Leadership, leadership
from simfabric.components.schedule import Episode, struck
from simfabric.kernels import bus as kernels
from simfabric.kernels.frames import AT, EXTRA, ID, ITEM, KIND_SHIFT, PUBLISH, WIDTH
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.state import (
    APPENDED_AT,
    CHANNEL,
    FATE,
    LANE,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    LOST_UNCLEAN,
    OWED,
    PREVIOUS,
    PUBLISHED_AT,
    RECEIVED_AT,
    SAVED_AT,
    SEQUENCE,
    STAGE_ACK,
    STAGE_BUS,
    TRANSIENT,
    UNDERWAY,
    VISIBLE_AT,
)  # fmt: skip
from simfabric.units import format_count
from simfabric.world import Array


def _named(brokers: list[int]) -> str:
    return ("broker " if len(brokers) == 1 else "brokers ") + ", ".join(str(broker) for broker in brokers)


class Restarts:
    """Brokers that end by plan, and come back."""

    def __init__(self, parts: Parts) -> None:
        assert parts.brokers is not None, "refused by the topology"
        assert parts.consumers is not None, "refused by the topology"
        self.world = parts.world
        self.brokers = parts.brokers
        self.consumers = parts.consumers
        self.leads: Leadership = leadership(parts.world, parts.brokers, parts.consumers)

    def begin(self, episode: Episode) -> str:
        """They go away now; the first copies that are there lead after an election."""
        gone = self._struck(episode)
        shelves = self.leads.fail(gone, episode.end)
        waiting = int(np.isin(self.brokers.shelf_of, shelves).sum())
        return f"{_named(gone)} away, {waiting} partitions without a leader"

    def end(self, episode: Episode) -> str:
        """They are back, unless another fault keeps them away."""
        gone = self._struck(episode)
        there = self.leads.back(gone)
        return f"{_named(there)} back, partitions led as planned" if there else f"{_named(gone)} kept away by another fault"

    def _struck(self, episode: Episode) -> list[int]:
        return struck(self.world, episode, episode.fault.struck("broker") or 0, self.world.topology.bus.brokers, "broker")


class UncleanElections(Restarts):
    """Brokers that die, and whose successors lack what had not been replicated."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.columns = parts.columns
        self.brokers.unsettled = []

    def begin(self, episode: Episode) -> str:
        """They die now."""
        dying = np.flatnonzero(np.isin(self.leads.leader, self._struck(episode)) & (self.consumers.led_from <= self.world.now))
        told = super().begin(episode)
        lost = self._cut(np.isin(self.brokers.shelf_of, dying))
        return f"{told}; {format_count(lost)} acknowledged records lost that no copy had"

    def _cut(self, partitions: Array) -> int:
        """Take off what no copy had, and send again what its producer had no answer for; returns the records lost."""
        brokers, now, log = self.brokers, self.world.now, self.columns.log
        frames = self.consumers.inbox.withdraw(lambda waiting: partitions[waiting[:, EXTRA]])
        frames = frames[np.lexsort((frames[:, ID], frames[:, AT]))]
        had = {message: (at, producer) for message, at, producer in brokers.not_settled(frames).tolist()}
        again, lost = [], 0
        for message, partition in frames[::-1, [ITEM, EXTRA]].tolist():  # From the log's end on.
            row = log.rows[message - int(log.base[0])]
            at, producer = had[message]
            answered = self.world.topology.bus.acks == "none" or at <= now
            if row[LANE] != TRANSIENT:
                assert log.head_message[row[CHANNEL]] == message
                log.head_message[row[CHANNEL]] = row[PREVIOUS]
                log.head_sequence[row[CHANNEL]] -= 1
                lost += answered
            self._uncount(row, at, answered)
            row[[SEQUENCE, PREVIOUS, APPENDED_AT, VISIBLE_AT]] = 0
            row[FATE] = LOST_UNCLEAN if answered else UNDERWAY
            if not answered:
                again.append((now, PUBLISH << KIND_SHIFT | at, partition, message, producer))
        brokers.inbox.put(np.array(again[::-1], np.int64).reshape(-1, WIDTH), len(again))
        for upto in (kernels.APPENDED_UPTO, kernels.VISIBLE_UPTO):
            brokers.partition[partitions, upto] = np.minimum(brokers.partition[partitions, upto], now)
        return lost

    def _uncount(self, row: Array, at: int, lost: bool) -> None:
        """What was counted of a record when its leader took it in did not happen, except for the answer to its producer."""
        tally, topology = self.brokers.tally, self.world.topology
        if lost:
            tally.counters[LOST_PUBLICATIONS] += 1
            tally.counters[LOST_OBLIGATIONS] += row[OWED]
        if row[PUBLISHED_AT] < topology.run.warmup:
            return
        tally.stages[STAGE_BUS, bin_of(int(row[VISIBLE_AT] - max(row[SAVED_AT], row[RECEIVED_AT], row[PUBLISHED_AT])))] -= 1
        if not lost and row[SAVED_AT] == 0 and row[LANE] != TRANSIENT:
            hop = topology.network.bus_hop or topology.network.hop
            tally.stages[STAGE_ACK, bin_of(at + hop - int(row[PUBLISHED_AT]))] -= 1


class FewerCopies:
    """Copies fall out of sync, of every partition."""

    def __init__(self, parts: Parts) -> None:
        assert parts.brokers is not None, "refused by the topology"
        assert parts.consumers is not None, "refused by the topology"
        self.config = parts.world.topology.bus
        self.leads = leadership(parts.world, parts.brokers, parts.consumers)
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """From now on so few are in sync."""
        self._now.append(episode)
        return self._settle()

    def end(self, episode: Episode) -> str:
        """They are in sync again."""
        self._now.remove(episode)
        return self._settle()

    def _settle(self) -> str:
        self.leads.in_sync = min([self.config.replication, *(episode.fault.in_sync for episode in self._now)])
        self.leads.settle()
        waits = self.config.acks == "all" and self.leads.in_sync < self.config.min_in_sync
        return f"{self.leads.in_sync} of {self.config.replication} copies in sync" + (", publications wait" if waits else "")


BUS_FAULTS: dict[str, Callable[[Parts], Effect]] = {"restart_broker": Restarts, "elect_unclean": UncleanElections, "shrink_replicas": FewerCopies}
