"""Replications: intervals of their metrics, a precision to stop at, and the warm-up found by MSER-5."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from simfabric.errors import SimfabricError
from simfabric.planning import replicating
from simfabric.planning.grid import Grid
from simfabric.planning.replicating import first_steady, found_warmup, replicate
from simfabric.planning.study import Study, precise
from simfabric.running.result import MESSAGE_NAMES
from tests.analysis.test_intervals import lindley
from tests.helpers import topology_of

SMALL = """
name: small
run: {duration: 2s, warmup: 500ms}
clients: {count: 30, subscriptions: 3}
channels: {count: 8}
traffic: [{name: chat, rate: 2/s}]
storage: {work: exponential(3ms)}
"""


@pytest.fixture(scope="module")
def study():
    return replicate(topology_of(SMALL), ["delivery.mean", "busiest.storage", "recovery.p50", "dropped"], 6, processes=1)


def test_each_metric_has_its_interval_and_each_replication_its_digest(study):
    assert len(set(study.digests)) == 6 and study.replications == tuple(range(6)) and study.lawful and not study.partial
    interval = study.interval("delivery.mean")
    assert interval.low < interval.estimate < interval.high and interval.estimate == pytest.approx(np.mean(study.values("delivery.mean")))
    assert study.interval("recovery.p50") is None and study.reached is None


def test_the_table_tells_means_intervals_and_what_is_not_told(study):
    text = study.summary()
    assert "small: 6 replications of 2s" in text and "not told by 6 of 6 runs" in text and "+-0 %" in text
    assert "intervals hold the mean of a metric with 95% each; warm-up 500ms, given" in text
    assert repr(study) == text and "<table>" in study._repr_html_()
    assert study.table().columns.tolist() == ["replication", "digest", *study.metrics]
    figures = json.loads(json.dumps(study.figures(), allow_nan=False))
    assert figures["metrics"]["recovery.p50"]["mean"] is None and figures["metrics"]["dropped"]["mean"] == 0.0


def test_replications_go_on_from_the_number_that_the_topology_names(study):
    later = replicate(topology_of(SMALL, run__replication=4), ["delivery.mean"], 2, processes=1)
    assert later.replications == (4, 5) and later.digests == study.digests[4:]


def test_replications_are_added_until_the_precision_is_reached_and_the_same_ones_on_any_number_of_processes(study):
    found = replicate(topology_of(SMALL), ["delivery.mean"], 3, precision=0.1, processes=1)
    assert found.reached and len(found.replications) > 3 and found.interval("delivery.mean").relative <= 0.1 / 1.1
    assert found.digests[:6] == study.digests[: len(found.digests)] and "asked for +-0.1 relative: reached" in found.summary()
    assert replicate(topology_of(SMALL), ["delivery.mean"], 3, precision=0.1, processes=2).digests == found.digests


def test_a_precision_out_of_reach_ends_at_the_most_and_says_so():
    found = replicate(topology_of(SMALL), ["delivery.mean"], 3, precision=0.0001, most=5, processes=1)
    assert len(found.replications) == 5 and found.reached is False and "not reached after 5 replications" in found.summary()
    silent = replicate(topology_of(SMALL), ["recovery.p50"], 2, precision=0.1, processes=1)
    assert silent.reached is False and len(silent.replications) == 2


def test_an_interrupt_while_adding_keeps_the_replications_before(monkeypatch):
    rounds = []
    run_grid = replicating.run_grid

    def stopping(*arguments, **options):
        rounds.append(1)
        if len(rounds) == 2:
            raise KeyboardInterrupt
        return run_grid(*arguments, **options)

    monkeypatch.setattr(replicating, "run_grid", stopping)
    found = replicate(topology_of(SMALL), ["delivery.mean"], 3, precision=0.001, processes=1)
    assert found.partial and len(found.replications) == 3 and "PARTIAL" in found.summary()


def test_what_no_interval_can_be_made_of_is_refused():
    for wrong, law in (({"metrics": []}, "at least one"), ({"precision": 0.0}, "above 0"), ({"replications": 1}, "at least 2"), ({"level": 1.0}, "between 0")):
        with pytest.raises(SimfabricError, match=law):
            replicate(topology_of(SMALL), **wrong)


def result_with(delays):
    """What `first_steady` reads of a result: a message every 10 ms that takes so long to the gateways [ns], every tenth not there yet."""
    messages = np.full((len(delays), len(MESSAGE_NAMES)), -1, np.int64)
    messages[:, MESSAGE_NAMES.index("published_at")] = np.arange(len(delays)) * 10_000_000
    there = np.arange(len(delays)) % 10 != 9
    messages[there, MESSAGE_NAMES.index("routed_at")] = (messages[:, MESSAGE_NAMES.index("published_at")] + delays)[there]
    return SimpleNamespace(messages=messages)


def test_the_warm_up_is_where_delays_settle():
    """A backlog of 2 s that is worked off within 4 s of 20."""
    backlog = np.maximum(0.0, 2e9 - 5e6 * np.arange(2000))
    noise = np.random.default_rng(1).exponential(5e6, 2000) + 1e6
    assert 3_500_000_000 < first_steady(result_with((backlog + noise).astype(np.int64))) < 4_500_000_000
    assert first_steady(result_with(noise.astype(np.int64))) < 2_000_000_000
    assert first_steady(result_with(np.linspace(2e9, 1e6, 2000).astype(np.int64))) is None


def test_a_study_can_find_its_warm_up_by_itself():
    found = replicate(topology_of(SMALL, run__duration="4s", run__warmup="3s"), ["delivery.mean"], 2, warmup="found", processes=1)
    assert found.topology.run.warmup < 2_000_000_000 and "found by MSER-5" in found.summary()


def test_a_run_that_never_settles_is_told_as_too_short():
    with pytest.raises(SimfabricError, match=r"(?s)too short for MSER-5.*lengthen run\.duration"):
        found_warmup(topology_of(SMALL, storage__work="60ms", storage__shards=1), processes=1)


def test_stopping_at_a_precision_makes_about_as_many_replications_as_known_and_still_covers():
    """Oracle Z5: waits of M/M/1 at 80 %, 5 % precision: about 100 replications, coverage .94, here 40 studies with mean waits in place of runs."""
    rng = np.random.default_rng(5)
    counts, covered = [], []
    for _ in range(40):
        service, between = rng.exponential(1.0, (400, 1800)), rng.exponential(1.25, (400, 1800))
        means = lindley(service, between)[:, 200:].mean(axis=1)
        count, study = 10, None
        while study is None or (not study.reached and count < 400):
            count += replicating._added(study, 0.05, 400) if study else 0
            made = Grid(("delivery.mean",), tuple(range(count)), means[None, :count, None], (("",) * count,), (), False, 0.0)
            study = Study(topology_of(""), made, 0.95, 0.05, False)
        counts.append(count)
        covered.append(not study.interval("delivery.mean").excludes(4.0))
    assert 70 <= np.mean(counts) <= 170 and np.mean(covered) >= 0.85


def test_precision_is_relative_to_the_truth_and_asks_it_of_every_metric_that_is_told(study):
    interval = study.interval("delivery.mean")
    edge = interval.relative / (1.0 - interval.relative)
    assert precise([interval, None], edge * 1.001) and not precise([interval, None], edge * 0.999)
    assert not precise([None], 0.5) and not precise([], 0.5)
