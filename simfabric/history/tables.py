"""Tables: the records of a run, one int64 table for each kind, bounded; and the builder that takes them in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from simfabric.history.schema import KINDS

Array = np.ndarray[Any, Any]
MOST = 2_000_000  # Records of one kind: 100 MB at most.
NEVER = 1 << 62


@dataclass(frozen=True, eq=False)
class History:
    """The records of a run by kind, in order of time: int64[n, 1 + columns of the kind]. A law sees this and the topology, nothing else."""

    tables: Mapping[str, Array]
    end: int  # When the run ended [ns]; what was under way then bears a later time.
    every: int = 1  # One client in so many is here, with all messages of its channels.
    late: int = 0  # By how much a frame may be late [ns]: 0 in exact windows.
    cut: Mapping[str, int] = field(default_factory=dict)  # Kinds whose records found no room, and from when on [ns].

    def __getitem__(self, kind: str) -> dict[str, Array]:
        """The columns of a kind, `at` first."""
        table = self.tables[kind]
        return {name: table[:, i] for i, name in enumerate(("at", *KINDS[kind]))}

    def __len__(self) -> int:
        return sum(len(table) for table in self.tables.values())

    @property
    def everybody(self) -> bool:
        """Whether all clients are here."""
        return self.every == 1

    @property
    def digest(self) -> str:
        """The hash of all records: the same for any exact window, compiled or not."""
        hashed = hashlib.blake2b(digest_size=16)
        for kind in KINDS:
            hashed.update(kind.encode())
            hashed.update(np.ascontiguousarray(self.tables[kind]).tobytes())
        return hashed.hexdigest()

    def with_table(self, kind: str, table: Array) -> History:
        """The same history with another table, put in order: how a test plants a bug in it."""
        return replace(self, tables=MappingProxyType(dict(self.tables) | {kind: ordered(table)}))

    def rows(self) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Every record in order of time: when [ns], its kind, its fields."""
        kinds = list(KINDS)
        where = [(self.tables[kind][:, 0], np.full(len(self.tables[kind]), k), np.arange(len(self.tables[kind]))) for k, kind in enumerate(kinds)]
        at, kind_of, row_of = (np.concatenate(part) for part in zip(*where))
        for i in np.lexsort((row_of, kind_of, at)).tolist():
            kind = kinds[int(kind_of[i])]
            yield int(at[i]), kind, dict(zip(KINDS[kind], self.tables[kind][int(row_of[i]), 1:].tolist()))


def ordered(table: Array) -> Array:
    """The records by time, then by their fields from left to right."""
    return table[np.lexsort(table.T[::-1])] if len(table) else table


class HistoryBuilder:
    """Takes records in; of each kind at most so many, and where there were more it says from when on."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.cut: dict[str, int] = {}
        self._parts: dict[str, list[Array]] = {kind: [] for kind in KINDS}
        self._held = dict.fromkeys(KINDS, 0)

    def add(self, kind: str, *columns: Any) -> None:
        """Records of one kind: `at` and the kind's columns, arrays or numbers for all."""
        arrays = np.broadcast_arrays(*(np.asarray(column, np.int64) for column in columns))
        table = np.column_stack([np.atleast_1d(array) for array in arrays])
        if not len(table):
            return
        assert table.shape[1] == 1 + len(KINDS[kind]), kind
        room = self.most - self._held[kind]
        if len(table) > room:
            self.lose(kind, int(table[room:, 0].min()))
            table = table[:room]
        self._held[kind] += len(table)
        self._parts[kind].append(table)

    def lose(self, kind: str, at: int) -> None:
        """Records of this kind found no room, the first of them at this time [ns]."""
        self.cut[kind] = min(at, self.cut.get(kind, NEVER))

    def built(self, end: int, every: int, late: int = 0) -> History:
        """All records, in order."""
        tables = {}
        for kind, columns in KINDS.items():
            tables[kind] = ordered(np.concatenate([np.empty((0, 1 + len(columns)), np.int64), *self._parts[kind]]))
        return History(MappingProxyType(tables), end, every, late, MappingProxyType(dict(self.cut)))
