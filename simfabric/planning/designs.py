"""Designs: a topology with some keys changed, and every combination of what varies (a full factorial)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simfabric.errors import Problem, SimfabricError, TopologyError, shown
from simfabric.topology import Topology
from simfabric.topology.reading import Budget, read_text

MOST_DESIGNS = 1000
OPENING, CLOSING = "([{", ")]}"


class DesignError(SimfabricError):
    """Designs that cannot be made of what was asked."""


@dataclass(frozen=True)
class Design:
    """A topology and what was changed to make it."""

    changes: Mapping[str, object]
    topology: Topology

    @property
    def label(self) -> str:
        """The changed values, without their keys: 'targeted / 8'."""
        return " / ".join(shown(str(value), 40) for value in self.changes.values()) or "as it is"

    @property
    def says(self) -> str:
        """The changes as --set takes them."""
        return ", ".join(f"{key}={shown(str(value))}" for key, value in self.changes.items()) or "as it is"

    def replication(self, number: int) -> Topology:
        """The design in one replication: the same number is the same luck in every design."""
        run = self.topology.run.model_copy(update={"replication": number})  # One number: no need to read and check the whole topology again.
        return self.topology.model_copy(update={"run": run})


def design(topology: Topology, changes: Mapping[str, object]) -> Design:
    """The topology with these keys changed; a text that begins with a bracket or a brace is YAML. Raises TopologyError."""
    return Design(dict(changes), topology.with_({path: _node(path, value) for path, value in changes.items()}) if changes else topology)


def factorial(topology: Topology, vary: Mapping[str, Sequence[object]]) -> tuple[Design, ...]:
    """Every combination of the values, the last key varying fastest. All that cannot be is told at once, by TopologyError or DesignError."""
    for path, values in vary.items():
        if isinstance(values, str) or not values:
            raise DesignError(f"{shown(path)}: must be a list of at least one value\n    cure: write {{{shown(path)!r}: ['first', 'second']}}")
    count = 1
    for values in vary.values():
        count *= len(values)
    if count > MOST_DESIGNS:
        raise DesignError(f"{count} combinations: must be at most {MOST_DESIGNS}\n    cure: vary fewer keys, or fewer values of each")
    made: list[Design] = []
    problems: dict[tuple[str, str], Problem] = {}
    for values in itertools.product(*vary.values()):
        try:
            made.append(design(topology, dict(zip(vary, values))))
        except TopologyError as error:
            problems |= {(str(problem), ""): problem for problem in error.problems}
    if problems:
        raise TopologyError(list(problems.values()))
    return tuple(made)


def read_vary(texts: Iterable[str]) -> dict[str, list[object]]:
    """'fanout.pattern=broadcast,targeted' of the command line, each key once; a comma within brackets does not part values."""
    vary: dict[str, list[object]] = {}
    for text in texts:
        path, equals, values = text.partition("=")
        path = path.strip()
        parts = [part for part in _parted(values) if part]
        if not equals or not path or not parts:
            raise DesignError(f"--vary {shown(text)}: must be a key, an equals sign and values\n    cure: write --vary fanout.pattern=broadcast,targeted")
        if path in vary:
            raise DesignError(f"--vary {shown(path)}: must be given once\n    cure: write all its values in one list, parted by commas")
        vary[path] = list(parts)
    return vary


def _parted(text: str) -> list[str]:
    """A text cut at the commas that are not within brackets."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in OPENING) - (character in CLOSING)
        if character == "," and depth <= 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def _node(path: str, value: object) -> object:
    return read_text(value, f"with_ {path}", Budget()) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value
