"""The capacity search on queues whose capacity is known: the interval contains the truth.

Recorded study (pytest -m slow tests/planning/test_capacity_on_known_queues.py), 100 repetitions each: see RECORDED.
"""

import pytest

from tests.planning.known_queues import Batches, ManyServers, covered

RATE = {"least": 0.01, "most": 50.0, "falling": True, "whole": False}
COUNT = {"least": 1, "most": 200, "falling": False, "whole": True}
STUDIES = {
    "the rate that a single server bears": (lambda study: ManyServers(study, 8000, 20.0, 0.95), 0.4, 0.95, RATE),
    "the rate that four servers bear": (lambda study: ManyServers(study, 8000, 2.0, 0.95, servers=4), 2.0, 3.9, RATE),
    "the servers that a rate needs": (lambda study: ManyServers(study, 2000, 0.5, 0.95, rate=20.0), 15, 30, COUNT),
    "the publications that a gateway fans out": (lambda study: Batches(study, 4000, 5e-3, 1000, 4e-6), 50.0, 400.0, RATE | {"least": 1.0, "most": 5000.0}),
}
RECORDED = {
    "the rate that a single server bears": 94,
    "the rate that four servers bear": 95,
    "the servers that a rate needs": 100,
    "the publications that a gateway fans out": 96,
}


def test_erlang_c_and_pollaczek_khinchine_are_themselves_right():
    queue = ManyServers(0, 1, 1.0, 0.5, servers=1)
    assert queue.quantile(0.8, 1) == pytest.approx(2.350018, rel=1e-5), "ln(0.8 / 0.5) / 0.2"
    batches = Batches(0, 1, 0.0, 10, 0.1)
    batches.bound = 0.55 + 0.5 * 1.0 * 0.8 / (1 - 0.8)
    assert batches.truth() == pytest.approx(0.8)


@pytest.mark.parametrize("what", STUDIES)
def test_the_interval_contains_the_truth_in_a_short_study(what):
    make, first, second, setting = STUDIES[what]
    times = 6 if "servers" in what else 16
    hits, width = covered([make(study) for study in range(1000, 1000 + times)], first, second, **setting)
    assert hits >= times - 3, "of 95 % each, fewer come once in a hundred studies"
    assert width <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("what", STUDIES)
def test_the_interval_contains_the_truth_in_93_of_100_repetitions(what):
    make, first, second, setting = STUDIES[what]
    hits, _ = covered([make(study) for study in range(100)], first, second, **setting)
    assert hits >= 93
    assert hits == RECORDED[what]
