"""What is wrong in a file is told with place, value, law and cure, all at once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from topology_corpus import BROKEN, GOOD

from simfabric.errors import Problem, TopologyError, shown
from simfabric.topology import Topology, loads
from simfabric.topology.json_schema import _all_keys
from simfabric.topology.kinds import FileName, Text
from simfabric.topology.section import Key, as_text
from simfabric.topology.writing import yaml_text

KEYS: dict[str, Key] = {path: known for path, known in _all_keys(Topology, "") if path != "extends"}
SECTIONS = [path for path, known in KEYS.items() if known.model is not None]
LEAVES = [path for path, known in KEYS.items() if known.kind is not None]
CONTENT = loads(GOOD)
NUMERIC = [path for path in LEAVES if not isinstance(KEYS[path].kind, Text | FileName)]


def refused(text: str) -> TopologyError:
    with pytest.raises(TopologyError) as caught:
        loads(text)
    return caught.value


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_place_path_law_and_cure(name: str) -> None:
    text, place, path, law, cure = BROKEN[name]
    (problem,) = refused(text).problems
    assert (problem.place, problem.path) == (f"<text>:{place}", path)
    assert law in problem.law
    assert cure in problem.cure


def steps(path: str, content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The dictionary that holds the last key of a path, and that key; of lists the first item that has it."""
    *way, last = path.split(".")
    for i, name in enumerate(way):
        inner = content[name]
        after = way[i + 1] if i + 1 < len(way) else last
        content = inner if isinstance(inner, dict) else next((item for item in inner if after in item), inner[0])
    return content, last


@pytest.mark.parametrize("path", ["", *SECTIONS])
def test_an_unknown_key_is_refused_in_every_section(path: str) -> None:
    content = as_text(CONTENT)
    holder, name = steps(f"{path}.bogus" if path else "bogus", content)
    holder[name] = "1"
    (problem,) = refused(yaml_text(content)).problems
    assert re.sub(r"\[\d+\]", "", problem.path) == (f"{path}.bogus" if path else "bogus")
    assert problem.law == "there is no such key"
    assert "are: " in problem.cure


@pytest.mark.parametrize("junk", ["-1", ".nan", "5 parsec", "9" * 4000, *(pytest.param(junk, marks=pytest.mark.slow) for junk in ("0x10", "1:30", "é"))])
def test_a_value_that_means_nothing_is_refused_by_every_key(junk: str) -> None:
    for path in NUMERIC:
        content = as_text(CONTENT)
        holder, name = steps(path, content)
        holder[name] = junk if (path, junk) != ("bus.acks", "-1") else "-2"
        told = [problem for problem in refused(yaml_text(content)).problems if re.sub(r"\[\d+\]", "", problem.path) == path]
        assert len(told) == 1, path
        assert re.fullmatch(r"<text>:\d+:\d+", told[0].place)
        assert told[0].law and told[0].cure
        assert len(told[0].value) <= 80


@pytest.mark.parametrize("junk", [{"a": "1"}, [{"a": "1"}]], ids=["a mapping", "a list"])
def test_a_leaf_that_is_a_mapping_or_a_list_is_refused(junk: object) -> None:
    for path in LEAVES:
        content = as_text(CONTENT)
        holder, name = steps(path, content)
        holder[name] = junk
        assert any("must be one value" in problem.law for problem in refused(yaml_text(content)).problems), path


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = "version: 1\nrun: {duration: 5, seed: x}\nname: a\nname: b\nbus: {brokers: 1}\nclients: {count: 1_000_000}\nfoo: 1\n"
    problems = refused(text).problems
    assert [problem.path for problem in problems] == ["name", "run.duration", "run.seed", "bus.replication", "clients.count", "foo"]


def test_laws_between_sections_are_told_together_with_wrong_values_that_they_do_not_depend_on() -> None:
    wrong = "version: 1\nclients: {count: 1_000_000, delay: 5}\n"
    assert [problem.path for problem in refused(wrong).problems] == ["clients.count", "clients.delay"]
    dependent = "version: 1\nclients: {count: 1_000_000}\ngateways: {count: x}\n"
    assert [problem.path for problem in refused(dependent).problems] == ["gateways.count"]


def test_at_most_fifty_problems_are_told_and_the_others_counted() -> None:
    error = refused("version: 1\n" + "".join(f"k{i}: 1\n" for i in range(70)))
    assert (len(error.problems), error.more) == (50, 20)
    assert str(error).endswith("and 20 more")


def test_an_error_shows_hostile_values_cut_and_escaped() -> None:
    assert shown("a\x1b[2J\u202eb\nc") == "a\\x1b[2J\\u{202e}b\\nc"
    assert len(shown("\u202e" * 500)) <= 80
    (problem,) = refused(f"version: 1\nrun: {{seed: {'x' * 500}}}\n").problems
    assert len(problem.value) == 80 and problem.value.endswith("…")


def test_a_problem_reads_as_place_path_value_law_and_cure() -> None:
    problem = Problem("a.yaml:3:4", "run.seed", "x", "must be a whole number", "give 4")
    assert str(problem) == "a.yaml:3:4: run.seed: 'x': must be a whole number\n    cure: give 4"


def test_a_law_that_a_comma_cut_in_two_is_told_to_be_put_in_quotes() -> None:
    first, second = refused("version: 1\nstorage: {work: uniform(1ms, 2ms)}\n").problems
    assert (first.place, "in quotes" in first.cure) == ("<text>:2:17", True)
    assert (second.place, second.law) == ("<text>:2:30", "there is no such key")
