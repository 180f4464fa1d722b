"""The experiments that come with the project: each runs in its short form, and its page says what its table says."""

import os
from pathlib import Path

import pytest

import simfabric.facade
from simfabric.planning.experiments import load_experiment, page, read_findings

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENTS = sorted(FOLDER.glob("*.yaml"))
LONG = {"migration", "reconnect_storms", "stickiness"}  # Their short forms take longer than the others'.


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_page_that_is_kept_says_what_the_table_that_is_kept_says(path):
    experiment = load_experiment(path)
    found = read_findings(experiment, path.with_suffix(".parquet"))
    assert len(found.replications) == experiment.replications
    assert path.with_suffix(".md").read_text(encoding="utf-8") == page(found, f"{path.stem}.svg")
    assert path.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_asks_a_question_and_a_person_has_answered_it(path):
    form = load_experiment(path, short=True).form
    assert form.question.rstrip().endswith("?") and len(form.conclusion.split()) >= 20


def short_form(path, folder):
    """Run the short form on one process: the page is there, and the first metric, which decides, is told by some run (far quantiles need the long one)."""
    found = simfabric.facade.experiment(path, short=True, out=folder, processes=1)
    assert (folder / f"{path.stem}.short.md").read_text(encoding="utf-8").startswith(f"# {found.experiment.form.title}")
    assert os.path.getsize(folder / f"{path.stem}.short.parquet") > 0 and (found.values == found.values).any(axis=(0, 1, 2))[0]


@pytest.mark.parametrize("path", [path for path in EXPERIMENTS if path.stem not in LONG], ids=lambda path: path.stem)
def test_an_experiment_runs_in_its_short_form(path, tmp_path):
    short_form(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXPERIMENTS if path.stem in LONG], ids=lambda path: path.stem)
def test_a_long_experiment_runs_in_its_short_form(path, tmp_path):
    short_form(path, tmp_path)
