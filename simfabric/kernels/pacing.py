"""Pacing: the downlink of a client that a fault slows down for a while, and that is as fast as before afterwards.

What is written is settled when it is written, so both paces are known then: until the fault ends, and from then on.
"""

from __future__ import annotations

from simfabric.kernels.state import DELAY, LINK_FREE_AT, PACE, Crowd

UNTIL, AFTER = 0, 1  # Columns of `crowd.slowed`: when the pace changes [ns], and the pace from then on [ns per byte]; until then it stands in the link.
HELD = 1 << 36  # The pace of a link that takes nothing: a byte in 69 s.


def sent_at(start: int, size: int, seat: int, crowd: Crowd) -> int:
    """When a link that begins at `start` has taken `size` bytes."""
    until, after = crowd.slowed[seat, UNTIL], crowd.slowed[seat, AFTER]
    if start >= until:
        return int(start + size * after)
    pace = crowd.link[seat, PACE] >> 16
    taken = (until - start) // pace
    return int(start + size * pace) if size <= taken else int(until + (size - taken) * after)


def is_full(now: int, wired: int, bound: int, seat: int, crowd: Crowd) -> bool:
    """Whether more than `bound` bytes wait at `now` for a link that will have taken all of them at `wired`."""
    if wired <= now:
        return False
    until, after = crowd.slowed[seat, UNTIL], crowd.slowed[seat, AFTER]
    if now >= until:
        return bool(after > 0 and wired - now > bound * after)
    waiting = (min(wired, until) - now) // (crowd.link[seat, PACE] >> 16)
    if wired > until:
        waiting += (wired - until) // after
    return bool(waiting > bound)


def answered_at(seat: int, at: int, crowd: Crowd) -> int:
    """When an answer that is ready at `at` reaches its client over a link that may be slow: it counts as one byte there."""
    start = max(at, crowd.link[seat, LINK_FREE_AT])
    return int((sent_at(start, 1, seat, crowd) if start < crowd.slowed[seat, UNTIL] else start) + crowd.link[seat, DELAY])
