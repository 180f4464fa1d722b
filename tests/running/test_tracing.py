"""Traces of sessions as message sequence charts, from a file, from the command line and from a result."""

import re

import pytest
from typer.testing import CliRunner

from simfabric.cli import app, main
from simfabric.components import session_trace
from simfabric.errors import Refusal
from simfabric.running import run
from simfabric.running.tracing import trace
from tests.helpers import topology_of

TEXT = """
run: {duration: 30s, warmup: 0s, compiled: never}
clients: {count: 20, subscriptions: 3}
channels: {count: 8}
traffic: [{name: chat, rate: 10/min}]
gateways: {count: 2}
faults: [{at: 10s, down: 3s, target: {gateway: all}}]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("version: 1" + TEXT)
    return path


def test_a_chart_tells_the_course_of_a_reconnect_in_order(file):
    chart = trace(file, [], [], "9s", "29s")
    told = ["connection closed (1006)", "live -> backoff (FAIL)", "POST token", "dial", "opened", "subscribe c", "subscribed c", "-> live"]
    places = [chart.find(what) for what in told]
    assert -1 not in places and places == sorted(places)
    assert "client 0" in chart and "gateway" in chart


def test_any_client_can_be_named_whether_or_not_it_is_among_the_sessions_of_the_file(file):
    assert "client 7" in trace(file, [7], [], "0s", "12s")
    both = trace(file, [3, 0], ["clients.sessions=2"], "9s", "12s", fold=False)
    assert "client 0" in both and "client 3" in both and "client 7" not in both


def test_mermaid_source_names_every_participant_once(file):
    source = trace(file, [0], [], "9s", "29s", mermaid=True)
    assert source.startswith("sequenceDiagram") and len(re.findall("participant .* as client 0", source)) == 1


def test_the_command_line_says_what_is_wrong_without_a_traceback(file, monkeypatch, capsys):
    assert CliRunner().invoke(app, ["trace", str(file), "0", "--first", "9s", "--last", "11s"]).exit_code == 0
    for arguments, said in (
        (["70"], "70: a client has a number from 0 to 19"),
        (["--first", "soon"], "soon: must be a duration"),
        (["--width", "9"], "9: a chart"),
    ):
        monkeypatch.setattr("sys.argv", ["simfabric", "trace", str(file), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_result_without_sessions_has_no_trace_and_one_with_sessions_has_theirs_only():
    assert run(topology_of(TEXT)).trace == ()
    result = run(topology_of(TEXT, clients__sessions="3"))
    names = {step.source for step in result.trace if step.source.startswith("client")}
    assert len(names) == 3 and result.chart(first=9, last=12) != result.chart(0, first=9, last=12)


def test_a_trace_that_is_too_long_is_cut_and_counts_what_found_no_room(monkeypatch):
    monkeypatch.setattr(session_trace, "MOST_STEPS", 5)
    kept = session_trace.Trace()
    kept.note(1, "client 0", "before it is kept")
    kept.kept = True
    for at in range(8):
        kept.note(at, "client 0", "x")
    assert len(kept.steps()) == 5 and kept.cut == 3


def test_an_unknown_client_is_refused_before_anything_runs(file):
    with pytest.raises(Refusal, match="0 to 19"):
        trace(file, [-1], [], "0s", None)
