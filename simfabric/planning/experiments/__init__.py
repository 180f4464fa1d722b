"""Experiments: a question in a YAML file, the runs that it asks for, and a page with the answer.

    experiments/NAME.yaml ─▶ Experiment ─▶ runs (journal) ─▶ Findings ─▶ NAME.parquet, NAME.md

Everything is compared under the same luck; what is done is kept at an interrupt; the page says what the data say.
"""

from simfabric.planning.experiments.findings import Findings
from simfabric.planning.experiments.page import page
from simfabric.planning.experiments.reading import Experiment, load_experiment
from simfabric.planning.experiments.running import run_experiment
from simfabric.planning.experiments.table import read_findings, write_findings

__all__ = ["Experiment", "Findings", "load_experiment", "page", "read_findings", "run_experiment", "write_findings"]
