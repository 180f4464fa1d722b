"""Reading an experiment: its file behind the guard of topologies, and every design of every case as a topology that can be run.

All that is wrong is told at once, with file, line and column, also where a change makes a topology that cannot be.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from simfabric.errors import Problem, Refusal, Refusals, TopologyError, shown
from simfabric.planning.designs import Design, design
from simfabric.planning.experiments.form import Form, Named, unknown
from simfabric.planning.experiments.kinds import LONGEST_NAME
from simfabric.topology import Topology, files, load
from simfabric.topology.building import build
from simfabric.topology.reading import Budget, read
from simfabric.topology.tree import Keys, Node, Path, Scalar, dotted, walk

MOST_RUNS = 1000  # Designs in all cases together.


@dataclass(frozen=True)
class Arm(Design):
    """A design of an experiment: its name, what it changes by itself (`own`), and all that is changed with it (`changes`)."""

    name: str = ""
    own: Mapping[str, object] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name."""
        return self.name


@dataclass(frozen=True)
class Case:
    """A situation in which all designs are compared; `arms` are the designs in it."""

    name: str
    says: str
    changes: Mapping[str, object]
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Experiment:
    """An experiment that is ready to run: what the file says, and its cases with their designs."""

    path: FilePath
    form: Form = field(repr=False)
    topology: Topology = field(repr=False)
    cases: tuple[Case, ...] = field(repr=False)
    replications: int
    short: bool

    @property
    def name(self) -> str:
        """The name of the file without its ending, with .short for the short form: what its results are called."""
        return f"{self.path.stem}.short" if self.short else self.path.stem

    @property
    def designs(self) -> tuple[str, ...]:
        """The names of the designs; the others are told against the first."""
        return tuple(arm.name for arm in self.cases[0].arms)


def load_experiment(path: str | os.PathLike[str], *, short: bool = False, replications: int | None = None) -> Experiment:
    """The experiment of a YAML file, whole or in its short form; raises TopologyError with all problems.

    `replications`: instead of those that the file says (at least 2).
    """
    name = os.fspath(path)
    try:
        budget = Budget()
        content = files.content(FilePath(name), budget.size)
        tree = read(content, name, budget)
        if not isinstance(tree, Keys):
            raise Refusal("an experiment must be a mapping of keys", "begin it with version: 1")
        if replications is not None and replications < 2:
            raise Refusal(f"replications {replications}: must be at least 2, for an interval", "give 5")
    except Refusal as refusal:
        raise TopologyError([Problem(shown(name, 200), "", "", refusal.law, refusal.cure)]) from None
    form = build(Form, tree, budget.problems)
    base = _topology(form, tree, FilePath(name))
    cases = _Maker(form, tree, base, short).cases()
    count = replications or (form.short.replications if short else form.replications)
    return Experiment(FilePath(name), form, base, cases, count, short)


def _topology(form: Form, tree: Keys, path: FilePath) -> Topology:
    """The topology that the file names: under the folder above the experiment's."""
    try:
        folder = path.parent.resolve()
        found = files.inside(folder.parent, folder, form.topology)
    except Refusal as refusal:
        law = refusal.law.replace("the topology's folder", "the folder above the experiment's")
        problem = Problem("", "topology", shown(form.topology), law, "mend the name, relative to the experiment's file")
        raise TopologyError([_at(tree, ("topology",), problem)]) from None
    return load(found)


class _Maker:
    """Makes the topologies of all designs, and collects what is wrong with them."""

    def __init__(self, form: Form, tree: Keys, base: Topology, short: bool) -> None:
        self.form, self.tree, self.base, self.short = form, tree, base, short
        self.problems: dict[str, Problem] = {}

    def cases(self) -> tuple[Case, ...]:
        """Every case with all designs in it; raises TopologyError for all that cannot be."""
        form = self.form
        designs = self._chosen([*_named(form.designs, "designs"), *_combined(form.vary, "vary")], form.short.designs, "designs")
        cases = self._chosen([*_named(form.cases, "cases"), *_combined(form.across, "across")], form.short.cases, "cases")
        cases = cases or [("", "", {}, {})]
        words = {each.name: {f"${word}": value for word, value in (each.values or {}).items()} for each in form.cases}
        if self.problems:
            raise TopologyError(self.problems.values())
        if len(designs) * len(cases) > MOST_RUNS or len(designs) < 2:
            law = f"must have 2 to {MOST_RUNS} designs in all cases together, not {len(designs)} in each of {len(cases)}"
            raise TopologyError([Problem(str(self.tree.place), "", "", law, "vary fewer keys, or add a design")])
        made = tuple(Case(case[0], case[1], case[2], tuple(self._arm(case, each, words.get(case[0], {})) for each in designs)) for case in cases)
        if self.problems:
            raise TopologyError(self.problems.values())
        return made

    def _chosen(self, all_of: list[_Part], names: Sequence[str] | None, key: str) -> list[_Part]:
        """Those that are run: in the short form only some."""
        known = [part[0] for part in all_of]
        for refusal in unknown(names or (), known, key):
            problem = Problem("", dotted(refusal.path), shown(refusal.value or ""), refusal.law, refusal.cure)
            self.problems[str(refusal.path)] = _at(self.tree, refusal.path, problem)
        return all_of if names is None or not self.short else [part for part in all_of if part[0] in names]

    def _arm(self, case: _Part, part: _Part, words: Mapping[str, object]) -> Arm:
        """A design in a case: the whole's changes, those of the short form, of the case, and of the design, later ones over earlier ones.

        `words` are the values that the case gives: {"$drain": "50s"}.
        """
        name, _, changes, places = part
        layers: list[tuple[Mapping[str, object], Mapping[str, Path]]] = [(self.form.set or {}, {key: ("set", key) for key in self.form.set or {}})]
        if self.short:
            layers.append((self.form.short.set or {}, {key: ("short", "set", key) for key in self.form.short.set or {}}))
        layers += [(case[2], case[3]), (changes, places)]
        together: dict[str, object] = {}
        where: dict[str, Path] = {}
        for values, paths in layers:
            for key, value in values.items():
                together.pop(key, None)  # What is changed later stands later.
                together[key], where[key] = words.get(value, value) if isinstance(value, str) else value, paths[key]
        try:
            return Arm(together, design(self.base, together).topology, name, changes)
        except (TopologyError, Refusals) as error:
            for problem in error.problems if isinstance(error, TopologyError) else ():
                told = self._placed(problem, where, places)
                self.problems[str(told)] = told
            return Arm(together, self.base, name)

    def _placed(self, problem: Problem, where: Mapping[str, Path], places: Mapping[str, Path]) -> Problem:
        """The problem of a topology at the line of the experiment that made it."""
        key = problem.place.removeprefix("with_ ")
        path = where.get(key) or where.get(problem.path) or next(iter(places.values()), ())
        return _at(self.tree, path, replace(problem, path=problem.path or key))


_Part = tuple[str, str, Mapping[str, object], Mapping[str, Path]]  # Name, what it is, changes, and where each stands in the file.


def _named(named: Sequence[Named], key: str) -> Iterator[_Part]:
    for i, each in enumerate(named):
        changes = each.set or {}
        yield each.name, each.says, changes, {path: (key, i, "set", path) for path in changes}


def _combined(varied: Mapping[str, tuple[object, ...]] | None, key: str) -> Iterator[_Part]:
    """Every combination of the values, the last key varying fastest."""
    for places in itertools.product(*(range(len(values)) for values in (varied or {}).values())) if varied else ():
        chosen = dict(zip(varied or {}, places))
        changes = {path: (varied or {})[path][i] for path, i in chosen.items()}
        name = ", ".join(f"{path.split('.')[-1]}={value}" for path, value in changes.items())
        yield shown(name, LONGEST_NAME), "", changes, {path: (key, path, i) for path, i in chosen.items()}


def _at(tree: Node, path: Path, problem: Problem) -> Problem:
    """The problem at the place of the deepest part of a path that exists."""
    place, node = list(walk(tree, path))[-1]
    value = problem.value or (shown(node.text) if isinstance(node, Scalar) else "")
    return replace(problem, place=str(place), value=value)
