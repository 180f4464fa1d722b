"""The public face of a run: look whether it fits the machine, run it with a progress bar, hand back the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from simfabric.planning import plan
from simfabric.planning.fitting import TooLargeError, refuse_what_does_not_fit
from simfabric.planning.telling import somebody_looks
from simfabric.running import Progress, Result
from simfabric.running import run as run_once
from simfabric.topology import Topology
from simfabric.units import format_count

__all__ = ["TooLargeError", "bar", "refuse_what_does_not_fit", "run"]


def run(topology: Topology, *, progress: bool | None = None, allow_large: bool = False, trail: bool = False) -> Result:
    """Run a topology and return its result.

    `progress`: show a bar; by default only where somebody looks (a terminal or a notebook). `allow_large`: run even if the plan says that
    the memory will not do. `trail`: keep every delivery (`result.trail`); for small runs. Ctrl-C ends the run early with a valid partial
    result. Raises TooLargeError before anything is allocated.
    """
    refuse_what_does_not_fit(plan(topology), allow_large)
    shown = somebody_looks() if progress is None else progress
    with bar(topology) if shown else contextlib.nullcontext() as told:
        return run_once(topology, on_progress=told, trail=trail)


@contextlib.contextmanager
def bar(topology: Topology) -> Iterator[Callable[[Progress], None]]:
    """A progress bar on standard error: simulated time, speed against real time, deliveries per second, time left."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn()]
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("simulating", total=topology.run.duration / 1e9, facts="setting up")
        before = [0.0, 0]

        def told(now: Progress) -> None:
            rate = (now.delivered - before[1]) / max(now.wall_s - before[0], 1e-9)
            before[:] = [now.wall_s, now.delivered]
            facts = f"{now.simulated_s:.1f} of {now.duration_s:g} s, {now.speed:.3g}x real time, {format_count(round(rate))} deliveries/s"
            drawn.update(task, completed=now.simulated_s, facts=facts)

        yield told
