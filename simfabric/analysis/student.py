"""Student's t: the quantiles that intervals from few replications need, exact for whole degrees of freedom."""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache(maxsize=256)
def t_quantile(q: float, freedom: int) -> float:
    """Quantile q in (0, 1) of Student's t with `freedom` >= 1 degrees of freedom; t_quantile(0.975, 9) is 2.262.

    The two-sided probability is a finite sum of powers of a cosine (Abramowitz & Stegun 26.7.3 and 26.7.4), which is inverted by halving.
    """
    if q < 0.5:
        return -t_quantile(1.0 - q, freedom)
    least, most = 0.0, math.pi / 2.0
    for _ in range(60):
        angle = (least + most) / 2.0
        least, most = (angle, most) if within(angle, freedom) < 2.0 * q - 1.0 else (least, angle)
    return math.sqrt(freedom) * math.tan(least)


def within(angle: float, freedom: int) -> float:
    """The probability that |t| is at most sqrt(freedom) tan(angle)."""
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cosine * cosine
    total *= math.sin(angle)
    return (angle + total) * 2.0 / math.pi if odd else total
