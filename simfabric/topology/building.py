"""From a tree to a frozen model, and from what the model refuses to problems with places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from simfabric.errors import MOST_PROBLEMS, Problem, Refusal, Refusals, TopologyError, did_you_mean, shown
from simfabric.topology.section import Key, Section
from simfabric.topology.tree import Entry, Keys, Node, Path, Place, Scalar, dotted, plain, walk

S = TypeVar("S", bound=Section)
Found = tuple[Place, Path, Refusal | str]  # A place, a path, and what is refused there (or pydantic's word for it).


def build(model: type[S], tree: Node, problems: Sequence[Problem] = ()) -> S:
    """The model of the tree; raises TopologyError with all problems, `problems` first."""
    try:
        built = model.model_validate(plain(tree))
    except ValidationError as error:
        found = _found(error, tree)
        found += _between_sections(model, tree, found)
        raise _told(model, tree, found, problems) from None
    if problems:
        raise TopologyError(problems[:MOST_PROBLEMS], len(problems) - MOST_PROBLEMS)
    return built


def _found(error: ValidationError, tree: Node) -> list[Found]:
    """Everything that pydantic found, flat, with places."""
    found: list[Found] = []
    for detail in error.errors(include_url=False, include_input=False):
        cause = detail.get("ctx", {}).get("error")
        refusals: Sequence[Refusal | str] = cause.refusals if isinstance(cause, Refusals) else [cause if isinstance(cause, Refusal) else detail["type"]]
        for refusal in refusals:
            path = (*detail["loc"], *(refusal.path if isinstance(refusal, Refusal) else ()))
            found.append((_place_of(tree, path), path, refusal))
    return found


def _place_of(tree: Node, path: Path) -> Place:
    """The place of the deepest part of the path that exists."""
    return list(walk(tree, path))[-1][0]


def _between_sections(model: type[Section], tree: Node, found: list[Found]) -> list[Found]:
    """Laws between sections that are broken too: asked of the tree without what is wrong already, where the law does not depend on it."""
    if len(found) >= MOST_PROBLEMS:
        return []
    wrong = [_blamed(tree, path) for _, path, _ in found]
    for _ in range(3):  # What is left out can break a law within its section, which is then left out too.
        if not all(wrong):
            return []
        try:
            model.model_validate(plain(_without(tree, set(wrong))))
            return []
        except ValidationError as error:
            now = _found(error, tree)
        between = [(place, path, refusal) for place, path, refusal in now if isinstance(refusal, Refusal) and refusal.reads]
        if between:
            return [(place, path, refusal) for place, path, refusal in between if not _depends(refusal.reads, wrong)]
        wrong += [_blamed(tree, path) for _, path, _ in now]
    return []


def _blamed(tree: Node, path: Path) -> Path:
    """What is left out when something is wrong at a path: the deepest part of it that is there; a list as a whole."""
    there = path[: len(list(walk(tree, path))) - 1]
    numbers = [i for i, step in enumerate(there) if isinstance(step, int)]
    return there[: numbers[0]] if numbers else there


def _depends(reads: Sequence[str], wrong: Sequence[Path]) -> bool:
    """Whether one of the dotted paths contains, or lies in, something wrong."""
    for read in reads:
        steps = tuple(read.split("."))
        if any(steps[: len(path)] == path[: len(steps)] for path in wrong):
            return True
    return False


def _without(node: Node, paths: set[Path]) -> Node:
    """The tree without the nodes at `paths`."""
    if not isinstance(node, Keys):
        return node
    inner: dict[str, set[Path]] = {}
    for path in paths:
        inner.setdefault(str(path[0]), set()).add(path[1:])
    entries = {
        name: entry if name not in inner else Entry(entry.place, _without(entry.node, inner[name]))
        for name, entry in node.entries.items()
        if () not in inner.get(name, set())
    }
    return Keys(node.place, entries)


def _told(model: type[Section], tree: Node, found: list[Found], problems: Sequence[Problem]) -> TopologyError:
    """The error that tells the first problems in the order of the file, and how many more there are."""
    found.sort(key=lambda each: each[0])
    told = [*problems, *(_problem(model, tree, *each) for each in found[:MOST_PROBLEMS])]
    return TopologyError(told[:MOST_PROBLEMS], len(problems) + len(found) - MOST_PROBLEMS)


def _problem(model: type[Section], tree: Node, place: Place, path: Path, refusal: Refusal | str) -> Problem:
    value = _value_at(tree, path)
    if isinstance(refusal, Refusal):
        return Problem(str(place), dotted(path), shown(value or refusal.value or ""), refusal.law, refusal.cure)
    law, cure = _in_our_words(model, path, refusal)
    return Problem(str(place), dotted(path), shown(str(path[-1])) if refusal == "extra_forbidden" else shown(value), law, cure)


def _value_at(tree: Node, path: Path) -> str:
    """The text at a path, if a scalar stands there."""
    nodes = list(walk(tree, path))
    node = nodes[-1][1]
    return node.text if len(nodes) == len(path) + 1 and isinstance(node, Scalar) else ""


def _in_our_words(model: type[Section], path: Path, word: str) -> tuple[str, str]:
    """Law and cure of what pydantic itself refuses."""
    parent = section_at(model, path[:-1])
    known = parent.declared() if parent else {}
    if word == "extra_forbidden":
        whole = "an experiment" if model.__name__ == "Form" else "a topology"
        listed = f"the keys of {dotted(path[:-1]) if path[:-1] else whole} are: {', '.join(known)}"
        return "there is no such key", f"{did_you_mean(str(path[-1]), known)} {listed}".strip()
    if word == "missing":
        wanted: Key | None = known.get(str(path[-1]))
        return f"the key '{path[-1]}' must be given", f"add {path[-1]}: {wanted.wanted if wanted else ''}"
    at = section_at(model, path)
    names = f"its keys are: {', '.join(at.declared())}" if at else "see the reference of this key"
    return "must be a section: a mapping of keys", names


def section_at(model: type[Section], path: Path) -> type[Section] | None:
    """The model of the section at a path; list items are sections too."""
    at: type[Section] | None = model
    for step in path:
        if isinstance(step, int):
            continue
        known = at.declared().get(step) if at else None
        at = known.model if known else None
    return at
