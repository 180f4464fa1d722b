"""Queues with lanes: the frames that wait for one server, and which of them goes next; see policies/lanes.py.

What has not begun at the end of a window waits for the next one. All that arrives up to a decision is known then, so that the decisions do not
depend on the window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.compiling import inlined
from simfabric.kernels.state import LANE, SERVED, SERVED_AT, SHED, Log, Tally
from simfabric.policies.lanes import WEIGHTED, next_lane


class Lanes(NamedTuple):
    """The lanes of one component."""

    settings: Any  # int64[2]: policy; how long a transient message waits before it is dropped [ns].
    weights: Any  # int64[3]
    credit: Any  # int64[rows, 3]: memory of the policy.


@inlined
def head(frames: Any, f: int, last: int, lane: int, kind: int, done: Any, log: Log) -> int:
    """The first frame from f on that waits in a lane; `last` if none does. Frames on their way down are of `kind` 14, or 13 where the bus hands them out."""
    while f < last and (done[f] != 0 or lane_of(frames, f, kind, log) != lane):
        f += 1
    return f


@inlined
def lane_of(frames: Any, f: int, kind: int, log: Log) -> int:
    """The lane of a frame on its way down, -1 for any other. Presence is transient."""
    if frames[f, 1] >> 56 == 44:
        return 2
    if frames[f, 1] >> 56 < kind or frames[f, 1] >> 56 > 14:
        return -1
    return int(log.rows[frames[f, 3] - log.base[0], LANE])


@inlined
def chosen(frames: Any, a: int, b: int, c: int, last: int, row: int, now: int, lanes: Lanes) -> int:
    """The lane that goes at `now`, of those whose heads a, b, c have arrived by then. Where only one has, no policy has a choice or a memory of it."""
    first, second, third = a < last and frames[a, 0] <= now, b < last and frames[b, 0] <= now, c < last and frames[c, 0] <= now
    if first and not second and not third:
        return 0
    if second and not first and not third:
        return 1
    if third and not first and not second:
        return 2
    return next_lane(lanes.settings[0], lanes.credit, row, lanes.weights, first, second, third)


@inlined
def soonest(frames: Any, a: int, b: int, c: int, last: int) -> int:
    """When the first of these heads arrives; NEVER if there is none."""
    at = 9223372036854775807
    if a < last:
        at = min(at, frames[a, 0])
    if b < last:
        at = min(at, frames[b, 0])
    if c < last:
        at = min(at, frames[c, 0])
    return int(at)


@inlined
def take_back(row: int, lane: int, frames: Any, a: int, b: int, c: int, last: int, now: int, lanes: Lanes) -> None:
    """The choice of `lane` at `now` came to nothing yet; it will be made again."""
    if lanes.settings[0] == WEIGHTED:
        for other, f in ((0, a), (1, b), (2, c)):
            if f < last and frames[f, 0] <= now:
                lanes.credit[row, other] -= lanes.weights[other]
                lanes.credit[row, lane] += lanes.weights[other]


def shed(at: int, tally: Tally) -> None:
    """A transient message that arrived at `at` has waited too long: it is dropped."""
    tally.counters[SHED] += 1
    tally.counters[SERVED] += 1
    tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903


def kept(frames: Any, count: int, done: Any, out: Any) -> int:
    """Copy the frames that still wait to `out`; returns how many."""
    held = 0
    for f in range(count):
        if done[f] == 0:
            for j in range(5):
                out[held, j] = frames[f, j]
            held += 1
    return held
