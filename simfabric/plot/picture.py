"""A picture: a matplotlib figure that belongs to nobody else, says in a sentence what it shows, and draws itself in a notebook.

It is made without pyplot: nothing global changes, and it is gone when nobody holds it.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simfabric.plot.style import Theme, kind_of, settings, theme_of
from simfabric.running.text import plain


class Picture(Figure):
    """A figure in one theme; `told` is a sentence for those who do not see it."""

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        super().__init__(figsize=(width, height), dpi=100, facecolor=theme.ground, edgecolor=theme.ground, layout="constrained")
        FigureCanvasAgg(self)
        self.theme = theme
        self.told = ""

    def save(self, path: str | Path) -> None:
        """Write the picture; the kind of the file is told by its name: .png (150 dots an inch), .svg or .pdf."""
        path = Path(path)
        path.write_bytes(self._drawn(kind_of(path)))

    def svg(self) -> str:
        """The picture as an <svg> element, to stand in a page: no prolog, no metadata, letters as paths; `told` is its label."""
        text = self._drawn("svg").decode("utf-8")
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        return re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)

    def _drawn(self, kind: str) -> bytes:
        metadata: Any = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}, "png": {"Description": self.told}}[kind]
        held = io.BytesIO()
        with matplotlib.rc_context(settings(self.theme)):
            self.savefig(held, format=kind, dpi=150, metadata=metadata)
        return held.getvalue()

    def _repr_png_(self) -> bytes:
        return self._drawn("png")


@contextlib.contextmanager
def picture(title: str, theme: str, width: float, height: float) -> Iterator[Picture]:
    """An empty picture [inches] with a title; what is drawn inside the block looks as the theme says, and nothing else does."""
    colours = theme_of(theme)
    with matplotlib.rc_context(settings(colours)):
        drawn = Picture(width, height, colours)
        drawn.suptitle(shortened(title, int(width * 11)), x=0.012, ha="left", fontsize=11, fontweight="bold")
        yield drawn


def hatched(colour: str) -> Any:
    """A block in which hatches have this colour, whatever the version of matplotlib (some take it from the edge, some from the settings)."""
    changed: Any = {"hatch.color": colour}
    return matplotlib.rc_context(changed)


def shortened(name: str, most: int = 40) -> str:
    """A name as a picture may show it: printable, on one line, not too long."""
    clean = plain(str(name))
    return clean if len(clean) <= most else clean[: most - 1] + "…"
