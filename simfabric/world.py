"""The world: one clock, inboxes, components, and the conductor that moves the columns window by window.

The clock is SimPy's, in whole nanoseconds. Control processes (health, leases, faults) are SimPy processes with events at their exact
times. Between two control events the conductor advances the components in the order of the flow, each as far as no frame can still
arrive in its past: to the least of (clock of a sender + fixed delay of the hop) over its senders. Each round so gains the whole loop,
not its shortest hop, and the results are the same to the last bit for every shorter step. A longer `window` drops that bound: frames
that come back inside it are served late, by less than one window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import simpy

from simfabric.chance import decision_key, tabulated
from simfabric.compiling import chosen
from simfabric.errors import SimfabricError
from simfabric.kernels import frames as frame_kernels
from simfabric.kernels.frames import NEVER, WIDTH
from simfabric.topology import Topology

Array = np.ndarray[Any, Any]
BUCKET = 1 << 28  # Width of a bucket of far frames [ns], 268 ms: timers wait there untouched.
SECOND = 1_000_000_000


class PastError(SimfabricError):
    """A frame arrived before its receiver's clock: a bug in a component or in the lookahead, never hidden."""


class World:
    """What every component shares: the clock, the topology, chance by address, and the form in which kernels run."""

    def __init__(self, topology: Topology, by_numba: bool) -> None:
        self.topology = topology
        self.env = simpy.Environment(initial_time=0)
        self.by_numba = by_numba
        self.tolerance = 0  # How far in the past a frame may arrive [ns]; 0 in exact runs.

    @property
    def now(self) -> int:
        """Simulated time [ns]."""
        return int(self.env.now)

    def kernel(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel as this run wants it: plain or compiled."""
        return chosen(function, self.by_numba)

    def key(self, decision: str) -> int:
        """The address of a named decision in this seed and replication."""
        return decision_key(self.topology.run.seed, self.topology.run.replication, decision)

    def table(self, law: Any) -> Array:
        """A law of the topology as kernels draw from it."""
        table: Array = tabulated(law)
        return table


class Inbox:
    """Frames that wait for a component: near ones in one array, far ones in coarse buckets that are touched once."""

    def __init__(self, world: World, name: str, rows: int = 0) -> None:
        self.name = name
        self.world = world
        self.rows = rows  # With rows > 0, frames come out row by row.
        self.clock = 0  # Nothing may arrive before it [ns].
        self.pending = np.empty((256, WIDTH), np.int64)
        self.held = 0
        self.far: dict[int, list[Array]] = {}
        self.far_earliest = NEVER
        self.near_end = BUCKET
        self.account = np.array([0, 0, NEVER, NEVER, 0], np.int64)
        self.starts = np.zeros(rows + 1, np.int64)
        self._resize(256)
        self._put = world.kernel(frame_kernels.put)
        self._take = world.kernel(frame_kernels.take)
        self._order = world.kernel(frame_kernels.ordered)

    def put(self, frames: Array, count: int) -> None:
        """Take in the first `count` rows of `frames`; one in the past raises."""
        if count == 0:
            return
        if self.held + count > len(self.pending):
            grown = np.empty((2 * (self.held + count), WIDTH), np.int64)
            grown[: self.held] = self.pending[: self.held]
            self.pending = grown
        if count > len(self.spill):
            self._resize(2 * count)
        self.held = self._put(frames, count, self.pending, self.held, self.near_end, self.spill, self.account)
        if self.account[3] < self.clock - self.world.tolerance:
            raise PastError(
                f"{self.name}: a frame for {int(self.account[3])} ns arrived at clock {self.clock} ns; law: no frame arrives in its receiver's past; "
                "cure: this is a bug in simfabric, please report the topology and seed"
            )
        if self.account[4]:
            self._spill(self.spill[: self.account[4]].copy())

    def take(self, end: int) -> tuple[Array, int]:
        """The frames due before `end`, in order, valid until the next call; and how many."""
        self.clock = end
        while end > self.near_end:
            self.near_end += BUCKET
            if bucket := self.far.pop(self.near_end // BUCKET - 1, None):
                self._put_back(np.concatenate(bucket))
                self.far_earliest = min((int(part[:, 0].min()) for parts in self.far.values() for part in parts), default=NEVER)
        if self.account[2] >= end:
            return self.out, 0
        if self.held > len(self.due):
            self._resize(2 * self.held)
        count = self._take(self.pending, self.held, end, self.due, self.account)
        self.held -= count
        self._order(self.due, count, self.index, self.spare, self.rows, self.starts, self.out)
        return self.out, count

    def earliest(self) -> int:
        """No frame is due before this time [ns]."""
        return min(int(self.account[2]), self.far_earliest)

    def waiting(self) -> Array:
        """All frames that wait, in no order; for the laws."""
        return np.concatenate([self.pending[: self.held], *(frames for bucket in self.far.values() for frames in bucket)])

    def _put_back(self, frames: Array) -> None:
        before = self.account[:2].copy()
        if self.held + len(frames) > len(self.pending):
            self.pending = np.concatenate([self.pending[: self.held], np.empty((2 * len(frames), WIDTH), np.int64)])
        if len(frames) > len(self.spill):
            self._resize(2 * len(frames))
        self.held = self._put(frames, len(frames), self.pending, self.held, self.near_end, self.spill, self.account)
        self.account[:2] = before

    def _spill(self, frames: Array) -> None:
        bucket = frames[:, 0] // BUCKET
        order = np.argsort(bucket, kind="stable")
        names, first = np.unique(bucket[order], return_index=True)
        for name, part in zip(names.tolist(), np.split(order, first[1:])):
            self.far.setdefault(name, []).append(frames[part])
        self.far_earliest = min(self.far_earliest, int(frames[:, 0].min()))

    def _resize(self, size: int) -> None:
        self.due, self.out, self.spill = (np.empty((size, WIDTH), np.int64) for _ in range(3))
        self.index, self.spare = (np.empty(size, np.int64) for _ in range(2))


class Outbox:
    """Room for the frames that a kernel sends: it grows when the kernel says that it is full."""

    def __init__(self, size: int = 256) -> None:
        self.frames = np.empty((size, WIDTH), np.int64)

    def reserve(self, size: int) -> Array:
        """At least `size` rows; what stood in them is kept."""
        if size > len(self.frames):
            grown = np.empty((2 * size, WIDTH), np.int64)
            grown[: len(self.frames)] = self.frames
            self.frames = grown
        return self.frames


class Component:
    """One component: its inbox, its clock, and who sends to it over which fixed delay."""

    name = "component"

    def __init__(self, world: World, rows: int = 0) -> None:
        self.world = world
        self.inbox = Inbox(world, self.name, rows)
        self.clock = 0
        self.senders: list[tuple[Component, int]] = []

    def hears(self, sender: Component, delay: int) -> None:
        """`sender` may send frames here that take at least `delay` [ns]."""
        self.senders.append((sender, delay))

    def advance(self, end: int) -> None:
        """Serve all that is due before `end`, in order, and send the results on."""
        raise NotImplementedError

    def earliest(self) -> int:
        """This component has nothing to do before that time [ns]."""
        return self.inbox.earliest()


def lookahead(components: Sequence[Component]) -> int:
    """The longest exact window [ns]: the least sum of fixed delays around any loop of components (Floyd-Warshall)."""
    number = {id(c): i for i, c in enumerate(components)}
    far = NEVER // 4
    distance = [[far] * len(components) for _ in components]
    for component in components:
        for sender, delay in component.senders:
            i, j = number[id(sender)], number[id(component)]
            distance[i][j] = min(distance[i][j], delay)
    for k in range(len(components)):
        for row in distance:
            for j in range(len(components)):
                row[j] = min(row[j], row[k] + distance[k][j])
    return min(distance[i][i] for i in range(len(components)))


class Conductor:
    """Moves the components, in the order of the flow, from one control event to the next."""

    def __init__(self, world: World, components: Sequence[Component], window: int | None, visit_twice: Iterable[Component] = ()) -> None:
        self.world = world
        self.components = list(components)
        self.lookahead = lookahead(self.components)
        self.window = window or self.lookahead
        self.exact = self.window <= self.lookahead
        self.second_visits = list(visit_twice)
        self.rounds = 0
        if not self.exact:
            world.tolerance = self.window

    def process(self, until: int, between: Callable[[], None] = lambda: None) -> Any:
        """The SimPy process: run the columns up to the next control event, let it happen, go on. `between` is called after each round."""
        env = self.world.env
        while True:
            now = int(env.now)
            if env.peek() <= now:  # Others have something to do at this very instant: they go first.
                yield env.timeout(0)
                continue
            if now >= until:
                return
            upto = min(int(min(env.peek(), until)), until)
            self.advance(upto, between)
            yield env.timeout(upto - now)

    def advance(self, upto: int, between: Callable[[], None]) -> None:
        """Every clock to `upto`, round by round; a stretch without work is skipped."""
        components = self.components
        while True:
            due = min(c.earliest() for c in components)
            if due > (now := min(c.clock for c in components)):
                for component in components:
                    component.clock = max(component.clock, min(due, upto))
                if due >= upto:
                    for component in components:
                        component.inbox.clock = upto
                    return
                now = due
            for component in components:
                end = min(component.clock + self.window, upto)
                if self.exact:
                    for sender, delay in component.senders:
                        end = min(end, sender.clock + delay)
                if end > component.clock:
                    component.advance(end)
                    component.clock = end
            if not self.exact:
                for component in self.second_visits:
                    component.advance(component.clock)
            self.rounds += 1
            between()
