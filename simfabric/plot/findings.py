"""The picture of an experiment: a panel for each metric, with every design of every case and its interval.

Cases along one key with numbers (1, 10, 100 gateways) are an axis on which each design is a line; all others are rows of dots.
"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from simfabric.errors import Refusal
from simfabric.planning.experiments.findings import Findings
from simfabric.planning.metrics import METRICS, written
from simfabric.plot.picture import Picture, picture, shortened
from simfabric.plot.scales import names_axis
from simfabric.units import format_count, parse_count, parse_duration

MARKS = "osD^vP"
MOST_METRICS = 6
WIDE_SPAN = 30.0  # Largest over least value from which on an axis is logarithmic.


def findings(found: Findings, theme: str = "light") -> Picture:
    """Draw an experiment: means with their intervals, the first six metrics. `theme`: light or dark."""
    metrics = found.metrics[:MOST_METRICS]
    numbers = _numbers(found)
    if numbers is not None:
        return _lines(found, metrics, numbers, theme)
    return _dots(found, metrics, theme)


def _numbers(found: Findings) -> list[float] | None:
    """Where the cases stand on an axis, if they are numbers of one key."""
    across = found.experiment.form.across
    if across is None or len(across) != 1 or len(found.experiment.cases) < 2:
        return None
    values = [_number(str(value)) for case in found.experiment.cases for value in case.changes.values()]
    told = [value for value in values if value is not None]
    return told if len(told) == len(values) and sorted(set(told)) == told else None


def _number(text: str) -> float | None:
    """A count as it is, a duration in seconds."""
    for parse, size in ((parse_count, 1.0), (parse_duration, 1e9)):
        try:
            return parse(text) / size
        except Refusal:
            continue
    return None


def _lines(found: Findings, metrics: tuple[str, ...], numbers: list[float], theme: str) -> Picture:
    """A line for each design over the numbers."""
    ((key, _),) = (found.experiment.form.across or {}).items()
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    with picture(found.experiment.form.title, theme, 4.6 * columns, 0.9 + 2.6 * rows) as drawn:
        panels = drawn.subplots(rows, columns, squeeze=False).flatten()
        for axes, name in zip(panels, metrics):
            for design, label in enumerate(found.experiment.designs):
                colour, mark = drawn.theme.series[design % len(drawn.theme.series)], MARKS[design % len(MARKS)]
                _line(axes, found, name, design, numbers, {"color": colour, "marker": mark, "label": shortened(label)})
            _value_axis(axes.yaxis, found, name)
            axes.set_title(shortened(f"{name} ({METRICS[name].better} is better)"))
            if max(numbers) / max(min(numbers), 1e-12) >= WIDE_SPAN:
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_count(float(f"{x:.6g}")) if x >= 1 or x == 0 else f"{x:g}"))
        for axes in panels[len(metrics) :]:
            axes.set_visible(False)
        for axes in panels[max(0, len(metrics) - columns) : len(metrics)]:
            axes.set_xlabel(shortened(key))
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(found.experiment.designs)), fontsize=8)
        drawn.told = f"{', '.join(metrics)} over {key} for {', '.join(found.experiment.designs)}, with intervals."
    return drawn


def _line(axes: Any, found: Findings, name: str, design: int, numbers: list[float], style: dict[str, Any]) -> None:
    told = [(x, interval) for case, x in enumerate(numbers) if (interval := found.interval(case, design, name)) is not None]
    axes.plot([x for x, _ in told], [interval.estimate for _, interval in told], markersize=4, **style)
    axes.vlines([x for x, _ in told], [interval.low for _, interval in told], [interval.high for _, interval in told], color=style["color"], linewidth=2.4)


def _dots(found: Findings, metrics: tuple[str, ...], theme: str) -> Picture:
    """A row of dots for each design of each case; the best is full, the others are hollow."""
    experiment = found.experiment
    rows = [(case, design) for case in range(len(experiment.cases)) for design in range(len(experiment.designs))]
    with picture(experiment.form.title, theme, 2.4 + 2.1 * len(metrics), 1.4 + 0.27 * len(rows) + 0.2 * len(experiment.cases)) as drawn:
        panels = drawn.subplots(1, len(metrics), sharey=True, squeeze=False).flatten()
        for axes, name in zip(panels, metrics):
            for place, (case, design) in enumerate(rows):
                colour = drawn.theme.series[case % len(drawn.theme.series)]
                _dot(axes, found, name, case, design, (place, colour, drawn.theme.ground))
            for edge in range(len(experiment.designs), len(rows), len(experiment.designs)):
                axes.axhline(edge - 0.5, color=drawn.theme.muted, linewidth=0.6)
            _value_axis(axes.xaxis, found, name)
            axes.set_title(shortened(name), fontsize=9)
            axes.set_xlabel(f"{METRICS[name].better} is better", fontsize=8)
            axes.tick_params(axis="x", labelsize=7.5)
            axes.grid(False, axis="y")
        names_axis(panels[0].yaxis, [_label(found, case, design) for case, design in rows])
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        drawn.told = f"{', '.join(metrics)} of {', '.join(experiment.designs)}, with intervals; a full dot is told to be the best."
    return drawn


def _label(found: Findings, case: int, design: int) -> str:
    """The design, and at the first of a case the case."""
    name = shortened(found.experiment.designs[design], 36)
    return f"{shortened(found.experiment.cases[case].name, 36)}:  {name}" if design == 0 and len(found.experiment.cases) > 1 else name


def _dot(axes: Any, found: Findings, name: str, case: int, design: int, look: tuple[int, str, str]) -> None:
    place, colour, ground = look
    interval = found.interval(case, design, name)
    if interval is None:
        endless = any(map(math.isinf, found.of(case, design, name)))
        axes.text(
            0.98 if endless else 0.5, place, "never" if endless else "not told", transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7
        )
        return
    is_best = found.answer(case, name).winner == found.experiment.designs[design]
    axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([interval.estimate], [place], marker="o", markersize=5.5, color=colour, markerfacecolor=colour if is_best else ground)


def _value_axis(axis: Any, found: Findings, name: str) -> None:
    """In the metric's unit; logarithmic where the values span much."""
    means = [interval.estimate for case in range(len(found.experiment.cases)) for design in range(len(found.experiment.designs))
             if (interval := found.interval(case, design, name)) is not None]  # fmt: skip
    unit = METRICS[name].unit
    if means and min(means) > 0 and max(means) / min(means) >= WIDE_SPAN:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
        axis.set_major_locator(LogLocator(10.0, numticks=6))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        if means and min(means) >= 0:
            axis.axes.set_xlim(left=0) if axis.axis_name == "x" else axis.axes.set_ylim(bottom=0)
    axis.set_major_formatter(FuncFormatter(lambda x, _: written(float(f"{x:.6g}"), unit)))
