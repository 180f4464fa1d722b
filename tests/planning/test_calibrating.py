"""Measurements of real fabrics become laws of a topology, each with where it came from."""

import hashlib
from pathlib import Path

import pytest

import simfabric as sf
from simfabric import cli
from simfabric.errors import Refusal

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).with_name("measurements")
STAGE_B = ROOT / "topologies" / "stage_b.yaml"
FOUND = [
    ("k6", "k6_summary.json", {"balancer.handshake": "lognormal(median 2ms, p99 8ms)", "clients.delay": None, "gateways.work.handshake": None}),
    ("locust", "locust_stats.csv", {"storage.work": "lognormal(median 6ms, p99 31ms)", "apis.bootstrap.work": "lognormal(median 12ms, p99 60ms)"}),
    ("kafka", "producer.txt", {"bus.replica_delay": "lognormal(median 2ms, p99 12ms)", "traffic.chat.size": None}),
    ("kafka", "consumer.txt", {"traffic.chat.size": None}),
    ("prometheus", "prometheus_range.json", {"storage.work": "lognormal(median 5ms, p99 25ms)", "traffic.chat.rate": "170/s"}),
]


@pytest.mark.parametrize(("tool", "file", "values"), FOUND)
def test_a_file_gives_laws_with_file_hash_and_field(tool, file, values):
    text = sf.calibrate(STAGE_B, [(tool, HERE / file)])
    calibrated = sf.loads(text, folder=STAGE_B.parent)
    assert hashlib.sha256((HERE / file).read_bytes()).hexdigest() in text and file in text and "extends: stage_b.yaml" in text
    base = sf.load(STAGE_B)
    for key, value in values.items():
        if value is not None:
            assert calibrated.with_({key: value}) == calibrated, key
    assert calibrated != base and calibrated.clients.count == 10_000


def test_a_tail_that_was_not_exported_is_that_of_the_lognormal_law_through_median_and_p95():
    calibrated = sf.loads(sf.calibrate(STAGE_B, [("k6", HERE / "k6_summary.json")]), folder=STAGE_B.parent)
    assert calibrated.gateways.work.handshake.quantile(0.95) == pytest.approx(3e6, rel=0.01)
    assert calibrated.clients.delay.quantile(0.5) == pytest.approx(20e6, rel=0.01), "half of a round trip of 40 ms"


def test_what_the_bus_consumed_tells_the_size_of_a_message():
    calibrated = sf.loads(sf.calibrate(STAGE_B, [("kafka", HERE / "consumer.txt")]), folder=STAGE_B.parent)
    assert calibrated.traffic[0].size.mean == pytest.approx(97.6563 * 2**20 / 100_000, rel=0.001)


def test_the_command_writes_a_topology_beside_the_one_that_it_extends(monkeypatch, capsys, tmp_path):
    (tmp_path / "base.yaml").write_text("version: 1\n")
    out = tmp_path / "calibrated.yaml"
    monkeypatch.setattr("sys.argv", ["simfabric", "calibrate", str(tmp_path / "base.yaml"), "--kafka", str(HERE / "producer.txt"), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == cli.RAN and sf.load(out).bus.replica_delay.quantile(0.5) == pytest.approx(2e6)
    with pytest.raises(Refusal, match="its own folder"):
        sf.calibrate(tmp_path / "base.yaml", [("kafka", HERE / "producer.txt")], out=tmp_path / "sub" / "x.yaml")


@pytest.mark.parametrize(
    ("tool", "content", "law"),
    [
        ("k6", "{", "must be JSON"),
        ("k6", "[" * 100_000, "nested less deeply|must be JSON"),
        ("k6", '{"metrics": []}', "an object with metrics"),
        ("k6", '{"metrics": {"ws_connecting": {"med": "fast"}}}', "a number from 0 to an hour"),
        ("k6", '{"metrics": {"ws_connecting": {"med": 1e400}}}', "a number from 0 to an hour"),
        ("k6", '{"metrics": {"ws_connecting": {"med": 5, "p(99)": 2}}}', "must not fall"),
        ("k6", '{"metrics": {}}', "nothing in it says anything"),
        ("locust", "a,b\n1,2\n", "with the columns"),
        ("kafka", "no records", "prints"),
        ("kafka", "a\n" * 10, "prints"),
        ("prometheus", '{"data": {"resultType": "vector", "result": []}}', "a range query"),
        ("prometheus", '{"data": {"resultType": "matrix", "result": [3]}}', "labels under metric"),
        ("prometheus", '{"data": {"resultType": "matrix", "result": [{"metric": {"__name__": "x"}, "values": [1]}]}}', "pairs of a time"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_with_its_name(tmp_path, tool, content, law):
    file = tmp_path / "input.txt"
    file.write_text(content)
    with pytest.raises(Refusal, match=law) as told:
        sf.calibrate(STAGE_B, [(tool, file)])
    assert "input.txt" in (told.value.value or "")


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path):
    file = tmp_path / "input.bin"
    file.write_bytes(b"\xff\xfe\x00")
    for path, law in ((file, "UTF-8"), (tmp_path / "absent", "can be read")):
        with pytest.raises(Refusal, match=law):
            sf.calibrate(STAGE_B, [("k6", path)])
    with pytest.raises(Refusal, match="something to calibrate by"):
        sf.calibrate(STAGE_B, [])
