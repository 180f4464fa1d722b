"""Axes that people read: times as 10s or 2min, counts as 10k, shares as 20 %, each with its unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from simfabric.units import format_count, format_duration

Array = np.ndarray[Any, Any]
NICE_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)  # Steps of a time axis.


def time_axis(axis: Any, end_s: float, most: int = 10) -> None:
    """Simulated time from 0 to `end_s`, with ticks at whole seconds, minutes or hours."""
    step = next((step for step in NICE_S if end_s / step <= most), end_s / most)
    axis.set_major_locator(FixedLocator([step * i for i in range(int(end_s / step + 0.5) + 1)]))
    unit, size = next((unit, size) for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)) if step >= size or unit == "ms")
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / size:.6g}{unit}"))
    axis.set_label_text("simulated time")


def count_axis(axis: Any, label: str, most: int = 5) -> None:
    """Counts or rates: 12k, 1.5M; the label holds the unit."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda x, _: format_count(float(f"{x:.6g}"))))
    axis.set_label_text(label)


def share_axis(axis: Any, label: str, most: int = 5) -> None:
    """Shares, as per cent."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.4g} %"))
    axis.set_label_text(label)


def duration_axis(axis: Any, label: str) -> None:
    """Durations [ns], logarithmic: 1ms, 10ms, 100ms."""
    axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
    axis.set_major_locator(LogLocator(10.0, numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: format_duration(x)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label)


def linear_duration_axis(axis: Any, label: str, most: int = 7) -> None:
    """Durations [ns], linear."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda x, _: format_duration(float(f"{x:.6g}"))))
    axis.set_label_text(label)


def names_axis(axis: Any, names: list[str]) -> None:
    """One tick for each name, at 0, 1, 2, …"""
    axis.set_major_locator(FixedLocator(list(range(len(names)))))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: names[int(x)] if 0 <= x < len(names) else ""))


def clock(s: float) -> str:
    """A duration [s] in four digits."""
    return format_duration(s * 1e9)
