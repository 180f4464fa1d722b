"""Roots under noise: where a promise is just kept, and how sure that is.

Every replication r looks at the same points with the same luck (common random numbers), so that what separates two points is the load and not
the luck. The **headroom** of a point is bound / metric - 1: positive where the promise is kept. Near saturation a queue's delay grows as
1 / (saturation - load), so the headroom is there nearly a straight line in the load; its zero is the root. The root is one statistic of all
replications; leaving out one after the other (the jackknife: Quenouille 1956, Tukey 1958) gives its bias and its standard error, the correlation
between the points included, and Student's t the interval.

Leaves out: curvature between two points (they lie close together), and what every run has in common, such as runs that are too short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simfabric.analysis.student import t_quantile

FARTHEST = 3.0  # A root is looked for at most so many distances of the two points beyond either of them.


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with an interval that holds the truth with probability `level`."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2.0

    @property
    def relative(self) -> float:
        """Half the length of the interval, as a share of the value."""
        return self.half_width / abs(self.value) if self.value else math.inf


def crossing(left: tuple[float, float], right: tuple[float, float], falling: bool) -> float:
    """Where the straight line through two points (x, headroom) is zero, at most FARTHEST distances beyond them.

    `falling`: headroom falls with x. A line that runs the other way, or nowhere, tells only on which side the root must be.
    """
    (a, at_a), (b, at_b) = left, right
    width = b - a
    least, most = a - FARTHEST * width, b + FARTHEST * width
    slope = (at_b - at_a) / width
    if slope == 0.0 or (slope < 0.0) != falling:
        meets = at_a + at_b >= 0.0
        return most if meets == falling else least
    return min(max(a - at_a / slope, least), most)


def jackknife(statistic: Callable[[Sequence[int]], float], replications: int, level: float, freedom: int | None = None) -> Estimate:
    """The interval of a statistic of replications 0 … n-1, which is asked for all of them and without each.

    The value is the statistic of all, less its bias where that is smaller than the standard error. `freedom`: degrees of freedom, where how many
    replications there are was decided by fewer of them (Stein 1945); not given: one less than there are. Infinite intervals from fewer than two.
    """
    everything = list(range(replications))
    whole = statistic(everything)
    if replications < 2:
        return Estimate(whole, -math.inf, math.inf)
    without = [statistic(everything[:r] + everything[r + 1 :]) for r in everything]
    mean = math.fsum(without) / replications
    error = math.sqrt((replications - 1) / replications * math.fsum((each - mean) ** 2 for each in without))
    bias = (replications - 1) * (mean - whole)
    value = whole - bias if abs(bias) <= error else whole
    half = t_quantile((1.0 + level) / 2.0, min(replications - 1, freedom or replications)) * error
    return Estimate(value, value - half, value + half)
