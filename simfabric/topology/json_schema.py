"""What every key means: for editors (JSON Schema) and for people (`explain`), from the same declarations that the reader obeys."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from simfabric.errors import Problem, TopologyError, did_you_mean, shown
from simfabric.topology.fault_kinds import told as told_of_kinds
from simfabric.topology.kinds import FileName
from simfabric.topology.model import Topology
from simfabric.topology.section import Key, Section

EXTENDS = Key(
    "A topology file that this one is laid over: mappings are merged key by key, everything else is replaced; lists (traffic, faults, regions, given) "
    "are replaced whole; null takes a value of the base away. Relative to this file, under the first file's folder, at most 5 levels deep.",
    FileName(),
)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a topology file, for completion and checks while you type."""
    whole = schema_of(Topology)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "simfabric topology",
        **whole,
        "properties": {**whole["properties"], "extends": _leaf(EXTENDS)},
        "anyOf": [{"required": ["version"]}, {"required": ["extends"]}],
    }


def schema_of(model: type[Section]) -> dict[str, Any]:
    """The schema of one section as a whole file: its keys, and under $defs those of the sections within it."""
    models = {inner.__name__: inner for _, known in _all_keys(model, "") if (inner := known.model)}
    return {**_object(model), "$defs": {name: _object(inner) for name, inner in models.items()}}


def explain(path: str = "") -> str:
    """What a key means, its unit, range and default; of a section its keys. Items of a list are meant by 'traffic.rate' or 'traffic[].rate'."""
    words = [word.split("[")[0] for word in path.split(".") if word.strip()]
    at: type[Section] = Topology
    known = Key(_idea(Topology), model=Topology, default="")
    for i, word in enumerate(words):
        keys = _keys(at)
        if word not in keys:
            raise _unknown(path, ".".join(words[:i]), keys)
        known = keys[word]
        if known.model is None and i < len(words) - 1:
            raise TopologyError([Problem("explain", shown(path), "", f"{shown('.'.join(words[: i + 1]))} is a value and has no keys", "leave the rest out")])
        at = known.model or at
    told = _told_leaf(".".join(words), known) if known.model is None else _told_section(".".join(words), known, known.model)
    return f"{told}\n\n{told_of_kinds()}" if words == ["faults", "kind"] else told


def paths() -> list[str]:
    """The path of every key, sections included, in the order of a file."""
    return [path for path, _ in _all_keys(Topology, "")]


def _keys(model: type[Section]) -> Mapping[str, Key]:
    return {**model.declared(), "extends": EXTENDS} if model is Topology else model.declared()


def _all_keys(model: type[Section], path: str) -> Iterator[tuple[str, Key]]:
    for name, known in _keys(model).items():
        inner = f"{path}.{name}" if path else name
        yield inner, known
        if known.model is not None:
            yield from _all_keys(known.model, inner)


def _idea(model: type[Section]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n")[0]


# --------------------------------------------------------------------------------------------------------------------- for editors


def _object(model: type[Section]) -> dict[str, Any]:
    keys = model.declared()
    needed = [name for name, known in keys.items() if known.required]
    return {
        "type": "object",
        "description": _idea(model),
        "additionalProperties": False,
        "properties": {name: _leaf(known) if known.model is None else _branch(known, known.model) for name, known in keys.items()},
        **({"required": needed} if needed else {}),
    }


def _leaf(known: Key) -> dict[str, Any]:
    assert known.kind is not None
    described = f"{known.says} Unit: {known.kind.unit}. Range: {known.kind.range}. {_default(known)}."
    return {"description": described, **({} if known.default is None else {"default": known.kind.editor(known.default)}), **known.kind.schema()}


def _branch(known: Key, model: type[Section]) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{model.__name__}"}
    return {"description": known.says, **({"type": "array", "items": reference, "maxItems": known.most} if known.many else reference)}


# ---------------------------------------------------------------------------------------------------------------------- for people


def _default(known: Key) -> str:
    if known.required:
        return "It must be given"
    return f"Default: {known.default or 'empty'}" if known.default is not None else "Default: not given"


def _told_leaf(path: str, known: Key) -> str:
    assert known.kind is not None
    default = "none: it must be given" if known.required else (known.default or "empty") if known.default is not None else "not given"
    return f"{path}: {known.says}\n  unit     {known.kind.unit}\n  range    {known.kind.range}\n  default  {default}"


def _told_section(path: str, known: Key, model: type[Section]) -> str:
    keys = _keys(model)
    width = max(len(name) for name in keys)
    title = f"{path}: {known.says}" if path else known.says
    kind = f"  a list of at most {known.most} items, each with the keys" if known.many else f"  {_idea(model)}" if path else "  the keys"
    lines = [f"  {name:<{width}}  {each.says}{_short_default(each)}" for name, each in keys.items()]
    return "\n".join([title, kind, *lines])


def _short_default(known: Key) -> str:
    if known.model is not None:
        return ""
    return " [needed]" if known.required else f" [{known.default}]" if known.default else ""


def _unknown(path: str, where: str, keys: Mapping[str, Key]) -> TopologyError:
    last = path.split(".")[-1]
    elsewhere = [each for each in paths() if each.split(".")[-1] == last]
    listed = f"the keys of {where or 'a topology'} are: {', '.join(keys)}"
    hint = f"did you mean {' or '.join(elsewhere[:5])}?" if elsewhere else did_you_mean(path, paths()) or did_you_mean(last, keys)
    return TopologyError([Problem("explain", shown(path), "", "there is no such key", f"{hint} {listed}".strip())])
