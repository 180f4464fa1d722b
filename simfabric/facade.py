"""The public face of a run: look whether it fits the machine, run it with a progress bar, hand back the result."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from simfabric.errors import SimfabricError
from simfabric.planning import beside, plan
from simfabric.planning import capacity as searching
from simfabric.planning import prices as pricing
from simfabric.planning.experiments import Findings, load_experiment, page, run_experiment, write_findings
from simfabric.planning.fitting import TooLargeError, refuse_what_does_not_fit
from simfabric.planning.telling import cell_bar, in_notebook, somebody_looks
from simfabric.plot.seen import Seen, seen
from simfabric.running import Progress, Result
from simfabric.running import run as run_once
from simfabric.topology import Topology, load
from simfabric.units import format_count

__all__ = ["TooLargeError", "bar", "capacity", "cost", "estimate", "experiment", "notebook_bar", "opened", "refuse_what_does_not_fit", "run"]


def run(topology: Topology, *, progress: bool | None = None, allow_large: bool = False, trail: bool = False, laws: bool = False) -> Result:
    """Run a topology and return its result.

    `progress`: show a bar; by default only where somebody looks (a terminal or a notebook). `allow_large`: run even if the plan says that
    the memory will not do. `trail`: keep every delivery (`result.trail`); for small runs. `laws`: keep a history (`result.history`), and judge it by
    the laws that need one; of more than 4 000 clients a sample is watched. Ctrl-C ends the run early with a valid partial result. Raises TooLargeError
    before anything is allocated.
    """
    refuse_what_does_not_fit(plan(topology), allow_large)
    shown = somebody_looks() if progress is None else progress
    with (notebook_bar if in_notebook() else bar)(topology) if shown else contextlib.nullcontext() as told:
        return run_once(topology, on_progress=told, trail=trail, laws=laws)


def experiment(
    path: str | os.PathLike[str],
    *,
    short: bool = False,
    replications: int | None = None,
    fresh: bool = False,
    out: str | os.PathLike[str] | None = None,
    processes: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Findings:
    """Run what is missing of an experiment, and write its results: `NAME.parquet`, `NAME.svg` and `NAME.md`, in `out` or beside the file.

    `short`: the small form that the file states, as `NAME.short`. `fresh`: forget what was run before. Ctrl-C raises Interrupted; what was done by
    then is in the journal, and the same call goes on from there. Raises TopologyError with all that is wrong in the file, TooLargeError,
    BrokenLawError, SimfabricError where pandas, pyarrow or matplotlib are missing.
    """
    asked = load_experiment(path, short=short, replications=replications)
    folder = asked.path.parent if out is None else Path(out)
    findings = run_experiment(asked, folder, fresh=fresh, processes=processes, executor=executor, progress=progress)
    write_findings(findings, folder / f"{asked.name}.parquet")
    _drawn(findings).save(folder / f"{asked.name}.svg")
    (folder / f"{asked.name}.md").write_text(page(findings, f"{asked.name}.svg"), encoding="utf-8")
    return findings


def _drawn(findings: Findings) -> Any:
    """The picture of an experiment; matplotlib is imported here."""
    try:
        from simfabric.plot.findings import findings as drawn
    except ImportError:
        raise SimfabricError("experiments draw pictures\n    cure: pip install 'simfabric[table,plot]'") from None
    return drawn(findings)


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


def opened(place: Path, sets: Sequence[str] = (), *, progress: bool | None = None) -> Seen:
    """What pictures and reports see: of the result in a folder, or of a run of the topology in a file, changed by `sets` ("key=value").

    Raises ResultError where the folder holds no result, TopologyError where the file holds no topology.
    """
    if not place.is_dir():
        return seen(run(load(place, sets), progress=progress))
    if sets:
        raise SimfabricError(f"--set {sets[0]}: {place} is a result; law: only a run can be changed; cure: name the topology file")
    return seen(place)


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
            drawn.update(task, completed=now.simulated_s, facts=_facts(now, before))

        yield told


@contextlib.contextmanager
def notebook_bar(topology: Topology) -> Iterator[Callable[[Progress], None]]:
    """The same below a notebook's cell."""
    before = [0.0, 0]
    with cell_bar("simulating") as told:
        yield lambda now: told(now.simulated_s, topology.run.duration / 1e9, _facts(now, before))


def _facts(now: Progress, before: list[float]) -> str:
    """How far and how fast; `before`: wall time [s] and deliveries when this was last told, which is brought up to date."""
    rate = (now.delivered - before[1]) / max(now.wall_s - before[0], 1e-9)
    before[:] = [now.wall_s, now.delivered]
    return f"{now.simulated_s:.1f} of {now.duration_s:g} s, {now.speed:.3g}x real time, {format_count(round(rate))} deliveries/s"
