"""Ranges: the low and the high value of a key that holds a number, and what lies between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simfabric.chance import Law
from simfabric.errors import Problem, Refusal, TopologyError, shown
from simfabric.topology import Topology
from simfabric.topology.changing import steps
from simfabric.topology.json_schema import explain
from simfabric.topology.kinds import Kind, LawOf, Quantity
from simfabric.topology.section import Section

CURE = "give a low and a high value, such as 5us..20us"


@dataclass(frozen=True)
class Range:
    """A key and the bounds between which it varies."""

    path: str
    kind: Kind
    low: float
    high: float
    ends: tuple[str, str]  # As they were written.

    def at(self, share: float) -> str:
        """The value at a share of the way from low to high, as the topology reads it; whole where the key is."""
        if share in (0.0, 1.0):
            return self.ends[round(share)]
        number = self.low + share * (self.high - self.low)
        if isinstance(self.kind, LawOf):
            return self.kind.write(Law("constant", (float(round(number)),)))
        whole = isinstance(self.kind, Quantity) and self.kind.measure.whole
        return self.kind.write(round(number) if whole else number)

    @property
    def says(self) -> str:
        """'5us .. 20us'."""
        return f"{self.at(0.0)} .. {self.at(1.0)}"


def ranges(topology: Topology, keys: Mapping[str, Sequence[object]]) -> tuple[Range, ...]:
    """The ranges of {key: (low, high)}; raises TopologyError for all that are none, or that the topology refuses at one of their ends."""
    found, problems = [], []
    for path, bounds in keys.items():
        try:
            found.append(_range(path, bounds))
        except Refusal as refusal:
            problems.append(Problem("--key", shown(path), shown(refusal.value or ""), refusal.law, refusal.cure))
        except TopologyError as error:
            problems += error.problems
    for one in found:
        for share in (0.0, 1.0):
            try:
                topology.with_({one.path: one.at(share)})
            except TopologyError as error:
                problems += error.problems
    if problems or not keys:
        raise TopologyError(problems or [Problem("--key", "", "", "at least one key must vary", "write --key gateways.work.delivery=5us..20us")])
    return tuple(found)


def read_keys(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """'gateways.work.delivery=5us..20us' of the command line."""
    keys = {}
    for text in texts:
        path, _, bounds = text.partition("=")
        keys[path.strip()] = tuple(bound.strip() for bound in bounds.split("..") if bound.strip())
    return keys


def _range(path: str, bounds: Sequence[object]) -> Range:
    kind = _kind(path)
    if isinstance(bounds, str) or len(bounds) != 2:
        raise Refusal("must have a low and a high value", CURE, value=bounds if isinstance(bounds, str) else "..".join(map(str, bounds)))
    low, high = (_number(kind, bound) for bound in bounds)
    if not low < high:
        raise Refusal("the low value must be below the high one", CURE, value=f"{bounds[0]}..{bounds[1]}")
    return Range(path, kind, low, high, (str(bounds[0]), str(bounds[1])))


def _kind(path: str) -> Kind:
    """What a key may hold; it must be a number or a law of chance."""
    at: type[Section] = Topology
    kind: Kind | None = None
    words = [word for word in steps(path) if isinstance(word, str)]
    place = 0
    while place < len(words):
        known = at.declared().get(words[place])
        if known is None:
            explain(".".join(words[: place + 1]))  # Raises, with the keys that there are.
            raise Refusal("there is no such key", CURE)
        if known.model is None:
            kind = known.kind
            break
        at, place = known.model, place + (2 if known.many and words[place + 1 : place + 2] and words[place + 1] not in known.model.declared() else 1)
    if not isinstance(kind, Quantity | LawOf) or place < len(words) - 1:
        raise Refusal("must be a key that holds a number", "name one such as gateways.work.delivery")
    return kind


def _number(kind: Kind, bound: object) -> float:
    value = kind.read(str(bound) if isinstance(bound, int | float) and not isinstance(bound, bool) else bound)
    if isinstance(value, Law) and value.name == "constant":
        return float(value.parameters[0])
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise Refusal("must be a number between two others, not a word or a law of chance", CURE, value=str(bound))
