"""The routers' consumer group: who reads which partitions, before and after a router dies.

A router that dies takes with it what it has fetched and not yet routed. Its partitions wait for the end of its session, or for its return if
that comes first; then whoever has them begins at the last commit: what was routed since goes out twice (delivery at least once), and what was
not is not lost. Clients drop what they have by its sequence.

When a router comes back after its session, the partitions that it had come back to it, committed by who had them (cooperative rebalance: the
other partitions are read on all the while; KIP-429).

Leaves out: the pause of an eager rebalance, the time that a rebalance takes, heartbeats that come late, and commits that fail.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from simfabric.components.bus import Brokers, Consumers
from simfabric.components.routers import Routers
from simfabric.components.schedule import episodes, in_zone, struck
from simfabric.kernels.bus import NEXT_RECORD, RECORD_AT, RECORD_BYTES, RECORD_COLUMNS, RECORD_ID, RECORD_MESSAGE, RECORD_PARTITION
from simfabric.kernels.frames import EXTRA, ID, ITEM, NEVER, ROW, WIDTH
from simfabric.kernels.state import BYTES
from simfabric.policies.partitioning import ASSIGNORS
from simfabric.topology import Topology
from simfabric.world import Array, World

ALIVE, SILENT, GONE = 1, 2, 0  # A consumer whose session has not ended still has its partitions.


def router_deaths(world: World, topology: Topology) -> list[tuple[int, int, int]]:
    """Every death of a router: which, when and until when [ns], in time order. One that strikes while it is down anyway has no effect."""
    found = []
    for episode in episodes(world, topology):
        who, count = episode.fault.target.router, topology.fanout.routers
        routers = struck(world, episode, who, count, "router") if who is not None else []
        if episode.fault.kind == "lose_region":
            routers = in_zone(world, episode, count)
        found += [(router, episode.begin, episode.begin + episode.fault.down) for router in routers]
    real: list[tuple[int, int, int]] = []
    for router, at, back_at in sorted(found, key=lambda death: (death[1], death[0])):
        if all(other != router or until < at for other, _, until in real):
            real.append((router, at, back_at))
    return real


class Group:
    """Carries out the deaths of routers; see the module."""

    def __init__(
        self, world: World, routers: Routers, brokers: Brokers, consumers: Consumers, planned: Sequence[tuple[int, int, int]], events: list[tuple[int, str]]
    ) -> None:
        self.world = world
        self.routers = routers
        self.brokers = brokers
        self.consumers = consumers
        self.events = events
        self._deaths = [[at for router, at, _ in planned if router == r] for r in range(consumers.count)]
        consumers.handed = [] if planned else None
        for router in range(consumers.count):
            self._announce(router)
        for death in planned:
            world.env.process(self._run(*death))

    def _announce(self, router: int) -> None:
        """Tell the routers when this one dies next: what it would finish later is void."""
        self.routers.state.dies_at[router] = self._deaths[router].pop(0) if self._deaths[router] else NEVER

    def _run(self, router: int, at: int, back_at: int) -> Generator[Any, Any, None]:
        env, alive = self.world.env, self.consumers.shelf.alive
        yield env.timeout(at)
        alive[router] = SILENT
        self.routers.lose(router)
        self.events.append((self.world.now, f"router {router} killed"))
        session = self.world.topology.bus.session_timeout
        yield env.timeout(min(session, back_at - at))
        if back_at - at > session:
            alive[router] = GONE
            self._assign(np.flatnonzero(alive != GONE), f"the partitions of router {router} have other readers")
            yield env.timeout(back_at - self.world.now)
        self._announce(router)
        self.consumers.rejoin(router)
        self._assign(np.union1d(np.flatnonzero(alive != GONE), router), f"router {router} up again", router)
        alive[router] = ALIVE

    def _assign(self, members: Array, told: str, back: int = -1) -> None:
        """Share the partitions out anew, one member being just `back`. Where there is no member, they wait for the first who comes back."""
        again, shelf = 0, self.consumers.shelf
        if len(members):
            owner = ASSIGNORS[self.world.topology.bus.assignor](members, len(shelf.owner_of))
            given = np.flatnonzero((owner != shelf.owner_of) | (shelf.owner_of == back))
            again = sum(self._hand_over(int(p), int(shelf.owner_of[p]), int(owner[p])) for p in given)
        self.consumers.wake()
        self.events.append((self.world.now, told + (f", {again} messages go out again" if again else "")))

    def _hand_over(self, partition: int, giver: int, taker: int) -> int:
        """From now on `taker` reads a partition from where its giver has committed; returns how many records are read again."""
        consumers, shelf, broker = self.consumers, self.consumers.shelf, int(self.brokers.leader_of[partition])
        again = self._uncommitted(partition, giver)
        records = shelf.records[broker, : shelf.held[broker]]
        mine = records[:, RECORD_PARTITION] == partition
        unread = records[mine][int(mine.sum()) - int(shelf.visible[partition] - shelf.fetched[giver, partition]) :]
        number = shelf.first[broker] + np.flatnonzero(mine)
        shelf.reading[:, broker, NEXT_RECORD] -= (number < shelf.reading[:, broker, NEXT_RECORD][:, None]).sum(axis=1)
        kept = np.concatenate([records[~mine], again, unread])
        kept[len(kept) - len(again) - len(unread) :, RECORD_AT] = self.world.now
        consumers.put_back(broker, kept)
        shelf.owner_of[partition] = taker
        shelf.fetched[taker, partition] = consumers.committed[taker, partition] = shelf.fetched[giver, partition] - len(again)
        return len(again)

    def _uncommitted(self, partition: int, giver: int) -> Array:
        """The records that a dead giver had fetched and not committed; a living one commits what it gives."""
        frames = np.concatenate(self.consumers.handed or [np.empty((0, WIDTH), np.int64)])
        its = (frames[:, ROW] == giver) & (frames[:, EXTRA] == partition)
        self.consumers.handed = [frames[~its]]
        frames = frames[its & (self.consumers.shelf.alive[giver] != ALIVE)]
        again = np.empty((len(frames), RECORD_COLUMNS), np.int64)
        log = self.consumers.columns.log
        again[:, RECORD_MESSAGE], again[:, RECORD_PARTITION], again[:, RECORD_ID] = frames[:, ITEM], partition, frames[:, ID]
        again[:, RECORD_BYTES] = log.rows[frames[:, ITEM] - log.base[0], BYTES]
        return again
