"""The form of an experiment's file: every key with its kind, default and sentence, and the laws between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from simfabric.errors import Refusal, did_you_mean
from simfabric.planning.experiments.kinds import LONGEST_NAME, Changes, MetricNames, Names, Varied
from simfabric.topology.kinds import COUNT, SHARE, FileName, Quantity, Text
from simfabric.topology.section import Section, items, leaf, required, section

MOST_DESIGNS = 100


class Named(Section):
    """A design or a case: a name, and what it changes."""

    name: str = required(Text(LONGEST_NAME), "Its name, in tables and pictures; unique.")
    says: str = leaf(Text(300, empty=True), "", "What it is, for people.")
    set: Mapping[str, object] | None = leaf(Changes(), None, "Keys of the topology that it changes; not given: none.")
    values: Mapping[str, object] | None = leaf(
        Changes(), None, "Of a case: words with values; a design that sets a key to $word takes the value that the case gives it."
    )


class Short(Section):
    """The same experiment with smaller values, for a quick look and for tests."""

    set: Mapping[str, object] | None = leaf(Changes(), None, "Keys that are changed besides those of the whole experiment, before those of a design.")
    replications: int = leaf(Quantity(COUNT, "2", "1000"), "2", "Replications of each design.")
    designs: tuple[str, ...] | None = leaf(Names(), None, "Names of the designs that are run; not given: all.")
    cases: tuple[str, ...] | None = leaf(Names(), None, "Names of the cases that are run; not given: all.")


class Form(Section):
    """An experiment: a question, a topology, the designs that are compared, in which cases, and by which metrics."""

    version: Literal[1] = leaf(Quantity(COUNT, "1", "1"), "1", "Version of this format.")
    title: str = required(Text(100), "Title of the page.")
    question: str = required(Text(1000, lines=True), "What is asked, in a sentence that ends with a question mark.")
    topology: str = required(FileName(), "The topology file, relative to this file; under the folder above it.")
    set: Mapping[str, object] | None = leaf(Changes(), None, "Keys of the topology that are changed in every run; not given: none.")
    designs: tuple[Named, ...] = items(Named, MOST_DESIGNS, "What is compared; the first is what the others are told against.")
    vary: Mapping[str, tuple[object, ...]] | None = leaf(Varied(), None, "Instead of designs: keys with values; every combination is a design.")
    cases: tuple[Named, ...] = items(Named, MOST_DESIGNS, "Situations in each of which all designs are compared; not given: one.")
    across: Mapping[str, tuple[object, ...]] | None = leaf(Varied(), None, "Instead of cases: keys with values; every combination is a case.")
    metrics: tuple[str, ...] = required(MetricNames(), "What is told of each design; the first answers the question.")
    replications: int = leaf(Quantity(COUNT, "2", "1000"), "5", "Replications of each design, all designs under the same luck.")
    level: float = leaf(Quantity(SHARE, "50%", "99.99%"), "95%", "Level of the intervals.")
    short: Short = section(Short, "The same with smaller values.")
    conclusion: str = leaf(Text(4000, lines=True, empty=True), "", "What a person concludes from the page.")

    def laws(self) -> Iterator[Refusal]:
        for one, other in (("designs", "vary"), ("cases", "across")):
            if getattr(self, one) and getattr(self, other) is not None:
                yield Refusal(f"{one} and {other} are two ways to say the same", "take one of the two out", (other,))
        if not self.designs and self.vary is None:
            yield Refusal("an experiment compares designs", "add designs: with a name and a set for each, or vary: with keys and values", ("designs",))
        yield from repeated(self.designs, "designs")
        yield from repeated(self.cases, "cases")
        if len(self.designs) == 1:
            yield Refusal("a comparison needs at least two designs", "add one: what is done today is a good first", ("designs",))


def repeated(named: Sequence[Named], key: str) -> Iterator[Refusal]:
    """Names that stand twice."""
    seen: list[str] = []
    for i, each in enumerate(named):
        if each.name in seen:
            yield Refusal("must be a name that no other has", "rename one of the two", (key, i, "name"), each.name)
        seen.append(each.name)


def unknown(names: Sequence[str], known: Sequence[str], key: str) -> Iterator[Refusal]:
    """Names of the short form that the whole does not have."""
    for i, name in enumerate(names):
        if name not in known:
            listed = f"the {key} are: {', '.join(known)}"
            yield Refusal(f"there is none of this name among the {key}", f"{did_you_mean(name, known)} {listed}".strip(), ("short", key, i), name)
