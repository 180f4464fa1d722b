"""The journal of an experiment: a line of JSON for each run that is done, written when it is done.

A run is known by the digest of its topology (seed and replication are part of it) and the version of simfabric: whatever else changes in the
experiment's file, what was run stays valid. A line that was cut off, by a crash or a full disk, or that was altered, is no line: its run is made again.

Leaves out: the content of trace files, which a topology's digest does not cover (use --fresh after changing one).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simfabric._version import __version__
from simfabric.errors import SimfabricError, shown
from simfabric.planning.grid import Figures
from simfabric.planning.metrics import METRICS
from simfabric.topology import Topology

LARGEST = 256 * 2**20  # [bytes]


class Journal:
    """What is done of an experiment, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Figures] = {}

    def read(self) -> None:
        """Take what is in the file, if there is one; lines that are none are passed over."""
        if not self.path.exists():
            return
        if not self.path.is_file() or self.path.stat().st_size > LARGEST:
            law = f"must be a journal of at most {LARGEST // 2**20} MB"
            raise SimfabricError(f"{shown(str(self.path), 200)}: {law}\n    cure: take it away, or run with --fresh")
        for line in self.path.read_bytes().split(b"\n"):
            run = _read(line)
            if run is not None:
                self.done[run[0]] = run[1]

    def fresh(self) -> None:
        """Forget all."""
        self.done.clear()
        self.path.unlink(missing_ok=True)

    def of(self, key: str) -> Figures | None:
        """The figures of a run, if it is done."""
        return self.done.get(key)

    def add(self, key: str, figures: Figures, about: Mapping[str, object]) -> None:
        """A run is done: it is on disk when this returns. `about` is for people who look into the file."""
        values = {name: _plain(value) for name, value in zip(METRICS, figures.values)}
        record = {"key": key, **about, "digest": figures.digest, "wall_s": figures.wall_s, "values": values}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # The last line was cut off.
                    file.write(b"\n")
            file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.done[key] = figures


def key_of(topology: Topology) -> str:
    """What a run is known by."""
    return f"{topology.digest}/{__version__}"


def _plain(value: float | None) -> float | str | None:
    """JSON knows no infinity."""
    return value if value is None or math.isfinite(value) else "never" if value > 0 else None


def _read(line: bytes) -> tuple[str, Figures] | None:
    """The run of a line; None where it is none, or lacks a metric that there is."""
    try:
        record: Any = json.loads(line)
        key, digest, wall_s, values = record["key"], record["digest"], float(record["wall_s"]), record["values"]
        told = tuple(_value(values[name]) for name in METRICS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, Figures(told, digest, (), wall_s)) if isinstance(key, str) and isinstance(digest, str) else None


def _value(value: object) -> float | None:
    if value is None:
        return None
    if value == "never":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a value is a number")
    return float(value)
