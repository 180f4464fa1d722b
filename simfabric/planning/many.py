"""Many runs: the same small measure of each of many topologies, on as many processes as there are cores.

    topologies ─▶ executor ─▶ worker: run, measure ─▶ small tables, in the order asked

The only seam to other machines is `concurrent.futures.Executor`: hand one over (a cluster's, for instance) and it is used. Without one,
processes are spawned here (compiled kernels come from numba's cache), or, where one is enough, everything runs in this process. What travels
back is what `measure` makes of a result in the worker, never the result. Results do not depend on the number of processes: a draw of chance is
a function of its address, and a test compares the digests.

Ctrl-C raises `Interrupted`, which holds what was done by then. A worker that dies loses nothing: what is missing runs again, on fewer
processes (too little memory is the common reason), and is told as an error when that does not help either.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from simfabric.errors import SimfabricError, shown
from simfabric.running import Result, run
from simfabric.topology import Topology

T = TypeVar("T")
ATTEMPTS = 3  # How often a run is tried while workers die without anything getting done.


class Interrupted(KeyboardInterrupt, Generic[T]):
    """Ctrl-C while many runs were made. `done` has what is complete and valid, by the place of its topology; `asked` is how many there were."""

    def __init__(self, done: Mapping[int, T], asked: int) -> None:
        super().__init__(f"interrupted after {len(done)} of {asked} runs")
        self.done: dict[int, T] = dict(done)
        self.asked = asked


class LostWorkersError(SimfabricError):
    """Workers died again and again. `done` has what is complete, by the place of its topology; `reason` is what the executor said last."""

    def __init__(self, done: Mapping[int, Any], asked: int, reason: str = "") -> None:
        super().__init__(done, asked, reason)
        self.done = dict(done)
        self.asked = asked
        self.reason = reason

    def __str__(self) -> str:
        missing = [str(place) for place in range(self.asked) if place not in self.done]
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        return (
            f"workers were lost before they could finish {len(missing)} of {self.asked} runs (numbers {', '.join(missing[:10])}{more}): "
            f"{shown(self.reason, 200)}\n"
            "    cure: fewer processes or smaller topologies if memory is short; in a script, call simfabric under if __name__ == '__main__':"
        )


def run_many(
    topologies: Sequence[Topology],
    measure: Callable[[Result], T],
    *,
    executor: Executor | None = None,
    processes: int | None = None,
    tell: Callable[[int, int], None] | None = None,
    took: Callable[[int, T], None] | None = None,
) -> list[T]:
    """What `measure` says of the run of each topology, in the order asked.

    `measure` is called in the worker, so it must be importable there (a function of a module, or a functools.partial of one) and should return
    something small. `executor`: where to run; not given: `processes` of them here (as many as cores by default; 1 runs in this process).
    `tell(done, asked)` is called after each run, and before it `took(place, measure)`, in this process: to keep what is done.
    Raises Interrupted at Ctrl-C, LostWorkersError if workers keep dying, and what a run raises.
    """
    runs = _Runs(tuple(topologies), measure, tell, took)
    count = min(len(runs.topologies), processes_here() if processes is None else max(1, processes))
    try:
        if executor is not None:
            runs.on(executor)
        elif count <= 1:
            runs.here()
        else:
            runs.on_processes(count)
    except KeyboardInterrupt:
        raise Interrupted(runs.done, len(runs.topologies)) from None
    if len(runs.done) < len(runs.topologies):
        raise LostWorkersError(runs.done, len(runs.topologies), runs.reason)
    return [runs.done[place] for place in range(len(runs.topologies))]


def processes_here() -> int:
    """As many as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Spawned workers, which leave Ctrl-C to this process. Spawned, not forked: threads of numba and numpy do not survive a fork."""
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts)


@dataclass(frozen=True, slots=True)
class Measured(Generic[T]):
    """What came of one run in a worker: its measure, or what it raised; neither, if the run was interrupted."""

    value: T | None = None
    error: Exception | None = None
    partial: bool = False


def measured(topology: Topology, measure: Callable[[Result], T]) -> Measured[T]:
    """Run one topology and measure it: what a worker does."""
    try:
        result = run(topology)
        return Measured(partial=True) if result.partial else Measured(measure(result))
    except Exception as error:  # It has to travel: told by the process that asked.
        return Measured(error=_portable(error))


class _Runs(Generic[T]):
    """The runs that are asked for, and what is done of them."""

    def __init__(
        self,
        topologies: tuple[Topology, ...],
        measure: Callable[[Result], T],
        tell: Callable[[int, int], None] | None,
        took: Callable[[int, T], None] | None,
    ) -> None:
        self.topologies = topologies
        self.measure = measure
        self.done: dict[int, T] = {}
        self.reason = ""  # What the executor said when it lost a worker.
        self._tell = tell
        self._took = took

    def missing(self) -> list[int]:
        """The places of what is not done, in order."""
        return [place for place in range(len(self.topologies)) if place not in self.done]

    def here(self) -> None:
        """One after the other, in this process."""
        for place in self.missing():
            self._take(place, measured(self.topologies[place], self.measure))

    def on_processes(self, count: int) -> None:
        """On spawned processes; on fewer of them, and at last one by one, if they die."""
        for _ in range(ATTEMPTS):
            pool = process_pool(count)
            try:
                lost = self._submit(pool)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
            if not lost:
                return
            count = max(1, count // 2)

    def on(self, executor: Executor) -> None:
        """On somebody's executor; what its workers lost is asked for again while it still takes work."""
        for _ in range(ATTEMPTS):
            if not self._submit(executor):
                return

    def _submit(self, executor: Executor) -> bool:
        """Ask for what is missing and take what comes; whether a worker was lost."""
        futures: dict[Future[Measured[T]], int] = {}
        lost = False
        try:
            for place in self.missing():
                futures[executor.submit(measured, self.topologies[place], self.measure)] = place
        except BrokenExecutor as error:
            lost, self.reason = True, f"{type(error).__name__}: {error}"
        try:
            for future in as_completed(futures):
                try:
                    came = future.result()
                except Exception as error:  # What a run raises comes as a value: this is the executor's own, such as a lost worker.
                    lost, self.reason = True, f"{type(error).__name__}: {error}"
                    continue
                self._take(futures[future], came)
        finally:
            for future in futures:
                future.cancel()
        return lost

    def _take(self, place: int, came: Measured[T]) -> None:
        if came.partial:
            raise KeyboardInterrupt
        if came.error is not None:
            raise came.error
        self.done[place] = came.value  # type: ignore[assignment]  # Neither partial nor an error: it is a measure.
        if self._took is not None:
            self._took(place, self.done[place])
        if self._tell is not None:
            self._tell(len(self.done), len(self.topologies))


def _leave_interrupts() -> None:
    """In a worker: Ctrl-C reaches all processes of a terminal; a run that it stops is told as partial, and an idle worker is not to complain."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _portable(error: Exception) -> Exception:
    """The error, if it survives the way between processes; else its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return SimfabricError(f"{type(error).__name__}: {error}")
    return error
