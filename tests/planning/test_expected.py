"""What to expect of a topology: sums over ranks, members of channels, publications of a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.planning import plan
from simfabric.topology import Topology, load, loads
from simfabric.topology.expected import aim, expected_work, membership, publications, ranks_of

FOLDER = Path(__file__).parents[2] / "topologies"


def topology_of(text: str, *sets: str) -> Topology:
    return loads(f"version: 1\n{text}", sets=sets)


@pytest.mark.parametrize("count", [1, 7, 256, 257, 300, 5_000, 123_457])
@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0, 3.0])
def test_a_sum_over_a_few_ranks_is_the_sum_over_all(count: int, exponent: float) -> None:
    ranks, weights = ranks_of(count)
    every = np.arange(1.0, count + 1.0)
    assert len(ranks) < 400
    assert weights.sum() == pytest.approx(count)
    assert weights @ ranks**-exponent == pytest.approx((every**-exponent).sum(), rel=1e-6)
    assert weights @ np.exp(-(ranks**-exponent)) == pytest.approx(np.exp(-(every**-exponent)).sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("channels", "exponent", "drawn", "tolerance"), [(20, 1.0, 5, 0.05), (300, 0.4, 8, 0.03), (40, 0.0, 1, 0.03), (6, 2.0, 6, 1e-9), (12, 3.0, 10, 0.05)]
)
def test_the_engine_draws_the_members_that_are_expected(channels: int, exponent: float, drawn: int, tolerance: float) -> None:
    topology = topology_of(f"clients: {{count: 4000, subscriptions: {drawn}}}\nchannels: {{count: {channels}, popularity: {exponent}}}\ntraffic: []")
    members = Fabric(topology, by_numba=False).columns.crowd.members
    expected = 4000 * membership(topology).share(np.arange(1.0, channels + 1.0))
    assert expected.sum() == pytest.approx(4000 * drawn, rel=1e-3)
    head = slice(0, max(3, channels // 10))  # The most popular: enough members for chance to be small.
    assert members[head] == pytest.approx(expected[head], rel=tolerance + 3 / np.sqrt(members[head].min()) * (tolerance > 1e-6))
    assert (members.astype(float) ** 2).sum() == pytest.approx((expected**2).sum(), rel=0.05)


def test_given_channels_have_their_members_exactly() -> None:
    topology = topology_of("clients: {count: 50}\nchannels: {given: [{name: hall, members: 100%}, {name: few, members: 7}]}\ntraffic: []")
    assert membership(topology).given == (1.0, 0.14)
    assert membership(topology).subscriptions == 50 * 5 + 50 + 7


@pytest.mark.parametrize(
    ("source", "members"),
    [
        ("{name: a, rate: 1/s, to: hall}", 30.0),
        ("{name: a, rate: 1/s, to: uniform}", (30 + 100 * 2) / 11),
        ("{name: a, rate: 1/s, to: popularity}", 20.0),
        ("{name: a, rate: 1/s}", 1 + 99 * 0.2),  # The publisher reads it for sure.
        ("{name: a, rate: 1/s, kind: producers}", 20.0),
    ],
)
def test_a_source_reaches_the_members_of_the_channels_that_it_aims_at(source: str, members: float) -> None:
    topology = topology_of(
        "clients: {count: 100, subscriptions: 2}\nchannels: {count: 10, popularity: uniform, given: [{name: hall, members: 30%}]}\n" + f"traffic: [{source}]"
    )
    where = aim(topology, topology.traffic[0], membership(topology))
    assert where.weight.sum() == pytest.approx(1.0)
    assert where.members(100) == pytest.approx(members, rel=1e-6)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{name: a, rate: 6/min}", 600.0),
        ("{name: a, rate: 6/min, per: all}", 6.0),
        ("{name: a, rate: 1/s, per: all, arrivals: regular}", 59.0),  # At 1 s, 2 s, … 59 s.
        ("{name: a, rate: 0.5/min, per: all, arrivals: regular}", 0.0),  # The first would come after two minutes.
        ("{name: a, kind: channels, rate: 1/min}", 20.0),
        ("{name: a, rate: 1/s, per: all, bursts: {every: 25s, length: 5s, times: 3}}", 60 + 2 * 15.0),
        ("{name: a, rate: 0/s}", 0.0),
    ],
)
def test_a_source_makes_the_publications_that_its_rate_says(source: str, expected: float) -> None:
    topology = topology_of(f"traffic: [{source}]")
    assert publications(topology, topology.traffic[0]) == pytest.approx(expected)


def test_a_trace_makes_a_publication_of_each_row(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("at_s,channel\n0.5,3\n1.5,hall\n70,3\n", "utf-8")
    text = "version: 1\nchannels: {given: [{name: hall, members: 40%}]}\ntraffic: [{name: day, kind: trace, file: day.csv}]\n"
    topology = loads(text, folder=tmp_path)
    assert publications(topology, topology.traffic[0]) == 3.0
    foretold = plan(topology)  # Which knows where the rows go, and that the last one comes after the end.
    assert foretold.messages == pytest.approx(2.0)
    share = membership(topology).share(np.array([3.0]))[0]  # Channel 3 is the third ordinary one: the given one comes first.
    assert foretold.fan_out == pytest.approx((40 + 100 * share) / 2)


@pytest.mark.parametrize("name", ["stage_a", "stage_b", "stage_c"])
def test_the_expected_work_is_that_of_the_plan(name: str) -> None:
    topology = load(FOLDER / f"{name}.yaml")
    foretold = plan(topology)
    assert expected_work(topology) == pytest.approx(foretold.work.deliveries + foretold.subscriptions, rel=1e-9)
