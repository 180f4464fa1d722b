"""The estimate beside the simulation: where both agree, and why where they do not; and the result as OpenMetrics text."""

import json
import math

import pytest

import simfabric as sf
from simfabric import cli
from simfabric.analysis.theory import erlang_c, mean_wait
from simfabric.chance import Law
from simfabric.planning.beside import variation

STORE = """version: 1
name: store
run: {duration: 120s, warmup: 5s, checkpoints: 1, compiled: never}
network: {hop: 10ms}
clients: {count: 10, subscriptions: 1}
channels: {count: 10}
traffic: [{name: chat, rate: 1/s}]
storage: {shards: 1, work: 50ms}
"""


@pytest.fixture(scope="module")
def result():
    return sf.run(sf.loads(STORE), progress=False)


def line(estimate, name):
    return next(each for each in estimate.lines if each.name.startswith(name))


def test_a_store_is_the_queue_of_pollaczek_and_khinchine(result):
    found = sf.estimate(result.topology, result)
    store = line(found, "storage, wait")
    assert store.estimated == pytest.approx(0.05 + 0.5 * 0.05 / (2 * 0.5), rel=0.01)
    assert store.ratio == pytest.approx(1.0, abs=0.15) and store.reasons == ()
    assert line(found, "storage utilisation").reasons == ()
    assert "M/G/1" in found.text() and "bottleneck: storage" in found.text()


def test_bursts_make_them_differ_and_the_text_says_why():
    topology = sf.loads(STORE).with_(
        {"traffic.chat.bursts": {"every": "20s", "length": "4s", "times": "4"}, "traffic.chat.rate": "0.8/s", "run.duration": "60s"}
    )
    found = sf.estimate(topology, sf.run(topology, progress=False))
    store = line(found, "storage, wait")
    assert store.ratio > 2 and any("bursts of chat" in reason for reason in store.reasons)
    assert "differs: bursts of chat" in found.text()


def test_an_overload_is_unbounded_and_no_formula_has_it():
    found = sf.estimate(sf.loads(STORE).with_({"storage.work": "200ms"}))
    assert line(found, "storage, wait").estimated == math.inf and "unbounded" in found.text()
    json.dumps(found.figures(), allow_nan=False)


def test_the_command_prints_it(monkeypatch, capsys, tmp_path):
    file = tmp_path / "store.yaml"
    file.write_text(STORE)
    monkeypatch.setattr("sys.argv", ["simfabric", "estimate", str(file), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == cli.RAN and json.loads(capsys.readouterr().out)["bottleneck"] == "storage"


def test_the_formulas_have_their_known_values():
    assert erlang_c(1, 0.7) == pytest.approx(0.7) and erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert mean_wait(1, 0.5, 1.0, 1.0) == pytest.approx(1.0), "M/M/1"
    assert mean_wait(1, 0.5, 1.0, 0.0) == pytest.approx(0.5), "M/D/1"
    assert mean_wait(2, 2.0, 1.0, 1.0) == math.inf
    assert variation(Law("exponential", (1e6,))) == pytest.approx(1.0, rel=1e-3)
    assert variation(Law("constant", (1e6,))) == pytest.approx(0.0, abs=1e-12)


def test_open_metrics_text_has_every_family_with_its_type_and_ends(result):
    text = result.open_metrics()
    assert text.endswith("# EOF\n")
    assert f'simfabric_deliveries_total{{way="live"}} {result.end.live}' in text
    declared = {row.split()[2] for row in text.splitlines() if row.startswith("# TYPE")}
    for row in text.splitlines():
        if not row.startswith("#"):
            name = row.split("{")[0].split()[0]
            assert any(name == f"{family}{end}" for family in declared for end in ("", "_total", "_info", "_bucket", "_count", "_sum"))
    buckets = [int(row.split()[-1]) for row in text.splitlines() if row.startswith("simfabric_delivery_delay_seconds_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == result.delays[1].sum()
