"""Changing a tree by dotted paths: `gateways.count`, `traffic[0].rate`, `traffic.chat.rate` (an item of a list by its name)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from simfabric.errors import Problem, Refusal, TopologyError, did_you_mean, shown
from simfabric.topology.section import Section, as_text
from simfabric.topology.tree import Entry, Items, Keys, Node, Path, Place, Scalar, dotted, planted

LONGEST_PATH = 300
STEP = re.compile(r"([^.\[\]]+)((?:\[[0-9]{1,6}\])*)(\.|$)")
EXAMPLES = "write a path such as gateways.count, traffic[0].rate or traffic.chat.rate"


def changed(model: type[Section], tree: Node, changes: Iterable[tuple[str, str, object]]) -> Keys:
    """The tree with each (place, path, value) set; a value may be a tree already. Raises TopologyError for all paths that lead nowhere."""
    root = tree if isinstance(tree, Keys) else Keys(tree.place)
    problems: list[Problem] = []
    for place, path, value in changes:
        try:
            node = value if isinstance(value, Scalar | Items | Keys) else planted(value, place, steps(path))
            _set(model, root, steps(path), node, Place(place))
        except Refusal as refusal:
            problems.append(Problem(shown(place), shown(path), shown(refusal.value or ""), refusal.law, refusal.cure))
        except TopologyError as error:
            problems += error.problems
    if problems:
        raise TopologyError(problems)
    return root


def steps(path: str) -> Path:
    """'traffic[0].rate' -> ('traffic', 0, 'rate')."""
    found: list[str | int] = []
    at = 0
    while at < len(path) <= LONGEST_PATH:
        match = STEP.match(path, at)
        if match is None:
            break
        found.append(match.group(1))
        found += [int(number) for number in re.findall(r"[0-9]+", match.group(2))]
        at = match.end()
    if not found or at < len(path) or path.endswith("."):
        raise Refusal("must be a dotted path of keys", EXAMPLES)
    return tuple(found)


def _set(model: type[Section], root: Keys, path: Path, value: Node, place: Place) -> None:
    """Put `value` at `path`; sections and lists on the way are made from their defaults where the tree does not have them."""
    at: type[Section] = model
    node: Keys = root
    position = 0
    while True:
        name = path[position]
        known = at.declared().get(name) if isinstance(name, str) else None
        if known is None:
            raise _nowhere(at, path, position)
        position += 1
        if position == len(path):
            node.entries[str(name)] = Entry(place, value)
            return
        if known.model is None:
            raise Refusal(f"{dotted(path[:position])} is a value and has no keys", f"write {dotted(path[:position])} alone")
        inner = _inner(at, node, str(name), place)
        if isinstance(inner, Items):
            index = _index(inner, path, position)
            position += 1
            if position == len(path):
                inner.items[index] = value
                return
            inner = inner.items[index]
        if not isinstance(inner, Keys):
            raise Refusal(f"{dotted(path[:position])} must be a section", "give it keys first")
        at, node = known.model, inner


def _nowhere(at: type[Section], path: Path, position: int) -> Refusal:
    where = dotted(path[:position])
    listed = f"the keys of {where or 'a topology'} are: {', '.join(at.declared())}"
    return Refusal("there is no such key", f"{did_you_mean(str(path[position]), at.declared())} {listed}".strip(), value=str(path[position]))


def _inner(at: type[Section], node: Keys, name: str, place: Place) -> Node:
    """The node under a key; where there is none, its default."""
    entry = node.entries.get(name)
    if entry is None or (isinstance(entry.node, Scalar) and not entry.node.given):
        known, default = at.declared()[name], at.model_fields[name].get_default(call_default_factory=True)
        inner: Node = planted([as_text(item, implied=False) for item in default] if known.many else {}, place.source)
        entry = node.entries[name] = Entry(place, inner)
    return entry.node


def _index(items: Items, path: Path, position: int) -> int:
    """Which item of a list a step means: by number, or by name."""
    step, where = path[position], dotted(path[:position])
    if isinstance(step, int):
        if step < len(items.items):
            return step
        raise Refusal(f"{where} has {len(items.items)} items, the first being 0", "give a smaller number, or write the list out")
    names = [entry.node.text if entry is not None and isinstance(entry.node, Scalar) else "" for entry in map(_name_of, items.items)]
    if step not in names:
        listed = f"the names in {where} are: {shown(', '.join(filter(None, names)))}" if any(names) else f"write {where}[0] for the first"
        raise Refusal(f"{where} has no item of this name", f"{did_you_mean(step, names)} {listed}".strip(), value=step)
    return names.index(step)


def _name_of(item: Node) -> Entry | None:
    return item.entries.get("name") if isinstance(item, Keys) else None
