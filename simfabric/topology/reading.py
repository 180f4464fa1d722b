"""Reading a topology's text: YAML behind a guard, into a tree of text scalars with places.

Topologies come from strangers, and YAML can be a bomb: 672 bytes with merge keys burn minutes, an alias makes megabytes of 300 bytes, deep
nesting crashes parsers. So nothing is ever composed or constructed: the events of the parser are looked at one by one, everything that
could multiply is refused at its first appearance, and the tree is built here. What a scalar means (number, duration, true) is the model's
business. Refused: anchors, aliases, merge keys, tags, a second document, and more than a stated depth, count, length or size.

Leaves out: comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from simfabric.errors import Problem, TopologyError, shown
from simfabric.topology.characters import forbidden
from simfabric.topology.tree import DEEPEST, LONGEST_SCALAR, MOST_NODES, Entry, Items, Keys, Node, Path, Place, Scalar, dotted

WITH_LIBYAML = bool(getattr(yaml, "__with_libyaml__", False))
LARGEST_FILE = 2**20 if WITH_LIBYAML else 2**17  # [bytes] all files of a topology together; the pure Python parser is 10-20 times slower.
NOTHING = frozenset({"", "~", "null"})


@dataclass
class Budget:
    """What all files of one topology may use together."""

    size: int = field(default_factory=lambda: LARGEST_FILE)
    nodes: int = MOST_NODES
    problems: list[Problem] = field(default_factory=list)  # Repeated keys: told together with what the model finds.


def read(content: bytes, source: str, budget: Budget) -> Node:
    """The tree of one file's content; raises TopologyError at the first thing that the guard refuses."""
    budget.size -= len(content)
    if budget.size < 0:
        _refuse(Place(source, 1, 1), "", f"a topology must be at most {LARGEST_FILE} bytes, all its files together", "take something out")
    return _Reader(source, budget).tree(_decoded(content, source))


def read_text(text: str, source: str, budget: Budget) -> Node:
    """The same of text that is decoded already."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        _refuse(_place(text, error.start, source), text[error.start], "must be Unicode text; half a surrogate pair is none", "take it out")
    return read(content, source, budget)


def _refuse(place: Place, value: str, law: str, cure: str, path: str = "") -> NoReturn:
    raise TopologyError([Problem(str(place), path, shown(value), law, cure)])


def _place(text: str, offset: int, source: str) -> Place:
    """Line and column of a character."""
    return Place(source, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _decoded(content: bytes, source: str) -> str:
    """The text, if it is UTF-8 without characters that hide or move anything."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        place = _place(before, len(before), source)
        _refuse(place, repr(content[error.start : error.start + 4])[2:-1], "the file must be text in UTF-8", "save it as UTF-8")
    at = forbidden(text)
    if at is not None:
        law = f"the character U+{ord(text[at]):04X} is not allowed: no control characters, no bidirectional ones"
        _refuse(_place(text, at, source), text[at], law, "take it out, and save the file as UTF-8")
    return text


class _Reader:
    """Builds the tree from events, with an explicit stack."""

    def __init__(self, source: str, budget: Budget) -> None:
        self.source = source
        self.budget = budget
        self.documents = 0
        self.root: Node | None = None
        self.stack: list[tuple[Keys | Items, Path]] = []
        self.keys: list[tuple[str, Place] | None] = []  # Of each open mapping: the key whose value comes next.

    def tree(self, text: str) -> Node:
        for event in self._events(text):
            if isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
                self.keys.pop()
            elif isinstance(event, yaml.DocumentStartEvent):
                self._document(event)
        return self.root if self.root is not None else Scalar(Place(self.source, 1, 1), "", given=False)

    def _events(self, text: str) -> Iterator[Any]:
        """The parser's events; its own errors become ours."""
        loader = yaml.CSafeLoader if WITH_LIBYAML else yaml.SafeLoader
        try:
            yield from yaml.parse(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(self.source, mark.line + 1, mark.column + 1) if mark else Place(self.source, 1, 1)
            told = shown(" ".join(filter(None, (error.context, error.problem))), 200)
            if "nesting" in told:  # LibYAML from 0.2.6 on has a limit of its own, far above ours, and reads ahead.
                _refuse(place, "", f"must be nested at most {DEEPEST} levels deep", "nest less")
            _refuse(place, "", f"must be YAML: {told}", "mend the line, or put the value in quotes")
        except yaml.YAMLError as error:
            _refuse(Place(self.source, 1, 1), "", f"must be YAML: {shown(str(error), 200)}", "save it as plain UTF-8 text")
        except RecursionError:  # Of the pure Python parser only; the depth is checked before, at every event.
            _refuse(Place(self.source, 1, 1), "", f"must be nested at most {DEEPEST} levels deep", "nest less")

    def _at(self, event: Any) -> Place:
        return Place(self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            _refuse(self._at(event), "---", "a topology is one document", "take the second document out")
        if event.tags:
            _refuse(self._at(event), "%TAG", "tags are not read", "take the %TAG line out")

    def _node(self, event: Any) -> None:
        """One scalar, list or mapping begins (or an alias, which is refused)."""
        place, path = self._at(event), self._path()
        where = dotted(path)
        if isinstance(event, yaml.AliasEvent):
            _refuse(place, f"*{event.anchor}", "aliases are not read: a few of them can blow a file up", "write the value out", where)
        if event.anchor is not None:
            _refuse(place, f"&{event.anchor}", "anchors are not read: with aliases a few of them can blow a file up", "take the anchor out", where)
        if event.tag is not None:
            _refuse(place, event.tag, "tags are not read: the key decides what its value is", "take the tag out", where)
        self.budget.nodes -= 1
        if self.budget.nodes < 0:
            _refuse(place, "", f"a topology holds at most {MOST_NODES} values, all its files together", "take something out", where)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place, path)
        else:
            self._open(Keys(place) if isinstance(event, yaml.MappingStartEvent) else Items(place), place, path)

    def _path(self) -> Path:
        """The path of the node that comes next."""
        if not self.stack:
            return ()
        node, path = self.stack[-1]
        if isinstance(node, Items):
            return (*path, len(node.items))
        waiting = self.keys[-1]
        return path if waiting is None else (*path, waiting[0])

    def _open(self, node: Keys | Items, place: Place, path: Path) -> None:
        if self.stack and isinstance(self.stack[-1][0], Keys) and self.keys[-1] is None:
            _refuse(place, "", "a key must be a word", "write the key as plain text", dotted(path))
        if len(self.stack) >= DEEPEST:
            _refuse(place, "", f"must be nested at most {DEEPEST} levels deep", "nest less", dotted(path))
        self._add(node)
        self.stack.append((node, path))
        self.keys.append(None)

    def _scalar(self, event: Any, place: Place, path: Path) -> None:
        text: str = event.value
        is_plain = not event.style
        if len(text) > LONGEST_SCALAR:
            _refuse(place, text[:200], f"a value must be at most {LONGEST_SCALAR} characters long", "shorten it", dotted(path))
        at = forbidden(text)
        if at is not None:
            law = f"the character U+{ord(text[at]):04X} is not allowed: no control characters, no bidirectional ones"
            _refuse(place, text, law, "take it out", dotted(path))
        if self.stack and isinstance(self.stack[-1][0], Keys) and self.keys[-1] is None:
            if text == "<<" and is_plain:
                _refuse(place, "<<", "merge keys are not read: a few of them can blow a file up", "write the keys out, or use extends:", dotted(path))
            self.keys[-1] = (text, place)
        else:
            self._add(Scalar(place, text, given=not (is_plain and text in NOTHING)))

    def _add(self, node: Node) -> None:
        """Put a node where it belongs: under the waiting key, at the end of the list, or at the root."""
        if not self.stack:
            self.root = node
            return
        parent, path = self.stack[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
            return
        waiting = self.keys[-1]
        assert waiting is not None
        name, place = waiting
        self.keys[-1] = None
        if name in parent.entries:
            before = parent.entries[name].place
            law = f"a key must stand once; it stands at line {before.line} already"
            self.budget.problems.append(Problem(str(place), dotted((*path, name)), shown(name), law, "keep one of the two"))
        else:
            parent.entries[name] = Entry(place, node)
