"""Sensitivity: which keys move a metric, alone and together."""

import json

import numpy as np
import pytest

from simfabric.analysis.morris import effect, slopes, trajectories
from simfabric.errors import SimfabricError, TopologyError
from simfabric.planning.ranges import ranges, read_keys
from simfabric.planning.sensitivity import sensitivity
from tests.helpers import topology_of

SMALL = """
name: small <b>
run: {duration: 1500ms, warmup: 300ms}
clients: {count: 20, subscriptions: 3, delay: 5ms}
channels: {count: 8}
traffic: [{name: chat, rate: 2/s}]
storage: {work: 2ms}
"""
KEYS = {"network.hop": ("100us", "2ms"), "storage.work": ("1ms", "6ms"), "gateways.work.frame_in": ("1us", "2us")}


def test_a_tornado_orders_keys_by_their_swing_and_knows_which_effects_are_sure():
    found = sensitivity(topology_of(SMALL), KEYS, "delivery.mean", replications=3, processes=1)
    assert [found.keys[key].path for key in found.order] == ["network.hop", "storage.work", "gateways.work.frame_in"]
    high = found.difference(0, True).difference
    assert high.low > 0.005 and found.difference(0, False).difference.high < 0
    text = found.summary()
    assert "what moves delivery.mean" in text and "same luck in every run; the 6 differences hold together with 95%" in text and "100us: -" in text
    assert "small &lt;b&gt;" in found._repr_html_() and len(found.table()) == 6
    assert json.loads(json.dumps(found.figures(), allow_nan=False))["keys"][0]["key"] == "network.hop"


def test_a_metric_that_runs_do_not_tell_has_no_swing():
    found = sensitivity(topology_of(SMALL), {"network.hop": ("100us", "2ms")}, "recovery.p50", replications=2, processes=1)
    assert found.base is None and "not told" in found.summary() and found.figures()["keys"][0]["mean"] is None
    with pytest.raises(SimfabricError, match="not told by 4 of 4 runs"):
        sensitivity(topology_of(SMALL), {"network.hop": ("100us", "2ms")}, "recovery.p50", "morris", 2, processes=1)


def test_morris_finds_the_same_order_with_intervals():
    found = sensitivity(topology_of(SMALL), KEYS, "delivery.mean", "morris", 4, processes=1)
    assert found.order[0] == 0 and found.order[-1] == 2
    assert found.intervals[0].low > 0.003 and found.effects[0].size == pytest.approx(found.effects[0].mean)
    assert "4 trajectories (16 runs)" in found.summary() and "small &lt;b&gt;" in found._repr_html_()
    assert len(found.table()) == 3 and json.dumps(found.figures(), allow_nan=False)


def test_trajectories_change_one_key_at_a_time_by_two_thirds_on_a_grid_of_four_levels():
    walked = trajectories(5, 200, seed=1)
    steps = np.diff(walked, axis=1)
    assert walked.shape == (200, 6, 5) and ((steps != 0).sum(axis=2) == 1).all() and np.abs(steps).sum(axis=2) == pytest.approx(2 / 3)
    assert sorted({round(share, 6) for share in walked.ravel().tolist()}) == [0.0, 0.333333, 0.666667, 1.0]
    assert (np.abs(steps).sum(axis=1) > 0).all(), "each key moves once in each trajectory"
    assert 0.2 < (walked[:, 0] == 0.0).mean() < 0.3 and not np.array_equal(walked, trajectories(5, 200, seed=2))


def test_effects_of_a_known_function_are_its_slopes_its_bends_and_its_interactions():
    """f = 3a - 2b + 4cd: a and b are straight; c and d act together, each with mean effect 2 and a spread."""
    walked = trajectories(5, 400, seed=3)
    a, b, c, d, _ = np.moveaxis(walked, 2, 0)
    found = [effect(own) for own in slopes(walked, 3 * a - 2 * b + 4 * c * d)]
    assert [round(one.mean, 6) for one in found[:2]] == [3.0, -2.0] and found[1].size == pytest.approx(2.0) and found[0].spread == pytest.approx(0.0, abs=1e-9)
    assert found[2].mean == pytest.approx(2.0, rel=0.1) and found[3].mean == pytest.approx(2.0, rel=0.1) and found[2].spread > 1.0
    assert found[4].size == 0.0


def test_ranges_keep_the_ends_as_written_and_whole_numbers_whole():
    keys = read_keys(["gateways.work.delivery=5us..20us", "gateways.count = 1 .. 4", "traffic[0].rate=6/min..1/s"])
    varied = ranges(topology_of(""), keys)
    assert [one.at(0.5) for one in varied[:2]] == ["12.5us", "2"] and varied[2].says == "6/min .. 1/s"
    assert topology_of("").with_({"traffic[0].rate": varied[2].at(1 / 3)}).traffic[0].rate == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("key", "bounds", "law"),
    [
        ("storage.wrok", ("1ms", "2ms"), "no such key"),
        ("balancer.policy", ("a", "b"), "holds a number"),
        ("storage", ("1", "2"), "holds a number"),
        ("network.hop", ("2ms",), "a low and a high value"),
        ("network.hop", ("2ms", "1ms"), "below the high one"),
        ("network.hop", ("1ms", "x"), "duration"),
        ("run.window", ("exact", "5ms"), "not a word"),
        ("storage.work", ("1ms", "exponential(2ms)"), "not a word or a law"),
        ("gateways.count", (0, 2), "from 1"),
        ("gateways..count", (1, 2), "dotted path"),
    ],
)
def test_a_range_that_is_none_is_refused_with_its_law(key, bounds, law):
    with pytest.raises(TopologyError, match=law):
        ranges(topology_of(""), {key: bounds})


def test_no_keys_and_an_unknown_method_are_refused():
    with pytest.raises(TopologyError, match="at least one key"):
        sensitivity(topology_of(SMALL), {})
    with pytest.raises(SimfabricError, match="one of tornado, morris"):
        sensitivity(topology_of(SMALL), KEYS, method="sobol")
