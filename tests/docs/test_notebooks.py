"""Notebooks run from top to bottom, say what they assert, and are kept without outputs."""

from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks_and_the_readme_names_each():
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "first_steps" in [path.stem for path in NOTEBOOKS]
    assert all(f"`notebooks/{path.name}`" in told for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_stores_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_with_its_idea_asserts_something_and_asks_for_a_prediction(path):
    notebook = read(path)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "assert " in code and "my_prediction = None" in code


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "first_steps"], ids=lambda path: path.stem)
def test_a_lesson_loads_what_the_command_line_loads_and_ends_with_exercises_that_check_their_answers(path):
    """A topology of the repository, made small by one list at the top; a hint and an assertion for each exercise."""
    notebook = read(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert "small = [" in code[0] and 'sf.load("../topologies/' in code[0]
    exercises = next(i for i, cell in enumerate(notebook.cells) if "## Exercises" in cell.source)
    told = [cell.source for cell in notebook.cells[exercises:]]
    hints, answers = sum(cell.count("<details>") for cell in told), [cell for cell in told if cell.startswith("my_")]
    assert hints == len(answers) >= 2 and all("= None" in cell and "assert " in cell for cell in answers)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_an_error_or_a_warning(path, monkeypatch):
    """With the repository on the path of its kernel, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = read(path)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    told = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert told and not any(output.output_type == "error" for output in told)
    assert not any("Warning" in str(output) for output in told)
