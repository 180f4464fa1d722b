"""How far many runs are: a bar on standard error, where somebody looks."""

from __future__ import annotations

import contextlib
import html
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Tell = Callable[[int, int], None]


def somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this is a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextlib.contextmanager
def cell_bar(what: str) -> Iterator[Callable[[float, float | None, str], None]]:
    """A bar below a notebook's cell, told (done, of how much, in words); an HTML element, since rich would need widgets. It goes at the end."""
    notebook: Any = importlib.import_module("IPython.display")  # It has no types.
    shown = notebook.display(notebook.HTML(html.escape(what)), display_id=True)

    def told(done: float, total: float | None, words: str) -> None:
        known = f' max="{total:g}" value="{done:g}"' if total else ""
        shown.update(notebook.HTML(f"{html.escape(what)} <progress{known}></progress> {html.escape(words)}"))

    try:
        yield told
    finally:
        shown.update(notebook.HTML(""))


@contextlib.contextmanager
def runs_bar(what: str, progress: bool | None) -> Iterator[Tell | None]:
    """A bar of runs done, of those asked for so far, and the time left; nothing where nobody looks (`progress`: whatever the terminal)."""
    if not (somebody_looks() if progress is None else progress):
        yield None
        return
    if in_notebook():
        with cell_bar(what) as told:
            yield lambda done, asked: told(done, asked, f"{done}/{asked} runs")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(what, total=None)
        yield lambda done, asked: drawn.update(task, completed=done, total=asked)
