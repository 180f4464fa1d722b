"""Latency waterfall: where one message was, from publication to its last delivery."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.plot.picture import Picture, picture
from simfabric.plot.scales import Array, linear_duration_axis, names_axis
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import PictureError, ink_on
from simfabric.units import format_duration

# The column that says when a stage ended, the stage, and what it is made of.
STAGES = (
    ("received_at_ns", "to the gateway", "network, wait and read"),
    ("saved_at_ns", "storage", "hop, wait and write"),
    ("appended_at_ns", "bus: appended", "batch, hop and append"),
    ("visible_at_ns", "bus: replicated", "copies on other brokers"),
    ("routed_at_ns", "fan-out", "fetch, wait and look-up"),
)


def waterfall(source: Any, message: int | None = None, theme: str = "light") -> Picture:
    """Draw the stages of one message of a result's (or folder's) sample, by its number; without one, the message that took longest to be routed.

    A result that was run with `trail=True` shows the first, the median and the last delivery, too. Raises PictureError where there is no such message.
    """
    run = seen(source)
    row = _row(run, message)
    number, began, stages = _stages(run, row)
    if not stages:
        raise PictureError(f"picture 'waterfall': message {number} got nowhere; law: a waterfall needs a stage; cure: name another message")
    with picture(f"Message {number}, stage by stage: {run.name}", theme, 9.6, 1.5 + 0.42 * len(stages)) as drawn:
        axes = drawn.subplots()
        total = max(end for _, _, _, end in stages)
        for place, (name, detail, start, end) in enumerate(stages):
            colour = drawn.theme.three if name.startswith("delivery") else drawn.theme.one
            axes.barh(place, max(end - start, total * 0.002), left=start, height=0.6, color=colour)
            _written(axes, place, start, end, total, f"{format_duration(float(f'{end - start:.3g}'))}, {detail}", colour)
        names_axis(axes.yaxis, [name for name, *_ in stages])
        linear_duration_axis(axes.xaxis, f"time since publication, at {began / 1e9:.6g} s of simulated time")
        axes.set_xlim(0, total * 1.02)
        axes.set_ylim(len(stages) - 0.5, -0.5)
        axes.grid(False, axis="y")
        longest = max(stages[: len(STAGES)], key=lambda stage: stage[3] - stage[2])
        drawn.told = f"Message {number}: {format_duration(total)} in all; its longest stage was {longest[0]}, {format_duration(longest[3] - longest[2])}."
    return drawn


def _written(axes: Any, place: int, start: float, end: float, total: float, text: str, colour: str) -> None:
    """The text of a stage: behind its bar, before it, or, where neither has room, on it."""
    if end <= total * 0.6:
        axes.text(end + total * 0.01, place, text, ha="left", va="center", fontsize=8)
    elif start >= total * 0.4:
        axes.text(start - total * 0.01, place, text, ha="right", va="center", fontsize=8)
    else:
        axes.text((start + end) / 2, place, text, ha="center", va="center", fontsize=8, color=ink_on(colour))


def _row(run: Seen, message: int | None) -> int:
    """The place of the message in the sample."""
    numbers = run.column("messages", "message")
    if not len(numbers):
        raise PictureError("picture 'waterfall': the result has no messages; law: it keeps a sample of run.messages; cure: run.messages=1000")
    if message is None:
        return int(np.argmax(run.column("messages", "routed_at_ns") - run.column("messages", "published_at_ns")))
    found = np.flatnonzero(numbers == message)
    if not len(found):
        law = f"law: the sample holds {len(numbers)} messages from {int(numbers.min())} to {int(numbers.max())}"
        raise PictureError(f"picture 'waterfall': message {message} is not in the sample; {law}; cure: name one of them, or none")
    return int(found[0])


def _stages(run: Seen, row: int) -> tuple[int, float, list[tuple[str, str, float, float]]]:
    """The message, its publication [ns], and its stages: name, what it is made of, begin and end [ns after it]; none it did not reach."""
    number = int(run.column("messages", "message")[row])
    began = float(run.column("messages", "published_at_ns")[row])
    stages, before = [], began
    for column, name, detail in STAGES:
        end = float(run.column("messages", column)[row])
        if end >= before and end > 0:
            if end > before:
                stages.append((name, detail, before - began, end - began))
            before = end
    arrivals = _arrivals(run, number)
    if len(arrivals):
        for name, at in (("first", arrivals[0]), ("median", arrivals[(len(arrivals) - 1) // 2]), ("last", arrivals[-1])):
            stages.append((f"delivery: {name}", f"of {len(arrivals)}: wait, write and network", before - began, float(at) - began))
    return number, began, stages


def _arrivals(run: Seen, number: int) -> Array:
    """When the message arrived, in order [ns]; empty without a trail."""
    if run.trail is None:
        return np.empty(0, np.int64)
    return np.asarray(np.sort(run.trail[run.trail[:, 0] == number, 2]))
