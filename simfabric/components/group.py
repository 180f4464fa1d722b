"""The routers' consumer group: who reads which partitions, before and after a router dies or is late.

A router that dies takes with it what it has fetched and not yet routed. Its partitions wait for the end of its session, or for its return if
that comes first; then whoever has them begins at the last commit: what was routed since goes out twice (delivery at least once), and what was
not is not lost. Clients drop what they have by its sequence. A router that commits what it fetches before it routes it (`commit_first`) loses that
instead: nobody reads it again (delivery at most once).

When a router comes back after its session, the partitions that it had come back to it (cooperative rebalance: the other partitions are read on all
the while; KIP-429). Who gives partitions away commits what it has routed; what it still holds goes out twice.

A router that is late to ask for records is put out of its group: its commit is refused, so what it had since the last one goes out again; it routes
on what it holds, and joins again later. At both times partitions stand still for a pause: those that move, or in an eager rebalance all.

Leaves out: heartbeats that come late, and commits that fail otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.components.bus import Brokers, Consumers
from simfabric.components.routers import Routers
from simfabric.components.schedule import episodes, in_zone, struck
from simfabric.kernels.bus import NEXT_RECORD, RECORD_AT, RECORD_BYTES, RECORD_COLUMNS, RECORD_ID, RECORD_MESSAGE, RECORD_PARTITION
from simfabric.kernels.frames import EXTRA, ID, ITEM, NEVER, ROW, WIDTH
from simfabric.kernels.state import BYTES, ROUTED_AT
from simfabric.policies.partitioning import ASSIGNORS
from simfabric.topology import Topology
from simfabric.topology.faults import Fault
from simfabric.world import Array, World

ALIVE, SILENT, GONE = 1, 2, 0  # A consumer whose session has not ended still has its partitions.


@dataclass(frozen=True, slots=True)
class Absence:
    """A router that dies, or is put out of its group, and when it is back [ns]."""

    router: int
    at: int
    back_at: int
    fault: Fault

    @property
    def late(self) -> bool:
        """It lives, and its group goes on without it."""
        return self.fault.kind == "rebalance_group"


def router_deaths(world: World, topology: Topology) -> list[Absence]:
    """Every absence of a router from its group, in time order. One that strikes while it is away anyway has no effect."""
    found = []
    for episode in episodes(world, topology):
        who, count = episode.fault.struck("router"), topology.fanout.routers
        routers = struck(world, episode, who, count, "router") if who is not None else []
        if episode.fault.kind == "lose_region":
            routers = in_zone(world, episode, count)
        found += [Absence(router, episode.begin, episode.begin + episode.fault.down, episode.fault) for router in routers]
    real: list[Absence] = []
    for absence in sorted(found, key=lambda absence: (absence.at, absence.router)):
        if all(other.router != absence.router or other.back_at < absence.at for other in real):
            real.append(absence)
    return real


class Group:
    """Carries out the deaths of routers; see the module."""

    def __init__(
        self, world: World, routers: Routers, brokers: Brokers, consumers: Consumers, planned: Sequence[Absence], events: list[tuple[int, str]]
    ) -> None:
        self.world = world
        self.routers = routers
        self.brokers = brokers
        self.consumers = consumers
        self.events = events
        self.lost = 0  # Records that were committed and never routed.
        self._deaths = [[absence.at for absence in planned if absence.router == r and not absence.late] for r in range(consumers.count)]
        self._late: set[int] = set()  # Routers that live and are not in the group.
        self._still_until = np.zeros(len(consumers.shelf.owner_of), np.int64)  # Until when each partition stands still [ns].
        consumers.handed = [] if planned else None
        for router in range(consumers.count):
            self._announce(router)
        for absence in planned:
            world.env.process(self._out(absence) if absence.late else self._run(absence))

    def _announce(self, router: int) -> None:
        """Tell the routers when this one dies next: what it would finish later is void."""
        self.routers.state.dies_at[router] = self._deaths[router].pop(0) if self._deaths[router] else NEVER

    def _run(self, death: Absence) -> Generator[Any, Any, None]:
        """A router dies, and is back."""
        env, alive, router = self.world.env, self.consumers.shelf.alive, death.router
        yield env.timeout(death.at)
        alive[router] = SILENT
        self.routers.lose(router)
        told = f"router {router} killed"
        if death.fault.mode == "commit_first":
            lost = self._give_up(router)
            told += f", {lost} records lost that it had committed and not routed"
        self.events.append((self.world.now, told))
        session = self.world.topology.bus.session_timeout
        yield env.timeout(min(session, death.back_at - death.at))
        if death.back_at - death.at > session:
            alive[router] = GONE
            self._assign(f"the partitions of router {router} have other readers")
            yield env.timeout(death.back_at - self.world.now)
        self._announce(router)
        self.consumers.rejoin(router)
        alive[router] = ALIVE
        self._assign(f"router {router} up again", router)

    def _out(self, absence: Absence) -> Generator[Any, Any, None]:
        """A router is put out of its group, and joins again."""
        env, router = self.world.env, absence.router
        yield env.timeout(absence.at)
        self._late.add(router)
        env.process(self._rebalancing(absence, f"router {router} late, and put out of its group"))
        yield env.timeout(absence.back_at - absence.at)
        self._late.discard(router)
        self.consumers.rejoin(router)
        env.process(self._rebalancing(absence, f"router {router} joins its group again"))

    def _rebalancing(self, absence: Absence, told: str) -> Generator[Any, Any, None]:
        """Partitions stand still for a while, and are then shared out among those who are there."""
        shelf, owner = self.consumers.shelf, self._shared_out()
        moving = np.full(len(owner), True) if absence.fault.mode != "cooperative" else owner != shelf.owner_of
        again = sum(self._hand_over(int(p), int(shelf.owner_of[p]), self.consumers.nobody) for p in np.flatnonzero(moving))
        self._still_until[moving] = np.maximum(self._still_until[moving], self.world.now + absence.fault.pause)
        self._tell(f"{told}, {int(moving.sum())} partitions stand still", again)
        yield self.world.env.timeout(absence.fault.pause)
        self._assign("partitions are read again")

    def _shared_out(self) -> Array:
        """Who reads each partition, of those who are in the group."""
        alive = self.consumers.shelf.alive
        members = np.array([router for router in range(self.consumers.count) if alive[router] != GONE and router not in self._late], np.int64)
        owner = ASSIGNORS[self.world.topology.bus.assignor](members, len(self.consumers.shelf.owner_of))
        return np.asarray(np.where(owner < 0, self.consumers.nobody, owner))

    def _assign(self, told: str, back: int = -1) -> None:
        """Share the partitions out anew, one member being just `back`; those that stand still wait. Without a member, all wait for the first who comes."""
        shelf, owner = self.consumers.shelf, self._shared_out()
        given = np.flatnonzero(((owner != shelf.owner_of) | (shelf.owner_of == back)) & (self._still_until <= self.world.now))
        again = sum(self._hand_over(int(p), int(shelf.owner_of[p]), int(owner[p]), back) for p in given)
        self._tell(told, again)

    def _tell(self, told: str, again: int) -> None:
        self.consumers.wake()
        self.events.append((self.world.now, told + (f", {again} messages go out again" if again else "")))

    def _hand_over(self, partition: int, giver: int, taker: int, back: int = -1) -> int:
        """From now on `taker` reads a partition from where its giver has committed; returns how many records are read again."""
        consumers, shelf, broker = self.consumers, self.consumers.shelf, int(self.brokers.shelf_of[partition])
        again = self._uncommitted(partition, giver, giver != back and giver not in self._late and shelf.alive[giver] == ALIVE)
        records = shelf.records[broker, : shelf.held[broker]]
        mine = records[:, RECORD_PARTITION] == partition
        unread = records[mine][int(mine.sum()) - int(shelf.visible[partition] - shelf.fetched[giver, partition]) :]
        number = shelf.first[broker] + np.flatnonzero(mine)
        shelf.reading[:, broker, NEXT_RECORD] -= (number < shelf.reading[:, broker, NEXT_RECORD][:, None]).sum(axis=1)
        kept = np.concatenate([records[~mine], again, unread])
        kept[len(kept) - len(again) - len(unread) :, RECORD_AT] = self.world.now
        if taker == consumers.nobody:
            self._keep(broker)
        consumers.put_back(broker, kept)
        shelf.owner_of[partition] = taker
        shelf.alive[consumers.nobody] = SILENT if consumers.nobody in shelf.owner_of else GONE
        shelf.fetched[taker, partition] = consumers.committed[taker, partition] = shelf.fetched[giver, partition] - len(again)
        return len(again)

    def _keep(self, broker: int) -> None:
        """What comes to a shelf from now on waits for who has partitions that stand still."""
        shelf, nobody = self.consumers.shelf, self.consumers.nobody
        shelf.reading[nobody, broker, NEXT_RECORD] = shelf.first[broker]

    def _give_up(self, router: int) -> int:
        """What a router had fetched and committed is never read again; returns how many records it had not routed."""
        frames = np.concatenate([*(self.consumers.handed or []), np.empty((0, WIDTH), np.int64)])
        its = frames[:, ROW] == router
        self.consumers.handed = [frames[~its]]
        self.consumers.committed[router] = self.consumers.shelf.fetched[router]
        lost = int(self._not_routed(frames[its]).sum())
        self.lost += lost
        return lost

    def _not_routed(self, frames: Array) -> Array:
        log = self.consumers.columns.log
        routed_at = log.rows[frames[:, ITEM] - log.base[0], ROUTED_AT]
        return np.asarray((routed_at == 0) | (routed_at > self.world.now))

    def _uncommitted(self, partition: int, giver: int, commits: bool) -> Array:
        """The records that a giver had fetched and not committed; who `commits` as it gives has committed all that it has routed."""
        frames = np.concatenate([*(self.consumers.handed or []), np.empty((0, WIDTH), np.int64)])
        its = (frames[:, ROW] == giver) & (frames[:, EXTRA] == partition)
        self.consumers.handed = [frames[~its]]
        log = self.consumers.columns.log
        frames = frames[its]
        if commits:
            frames = frames[self._not_routed(frames)]
        again = np.empty((len(frames), RECORD_COLUMNS), np.int64)
        again[:, RECORD_MESSAGE], again[:, RECORD_PARTITION], again[:, RECORD_ID] = frames[:, ITEM], partition, frames[:, ID]
        again[:, RECORD_BYTES] = log.rows[frames[:, ITEM] - log.base[0], BYTES]
        return again
