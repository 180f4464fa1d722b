"""The calibrated topology: a file that extends another by what measurements say, each key with where it came from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simfabric.errors import Refusal, shown
from simfabric.planning.calibrating.findings import Finding, Source, source
from simfabric.planning.calibrating.formats import READERS
from simfabric.topology import load
from simfabric.topology.changing import steps
from simfabric.topology.section import as_text
from simfabric.topology.writing import yaml_text


def calibrate(topology: str | os.PathLike[str], measurements: Sequence[tuple[str, str | os.PathLike[str]]], out: str | os.PathLike[str] | None = None) -> str:
    """A topology as text: it extends a file, with the laws that measurements say.

    `measurements`: pairs of a tool (k6, locust, kafka, prometheus) and a file of it; where two say the same key, the later one counts. `out`: where the text
    will be written, for the name under which it finds the file (under the same folder). Every key tells its file, the file's SHA-256 and the field.
    Raises Refusal for a file that is not what it should be, or says nothing that is known; TopologyError if a value does not fit.
    """
    base = load(topology)
    if not measurements:
        raise Refusal("there must be something to calibrate by", "give --k6, --locust, --kafka or --prometheus, each with a file")
    found: dict[str, tuple[Finding, Source, str]] = {}
    for tool, path in measurements:
        read = source(Path(path))
        findings = _read(tool, read)
        found |= {finding.key: (finding, read, tool) for finding in findings}
    changes: dict[str, object] = {key: finding.value for key, (finding, _, _) in found.items()}
    if "traffic[0].rate" in changes:
        changes["traffic[0].per"] = "all"
    calibrated = base.with_(changes)
    content: dict[str, object] = {}
    for key in changes:
        top = str(steps(key)[0])
        if top == "traffic":  # Lists are replaced whole.
            content[top] = [as_text(each, implied=False) for each in calibrated.traffic]
        else:
            _put(content, key, str(changes[key]))
    name = os.path.relpath(Path(topology).resolve(), Path(out).resolve().parent) if out is not None else Path(topology).name
    if name.startswith(".."):
        raise Refusal("a topology extends files of its own folder only", f"write it beside {shown(str(topology), 200)}", value=shown(str(out), 200))
    notes = [f"#   {key}: {finding.field}; {tool}, {shown(read.name, 100)}, SHA-256 {read.digest}" for key, (finding, read, tool) in found.items()]
    title = {"extends": Path(name).as_posix(), "name": f"{base.name or 'topology'}, calibrated"[:100]}
    return "\n".join(["# Calibrated by measurements; what gave each key:", *notes, "", yaml_text({**title, **content})])


def _read(tool: str, read: Source) -> list[Finding]:
    """What a file says; raises Refusal with its name."""
    try:
        findings = list(READERS[tool](read.text))
    except Refusal as refusal:
        where = shown(read.name, 100) + (f": {refusal.value}" if refusal.value else "")
        raise Refusal(refusal.law, refusal.cure, value=where) from None
    if not findings:
        raise Refusal(
            f"nothing in it says anything about a topology's keys ({tool})", "see the README for the metrics that are read", value=shown(read.name, 100)
        )
    return findings


def _put(content: dict[str, Any], key: str, value: str) -> None:
    at = content
    *path, last = (str(step) for step in steps(key))
    for step in path:
        at = at.setdefault(step, {})
    at[last] = value
