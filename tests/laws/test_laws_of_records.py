"""The laws that need a history: valid on a good run, each broken alone by its planted bug, unknown where nothing tells."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from typer.testing import CliRunner

from simfabric.cli import LAW_BROKEN, app
from simfabric.history import KINDS, HistoryBuilder
from simfabric.kernels import catching_up
from simfabric.laws import judge_history
from simfabric.laws.records import LAWS
from tests.laws.planting import PLANTED
from tests.laws.watched import TEXT, calm, topology, verdicts, watched

CHECKED = [law.number for law in LAWS if law.check is not None]


def test_a_good_run_breaks_no_law_and_exercises_nearly_all():
    found = verdicts(watched())
    assert [law for law, verdict in found.items() if verdict == "invalid"] == []
    assert {law for law in CHECKED if found[law] == "unknown"} <= SELDOM


SELDOM = {"L1", "L5"}  # Nobody knows how long healing takes where users come and go.


def test_how_long_healing_may_take_is_known_where_nothing_else_happens():
    found = verdicts(calm())
    assert found["L1"] == found["L5"] == "valid" and "invalid" not in found.values()


def test_a_law_without_a_subject_says_why():
    reasons = {verdict.law.split()[0]: verdict.detail for verdict in watched().laws if verdict.verdict == "unknown"}
    assert {law.number for law in LAWS if law.check is None} <= reasons.keys() and all(reasons.values())


def test_every_law_has_a_planted_bug():
    assert set(CHECKED) - set(PLANTED) == set()


@pytest.mark.parametrize("law", PLANTED)
def test_a_planted_bug_breaks_its_law_alone_and_is_shown(law):
    history, of = PLANTED[law]
    judged = judge_history(history(), of().topology)
    broken = [verdict for verdict in judged if verdict.verdict == "invalid"]
    assert [verdict.law.split()[0] for verdict in broken] == [law]
    assert broken[0].detail and broken[0].witness.count("\n") > 1


def test_a_law_whose_records_found_no_room_is_unknown_unless_they_break_it():
    history = watched().history
    assert history is not None
    cut = replace(history, cut=MappingProxyType({"client.receive": 1}))
    found = {verdict.law.split()[0]: verdict for verdict in judge_history(cut, watched().topology)}
    assert found["S1"].verdict == "unknown" and "cut: client.receive" in found["S1"].detail and found["S7"].verdict == "valid"
    broken = PLANTED["S4"][0]()
    also = judge_history(replace(broken, cut=MappingProxyType({"client.receive": 1})), watched().topology)
    assert "S4" in [verdict.law.split()[0] for verdict in also if verdict.verdict == "invalid"]


def test_of_nothing_no_law_says_anything():
    judged = judge_history(HistoryBuilder().built(0, 1), watched().topology)
    assert {verdict.verdict for verdict in judged} == {"unknown"}
    history = watched().history
    assert history is not None
    for kind in KINDS:  # Nor does one that finds a table empty stumble over it.
        if kind not in ("client", "subscription"):
            assert len(judge_history(history.with_table(kind, history.tables[kind][:0]), watched().topology)) == len(LAWS)


def test_the_command_prints_why_a_law_is_unknown_and_shows_one_that_breaks(monkeypatch, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("version: 1\n" + TEXT)
    quiet = ["--set", "run.duration=9s", "--set", "faults=[]", "--set", "clients.churn=[]"]
    runner = CliRunner()
    good = runner.invoke(app, ["run", str(file), "--laws", "--history", str(tmp_path / "history"), *quiet])
    assert good.exit_code == 0, good.output
    assert "unknown       S2 recovered means recovered: there was not a resume" in good.stdout and "records of all clients" in good.stdout
    assert (tmp_path / "history" / "history.json").exists()
    honest = catching_up.note

    def forgetful(kind, about, *others):
        if about != 77:
            honest(kind, about, *others)

    from simfabric.kernels import fanout

    monkeypatch.setattr(fanout, "note", forgetful)
    bad = runner.invoke(app, ["run", str(file), "--laws", *quiet])
    assert bad.exit_code == LAW_BROKEN and "BROKEN        S1 no silent loss: client" in bad.stdout and "publishes m77" in bad.stdout


def test_laws_are_asked_for(tmp_path):
    from simfabric.running import run

    assert run(topology(run__duration="2s", faults="[]")).history is None
