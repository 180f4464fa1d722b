"""Fan-out cost: what one publication makes the fabric deliver, send and work; of one result, or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simfabric.plot.picture import Picture, picture, shortened
from simfabric.plot.scales import count_axis, linear_duration_axis, names_axis
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import PictureError
from simfabric.units import format_count, format_duration

COMPONENTS = ("gateways", "routers", "bus", "storage", "replay", "presence")  # Whose work a publication causes, in the order of the bars.
HATCHES = ("", "///", "..", "\\\\", "--", "++")


def fan_out(sources: Any, theme: str = "light") -> Picture:
    """Draw deliveries, frames and work per publication. `sources`: a result, a folder, a list of them (named by pattern), or {name: result}.

    Raises PictureError where nothing was published.
    """
    runs = _named(sources)
    for name, run in runs.items():
        if not run.number("published"):
            raise PictureError(f"picture 'fan_out': nothing was published in '{shortened(name)}'; law: a cost needs publications; cure: give it traffic")
    title = "Fan-out cost of a publication" + (f": {next(iter(runs.values())).name}" if len(runs) == 1 else "")
    with picture(title, theme, 9.6, 2.3 + 0.62 * len(runs)) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True)
        _counts(drawn, left, runs)
        _work(drawn, right, runs)
        names_axis(left.yaxis, [shortened(name, 24) for name in runs])
        left.set_ylim(len(runs) - 0.4, -0.6)
        told = [f"{shortened(name)}: {_per(run, 'delivered'):.3g} deliveries and {_per(run, 'frames'):.3g} frames" for name, run in runs.items()]
        drawn.told = f"Per publication, {'; '.join(told)}."
    return drawn


def _named(sources: Any) -> dict[str, Seen]:
    if isinstance(sources, Mapping):
        return {str(name): seen(source) for name, source in sources.items()}
    if not isinstance(sources, Sequence) or isinstance(sources, str):
        run = seen(sources)
        return {run.words("fanout") or run.name: run}
    runs = [seen(source) for source in sources]
    if not runs:
        raise PictureError("picture 'fan_out': no result; law: a picture shows something; cure: give it a result")
    names = [run.words("fanout") or run.name for run in runs]
    return {name if names.count(name) == 1 else f"{number + 1}: {name}": run for number, (name, run) in enumerate(zip(names, runs))}


def _per(run: Seen, figure: str) -> float:
    return (run.number(figure) or 0.0) / (run.number("published") or 1.0)


def _counts(drawn: Picture, axes: Any, runs: Mapping[str, Seen]) -> None:
    """Two bars for each result, with their numbers."""
    kinds = (("delivered", "deliveries to clients", drawn.theme.one, ""), ("frames", "frames to gateways", drawn.theme.two, "///"))
    most = max(_per(run, figure) for run in runs.values() for figure, *_ in kinds)
    for place, (figure, label, colour, hatch) in enumerate(kinds):
        at = [row + 0.38 * (place - 0.5) for row in range(len(runs))]
        values = [_per(run, figure) for run in runs.values()]
        axes.barh(at, values, height=0.34, color=colour, edgecolor=drawn.theme.ground, hatch=hatch, linewidth=0, label=label)
        for y, value in zip(at, values):
            axes.text(value + most * 0.015, y, format_count(float(f"{value:.3g}")), va="center", fontsize=8)
    count_axis(axes.xaxis, "per publication")
    axes.set_xlim(0, (most or 1.0) * 1.2)
    axes.grid(False, axis="y")
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)


def _work(drawn: Picture, axes: Any, runs: Mapping[str, Seen]) -> None:
    """Server time that each component spends, one behind the other, and the sum."""
    sums = [0.0] * len(runs)
    for component, colour, hatch in zip(COMPONENTS, drawn.theme.series, HATCHES):
        work = [(run.number("components", component, "work_s") or 0.0 if component in run.parts("components") else 0.0) for run in runs.values()]
        each = [seconds * 1e9 / (run.number("published") or 1.0) for seconds, run in zip(work, runs.values())]
        if any(each):
            axes.barh(range(len(runs)), each, left=sums, height=0.6, color=colour, edgecolor=drawn.theme.ground, hatch=hatch, linewidth=0, label=component)
        sums = [so_far + more for so_far, more in zip(sums, each)]
    most = max(sums) or 1.0
    for row, total in enumerate(sums):
        axes.text(total + most * 0.015, row, format_duration(float(f"{total:.3g}")), va="center", fontsize=8)
    linear_duration_axis(axes.xaxis, "server time per publication", 5)
    axes.set_xlim(0, most * 1.2)
    axes.grid(False, axis="y")
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=8)
