"""Files: what a file extends, what --set lays over it, and that no name leads out of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from topology_corpus import BROKEN

from simfabric.errors import Problem, TopologyError
from simfabric.topology import Topology, load, loads


def written(folder: Path, **files: str) -> Path:
    """Write `name.yaml` for each keyword; the first one's path."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


def problem_of(path: Path | str, sets: tuple[str, ...] = ()) -> Problem:
    with pytest.raises(TopologyError) as caught:
        load(path, sets)
    return caught.value.problems[0]


def test_a_file_is_laid_over_the_one_it_extends(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        top="extends: base.yaml\nrun: {seed: 9}\nfaults: []\ntraffic: [{name: b, rate: 2/s}]\nname: ~\n",
        base="version: 1\nname: base\nrun: {seed: 1, duration: 30s}\nfaults: [{at: 1s}]\ntraffic: [{name: a, rate: 1/s}]\n",
    )
    topology = load(path)
    assert (topology.run.seed, topology.run.duration) == (9, 30_000_000_000)
    assert ([source.name for source in topology.traffic], topology.faults, topology.name) == (["b"], (), "")
    assert (topology.source, topology.folder) == (str(path), str(tmp_path.resolve()))
    assert topology.with_({"run.seed": 3}).source == str(path)


def test_places_point_into_the_file_where_the_value_stands(tmp_path: Path) -> None:
    path = written(tmp_path, top="extends: base.yaml\nbus:\n  brokers: 2\n", base="version: 1\nbus:\n  replication: 3\n")
    problem = problem_of(path)
    assert (problem.place, problem.path) == (f"{tmp_path / 'base.yaml'}:3:16", "bus.replication")


def test_files_extend_each_other_five_levels_deep_and_no_deeper(tmp_path: Path) -> None:
    files = {f"f{i}": f"extends: f{i + 1}.yaml\n" for i in range(6)}
    assert load(written(tmp_path, **{**files, "f5": "version: 1\nname: deep\n"})).name == "deep"
    assert "at most 5 levels" in problem_of(written(tmp_path, **files, f6="version: 1\n")).law


def test_a_circle_of_files_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, a="extends: b.yaml\n", b="extends: c.yaml\n", c="extends: b.yaml\n")
    assert "b.yaml -> c.yaml -> b.yaml" in problem_of(path).law
    assert "d.yaml -> d.yaml" in problem_of(written(tmp_path, d="extends: d.yaml\n")).law


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("../outside.yaml", "under the topology's folder"),
        ("inner/../../outside.yaml", "under the topology's folder"),
        ("link.yaml", "under the topology's folder"),
        ("linked/outside.yaml", "under the topology's folder"),
        ("/etc/passwd", "not an absolute one"),
        ("~/a.yaml", "not an absolute one"),
        ("$HOME/a.yaml", "without a variable"),
        ("%APPDATA%/a.yaml", "without a variable"),
        ("file:///etc/passwd", "without a colon"),
        ("https://example.com/a.yaml", "without a colon"),
        ("C:/a.yaml", "without a colon"),
        ("..\\\\outside.yaml", "without a backslash"),
        ("*.yaml", "without a wildcard"),
        ("missing.yaml", "exists"),
        ("inner", "regular file"),
        ("pipe", "regular file"),
        ("loop.yaml", "must name a file"),
        ("", "1 to 255 characters"),
        ("a" * 300, "1 to 255 characters"),
        ("a/" * 120 + "b", "exists"),
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str, law: str) -> None:
    folder = tmp_path / "here"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "outside.yaml").write_text("version: 1\n")
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    os.mkfifo(folder / "pipe")
    extending = problem_of(written(folder, a=f'version: 1\nextends: "{name}"\n'))
    assert (law in extending.law, extending.place.endswith("a.yaml:2:10"), extending.path) == (True, True, "extends")
    tracing = problem_of(written(folder, b=f'version: 1\ntraffic: [{{name: a, kind: trace, file: "{name}"}}]\n'))
    assert (law in tracing.law, tracing.place.endswith("b.yaml:2:40"), tracing.path) == (True, True, "traffic[0].file")
    with pytest.raises(TopologyError, match=r"must"):
        load(written(folder, c="version: 1\n")).file(name.replace("\\\\", "\\"))


def test_links_and_folders_inside_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "base.yaml").write_text("extends: ../root.yaml\nname: base\n")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "inner" / "base.yaml")
    assert load(written(tmp_path, a="extends: link.yaml\n", root="version: 1\nrun: {seed: 5}\n")).run.seed == 5


def test_a_trace_is_found_in_the_folder_of_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("at_s,channel\n")
    topology = load(written(tmp_path, a="version: 1\ntraffic: [{name: a, kind: trace, file: day.csv}]\n"))
    assert topology.traffic[0].file is not None
    assert topology.file(topology.traffic[0].file) == (tmp_path / "day.csv").resolve()


def test_all_files_share_one_budget_of_values_and_bytes(tmp_path: Path) -> None:
    half = "faults: [" + "1," * 55_000 + "]\n"
    problem = problem_of(written(tmp_path, top=f"version: 1\nextends: base.yaml\n{half}", base=half))
    assert ("at most 100000 values" in problem.law, "base.yaml" in problem.place) == (True, True)
    padding = "#" + "a" * 600_000 + "\n"
    problem = problem_of(written(tmp_path, top=f"version: 1\nextends: base.yaml\n{padding}", base=padding))
    assert ("bytes, all its files together" in problem.law, "base.yaml" in problem.place) == (True, True)


def test_the_guard_holds_for_a_file_that_is_extended(tmp_path: Path) -> None:
    problem = problem_of(written(tmp_path, top="extends: base.yaml\n", base="version: 1\nname: &a x\n"))
    assert (problem.place, "anchors" in problem.law) == (f"{tmp_path / 'base.yaml'}:2:7", True)
    assert "must be a mapping" in problem_of(written(tmp_path, top="extends: base.yaml\n", base="- a\n")).law


@pytest.mark.parametrize("name", ["missing.yaml", ".", "pipe", "a\0b", "x" * 5000])
def test_a_first_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "must be a" in problem_of(str(tmp_path / name)).law


def test_a_text_extends_files_of_the_folder_that_is_handed_over(tmp_path: Path) -> None:
    written(tmp_path, base="version: 1\nrun: {seed: 5}\n")
    assert loads("extends: base.yaml\n", folder=tmp_path).run.seed == 5


def test_sets_are_laid_over_the_file() -> None:
    sets = ["gateways.count=80", "traffic.chat.rate=2/s", "clients.delay=lognormal(10ms, 90ms)", "faults=[{at: 10s}, {at: 20s}]", "gateways.pauses.every=10s"]
    topology = loads("version: 1\nname: a\n", sets=[*sets, "gateways.pauses={every: 5s, length: 1ms}", "name=", "run.duration = 2min "])
    assert (topology.gateways.count, topology.traffic[0].rate, len(topology.faults), topology.name) == (80, 2.0, 2, "")
    assert topology.gateways.pauses is not None and topology.gateways.pauses.every.mean == 5e9
    assert topology.run.duration == 120_000_000_000


@pytest.mark.parametrize(
    ("change", "place", "law"),
    [
        ("gateways.count=x", "--set gateways.count", "must be a whole number"),
        ("gateways.conut=4", "--set gateways.conut", "there is no such key"),
        ("run.duration=60", "--set run.duration", "with a unit"),
        ("faults=[{at: 90s}]", "--set faults", "before the run's end"),
        ("faults=[{at: &a 9s}]", "--set faults:1:7", "anchors are not read"),
        ("faults=[[[", "--set faults:", "must be YAML"),
        ("name=\x1b[2J", "--set name", "control"),
        ("name=" + "a" * 5000, "--set name", "at most 4096 characters"),
        ("gateways.count", "--set", "an equals sign"),
        ("=4", "--set ", "must be a dotted path"),
        ("traffic[9].rate=1/s", "--set traffic[9].rate", "has 1 items"),
        ("traffic[99999999999].rate=1/s", "--set traffic[99999999999].rate", "must be a dotted path"),
        ("a." * 5000 + "b=1", "--set a.a", "must be a dotted path"),
        ("__class__.__init__=1", "--set __class__.__init__", "there is no such key"),
        ("extends=/etc/passwd", "--set extends", "there is no such key"),
        ("gateways.keys=1", "--set gateways.keys", "there is no such key"),
    ],
)
def test_sets_go_through_the_same_guard_types_and_laws(change: str, place: str, law: str) -> None:
    with pytest.raises(TopologyError) as caught:
        loads("version: 1\n", sets=[change])
    (problem,) = caught.value.problems
    assert problem.place.startswith(place)
    assert law in problem.law


@pytest.mark.parametrize("name", ["an unknown inner key", "no unit", "too many clients", "warmup beyond the end"])
def test_a_file_is_named_in_the_place(tmp_path: Path, name: str) -> None:
    text, place, *_ = BROKEN[name]
    assert problem_of(written(tmp_path, a=text)).place == f"{tmp_path / 'a.yaml'}:{place}"


def test_too_many_sets_are_refused() -> None:
    with pytest.raises(TopologyError, match="at most 1000 changes"):
        loads("version: 1\n", sets=["run.seed=1"] * 1001)
    assert loads("version: 1\n", sets=["run.seed=7"] * 1000) == Topology().with_({"run.seed": 7})
