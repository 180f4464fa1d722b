"""The public face of a run: look whether it fits the machine, run it with a progress bar, hand back the result."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from simfabric.errors import SimfabricError
from simfabric.planning import Plan, beside, free_memory, plan, problems
from simfabric.planning import capacity as searching
from simfabric.planning import prices as pricing
from simfabric.running import Progress, Result
from simfabric.running import run as run_once
from simfabric.topology import Topology
from simfabric.units import format_count


class TooLargeError(SimfabricError):
    """A run that cannot fit the machine; the text is the arithmetic."""


def run(topology: Topology, *, progress: bool | None = None, allow_large: bool = False, trail: bool = False) -> Result:
    """Run a topology and return its result.

    `progress`: show a bar; by default only where somebody looks (a terminal or a notebook). `allow_large`: run even if the plan says that
    the memory will not do. `trail`: keep every delivery (`result.trail`); for small runs. Ctrl-C ends the run early with a valid partial
    result. Raises TooLargeError before anything is allocated.
    """
    refuse_what_does_not_fit(plan(topology), allow_large)
    shown = (sys.stderr.isatty() or _in_notebook()) if progress is None else progress
    with bar(topology) if shown else contextlib.nullcontext() as told:
        return run_once(topology, on_progress=told, trail=trail)


def capacity(
    topology: Topology,
    *,
    vary: str,
    slo: str | None = None,
    between: tuple[str, str] | None = None,
    level: float = 0.95,
    precision: float = 0.05,
    prices: pricing.Prices | str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> searching.CapacityPlan:
    """The least count of servers that keeps a promise, or the highest load at which it is kept, with an interval; see `simfabric.planning.capacity`.

    `prices`: a table or its file; not given: the example that comes with the package.
    """
    table = prices if isinstance(prices, pricing.Prices) else pricing.load_prices(prices)
    return searching.capacity(
        topology, vary=vary, slo=slo, between=between, level=level, precision=precision, prices=table, executor=executor, processes=processes, tell=tell
    )


def estimate(topology: Topology, result: Result | None = None) -> beside.Estimate:
    """What operational laws and queueing formulas say of a topology, in milliseconds; beside a result of it, if given, with why they differ."""
    return beside.estimate(topology, result)


def cost(topology: Topology, result: Result | None = None, *, prices: pricing.Prices | str | os.PathLike[str] | None = None) -> pricing.Cost:
    """What a topology costs a month by a table of prices or its file (not given: the example), for what a result delivered or what is expected."""
    return pricing.cost(topology, result, prices=prices if isinstance(prices, pricing.Prices) else pricing.load_prices(prices))


def refuse_what_does_not_fit(planned: Plan, allow_large: bool) -> None:
    """Raise TooLargeError, with the arithmetic, if the run will not fit this machine's memory."""
    found = problems(planned, free_memory())
    if found and not allow_large:
        raise TooLargeError("\n".join(found))


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


def _in_notebook() -> bool:
    """Whether this is a notebook that can show a bar: rich needs ipywidgets for it, and warns in every run without them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None
