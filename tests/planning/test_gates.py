"""Gates: a sound topology passes, and each criterion fails or stays unknown where it should."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from simfabric.cli import app
from simfabric.planning.gates import (
    Evidence,
    clients_recover,
    duplicates_are_hidden,
    everything_arrives,
    gate,
    laws_hold,
    nothing_is_lost,
    nothing_saved_is_lost,
    played,
    promises_are_kept,
    scenarios,
    there_is_room,
)
from simfabric.topology import Topology, loads

SMALL = """
version: 1
run: {duration: 20s, warmup: 1s, compiled: never}
clients: {count: 40, subscriptions: 3}
channels: {count: 10}
gateways: {count: 2, drain: {retry_after: 1s, spread: 5s}}
bus: {commit_every: 1s, session_timeout: 2s}
traffic: [{name: chat, per: all, rate: 20/s}]
slo: {recovery_p99: 25s}
"""
GOOD = Evidence((), "valid", "", {}, 7, 20, 1.0, (("delivery p99", "80ms", True), ("recovery p99", "too few samples", None)), "storage", 0.5)


@pytest.fixture(scope="module")
def small() -> Topology:
    return loads(SMALL)


def test_a_sound_topology_passes_every_criterion_and_the_table_says_so(small: Topology) -> None:
    judged = gate(small, processes=1)
    assert judged.passed, judged
    assert {criterion.suite for criterion in judged.criteria} == {"functional", "resilience", "scale", "security"}
    assert "PASSED: 34 passed" in judged.summary()
    assert "<table>" in judged._repr_html_()


def test_traffic_ends_and_a_recovery_has_its_time_before_the_run_does(small: Topology) -> None:
    calm = played(small, next(iter(scenarios(small))))
    assert calm.run.duration == 45_000_000_000
    assert calm.traffic[0].until == 20_000_000_000


def test_a_saturated_store_does_not_pass(small: Topology) -> None:
    judged = gate(small.with_({"storage.work": "49ms", "storage.shards": 1}), ["scale"], processes=1)
    failed = {criterion.asks for criterion in judged.criteria if criterion.answer == "failed"}
    assert failed == {"no row works more than 80% of the time"}


@pytest.mark.parametrize(
    ("criterion", "bad", "answer"),
    [
        (laws_hold, {"broken": ("C1",)}, "failed"),
        (everything_arrives, {"complete": "invalid"}, "failed"),
        (everything_arrives, {"complete": "unknown"}, "unknown"),
        (nothing_is_lost, {"lost": {"gateway_died_before_save": 1}}, "failed"),
        (nothing_is_lost, {"lost": {"limited": 1}}, "passed"),
        (nothing_saved_is_lost, {"lost": {"gateway_died_after_save": 1}}, "failed"),
        (nothing_saved_is_lost, {"lost": {"gateway_died_before_save": 1}}, "passed"),
        (duplicates_are_hidden, {"duplicates": 0}, "unknown"),
        (duplicates_are_hidden, {"broken": ("C1d deliveries",)}, "failed"),
        (clients_recover, {"in_time": 0.5}, "failed"),
        (clients_recover, {"breaks": 0}, "unknown"),
        (clients_recover, {"in_time": None}, "failed"),
        (promises_are_kept, {"objectives": (("delivery p99", "3s", False),)}, "failed"),
        (promises_are_kept, {"objectives": (("delivery p99", "too few samples", None),)}, "unknown"),
        (there_is_room, {"load": 0.9}, "failed"),
    ],
)
def test_a_criterion_passes_on_good_evidence_and_not_on_bad(criterion, bad, answer, small: Topology) -> None:
    assert criterion(GOOD, small)[2] == "passed"
    assert criterion(replace(GOOD, **bad), small)[2] == answer


def test_the_command_ends_with_three_when_a_criterion_is_not_met(tmp_path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    told = CliRunner().invoke(app, ["gate", str(file), "--suite", "scale", "--processes", "1", "--set", "storage.work=49ms", "--set", "storage.shards=1"])
    assert told.exit_code == 3
    assert "NOT PASSED" in told.output


def test_a_suite_that_there_is_not_is_refused(tmp_path) -> None:
    from simfabric.errors import SimfabricError
    from simfabric.planning.gates import suites_of

    with pytest.raises(SimfabricError, match="one of functional, resilience, scale, security"):
        suites_of(["beauty"])
