"""Experiments: a bad file is refused with all its places, an interrupt loses nothing that is done, and the page says what the data say."""

import dataclasses
import json

import jsonschema
import numpy as np
import pytest
import yaml

import simfabric.planning.many as many
from simfabric import cli, plan
from simfabric.errors import SimfabricError, TopologyError
from simfabric.planning.experiments import load_experiment, page, read_findings, run_experiment, write_findings
from simfabric.planning.experiments.page import headline
from simfabric.planning.experiments.schema import experiment_schema
from simfabric.plot.findings import findings as drawn

TOPOLOGY = "version: 1\nname: small\nrun: {duration: 1s, warmup: 200ms, compiled: never}\nclients: {count: 20}\ntraffic: [{name: chat, rate: 60/min}]\n"
HEAD = "version: 1\ntitle: Small\nquestion: Which?\ntopology: ../topologies/small.yaml\n"
TWO = "designs:\n  - {name: quick}\n  - {name: slow, set: {storage.work: 30ms}}\n"
TAIL = "metrics: [delivery.p50, frames.rate]\nreplications: 2\n"


@pytest.fixture
def place(tmp_path):
    """A folder of experiments beside one of topologies, as in the repository."""
    (tmp_path / "topologies").mkdir()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "topologies" / "small.yaml").write_text(TOPOLOGY, encoding="utf-8")

    def written(text, name="small.yaml"):
        path = tmp_path / "experiments" / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refused(path, **asked):
    """What is said of a file that is refused, with its places."""
    with pytest.raises(TopologyError) as error:
        load_experiment(path, **asked)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + TWO + "metrics: [delivery.p9]\n", "small.yaml:8:11: metrics[0]: 'delivery.p9': there is no metric of this name"),
        (HEAD + TWO + TAIL + "repeats: 3\n", "small.yaml:10:10: repeats: 'repeats': there is no such key"),
        (HEAD + "designs: [{name: only}]\n" + TAIL, "a comparison needs at least two designs"),
        (HEAD + TAIL, "an experiment compares designs"),
        (HEAD + TWO.replace("slow", "quick") + TAIL, "small.yaml:7:12: designs[1].name: 'quick': must be a name that no other has"),
        (HEAD + TWO + "vary: {gateways.count: [1, 2]}\n" + TAIL, "designs and vary are two ways to say the same"),
        (HEAD + "vary: {gateways.count: 1}\n" + TAIL, "small.yaml:5:24: vary.gateways.count: '1': must be a list of 1 to 100 values"),
        (HEAD + TWO + TAIL + "set: [1]\n", "must be a mapping of topology keys to values"),
        (HEAD + TWO + TAIL + "short: {designs: [quik]}\n", "small.yaml:10:19: short.designs[0]: 'quik': there is none of this name among the designs"),
        (HEAD.replace("../topologies/small", "../../../etc/passwd") + TWO + TAIL, "under the folder above the experiment's"),
        (HEAD.replace("small.yaml", "none.yaml") + TWO + TAIL, "small.yaml:4:11: topology: '../topologies/none.yaml': must name a file that exists"),
        (HEAD + TWO + TAIL + "set: &a {gateways.count: 2}\n", "anchors are not read"),
        ("- 1\n", "must be a mapping of keys"),
        (HEAD + "designs:\n  - {name: quick}\n  - {name: slow, set: {storage.wrok: 30ms}}\n" + TAIL, "small.yaml:7:38: storage.wrok: 'wrok': there is no"),
        (HEAD + TWO + TAIL + "cases: [{name: large, set: {clients.count: 10M}}]\n", "small.yaml:10:44: clients.count: '10M': the gateways must have room"),
        (HEAD + TWO.replace("30ms", "$work") + TAIL, "small.yaml:7:38: storage.work: '$work'"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_at_its_place_with_a_cure(place, text, told):
    assert told in refused(place(text))


def test_all_designs_that_cannot_be_are_told_at_once(place):
    told = refused(place(HEAD + "vary:\n  gateways.count: [0, 2, many]\n" + TAIL))
    assert "small.yaml:6:20: gateways.count: '0'" in told and "small.yaml:6:26: gateways.count: 'many'" in told


def test_an_interval_needs_two_replications(place):
    assert "must be at least 2" in refused(place(HEAD + TWO + TAIL), replications=1)


def test_later_changes_stand_over_earlier_ones_and_a_case_gives_values(place):
    text = HEAD + "set: {gateways.count: 2, storage.work: 1ms}\n"
    text += "designs:\n  - {name: a}\n  - {name: b, set: {storage.work: $work, gateways.cores: 2}}\n"
    text += "cases:\n  - {name: x, values: {work: 7ms}}\n  - {name: y, values: {work: 9ms}, set: {gateways.count: 4}}\n"
    asked = load_experiment(place(text + TAIL + "short: {set: {gateways.count: 3}, cases: [x]}\n"))
    arms = {(case.name, arm.name): arm.topology for case in asked.cases for arm in case.arms}
    assert [arms[key].gateways.count for key in (("x", "a"), ("x", "b"), ("y", "b"))] == [2, 2, 4]
    assert [arms[key].storage.work.parameters[0] for key in (("x", "a"), ("x", "b"), ("y", "b"))] == [1e6, 7e6, 9e6]
    short = load_experiment(asked.path, short=True)
    assert short.name == "small.short" and [case.name for case in short.cases] == ["x"] and short.cases[0].arms[0].topology.gateways.count == 3


def test_combinations_are_named_by_what_varies(place):
    asked = load_experiment(place(HEAD + "vary: {gateways.count: [1, 2], storage.shards: [4]}\nacross: {clients.count: [5, 10]}\n" + TAIL))
    assert asked.designs == ("count=1, shards=4", "count=2, shards=4") and [case.name for case in asked.cases] == ["count=5", "count=10"]


def test_the_schema_accepts_a_good_file_and_refuses_a_bad_one(place):
    schema = experiment_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(HEAD + TWO + TAIL), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(HEAD + TWO + "metrics: [delivery.p9]\n"), schema)


# ------------------------------------------------------------------------------------------------------------------------ running


@pytest.fixture
def counted(monkeypatch):
    """How many runs were made, and an interrupt at one of them if `stop` is set."""
    made = {"runs": 0, "stop": None}
    real = many.run

    def counting(topology):
        if made["runs"] == made["stop"]:
            made["stop"] = None
            raise KeyboardInterrupt
        made["runs"] += 1
        return real(topology)

    monkeypatch.setattr(many, "run", counting)
    return made


def test_what_is_done_is_not_run_again(place, counted):
    path = place(HEAD + TWO + TAIL)
    first = run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 4
    again = run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 4 and page(again) == page(first) and np.array_equal(again.values, first.values)
    run_experiment(load_experiment(path, replications=3), processes=1)
    assert counted["runs"] == 6, "one more replication of two designs"
    path.write_text(path.read_text(encoding="utf-8").replace("frames.rate", "lag.max"), encoding="utf-8")
    run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 6, "another metric of the same runs"
    path.write_text(path.read_text(encoding="utf-8").replace("30ms", "31ms"), encoding="utf-8")
    run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 8, "one design is another one"
    run_experiment(load_experiment(path), processes=1, fresh=True)
    assert counted["runs"] == 12


def test_an_interrupt_keeps_what_is_done_and_the_rest_is_run_later(place, counted, tmp_path):
    path = place(HEAD + TWO + TAIL)
    whole = run_experiment(load_experiment(path), tmp_path / "whole", processes=1)
    counted.update(runs=0, stop=3)
    with pytest.raises(many.Interrupted, match="3 of 4"):
        run_experiment(load_experiment(path), processes=1)
    journal = path.with_name("small.journal.jsonl")
    assert [json.loads(line)["design"] for line in journal.read_text(encoding="utf-8").splitlines()] == ["quick", "slow", "quick"]
    later = run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 4 and page(later) == page(whole)


def test_a_line_that_was_cut_off_or_altered_is_run_again(place, counted):
    path = place(HEAD + TWO + TAIL)
    first = run_experiment(load_experiment(path), processes=1)
    journal = path.with_name("small.journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"[[[[\n\xff\n" + lines[0] + lines[1].replace(b'"lag.max": ', b'"lag.max": "x", "y": ') + lines[2] + lines[3][:100])
    again = run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 6 and page(again) == page(first)
    run_experiment(load_experiment(path), processes=1)
    assert counted["runs"] == 6


def test_the_table_can_be_read_back_and_makes_the_same_page(place, tmp_path):
    path = place(HEAD + TWO + TAIL)
    found = run_experiment(load_experiment(path), processes=1)
    found.values[0, 0, 0, 1], found.values[0, 1, :, 0] = np.nan, np.inf
    write_findings(found, tmp_path / "small.parquet")
    back = read_findings(load_experiment(path), tmp_path / "small.parquet")
    assert np.array_equal(back.values, found.values, equal_nan=True) and page(back) == page(found) and back.version == found.version
    path.write_text(path.read_text(encoding="utf-8").replace("slow", "tardy"), encoding="utf-8")
    with pytest.raises(SimfabricError, match="does not ask for"):
        read_findings(load_experiment(path), tmp_path / "small.parquet")
    (tmp_path / "small.parquet").write_bytes(b"no table")
    with pytest.raises(SimfabricError, match="cannot be read"):
        read_findings(load_experiment(path), tmp_path / "small.parquet")


def test_the_command_writes_the_results_and_refuses_a_bad_file(place, tmp_path, monkeypatch, capsys):
    path = place(HEAD + TWO + TAIL + "conclusion: Take <b>quick</b>.\n")
    monkeypatch.setattr("sys.argv", ["simfabric", "experiment", str(path), "--processes", "1", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0 and "best: quick" in capsys.readouterr().out
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["small.journal.jsonl", "small.md", "small.parquet", "small.svg"]
    told = (tmp_path / "out" / "small.md").read_text(encoding="utf-8")
    assert "# Small\n\nWhich?\n\n**Answer.** By `delivery.p50` (lower is better): best: quick" in told
    assert "(small.svg)" in told and "Take &lt;b>quick&lt;/b>." in told
    path.write_text(HEAD, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.WRONG and "the key 'metrics' must be given" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- what the page says


@pytest.fixture
def found(place):
    """Findings with made-up figures: two designs over three cases, four replications, two metrics."""
    asked = load_experiment(place(HEAD + TWO + "across: {gateways.count: [1, 10, 100]}\n" + TAIL), replications=4)
    values = np.empty((3, 2, 4, 2))
    noise = np.array([0.0, 0.001, 0.002, 0.003])
    for case, (one, other) in enumerate([(0.1, 0.2), (0.2, 0.3), (0.5, 0.4)]):
        values[case, 0, :, 0], values[case, 1, :, 0] = one + noise, other + 1.1 * noise
        values[case, :, :, 1] = 100.0
    made = run_experiment(dataclasses.replace(asked, cases=asked.cases[:1], replications=2), processes=1)
    return dataclasses.replace(made, experiment=asked, replications=(0, 1, 2, 3), values=values, digests=np.full((3, 2, 4), "x", object))


def test_the_page_names_winners_by_stretches_and_where_they_change_places(found):
    told = page(found)
    assert headline(found) == "By `delivery.p50` (lower is better): count=1 to count=10: best: quick; count=100: best: slow."
    assert "quick is better than slow up to count=10, slow is better than quick from count=100 on." in told
    assert "in all 3 cases all designs are the same in every replication" in told
    assert "| count=1 | quick | **102 ms ± 2.05 ms** | 100/s |" in told


def test_other_data_make_another_page(found):
    values = found.values[:, ::-1].copy()
    assert "count=1 to count=10: best: slow; count=100: best: quick" in headline(dataclasses.replace(found, values=values))


def test_the_page_says_where_the_data_do_not_tell(found):
    values = found.values.copy()
    values[1, 0, :, 0], values[1, 1, :, 0] = [0.1, 0.4, 0.2, 0.3], [0.3, 0.2, 0.4, 0.15]
    told = page(dataclasses.replace(found, values=values))
    assert "count=10: the data do not tell quick (best mean) from slow" in told and "| count=10 | slow | *12.5 ms [" in told


def test_designs_that_never_end_or_tell_nothing_are_set_apart(found):
    values = found.values.copy()
    values[0, 0, :, 0], values[1, 1, :, 0], values[2, :, :, 0] = np.inf, np.nan, np.nan
    told = headline(dataclasses.replace(found, values=values))
    assert "count=1: best: slow, the only one that is not endless" in told
    assert "count=10: the data tell of quick only (slow: not told by 4 of 4 runs)" in told and "count=100: the data do not tell" in told


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_experiment_can_be_drawn_as_lines_and_as_dots(found, theme, tmp_path):
    lines = drawn(found, theme)
    assert lines.told == "delivery.p50, frames.rate over gateways.count for quick, slow, with intervals."
    form = found.experiment.form.model_copy(update={"across": None})
    values = found.values.copy()
    values[0, 0, :, 0] = np.inf
    dots = drawn(dataclasses.replace(found, values=values, experiment=dataclasses.replace(found.experiment, form=form)), theme)
    assert "full dot" in dots.told
    for picture in (lines, dots):
        picture.save(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").stat().st_size > 1000


def test_a_design_with_partitions_of_its_own_for_hot_channels_can_be_planned(place):
    text = HEAD + "designs: [{name: shared}, {name: own, set: {hot.partitions: 2, hot.gateways: 1, gateways.count: 2}}]\n" + TAIL
    assert plan(load_experiment(place(text)).cases[0].arms[1].topology).memory > 0
