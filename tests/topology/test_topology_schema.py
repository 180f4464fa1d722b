"""The schema for editors and the explanations for people come from the declarations that the reader obeys."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
import yaml
from topology_corpus import BROKEN, GOOD

from simfabric.errors import TopologyError
from simfabric.topology import Topology, explain, loads, schema
from simfabric.topology.json_schema import _all_keys, paths

KEYS = dict(_all_keys(Topology, ""))
VALIDATOR = jsonschema.Draft202012Validator(schema())


def errors(text: str) -> list[Any]:
    return list(VALIDATOR.iter_errors(yaml.safe_load(text)))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("text", [GOOD, "version: 1\n", "extends: a.yaml\n", loads(GOOD).to_yaml(), Topology().to_yaml()])
def test_what_the_reader_reads_the_schema_accepts(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "name",
    [
        "a list", "no version", "version 2", "an unknown key", "an unknown inner key", "no unit", "another unit", "minutes as m", "a size for a duration",
        "a rate without period", "bytes of bandwidth", "negative", "half a client", "infinity", "a word that is no option", "an unknown law",
        "a section that is a value", "a value that is a list", "a list that is a section", "an item that is a value", "a needed key missing",
    ],
)  # fmt: skip
def test_what_the_reader_refuses_for_its_form_the_schema_refuses_too(name: str) -> None:
    assert errors(BROKEN[name][0]) != []


def test_every_key_stands_in_the_schema_with_sentence_unit_range_and_default() -> None:
    content = schema()
    for path, known in KEYS.items():
        node: dict[str, Any] = content
        for name in path.split("."):
            node = node.get("items", node)
            node = content["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node
            node = node["properties"][name]
        assert node["description"].startswith(known.says), path
        if known.kind is not None:
            assert re.search(r"Unit: .+ Range: .+ (Default: .+|It must be given)\.$", node["description"], re.DOTALL), path
            assert ("default" in node) == (known.default is not None), path
            VALIDATOR.evolve(schema=node).validate(node.get("default")) if known.default is not None else None


def test_every_key_is_explained_with_unit_range_and_default() -> None:
    assert len(paths()) > 140
    for path, known in KEYS.items():
        told = explain(path)
        assert told.startswith(f"{path}: {known.says}")
        if known.model is None:
            assert re.search(r"\n  unit     .+\n  range    .+\n  default  .+", told), path
        else:
            assert all(f"\n  {name} " in told for name in known.model.declared()), path


def test_every_sentence_is_a_sentence() -> None:
    for path, known in KEYS.items():
        assert known.says.endswith("."), path
        assert len(known.says) > 12, path


def test_the_whole_topology_and_items_of_lists_are_explained() -> None:
    assert all(f"\n  {name} " in explain() for name in [*Topology.declared(), "extends"])
    assert explain("traffic[0].rate") == explain("traffic[].rate") == explain("traffic.rate")
    assert "replaced whole" in explain("extends")


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("gateways.cuont", "did you mean 'gateways.count'"),
        ("gatewais", "did you mean 'gateways'"),
        ("delivery", "did you mean gateways.work.delivery"),
        ("run.seed.x", "leave the rest out"),
        ("x" * 10_000, "the keys of a topology are"),
        ("\x1b[2J", "the keys of a topology are"),
    ],
)
def test_an_unknown_path_is_told_what_was_perhaps_meant(path: str, cure: str) -> None:
    with pytest.raises(TopologyError) as caught:
        explain(path)
    (problem,) = caught.value.problems
    assert cure in problem.cure
    assert len(problem.path) <= 80 and "\x1b" not in str(problem)
