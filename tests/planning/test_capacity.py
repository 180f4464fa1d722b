"""Capacity of a fabric: promises are read, loads and servers are found, and the plan says what it knows."""

import json
import math

import pytest

import simfabric as sf
from simfabric import cli
from simfabric.analysis.roots import Estimate, crossing, jackknife
from simfabric.errors import Refusal
from simfabric.planning import capacity as searching
from simfabric.planning.clauses import parse_slo
from simfabric.planning.search import Setting
from simfabric.planning.varying import varied

SLOW_STORE = """version: 1
name: a <slow> store
network: {hop: 200ms}
clients: {count: 20, subscriptions: 1, delay: 100ms}
channels: {count: 20}
traffic: [{name: chat, rate: 1/s}]
storage: {shards: 1, work: 40ms}
run: {checkpoints: 1, compiled: never}
"""


@pytest.fixture(autouse=True, scope="module")
def short():
    """Runs of a few hundred messages do for these questions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "MESSAGES", 40)
        patch.setattr(searching, "BOUNDS", 2)
        patch.setattr(searching, "SHORTEST_S", 2.0)
        yield


@pytest.fixture(scope="module")
def planned(short):
    topology = sf.loads(SLOW_STORE)
    return sf.capacity(topology, vary="traffic.chat.rate", slo="storage.mean < 100ms, utilisation.storage < 99%", precision=0.2, processes=1)


def test_the_load_that_a_single_store_bears_is_that_of_pollaczek_and_khinchine(planned):
    load = 2 * 0.06 / (0.04 + 2 * 0.06)  # A wait of 60 ms, by work of 40 ms: load x 40 ms / 2 (1 - load).
    truth = load / 0.04 / 20
    assert planned.low <= truth <= planned.high
    assert planned.high - planned.low < 0.5 * truth
    assert planned.load and planned.component == "storage" and planned.edge == ""
    assert planned.utilisation == pytest.approx(load, abs=0.2)


def test_the_plan_tells_answer_curve_what_binds_and_cost(planned):
    text = planned.text()
    for words in ("the highest traffic.chat.rate with storage.mean < 100ms", "at 95 %", "binds:      storage", "EUR a month", "common random numbers"):
        assert words in text
    assert "&lt;slow&gt;" in planned._repr_html_() and "<slow>" not in planned._repr_html_()
    rows = planned.rows()
    assert {row["metric"] for row in rows} == {"storage.mean", "utilisation.storage"} and len(rows) == 2 * len(planned.points)
    kept = [row["x"] for row in rows if row["met"]]
    assert max(kept, default=0.0) < min((row["x"] for row in rows if not row["met"]), default=math.inf), "common luck makes the metric monotone"
    assert json.loads(json.dumps(planned.figures(), allow_nan=False))["asked"] == "highest load"


def test_the_command_finds_the_least_shards_and_writes_the_curve(monkeypatch, capsys, tmp_path):
    file, out = tmp_path / "slow.yaml", tmp_path / "curve.json"
    file.write_text(SLOW_STORE)
    words = [
        "--vary",
        "storage.shards",
        "--slo",
        "utilisation.storage < 70%",
        "--set",
        "traffic.chat.rate=2/s",
        "--precision",
        "0.5",
        "--processes",
        "1",
        "--quiet",
        "--json",
        str(out),
    ]
    monkeypatch.setattr("sys.argv", ["simfabric", "capacity", str(file), *words, "--vary-range", "2:6"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == cli.RAN
    figures = json.loads(out.read_text())
    assert figures["low"] <= figures["answer"] <= figures["high"] and 3 <= figures["answer"] <= 5
    assert "the least storage.shards with utilisation.storage < 70 %" in capsys.readouterr().out


def test_a_range_in_which_nothing_helps_is_told():
    planned = sf.capacity(sf.loads(SLOW_STORE), vary="gateways.count", slo="storage.mean < 1ms", between=("1", "2"), processes=1)
    assert planned.edge == "missed" and math.isnan(planned.answer) and "none from 1 to 2 keeps it; what binds is storage" in planned.text()


@pytest.mark.parametrize(
    ("slo", "law"),
    [
        ("delivery.p98 < 2s", "no such metric"),
        ("delivery.p99 > 2s", "promised from above"),
        ("connect.success < 99%", "promised from below"),
        ("delivery.p99 < 2", "duration"),
        ("delivery p99", "a metric, < or >, and a bound"),
        ("", "from 1 to 20 clauses"),
        ("utilisation.storage < 0%", "leave something"),
    ],
)
def test_a_promise_that_cannot_be_read_is_refused_with_law_and_cure(slo, law):
    with pytest.raises(Refusal, match=law):
        parse_slo(slo)


def test_clauses_are_separated_by_commas_or_and():
    assert [str(clause) for clause in parse_slo("delivery.p99 < 2s and connect.success >= 99.9%, lag.max < 100")] == [
        "delivery.p99 < 2s",
        "connect.success > 99.9 %",
        "lag.max < 100 messages",
    ]


@pytest.mark.parametrize(
    ("path", "between", "law"),
    [("clients.delay", None, "must be a number"), ("run.seed", None, "helps or hurts"), ("gateways.count", ("4", "2"), "less to more")],
)
def test_a_key_that_cannot_be_varied_is_refused(path, between, law):
    with pytest.raises(Refusal, match=law):
        varied(sf.loads("version: 1"), path, between)


def test_an_unknown_key_is_told_as_by_set():
    with pytest.raises(sf.TopologyError, match="did you mean 'count'"):
        varied(sf.loads("version: 1"), "gateways.cout")


def test_the_jackknife_of_a_mean_is_students_interval():
    values = [3.0, 5.0, 4.0, 8.0]
    found = jackknife(lambda kept: sum(values[r] for r in kept) / len(kept), 4, 0.95)
    assert found.value == pytest.approx(5.0)
    assert found.half_width == pytest.approx(3.182446 * (14 / 3 / 4) ** 0.5, rel=1e-6)


def test_a_line_that_runs_the_wrong_way_tells_only_the_side():
    assert crossing((1.0, 1.0), (2.0, -1.0), True) == 1.5
    assert crossing((1.0, 1.0), (2.0, 2.0), True) == 5.0
    assert crossing((1.0, -1.0), (2.0, -2.0), False) == 5.0


def test_the_interval_holds_what_longer_runs_moved_the_answer_by():
    assert searching.widened(Estimate(100.0, 99.0, 104.0), 0.03) == Estimate(100.0, 97.0, 104.0)


def test_the_last_two_points_are_close_however_coarse_the_precision(planned):
    """Beyond saturation headroom bends: a line from far on the other side would tell a root that is too sure."""
    assert Setting(0.0, 1.0, True, False, precision=0.2).spacing == 0.05
    left, right = sorted(point.x for point in planned.points if point.replications >= 16)
    assert right <= 1.06 * left and left / 1.1 < planned.answer < 1.1 * right
