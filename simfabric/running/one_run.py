"""One run: set up the fabric, let the conductor move it, sample the timeline, check the laws, and make the result."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.components.waiting import first_waiting
from simfabric.fabric import Fabric
from simfabric.kernels.clients import BREAKS, DIALS, OFFLINES, OPENINGS, REFUSALS, TOKENS, UNSENT_COUNT
from simfabric.kernels.limits import OBLIGATIONS
from simfabric.kernels.state import (
    CUT,
    FRAMES,
    GAPPED,
    GHOSTS,
    HELD,
    LIVE,
    LOST_OBLIGATIONS,
    OPEN,
    OVERFLOWN,
    PUBLISHED_AT,
    REPLAYED_COUNT,
    STALE,
)  # fmt: skip
from simfabric.recorder import TIMELINE, Recorder
from simfabric.running import facts
from simfabric.running.observing import Observer, trail_of
from simfabric.running.result import Result, result_of
from simfabric.topology import Topology
from simfabric.topology.expected import expected_work
from simfabric.world import SECOND

PAYS_ABOVE = 250_000.0  # Expected deliveries above which compiled kernels repay the import of numba (about 2 s of CPU against 7 µs each).
MOST_SAMPLES = 3600  # Rows of the timeline; a longer run is sampled less often than once a second.


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: simulated and wall time [s], deliveries so far."""

    simulated_s: float
    duration_s: float
    wall_s: float
    delivered: int

    @property
    def speed(self) -> float:
        """Simulated seconds per wall second."""
        return self.simulated_s / self.wall_s if self.wall_s > 0 else 0.0


def run(topology: Topology, *, on_progress: Callable[[Progress], None] | None = None, trail: bool = False, laws: bool = False) -> Result:
    """Run a topology to its end, or until Ctrl-C: what was simulated by then is kept, valid, and marked partial.

    `on_progress` is called about ten times a second. With `trail`, every delivery is kept (message, client, arrival); for small runs. With `laws`, a
    history is kept, and judged by the laws that need one.
    """
    began = time.perf_counter()
    fabric = Fabric(topology, by_numba=compiles(topology))
    if trail:
        fabric.gateways.keep_trail()
    watch = Watch(fabric, began, on_progress, Observer(fabric, everybody=trail) if laws else None)
    if fabric.clients.sessions is not None:
        fabric.clients.sessions.trace.kept = True
    env, duration = fabric.world.env, topology.run.duration
    env.process(watch.sampling(duration))
    with stoppable(watch.stop):
        env.run(until=env.process(fabric.conductor.process(duration, watch.between, watch.stopped)))
        watch.close()
    history = watch.observer.history() if watch.observer else None
    wall_s = time.perf_counter() - began
    kept = None if not trail else fabric.gateways.trail() if history is None else trail_of(history)
    return result_of(fabric, watch.recorder, watch.setup_s, wall_s, partial=fabric.world.now < duration, trail=kept, history=history)


def compiles(topology: Topology) -> bool:
    """Whether this run is large enough for compiled kernels."""
    choice = topology.run.compiled
    return choice == "always" or (choice == "auto" and expected_work(topology) > PAYS_ABOVE)


class Watch:
    """Looks at a running fabric at fixed instants: timeline, checkpoints, progress. It changes nothing (law M2)."""

    def __init__(self, fabric: Fabric, began: float, on_progress: Callable[[Progress], None] | None, observer: Observer | None = None) -> None:
        self.fabric = fabric
        self.observer = observer
        fabric.columns.before_retiring = None if observer is None else observer.collect
        self.recorder = Recorder(fabric.topology.run.messages)
        self.recorder.events = fabric.faults.events
        self.setup_s = time.perf_counter() - began
        self._began = time.perf_counter()
        self._told = self._began
        self._on_progress = on_progress
        self._stop = threading.Event()

    def stop(self) -> None:
        """End at the next control event."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stop.is_set()

    def sampling(self, duration: int) -> Generator[Any, Any, None]:
        """The SimPy process of the samples: each second (or less often), at the end of the warm-up, and at the checkpoints of the laws."""
        env, settings = self.fabric.world.env, self.fabric.topology.run
        step = max(SECOND, -(-duration // (MOST_SAMPLES * SECOND)) * SECOND)
        checks = {duration * (i + 1) // settings.checkpoints for i in range(settings.checkpoints)}
        times = sorted({*range(step, duration, step), settings.warmup, *checks} - {0, duration})
        for at in times:
            yield env.timeout(at - int(env.now))
            self._sample()
            if at in checks:
                self._check()

    def close(self) -> None:
        """The last sample and checkpoint, where the run ended."""
        if self.fabric.world.now > (self.recorder.timeline[-1][0] if self.recorder.timeline else 0):
            self._sample()
        if not self.recorder.checkpoints or self.recorder.checkpoints[-1].at < self.fabric.world.now:
            self.recorder.checkpoints.append(facts.checkpoint(self.fabric))
        self._keep_retired()
        columns = self.fabric.columns
        rows = columns.log.rows[: columns.messages - int(columns.log.base[0])]
        rows = rows[: np.searchsorted(rows[:, 0], self.fabric.world.now)]
        self.recorder.keep(int(columns.log.base[0]), rows)
        if self.observer is not None:
            self.observer.collect()
            self.observer.keep(int(columns.log.base[0]), rows)
        self._tell(time.perf_counter())

    def between(self) -> None:
        """After each round of the conductor: tell how far it is, ten times a second."""
        if self.observer is not None:
            self.observer.between()
        if self._on_progress is not None and (now := time.perf_counter()) - self._told > 0.1:
            self._tell(now)

    def _check(self) -> None:
        self.recorder.checkpoints.append(facts.checkpoint(self.fabric))
        retention = self.fabric.topology.bus.retention
        if self.fabric.world.now > retention:
            columns = self.fabric.columns
            columns.retire(self.fabric.world.now - retention, first_waiting(columns.messages, self.fabric.components))
        self._keep_retired()

    def _keep_retired(self) -> None:
        for first, rows in self.fabric.columns.retired:
            self.recorder.keep(first, rows)
            if self.observer is not None:
                self.observer.keep(first, rows)
        self.fabric.columns.retired.clear()

    def _sample(self) -> None:
        fabric = self.fabric
        if self.observer is not None:
            self.observer.sample()
        counted = facts.tallies(fabric)
        gateways, clients = counted["gateways"].counters, counted["clients"].counters
        lost = sum(int(tally.counters[LOST_OBLIGATIONS]) for name, tally in counted.items() if name in ("gateways", "storage", "producers", "bus"))
        state = fabric.gateways.nodes.state
        log = fabric.columns.log
        base = int(log.base[0])
        published = base + int(np.searchsorted(log.rows[: fabric.columns.messages - base, PUBLISHED_AT], fabric.world.now))
        replayed = int(gateways[REPLAYED_COUNT])
        row = {
            "at": fabric.world.now,
            "connected": int((state[:, OPEN] - state[:, GHOSTS]).sum()),
            "published": published - int(clients[UNSENT_COUNT]),
            "delivered": int(gateways[LIVE]) + replayed,
            "replayed": replayed,
            "dropped": lost + int(fabric.gateways.limits.counts[:, OBLIGATIONS].sum()),
            "tried_in_vain": int(gateways[[CUT, OVERFLOWN, HELD, GAPPED, STALE]].sum()),
            "lag": fabric.consumers.lag() if fabric.consumers else 0,
            "breaks": int(clients[BREAKS]),
            "dials": int(clients[DIALS]),
            "openings": int(clients[OPENINGS]),
            "refusals": int(clients[REFUSALS]),
            "tokens": int(clients[TOKENS]),
            "offline": int(clients[OFFLINES]),
            "replays": int(fabric.replay.counters[0]),
            "frames": int(state[:, FRAMES].sum()),
        }
        self.recorder.timeline.append(tuple(row[name] for name in TIMELINE))
        held, placed = facts.placement(fabric, counted)
        self.recorder.held.append(held)
        self.recorder.placement.append(placed)
        self.recorder.busy.append(np.concatenate([(b.rows - b.ahead) for b in facts.busy(fabric, counted)]))

    def _tell(self, now: float) -> None:
        self._told = now
        if self._on_progress is not None:
            live = sum(int(w.tally.counters[LIVE]) for w in self.fabric.gateways.workers)
            simulated = min(component.clock for component in self.fabric.components) / SECOND
            self._on_progress(Progress(simulated, self.fabric.topology.run.duration / SECOND, now - self._began, live))


@contextlib.contextmanager
def stoppable(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C asks the run to end; the second one is not held back. Only the main thread can listen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
