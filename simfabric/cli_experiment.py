"""The commands of experiments, and the schema of their files and of topologies. Like those of `cli`, they call one function and print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def experiment(
    file: Annotated[Path, typer.Argument(help="Experiment, a YAML file.", show_default=False)],
    replications: Annotated[int | None, typer.Option(help="Instead of those that the file says.")] = None,
    short: Annotated[bool, typer.Option("--short", help="The small form that the file states.")] = False,
    processes: Annotated[int | None, typer.Option(help="Runs at the same time; the results do not depend on it.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh/--resume", help="Forget what was run before, or go on from there.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; not given: beside the file.")] = None,
) -> None:
    """Answer the question of an experiment: run what is missing, and write NAME.parquet, NAME.svg and NAME.md."""
    from simfabric.facade import experiment as run_experiment
    from simfabric.planning.experiments.page import headline

    findings = run_experiment(file, short=short, replications=replications, fresh=fresh, out=out, processes=processes)
    sys.stdout.write(f"{findings.experiment.form.question.strip()}\n{headline(findings)}\n{(out or file.parent) / findings.experiment.name}.md\n")


def schema(of_experiments: Annotated[bool, typer.Option("--experiment", help="Of experiments, not of topologies.")] = False) -> None:
    """Print the JSON Schema of topology files (or of experiments), for editors."""
    import json

    from simfabric.planning.experiments.schema import experiment_schema
    from simfabric.topology import schema as schema_of

    sys.stdout.write(json.dumps(experiment_schema() if of_experiments else schema_of(), indent=2) + "\n")
