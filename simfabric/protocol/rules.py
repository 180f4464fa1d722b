"""Rules: what numbers follow from what numbers. Time and chance are arguments, so a rule has no memory and no clock.

Each is a plain scalar function: sessions call it, populations compile it, and nothing else states it again.
"""

from __future__ import annotations


def backoff(attempt: int, first: int, factor: float, cap: int, jitter: float, u: float) -> int:
    """Delay [ns] before reconnect number `attempt` = 0, 1, …: first · factor^attempt, at most `cap`, then spread evenly by ± `jitter`.

    `u` is uniform on [0, 1); the delay lies within (1 ± jitter) times the capped one, so it may exceed the cap by the jitter.
    """
    delay = float(min(first, cap))
    for _ in range(attempt):
        if delay >= cap:
            break
        delay = min(delay * factor, float(cap))
    return int(delay * (1.0 + jitter * (2.0 * u - 1.0)) + 0.5)
