"""What a search varies: a key of a topology, as a number, with the direction in which it helps.

Servers help, loads hurt: for the usual keys that is known (`SERVERS`, `LOADS`); of any other number the two ends of its range are tried.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from simfabric.errors import Refusal, TopologyError
from simfabric.planning.estimate import plan
from simfabric.topology import Topology
from simfabric.topology.changing import steps
from simfabric.topology.kinds import Quantity
from simfabric.topology.section import Section

SERVERS = (
    "gateways.count", "gateways.cores", "bus.partitions", "bus.brokers", "bus.threads", "storage.shards", "fanout.routers", "balancer.servers",
    "replay.servers",
)  # fmt: skip
LOADS = (r"clients\.count", r"clients\.subscriptions", r"traffic(\.[^.\[\]]+|\[[0-9]+\])\.rate")
WIDEST = 1000.0  # By what the value may leave the topology's own, either way, where no range is given.


@dataclass(frozen=True, slots=True)
class Varied:
    """A key as a number. `falling`: more of it leaves less headroom (True: a load, False: servers, None: not known)."""

    path: str
    kind: Quantity
    now: float
    least: float
    most: float
    falling: bool | None

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.kind.measure.whole

    def text(self, x: float) -> str:
        """The value as a topology file says it."""
        return self.kind.write(round(x) if self.whole else float(f"{x:.9g}"))

    def shown(self, x: float) -> str:
        """The value for people: four digits of what is no small whole number."""
        return "none" if math.isnan(x) else self.text(x if self.whole and abs(x) < 1e6 else float(f"{x:.4g}"))

    def at(self, topology: Topology, x: float) -> Topology:
        """The topology with this value; raises TopologyError if there is none."""
        return topology.with_({self.path: self.text(x)})


def varied(topology: Topology, path: str, between: tuple[str, str] | None = None) -> Varied:
    """The key at a path, within a range (text of both ends) or far around its present value; raises Refusal."""
    kind, value = _found(topology, path)
    if value <= 0 and between is None:
        raise Refusal(f"{path} is {kind.write(value)}, which says nothing of where to look", "give a range", value=path)
    lowest, highest = (float(kind.measure.parse(end)) for end in (kind.least, kind.most))
    if between is None:
        least, most = max(lowest, value / WIDEST), min(highest, value * WIDEST)
        least = max(1.0, math.ceil(least)) if kind.measure.whole else least
    else:
        least, most = (float(kind.read(end)) for end in between)
        if not least < most:
            raise Refusal("a range goes from less to more", "write --vary-range 1:40", value=":".join(between))
    falling = False if path in SERVERS else True if any(re.fullmatch(load, path) for load in LOADS) else None
    if falling is None and between is None:
        raise Refusal(f"whether more of {path} helps or hurts is found out at the ends of its range", "give a range, such as --vary-range 1:40", value=path)
    return Varied(path, kind, float(value), least, most, falling)


def _found(topology: Topology, path: str) -> tuple[Quantity, float]:
    """The kind and the value at a path."""
    at: object = topology
    kind: object = None
    for step in steps(path):
        if isinstance(at, tuple):
            named = [item for i, item in enumerate(at) if step in (i, getattr(item, "name", None))]
            at = named[0] if named else None
        elif isinstance(at, Section) and step in at.declared():
            kind = at.declared()[str(step)].kind
            at = getattr(at, str(step))
        else:
            at = None
        if at is None:
            topology.with_({path: "1"})  # It knows why, and says so.
            break
    if not isinstance(kind, Quantity) or isinstance(at, bool) or not isinstance(at, int | float):
        raise Refusal(
            "what is varied must be a number of the topology", f"vary one such as {', '.join(SERVERS[:3])}, clients.count, traffic.chat.rate", value=path
        )
    return kind, float(at)


def buildable(topology: Topology, what: Varied) -> Varied:
    """The same with its range cut to where a topology can be built (a law between sections, such as room for all clients, may forbid an end)."""
    least, most = (_cut(topology, what, what.now, end) for end in (what.least, what.most))
    return Varied(what.path, what.kind, what.now, least, most, what.falling)


def _cut(topology: Topology, what: Varied, good: float, end: float) -> float:
    """The farthest value from `good` towards `end` that can be built, to a thousandth."""
    if _builds(topology, what, end) or not _builds(topology, what, good):
        return end
    for _ in range(30):
        if abs(end - good) <= (1.0 if what.whole else abs(good) * 1e-3):
            break
        middle = math.sqrt(good * end) if good > 0 and end > 0 else (good + end) / 2.0
        middle = float(round(middle)) if what.whole else middle
        if middle in (good, end):
            break
        good, end = (middle, end) if _builds(topology, what, middle) else (good, middle)
    return good


def _builds(topology: Topology, what: Varied, x: float) -> bool:
    try:
        what.at(topology, x)
    except TopologyError:
        return False
    return True


def busiest_at(topology: Topology, what: Varied, x: float) -> float:
    """The utilisation of the busiest row by the operational laws; may exceed 1."""
    return plan(what.at(topology, x)).bottleneck.busiest


def first_bracket(topology: Topology, what: Varied) -> tuple[float, float]:
    """Two values around the point where the busiest row is saturated by the operational laws, in whose neighbourhood delays begin to grow."""
    start = min(max(what.now, what.least), what.most)
    if what.falling is None:
        return what.least, what.most
    low, high = (what.least, start) if busiest_at(topology, what, start) >= 1.0 else (start, what.most)
    if not what.falling:
        low, high = (start, what.most) if busiest_at(topology, what, start) >= 1.0 else (what.least, start)
    for _ in range(24):
        if high <= 1.02 * low or (what.whole and high - low <= 1):
            break
        middle = math.sqrt(low * high) if low > 0 else (low + high) / 2.0
        middle = float(round(middle)) if what.whole else middle
        if middle in (low, high):
            break
        saturated = busiest_at(topology, what, middle) >= 1.0
        low, high = (low, middle) if saturated == what.falling else (middle, high)
    around = (0.8 * low, 0.98 * high) if what.falling else (low, max(high * 1.3, high + 1.0))
    return min(max(around[0], what.least), what.most), min(max(around[1], what.least), what.most)
