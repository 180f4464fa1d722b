"""The page: verdicts first, then what limits the fabric, the figures, the pictures, and the topology that was run.

It is one file without scripts; its policy forbids loading anything. Pictures are drawn once, in the light theme; their colours are then made variables
of the page, which have other values where the reader prefers dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfabric.errors import SimfabricError, shown
from simfabric.plot import PICTURES, draw
from simfabric.plot.seen import Seen, seen
from simfabric.plot.style import DARK, LIGHT, PictureError, Theme
from simfabric.report import sections
from simfabric.report.markup import Markup, element, escaped

if TYPE_CHECKING:
    from simfabric.plot.picture import Picture

TITLES = {
    "topology": "The fabric", "timeline": "What happened", "delay": "Delays", "gateways": "Gateways", "fan_out": "What a publication costs",
    "storm": "Reconnects", "waterfall": "The slowest message",
}  # fmt: skip
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
body{background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;margin:.5rem 0} h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--grid)}
p.muted,figcaption,caption{color:var(--muted)} figure{margin:1rem 0;overflow-x:auto} figure svg{max-width:100%;height:auto}
svg *{stroke-linejoin:round;stroke-linecap:butt}
.wide{overflow-x:auto} table{border-collapse:collapse;margin:.5rem 0} caption{text-align:left}
th,td{padding:.2rem .9rem .2rem 0;text-align:right;border-bottom:1px solid var(--grid);font-variant-numeric:tabular-nums}
th[scope=row],thead th:first-child{text-align:left} th{font-weight:600}
.met{color:var(--three);font-weight:600} .missed{color:var(--fault);font-weight:600} .unknown{color:var(--muted)}
pre{overflow-x:auto;background:var(--ground);border:1px solid var(--grid);padding:.75rem;font-size:.8rem;line-height:1.35}
summary{cursor:pointer}
"""


def prepared(out: Path) -> None:
    """Raise SimfabricError where a page would not be named .html, before anything is run."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise SimfabricError(f"{shown(str(out))}: no name of a page; law: a report is an .html file; cure: --out {shown(out.stem)}.html")


def write(source: Any, out: str | Path) -> None:
    """Write the page about a result, or about the folder of one, to an .html file."""
    prepared(Path(out))
    Path(out).write_text(page(source), encoding="utf-8")


def page(source: Any) -> str:
    """The page about a result, or about the folder that one was saved in, as HTML; raises ResultError where the folder holds none."""
    run = seen(source)
    head = element(
        "head", Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}">'),
        element("title", f"{run.name}: report"), element("style", Markup(_themes() + STYLE)),
    )  # fmt: skip
    body = element("body", element("main", *sections.of(run), *_pictures(run), *sections.sources(run)))
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _themes() -> str:
    """The colours of both themes as variables."""

    def block(theme: Theme) -> str:
        return ":root{" + "".join(f"--{name}:{colour};" for name, colour in theme.colours().items()) + "}"

    return f":root{{color-scheme:light dark}}{block(LIGHT)}@media (prefers-color-scheme:dark){{{block(DARK)}}}"


def _pictures(run: Seen) -> Iterator[Markup]:
    """Every picture that has something to show; of the others, why not."""
    missing = []
    for name in PICTURES:
        try:
            drawn = draw(name, run)
        except PictureError as error:
            missing.append(str(error))
            continue
        figure = element("figure", inline(drawn, name), element("figcaption", drawn.told))
        yield element("section", element("h2", TITLES[name]), figure)
    if missing:
        yield element("p", "Pictures that had nothing to show:", *(Markup(f"<br>{escaped(text)}") for text in missing), class_="muted")


def inline(drawn: Picture, name: str) -> Markup:
    """A picture as an element of the page: colours as variables, identifiers of its own, and a label for those who do not see it."""
    text = drawn.svg()
    for colour_name, colour in drawn.theme.colours().items():
        text = text.replace(colour, f"var(--{colour_name})")
    text = re.sub(r'\b(id="|href="#|url\(#)', lambda found: f"{found.group(1)}{name}-", text)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escaped(drawn.told)}" ', 1))
