"""Timeline: connections, messages, lag, losses and reconnects over simulated time, with a mark for everything that happened."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.plot.marks import draw_marks, marks_of
from simfabric.plot.picture import Picture, picture
from simfabric.plot.scales import Array, count_axis, time_axis
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import PictureError
from simfabric.units import format_count

# Panels: the label of the axis, the lines (column, name), and whether the columns count up (then they are shown per second).
PANELS = (
    ("connections", (("connected", "open"),), False),
    ("per second", (("published", "messages published"), ("delivered", "deliveries")), True),
    ("messages", (("lag", "lag: in the log, not committed"),), False),
    ("per second", (("dropped", "deliveries dropped"), ("tried_in_vain", "tried in vain"), ("replayed", "replayed")), True),
    ("per second", (("breaks", "breaks"), ("dials", "dials"), ("openings", "connected again"), ("refusals", "refused")), True),
)
ALWAYS = 2  # Panels that are drawn even when they are empty.


def timeline(source: Any, theme: str = "light") -> Picture:
    """Draw what happened when, of a result or its folder; panels in which nothing happened are left out, and named below.

    Raises PictureError where the run is too short to have two samples.
    """
    run = seen(source)
    at = samples_of(run)
    kept = [panel for number, panel in enumerate(PANELS) if number < ALWAYS or any(run.column("timeline", column).any() for column, _ in panel[1])]
    silent = [name for panel in PANELS if panel not in kept for _, name in panel[1]]
    with picture(f"Timeline: {run.name}", theme, 9.6, 1.1 + 1.35 * len(kept)) as drawn:
        panels = list(np.atleast_1d(drawn.subplots(len(kept), 1, sharex=True)))
        for axes, (label, lines, counts_up) in zip(panels, kept):
            _panel(drawn, axes, run, at, label, lines, counts_up)
        time_axis(panels[-1].xaxis, at[-1])
        if silent:
            panels[-1].set_xlabel(f"simulated time\nnothing to show: {'; '.join(silent)}")
        for axes in panels:
            axes.set_xlim(0, at[-1])
        draw_marks(drawn, panels, run, 0.69)
        drawn.align_ylabels(panels)
        happened = "; ".join(f"{mark.text} at {mark.at_s:g} s" for mark in marks_of(run)[:8]) or "nothing went wrong"
        most = format_count(run.column("timeline", "connected").max())
        drawn.told = f"Over {run.simulated_s:g} s of simulated time, at most {most} connections were open; {happened}."
    return drawn


def samples_of(run: Seen) -> Array:
    """The times of the timeline's samples [s], the start included."""
    at = run.column("timeline", "at_ns") / 1e9
    if len(at) < 2 or np.any(np.diff(at) <= 0) or at[0] <= 0:
        raise PictureError("picture 'timeline': the run has fewer than two samples; law: a line needs two points; cure: run longer (run.duration)")
    return np.concatenate([[0.0], at])


def per_second(run: Seen, at: Array, column: str) -> Array:
    """What a column that counts up grew by, per second, between one sample and the next: float64[samples]."""
    counted = np.concatenate([[0.0], run.column("timeline", column)])
    return np.asarray(np.diff(counted) / np.diff(at))


def _panel(drawn: Picture, axes: Any, run: Seen, at: Array, label: str, lines: tuple[tuple[str, str], ...], counts_up: bool) -> None:
    """Steps for what is counted between samples, lines for what is seen at them."""
    used = [(column, name) for column, name in lines if run.column("timeline", column).any()] or list(lines[:1])
    top = 0.0
    for (column, name), colour, style in zip(used, drawn.theme.series, ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))):
        values = per_second(run, at, column) if counts_up else run.column("timeline", column)
        top = max(top, float(values.max()))
        if counts_up:
            axes.stairs(values, at, baseline=None, color=colour, linestyle=style, label=name, linewidth=1.6)
        else:
            axes.plot(at[1:], values, color=colour, linestyle=style, label=name, drawstyle="steps-post")
    wide = counts_up and _far_apart(run, at, [column for column, _ in used])
    count_axis(axes.yaxis, label)
    axes.set_ylim(0, max(top, 1e-9) * 1.15 if top else 1)
    if wide:
        _symlog(axes, top, label)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _far_apart(run: Seen, at: Array, columns: list[str]) -> bool:
    """Whether lines differ so much that one would lie on the floor."""
    tops = [float(per_second(run, at, column).max()) for column in columns]
    return min(tops) > 0 and max(tops) / min(tops) > 20


def _symlog(axes: Any, top: float, label: str) -> None:
    """Decades above one a second, linear below."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_yscale("symlog", linthresh=1.0)
    count_axis(axes.yaxis, f"{label}\n(log)")
    decades = [0.0, *(10.0**k for k in range(int(np.log10(top)) + 1))]
    axes.yaxis.set_major_locator(FixedLocator(decades[:: max(1, len(decades) // 4)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, top * 2)
