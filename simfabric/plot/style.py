"""How pictures look: two themes, colours that the colour-blind tell apart, and the contrast that is promised.

Colours are those of Okabe & Ito (2008), darkened on a light ground and lightened on a dark one until lines and marks have a contrast of 3:1
and text has 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.11). Amounts are drawn with cividis (Nuñez et al. 2018), which is the same for all eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from simfabric.errors import SimfabricError, did_you_mean, shown

KINDS = ("png", "svg", "pdf")  # Of files.
AMOUNTS = "cividis"  # The colour map of amounts.


class PictureError(SimfabricError):
    """A picture that cannot be drawn: there is nothing to show, or a name is wrong."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one ground, as #rrggbb, all different: a report swaps one theme for the other, colour by colour."""

    ground: str
    text: str
    muted: str  # Text of less weight.
    grid: str  # Lines that only help the eye.
    fault: str  # Marks of what went wrong.
    one: str
    two: str
    three: str
    four: str
    five: str
    six: str

    @property
    def series(self) -> tuple[str, ...]:
        """The colours of lines and bars, in the order in which they are used."""
        return (self.one, self.two, self.three, self.four, self.five, self.six)

    def colours(self) -> dict[str, str]:
        """Every colour by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


LIGHT = Theme(
    ground="#fffffe", text="#1b1f24", muted="#57606a", grid="#d8dee4", fault="#b3261e",
    one="#0072b2", two="#cc5500", three="#00815f", four="#a8457f", five="#8f6400", six="#5b6472",
)  # fmt: skip
DARK = Theme(
    ground="#14181d", text="#e6e9ed", muted="#a3adb8", grid="#2f363e", fault="#ff8a80",
    one="#56b4e9", two="#e69f00", three="#2fc79b", four="#d98bb6", five="#f0e442", six="#9aa6b2",
)  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK}


def theme_of(name: str) -> Theme:
    """The theme of a name, 'light' or 'dark'; raises PictureError for another one."""
    if name not in THEMES:
        raise PictureError(
            f"theme '{shown(str(name))}': there is none; law: a theme is {' or '.join(THEMES)}; cure: {did_you_mean(str(name), THEMES) or 'name one'}"
        )
    return THEMES[name]


def kind_of(path: Path) -> str:
    """The kind of a picture's file, from its name; raises PictureError where it is none of .png, .svg and .pdf."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise PictureError(f"{shown(str(path))}: no kind of picture; law: a picture is written as .png, .svg or .pdf; cure: name it so")
    return kind


def contrast(one: str, other: str) -> float:
    """The contrast of two colours #rrggbb, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour: at least 4.58:1 on any."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def settings(theme: Theme) -> Any:
    """What a picture asks of matplotlib, for the time of its making only. Names are text, never formulas."""
    return {
        "font.size": 9.0,
        "text.parse_math": False,
        "text.color": theme.text,
        "axes.facecolor": theme.ground,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.text,
        "axes.titlesize": 10.0,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": theme.grid,
        "grid.linewidth": 0.6,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.text,
        "ytick.labelcolor": theme.text,
        "legend.frameon": False,
        "legend.labelcolor": theme.text,
        "lines.linewidth": 1.6,
        "hatch.color": theme.ground,
        "hatch.linewidth": 0.6,
        "svg.fonttype": "path",
        "svg.hashsalt": "simfabric",
    }
