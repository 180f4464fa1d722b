"""Publishers: when, by whom, to which channel and how large; every source has its rate, and no draw depends on another."""

import csv
import math

import numpy as np
import pytest

from simfabric.components.publishers import DAY, STRETCH, Stream, Trace, rate_at, trace_rows
from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import CHANNEL, PUBLISHED_AT, PUBLISHER, RECEIVED_AT, SAVED_AT
from simfabric.topology import loads
from simfabric.topology.traffic import Daily, Source
from tests.helpers import run, topology_of

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
BASE = """
run: {duration: 10s, warmup: 0s}
clients: {count: 60, devices_per_user: 2, subscriptions: 3}
channels: {count: 12, popularity: zipf(1), given: [{name: hall, members: 50%}]}
traffic: [{name: chat, rate: 2/s}]
"""


def stream_of(topology, number=0):
    """The stream of one source, before anything was drawn."""
    fabric = Fabric(topology, False)
    source = topology.traffic[number]
    return (Trace if source.kind == "trace" else Stream)(fabric.world, fabric.columns, source)


def publications(upto_s, **changes):
    """The publications of the source `chat` in so many seconds."""
    return stream_of(topology_of(BASE, **changes)).upto(int(upto_s * SECOND))


def table(run_or_fabric):
    """The rows of all messages that were made."""
    columns = run_or_fabric.columns
    return columns.log.rows[: columns.messages - int(columns.log.base[0])]


# Arrivals


def test_poisson_arrivals_have_the_stated_rate_and_exponential_intervals():
    at = publications(300).at  # 30 users at 2/s.
    assert abs(len(at) - 18_000) < 4 * math.sqrt(18_000)
    intervals = np.diff(at)
    assert intervals.std() / intervals.mean() == pytest.approx(1.0, abs=0.03)
    assert (intervals > intervals.mean()).mean() == pytest.approx(math.exp(-1), abs=0.015)


def test_counts_of_different_stretches_are_independent_and_as_scattered_as_a_poisson_count():
    at = publications(300).at
    counts = np.bincount(at // STRETCH).astype(float)
    assert len(counts) == 1200
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=4 * math.sqrt(2 / len(counts)))
    for apart in (1, 2, 7):
        assert abs(np.corrcoef(counts[:-apart], counts[apart:])[0, 1]) < 4 / math.sqrt(len(counts))


def test_publications_are_the_same_however_the_time_is_cut():
    whole = publications(20)
    stream = stream_of(topology_of(BASE))
    parts = [stream.upto(end) for end in (1, 250_000_000, 250_000_000, 3 * SECOND, 17 * SECOND + 1, 20 * SECOND)]
    for name in ("at", "channel", "publisher", "size"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_regular_arrivals_are_evenly_spaced():
    at = publications(30, traffic__chat__arrivals="regular", traffic__chat__per="all", traffic__chat__rate="4/s").at
    assert at.tolist() == [n * SECOND // 4 for n in range(1, 120)]


def test_a_burst_multiplies_the_rate_inside_and_leaves_it_outside():
    at = publications(600, traffic__chat__bursts="{every: 10s, length: 1s, times: 8}", traffic__chat__per="all", traffic__chat__rate="5/s").at
    inside = at % (10 * SECOND) < SECOND
    for count, expected in ((inside.sum(), 60 * 1 * 8 * 5), ((~inside).sum(), 60 * 9 * 5)):
        assert abs(count - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("peak_to_mean", [1.0, 1.5, 2.0, 4.0, 5.0])
def test_over_a_day_the_rate_has_the_stated_mean_and_its_peak_where_it_should_be(peak_to_mean):
    source = Source(name="chat", rate="1/s", daily=Daily(peak_to_mean=str(peak_to_mean), peak_at="14h", starts_at="9h"))
    at = np.arange(0, DAY, 60 * SECOND)
    rate = rate_at(source, at)
    assert rate.mean() == pytest.approx(1.0, rel=1e-6)
    assert rate.max() == pytest.approx(peak_to_mean, rel=1e-9) and rate.min() >= 0
    assert rate[5 * 60] == rate.max(), "the run begins at 9h and the peak is at 14h"
    assert np.allclose(rate_at(source, at + 3 * DAY), rate)


def test_the_publications_of_a_day_follow_its_curve():
    text = "run: {duration: 2d}\nclients: {count: 4}\ntraffic: [{name: chat, per: all, rate: 900/h, daily: {peak_to_mean: 4, peak_at: 12h, starts_at: 0h}}]"
    at = stream_of(topology_of(text)).upto(DAY).at
    assert abs(len(at) - 24 * 900) < 4 * math.sqrt(24 * 900)
    by_hour = np.bincount(at // HOUR, minlength=24)
    assert by_hour[11] + by_hour[12] == pytest.approx(2 * 4 * 900, rel=0.06)
    assert by_hour[0] < 50 and by_hour[23] < 50


def test_bursts_and_the_course_of_a_day_multiply():
    bursts, daily = {"every": "1h", "length": "1min", "times": "3"}, {"peak_to_mean": "1.5", "starts_at": "0h", "peak_at": "0h"}
    source = Source(name="chat", rate="1/s", bursts=bursts, daily=daily)
    assert rate_at(source, np.array([0, 30 * 60 * SECOND]))[0] == pytest.approx(4.5)
    assert stream_of(topology_of(BASE, traffic__chat__bursts="{every: 1h, length: 1min, times: 3}", traffic__chat__daily="{peak_to_mean: 1.5}")).top == 4.5


def test_a_source_with_rate_zero_publishes_nothing():
    quiet = run(topology_of(BASE, traffic__chat__rate="0/s"))
    assert len(table(quiet.fabric)) == 0 and len(quiet.trail) == 0


# Who, where, how large


@pytest.mark.parametrize(
    ("kind", "per", "expected"),
    [
        ("users", None, 30), ("users", "user", 30), ("users", "channel", 13), ("users", "all", 1),
        ("channels", None, 13), ("channels", "user", 30), ("channels", "channel", 13), ("channels", "all", 1),
        ("producers", None, 1), ("producers", "user", 30), ("producers", "channel", 13), ("producers", "all", 1),
    ],
)  # fmt: skip
def test_a_rate_is_for_each_user_each_channel_or_all_together(kind, per, expected):
    source = f"[{{name: chat, kind: {kind}, rate: 2/s{f', per: {per}' if per else ''}}}]"
    assert stream_of(topology_of(BASE, traffic=source)).rate == 2.0 * expected


def test_by_default_a_user_publishes_to_ordinary_channels_that_it_reads():
    stream = stream_of(topology_of(BASE))
    made, crowd = stream.upto(20 * SECOND), stream.columns.crowd
    for seat, channel in zip(made.publisher.tolist(), made.channel.tolist()):
        assert channel in crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist() and channel >= 1
    assert len(set(made.publisher.tolist())) == 60


def test_by_popularity_the_first_channel_gets_twice_what_the_second_gets():
    count = np.bincount(publications(100, traffic__chat__to="popularity").channel, minlength=13)
    assert count[0] == 0, "given channels have sources of their own"
    expected = np.array([1 / k for k in range(1, 13)])
    expected *= count.sum() / expected.sum()
    assert (np.abs(count[1:] - expected) < 4 * np.sqrt(expected)).all()


def test_uniformly_every_channel_gets_as_much_as_any_other():
    count = np.bincount(publications(100, traffic__chat__to="uniform").channel, minlength=13)
    assert (np.abs(count - count.sum() / 13) < 4 * math.sqrt(count.sum() / 13)).all()


def test_a_named_channel_gets_everything_of_its_source():
    assert set(publications(5, traffic__chat__to="hall").channel.tolist()) == {0}


def test_users_without_subscriptions_publish_anywhere():
    assert len(set(publications(20, clients__subscriptions="0").channel.tolist())) == 13


def test_sizes_follow_their_law_and_two_sources_have_luck_of_their_own():
    text = BASE.replace("[{name: chat, rate: 2/s}]", "[{name: chat, rate: 2/s, size: exponential(1KB)}, {name: more, rate: 2/s, size: exponential(1KB)}]")
    topology = topology_of(text)
    one, other = (stream_of(topology, number).upto(100 * SECOND) for number in (0, 1))
    assert one.size.mean() == pytest.approx(1000, rel=0.05) and one.size.min() >= 0
    assert not np.array_equal(one.at[:50], other.at[:50]) and not np.array_equal(one.size[:50], other.size[:50])


def test_of_one_instant_the_earlier_source_goes_first():
    sources = "[{name: a, per: all, rate: 4/s, arrivals: regular}, {name: b, per: all, to: hall, rate: 4/s, arrivals: regular}]"
    rows = table(run(topology_of(BASE, traffic=sources)).fabric)
    assert len(rows) == 2 * 39 and (np.diff(rows[:, PUBLISHED_AT]) >= 0).all()
    assert (rows[0::2, PUBLISHED_AT] == rows[1::2, PUBLISHED_AT]).all()
    assert (rows[1::2, CHANNEL] == 0).all() and (rows[0::2, CHANNEL] > 0).all()


def test_another_source_changes_nothing_of_the_first():
    text = BASE.replace("2/s}]", "2/s}, {name: more, kind: channels, rate: 1/s}]")
    one, other = stream_of(topology_of(BASE)).upto(10 * SECOND), stream_of(topology_of(text)).upto(10 * SECOND)
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("at", "channel", "publisher", "size"))


def test_back_ends_write_straight_to_the_bus():
    text = BASE.replace("[{name: chat, rate: 2/s}]", "[{name: news, kind: producers, to: hall, rate: 20/s}]")
    outcome = run(topology_of(text))
    rows = table(outcome.fabric)
    assert len(rows) > 150 and (rows[:, PUBLISHER] == -1).all()
    assert (rows[:, [RECEIVED_AT, SAVED_AT]] == 0).all(), "neither a gateway nor the storage has seen it"
    assert outcome.facts["storage frames"][0] == 0 and outcome.facts["producers frames"][0] == len(rows)
    assert len(outcome.trail) > 25 * len(rows)


@pytest.mark.parametrize("client", [0, 30, 59], ids=["first", "in the middle", "last"])
def test_a_client_that_publishes_nothing_changes_no_publication_of_the_others(client, tmp_path):
    """M6. The trace names the publishers, as a rate per user would grow with the users; the others keep their names in the same order."""
    others = [c for c in range(61) if c != client]

    def made(clients, names):
        (tmp_path / "trace.csv").write_text("at_s,channel,client\n" + "".join(f"{0.1 * i:.1f},{i % 13},{names[i % 60]}\n" for i in range(90)))
        sources = "[{name: t, kind: trace, file: trace.csv}, {name: news, kind: producers, rate: 20/s}]"
        text = "version: 1\n" + BASE.replace("[{name: chat, rate: 2/s}]", sources)
        outcome = run(loads(text, folder=tmp_path, sets=[f"clients.count={clients}"]))
        rows, crowd = table(outcome.fabric), outcome.fabric.columns.crowd
        who = np.where(rows[:, PUBLISHER] < 0, -1, crowd.client[rows[:, PUBLISHER]])
        return rows[:, [PUBLISHED_AT, CHANNEL, 3]], who

    before, publishers_before = made(60, list(range(60)))
    after, publishers_after = made(61, others)
    assert np.array_equal(before, after) and len(before) > 250
    assert publishers_after.tolist() == [others[who] if who >= 0 else -1 for who in publishers_before.tolist()]


# Traces


def trace(tmp_path, text, clients=60, **changes):
    """The rows of a trace, in a fabric of 13 channels of which number 0 is called hall."""
    (tmp_path / "trace.csv").write_text(text, newline="")
    whole = "version: 1\n" + BASE.replace("[{name: chat, rate: 2/s}]", "[{name: t, kind: trace, file: trace.csv}]")
    sets = [f"clients.count={clients}", *(f"{path.replace('__', '.')}={value}" for path, value in changes.items())]
    topology = loads(whole, folder=tmp_path, sets=sets)
    return topology, topology.traffic[0]


def test_a_trace_says_when_where_who_and_how_large(tmp_path):
    topology, source = trace(tmp_path, "at_s,channel,client,size_bytes\n1.5,hall,7,100\n0.25,3,,\n0.25,12,0,1\n")
    assert trace_rows(topology, source).tolist() == [[250_000_000, 3, -1, -1], [250_000_000, 12, 0, 1], [1_500_000_000, 0, 7, 100]]
    stream = stream_of(topology)
    first, second = stream.upto(SECOND), stream.upto(10 * SECOND)
    assert first.at.tolist() == [250_000_000] * 2 and second.at.tolist() == [1_500_000_000]
    assert first.size.tolist() == [512, 1] and second.size.tolist() == [100]
    assert stream.columns.crowd.client[second.publisher].tolist() == [7] and stream.columns.crowd.client[first.publisher[1]] == 0


def test_a_trace_needs_only_times_and_channels_in_any_order_of_columns(tmp_path):
    topology, source = trace(tmp_path, "channel,at_s,remark\nhall,0.5,hello\n 4 , 1e-3 ,x\n")
    assert trace_rows(topology, source).tolist() == [[1_000_000, 4, -1, -1], [500_000_000, 0, -1, -1]]


def test_a_trace_runs_and_its_rows_are_the_messages(tmp_path):
    topology, _ = trace(tmp_path, "at_s,channel,client\n" + "".join(f"{0.05 * i:.2f},{i % 13},{i % 60}\n" for i in range(200)) + "99,1,1\n")
    outcome = run(topology)
    rows = table(outcome.fabric)
    assert rows[:, CHANNEL].tolist() == [i % 13 for i in range(200)], "the row after the end of the run is not published"
    assert outcome.fabric.columns.crowd.client[rows[:, PUBLISHER]].tolist() == [i % 60 for i in range(200)]


BAD = {
    "a time that is no number": "soon,3,,",
    "no time": ",3,,",
    "a time that is not finite": "inf,3,,",
    "not a number at all": "nan,3,,",
    "a time before the start": "-1,3,,",
    "a time beyond a week": "604801,3,,",
    "a channel that nobody gave": "1,canteen,,",
    "a channel beyond the last": "1,13,,",
    "a negative channel": "1,-1,,",
    "no channel": "1,,,",
    "a client beyond the last": "1,3,60,",
    "a negative client": "1,3,-7,",
    "a client that is no number": "1,3,bob,",
    "a size beyond 16 MiB": "1,3,,16777217",
    "a negative size": "1,3,,-2",
    "a size that is no whole number": "1,3,,1.5",
    "a short row": "1",
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_told_with_file_and_line(case, tmp_path):
    topology, source = trace(tmp_path, f"at_s,channel,client,size_bytes\n1,3,,\n{BAD[case]}\n")
    with pytest.raises(TopologyError) as told:
        trace_rows(topology, source)
    (problem,) = told.value.problems
    assert problem.place.startswith("trace.csv:3") and "traffic.t.file" in problem.path
    assert "a number below 13" in problem.cure and "a number below 60" in problem.cure


def test_every_bad_row_is_told_at_once_and_good_ones_are_not(tmp_path):
    rows = ["1,3", "x,3", "2,hall", "3,99", "4,3,200"]
    topology, source = trace(tmp_path, "at_s,channel,client\n" + "\n".join(rows) + "\n")
    with pytest.raises(TopologyError) as told:
        trace_rows(topology, source)
    assert [problem.place.split(":")[1] for problem in told.value.problems] == ["3", "5", "6"]


def test_empty_lines_do_not_shift_the_line_that_is_told(tmp_path):
    topology, source = trace(tmp_path, "at_s,channel\n\n1,3\n\n\nx,3\n")
    with pytest.raises(TopologyError) as told:
        trace_rows(topology, source)
    assert told.value.problems[0].place.startswith("trace.csv:6")


def test_a_field_that_never_ends_is_a_bad_row_and_no_crash(tmp_path):
    topology, source = trace(tmp_path, "at_s,channel\n1,3\n1," + "9" * (csv.field_size_limit() + 1) + "\n")
    with pytest.raises(TopologyError, match=r"trace\.csv:3"):
        trace_rows(topology, source)


def test_a_trace_without_the_right_columns_is_refused(tmp_path):
    topology, source = trace(tmp_path, "when,where\n1,3\n")
    with pytest.raises(TopologyError, match=r"trace\.csv:2"):
        trace_rows(topology, source)


def test_an_empty_trace_publishes_nothing(tmp_path):
    topology, source = trace(tmp_path, "at_s,channel\n")
    assert trace_rows(topology, source).shape == (0, 4)
    assert len(table(run(topology).fabric)) == 0


def test_a_source_of_one_tenant_has_only_that_tenants_users():
    traffic = "[{name: flood, per: all, rate: 200/s, tenant: 2}]"
    fabric = run(topology_of("run: {duration: 5s, warmup: 0s}\nclients: {count: 60, tenants: 4}", traffic=traffic)).fabric
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    clients = fabric.columns.crowd.client[rows[:, PUBLISHER]]
    assert len(rows) > 800 and set(fabric.columns.who.tenant[clients].tolist()) == {2}
    assert set(clients.tolist()) == set(np.flatnonzero(fabric.columns.who.tenant == 2).tolist())
