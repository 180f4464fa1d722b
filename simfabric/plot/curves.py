"""Pictures of plans, from plain numbers: a capacity curve, a tornado, a comparison of designs. Each with the intervals that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simfabric.plot.picture import Picture, hatched, picture, shortened
from simfabric.plot.scales import count_axis, names_axis, share_axis
from simfabric.plot.style import PictureError
from simfabric.units import format_count, format_duration

UNITS = {"s": lambda x: format_duration(x * 1e9), "": lambda x: format_count(float(f"{x:.4g}")), "%": lambda x: f"{100 * x:.4g} %"}


def written(value: float, unit: str) -> str:
    """A value as a picture writes it: a duration for 's', a share for '%', else a count with its unit."""
    sign, amount = ("-", -value) if value < 0 else ("", value)
    if unit in UNITS:
        return sign + UNITS[unit](amount)
    return f"{sign}{format_count(float(f'{amount:.4g}'))} {unit}"


def capacity(
    x: Sequence[float], y: Sequence[float], low: Sequence[float], high: Sequence[float], *, bound: float | None = None, answer: float | None = None,
    interval: tuple[float, float] | None = None, unit: str = "s", varied: str = "load", metric: str = "metric", title: str = "Capacity", theme: str = "light",
) -> Picture:  # fmt: skip
    """Draw a measured curve with its intervals, the bound that was promised, and the answer with its interval.

    `x`: what was varied; `y`, `low`, `high`: the metric there and the ends of its interval, in `unit` ('s', '%', '' or a name such as 'EUR/month');
    all of one length >= 1. Values that are not finite are drawn as saturated, at the top. Raises PictureError for lists that do not fit.
    """
    columns = _lists("capacity", x=x, y=y, low=low, high=high)
    order = np.argsort(columns[0], kind="stable")
    at, middle, bottom, top = (column[order] for column in columns)
    finite = np.isfinite(middle)
    with picture(title, theme, 8.0, 4.4) as drawn:
        axes = drawn.subplots()
        reach = [value for value in (*middle[finite], bound or 0.0) if np.isfinite(value)]
        roof = 1.6 * max([*reach, *(np.minimum(top[finite], 3 * middle[finite]) if finite.any() else ())], default=1.0) or 1.0
        axes.plot(at[finite], middle[finite], color=drawn.theme.one, marker="o", markersize=4, label="measured")
        axes.vlines(at[finite], bottom[finite], np.minimum(top[finite], roof), color=drawn.theme.one, linewidth=2.6, alpha=1.0, label="its interval")
        if not finite.all():
            axes.plot(at[~finite], np.full((~finite).sum(), roof * 0.97), linestyle="none", marker="^", color=drawn.theme.fault, label="saturated")
        if bound is not None:
            axes.axhline(bound, color=drawn.theme.fault, linestyle=(0, (4, 2)), linewidth=1.3, label=f"promised: {written(bound, unit)}")
        told = ""
        if answer is not None:
            told = f"answer: {written(answer, '')}"
            if interval is not None:
                with hatched(drawn.theme.three):
                    axes.axvspan(*interval, facecolor="none", edgecolor=drawn.theme.three, hatch="////", linewidth=0)
                told += f" ({written(interval[0], '')} to {written(interval[1], '')})"
            axes.axvline(answer, color=drawn.theme.three, linewidth=1.8, label=told)
        axes.set_ylim(0, roof)
        count_axis(axes.xaxis, varied, 7)
        _value_axis(axes.yaxis, metric, unit)
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        drawn.told = f"{metric} over {varied}" + (f"; {told}" if told else "") + "."
    return drawn


def tornado(
    names: Sequence[str], low: Sequence[float], high: Sequence[float], *, middle: float = 0.0, unit: str = "s", metric: str = "metric",
    title: str = "Sensitivity", theme: str = "light",
) -> Picture:  # fmt: skip
    """Draw how the metric moves when each key goes to its low and its high end, widest first.

    `low`, `high`: the metric at the ends [unit]; `middle`: the metric where nothing was changed. Raises PictureError for lists that do not fit.
    """
    below, above = _lists("tornado", low=low, high=high)
    if len(names) != len(below):
        raise PictureError(f"picture 'tornado': {len(names)} names for {len(below)} values; law: one name for each; cure: give lists of one length")
    order = np.argsort(-np.abs(above - below), kind="stable")
    with picture(title, theme, 8.4, 1.8 + 0.36 * len(names)) as drawn:
        axes = drawn.subplots()
        ends = np.concatenate([below, above, [middle]])
        span = float(np.ptp(ends)) or abs(middle) or 1.0
        for place, i in enumerate(order):
            for value, colour, hatch in ((below[i], drawn.theme.one, ""), (above[i], drawn.theme.two, "///")):
                axes.barh(place, value - middle, left=middle, height=0.6, color=colour, edgecolor=drawn.theme.ground, hatch=hatch, linewidth=0)
            for value in {min(below[i], above[i]), max(below[i], above[i])}:
                right = value >= middle
                axes.text(value + span * (0.012 if right else -0.012), place, written(value, unit), ha="left" if right else "right", va="center", fontsize=8)
        axes.axvline(middle, color=drawn.theme.text, linewidth=1.0)
        names_axis(axes.yaxis, [shortened(names[i], 36) for i in order])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(ends.min() - 0.16 * span, ends.max() + 0.16 * span)
        _value_axis(axes.xaxis, f"{metric}; unchanged: {written(middle, unit)}", unit)
        axes.grid(False, axis="y")
        _keys(drawn, (("key at its low end", drawn.theme.one, ""), ("key at its high end", drawn.theme.two, "///")))
        first = int(order[0])
        drawn.told = f"{shortened(names[first])} moves {metric} most: {written(below[first], unit)} to {written(above[first], unit)}."
    return drawn


def differences(
    designs: Sequence[str], difference: Sequence[float], low: Sequence[float], high: Sequence[float], *, baseline: str = "the first design", unit: str = "s",
    metric: str = "metric", title: str = "Paired comparison", theme: str = "light",
) -> Picture:  # fmt: skip
    """Draw the difference of each design from the baseline, with its interval; one that holds 0 is drawn hollow: the data do not tell.

    `difference`, `low`, `high` [unit]. Raises PictureError for lists that do not fit.
    """
    middle, bottom, top = _lists("differences", difference=difference, low=low, high=high)
    if len(designs) != len(middle):
        raise PictureError(f"picture 'differences': {len(designs)} designs for {len(middle)} differences; law: one for each; cure: give lists of one length")
    with picture(title, theme, 8.4, 1.9 + 0.42 * len(designs)) as drawn:
        axes = drawn.subplots()
        ends = np.concatenate([bottom, top, [0.0]])
        span = float(np.ptp(ends)) or 1.0
        clear = {"facecolor": drawn.theme.ground, "edgecolor": "none", "pad": 0.8}
        for place, (value, least, most) in enumerate(zip(middle, bottom, top)):
            told = not least <= 0 <= most
            colour = (drawn.theme.three if value < 0 else drawn.theme.two) if told else drawn.theme.muted
            axes.plot([least, most], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot([value], [place], marker="o", markersize=7, color=colour, markerfacecolor=colour if told else drawn.theme.ground)
            text = f"{written(value, unit)}  [{written(least, unit)}, {written(most, unit)}]" + ("" if told else "  not told apart")
            axes.annotate(text, (value, place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8, bbox=clear)
        axes.axvline(0.0, color=drawn.theme.text, linewidth=1.0, zorder=1)
        names_axis(axes.yaxis, [shortened(name, 32) for name in designs])
        axes.set_ylim(len(designs) - 0.5, -0.8)
        axes.set_xlim(ends.min() - 0.3 * span, ends.max() + 0.3 * span)
        _value_axis(axes.xaxis, f"{metric}, difference from {shortened(baseline)} (left of 0: less)", unit)
        axes.grid(False, axis="y")
        sure = [shortened(name) for name, least, most in zip(designs, bottom, top) if not least <= 0 <= most]
        drawn.told = f"{metric}: {', '.join(sure) or 'no design'} differ{'s' if len(sure) < 2 else ''} from {shortened(baseline)}."
    return drawn


def _lists(name: str, **given: Sequence[float]) -> list[Any]:
    """The lists as float64 columns of one length."""
    columns = [np.asarray(values, np.float64) for values in given.values()]
    if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns) or not len(columns[0]):
        lengths = ", ".join(f"{key} {np.size(values)}" for key, values in given.items())
        raise PictureError(f"picture '{name}': {lengths} values; law: lists of one length, with at least one value; cure: give one value for each point")
    return columns


def _value_axis(axis: Any, label: str, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter

    if unit == "%":
        share_axis(axis, label)
        return
    count_axis(axis, label if unit in UNITS else f"{label} [{unit}]", 6)
    if unit == "s":
        axis.set_major_formatter(FuncFormatter(lambda x, _: written(float(f"{x:.6g}"), unit)))


def _keys(drawn: Picture, keys: Sequence[tuple[str, str, str]]) -> None:
    """A legend of bars."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor=drawn.theme.ground, hatch=hatch, label=label, linewidth=0) for label, colour, hatch in keys]
    drawn.legend(handles=patches, loc="outside lower center", ncols=2, fontsize=8)
