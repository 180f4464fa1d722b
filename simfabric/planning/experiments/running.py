"""Running an experiment: what is not in its journal, replication by replication, and the findings of all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from simfabric.errors import SimfabricError
from simfabric.planning.experiments.findings import Findings
from simfabric.planning.experiments.journal import Journal, key_of
from simfabric.planning.experiments.reading import Arm, Case, Experiment
from simfabric.planning.fitting import processes_that_fit
from simfabric.planning.grid import Figures, figures, replication_numbers
from simfabric.planning.many import run_many
from simfabric.planning.metrics import METRICS
from simfabric.planning.telling import runs_bar

ALL = tuple(METRICS)


class BrokenLawError(SimfabricError):
    """A run of an experiment broke a law: nothing of it is kept."""


def run_experiment(
    experiment: Experiment,
    folder: Path | None = None,
    *,
    fresh: bool = False,
    processes: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Findings:
    """Run what is missing of an experiment, and tell the findings of all.

    Each run is written to `NAME.journal.jsonl` in `folder` (not given: beside the experiment's file) when it is done, so an interrupt loses only
    what was under way. `fresh`: forget what was done. Raises Interrupted at Ctrl-C, BrokenLawError, TooLargeError.
    """
    journal = Journal((folder or experiment.path.parent) / f"{experiment.name}.journal.jsonl")
    journal.fresh() if fresh else journal.read()
    numbers = replication_numbers(experiment.cases[0].arms[0].topology, 0, experiment.replications)
    asked = [(case, arm, number) for number in numbers for case in experiment.cases for arm in case.arms]
    topologies = [arm.replication(number) for _, arm, number in asked]
    keys = [key_of(topology) for topology in topologies]
    first = {key: i for i, key in reversed(list(enumerate(keys))) if journal.of(key) is None}  # Equal runs are made once.
    missing = sorted(first.values())
    if missing:
        broken: list[str] = []

        def took(place: int, one: Figures) -> None:
            case, arm, number = asked[missing[place]]
            if one.broken:
                broken.append(f"{arm.name} {case.name}, replication {number}: {', '.join(one.broken)}")
            else:
                journal.add(keys[missing[place]], one, {"case": case.name, "design": arm.name, "replication": number})

        if executor is None:
            processes = processes_that_fit([arm.topology for case in experiment.cases for arm in case.arms], processes)
        with runs_bar("experiment", progress) as tell:
            wanted = [topologies[i] for i in missing]
            run_many(wanted, partial(figures, names=ALL), executor=executor, processes=processes, tell=tell, took=took)
        if broken:
            raise BrokenLawError("a law broke, which makes the experiment void:\n    " + "\n    ".join(broken))
    return _findings(experiment, asked, tuple(numbers), [journal.done[key] for key in keys])


def _findings(experiment: Experiment, asked: Sequence[tuple[Case, Arm, int]], numbers: tuple[int, ...], done: Sequence[Figures]) -> Findings:
    """The figures of all runs as an array: cases, designs, replications, metrics."""
    metrics = experiment.form.metrics
    columns = [ALL.index(name) for name in metrics]
    shape = (len(numbers), len(experiment.cases), len(experiment.designs))
    values: Any = np.array([[np.nan if (value := one.values[i]) is None else value for i in columns] for one in done], np.float64)
    digests: Any = np.array([one.digest for one in done], object).reshape(shape).transpose(1, 2, 0)
    return Findings(experiment, metrics, numbers, values.reshape(*shape, len(metrics)).transpose(1, 2, 0, 3), digests)
