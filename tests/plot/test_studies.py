"""What sensitivity studies and comparisons found is drawn with the numbers that their summaries print."""

import pytest

import simfabric as sf
from simfabric.plot.style import PictureError
from tests.helpers import topology_of
from tests.plot.test_pictures import _ticks, texts

SMALL = """
name: small $x^$
run: {duration: 1500ms, warmup: 300ms}
clients: {count: 20, subscriptions: 3, delay: 5ms}
channels: {count: 8}
traffic: [{name: chat, rate: 2/s}]
storage: {work: 2ms}
"""


def test_a_tornado_has_a_bar_for_each_key_widest_first():
    keys = {"gateways.work.frame_in": ("1us", "2us"), "network.hop": ("100us", "2ms")}
    found = sf.sensitivity(topology_of(SMALL), keys, "delivery.mean", replications=3, processes=1)
    drawn = sf.plot.study(found, theme="dark")
    assert drawn.told.startswith("network.hop 100us to 2ms moves delivery.mean most: ")
    assert next(tick for tick in _ticks(drawn) if " to " in tick) == "network.hop 100us to 2ms"
    assert "What moves delivery.mean: small $x^$" in texts(drawn)


def test_a_comparison_draws_each_design_against_the_first():
    found = sf.compare(topology_of(SMALL), {"storage.work": ["2ms", "6ms"]}, replications=3, metrics=("delivery.mean", "recovery.p50"), processes=1)
    drawn = sf.plot.study(found)
    assert "6ms" in _ticks(drawn) and "delivery.mean by storage.work: small $x^$" in texts(drawn) and drawn.told.startswith("delivery.mean: best: ")
    change = found.paired("delivery.mean", 1).difference
    assert 0.003 < change.low < change.high
    for metric, told in (("recovery.p50", "no run tells"), ("delivery.p9", "was not compared")):
        with pytest.raises(PictureError, match=told):
            sf.plot.study(found, metric)


def test_other_studies_are_told_what_can_be_drawn():
    with pytest.raises(PictureError, match="cure: give what"):
        sf.plot.study("a study")
