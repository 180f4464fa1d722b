"""The tree of a topology before it has types: text scalars, lists and mappings, each with its place.

It comes from a file (`reading`), from another topology or from `--set` (`planted`); files are laid over each other here (`laid_over`).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simfabric.chance import Law
from simfabric.errors import Problem, TopologyError, shown
from simfabric.topology.characters import forbidden
from simfabric.units import write_number

DEEPEST = 32  # Levels of nesting.
MOST_NODES = 100_000  # Scalars, lists and mappings of one topology, all its files together.
LONGEST_SCALAR = 4096  # Characters.


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: a file with line and column (from 1), or a name alone."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{shown(self.source, 200)}:{self.line}:{self.column}" if self.line else shown(self.source, 200)


@dataclass(slots=True)
class Scalar:
    """A value as text; not `given` when it was written as nothing, ~ or null. `typed` holds a law that a program hands over."""

    place: Place
    text: str
    given: bool = True
    typed: Law | None = None


@dataclass(slots=True)
class Items:
    """A list."""

    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Keys:
    """A mapping; each key has a place of its own."""

    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """What stands under a key."""

    place: Place
    node: Node


Node = Scalar | Items | Keys
Path = tuple[str | int, ...]


def plain(node: Node) -> Any:
    """The tree as dictionaries, lists and text, for the model; what is written as nothing is None."""
    if isinstance(node, Scalar):
        return None if not node.given else node.text if node.typed is None else node.typed
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {name: plain(entry.node) for name, entry in node.entries.items()}


def laid_over(base: Keys, top: Keys) -> Keys:
    """`top` over `base`: mappings are merged key by key, everything else (lists too) is replaced; null takes the base's value away."""
    entries = dict(base.entries)
    for name, entry in top.entries.items():
        below = entries.get(name)
        if below is not None and isinstance(below.node, Keys) and isinstance(entry.node, Keys):
            entries[name] = Entry(entry.place, laid_over(below.node, entry.node))
        else:
            entries[name] = entry
    return Keys(top.place, entries)


def walk(root: Node, path: Path) -> Iterator[tuple[Place, Node]]:
    """The places and nodes along a path, from the root on, as far as the path exists."""
    node, place = root, root.place
    yield place, node
    for step in path:
        if isinstance(node, Keys) and step in node.entries:
            entry = node.entries[str(step)]
            node = entry.node
            place = node.place if isinstance(node, Scalar) and node.given else entry.place
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            place = node.place
        else:
            return
        yield place, node


def dotted(path: Path) -> str:
    """('traffic', 0, 'rate') -> 'traffic[0].rate'."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return shown(text, 200)


def planted(value: object, source: str, path: Path = ()) -> Node:
    """The tree of a value that a program hands over: text, numbers, laws, mappings and lists, within the limits of a file."""
    return _Planter(Place(source), path).plant(value, path)


class _Planter:
    """Counts what it plants."""

    def __init__(self, place: Place, path: Path) -> None:
        self.place = place
        self.nodes = 0
        self.depth = len(path)

    def plant(self, value: object, path: Path) -> Node:
        self.nodes += 1
        if self.nodes > MOST_NODES or len(path) - self.depth > DEEPEST:
            raise self.refused(path, "", f"must hold at most {MOST_NODES} values, at most {DEEPEST} levels deep", "hand over less")
        if isinstance(value, Mapping):
            entries = {self.text(name, path): Entry(self.place, self.plant(inner, (*path, str(name)))) for name, inner in value.items()}
            return Keys(self.place, entries)
        if isinstance(value, list | tuple):
            return Items(self.place, [self.plant(inner, (*path, i)) for i, inner in enumerate(value)])
        if value is None:
            return Scalar(self.place, "", given=False)
        if isinstance(value, Law):
            return Scalar(self.place, str(value), typed=value)
        return Scalar(self.place, self.text(value, path))

    def text(self, value: object, path: Path) -> str:
        """The text of one value; numbers in plain decimal digits, as a file would say them."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, numbers.Integral):
            whole = int(value)
            return str(whole) if whole.bit_length() <= 64 else f"a whole number of {whole.bit_length()} bits"
        if isinstance(value, numbers.Real):
            number = float(value)
            return write_number(number) if math.isfinite(number) else repr(number)
        if not isinstance(value, str):
            raise self.refused(path, type(value).__name__, "must be text, a number, true, false, a law, a mapping or a list", "hand over text such as '25s'")
        if len(value) > LONGEST_SCALAR:
            raise self.refused(path, value[:200], f"must be at most {LONGEST_SCALAR} characters long", "shorten it")
        if forbidden(value) is not None:
            raise self.refused(path, value, "must not hold control or bidirectional characters", "write plain text")
        return value

    def refused(self, path: Path, value: str, law: str, cure: str) -> TopologyError:
        return TopologyError([Problem(str(self.place), dotted(path), shown(value), law, cure)])
