"""Histories as folders: one Parquet file for each kind and a manifest; pyarrow is imported here, late. What is read is untrusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from simfabric.errors import SimfabricError
from simfabric.history.schema import KINDS
from simfabric.history.tables import Array, History

FORMAT = 1


class HistoryError(SimfabricError):
    """A folder that holds no history, or not a whole one."""


def save_history(history: History, folder: str | Path) -> None:
    """Write a history: `KIND.parquet` for each kind that has records, and `history.json`. Raises SimfabricError where pyarrow is missing."""
    parquet, pyarrow = _parquet()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, columns in KINDS.items():
        table = history.tables[kind]
        if len(table):
            path = folder / f"{kind}.parquet"
            parquet.write_table(pyarrow.table({name: table[:, i] for i, name in enumerate(("at", *columns))}), path.with_suffix(".part"))
            os.replace(path.with_suffix(".part"), path)
    counts = {kind: len(table) for kind, table in history.tables.items() if len(table)}
    told = {"format": FORMAT, "end": history.end, "every": history.every, "late": history.late, "cut": dict(history.cut)}
    told |= {"records": counts, "digest": history.digest}
    (folder / "history.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def load_history(folder: str | Path) -> History:
    """Read what `save_history` wrote. Raises HistoryError where it is not that, or not whole."""
    parquet, _ = _parquet()
    folder = Path(folder)
    try:
        told = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        records = {kind: int(told["records"].get(kind, 0)) for kind in KINDS}
        tables = {kind: _table(parquet, folder / f"{kind}.parquet", columns, records[kind]) for kind, columns in KINDS.items()}
        cut = {kind: int(at) for kind, at in told["cut"].items() if kind in KINDS}
        history = History(MappingProxyType(tables), int(told["end"]), int(told["every"]), int(told["late"]), MappingProxyType(cut))
        whole = told["format"] == FORMAT and told["digest"] == history.digest
    except Exception as error:
        raise HistoryError(
            f"{folder}: {type(error).__name__} while reading it; law: a history is a folder that --history wrote; cure: run the topology again"
        ) from None
    if not whole:
        raise HistoryError(f"{folder}: not the records that history.json speaks of; law: a history is whole; cure: run the topology again")
    return history


def _table(parquet: Any, path: Path, columns: tuple[str, ...], count: int) -> Array:
    if count == 0:
        return np.empty((0, 1 + len(columns)), np.int64)
    found = parquet.read_table(path)
    return np.column_stack([np.asarray(found.column(name).to_numpy(), np.int64) for name in ("at", *columns)])


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SimfabricError("a stored history needs pyarrow; cure: pip install 'simfabric[table]'") from None
    return pyarrow.parquet, pyarrow
