"""Marks of what happened to a run (deaths, arrivals, pauses): few, in words, in every panel that shows time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simfabric.plot.picture import Picture, shortened
from simfabric.plot.seen import Seen

ROWS = 4  # Of texts above the panels.
GATEWAY = re.compile(r"gateway (\d+) (killed|restarted|up again|joined)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `at_s`, and what it is called."""

    at_s: float
    text: str


def marks_of(seen: Seen) -> list[Mark]:
    """The events of a run; those of one kind that lie so close that a picture could not part them are one mark."""
    close = seen.simulated_s / 60
    groups: list[tuple[float, float, str, list[str]]] = []  # First and last time, kind, texts.
    for at, text in zip(seen.column("events", "at_ns") / 1e9, seen.names("events", "event")):
        matched = GATEWAY.match(text)
        kind = matched.group(2) if matched else re.sub(r"\d+", "#", text)
        near = next((i for i, (_, last, other, _) in enumerate(groups) if other == kind and at - last <= close), None)
        if near is None:
            groups.append((float(at), float(at), kind, [text]))
        else:
            first, _, _, texts = groups[near]
            groups[near] = (first, float(at), kind, [*texts, text])
    return [Mark(first, _called(kind, texts)) for first, _, kind, texts in groups]


def _called(kind: str, texts: list[str]) -> str:
    gateways = {matched.group(1) for text in texts if (matched := GATEWAY.match(text))}
    if gateways:
        return f"{len(gateways)} gateways {kind}" if len(gateways) > 1 else f"gateway {gateways.pop()} {kind}"
    return shortened(texts[0], 32) + (f" (x{len(texts)})" if len(texts) > 1 else "")


def draw_marks(drawn: Picture, panels: Sequence[Any], seen: Seen, share: float = 0.84) -> None:
    """A dashed line for every mark in all panels, and above the first one what it is; a text that finds no room is left out.

    `share`: of the picture's width that the panels will have.
    """
    found = marks_of(seen)
    for panel in panels:
        for mark in found:
            panel.axvline(mark.at_s, color=drawn.theme.fault, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1.5, label="_mark")
    if not found:
        return
    first = panels[0]
    taken = [-1.0] * ROWS  # Where the last text of each row ends, as a share of the panel.
    width = drawn.get_figwidth() * share
    begin, end = first.get_xlim()
    for mark in found:
        place = (mark.at_s - begin) / (end - begin)
        room = (len(mark.text) * 0.063 + 0.1) / width
        left = place + room > 1.0
        start, stop = (place - room, place) if left else (place, place + room)
        row = next((row for row in range(ROWS) if start > taken[row]), None)
        if row is None:
            continue
        taken[row] = stop
        first.annotate(
            mark.text, (mark.at_s, 1.0), xycoords=("data", "axes fraction"), xytext=(-3 if left else 3, 3 + 11 * row), textcoords="offset points",
            ha="right" if left else "left", va="bottom", fontsize=8, color=drawn.theme.fault, annotation_clip=False, label="_mark",
        )  # fmt: skip
