"""Results as folders: manifest.json (figures, topology, hashes of the tables) and the tables, as Parquet where pyarrow is there, else as NPZ.

Files are written aside and renamed, so that a full disk or a kill leaves no half a result. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfabric.analysis.placement import imbalance
from simfabric.errors import SimfabricError
from simfabric.history import KINDS
from simfabric.kernels.histogram import bin_edges
from simfabric.kernels.state import STAGE_NAMES
from simfabric.recorder import PLACEMENT, TIMELINE

if TYPE_CHECKING:
    import pandas

    from simfabric.running.result import Result

Columns = dict[str, Any]
TABLES = ("timeline", "placement", "gateways", "messages", "delays", "stages", "events")
MOST_GATEWAY_ROWS = 100_000  # Of the table of gateways: where samples x gateways are more, samples are left out evenly.


class ResultError(SimfabricError):
    """A result folder that is not one, or not whole."""


def columns_of(result: Result, name: str) -> Columns:
    """One table as columns; times are int64 nanoseconds and end in _ns."""
    from simfabric.running.result import MESSAGE_NAMES

    if name == "timeline":
        columns: Columns = {("at_ns" if key == "at" else key): result.timeline[:, i] for i, key in enumerate(TIMELINE)}
        place = 0
        for component, rows, servers in result.busy_rows:
            columns[f"busy_{component}_ns"] = result.busy[:, place : place + rows].sum(axis=1) // servers
            place += rows
        return columns
    if name == "placement":
        return _placement(result)
    if name == "gateways":
        return _gateways(result)
    if name == "messages":
        return {(f"{key}_ns" if key.endswith("_at") else key): result.messages[:, i] for i, key in enumerate(MESSAGE_NAMES)}
    if name == "delays":
        regions = [region.name for region in result.topology.clients.regions] or ["main"]
        published = ("warm-up", "after")
        parts = [(published[late], region, result.delays[late, r]) for late in (0, 1) for r, region in enumerate(regions)]
        return _bins(parts, ("published", "region"))
    if name == "stages":
        return _bins([(stage, result.stages[i]) for i, stage in enumerate(STAGE_NAMES)], ("stage",))
    if name == "events":
        return {"at_ns": np.array([at for at, _ in result.events], np.int64), "event": [event for _, event in result.events]}
    raise KeyError(f"a result has no table {name!r}; it has {', '.join(TABLES)}")


def _placement(result: Result) -> Columns:
    """What dials did so far, and how connections lie on the gateways that are up."""
    columns: Columns = {("at_ns" if key == "at" else key): result.placement[:, i] for i, key in enumerate(PLACEMENT)}
    there = [held[held >= 0] for held in result.held]
    columns["gateways"] = np.array([len(held) for held in there], np.int64)
    columns["most"] = np.array([held.max(initial=0) for held in there], np.int64)
    columns["least"] = np.array([held.min() if len(held) else 0 for held in there], np.int64)
    seen = [imbalance(held) for held in there]
    return columns | {"highest": np.array([each.highest for each in seen]), "variation": np.array([each.variation for each in seen])}


def _gateways(result: Result) -> Columns:
    """Every gateway at every sample (see MOST_GATEWAY_ROWS): its connections (-1: not up) and the time that its cores have worked so far."""
    samples, count = result.held.shape
    kept = np.unique(np.linspace(0, samples - 1, max(2, min(samples, MOST_GATEWAY_ROWS // count))).astype(np.int64)) if samples else np.empty(0, np.int64)
    place = 0
    for component, rows, servers in result.busy_rows:
        if component == "gateways":
            busy = result.busy.reshape(samples, -1)[kept, place : place + rows] // servers
        place += rows
    return {
        "at_ns": np.repeat(result.timeline[kept, 0], count),
        "gateway": np.tile(np.arange(count, dtype=np.int64), len(kept)),
        "connections": result.held[kept].astype(np.int64).ravel(),
        "busy_ns": busy.ravel(),
    }


def _bins(histograms: list[tuple[Any, ...]], names: tuple[str, ...]) -> Columns:
    edges = bin_edges()
    columns: Columns = {name: [] for name in (*names, "from_ns", "to_ns", "count")}
    for *labels, histogram in histograms:
        used = np.flatnonzero(histogram)
        for name, label in zip(names, labels):
            columns[name].extend([label] * len(used))
        columns["from_ns"].extend(edges[used].tolist())
        columns["to_ns"].extend(edges[used + 1].tolist())
        columns["count"].extend(histogram[used].tolist())
    return columns


def frame(result: Result, name: str) -> pandas.DataFrame:
    """One table as a pandas frame: _ns columns become seconds and end in _s. A stage that a message did not reach is empty."""
    try:
        import pandas
    except ImportError:
        raise SimfabricError("tables need pandas; cure: pip install 'simfabric[table]'") from None
    if name == "history":
        return _history_frame(result)
    table = pandas.DataFrame(columns_of(result, name))
    for column in [c for c in table.columns if c.endswith("_ns")]:
        values = table.pop(column).astype("float64") / 1e9
        if name == "messages" and column != "published_at_ns":
            values = values.where(values > 0)
        table[column.removesuffix("_ns") + "_s"] = values
    return table


def _history_frame(result: Result) -> pandas.DataFrame:
    """All records by time; a field that a kind does not have is empty."""
    import pandas

    if result.history is None:
        raise SimfabricError("the run kept no history; law: a history is kept when it is asked for; cure: run(topology, laws=True)")
    parts = []
    for kind in KINDS:
        columns = result.history[kind]
        if len(columns["at"]):
            parts.append(pandas.DataFrame({"at_s": columns.pop("at") / 1e9, "kind": kind} | columns))
    whole = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame({"at_s": [], "kind": []})
    return whole.sort_values("at_s", kind="stable", ignore_index=True)


def save(result: Result, folder: Path) -> None:
    """Write the result into an empty or new folder."""
    from simfabric.running.text import manifest

    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name in TABLES:
        path = _write(folder, name, columns_of(result, name))
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps(manifest(result) | {"tables": hashes}, indent=2, allow_nan=False)
    aside = folder / "manifest.json.part"
    aside.write_text(text + "\n", encoding="utf-8")
    os.replace(aside, folder / "manifest.json")


def _write(folder: Path, name: str, columns: Columns) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        path, aside = folder / f"{name}.npz", folder / f"{name}.part.npz"
        arrays: Columns = {key: np.asarray(value) for key, value in columns.items()}
        np.savez_compressed(aside, **arrays)
    else:
        path, aside = folder / f"{name}.parquet", folder / f"{name}.parquet.part"
        pyarrow.parquet.write_table(pyarrow.table(columns), aside)
    os.replace(aside, path)
    return path


def load_saved(folder: str | Path) -> tuple[dict[str, Any], dict[str, Columns]]:
    """Read a result folder: its manifest and its tables, after the hash of each has been verified."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        hashes = dict(manifest["tables"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ResultError(f"{folder}: no readable manifest.json; law: a result is a folder with a manifest; cure: name a folder that --out wrote") from None
    tables = {}
    for name, expected in hashes.items():
        path = folder / Path(str(name)).name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ResultError(f"{path}: not the table that the manifest speaks of; law: a result is whole; cure: run the topology again")
        tables[path.stem] = _read(path)
    return manifest, tables


def _read(path: Path) -> Columns:
    """One table; a file that is none is refused whatever it does to its reader."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    except ImportError:
        raise SimfabricError("reading Parquet needs pyarrow; cure: pip install 'simfabric[table]'") from None
    except Exception as error:
        law = "law: a table is a Parquet or NPZ file without pickles"
        raise ResultError(f"{path}: {type(error).__name__} while reading it; {law}; cure: run the topology again") from None
