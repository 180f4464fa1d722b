"""The command line: commands without logic. Each reads its arguments, calls one function, and prints.

Exit codes: 0 it ran; 2 topology or command wrong; 3 a law broke; 4 an SLO missed (with --check-slo); 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

RAN, WRONG, LAW_BROKEN, SLO_MISSED, INTERRUPTED = 0, 2, 3, 4, 130

app = typer.Typer(
    help="Simulate a distributed realtime fabric: who gets which message when, and what breaks first.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(help="Topology, a YAML file.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: --set gateways.count=8. Repeatable.")]
AllowLarge = Annotated[bool, typer.Option("--allow-large", help="Run even if the plan says that the memory will not do.")]


@app.command()
def run(
    file: File,
    sets: Sets = None,
    seed: Annotated[int | None, typer.Option(help="The luck of the run.")] = None,
    window: Annotated[str | None, typer.Option(help="exact, or a duration such as 5ms.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; the result does not depend on it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result: manifest and tables.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the summary.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
    check_slo: Annotated[bool, typer.Option("--check-slo", help="Exit with 4 if an SLO is missed.")] = False,
    allow_large: AllowLarge = False,
) -> None:
    """Run a topology and print what came of it."""
    from simfabric.facade import run as run_topology
    from simfabric.running.text import as_json
    from simfabric.topology import load

    given = [("run.seed", seed), ("run.window", window), ("run.workers", workers)]
    topology = load(file, [*(sets or []), *(f"{key}={value}" for key, value in given if value is not None)])
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise typer.BadParameter(f"{out} exists and is not an empty folder; name another one", param_hint="--out")
    result = run_topology(topology, progress=False if quiet or json else None, allow_large=allow_large)
    if out is not None:
        result.save(out)
    if json:
        sys.stdout.write(as_json(result) + "\n")
    elif not quiet:
        sys.stdout.write(result.summary() + "\n")
    if not result.lawful:
        raise typer.Exit(LAW_BROKEN)
    if result.partial:
        raise typer.Exit(INTERRUPTED)
    if check_slo and any(objective.met is False for objective in result.slo):
        raise typer.Exit(SLO_MISSED)


@app.command()
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


@app.command()
def check(file: File, sets: Sets = None, allow_large: AllowLarge = False) -> None:
    """Validate a topology and print its plan, before anything is allocated."""
    from simfabric.facade import refuse_what_does_not_fit
    from simfabric.planning import plan, text
    from simfabric.topology import load

    planned = plan(load(file, sets or []))
    sys.stdout.write(text(planned) + "\n")
    refuse_what_does_not_fit(planned, allow_large)


@app.command()
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


@app.command()
def schema() -> None:
    """Print the JSON Schema of topology files, for editors."""
    import json

    from simfabric.topology import schema as schema_of

    sys.stdout.write(json.dumps(schema_of(), indent=2) + "\n")


@app.command()
def explain(key: Annotated[str, typer.Argument(help="A key such as gateways.count, or a section.")] = "") -> None:
    """Say what a key means, its unit, default and range."""
    from simfabric.topology import explain as explained

    sys.stdout.write(explained(key) + "\n")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Of the websockets; the HTTP calls are on the next. 0: any two.")] = 8765,
    channels: Annotated[int, typer.Option(help="How many: c1, c2, …")] = 10,
    origin: Annotated[list[str] | None, typer.Option(help="A page that may connect, such as http://localhost:5173. Repeatable.")] = None,
) -> None:
    """Serve a realtime gateway in memory, on this machine, for clients under development."""
    from simfabric.live.serving import serve as serve_gateway

    serve_gateway(port, channels, tuple(origin or ()))


@app.command()
def version() -> None:
    """Print the version."""
    from simfabric._version import __version__

    sys.stdout.write(__version__ + "\n")


def main() -> None:
    """The entry point: errors meant for people are printed, not traced."""
    from simfabric.errors import Refusal, SimfabricError

    try:
        app()
    except Refusal as refusal:
        sys.stderr.write(f"{refusal.value}: {refusal.law}\n    cure: {refusal.cure}\n")
        sys.exit(WRONG)
    except SimfabricError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(WRONG)
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'file'}: {error.strerror or error}\n")
        sys.exit(WRONG)
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{stop or 'interrupted'}\n")
        sys.exit(INTERRUPTED)
