"""Heat map of gateways: the connections that each of them holds, and how busy it is, over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.plot.marks import draw_marks
from simfabric.plot.picture import Picture, hatched, picture
from simfabric.plot.scales import Array, time_axis
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import AMOUNTS, PictureError
from simfabric.running.saving import ResultError
from simfabric.units import format_count


def gateways(source: Any, theme: str = "light") -> Picture:
    """Draw connections and utilisation of every gateway over time, of a result or its folder; hatched: the gateway is not up.

    Raises PictureError where the run has no two samples.
    """
    run = seen(source)
    at, held, used = _cells(run)
    count = held.shape[1]
    with picture(f"Gateways over time: {run.name}", theme, 9.6, 2.6 + 2 * min(2.6, 0.35 + 0.22 * count)) as drawn:
        panels = drawn.subplots(2, 1, sharex=True)
        open_then = np.vstack([held[:1], held[:-1]])  # What a sample saw lasts until the next one.
        up = open_then >= 0
        _map(drawn, panels[0], at, np.where(up, open_then, np.nan), "connections", lambda x, _: format_count(float(f"{x:.6g}")), float(np.max(held, initial=1)))
        _map(
            drawn,
            panels[1],
            at,
            np.where(up | (used > 0), used, np.nan),
            "busy, share of its cores' time",
            lambda x, _: f"{100 * x:.3g} %",
            float(np.max(used, initial=0.01)),
        )
        time_axis(panels[1].xaxis, at[-1])
        draw_marks(drawn, panels, run)
        drawn.told = f"{count} gateways: at most {format_count(held.max())} connections on one, at most {used.max():.0%} busy between two samples."
    return drawn


def _cells(run: Seen) -> tuple[Array, Array, Array]:
    """The edges of the samples [s], float64[samples + 1], connections and utilisation of every gateway in them, float64[samples, gateways]."""
    all_at, gateway = run.column("gateways", "at_ns"), run.column("gateways", "gateway")
    count = int(gateway.max(initial=-1)) + 1
    samples = len(gateway) // count if count > 0 else 0
    if samples < 2:
        raise PictureError("picture 'gateways': the run has fewer than two samples; law: time needs two; cure: run longer (run.duration)")
    at = all_at[::count] / 1e9
    if samples * count != len(gateway) or not np.array_equal(gateway, np.tile(np.arange(count), samples)) or at[0] <= 0 or np.any(np.diff(at) <= 0):
        raise ResultError(f"{run.place}: table gateways is not whole; law: every gateway at every sample; cure: run the topology again with --out")
    edges = np.concatenate([[0.0], at])
    held = run.column("gateways", "connections").reshape(samples, count)
    busy = np.vstack([np.zeros(count), run.column("gateways", "busy_ns").reshape(samples, count)])
    return edges, held, np.diff(busy, axis=0) / (np.diff(edges)[:, None] * 1e9)


def _map(drawn: Picture, axes: Any, at: Array, cells: Array, label: str, written: Any, most: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    count = cells.shape[1]
    axes.grid(False)
    with hatched(drawn.theme.muted):
        axes.fill_between([at[0], at[-1]], -0.5, count - 0.5, facecolor="none", edgecolor=drawn.theme.muted, hatch="////", linewidth=0, zorder=0)
    mesh = axes.pcolormesh(at, np.arange(count + 1) - 0.5, cells.T, cmap=AMOUNTS, vmin=0, vmax=max(most, 1e-9), rasterized=True, zorder=1)
    axes.set_ylim(count - 0.5, -0.5)
    axes.yaxis.set_major_locator(MaxNLocator(min(count, 8), integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: str(int(x)) if 0 <= x < count else ""))
    axes.set_ylabel("gateway")
    bar = drawn.colorbar(mesh, ax=axes, pad=0.01, aspect=12)
    bar.set_label(label)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(written))
    bar.outline.set_edgecolor(drawn.theme.muted)
