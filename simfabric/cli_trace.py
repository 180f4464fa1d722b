"""The command that shows what single clients did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="Topology, a YAML file.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: --set gateways.count=8. Repeatable.")]


def trace(
    file: File,
    clients: Annotated[list[int] | None, typer.Argument(help="Numbers of the clients to show; none given: the first session.")] = None,
    sets: Sets = None,
    first: Annotated[str, typer.Option(help="From when on, such as 9500ms.")] = "0s",
    last: Annotated[str | None, typer.Option(help="Until when; not given: to the end.")] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Source of a Mermaid diagram instead of text.")] = False,
    width: Annotated[int, typer.Option(help="Of the text, in columns.")] = 120,
    unfold: Annotated[bool, typer.Option("--unfold", help="A row for every step, also for repetitions.")] = False,
) -> None:
    """Run a topology and show what single clients did, as a message sequence chart."""
    from simfabric.running.tracing import trace as traced

    sys.stdout.write(traced(file, clients or (), sets or (), first, last, mermaid=mermaid, width=width, fold=not unfold))
