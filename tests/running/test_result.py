"""The result: figures, tables, promises and words that follow from what a run left behind; a folder that holds it, whole or not at all."""

import dataclasses
import hashlib
import json
import math
import sys

import numpy as np
import pytest

from simfabric.analysis.quantiles import fewest, mean, quantile, share_below
from simfabric.errors import SimfabricError
from simfabric.kernels.histogram import BINS, bin_of
from simfabric.kernels.state import STAGE_NAMES, STAGES
from simfabric.recorder import TIMELINE
from simfabric.running import one_run, run
from simfabric.running.result import MESSAGE_NAMES, QUANTILES
from simfabric.running.saving import TABLES, ResultError, columns_of, load_saved
from simfabric.topology import loads
from tests.helpers import topology_of

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BASE = """
name: small
run: {duration: 8s, warmup: 1s, compiled: never}
clients: {count: 40, subscriptions: 3, regions: [{name: near, share: 75%, delay: 5ms}, {name: far, share: 25%, delay: 80ms}]}
channels: {count: 6}
traffic: [{name: chat, per: all, rate: 40/s}]
gateways: {count: 2}
balancer: {health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}
faults: [{target: {gateway: 1}, at: 3s, down: 1s}]
"""


@pytest.fixture(scope="module")
def result():
    """One run, for all who only read it."""
    return run(topology_of(BASE))


# Figures


def test_quantiles_come_from_what_was_published_after_the_warm_up(result):
    rows = result.messages
    after = rows[rows[:, 1] >= SECOND]
    assert result.delays[0].sum() > 0 and result.delays.sum() == result.end.live
    assert len(after) < len(rows)
    p50, p95, p99 = (result.delay(q) for q in (0.5, 0.95, 0.99))
    assert 0 < p50 < p95 <= p99
    near, far = (result.delay(0.5, region) for region in (0, 1))
    assert far > near + 0.06, "75 ms further away"


def test_a_quantile_is_refused_where_the_samples_are_too_few():
    histogram = np.zeros(BINS, np.int64)
    assert quantile(histogram, 0.5) is None and mean(histogram) is None and share_below(histogram, 1e9) is None
    assert fewest(0.99) == 299 and fewest(0.999) == 2995 and fewest(0.5) == 5 and fewest(0.0) == fewest(1.0) == 1
    for q in (0.5, 0.95, 0.99, 0.999):
        histogram[:] = 0
        histogram[bin_of(20 * MILLISECOND)] = fewest(q) - 1
        assert quantile(histogram, q) is None
        histogram[bin_of(20 * MILLISECOND)] += 1
        assert quantile(histogram, q) == pytest.approx(20 * MILLISECOND, rel=0.004)


def test_quantiles_of_short_durations_are_exact_and_shares_count_bins():
    histogram = np.zeros(BINS, np.int64)
    histogram[[3, 5]] = 50
    assert quantile(histogram, 0.5) == 3.0 and quantile(histogram, 0.51) == 5.0
    assert share_below(histogram, 4.0) == 0.5 and mean(histogram) == pytest.approx(4.5)


def test_a_short_run_prints_dashes_instead_of_quantiles():
    few = run(topology_of(BASE, traffic__chat__rate="1/s", run__duration="4s", faults="[]"))
    assert few.delay(0.999) is None and few.figures()["delay"]["p999_s"] is None
    (line,) = (line for line in few.summary().splitlines() if line.startswith("delivery"))
    assert "-" in line.split()


def test_figures_are_plain_numbers_that_json_knows(result):
    figures = result.figures()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["published"] * 1.0 == result.end.published and figures["delivered"] == result.end.live + result.end.replayed
    assert set(figures["stages"]) == set(STAGE_NAMES) and set(figures["delay"]) == {*QUANTILES, "mean_s"}
    assert figures["owed"] == figures["delivered"] + sum(figures["dropped"].values()) + figures["in_flight"] + figures["offline"]


def test_utilisation_is_work_over_time_after_the_warm_up_and_the_bottleneck_is_the_busiest(result):
    at = result.timeline[:, 0].tolist()
    since = result.busy[at.index(SECOND)]
    done, place = result.busy[-1] - since, 0
    for name, rows, servers in result.busy_rows:
        used = done[place : place + rows] / (7 * SECOND * servers)
        assert result.utilisation[name] == pytest.approx(used.mean()) and result.busiest[name] == pytest.approx(used.max())
        place += rows
    assert result.bottleneck.component == max(result.busiest, key=result.busiest.get)
    assert result.bottleneck.headroom == pytest.approx(1 / result.bottleneck.utilisation - 1)


def test_without_a_warm_up_utilisation_counts_from_the_start():
    whole = run(topology_of(BASE, run__warmup="0s", faults="[]"))
    assert whole.utilisation["storage"] == pytest.approx(whole.busy[-1][_place(whole, "storage")].sum() / (8 * 8 * SECOND))


def _place(result, wanted):
    place = 0
    for name, rows, _ in result.busy_rows:
        if name == wanted:
            return slice(place, place + rows)
        place += rows
    raise KeyError(wanted)


# Promises


def test_every_promise_has_a_value_or_says_that_it_does_not_know(result):
    promises = {o.name: o for o in result.slo}
    assert set(promises) == {"delivery p99", "connect success", "recovery p99", "replay success"}
    assert promises["delivery p99"].value == result.delay(0.99) and promises["delivery p99"].met is True
    assert promises["replay success"].value == 1.0 and promises["connect success"].value is not None
    quiet = {o.name: o.met for o in run(topology_of(BASE, faults="[]")).slo}
    assert quiet["connect success"] is None and quiet["recovery p99"] is None and quiet["replay success"] is None


def test_clients_that_never_came_back_make_the_recovery_infinite():
    """One gateway of one is gone for good: nobody recovers, and the promise is broken however good the few recoveries were."""
    gone = run(topology_of(BASE, gateways__count="1", faults="[{target: {gateway: 0}, at: 3s, down: 1h}]"))
    (promise,) = (o for o in gone.slo if o.name == "recovery p99")
    assert promise.value == math.inf and promise.met is False
    (told,) = (o for o in gone.figures()["slo"] if o["name"] == "recovery p99")
    assert told["value"] is None and told["met"] is False


def test_a_few_missing_clients_raise_the_quantile_and_many_make_it_infinite(result):
    """Of 4000 recoveries of 1 s: with 20 missing p99 is still 1 s, with 80 missing it is never."""
    histogram = np.zeros((STAGES, BINS), np.int64)
    histogram[STAGE_NAMES.index("recovery"), bin_of(SECOND)] = 4000
    for missing, expected in ((0, 1.0), (20, 1.0), (80, math.inf)):
        timeline = result.timeline.copy()
        timeline[-1, TIMELINE.index("breaks")] = 4000 + missing
        changed = dataclasses.replace(result, stages=histogram, timeline=timeline)
        (promise,) = (o for o in changed.slo if o.name == "recovery p99")
        assert promise.value == pytest.approx(expected, rel=0.01)
        assert changed.recovered_in_time == 1.0


# Words


def test_the_summary_tells_regions_faults_replay_and_every_stage(result):
    text = result.summary()
    lines = text.splitlines()
    assert any(line.startswith("  near") for line in lines) and any(line.startswith("  far") for line in lines)
    for word in ("breaks", "dials", "replay requests", "catch up", "recovery", "stale route", "digest        " + result.digest):
        assert word in text
    assert repr(result) == text and max(map(len, lines)) < 200


def test_published_measurements_stand_beside_the_predicted_ones():
    quantiles = "[{quantile: 50%, delay: 20ms}, {quantile: 99%, delay: 100ms}, {quantile: 99.99%, delay: 1s}]"
    published = f'{{source: "a paper", cpu: 50%, note: "on ten nodes", quantiles: {quantiles}}}'
    compared = run(topology_of(BASE + f"published: {published}\n"))
    lines = compared.summary().splitlines()
    first = lines.index("predicted beside published (a paper)")
    p50, p99, p9999, cpu, note = lines[first + 2 : first + 7]
    assert p50.split()[0] == "p50" and float(p50.split()[-1]) == pytest.approx(compared.delay(0.5) / 0.020, abs=0.006)
    assert p99.split()[0] == "p99" and float(p99.split()[-1]) == pytest.approx(compared.delay(0.99) / 0.100, abs=0.006)
    assert p9999.split()[0] == "p99.99" and p9999.split()[-1] == "-", "too few samples for that"
    assert cpu.startswith("gateway CPU") and float(cpu.split()[-1]) == pytest.approx(compared.utilisation["gateways"] / 0.5, abs=0.006)
    assert note == "on ten nodes"
    assert "published" not in run(topology_of(BASE)).summary().replace("publisher", "")


def test_a_notebook_shows_hostile_names_as_text():
    hostile = "<script>alert(1)</script>&\"'"
    text = BASE.replace("name: small", f"name: {json.dumps(hostile)}").replace("name: near", 'name: "<b>x</b>"')
    shown = run(topology_of(text))._repr_html_()
    assert shown.startswith("<pre>") and shown.endswith("</pre>")
    assert "<script" not in shown and "<b>" not in shown and "&lt;script&gt;" in shown and "&lt;b&gt;" in shown


def test_a_broken_law_is_told_with_its_numbers(result):
    wrong = dataclasses.replace(result.end, open=result.end.open + 1)
    broken = dataclasses.replace(result, checkpoints=(*result.checkpoints[:-1], wrong))
    assert not broken.lawful
    (told,) = broken.figures()["laws"]["broken"]
    assert told["law"].startswith("C4") and "41 != 40 (difference 1)" in told["detail"] and told["at_s"] == 8.0
    assert "BROKEN        C4" in broken.summary()


def test_a_server_that_worked_longer_than_there_was_time_breaks_a_law(result):
    """C6, a second law of it: the sum may be right and one row impossible."""
    storage = next(b for b in result.end.busy if b.name == "storage")
    moved = storage.rows.copy()
    moved[0] += 9 * SECOND
    wrong = dataclasses.replace(storage, rows=moved, work=storage.work + 9 * SECOND)
    busy = tuple(wrong if b is storage else b for b in result.end.busy)
    broken = dataclasses.replace(result, checkpoints=(dataclasses.replace(result.end, busy=busy),))
    (told,) = broken.figures()["laws"]["broken"]
    assert told["law"].startswith("C6") and "storage 0: " in told["detail"] and "> 1 x 8000000000 ns" in told["detail"]


def test_a_fabric_without_traffic_has_no_bottleneck_and_says_which_laws_were_not_exercised():
    idle = run(topology_of(BASE, faults="[]", traffic__chat__rate="0/s"))
    text = idle.summary()
    assert "bottleneck    none: nothing had anything to do" in text and "not exercised: C1a, C1b" in text
    assert idle.lawful and idle.figures()["bottleneck"]["headroom"] is None and idle.figures()["laws"]["broken"] == []


# Interrupted


@pytest.fixture
def interrupted(monkeypatch):
    """A run that somebody stopped after about two and a half seconds."""
    between = one_run.Watch.between

    def stopping(self):
        between(self)
        if self.fabric.world.now >= 2_500_000_000:
            self.stop()

    monkeypatch.setattr(one_run.Watch, "between", stopping)
    return run(topology_of(BASE))


def test_a_run_that_was_stopped_is_valid_as_far_as_it_went_and_says_so(interrupted):
    assert interrupted.partial and 2 * SECOND < interrupted.simulated < 4 * SECOND
    assert interrupted.lawful and interrupted.end.at == interrupted.simulated == interrupted.timeline[-1, 0]
    assert interrupted.figures()["partial"] is True and "PARTIAL: interrupted" in interrupted.summary()


def test_a_run_that_was_stopped_within_its_warm_up_has_no_delays_and_no_crash(monkeypatch):
    monkeypatch.setattr(one_run.Watch, "between", lambda self: self.stop())
    early = run(topology_of(BASE))
    assert early.partial and early.simulated <= SECOND and early.delay(0.5) is None
    assert "PARTIAL" in early.summary() and json.dumps(early.figures(), allow_nan=False)


def test_a_part_of_a_run_is_the_beginning_of_the_whole(interrupted, result):
    same = result.messages[: len(interrupted.messages)]
    settled = interrupted.messages[:, 1] < interrupted.simulated - SECOND
    assert settled.any() and np.array_equal(interrupted.messages[settled], same[settled])


# Tables and folders


def test_tables_are_frames_in_seconds(result):
    timeline, _, _, messages, delays, stages, events = (result.table(name) for name in TABLES)
    assert timeline["at_s"].tolist() == (result.timeline[:, 0] / 1e9).tolist()
    assert {"connected", "lag", "busy_gateways_s", "busy_storage_s"} <= set(timeline.columns)
    assert messages["message"].tolist() == list(range(len(messages))) and messages["published_at_s"].is_monotonic_increasing
    assert not any(column.endswith("_ns") for table in (timeline, messages, delays, stages, events) for column in table.columns)
    assert delays["count"].sum() == result.end.live and set(delays["published"]) == {"warm-up", "after"} and set(delays["region"]) == {"near", "far"}
    assert set(stages["stage"]) <= set(STAGE_NAMES) and (stages["from_s"] < stages["to_s"]).all()
    assert events["event"].tolist()[0].startswith("gateway 1 killed") and events["at_s"].tolist() == [3.0, 4.0]


def test_a_stage_that_a_message_did_not_reach_is_empty():
    killed = run(topology_of(BASE, run__duration="3100ms", clients__regions="[]", clients__delay="150ms"))
    messages = killed.table("messages")
    lost = messages[messages["routed_at_s"].isna()]
    assert 0 < len(lost) < len(messages) and lost["visible_at_s"].isna().any()
    assert set(killed.table("delays")["region"]) == {"main"}


def test_a_table_that_does_not_exist_is_named_with_those_that_do(result):
    with pytest.raises(KeyError, match="timeline, placement, gateways, messages, delays, stages, events"):
        result.table("nonsense")


def test_without_pandas_a_table_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SimfabricError, match=r"pip install 'simfabric\[table\]'"):
        result.table("timeline")


def same(saved, made):
    """Whether a saved table says what the result says."""
    return set(saved) == set(made) and all(list(saved[name]) == list(made[name]) for name in made)


def test_a_saved_result_says_the_same_when_it_is_read_again(result, tmp_path):
    result.save(tmp_path / "kept")
    manifest, tables = load_saved(str(tmp_path / "kept"))
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"manifest.json", *(f"{name}.parquet" for name in TABLES)}
    assert manifest["figures"] == json.loads(json.dumps(result.figures())) and manifest["topology_sha256"] == result.topology.digest
    assert loads(manifest["topology"]) == result.topology
    assert all(same(tables[name], columns_of(result, name)) for name in TABLES)


def test_without_pyarrow_the_tables_are_npz_without_a_pickle(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}
    _, tables = load_saved(tmp_path)
    assert all(same(tables[name], columns_of(result, name)) for name in TABLES)
    for name in TABLES:
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
            assert all(file[key].dtype != object for key in file.files)


def test_parquet_without_pyarrow_says_what_to_install(result, tmp_path, monkeypatch):
    result.save(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SimfabricError, match=r"pip install 'simfabric\[table\]'"):
        load_saved(tmp_path)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_was_changed_or_lost_is_refused(result, tmp_path, name):
    result.save(tmp_path)
    table = tmp_path / f"{name}.parquet"
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(bytes(content))
    with pytest.raises(ResultError, match=name):
        load_saved(tmp_path)
    table.unlink()
    with pytest.raises(ResultError, match=name):
        load_saved(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "not json", "[]", "{}", '{"tables": 7}', '{"tables": [[1, 2, 3]]}', "\x00\x01", '{"tables": null}', "[" * 100_000], ids=range(9)
)
def test_a_manifest_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ResultError, match=r"manifest\.json"):
        load_saved(tmp_path)


def test_a_folder_without_a_manifest_is_no_result(tmp_path):
    with pytest.raises(ResultError, match="cure"):
        load_saved(tmp_path / "nowhere")


def crafted(tmp_path, name, content):
    """A result folder whose manifest vouches for this file."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / "manifest.json").write_text(json.dumps({"tables": {name: hashlib.sha256(content).hexdigest()}}))


def test_a_manifest_cannot_name_a_file_outside_its_folder(tmp_path):
    secret = tmp_path / "secret.parquet"
    secret.write_bytes(b"x")
    (tmp_path / "kept").mkdir()
    crafted(tmp_path / "kept", "timeline.parquet", b"x")
    (tmp_path / "kept" / "manifest.json").write_text(json.dumps({"tables": {"../secret.parquet": hashlib.sha256(b"x").hexdigest()}}))
    with pytest.raises(ResultError):
        load_saved(tmp_path / "kept")


@pytest.mark.parametrize("name", ["timeline.parquet", "timeline.npz", "timeline.txt"])
def test_a_file_that_is_no_table_is_refused_though_its_hash_is_right(tmp_path, name):
    crafted(tmp_path, name, b"this is no table")
    with pytest.raises(ResultError, match="timeline"):
        load_saved(tmp_path)


def test_a_pickle_is_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", timeline=np.array([object()], dtype=object))
    crafted(tmp_path, "timeline.npz", (tmp_path / "evil.npz").read_bytes())
    with pytest.raises(ResultError, match="timeline"):
        load_saved(tmp_path)


def test_a_save_that_fails_half_way_leaves_no_manifest(result, tmp_path, monkeypatch):
    import pyarrow.parquet

    write, calls = pyarrow.parquet.write_table, []

    def full(table, path):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(table, path)

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(ResultError):
        load_saved(tmp_path)


def test_messages_are_named_as_their_columns(result):
    assert result.messages.shape[1] == len(MESSAGE_NAMES)
