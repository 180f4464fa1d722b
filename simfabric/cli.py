"""The command line: commands without logic. Each reads its arguments, calls one function, and prints.

Exit codes: 0 it ran; 2 topology or command wrong; 3 a law broke; 4 an SLO missed (with --check-slo); 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from simfabric.cli_experiment import experiment, schema
from simfabric.cli_proving import fuzz, gate
from simfabric.cli_trace import trace

RAN, WRONG, LAW_BROKEN, SLO_MISSED, INTERRUPTED = 0, 2, 3, 4, 130

app = typer.Typer(
    help="Simulate a distributed realtime fabric: who gets which message when, and what breaks first.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(help="Topology, a YAML file.", show_default=False)]
FileOrFolder = Annotated[Path, typer.Argument(help="A topology file, or a folder that run --out wrote.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: --set gateways.count=8. Repeatable.")]
AllowLarge = Annotated[bool, typer.Option("--allow-large", help="Run even if the plan says that the memory will not do.")]


app.command()(experiment)
app.command()(fuzz)
app.command()(gate)
app.command()(schema)
app.command()(trace)


@app.command()
def run(
    file: File,
    sets: Sets = None,
    seed: Annotated[int | None, typer.Option(help="The luck of the run.")] = None,
    window: Annotated[str | None, typer.Option(help="exact, or a duration such as 5ms.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; the result does not depend on it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result: manifest and tables.")] = None,
    openmetrics: Annotated[Path | None, typer.Option(help="File for the figures as OpenMetrics text.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the summary.")] = False,
    laws: Annotated[bool, typer.Option("--laws", help="Keep a history, and judge it by the laws that need one.")] = False,
    history: Annotated[Path | None, typer.Option(help="Folder for that history, as Parquet.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
    check_slo: Annotated[bool, typer.Option("--check-slo", help="Exit with 4 if an SLO is missed.")] = False,
    allow_large: AllowLarge = False,
) -> None:
    """Run a topology and print what came of it."""
    from simfabric.facade import run as run_topology
    from simfabric.history import save_history
    from simfabric.running.text import as_json
    from simfabric.topology import load

    given = [("run.seed", seed), ("run.window", window), ("run.workers", workers)]
    topology = load(file, [*(sets or []), *(f"{key}={value}" for key, value in given if value is not None)])
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise typer.BadParameter(f"{out} exists and is not an empty folder; name another one", param_hint="--out")
    judged = laws or history is not None
    result = run_topology(topology, progress=False if quiet or json else None, allow_large=allow_large, laws=judged)
    if out is not None:
        result.save(out)
    if history is not None and result.history is not None:
        save_history(result.history, history)
    if openmetrics is not None:
        openmetrics.write_text(result.open_metrics(), encoding="utf-8")
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
def check(file: File, sets: Sets = None, allow_large: AllowLarge = False) -> None:
    """Validate a topology and print its plan, before anything is allocated."""
    from simfabric.facade import refuse_what_does_not_fit
    from simfabric.planning import plan, text
    from simfabric.topology import load

    planned = plan(load(file, sets or []))
    sys.stdout.write(text(planned) + "\n")
    refuse_what_does_not_fit(planned, allow_large)


Metrics = Annotated[list[str] | None, typer.Option("--metric", help="Such as delivery.p99; repeatable. Not given: the usual ones.")]
Replications = Annotated[int, typer.Option(help="Independent runs of each design.")]
Processes = Annotated[int | None, typer.Option(help="How many runs at once; not given: as many as cores whose runs fit the memory.")]
Scheduler = Annotated[str | None, typer.Option(help="A Dask scheduler to run on instead of here: tcp://127.0.0.1:8786.")]
Level = Annotated[float, typer.Option(help="How sure intervals are.")]


def _writable(file: Path | None) -> Path | None:
    """A file that can be written, before anything is run for it."""
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise typer.BadParameter(f"{file} is no file in a folder that exists; name another one")
    return file


JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.", callback=_writable)]


@app.command()
def replicate(
    file: File,
    sets: Sets = None,
    metrics: Metrics = None,
    replications: Replications = 10,
    precision: Annotated[float | None, typer.Option(help="Add replications until each metric is this sure, relative: 0.05.")] = None,
    find_warmup: Annotated[bool, typer.Option("--find-warmup", help="By MSER-5, instead of run.warmup.")] = False,
    level: Level = 0.95,
    processes: Processes = None,
    scheduler: Scheduler = None,
    json: JsonFile = None,
) -> None:
    """Run a topology under independent luck and print its metrics with intervals."""
    from simfabric.planning.metrics import USUAL
    from simfabric.planning.replicating import replicate as replicate_topology
    from simfabric.planning.saying import say
    from simfabric.topology import load

    warmup: Literal["found", "given"] = "found" if find_warmup else "given"
    study = replicate_topology(load(file, sets or []), metrics or USUAL, replications, precision=precision, level=level, warmup=warmup, processes=processes)
    sys.stdout.write(say(study, json) + "\n")
    _end(study.lawful, study.partial)


@app.command()
def compare(
    file: File,
    vary: Annotated[list[str], typer.Option(metavar="KEY=A,B", help="Values to compare: --vary fanout.pattern=broadcast,targeted. Repeatable.")],
    sets: Sets = None,
    metrics: Metrics = None,
    replications: Replications = 10,
    level: Level = 0.95,
    processes: Processes = None,
    scheduler: Scheduler = None,
    json: JsonFile = None,
) -> None:
    """Compare designs under the same luck: differences with intervals, and the winner of each metric if the data tell."""
    from simfabric.planning.cluster import scheduler_or_here
    from simfabric.planning.comparing import compare as compare_designs
    from simfabric.planning.designs import read_vary
    from simfabric.planning.metrics import USUAL
    from simfabric.planning.saying import say
    from simfabric.topology import load

    topology, varied, names = load(file, sets or []), read_vary(vary), metrics or USUAL
    with scheduler_or_here(scheduler) as executor:
        found = compare_designs(topology, varied, replications, metrics=names, level=level, processes=processes, executor=executor)
    sys.stdout.write(say(found, json) + "\n")
    _end(found.lawful, found.partial)


@app.command()
def sensitivity(
    file: File,
    key: Annotated[list[str], typer.Option(metavar="KEY=LOW..HIGH", help="A key that holds a number: gateways.work.delivery=5us..20us. Repeatable.")],
    sets: Sets = None,
    metric: Annotated[str, typer.Option(help="What the keys are to move.")] = "delivery.p99",
    method: Annotated[str, typer.Option(help="tornado (one key at a time) or morris (all together).")] = "tornado",
    replications: Replications = 10,
    level: Level = 0.95,
    processes: Processes = None,
    scheduler: Scheduler = None,
    json: JsonFile = None,
) -> None:
    """Find which keys move a metric, and how sure that is."""
    from simfabric.planning.cluster import scheduler_or_here
    from simfabric.planning.ranges import read_keys
    from simfabric.planning.saying import say
    from simfabric.planning.sensitivity import sensitivity as sensitivity_of
    from simfabric.topology import load

    topology, keys = load(file, sets or []), read_keys(key)
    with scheduler_or_here(scheduler) as executor:
        found = sensitivity_of(topology, keys, metric, method, replications, level=level, processes=processes, executor=executor)
    sys.stdout.write(say(found, json) + "\n")
    _end(not found.grid.broken, found.grid.partial)


@app.command()
def metrics() -> None:
    """List the metrics that a run can be asked for by name."""
    from simfabric.planning.saying import listed

    sys.stdout.write(listed() + "\n")


@app.command()
def plot(
    file: FileOrFolder,
    picture: Annotated[str, typer.Option(help="topology, timeline, delay, gateways, fan_out, storm or waterfall.")] = "timeline",
    out: Annotated[Path, typer.Option(help="A .png, .svg or .pdf file.")] = Path("picture.png"),
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    sets: Sets = None,
) -> None:
    """Draw one picture of a result, or of a run of a topology."""
    from simfabric.facade import opened
    from simfabric.plot import draw, prepared

    prepared(picture, theme, out)
    drawn = draw(picture, opened(file, sets or ()), theme)
    drawn.save(out)
    sys.stdout.write(f"{out}: {drawn.told}\n")


@app.command()
def report(file: FileOrFolder, out: Annotated[Path, typer.Option(help="An .html file.")] = Path("report.html"), sets: Sets = None) -> None:
    """Write one self-contained page about a result, or about a run of a topology."""
    from simfabric.facade import opened
    from simfabric.report import prepared, write

    prepared(out)
    found = opened(file, sets or ())
    write(found, out)
    sys.stdout.write(f"{out}: a page of {out.stat().st_size / 1e6:.1f} MB about {found.name!r}\n")
    if found.rows("laws", "broken"):
        raise typer.Exit(LAW_BROKEN)


@app.command()
def estimate(
    file: File,
    sets: Sets = None,
    run: Annotated[bool, typer.Option("--run", help="Run it too, and show both.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Estimate utilisation and waits by operational laws and queueing formulas, in milliseconds; with --run beside a simulation."""
    import json as writing

    from simfabric.facade import estimate as estimated
    from simfabric.facade import run as run_topology
    from simfabric.topology import load

    topology = load(file, sets or [])
    found = estimated(topology, run_topology(topology) if run else None)
    sys.stdout.write((writing.dumps(found.figures(), indent=2, allow_nan=False) if json else found.text()) + "\n")


@app.command()
def calibrate(
    file: File,
    k6: Annotated[list[Path] | None, typer.Option(help="Summary of k6, JSON. Repeatable, as the others.")] = None,
    locust: Annotated[list[Path] | None, typer.Option(help="Statistics of Locust, the CSV that ends in _stats.csv.")] = None,
    kafka: Annotated[list[Path] | None, typer.Option(help="What kafka-producer-perf-test or kafka-consumer-perf-test printed.")] = None,
    prometheus: Annotated[list[Path] | None, typer.Option(help="Answer to a range query of Prometheus, JSON.")] = None,
    out: Annotated[Path | None, typer.Option(help="File for the topology; not given: it is printed.")] = None,
) -> None:
    """Make a topology that extends another by what measurements of a real fabric say, each key with where it came from."""
    from simfabric.planning.calibrating import calibrate as calibrated

    given = (("k6", k6), ("locust", locust), ("kafka", kafka), ("prometheus", prometheus))
    text = calibrated(file, [(tool, path) for tool, paths in given for path in paths or []], out)
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        raise typer.BadParameter(f"{out} exists; name another file", param_hint="--out")
    out.write_text(text, encoding="utf-8")


@app.command()
def capacity(
    file: File,
    vary: Annotated[str, typer.Option(help="What to find: gateways.count, storage.shards, clients.count, traffic.chat.rate …")],
    slo: Annotated[str | None, typer.Option(help='What must hold: "delivery.p99 < 2s, ack.p95 < 1s"; not given: the topology\'s delivery p99.')] = None,
    vary_range: Annotated[str | None, typer.Option(metavar="LOW:HIGH", help="Where to look.")] = None,
    sets: Sets = None,
    level: Annotated[float, typer.Option(help="Of the interval.", min=0.5, max=0.999)] = 0.95,
    precision: Annotated[float, typer.Option(help="Half the interval to aim at, as a share of the answer.", min=0.005, max=0.5)] = 0.05,
    prices: Annotated[Path | None, typer.Option(help="Price table, a YAML file; not given: an example.")] = None,
    processes: Annotated[int | None, typer.Option(help="Not given: one for each core.", min=1)] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for the figures and the knee curve.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not tell which runs are being made.")] = False,
) -> None:
    """How many are needed, or how much is borne: the answer with an interval, the knee curve, what binds, and the cost."""
    import json as writing

    from simfabric.facade import capacity as found
    from simfabric.topology import load

    low, _, high = (vary_range or "").partition(":")
    between = (low, high) if vary_range is not None else None
    planned = found(
        load(file, sets or []),
        vary=vary,
        slo=slo,
        between=between,
        level=level,
        precision=precision,
        prices=prices,
        processes=processes,
        tell=None if quiet else lambda line: typer.echo(line, err=True),
    )
    if json is not None:
        json.write_text(writing.dumps(planned.figures(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    sys.stdout.write(planned.text() + "\n")
    if planned.edge == "missed":
        raise typer.Exit(SLO_MISSED)


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


def _end(lawful: bool, partial: bool) -> None:
    """The exit code of a study."""
    if not lawful:
        raise typer.Exit(LAW_BROKEN)
    if partial:
        raise typer.Exit(INTERRUPTED)


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
