"""How far many runs are: a bar on standard error, where somebody looks."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator

Tell = Callable[[int, int], None]


def somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is a notebook that can show a bar."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this is a notebook that can show a bar: rich needs ipywidgets for it, and warns in every run without them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None


@contextlib.contextmanager
def runs_bar(what: str, progress: bool | None) -> Iterator[Tell | None]:
    """A bar of runs done, of those asked for so far, and the time left; nothing where nobody looks (`progress`: whatever the terminal)."""
    if not (somebody_looks() if progress is None else progress):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(what, total=None)
        yield lambda done, asked: drawn.update(task, completed=done, total=asked)
