"""Message sequence charts: who told whom what, and when, as plain text or as Mermaid source.

Each step is a row at the time it was sent; how long it was under way stands beside it, so that a reordering is two delays and not two
crossing lines. Repetitions become one row, labels are cleaned of whatever could move a cursor or end a line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from simfabric.errors import Refusal
from simfabric.units import format_duration

SECOND = 10**9
LOST = -1  # `arrives` of what never arrived.
LEAST_COLUMN = 10  # Cells from one lifeline to the next; eight participants still fit into 100.
MOST_LINES = 3  # Lines of one label; what is longer loses its middle.
NAMES_EVERY = 50  # Rows, after which the names stand again: a screen.
LONGEST_TURN = 4  # Steps that take turns and still fold: ping, pong and a note at each side.
FEWEST_TURNS = 3
FEW_NUMBERS = 3
PLAIN = frozenset(" _.,()/+=*!?'-×…≤–�")  # What Mermaid takes as it stands, besides letters and digits.


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a client's protocol: a message from `source` to `target`, or a note at one participant (both the same)."""

    at: int  # [ns] when it was sent or happened.
    arrives: int  # [ns] when it arrived; `at` for a note; -1 if it never did.
    source: str
    target: str
    what: str


def select(steps: Iterable[Step], *participants: str, first: int | None = None, last: int | None = None) -> list[Step]:
    """The steps that touch one of `participants` (none named: all of them) and were sent within [first, last] [ns]."""
    return [
        step
        for step in steps
        if (not participants or step.source in participants or step.target in participants)
        and (first is None or first <= step.at)
        and (last is None or step.at <= last)
    ]


def text(steps: Iterable[Step], *, order: Sequence[str] = (), width: int = 120, fold: bool = True, quiet: int = SECOND) -> str:
    """A chart of at most `width` cells a line: time, delay, and an arrow between lifelines; a diamond is a note, a blank time the same instant.

    `order` lists participants or their kinds ("client" stands for "client 7") from left to right, the others follow as they appear. `fold` writes
    repetitions as one row, `quiet` [ns] is the silence that gets a row of its own.
    """
    rows = _rows(steps, fold)
    if not rows:
        return "no steps\n"
    names = _participants(rows, order)
    times = _times(rows)
    pauses = [f"{format_duration(pause)} later" if pause else "" for pause in _pauses(rows, quiet)]
    at_width = max(map(len, times))
    gutter = max(at_width + 2 + max(5, *(len(row.delay) for row in rows)), *map(len, pauses))
    least = gutter + 2 + LEAST_COLUMN * len(names)
    if width < least:
        raise Refusal(f"a chart of {len(names)} participants takes {least} cells", f"give a width of at least {least}, or select fewer steps", value=str(width))
    chart = _Chart(names, rows, width - gutter - 2)
    lines: list[str] = []
    for k, row in enumerate(rows):
        told = "" if k % NAMES_EVERY and row.at == rows[k - 1].at else times[k]
        beside = f"{told:>{at_width}}  {row.delay:>{gutter - at_width - 2}}"
        if k % NAMES_EVERY == 0:
            *above, lowest = chart.names()
            heading = f"{'at':>{at_width}}  {'delay':>{gutter - at_width - 2}}"
            lines += [*([""] if k else []), *(_line(" " * gutter, cells) for cells in above), _line(heading, lowest)]
        if pauses[k]:
            lines.append(_line(f"{pauses[k]:>{gutter}}", chart.lifelines("⋮")))
        topmost, *below = chart.note(row) if row.source == row.target else chart.arrow(row)
        lines += [_line(beside, topmost), *(_line(" " * gutter, cells) for cells in below)]
    return "\n".join(lines) + "\n"


def mermaid(steps: Iterable[Step], *, order: Sequence[str] = (), fold: bool = True, quiet: int = SECOND) -> str:
    """The same chart as a Mermaid `sequenceDiagram`, times and delays in the labels; Mermaid draws sources of up to 50 000 characters."""
    rows = _rows(steps, fold)
    names = _participants(rows, order)
    alias = {name: f"p{k}" for k, name in enumerate(names)}
    everybody = "p0" if len(names) == 1 else f"p0,p{len(names) - 1}"
    lines = ["sequenceDiagram", *(f"    participant {alias[name]} as {_escaped(_clean(name))}" for name in names)]
    for row, time, pause in zip(rows, _times(rows), _pauses(rows, quiet)):
        if pause:
            lines.append(f"    Note over {everybody}: {_escaped(f'{format_duration(pause)} later')}")
        source, target = alias[row.source], alias[row.target]
        where = f"Note over {source}" if source == target else f"{source}{'-x' if row.lost else '->>'}{target}"
        delay = f" ({row.delay})" if row.delay else ""
        lines.append(f"    {where}: {_escaped(f'{time} {row.label}{delay}')}")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a chart: a step, or several of the same shape."""

    at: int  # [ns] when the first was sent.
    until: int  # [ns] when the last was sent.
    source: str
    target: str
    label: str
    delay: str
    lost: bool


def _rows(steps: Iterable[Step], fold: bool) -> list[_Row]:
    """The steps by time, repetitions of up to LONGEST_TURN steps taken together; the longest repetition wins, then the shortest turn."""
    ordered = sorted(steps, key=lambda step: step.at)
    # Two steps repeat each other if they differ in numbers only, such as "subscribe c1 from 5" and "subscribe c2 from 9".
    shapes = [(step.source, step.target, step.arrives == LOST, *re.split("[0-9]+", step.what)) for step in ordered]
    rows: list[_Row] = []
    start = 0
    while start < len(ordered):
        turn, times = 1, 1
        for length in range(1, LONGEST_TURN + 1) if fold else ():
            repeats = _repeats(shapes, start, length)
            if repeats * length > turn * times and (length == 1 or repeats >= FEWEST_TURNS):
                turn, times = length, repeats
        end = start + turn * times
        rows += [_row(ordered[k:end:turn], turn > 1) for k in range(start, start + turn)]
        start = end
    return rows


def _repeats(shapes: Sequence[tuple[object, ...]], start: int, length: int) -> int:
    """How often the `length` shapes from `start` follow each other."""
    repeats = 1
    while shapes[start : start + length] == shapes[start + repeats * length : start + (repeats + 1) * length]:
        repeats += 1
    return repeats


def _row(steps: Sequence[Step], by_turns: bool) -> _Row:
    """Steps of one shape as a row, its numbers together."""
    first, until = steps[0], steps[-1].at
    numbers = map(_together, zip(*(re.findall("[0-9]+", step.what) for step in steps)))
    label = _clean(re.sub("[0-9]+", lambda _: next(numbers), first.what))
    if len(steps) > 1:
        label += f" × {len(steps)}{' by turns' if by_turns else ''}{f' in {format_duration(until - first.at)}' if until > first.at else ''}"
    delays = {step.arrives - step.at for step in steps}
    delay = f"{'+' if len(delays) == 1 else '≤'}{format_duration(max(delays))}"
    if first.arrives == LOST:
        delay = "lost"
    elif first.source == first.target and delays == {0}:
        delay = ""
    return _Row(first.at, until, first.source, first.target, label, delay, first.arrives == LOST)


def _together(numbers: Sequence[str]) -> str:
    """Up to FEW_NUMBERS different ones in full, so that no 503 hides between two 200, or else the least and the greatest."""
    different = list(dict.fromkeys(numbers))
    if len(different) <= FEW_NUMBERS:
        return "/".join(different)
    different.sort(key=lambda digits: (len(digits), digits))
    return f"{different[0]}…{different[-1]}"


def _pauses(rows: Sequence[_Row], quiet: int) -> list[int]:
    """Before each row the time [ns] since anything was sent, or 0 where that is below `quiet`."""
    silences = [0, *(row.at - before.until for before, row in pairwise(rows))]  # Negative where rows take turns.
    return [silence if silence >= max(1, quiet) else 0 for silence in silences[: len(rows)]]


def _participants(rows: Sequence[_Row], order: Sequence[str]) -> list[str]:
    """By `order`, then by first appearance."""
    names = dict.fromkeys(name for row in rows for name in (row.source, row.target))
    return sorted(names, key=lambda name: next((k for k, kind in enumerate(order) if name == kind or name.startswith(f"{kind} ")), len(order)))


def _times(rows: Sequence[_Row]) -> list[str]:
    """When each row began [s]: to the millisecond, or finer where the whole chart spans less than 100 ms or 100 us."""
    span = max((row.until for row in rows), default=0) - min((row.at for row in rows), default=0)
    digits = 3 if span >= SECOND // 10 else 6 if span >= SECOND // 10_000 else 9
    return [f"{'-' if row.at < 0 else ''}{abs(row.at) // SECOND}.{f'{abs(row.at) % SECOND:09d}'[:digits]}s" for row in rows]


# --------------------------------------------------------------------------------------------------------------------------- labels


def _clean(label: str) -> str:
    """One line that moves no cursor: white space is one space, control characters are pictures, what has no picture is '�'."""
    visible = (" " if c.isspace() else c if c.isprintable() else chr(0x2400 + ord(c)) if c < " " else "�" for c in label)
    return " ".join("".join(visible).split()) or "–"


def _escaped(label: str) -> str:
    """With Mermaid's entity codes (#35; is '#') for all that may mean something to it; 'ﬂ' and '¶' are its own marks for them."""
    return "".join(c if (c.isalnum() and c != "ﬂ") or c in PLAIN else f"#{ord(c)};" for c in label)


def _cells(label: str) -> int:
    """How many cells of a terminal a clean label takes."""
    return sum(map(_width, label))


def _width(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1


def _fitting(label: str, room: int) -> str:
    """The longest beginning that takes at most `room` cells."""
    taken = 0
    for k, c in enumerate(label):
        taken += _width(c)
        if taken > room:
            return label[:k]
    return label


def _wrapped(label: str, room: int) -> list[str]:
    """At most MOST_LINES lines of at most `room` cells, broken at spaces where there are any; the last may lose its middle."""
    lines: list[str] = []
    while _cells(label) > room and len(lines) < MOST_LINES - 1:
        head = _fitting(label, room)
        if label[len(head)] != " " and " " in head:
            head = head[: head.rindex(" ")]
        lines.append(head)
        label = label[len(head) :].lstrip(" ")
    if _cells(label) > room:
        label = f"{_fitting(label, room // 2)}…{_fitting(label[::-1], (room - 1) // 2)[::-1]}"
    return [*lines, label]


# -------------------------------------------------------------------------------------------------------------------------- drawing


class _Chart:
    """Lifelines at their columns; each call draws the lines of one row as cells."""

    def __init__(self, names: Sequence[str], rows: Sequence[_Row], room: int) -> None:
        self.named = [_clean(name) for name in names]
        self.room = room
        self.widths = _column_widths(names, rows, room)
        self.x = {name: sum(self.widths[:k]) for k, name in enumerate(names)}

    def lifelines(self, mark: str = "│") -> list[str]:
        cells = [" "] * self.room
        for x in self.x.values():
            cells[x] = mark
        return cells

    def names(self) -> list[list[str]]:
        """The names, each from its lifeline to the right, its last line just above."""
        wrapped = [_wrapped(name, width - 1) for name, width in zip(self.named, self.widths)]
        height = max(map(len, wrapped))
        lines = [[" "] * self.room for _ in range(height)]
        for x, parts in zip(self.x.values(), wrapped):
            for cells, part in zip(lines[height - len(parts) :], parts):
                _put(cells, x, part)
        return lines

    def arrow(self, row: _Row) -> list[list[str]]:
        """An arrow with its label in it, or under its label if that is too long."""
        left, right = sorted((self.x[row.source], self.x[row.target]))
        shaft = self.lifelines()
        shaft[left + 1 : right] = ["┼" if cell == "│" else "─" for cell in shaft[left + 1 : right]]
        forward = self.x[row.source] == left
        head = "✕" if row.lost else "▶" if forward else "◀"
        start, end, tail = (left, right - 1, "├") if forward else (right, left + 1, "┤")
        shaft[start], shaft[end] = tail, head
        if _cells(row.label) <= right - left - 6:
            _put(shaft, left + (2 if forward else 3), f" {row.label} ")
            return [shaft]
        above = []
        for part in _wrapped(row.label, right - left - 3):
            above.append(self.lifelines())
            _put(above[-1], left + 1, f" {part} ")
        return [*above, shaft]

    def note(self, row: _Row) -> list[list[str]]:
        """A note at the right of its lifeline; at the left where only there is room enough."""
        x = self.x[row.source]
        after, before = self.room - x - 2, x - 2
        rightwards = _cells(row.label) <= after or after >= before
        lines = []
        for part in _wrapped(row.label, after if rightwards else before):
            lines.append(self.lifelines())
            _put(lines[-1], x + 1 if rightwards else x - _cells(part) - 2, f" {part} ")
        lines[0][x] = "◆"
        return lines


def _column_widths(names: Sequence[str], rows: Sequence[_Row], room: int) -> list[int]:
    """Cells from each lifeline to the next, and from the last to the edge: what names and arrows ask for, the widest cut down to what there is.

    Notes may cross the lifelines at their right, so they get only what is left over.
    """
    place = {name: k for k, name in enumerate(names)}
    widths = [max(LEAST_COLUMN, min(_cells(_clean(name)) + 2, room)) for name in names]
    arrows = [(*sorted((place[row.source], place[row.target])), _cells(row.label) + 6) for row in rows if row.source != row.target]
    for left, right, need in sorted(arrows, key=lambda arrow: arrow[1] - arrow[0]):
        lacking = min(need, room) - sum(widths[left:right])
        for k in range(left, right) if lacking > 0 else ():
            widths[k] += -(-lacking // (right - left))
    widest = max(widths)
    while sum(min(width, widest) for width in widths) > room:
        widest -= 1
    widths = [min(width, widest) for width in widths]
    for row in rows:
        if row.source == row.target:
            k = place[row.source]
            widths[k] += max(0, min(_cells(row.label) + 4 - widths[k], room - sum(widths)))
    return widths


def _put(cells: list[str], x: int, label: str) -> None:
    """Write a label from cell x on. A wide character leaves the next cell empty, a combining mark joins the cell before it."""
    for c in label:
        width = _width(c)
        if width == 0:
            cells[max(0, min(x, len(cells)) - 1)] += c
        elif x + width <= len(cells):
            cells[x : x + width] = [c, *[""] * (width - 1)]
        x += width


def _line(beside: str, cells: Sequence[str]) -> str:
    return f"{beside}  {''.join(cells)}".rstrip()
