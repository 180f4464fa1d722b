"""The commands that prove: fuzz looks for a broken law, gate says whether a topology may go to production. Like those of `cli`, they call one
function and print; they end with 3 when what they look at does not hold, and with 130 when they were interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

NOT_HELD, INTERRUPTED = 3, 130
Processes = Annotated[int | None, typer.Option(help="How many runs at once; not given: as many as cores.")]


def fuzz(
    seeds: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many topologies.")] = 200,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them: a seed is a topology.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for what breaks a law, shrunk, one topology each.")] = Path("."),
    processes: Processes = None,
) -> None:
    """Look for a broken law in small fabrics drawn at random, with faults."""
    from simfabric.planning.swarm import fuzz as look
    from simfabric.planning.swarm_words import summary, told
    from simfabric.planning.telling import runs_bar

    with runs_bar("swarm", None) as tell:
        swarm = look(seeds, first_seed, processes=processes, tell=tell)
    sys.stdout.write(summary(swarm) + "\n")
    out.mkdir(parents=True, exist_ok=True)
    for failure in swarm.failures[:10]:
        sys.stdout.write(told(failure, out) + "\n")
    if swarm.failures:
        raise typer.Exit(NOT_HELD)
    if len(swarm.findings) < seeds:
        raise typer.Exit(INTERRUPTED)


def gate(
    file: Annotated[Path, typer.Argument(help="Topology, a YAML file.", show_default=False)],
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key. Repeatable.")] = None,
    suites: Annotated[list[str] | None, typer.Option("--suite", help="Only this suite: functional, resilience, scale or security. Repeatable.")] = None,
    processes: Processes = None,
) -> None:
    """Judge a topology by suites of criteria: does everything arrive, is a failure survived, are promises kept at its load. Ends with 3 if not."""
    from simfabric.planning.gates import gate as judge
    from simfabric.planning.gates import suites_of
    from simfabric.planning.telling import runs_bar
    from simfabric.topology import load

    topology = load(file, sets=sets or ())
    with runs_bar("gate", None) as tell:
        judged = judge(topology, suites_of(suites), processes=processes, tell=tell)
    sys.stdout.write(judged.summary() + "\n")
    if not judged.passed:
        raise typer.Exit(NOT_HELD)
