"""What pictures and reports see of a run: its figures and its tables, of a result in memory or of a folder that one was saved in.

A folder is untrusted: every figure and column is looked at before it is used, and what is not as `save` writes it is told, with its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfabric.errors import shown
from simfabric.running.saving import TABLES, ResultError, columns_of, load_saved
from simfabric.running.text import manifest

if TYPE_CHECKING:
    from simfabric.running.result import Result

Array = np.ndarray[Any, Any]
CURE = "cure: run the topology again with --out"


@dataclass(frozen=True, eq=False)
class Seen:
    """A run as pictures see it: `manifest` and `tables` as in a result folder; `trail` (message, client, arrival [ns]) if it was kept."""

    manifest: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]
    place: str
    trail: Array | None = None

    @property
    def name(self) -> str:
        """The name of the topology."""
        return self.words("name") or "topology"

    @property
    def simulated_s(self) -> float:
        """How long was simulated [s]."""
        return self.number("simulated_s") or 0.0

    def find(self, *path: str) -> Any:
        """The figure at a path such as ("delay", "p99_s"); None where there is none."""
        found: Any = self.manifest.get("figures")
        for step in path:
            if not isinstance(found, Mapping):
                raise self._wrong(path, "nothing that has parts")
            found = found.get(step)
        return found

    def number(self, *path: str) -> float | None:
        """A figure that is a number, or None where the run did not tell."""
        found = self.find(*path)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise self._wrong(path, "no number")
        return float(found)

    def words(self, *path: str) -> str:
        """A figure that is text; empty where there is none."""
        found = self.find(*path)
        if found is not None and not isinstance(found, str):
            raise self._wrong(path, "no text")
        return found or ""

    def parts(self, *path: str) -> Mapping[str, Any]:
        """A figure that has parts; empty where there is none."""
        found = self.find(*path)
        if found is not None and not isinstance(found, Mapping):
            raise self._wrong(path, "nothing that has parts")
        return found or {}

    def rows(self, *path: str) -> list[Any]:
        """A figure that is a list; empty where there is none."""
        found = self.find(*path)
        if found is not None and not isinstance(found, list):
            raise self._wrong(path, "no list")
        return found or []

    def column(self, table: str, name: str) -> Array:
        """One column of numbers, float64[rows]; times are nanoseconds."""
        try:
            found = np.asarray(self._column(table, name), np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ResultError(f"{self.place}: column {table}.{name} holds no numbers; law: a table is as --out wrote it; {CURE}") from None
        if found.ndim != 1 or len(found) != len(self._first(table)) or not np.isfinite(found).all():
            raise ResultError(f"{self.place}: column {table}.{name} is not whole; law: columns are finite and equally long; {CURE}")
        return found

    def names(self, table: str, name: str) -> list[str]:
        """One column of text."""
        found = [str(value) for value in self._column(table, name)]
        if len(found) != len(self._first(table)):
            raise ResultError(f"{self.place}: column {table}.{name} is not whole; law: columns are equally long; {CURE}")
        return found

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns; empty where there is no such table."""
        return list(self.tables.get(table, {}))

    def _column(self, table: str, name: str) -> Any:
        found = self.tables.get(table, {}).get(name)
        if found is None:
            raise ResultError(f"{self.place}: no column {table}.{name}; law: a result has every table of this version; {CURE}")
        return found

    def _first(self, table: str) -> Any:
        return next(iter(self.tables[table].values()))

    def _wrong(self, path: tuple[str, ...], what: str) -> ResultError:
        found = shown(repr(self.manifest.get("figures"))) if len(path) == 0 else ".".join(path)
        return ResultError(f"{self.place}: figure {found} is {what}; law: figures are as --out wrote them; {CURE}")


def seen(source: Result | Seen | str | Path) -> Seen:
    """What pictures see of a result, or of the folder that one was saved in; raises ResultError where the folder holds none."""
    if isinstance(source, Seen):
        return source
    if isinstance(source, (str, Path)):
        found, tables = load_saved(source)
        if not isinstance(found.get("figures"), dict):
            raise ResultError(f"{source}: its manifest has no figures; law: a result is as --out wrote it; {CURE}")
        return Seen(found, tables, str(source))
    return Seen(manifest(source), {name: columns_of(source, name) for name in TABLES}, source.topology.source or "result", source.trail)
