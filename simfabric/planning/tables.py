"""Tables of text: aligned for a terminal, escaped for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

Row = Sequence[str]


def aligned(head: Row, rows: Sequence[Row], left: int = 1) -> list[str]:
    """Lines with columns as wide as they need; the first `left` columns begin at their left, the others end at their right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return ["  ".join(f"{cell:<{width}}" if i < left else f"{cell:>{width}}" for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in (head, *rows)]  # fmt: skip


def as_html(title: str, head: Row, rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """The same as an HTML table with a title above and notes below it; every text is escaped."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p><b>{html.escape(title)}</b></p><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{below}"
