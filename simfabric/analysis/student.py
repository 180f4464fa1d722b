"""Student's t and the binomial law, from the regularized incomplete beta function: what intervals need of them, without scipy (4.5 s to import).

The incomplete beta function is its continued fraction (Abramowitz and Stegun, 26.5.8, evaluated by Lentz's method); quantiles of t are found by
bisection in it, and for many degrees of freedom by the expansion of Fisher and Cornish (26.7.5). Tests compare both with scipy to 1e-9.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

SMALLEST = 1e-300  # What Lentz's method puts in place of a zero denominator.
CLOSE = 1e-16
MANY = 2000  # Degrees of freedom from which the expansion is exact to 1e-9 and better.


def incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), the share of the Beta(a, b) law that lies below x, 0 <= x <= 1; a, b > 0."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # The fraction converges fast on the other side.
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return scale / a * _fraction(x, a, b)


def t_tail(t: float, freedom: float) -> float:
    """P(T > t) for t >= 0, with so many degrees of freedom."""
    return 0.5 * incomplete_beta(freedom / (freedom + t * t), 0.5 * freedom, 0.5)


@lru_cache(maxsize=4096)
def t_quantile(p: float, freedom: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1 and freedom >= 1."""
    if not (0.0 < p < 1.0 and freedom >= 1.0):
        raise ValueError(f"a t quantile needs 0 < p < 1 and at least one degree of freedom, not p = {p} and {freedom}")
    if p < 0.5:
        return -_upper(p, freedom)
    return _upper(1.0 - p, freedom) if p > 0.5 else 0.0


def binomial_at_most(k: int, n: int, p: float) -> float:
    """P(N <= k) of N successes in n tries, each with probability p."""
    if k < 0 or k >= n:
        return 0.0 if k < 0 else 1.0
    return incomplete_beta(1.0 - p, n - k, k + 1)


def _upper(tail: float, freedom: float) -> float:
    """The t >= 0 with P(T > t) = tail."""
    if freedom >= MANY:
        return _expanded(-NormalDist().inv_cdf(tail), freedom)
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        low, high = high, 2.0 * high
    while high - low > 1e-15 * high:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return 0.5 * (low + high)


def _expanded(z: float, freedom: float) -> float:
    """The t quantile from the normal one, in powers of 1 / freedom."""
    terms = (
        z,
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    value = d
    m = 0
    while True:
        m += 1
        before = value
        for step in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1.0 / _away(1.0 + step * d)
            c = _away(1.0 + step / c)
            value *= c * d
        if abs(value - before) <= CLOSE * abs(value) or m > 100_000:
            return value


def _away(x: float) -> float:
    return x if abs(x) > SMALLEST else SMALLEST
