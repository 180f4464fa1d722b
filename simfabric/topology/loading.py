"""Loading a topology: its file, the files it extends, the changes of `--set`, then the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from simfabric.errors import Problem, Refusal, TopologyError, shown
from simfabric.topology import files
from simfabric.topology.building import build
from simfabric.topology.changing import changed
from simfabric.topology.model import Topology
from simfabric.topology.reading import NOTHING, Budget, read, read_text
from simfabric.topology.tree import Entry, Items, Keys, Node, Place, Scalar, laid_over, planted

MOST_LEVELS = 5  # How often a file may extend a file that extends a file …
MOST_SETS = 1000


def load(path: str | os.PathLike[str], sets: Sequence[str] = ()) -> Topology:
    """The topology of a YAML file, with changes such as 'gateways.count=80' laid over it; raises TopologyError with all problems."""
    name, budget = os.fspath(path), Budget()
    try:
        content = files.content(Path(name), budget.size)
        folder = Path(name).parent.resolve()
    except (Refusal, OSError, RuntimeError, ValueError) as error:
        refusal = error if isinstance(error, Refusal) else Refusal("must be a file that can be read", "mend the name of the file")
        raise TopologyError([Problem(shown(name, 200), "", "", refusal.law, refusal.cure)]) from None
    tree = read(content, name, budget)
    return _loaded(tree, name, budget, folder, Path(name).name, sets, source=name)


def loads(text: str, name: str = "<text>", folder: str | os.PathLike[str] | None = None, sets: Sequence[str] = ()) -> Topology:
    """The topology of a text; what it extends, and its traces, are looked up in `folder`."""
    budget = Budget()
    tree = read_text(text, name, budget)
    return _loaded(tree, name, budget, None if folder is None else Path(folder).resolve(), "", sets, source=None)


def _loaded(tree: Node, name: str, budget: Budget, folder: Path | None, file: str, sets: Sequence[str], source: str | None) -> Topology:
    if not isinstance(tree, Keys):
        _refuse(tree.place, tree.text if isinstance(tree, Scalar) else "", "a topology must be a mapping of keys", "begin it with version: 1")
    chain = [(folder / file).resolve()] if folder is not None and file else []
    tree = _extended(tree, budget, folder, folder, chain)
    tree = changed(Topology, tree, _changes(sets, budget))
    problems = [*budget.problems, *_versions(tree), *_missing_traces(tree, folder)]
    return build(Topology, tree, problems)._from(source, None if folder is None else str(folder))


def _refuse(place: Place, value: str, law: str, cure: str, path: str = "") -> NoReturn:
    raise TopologyError([Problem(str(place), path, shown(value), law, cure)])


def _extended(tree: Keys, budget: Budget, root: Path | None, folder: Path | None, chain: list[Path]) -> Keys:
    """The tree laid over the file that it extends, if it extends one."""
    entry = tree.entries.pop("extends", None)
    if entry is None or (isinstance(entry.node, Scalar) and not entry.node.given):
        return tree
    name = entry.node.text if isinstance(entry.node, Scalar) else None
    try:
        if root is None or folder is None:
            raise Refusal("a text without a folder cannot extend a file", "load it from a file, or hand the folder over")
        path = files.inside(root, folder, name)
        if path in chain:
            names = " -> ".join(each.name for each in [*chain[chain.index(path) :], path])
            raise Refusal(f"files must not extend each other in a circle: {shown(names, 200)}", "take one extends: out")
        if len(chain) > MOST_LEVELS:
            raise Refusal(f"files may extend each other at most {MOST_LEVELS} levels deep", "put two of them together")
        content = files.content(path, budget.size)
    except Refusal as refusal:
        place = entry.node.place if isinstance(entry.node, Scalar) else entry.place
        raise TopologyError([Problem(str(place), "extends", shown(name or ""), refusal.law, refusal.cure)]) from None
    shown_name = os.path.normpath(os.path.join(os.path.dirname(tree.place.source), name or ""))
    base = read(content, shown_name, budget)
    if not isinstance(base, Keys):
        _refuse(base.place, "", "a topology must be a mapping of keys", "begin it with version: 1")
    return laid_over(_extended(base, budget, root, path.parent, [*chain, path]), tree)


def _changes(sets: Sequence[str], budget: Budget) -> Iterator[tuple[str, str, object]]:
    """('--set a.b', 'a.b', value) of each 'a.b=value'; a value that begins with a bracket or a brace is YAML."""
    if len(sets) > MOST_SETS:
        _refuse(Place("--set"), "", f"at most {MOST_SETS} changes", "put them in a file that extends the first")
    for each in sets:
        path, equals, text = each.partition("=")
        path, place = path.strip(), f"--set {shown(path.strip())}"
        if not equals:
            _refuse(Place("--set"), each, "must be a path, an equals sign and a value", "write --set gateways.count=80")
        if text.lstrip()[:1] in ("[", "{"):
            yield place, path, _at(read_text(text, place, budget), Place(place))
        else:
            yield place, path, planted(None if text.strip() in NOTHING else text, place)


def _at(node: Node, place: Place) -> Node:
    """The same tree, all of it at one place."""
    if isinstance(node, Scalar):
        return Scalar(place, node.text, node.given)
    if isinstance(node, Items):
        return Items(place, [_at(item, place) for item in node.items])
    return Keys(place, {name: Entry(place, _at(entry.node, place)) for name, entry in node.entries.items()})


def _versions(tree: Keys) -> Iterator[Problem]:
    """A file says which version of the format it is written in."""
    if "version" not in tree.entries:
        yield Problem(str(tree.place), "version", "", "a topology must say its version", "begin it with version: 1")


def _missing_traces(tree: Keys, folder: Path | None) -> Iterator[Problem]:
    """Trace files that are not there, or not under the folder."""
    traffic = tree.entries.get("traffic")
    if folder is None or traffic is None or not isinstance(traffic.node, Items):
        return
    for i, item in enumerate(traffic.node.items):
        entry = item.entries.get("file") if isinstance(item, Keys) else None
        if entry is None or not isinstance(entry.node, Scalar) or not entry.node.given:
            continue
        try:
            files.inside(folder, folder, entry.node.text)
        except Refusal as refusal:
            yield Problem(str(entry.node.place), f"traffic[{i}].file", shown(entry.node.text), refusal.law, refusal.cure)
