"""Delay: how long deliveries took after the warm-up (histogram), and where the time went (distribution of every stage)."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.kernels.histogram import SUB, bin_edges
from simfabric.plot.picture import Picture, picture, shortened
from simfabric.plot.scales import Array, clock, duration_axis, share_axis
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import PictureError

BARS = 8  # In an octave; a histogram has 128 bins there.
SHORTEST = 1000.0  # What is shorter [ns] lies at the edge.
FEWEST = 20  # Samples of a stage below which its distribution is not drawn.
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 2)), (0, (2, 1)), (0, (3, 3)))  # Lines are told apart without colour too.
NAMES = {
    "gateway_in": "read at the gateway", "storage": "storage", "bus": "bus", "fanout": "fan-out", "gateway_wait": "wait at the subscriber's gateway",
    "recovery": "recovery after a break", "transient": "transient messages", "hot": "hot channels",
}  # fmt: skip


def delay(source: Any, theme: str = "light") -> Picture:
    """Draw the delays of a result (or its folder): left the histogram of deliveries with p50, p99 and the promise, right the share of each stage that took
    at most so long.

    Raises PictureError where nothing was delivered after the warm-up.
    """
    run = seen(source)
    total = _histogram(run, "delays")
    if not total.sum():
        raise PictureError("picture 'delay': nothing was delivered after the warm-up; law: a delay needs a delivery; cure: run longer (run.duration)")
    with picture(f"Delay of deliveries: {run.name}", theme, 9.6, 4.2) as drawn:
        left, right = drawn.subplots(1, 2)
        _bars(drawn, left, total)
        _quantiles(drawn, left, run)
        stages = {name: _histogram(run, "stages", name) for name in NAMES}
        shown = [("delivery", total), *((NAMES[name], found) for name, found in stages.items() if found.sum() >= FEWEST)]
        _distributions(drawn, right, shown)
        drawn.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(shown), 4), fontsize=8)
        median, tail = run.number("delay", "p50_s"), run.number("delay", "p99_s")
        drawn.told = f"Delay of {int(total.sum())} deliveries: half took at most {_told(median)}, 99 % at most {_told(tail)}."
    return drawn


def _told(s: float | None) -> str:
    return "an unknown time" if s is None else clock(s)


def _histogram(run: Seen, table: str, stage: str = "") -> Array:
    """A histogram as int64[bins], of the deliveries after the warm-up, or of one stage."""
    keys = run.names(table, "stage" if stage else "published")
    counts, begins = run.column(table, "count"), run.column(table, "from_ns")
    wanted = np.array([key == (stage or "after") for key in keys], bool)
    edges = bin_edges()
    found = np.zeros(len(edges) - 1, np.int64)
    place = np.clip(np.searchsorted(edges, begins[wanted], side="right") - 1, 0, len(found) - 1)
    np.add.at(found, place, np.maximum(counts[wanted], 0).astype(np.int64))
    return found


def _bars(drawn: Picture, axes: Any, histogram: Array) -> None:
    """The histogram in bars of an eighth of an octave: share of all deliveries in each."""
    edges, step = bin_edges(), SUB // BARS
    bars = histogram.reshape(-1, step).sum(axis=1)
    used = np.flatnonzero(bars)
    first, last = max(int(used[0]), BARS), max(int(used[-1]), BARS) + 1
    ends = edges[::step][first : last + 1]
    axes.stairs(bars[first:last] / histogram.sum(), ends, fill=True, color=drawn.theme.one, label="_bars")
    duration_axis(axes.xaxis, "delay, publication to arrival")
    share_axis(axes.yaxis, "share of deliveries")
    axes.set_xlim(max(ends[0] * 0.8, 1.0), ends[-1] * 1.6)
    axes.set_title("how many")


def _quantiles(drawn: Picture, axes: Any, run: Seen) -> None:
    """Lines at the quantiles that the samples support, and at the promise; the texts stand in a row each, so none covers another."""
    lines = [(name, run.number("delay", key), drawn.theme.text) for name, key in (("p50", "p50_s"), ("p99", "p99_s"), ("p99.9", "p999_s"))]
    promised = next((row for row in run.rows("slo") if isinstance(row, dict) and row.get("name") == "delivery p99"), {})
    target = promised.get("target")
    if isinstance(target, (int, float)) and not isinstance(target, bool) and 0 < target < 1e9:
        lines.append(("promised p99", float(target), drawn.theme.fault))
    low, high = axes.get_xlim()
    known = [(name, value, colour) for name, value, colour in lines if value is not None and value > 0]
    high = max([high, *(value * 1e9 * 1.6 for _, value, _ in known)])
    axes.set_xlim(low, high)
    axes.set_ylim(0, axes.get_ylim()[1] * (1.05 + 0.09 * len(known)))
    for row, (name, value, colour) in enumerate(known):
        at = value * 1e9
        axes.axvline(at, color=colour, linewidth=1.0, linestyle=(0, (4, 2)))
        right = np.log(at / low) / np.log(high / low) > 0.55
        axes.annotate(
            f"{name} {clock(value)}", (at, 1.0), xycoords=("data", "axes fraction"), xytext=(-3 if right else 3, -3 - 12 * row), textcoords="offset points",
            ha="right" if right else "left", va="top", fontsize=8, color=colour, backgroundcolor=drawn.theme.ground,
            bbox={"facecolor": drawn.theme.ground, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _distributions(drawn: Picture, axes: Any, shown: list[tuple[str, Array]]) -> None:
    """One line for each: the share that took at most so long."""
    edges = bin_edges()
    ends = []
    colours = [drawn.theme.text, *drawn.theme.series]
    for number, (name, histogram) in enumerate(shown):
        used = np.flatnonzero(histogram)
        below = np.cumsum(histogram[used]) / histogram.sum()
        at = np.maximum(edges[used + 1], 1.0)
        ends += [at[0], at[-1]]
        axes.step(
            np.concatenate([[at[0]], at]), np.concatenate([[0.0], below]), where="post", color=colours[number % len(colours)],
            linestyle=STYLES[number % len(STYLES)], linewidth=2.2 if number == 0 else 1.5, label=shortened(name),
        )  # fmt: skip
    duration_axis(axes.xaxis, "time in the stage")
    share_axis(axes.yaxis, "share that took at most so long")
    axes.set_xlim(max(min(ends) * 0.7, SHORTEST), max(max(ends) * 1.3, 10 * SHORTEST))
    axes.set_ylim(0, 1.02)
    axes.set_title("where the time goes")
