"""The bus, the storage before it and the routers behind it: shards, batches, the high watermark, fetches, groups, lag."""

import numpy as np
import pytest

from simfabric.chance import draw, word
from simfabric.fabric import Fabric
from simfabric.kernels.bus import END_OFFSET
from simfabric.kernels.frames import DELIVER, PUBLISH
from simfabric.kernels.state import APPENDED_AT, CHANNEL, PUBLISHED_AT, ROUTED_AT, SAVED_AT, SEQUENCE, STAGE_ACK, STAGE_BUS, VISIBLE_AT
from simfabric.policies.partitioning import channel_partitions
from simfabric.recorder import TIMELINE
from simfabric.running import run
from simfabric.topology import loads
from tests.components.watching import Heard, simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BASE = """
run: {duration: 6s, warmup: 0s, compiled: never}
clients: {count: 24, subscriptions: 2}
channels: {count: 12, popularity: uniform}
traffic: [{name: news, kind: producers, to: uniform, rate: 50/s}]
gateways: {count: 2}
bus: {brokers: 3, partitions: 6}
"""


def lawful(result):
    assert [v for v in result.laws if v.verdict == "invalid"] == []
    return result


def ran(**changes):
    topology = topology_of(BASE, **changes)
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    return fabric


def logged(fabric):
    """The rows of all messages that the log took in."""
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    return rows[rows[:, SEQUENCE] > 0]


# Storage


def test_each_shard_of_the_storage_serves_one_message_after_the_other():
    """Against a naive version: a channel belongs to one shard, and work is drawn by the message."""
    topology = topology_of(BASE, traffic="[{name: chat, per: all, rate: 100/s}]", storage__shards="3", storage__work="exponential(20ms)")
    fabric = Fabric(topology, False)
    heard = Heard(fabric.storage)
    simulate(fabric, topology)
    table, key = fabric.world.table(topology.storage.work), fabric.world.key("storage")
    rows, free, waited = fabric.columns.log.rows, [0] * 3, 0
    for at, _, shard, message, _ in heard.frames(PUBLISH).tolist():
        begins = max(at, free[shard])
        waited = max(waited, begins - at)
        free[shard] = begins + draw(table, word(key, message, 0))
        assert shard == rows[message, CHANNEL] % 3 and (rows[message, SAVED_AT] == free[shard] or at >= topology.run.duration - SECOND)
    assert waited > 50 * MILLISECOND, "void: nobody waited"


# Producers and leaders


def test_a_channel_goes_to_the_partition_that_kafkas_own_partitioner_gives_it():
    fabric = ran()
    rows = logged(fabric)
    expected = np.bincount(channel_partitions(np.arange(12), 6)[rows[:, CHANNEL]], minlength=6)
    assert fabric.brokers.partition[:, END_OFFSET].tolist() == expected.tolist()
    assert fabric.brokers.leader_of.tolist() == [0, 1, 2, 0, 1, 2]


def test_sequences_of_a_channel_run_from_one_without_a_hole():
    rows = logged(ran(bus__replica_delay="exponential(5ms)", bus__work="exponential(1ms)"))
    for channel in range(12):
        mine = rows[rows[:, CHANNEL] == channel]
        mine = mine[np.argsort(mine[:, SEQUENCE])]
        assert mine[:, SEQUENCE].tolist() == list(range(1, len(mine) + 1))
        assert (np.diff(mine[:, APPENDED_AT]) >= 0).all()


def test_a_record_is_visible_when_all_replicas_have_it_and_never_before_an_earlier_one():
    rows = logged(ran(bus__replica_delay="exponential(20ms)"))
    partition = channel_partitions(np.arange(12), 6)[rows[:, CHANNEL]]
    assert (rows[:, VISIBLE_AT] > rows[:, APPENDED_AT]).all()
    for p in range(6):
        mine = rows[partition == p]
        mine = mine[np.lexsort((mine[:, VISIBLE_AT], mine[:, APPENDED_AT]))]
        assert (np.diff(mine[:, VISIBLE_AT]) >= 0).all()


def test_without_replicas_a_record_is_visible_when_it_is_appended():
    rows = logged(ran(bus__replication="1"))
    assert (rows[:, VISIBLE_AT] == rows[:, APPENDED_AT]).all()
    with_replicas = logged(ran(bus__replica_delay="7ms"))
    assert (with_replicas[:, VISIBLE_AT] == with_replicas[:, APPENDED_AT] + 7 * MILLISECOND).all()


def test_a_producer_that_lingers_sends_many_records_at_once():
    """Linger 2 s at 400/s: some 800 records wait, and are appended in a few batches."""
    lingering = ran(bus__linger="2s", bus__batch="100MB", traffic__news__rate="400/s", bus__work="1us", bus__work_per_byte="0ns", bus__partitions="1")
    rows = logged(lingering)
    times = np.unique(rows[:, APPENDED_AT] // (100 * MILLISECOND))
    assert len(rows) > 1000 and len(times) <= 4
    assert (rows[:, APPENDED_AT] - rows[:, PUBLISHED_AT]).max() <= 2 * SECOND + 5 * MILLISECOND
    assert len(lingering.producers.waiting) > 256


def test_a_full_batch_does_not_linger():
    rows = logged(ran(bus__linger="1s", bus__batch="512B", traffic__news__rate="400/s", bus__partitions="1"))
    assert (rows[:, APPENDED_AT] - rows[:, PUBLISHED_AT]).max() < 100 * MILLISECOND


@pytest.mark.parametrize(("acks", "waits"), [("none", None), ("leader", 0.0), ("all", 0.03)])
def test_a_publisher_without_storage_waits_for_what_acks_says(acks, waits):
    """On top of its way and the leader's work: nothing for the leader, 30 ms for the replicas; without acknowledgement nothing is measured."""
    sets = {"storage.enabled": "false", "bus.replica_delay": "30ms", "traffic": "[{name: chat, per: all, rate: 60/s}]", "clients.delay": "5ms"}
    result = lawful(run(topology_of(BASE, bus__acks=acks, **sets)))
    if waits is None:
        assert result.stages[STAGE_ACK].sum() == 0
    else:
        assert result.stage("ack", 0.5) == pytest.approx(0.0061 + waits, abs=0.0008)
    assert result.stage("bus", 0.5) == pytest.approx(0.0306, abs=0.0008) and result.stages[STAGE_BUS].sum() > 300


# Consumers


def test_a_fetch_waits_for_enough_bytes_or_long_enough():
    """Ten messages of 512 B a second and answers of at least 2 KB or after 700 ms: every answer is one or the other."""
    sets = {"bus.fetch.min_bytes": "2KB", "bus.fetch.max_wait": "700ms", "traffic.news.arrivals": "regular", "traffic.news.rate": "10/s"}
    topology = topology_of(BASE, bus__brokers="1", bus__replication="1", bus__partitions="1", fanout__routers="1", run__duration="30s", **sets)
    fabric = Fabric(topology, False)
    heard = Heard(fabric.routers)
    simulate(fabric, topology)
    frames = heard.frames(DELIVER)
    _, records = np.unique(frames[:, 0], return_counts=True)
    assert set(records[1:].tolist()) == {4}, "the next four make 2 KB"
    starved = topology.with_({"traffic.news.rate": "2/s"})
    fabric = Fabric(starved, False)
    heard = Heard(fabric.routers)
    simulate(fabric, starved)
    _, records = np.unique(heard.frames(DELIVER)[:, 0], return_counts=True)
    hop = topology.network.hop
    waited = [at - hop - fabric.columns.log.rows[message, VISIBLE_AT] for at, _, _, message, _ in heard.frames(DELIVER).tolist()]
    assert set(records.tolist()) <= {1, 2} and min(waited) >= 0 and max(waited) <= 700 * MILLISECOND + 2 * hop


def test_a_fetch_carries_no_more_than_its_bound():
    """A record comes when the answer holds less than max_bytes so far: two of 512 B fit into 600 B."""
    sets = {"bus.fetch.max_bytes": "600B", "traffic.news.rate": "400/s", "bus.linger": "500ms", "bus.batch": "1MB", "bus.partitions": "1"}
    topology = topology_of(BASE, bus__brokers="1", bus__replication="1", fanout__routers="1", bus__work_per_byte="0ns", **sets)
    fabric = Fabric(topology, False)
    heard = Heard(fabric.routers)
    simulate(fabric, topology)
    answers, records = np.unique(heard.frames(DELIVER)[:, 0], return_counts=True)
    assert records.max() == 2 and (np.diff(answers) >= 2 * topology.network.hop).all()


@pytest.mark.parametrize("pattern", ["targeted", "broadcast"])
def test_a_shelf_grows_when_fetches_are_slow(pattern):
    """Consumers ask for 500 kB: hundreds of records wait on the shelf of one broker, and none is lost."""
    sets = {"bus.fetch.min_bytes": "500KB", "bus.fetch.max_wait": "2s", "traffic.news.rate": "400/s", "bus.brokers": 1, "bus.replication": 1}
    topology = topology_of(BASE, fanout__pattern=pattern, **sets)
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    assert fabric.consumers.shelf.records.shape[1] > 256
    result = lawful(run(topology))
    assert result.delivered > 1000 and result.delay(0.5) > 0.3


@pytest.mark.parametrize(("assignor", "expected"), [("range", [0, 0, 1, 1, 2, 3]), ("round_robin", [0, 1, 2, 3, 0, 1])])
def test_routers_share_the_partitions_by_their_assignor(assignor, expected):
    fabric = ran(fanout__routers="4", bus__assignor=assignor)
    assert fabric.consumers.shelf.owner_of.tolist() == expected
    fetched = fabric.consumers.shelf.fetched
    assert [np.flatnonzero(fetched[:, p]).tolist() for p in range(6)] == [[owner] for owner in expected]


def test_lag_is_what_is_visible_and_not_committed():
    """Commits every 2 s: before one, the lag is about 2 s of records; right after it, next to nothing."""
    topology = topology_of(BASE, bus__commit_every="2s", fanout__routers="1", traffic__news__rate="100/s", run__checkpoints="1")
    lag = {}
    fabric = Fabric(topology, False)

    def look():
        for at in (1999, 2001, 3999, 4001):
            yield fabric.world.env.timeout(at * MILLISECOND - fabric.world.now)
            lag[at] = (fabric.consumers.lag(), fabric.consumers.backlog())

    fabric.world.env.process(look())
    simulate(fabric, topology)
    assert lag[1999][0] == pytest.approx(200, abs=50) and lag[3999][0] == pytest.approx(200, abs=50)
    assert lag[2001][0] < 5 and lag[4001][0] < 5 and max(backlog for _, backlog in lag.values()) < 5


def test_a_gateway_that_comes_back_reads_the_topic_from_its_end():
    """Broadcast: while it is dead it fetches nothing, and what was appended meanwhile its clients take from the log."""
    faults = "[{target: {gateway: 1}, at: 2s, down: 2s}]"
    topology = topology_of(BASE, fanout__pattern="broadcast", faults=faults, balancer__health="{interval: 100ms, timeout: 50ms, fall: 1, rise: 1}")
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    fetched = fabric.consumers.shelf.fetched.sum(axis=1)
    assert fetched[0] == fetched[1], "skipped counts as read"
    result = lawful(run(topology))
    assert result.end.replayed > 0 and result.timeline[:, TIMELINE.index("lag")].max() > 0


# Routers


def test_a_router_sends_one_frame_to_each_gateway_with_subscribers_and_works_for_each():
    topology = topology_of(BASE, gateways__count="6", fanout__work="1ms", fanout__work_per_target="2ms", traffic__news__rate="5/s", fanout__routers="1")
    fabric = Fabric(topology, False)
    heard = Heard(fabric.gateways)
    simulate(fabric, topology)
    crowd, rows = fabric.columns.crowd, fabric.columns.log.rows
    homes = {}
    for seat in range(24):
        for channel in crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist():
            homes.setdefault(channel, set()).add(int(crowd.home[seat]))
    sent = {}
    for at, _, gateway, message, _ in heard.frames(DELIVER).tolist():
        sent.setdefault(message, []).append((gateway, at))
    for message, targets in sent.items():
        assert [gateway for gateway, _ in targets] == sorted(homes[int(rows[message, CHANNEL])])
        last = targets[-1][1] - topology.network.hop
        assert last == rows[message, ROUTED_AT]
        assert [at - targets[0][1] for _, at in targets] == [2 * MILLISECOND * i for i in range(len(targets))]
    assert len(sent) > 20


def test_a_router_may_have_more_targets_than_its_outbox_holds_at_first(tmp_path):
    """Two messages for 4 200 gateways with one client each."""
    (tmp_path / "trace.csv").write_text("at_s,channel\n0.1,all\n0.1,all\n")
    text = """
version: 1
run: {duration: 1s, warmup: 0s, compiled: never, checkpoints: 1}
clients: {count: 4200, subscriptions: 0, delay: 5ms}
channels: {count: 1, given: [{name: all, members: 100%}]}
traffic: [{name: chat, kind: trace, file: trace.csv}]
gateways: {count: 4200, cores: 1}
balancer: {policy: round_robin}
fanout: {work: 0s, work_per_target: 0s}
"""
    assert lawful(run(loads(text, folder=tmp_path))).end.live == 2 * 4200
