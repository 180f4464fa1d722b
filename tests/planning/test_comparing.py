"""Comparing designs: pairs under the same luck, winners only where the data tell, and nothing invalid after an interrupt."""

import json
import math

import numpy as np
import pytest

from simfabric.errors import SimfabricError, TopologyError
from simfabric.planning import grid as grids
from simfabric.planning.comparing import compare
from simfabric.planning.comparison import Comparison
from simfabric.planning.designs import DesignError, design, factorial, read_vary
from simfabric.planning.fitting import TooLargeError
from simfabric.planning.grid import Grid
from simfabric.planning.many import Interrupted
from simfabric.planning.metrics import UnknownMetricError
from simfabric.running import run
from tests.helpers import topology_of

BUSY = """
name: busy <store>
run: {duration: 4s, warmup: 500ms}
clients: {count: 40, subscriptions: 3}
channels: {count: 10}
traffic: [{name: chat, rate: 1/s, size: exponential(500B)}]
gateways: {count: 2}
storage: {shards: 2, work: exponential(20ms)}
"""


@pytest.fixture(scope="module")
def compared():
    return compare(topology_of(BUSY), {"storage.work": ["exponential(20ms)", "exponential(23ms)"]}, 8, metrics=["delivery.mean", "dropped"], processes=1)


DESIGNS = tuple(design(topology_of(""), {"name": f"design {i}"}) for i in range(3))


def verdict_of(values, metric="delivery.mean", level=0.95):
    """The verdict on values float[designs, replications] of one metric."""
    return comparison_of(values, DESIGNS[: len(values)], metric, level).verdict(metric)


def comparison_of(values, designs, metric, level):
    values = np.asarray(values, np.float64)
    digests = (("",) * values.shape[1],) * len(values)
    made = Grid((metric,), tuple(range(values.shape[1])), values[:, :, None], digests, (), False, 0.0)
    return Comparison(designs[0].topology, {"name": []}, designs, made, level, values.shape[1])


def test_designs_are_every_combination_with_the_last_key_fastest():
    made = factorial(topology_of(""), {"fanout.pattern": ["broadcast", "targeted"], "gateways.count": [1, 2]})
    assert [one.label for one in made] == ["broadcast / 1", "broadcast / 2", "targeted / 1", "targeted / 2"]
    assert [one.topology.gateways.count for one in made] == [1, 2, 1, 2] and made[2].topology.fanout.pattern == "targeted"
    assert made[3].says == "fanout.pattern=targeted, gateways.count=2" and made[3].replication(7) == made[3].topology.with_({"run.replication": 7})


def test_vary_is_read_with_commas_within_brackets_and_yaml_values():
    vary = read_vary(["gateways.work.delivery=lognormal(median 1ms, p99 5ms),2ms", "faults=[], [{at: 1s, target: {gateway: 0}}]"])
    assert vary["gateways.work.delivery"] == ["lognormal(median 1ms, p99 5ms)", "2ms"]
    made = factorial(topology_of(""), vary)
    assert [len(one.topology.faults) for one in made] == [0, 1, 0, 1]


@pytest.mark.parametrize("text", ["fanout.pattern", "=a,b", "fanout.pattern=", "fanout.pattern= , "])
def test_what_is_no_key_with_values_is_refused(text):
    with pytest.raises(DesignError, match="cure: write --vary"):
        read_vary([text])


def test_a_key_twice_too_many_designs_and_no_list_are_refused():
    with pytest.raises(DesignError, match="must be given once"):
        read_vary(["a.b=1", "a.b=2"])
    with pytest.raises(DesignError, match="at most 1000"):
        factorial(topology_of(""), {"run.seed": list(range(40)), "run.replication": list(range(40))})
    with pytest.raises(DesignError, match="must be a list"):
        factorial(topology_of(""), {"fanout.pattern": "broadcast"})


def test_all_that_is_wrong_in_designs_is_told_at_once_and_once():
    with pytest.raises(TopologyError) as told:
        factorial(topology_of(""), {"fanout.pattern": ["broadcast", "targetd"], "gateways.count": [0, 2], "gateways.cuont": [1]})
    assert sorted({problem.value for problem in told.value.problems}) == ["cuont"] or len(told.value.problems) >= 2
    with pytest.raises(DesignError, match="at least two designs"):
        compare(topology_of(""), {"fanout.pattern": ["targeted"]})
    with pytest.raises(UnknownMetricError):
        compare(topology_of(""), {"fanout.pattern": ["targeted", "direct"]}, metrics=["delay"])
    with pytest.raises(SimfabricError, match="at least 2, for an interval"):
        compare(topology_of(""), {"fanout.pattern": ["targeted", "direct"]}, 1)
    with pytest.raises(SimfabricError, match="between 0 and 1"):
        compare(topology_of(""), {"fanout.pattern": ["targeted", "direct"]}, level=95)
    with pytest.raises(SimfabricError, match="100001 x 2 runs: must be at most 100000"):
        compare(topology_of(""), {"fanout.pattern": ["targeted", "direct"]}, 100_001)
    with pytest.raises(SimfabricError, match="must be at most 1000000"):
        compare(topology_of("run: {replication: 1_000_000}"), {"fanout.pattern": ["targeted", "direct"]})


def test_designs_that_do_not_fit_are_refused_before_any_run(monkeypatch):
    from simfabric.planning import fitting

    monkeypatch.setattr(fitting, "free_memory", lambda: 1_000_000)
    with pytest.raises(TooLargeError, match="needs about"):
        compare(topology_of(BUSY), {"storage.shards": [1, 2]}, 2)


def test_common_random_numbers_make_differences_surer(compared):
    """On the fabric: the same luck leaves a difference at least five times less variance than independent runs would."""
    pair = compared.paired("delivery.mean", 1)
    assert pair.correlation > 0.8 and pair.reduction > 5
    assert pair.decided and pair.difference.low > 0
    luck = compare(topology_of(BUSY), {"run.seed": [1, 2]}, 8, metrics=["delivery.mean"], processes=1).paired("delivery.mean", 1)
    assert abs(luck.correlation) < 0.8 and luck.reduction < 3


def test_the_table_names_the_winner_or_says_that_the_data_do_not_tell(compared):
    text = compared.summary()
    assert "delivery.mean  lower is better; best: exponential(20ms)" in text
    assert "dropped        lower is better; all designs are the same in every replication" in text
    assert "same luck in every design (common random numbers)" in text and "busy <store> by storage.work: 2 designs x 8 replications of 4s" in text
    assert repr(compared) == text and compared.lawful and not compared.partial


def test_figures_are_json_and_html_is_escaped_and_the_table_has_a_row_for_each_run(compared):
    figures = json.loads(json.dumps(compared.figures(), allow_nan=False))
    assert figures["metrics"]["delivery.mean"]["winner"] == "exponential(20ms)" and len(figures["designs"][1]["digests"]) == 8
    assert "busy &lt;store&gt;" in compared._repr_html_() and "<store>" not in compared._repr_html_()
    table = compared.table()
    assert len(table) == 16 and table.columns.tolist() == ["storage.work", "replication", "digest", "delivery.mean", "dropped"]


def test_an_interrupt_leaves_whole_replications(monkeypatch):
    vary = {"storage.shards": [1, 2]}

    def interrupted(topologies, measure, **_):
        raise Interrupted({i: measure(run(topology)) for i, topology in enumerate(topologies[:5])}, len(topologies))

    whole = compare(topology_of(BUSY, run__duration="2s"), vary, 2, processes=1)
    monkeypatch.setattr(grids, "run_many", interrupted)
    part = compare(topology_of(BUSY, run__duration="2s"), vary, 4, processes=1)
    assert part.partial and part.grid.replications == (0, 1) and part.grid.digests == whole.grid.digests
    assert "PARTIAL: interrupted; the 2 replications told are complete" in part.summary()
    monkeypatch.setattr(grids, "run_many", lambda topologies, measured, **_: (_ for _ in ()).throw(Interrupted({0: None}, 8)))
    with pytest.raises(KeyboardInterrupt):
        compare(topology_of(BUSY, run__duration="2s"), vary, 4, processes=1)


def test_of_equal_designs_a_winner_is_named_as_rarely_as_the_level_says():
    """Three designs that are equal in law, with a common part of luck: at most 5 % of 400 comparisons may name one (Bonferroni: less)."""
    rng = np.random.default_rng(1)
    named = [verdict_of(rng.normal(10.0, 1.0, (1, 10)) + rng.normal(0.0, 1.0, (3, 10))).winner is not None for _ in range(400)]
    assert np.mean(named) <= 0.05


def test_of_designs_that_differ_the_right_one_is_named():
    rng = np.random.default_rng(2)
    away = np.array([[0.0], [2.0], [2.5]])
    named = [verdict_of(rng.normal(10.0, 1.0, (1, 10)) + away + rng.normal(0.0, 0.5, (3, 10))).winner for _ in range(100)]
    assert named.count(0) >= 95 and set(named) <= {0, None}
    better = verdict_of([[0.9, 0.91, 0.9], [0.99, 0.98, 0.99]], "connect.success")
    assert better.winner == 1


def test_verdicts_say_why_there_is_no_winner():
    assert "the same in every replication" in verdict_of([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]).says
    assert verdict_of([[1.0, 2.0], [1.0, 2.0], [9.0, 10.0]]).says == "design 0, design 1 are the same in every replication"
    assert "differ by less than a bin of the histogram" in verdict_of([[1.0, 2.0, 3.0], [1.001, 2.001, 3.001]], "delivery.p99").says
    assert "about 12 replications might" in verdict_of([[1.0, 2.0, 3.0, 2.0], [1.4, 2.6, 3.3, 1.9]], "delivery.mean").says
    assert "not told by 1 of 2 runs" in verdict_of([[1.0, math.nan], [1.0, 2.0]]).says
    assert "endless in 2 of 2 runs" in verdict_of([[1.0, 2.0], [math.inf, math.inf]]).says


@pytest.mark.slow
def test_of_fabrics_that_are_equal_in_law_a_winner_is_rarely_named():
    """A longer study on the fabric itself (a minute): three seeds are three equal designs; 40 comparisons of 10 replications each."""
    named = 0
    for number in range(40):
        seeds = [1 + 3 * number + i for i in range(3)]
        found = compare(topology_of(BUSY, run__duration="2s"), {"run.seed": seeds}, metrics=["delivery.mean"], processes=1)
        named += found.verdict("delivery.mean").winner is not None
    assert named <= 5, "2 of 40 are expected at most; more than 5 come by chance in 14 of 1000 studies"
