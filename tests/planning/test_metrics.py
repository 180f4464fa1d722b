"""Metrics: each name is one number of a result, with a unit and a better side."""

import pickle

import pytest

from simfabric.planning.metrics import METRICS, REGISTERED, USUAL, UnknownMetricError, measure, metric, written, written_change
from simfabric.running import run
from tests.helpers import topology_of

STORM = """
run: {duration: 4s, warmup: 500ms}
clients: {count: 60, subscriptions: 3, reconnect: {first: 100ms}}
channels: {count: 8}
traffic: [{name: chat, rate: 5/s}]
gateways: {count: 3}
faults: [{at: 1s, down: 500ms, target: {gateway: 0}}]
"""


@pytest.fixture(scope="module")
def result():
    return run(topology_of(STORM))


def test_every_metric_has_a_name_of_its_own_and_gives_one_number_or_says_that_the_run_does_not_tell(result):
    assert len(METRICS) == len(REGISTERED) > 80 and set(USUAL) <= set(METRICS)
    for name, value in zip(METRICS, measure(result, list(METRICS))):
        assert value is None or isinstance(value, float), name
        assert METRICS[name].says and written(value, METRICS[name].unit)


def test_the_numbers_are_those_of_the_figures(result):
    figures = result.figures()
    pairs = {
        "delivery.p99": figures["delay"]["p99_s"], "delivery.mean": figures["delay"]["mean_s"], "lag.max": figures["lag_max"],
        "deliveries": figures["delivered"], "busiest.storage": figures["busiest"]["storage"], "utilisation.gateways": figures["utilisation"]["gateways"],
        "busiest": figures["bottleneck"]["utilisation"], "dropped": sum(figures["dropped"].values()), "breaks": figures["breaks"],
        "storage.p50": figures["stages"]["storage"]["p50_s"], "imbalance.end": figures["placement"]["end"]["highest"],
        "deliveries.rate": figures["delivered_per_s"], "duplicates": figures["tried_in_vain"]["duplicate"], "replayed": figures["replays"]["delivered"],
    }  # fmt: skip
    assert dict(zip(pairs, measure(result, list(pairs)))) == pairs
    assert pairs["breaks"] > 0 and pairs["replayed"] > 0


def test_a_component_that_is_not_there_and_samples_that_are_too_few_are_not_told(result):
    assert measure(result, ["busiest.presence", "recovery.p999", "moved"]) == (None, None, pytest.approx(metric("moved").of(result)))


def test_metrics_travel_to_workers():
    for each in REGISTERED:
        assert pickle.loads(pickle.dumps(each)).name == each.name


def test_an_unknown_metric_is_told_with_the_nearest_one():
    with pytest.raises(UnknownMetricError, match=r"'delivery.p9': there is no metric.*\n.*did you mean 'delivery.p9"):
        metric("delivery.p9")
    with pytest.raises(UnknownMetricError, match=r"write one such as delivery\.p99"):
        metric("\x1b[2J")


def test_values_are_written_for_people():
    told = [written(value, unit) for value, unit in (
        (0.0123456, "s"), (-0.0000123, "s"), (0.0, "s"), (float("inf"), "s"), (None, "s"), (0.0456, "share"), (1.234, "ratio"), (-12345.0, "messages"),
        (1234.0, "1/s"), (float("inf"), "ratio"), (2e-9, "s"), (70.0, "s"),
    )]  # fmt: skip
    assert told == ["12.3 ms", "-12.3 us", "0 s", "never", "-", "4.56 %", "1.23", "-12.3k", "1.23k/s", "unbounded", "2 ns", "70 s"]
    assert written_change(-0.233, "share") == "-23.3 points" and written_change(0.001, "s") == "1 ms"
