"""Pictures of studies: what `sf.sensitivity` and `sf.compare` found, with their simultaneous intervals."""

from __future__ import annotations

from simfabric.planning.comparison import Comparison
from simfabric.planning.influence import Tornado
from simfabric.planning.metrics import METRICS
from simfabric.plot.curves import differences, tornado
from simfabric.plot.picture import Picture
from simfabric.plot.style import PictureError
from simfabric.running.text import plain

UNITS = {"s": "s", "share": "%", "ratio": "", "1/s": "1/s"}  # Of metrics, as curves write them; others are counts.


def study(found: Tornado | Comparison, metric: str | None = None, theme: str = "light") -> Picture:
    """Draw a tornado (each key at both ends, around the topology as it is) or a comparison (each design's difference to the first, in one metric, by default
    the first).

    Raises PictureError where the runs do not tell the metric, or the study is of another kind.
    """
    if isinstance(found, Tornado):
        return _tornado(found, theme)
    if isinstance(found, Comparison):
        return _comparison(found, metric or found.metrics[0], theme)
    law = "law: a tornado or a comparison can be drawn"
    raise PictureError(f"picture 'study': {type(found).__name__}; {law}; cure: give what sf.sensitivity (method 'tornado') or sf.compare returned")


def _tornado(found: Tornado, theme: str) -> Picture:
    """The metric at both ends of each key; a key of which no effect is sure says so."""
    base = found.base
    names, low, high = [], [], []
    for key in found.order:
        ends = [found.difference(key, high=end) for end in (False, True)]
        if base is not None and ends[0] is not None and ends[1] is not None:
            one = found.keys[key]
            unsure = "" if ends[0].decided or ends[1].decided else " (not sure)"
            names.append(f"{one.path} {one.at(0.0)} to {one.at(1.0)}{unsure}")
            low.append(base.estimate + ends[0].difference.estimate)
            high.append(base.estimate + ends[1].difference.estimate)
    if base is None or not names:
        raise _untold(found.metric)
    title = f"What moves {found.metric}: {plain(found.topology.name or 'topology')}"
    return tornado(names, low, high, middle=base.estimate, unit=_unit(found.metric), metric=found.metric, title=title, theme=theme)


def _comparison(found: Comparison, metric: str, theme: str) -> Picture:
    """Each design against the first one."""
    if metric not in found.metrics:
        raise PictureError(f"picture 'study': metric '{plain(metric)}' was not compared; law: it is one of {', '.join(found.metrics)}; cure: name one of them")
    told = [(design.label, pair.difference) for i, design in enumerate(found.designs) if i and (pair := found.paired(metric, i)) is not None]
    if not told:
        raise _untold(metric)
    columns = ([getattr(difference, name) for _, difference in told] for name in ("estimate", "low", "high"))
    title = f"{metric} by {', '.join(found.vary)}: {plain(found.topology.name or 'topology')}"
    first = found.designs[0].label
    drawn = differences([label for label, _ in told], *columns, baseline=first, unit=_unit(metric), metric=metric, title=title, theme=theme)
    drawn.told = f"{metric}: {found.verdict(metric).says}."
    return drawn


def _unit(metric: str) -> str:
    return UNITS.get(METRICS[metric].unit, "")


def _untold(metric: str) -> PictureError:
    return PictureError(f"picture 'study': no run tells {metric}; law: a difference needs runs that tell the metric; cure: run longer, or name another metric")
