"""Connection storm: dials attempted, refused and accepted in each second, and how many clients are still without a connection."""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.plot.marks import draw_marks
from simfabric.plot.picture import Picture, picture
from simfabric.plot.scales import count_axis, time_axis
from simfabric.plot.seen import seen
from simfabric.plot.style import PictureError
from simfabric.plot.timeline import per_second, samples_of
from simfabric.units import format_count

LINES = (("dials", "attempted", "-"), ("refusals", "refused", (0, (5, 1.5))), ("openings", "accepted", (0, (1, 1))))


def storm(source: Any, theme: str = "light") -> Picture:
    """Draw the dials of a result or its folder; raises PictureError where nobody dialled."""
    run = seen(source)
    at = samples_of(run)
    dials = run.column("timeline", "dials")
    if not dials.any():
        raise PictureError(
            "picture 'storm': nobody dialled; law: a storm needs dials; cure: give the topology a fault, such as topologies/reconnect_storm.yaml"
        )
    with picture(f"Connection storm: {run.name}", theme, 9.6, 4.6) as drawn:
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for (column, name, style), colour in zip(LINES, drawn.theme.series):
            above.stairs(per_second(run, at, column), at, baseline=None, color=colour, linestyle=style, linewidth=1.8, label=name)
        count_axis(above.yaxis, "dials per second")
        above.set_ylim(bottom=0)
        above.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        connected = run.column("timeline", "connected")
        below.fill_between(at[1:], connected.max() - connected, color=drawn.theme.two, step="post", linewidth=0, label="not connected")
        count_axis(below.yaxis, "clients without\na connection", 4)
        below.set_ylim(0, max(1.0, float((connected.max() - connected).max()) * 1.1))
        time_axis(below.xaxis, at[-1])
        below.set_xlim(0, at[-1])
        draw_marks(drawn, (above, below), run, 0.78)
        drawn.align_ylabels((above, below))
        peak = int(np.argmax(per_second(run, at, "dials")))
        drawn.told = (
            f"{format_count(dials[-1])} dials, at most {format_count(round(per_second(run, at, 'dials')[peak]))} per second at {at[peak + 1]:g} s; "
            f"{format_count(run.column('timeline', 'refusals')[-1])} were refused."
        )
    return drawn
