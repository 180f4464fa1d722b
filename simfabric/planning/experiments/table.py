"""The findings as a tidy table in a Parquet file: case, design, replication, metric, unit, value, digest of the run. And back.

The file is written aside and renamed. Reading it back is for making the page anew, and for checking that a page says what its data say.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from simfabric.errors import SimfabricError, shown
from simfabric.planning.experiments.findings import Findings
from simfabric.planning.experiments.reading import Experiment
from simfabric.planning.metrics import METRICS

COLUMNS = ("case", "design", "replication", "metric", "unit", "value", "digest")
LARGEST = 256 * 2**20  # [bytes]
MOST_ROWS = 5_000_000


def write_findings(findings: Findings, path: Path) -> None:
    """Write the table; a value that a run does not tell is empty, an endless one is infinite."""
    arrow, parquet = _arrow()
    experiment = findings.experiment
    rows = [
        (case.name, design, number, name, METRICS[name].unit, None if np.isnan(value) else float(value), findings.digests[c][d][r])
        for c, case in enumerate(experiment.cases)
        for d, design in enumerate(experiment.designs)
        for r, number in enumerate(findings.replications)
        for name, value in zip(findings.metrics, findings.values[c, d, r])
    ]
    types = [arrow.string(), arrow.string(), arrow.int64(), arrow.string(), arrow.string(), arrow.float64(), arrow.string()]
    arrays = [arrow.array(list(column), kind) for column, kind in zip(zip(*rows), types)]
    table = arrow.table(arrays, names=list(COLUMNS)).replace_schema_metadata({"simfabric": findings.version})
    aside = path.with_name(f"{path.name}.part")
    parquet.write_table(table, aside, compression="zstd")
    os.replace(aside, path)


def read_findings(experiment: Experiment, path: Path) -> Findings:
    """The findings of a table that was written for this experiment; raises SimfabricError where the two do not fit."""
    arrow, parquet = _arrow()
    try:
        if path.stat().st_size > LARGEST or parquet.read_metadata(path).num_rows > MOST_ROWS:
            raise _unfit(path, "is too large to be the table of an experiment")
        table = parquet.read_table(path)
        columns: dict[str, list[Any]] = table.select(list(COLUMNS)).to_pydict()
        version = (table.schema.metadata or {}).get(b"simfabric", b"").decode()
    except (OSError, KeyError, ValueError, arrow.ArrowException) as error:
        raise _unfit(path, f"cannot be read: {shown(str(error), 200)}") from None
    numbers = tuple(sorted(set(columns["replication"])))
    metrics = experiment.form.metrics
    cases = {case.name: i for i, case in enumerate(experiment.cases)}
    designs = {name: i for i, name in enumerate(experiment.designs)}
    values = np.full((len(cases), len(designs), len(numbers), len(metrics)), np.nan)
    digests: Any = np.full(values.shape[:3], "", object)
    if len(columns["value"]) != values.size:
        raise _unfit(path, f"holds {len(columns['value'])} values, and the experiment asks for {values.size}")
    for case, design, number, name, _, value, digest in zip(*(columns[key] for key in COLUMNS)):
        if case not in cases or design not in designs or name not in metrics:
            raise _unfit(path, f"holds {shown(f'{case} {design} {name}')}, which the experiment does not ask for")
        at = (cases[case], designs[design], numbers.index(number))
        values[(*at, metrics.index(name))] = np.nan if value is None else value
        digests[at] = digest
    return Findings(experiment, metrics, numbers, values, digests, version)


def _unfit(path: Path, what: str) -> SimfabricError:
    return SimfabricError(f"{shown(str(path), 200)}: {what}\n    cure: run the experiment again")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SimfabricError("experiments write Parquet\n    cure: pip install 'simfabric[table,plot]'") from None
    return pyarrow, pyarrow.parquet
