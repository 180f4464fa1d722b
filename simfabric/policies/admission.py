"""Admission: whether a request may go on, and when, by what went before it.

A bucket fills evenly, one token an interval, up to its burst. All that has to be remembered of it is one time, `full_at`: when it would be full
again if nobody asked. A request pushes that time by its cost, and conforms as long as it lies no further ahead than a whole burst. With whole
nanoseconds this is exact: in no time t does a bucket admit more than burst + t / interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable

SECOND = 1_000_000_000


def interval_of(rate: float) -> int:
    """Time between two tokens [ns] at so many per second, in whole nanoseconds: never shorter than it should be. 1 MHz is out by 0.1 % at most."""
    return max(1, math.ceil(SECOND / rate * (1.0 - 1e-12)))  # The least bit less, so that what is whole stays so after the division.


def token_bucket(now: int, full_at: int, interval: int, burst: int, cost: int) -> tuple[bool, int, int]:
    """Whether a request for `cost` tokens is admitted, when the bucket is full again then, and, if it is refused, how long until it would not be [ns].

    Source: ITU-T I.371 (2004), annex A: the generic cell rate algorithm as virtual scheduling; TAT is `full_at`, its tolerance (burst - 1) intervals.
    Leaves out: two rates in one bucket (RFC 2698), sizes in bytes, requests that borrow from the future.
    """
    full_then = max(now, full_at) + cost * interval
    wait = full_then - burst * interval - now
    if wait > 0:
        return False, full_at, wait
    return True, full_then, 0


def leaky_bucket(now: int, full_at: int, interval: int, burst: int, cost: int) -> tuple[bool, int, int]:
    """The same as a queue that drains evenly, and holds a burst at most: who is admitted waits for its slot [ns], who finds it full is refused.

    It admits whom a token bucket admits. What leaves it is evenly spaced: in no time t more than 1 + t / interval.
    Source: J. Turner, "New directions in communications" (1986), the leaky bucket; as a queue: A. Tanenbaum, Computer Networks, and NGINX `limit_req`.
    Leaves out: a queue in another order than that of arrival; requests that give up while they wait.
    """
    admitted, full_then, wait = token_bucket(now, full_at, interval, burst, cost)
    if admitted:
        wait = max(0, full_at - now)
    return admitted, full_then, wait


Admission = Callable[[int, int, int, int, int], tuple[bool, int, int]]
ADMISSION: dict[str, Admission] = {"token_bucket": token_bucket, "leaky_bucket": leaky_bucket}
