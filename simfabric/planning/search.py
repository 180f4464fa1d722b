"""The search for a capacity: the point at which a promise is just kept, by runs that are noisy.

    estimate ─▶ bracket ─▶ narrow (few replications) ─▶ settle (two points, as many replications as the precision asks) ─▶ interval

It knows nothing of fabrics: `ask` makes samples of (point, replication), `headroom` says of the samples of a point how far the promise is from
broken (bound / metric - 1). The bracket is narrowed by points where the line through its ends is zero, kept off the ends; that a noisy answer
misled it is found out in the end, when the root lies outside of the two points and these move. How many replications the interval needs follows
from a first batch of them (Stein 1945: in two steps, so that looking often does not make the interval too short).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from simfabric.analysis.roots import Estimate, crossing, jackknife

S = TypeVar("S")
Ask = Callable[[Sequence[tuple[float, int]]], list[S]]
Headroom = Callable[[Sequence[S]], float]
GROWTH = 1.5  # By what a bracket is widened.
MOST_STEPS = 40
MOST_MOVES = 4
FARTHEST_APART = 0.05
TELLING = 10.0  # More headroom than that says no more than "much".


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked of a search: `falling`, headroom falls with x (a load; else a count of servers); `whole`, x is a whole number."""

    least: float
    most: float
    falling: bool
    whole: bool
    level: float = 0.95
    precision: float = 0.05
    pilot: int = 3
    replications: int = 16
    most_replications: int = 60

    @property
    def spacing(self) -> float:
        """How far apart the last two points are, as a share of them: at most FARTHEST_APART, since headroom bends beyond saturation."""
        return min(self.precision, FARTHEST_APART)


@dataclass(frozen=True, slots=True)
class Root:
    """The root, and what it says: `answer` within [low, high]. `edge` is met if all of the range keeps the promise, missed if nothing does."""

    at: Estimate
    answer: float
    low: float
    high: float
    edge: str = ""


class Search(Generic[S]):
    """Points looked at, their samples, and the moves from one to the next."""

    def __init__(self, setting: Setting, ask: Ask[S], headroom: Headroom[S]) -> None:
        self.setting = setting
        self.ask = ask
        self.headroom = headroom
        self.samples: dict[float, list[S]] = {}

    def root(self, first: float, second: float) -> Root:
        """The root, looked for from between two points on."""
        low, high = self.bracket(*sorted((self.place(first), self.place(second))))
        if low == high:
            return self.at_the_edge(low)
        low, high = self.narrowed(low, high)
        return self.settled(low, high)

    def look(self, points: Sequence[float], replications: int) -> list[float]:
        """The headroom at each point, from at least so many replications."""
        wanted = [(x, r) for x in dict.fromkeys(points) for r in range(len(self.samples.get(x, ())), replications)]
        for (x, _), sample in zip(wanted, self.ask(wanted) if wanted else [], strict=True):
            self.samples.setdefault(x, []).append(sample)
        return [self.room(self.samples[x]) for x in points]

    def room(self, samples: Sequence[S]) -> float:
        """The headroom that samples tell, cut where it tells no more."""
        return min(self.headroom(samples), TELLING)

    def place(self, x: float) -> float:
        """The nearest point that can be asked."""
        x = min(max(x, self.setting.least), self.setting.most)
        return float(round(x)) if self.setting.whole else x

    def bracket(self, low: float, high: float) -> tuple[float, float]:
        """Two points of which one keeps the promise and one does not; twice the end of the range if there are none."""
        setting = self.setting
        for _ in range(MOST_STEPS):
            at_low, at_high = self.look([low, high], setting.pilot)
            if (at_low >= 0.0) != (at_high >= 0.0):
                return low, high
            upward = (at_low >= 0.0) == setting.falling
            end = setting.most if upward else setting.least
            if (high if upward else low) == end:
                (room,) = self.look([end], setting.replications)
                if (room >= 0.0) == (at_low >= 0.0):
                    return end, end
                continue
            if upward:
                low, high = high, self.place(max(high * GROWTH, high + setting.whole))
            else:
                low, high = self.place(min(low / GROWTH, low - setting.whole)), low
        return high, high

    def at_the_edge(self, end: float) -> Root:
        """The answer where the range has no root: its end, if that keeps the promise."""
        (room,) = self.look([end], self.setting.replications)
        edge = "met" if room >= 0.0 else "missed"
        return Root(Estimate(end, end, end), end if edge == "met" else math.nan, end, end, edge)

    def narrowed(self, low: float, high: float) -> tuple[float, float]:
        """A bracket that is not wider than two points should be apart, or a whole number wide."""
        setting = self.setting
        for step in range(MOST_STEPS):
            if high <= low * (1.0 + setting.spacing) or (setting.whole and high - low <= 1.0):
                break
            at_low, at_high = self.look([low, high], setting.pilot)
            middle = (low + high) / 2.0
            if step % 2 == 0:
                guess = crossing((low, at_low), (high, at_high), setting.falling)
                middle = min(max(guess, low + 0.15 * (high - low)), high - 0.15 * (high - low))
            middle = self.place(middle)
            if setting.whole:
                middle = min(max(middle, low + 1.0), high - 1.0)
            (room,) = self.look([middle], setting.pilot)
            if (room >= 0.0) == setting.falling:
                low = middle
            else:
                high = middle
        return low, high

    def settled(self, low: float, high: float) -> Root:
        """The root with its interval, from two points close to it."""
        setting = self.setting
        for _ in range(MOST_MOVES):
            low, high = self._around(low, high)
            found = self._estimate(low, high, setting.replications)
            wanted = self._replications(found)
            if wanted > setting.replications:
                found = self._estimate(low, high, wanted)
            if setting.whole and high - low == 1.0:
                near = self._next(found.value, low, high)
            elif low - (high - low) / 2.0 <= found.value <= high + (high - low) / 2.0:
                break
            else:
                near = self._around(found.value, found.value)
            if near == (low, high):
                break
            low, high = near
        return self.answer(found)

    def _next(self, root: float, low: float, high: float) -> tuple[float, float]:
        """The two whole numbers that a root sends a search to: these two if it lies between them, else those beside them."""
        setting = self.setting
        up = root >= high if setting.falling else root > high
        down = root < low if setting.falling else root <= low
        if up and high < setting.most:
            return high, high + 1.0
        return (low - 1.0, low) if down and low > setting.least else (low, high)

    def _around(self, low: float, high: float) -> tuple[float, float]:
        """Two points on both sides of a bracket's middle, as far apart as points should be; next to each other for whole numbers that are small."""
        setting, middle = self.setting, (low + high) / 2.0
        half = setting.spacing / 2.0 * middle
        if not setting.whole:
            return self.place(middle - half), self.place(middle + half)
        if half < 1.0:
            left = math.floor(middle)
            left = min(max(left, int(setting.least)), int(setting.most) - 1)
            return float(left), float(left + 1)
        return self.place(middle - half), self.place(middle + half)

    def _estimate(self, low: float, high: float, replications: int) -> Estimate:
        self.look([low, high], replications)
        left, right = self.samples[low], self.samples[high]

        def root_of(kept: Sequence[int]) -> float:
            ends = [self.room([samples[r] for r in kept]) for samples in (left, right)]
            return crossing((low, ends[0]), (high, ends[1]), self.setting.falling)

        found = jackknife(root_of, min(len(left), len(right)), self.setting.level, self.setting.replications - 1)
        return self._certain(found, low, high) if self.setting.whole and high - low == 1.0 else found

    def _certain(self, found: Estimate, *points: float) -> Estimate:
        """The root and its interval without what whole numbers next to it exclude: the root, by whether they keep the promise; the interval, for sure."""
        setting, least, most, value = self.setting, found.low, found.high, found.value
        for x in points:
            samples = self.samples[x]

            def room_of(kept: Sequence[int], samples: list[S] = samples) -> float:
                return self.room([samples[r] for r in kept])

            below = (self.room(samples) >= 0.0) != setting.falling
            value = (min(value, x) if not setting.falling else min(value, x - 1e-6)) if below else max(value, x if setting.falling else x + 1e-6)
            room = jackknife(room_of, len(samples), setting.level, setting.replications - 1)
            if room.low > 0.0:
                least, most = (max(least, x), most) if setting.falling else (least, min(most, x))
            elif room.high < 0.0:
                least, most = (least, min(most, x - 1e-6)) if setting.falling else (max(least, x + 1e-6), most)
        return Estimate(value, min(least, value), max(most, value))

    def _replications(self, found: Estimate) -> int:
        """How many replications the interval needs to be as short as asked, after a first batch."""
        setting = self.setting
        aim = 0.8 * setting.precision * abs(found.value)
        if setting.whole and setting.precision * abs(found.value) < 1.0:
            if self.answer(found).low == self.answer(found).high:
                return setting.replications
            aim = max(aim, 0.9 * min(found.value - math.floor(found.value), math.ceil(found.value) - found.value), 1e-9)
        needed = setting.replications * (found.half_width / aim) ** 2 if aim > 0.0 else math.inf
        return min(setting.most_replications, max(setting.replications, math.ceil(min(needed, 1e6))))

    def answer(self, found: Estimate) -> Root:
        """What a root says: the highest load that keeps the promise, or the least count."""
        setting = self.setting
        value, low, high = (min(max(x, setting.least), setting.most) for x in (found.value, found.low, found.high))
        at = Estimate(value, low, high)
        if not setting.whole:
            return Root(at, value, low, high)
        if setting.falling:
            return Root(at, float(math.floor(value)), float(math.floor(low)), float(math.floor(high)))
        return Root(at, float(math.ceil(value - 1e-9)), float(math.ceil(low - 1e-9)), float(math.ceil(high - 1e-9)))
