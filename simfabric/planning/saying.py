"""What the command line says of a study: its table, and its figures in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from simfabric.planning import tables
from simfabric.planning.metrics import REGISTERED


class Told(Protocol):
    """A study, a comparison, a tornado or Morris's effects."""

    def summary(self) -> str:
        """A table of text for people."""

    def figures(self) -> dict[str, Any]:
        """The figures as JSON takes them."""


def say(told: Told, file: Path | None) -> str:
    """The table of text; the figures go to the file, if one is named."""
    if file is not None:
        file.write_text(json.dumps(told.figures(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return told.summary()


def listed() -> str:
    """Every metric with its unit, its better side and its meaning."""
    return "\n".join(tables.aligned(("metric", "unit", "better", "meaning"), [(one.name, one.unit, one.better, one.says) for one in REGISTERED], left=4))
