"""Hot channels: what each policy does to them, and that it does nothing to the others."""

import numpy as np
import pytest

from simfabric.components.columns import in_hot_channels
from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import CHANNEL, HOT, LANE, LIVE, ROUTED_AT, SEQUENCE, TRANSIENT, VISIBLE_AT, WORK
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, differences, drive, topology_of
from tests.helpers import run as outcome_of

BASE = """
run: {duration: 8s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 2, delay: 10ms}
channels: {count: 8, given: [{name: hall, members: 100%}]}
gateways: {count: 3, cores: 2}
bus: {partitions: 8}
fanout: {routers: 3, work: 100us}
hot: {members: 50, window: 200ms}
traffic:
  - {name: chat, rate: 20/min}
  - {name: hall, per: all, rate: 30/s, to: hall}
  - {name: typing, per: all, rate: 60/s, to: hall, lane: transient, size: 64B}
"""
MS = 1_000_000


def ended(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    drive(fabric)
    return fabric, fabric.columns.log.rows[: fabric.columns.messages], tallies(fabric)


def test_the_channel_with_many_members_is_hot_and_only_that():
    _, rows, _ = ended()
    assert np.array_equal(rows[:, HOT] == 1, rows[:, CHANNEL] == 0)


def test_a_batch_goes_at_the_end_of_its_window_and_costs_the_gateways_one_frame():
    _, plain, before = ended()
    _, rows, after = ended(hot__policy="batch")
    hot = rows[(rows[:, HOT] == 1) & (rows[:, ROUTED_AT] > 0)]
    assert (hot[:, ROUTED_AT] % (200 * MS) < 20 * MS).all()
    waited = (hot[:, ROUTED_AT] // (200 * MS)) * 200 * MS - hot[:, VISIBLE_AT]
    assert waited.mean() / MS == pytest.approx(100, abs=10)  # T7: uniform over the window.
    assert after["gateways"].counters[WORK] < 0.6 * before["gateways"].counters[WORK]
    others = plain[:, HOT] == 0
    assert np.allclose(rows[others, ROUTED_AT], plain[others, ROUTED_AT], atol=20 * MS)


def test_of_what_is_transient_only_the_latest_of_each_user_and_window_goes():
    fabric, rows, _ = ended(hot__policy="coalesce", traffic__typing__rate="600/s")
    typing = rows[(rows[:, LANE] == TRANSIENT) & (rows[:, ROUTED_AT] > 0)]
    key = list(zip(typing[:, 2].tolist(), (typing[:, ROUTED_AT] // (200 * MS)).tolist()))
    assert fabric.routers.hot.coalesced > 500 and len(set(key)) == len(key)
    durable = rows[(rows[:, LANE] != TRANSIENT) & (rows[:, ROUTED_AT] > 0)]
    assert ((durable[:, ROUTED_AT] - durable[:, VISIBLE_AT]) < 50 * MS).all()


def test_the_cap_holds_in_every_window_and_loses_nothing_durable():
    fabric, rows, counted = ended(hot="{members: 50, window: 200ms, policy: cap, cap: 7}", run__duration="12s", traffic__chat__rate="0/s")
    hot = rows[(rows[:, HOT] == 1) & (rows[:, ROUTED_AT] > 0)]
    began = hot[:, ROUTED_AT] - 100_000 - 2_000 * 3
    assert np.bincount(began // (200 * MS)).max() <= 7 + 1  # One of the window before may just end in this one.
    assert fabric.routers.hot.capped > 100 and fabric.routers.hot.deferred > 10 and counted["gateways"].counters[LIVE] > 1000
    durable = hot[hot[:, LANE] != TRANSIENT]
    assert (np.diff(durable[np.argsort(durable[:, SEQUENCE]), ROUTED_AT]) > 0).all()


def test_partitions_of_their_own_keep_hot_channels_from_the_others():
    fabric, _, _ = ended(hot__partitions="2")
    partition = fabric.producers.partition_of
    assert partition[0] >= 6 and (partition[1:] < 6).all()


APART = {"channels": "{count: 30, popularity: uniform, given: [{name: hall, members: 50%}]}", "hot__members": "25"}


def test_gateways_set_apart_hold_the_subscribers_of_hot_channels_and_nobody_else():
    changes = {
        "channels": "{count: 30, popularity: uniform, given: [{name: hall, members: 50%}]}",
        "hot__members": "25",
        "gateways__count": "5",
        "hot__gateways": "2",
    }
    fabric, _, _ = ended(**changes, faults="[{at: 3s, down: 1s, target: {gateway: 4}}]")
    crowd = fabric.columns.crowd
    hot = np.array([0 in crowd.channels[a:b] for a, b in zip(crowd.start, crowd.start[1:])])
    home = crowd.home.copy()
    assert hot.sum() == 30 and (home[hot] >= 3).all() and (home[~hot] < 3).all() and len(set(home)) == 5
    faults = "[{at: 3s, down: 1s, target: {gateway: 4}}]"
    check_invariance(topology_of(BASE, **changes, run__duration="5s", faults=faults, balancer__policy="round_robin", clients__start="4s"))


def test_gateways_set_apart_deliver_to_the_others_quickly_while_the_hall_is_loud():
    changes = APART | {"gateways__count": "4", "gateways__cores": "1", "gateways__work__delivery": "1500us"}
    delay = []
    for gateways in ("0", "2"):
        fabric = Fabric(topology_of(BASE, **changes, run__duration="4s", hot__gateways=gateways), False)
        fabric.gateways.keep_trail()
        drive(fabric)
        trail = fabric.gateways.trail()
        others = ~in_hot_channels(fabric.world)[trail[:, 1]]
        delay.append((trail[others, 2] - fabric.columns.log.rows[trail[others, 0], ROUTED_AT]).mean())
    shared, apart = delay
    assert apart < 0.5 * shared


def test_a_channel_spread_over_partitions_has_several_routers_and_one_order():
    result = run(topology_of(BASE, hot__shards="4", fanout__work="exponential(8ms)"))
    assert [law for law in result.laws if law.verdict == "invalid"] == []
    _, rows, _ = ended(hot__shards="4", fanout__work="exponential(8ms)")
    log = rows[(rows[:, CHANNEL] == 0) & (rows[:, SEQUENCE] > 0)]
    assert sorted(log[:, SEQUENCE].tolist()) == list(range(1, len(log) + 1))
    one, four = (ended(hot__shards=n, fanout__work="exponential(8ms)")[0].routers.state.busy for n in ("1", "4"))
    assert four.max() < 0.8 * one.max()


def test_a_channel_becomes_hot_by_its_fan_out_and_cools_down():
    _, rows, _ = ended(hot="{members: 1M, fanout: 1000/s, policy: batch}", traffic__hall__bursts="{every: 4s, length: 1500ms, times: 3}")
    hall = rows[(rows[:, CHANNEL] == 0) & (rows[:, ROUTED_AT] > 0)]
    assert 0.05 < hall[:, HOT].mean() < 1.0 and not rows[rows[:, CHANNEL] > 0][:, HOT].any()


@pytest.mark.parametrize(("second", "hot"), [(1, True), (2, False), (5, False)])
def test_a_channel_is_hot_by_its_fan_out_in_the_second_after_and_no_longer(second, hot):
    members = int(Fabric(topology_of(BASE), False).columns.crowd.members[1])
    messages = [(at, 1, 5, CHAT_SOURCE, 0) for at in (*range(0, 1000, 10), 1000 * second + 5)]
    left, _ = passed_on("batch", messages, members="1M", fanout=100 * members, upto=10_000)
    assert left[-1][:2] == (100, (1000 * second + 200 if hot else 1000 * second + 5))


def test_a_window_without_hot_channels_changes_nothing():
    assert differences(outcome_of(topology_of(BASE, hot__members="1M")), outcome_of(topology_of(BASE, hot="{members: 1M, policy: batch}"))) == []


@pytest.mark.parametrize("policy", ["cap", "batch", "coalesce"])
@pytest.mark.parametrize("pattern", ["targeted", "direct"])
def test_the_window_of_the_engine_changes_nothing(policy, pattern):
    shards = {"hot.shards": "2", "lanes.policy": "strict"} if pattern == "targeted" and policy == "batch" else {}
    check_invariance(topology_of(BASE, hot__policy=policy, fanout__pattern=pattern, run__duration="3s", hot__cap="5", **shards))


def test_compiled_policies_are_the_plain_ones_and_every_law_holds():
    topology = topology_of(BASE, hot__policy="batch", hot__shards="2", run__duration="3s")
    assert differences(outcome_of(topology), outcome_of(topology, by_numba=True)) == []
    for policy in ("cap", "batch", "coalesce"):
        result = run(topology_of(BASE, hot__policy=policy, faults="[{at: 2s, down: 1s, target: {gateway: 0}}]"))
        assert [law for law in result.laws if law.verdict == "invalid"] == []


@pytest.mark.parametrize(
    "changes",
    [{"hot.policy": "batch", "fanout.pattern": "broadcast"}, {"hot.shards": "2", "fanout.pattern": "direct"}, {"hot.partitions": "8"}, {"hot.gateways": "3"}],
)
def test_what_has_no_place_is_refused(changes):
    with pytest.raises(TopologyError, match="hot"):
        topology_of(BASE, **changes)


def passed_on(policy, messages, **more):
    """What leaves within a second, as (message, time [ms], whether it joins the one before), of messages (at [ms], channel, user, source, router)."""
    hot = f"{{members: {more.get('members', 1)}, fanout: {more.get('fanout', '1G')}/s, window: 200ms, policy: {policy}, cap: {more.get('cap', 1)}}}"
    fabric = Fabric(topology_of(BASE, hot=hot), False)
    at, channel, user, source, router = np.array(messages, np.int64).T
    first = fabric.columns.messages
    fabric.columns.add_messages(at * MS, channel, user, np.full(len(at), 64, np.int64), source)
    item = first + np.arange(len(at))
    frames, count = fabric.routers.hot.pass_on(np.stack([at * MS, item, router, item, 0 * item], axis=1), len(at), more.get("upto", 1000) * MS)
    return [(int(f[3]) - first, int(f[0]) // MS, bool(f[4])) for f in frames[:count]], fabric.routers.hot


CHAT_SOURCE, HALL_SOURCE, TYPING_SOURCE = 0, 1, 2


def test_coalescing_keeps_the_latest_of_each_channel_source_and_user_in_a_window():
    left, hot = passed_on("coalesce", [
        (10, 0, 5, TYPING_SOURCE, 0), (20, 0, 6, TYPING_SOURCE, 0), (30, 0, 5, TYPING_SOURCE, 0),  # 2 overtakes 0; 1 is another user's.
        (40, 1, 5, TYPING_SOURCE, 0), (50, 0, 5, CHAT_SOURCE, 0), (250, 0, 5, TYPING_SOURCE, 0),  # Another channel, a durable one, another window.
    ])  # fmt: skip
    assert left == [(4, 50, False), (1, 200, False), (2, 200, True), (3, 200, False), (5, 400, False)] and hot.coalesced == 1


def test_a_batch_is_one_frame_of_a_channel_a_window_and_a_router():
    left, _ = passed_on("batch", [
        (10, 0, 5, CHAT_SOURCE, 0), (20, 0, 6, CHAT_SOURCE, 0), (30, 1, 5, CHAT_SOURCE, 0), (40, 0, 7, CHAT_SOURCE, 1), (250, 0, 5, CHAT_SOURCE, 0),
    ])  # fmt: skip
    assert left == [(0, 200, False), (1, 200, True), (2, 200, False), (3, 200, False), (4, 400, False)]


def test_the_cap_lets_so_many_into_a_window_defers_durable_messages_and_drops_transient_ones():
    chat, typing = (lambda at: (at, 0, 5, CHAT_SOURCE, 0)), (lambda at: (at, 0, 5, TYPING_SOURCE, 0))
    left, hot = passed_on("cap", [chat(10), chat(20), typing(30), chat(40), chat(50), chat(60), typing(250), chat(450)], cap=2)
    assert [(message, at) for message, at, _ in left] == [(0, 10), (1, 20), (3, 200), (4, 200), (5, 400), (7, 450)]
    assert (hot.capped, hot.deferred) == (2, 3)
