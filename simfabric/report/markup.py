"""Pieces of HTML. Whatever text goes in is escaped here; only `Markup` is not escaped again."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Text as it may stand in HTML, in elements and in attributes; HTML stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def element(tag: str, *parts: str, **attributes: str) -> Markup:
    """An element: its parts and attributes are escaped; `class_` is written as class."""
    given = "".join(f' {name.rstrip("_")}="{escaped(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{joined(parts)}</{tag}>")


def joined(parts: Iterable[str]) -> Markup:
    """Parts one after the other, each escaped."""
    return Markup("".join(escaped(part) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Markup:
    """A table whose first column names its rows; the other columns are right-aligned."""
    heads = joined(element("th", name, scope="col") for name in head)
    body = joined(element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows)
    told = element("caption", caption) if caption else Markup("")
    return element("div", element("table", told, element("thead", element("tr", heads)), element("tbody", body)), class_="wide")
