"""Pictures of results: each is one function of a result (or of the folder that one was saved in) and a theme, and returns a matplotlib figure.

    result.plot.timeline().save("timeline.png")
    sf.plot.draw("timeline", "results/stage_b", theme="dark").save("timeline.svg")

Matplotlib is loaded with the first picture, not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfabric.errors import did_you_mean, shown
from simfabric.plot.style import PictureError, kind_of, theme_of

if TYPE_CHECKING:
    from simfabric.plot.picture import Picture

# The pictures of a result: the module of each, and what it shows.
PICTURES = {
    "topology": ("drawing", "the components, and how busy they are"),
    "timeline": ("timeline", "connections, messages, lag, losses and reconnects, with what went wrong"),
    "delay": ("delay", "how long deliveries took, and where the time went"),
    "gateways": ("gateways", "connections and load of every gateway over time"),
    "fan_out": ("fan_out", "deliveries, frames and work per publication"),
    "storm": ("storm", "dials attempted, refused and accepted"),
    "waterfall": ("waterfall", "the stages of one message"),
}
# Pictures of plans: from plain numbers, and of what sf.sensitivity or sf.compare returned.
CURVES = {"capacity": "curves", "tornado": "curves", "differences": "curves", "study": "studies"}


def draw(name: str, source: Any, theme: str = "light") -> Picture:
    """Draw the picture of a name; `source`: a Result, or the folder of one. Raises PictureError for an unknown name or where there is nothing to show."""
    _known(name)
    drawn: Picture = _function(name)(source, theme=theme)
    return drawn


def prepared(name: str, theme: str, out: Path) -> None:
    """Look at what was asked for before anything is run: raises PictureError for a name, theme or kind of file that there is not."""
    _known(name)
    theme_of(theme)
    kind_of(out)


def _known(name: str) -> None:
    if name not in PICTURES:
        cure = did_you_mean(name, PICTURES) or f"name one of {', '.join(PICTURES)}"
        raise PictureError(f"picture '{shown(name)}': there is none; law: a picture is one of {', '.join(PICTURES)}; cure: {cure}")


def __getattr__(name: str) -> Any:
    """capacity, tornado, differences and study, when they are first used."""
    if name in CURVES:
        return _function(name)
    raise AttributeError(f"simfabric.plot has no {name!r}; it has draw, {', '.join(CURVES)}, and of a result {', '.join(PICTURES)}")


def _function(name: str) -> Callable[..., Any]:
    module = CURVES[name] if name in CURVES else PICTURES[name][0]
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(f"simfabric.plot.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("matplotlib", "networkx"):
            raise PictureError("pictures need matplotlib and networkx; cure: pip install 'simfabric[plot]'") from None
        raise
    return found


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of one result: `result.plot.timeline(theme="dark")`. Each returns a figure that can `save` itself."""

    result: Any

    def topology(self, theme: str = "light") -> Picture:
        """The components from left to right, with their utilisation."""
        return draw("topology", self.result, theme)

    def timeline(self, theme: str = "light") -> Picture:
        """Connections, messages, lag, losses and reconnects over time, with marks for what went wrong."""
        return draw("timeline", self.result, theme)

    def delay(self, theme: str = "light") -> Picture:
        """Histogram of the delivery delay, and the distribution of every stage."""
        return draw("delay", self.result, theme)

    def gateways(self, theme: str = "light") -> Picture:
        """Heat map of connections and load of every gateway over time."""
        return draw("gateways", self.result, theme)

    def storm(self, theme: str = "light") -> Picture:
        """Dials attempted, refused and accepted per second."""
        return draw("storm", self.result, theme)

    def fan_out(self, *others: Any, theme: str = "light") -> Picture:
        """Deliveries, frames and work per publication; with other results, side by side."""
        return draw("fan_out", [self.result, *others] if others else self.result, theme)

    def waterfall(self, message: int | None = None, theme: str = "light") -> Picture:
        """The stages of one message of the sample; without a number, of the slowest."""
        drawn: Picture = _function("waterfall")(self.result, message=message, theme=theme)
        return drawn
