"""The README tells the truth: what it shows runs, and what it names is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from simfabric import cli
from simfabric.planning.experiments import load_experiment
from simfabric.topology import explain, load
from simfabric.topology.fault_kinds import KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(cli.app).commands
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.S))


def blocks(language):
    """The code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def shell_lines():
    """Every line of a shell block, and every command in the text."""
    return [line for block in blocks("sh") for line in block.splitlines() if line] + [span for span in SPANS if span.startswith("simfabric ")]


def calls():
    """What is called as simfabric, as words."""
    parts = [part for line in shell_lines() for part in re.split(r"&&|\||;", line)]
    words = [shlex.split(part) for part in parts]
    return [call for call in words if call and call[0].split("/")[-1] == "simfabric"]


def test_the_pictures_and_reports_that_it_shows_are_made(capsys, monkeypatch, tmp_path):
    lines = next(block for block in blocks("sh") if "simfabric report" in block).splitlines()
    (tmp_path / "topologies").symlink_to(ROOT / "topologies")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        typer.main.get_command(cli.app).main(shlex.split(line)[1:], standalone_mode=False)
    assert {path.name for path in tmp_path.iterdir()} == {"topologies", "results", "delay.svg", "topology.png", "stage_a.html"}


def test_the_python_that_it_shows_runs(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "stage A: 1min simulated in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "call", [call for call in calls() if call[1] in ("replicate", "compare", "sensitivity") and "FILE" not in call], ids=lambda call: call[1]
)
def test_the_studies_that_it_shows_run(call, capsys, monkeypatch):
    """In this process: a spawned worker takes a second to start."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", [*call, "--processes", "1"])
    cli.app(standalone_mode=False)
    assert "stage A" in capsys.readouterr().out


def test_every_command_that_it_names_exists_and_takes_the_options_shown():
    assert len(calls()) >= 5
    for _, command, *arguments in calls():
        assert command in COMMANDS
        known = {option for parameter in COMMANDS[command].params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("command", ["estimate", "calibrate"])
def test_what_it_shows_of_planning_runs(command, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    shown = [call for call in calls() if call[1] == command and len(call) > 3]
    assert shown
    for call in shown:
        monkeypatch.setattr("sys.argv", ["simfabric", *call[1:]])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
    assert {"estimate": "storage, wait and work", "calibrate": "SHA-256"}[command] in capsys.readouterr().out


def test_every_option_that_it_names_is_one_of_a_command():
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    scripts = [script.read_text(encoding="utf-8") for script in (ROOT / "experiments").glob("*.py")]
    own = {option for script in scripts for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', script)}
    named = {word for span in SPANS for word in span.split() if word.startswith("--")}
    assert {"--set", "--seed", "--window", "--out", "--json", "--check-slo"} <= named <= known | own


def test_every_command_of_the_program_is_named_except_its_version():
    assert set(COMMANDS) - {"version"} <= {command for _, command, *_ in calls()}


def test_the_exit_codes_are_those_of_the_program():
    for code, meaning in (
        (cli.WRONG, "topology or command wrong"),
        (cli.LAW_BROKEN, "a law broke"),
        (cli.SLO_MISSED, "an SLO missed"),
        (cli.INTERRUPTED, "interrupted"),
    ):
        assert f"{code} {meaning}" in README.replace("\n", " ")


def test_every_topology_that_it_names_is_there_and_can_be_read():
    named = {name.split("/")[-1] for name in re.findall(r"[\w/]+\.yaml", README) if not name.startswith("experiments/")}
    assert len(named) >= 6
    for name in named:
        assert load(ROOT / "topologies" / name).name
    assert {path.name for path in (ROOT / "topologies").glob("*.yaml")} <= named, "and every topology is named"


def test_every_experiment_is_named_and_can_be_read():
    named = set(re.findall(r"experiments/([\w]+\.yaml)", README))
    assert named == {path.name for path in (ROOT / "experiments").glob("*.yaml")}
    for name in sorted(named):
        assert load_experiment(ROOT / "experiments" / name).cases


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"`((?:simfabric|tests|experiments|notebooks|topologies)/[\w./]+)`", README):
        assert (ROOT / name).exists(), name


def test_every_key_that_it_names_exists():
    names = {re.split(r"[:=\s]", span.removeprefix("--set ").removeprefix("simfabric explain "))[0] for span in SPANS}
    sections = {"gateways", "network", "run", "clients", "channels", "storage", "bus", "fanout", "routing", "replay", "balancer"}
    keys = {name.rstrip(",") for name in names if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+,?", name) and name.split(".")[0] in sections}
    assert len(keys) >= 4
    for key in keys:
        assert explain(key)


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/simfabric run topologies/stage_c.yaml",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'",
    ],
)
def test_the_lines_that_install_are_there(line):
    assert line in shell_lines()


def test_the_line_that_tests_is_there_once_so_that_integration_can_read_it():
    found = [line for line in shell_lines() if line.startswith(".venv/bin/python -m pytest")]
    assert len(found) == 1
    assert r"s/^\.venv\/bin\/\(python -m pytest.*\)$/\1/p" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_gap_is_left_to_be_filled_in():
    assert re.findall(r"@[A-Z]+@", README) == []


def test_every_kind_of_fault_is_named():
    assert [kind for kind in KINDS if f"`{kind}`" not in README] == []
