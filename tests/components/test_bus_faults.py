"""Faults of the bus, its records and its readers, and of the traffic: each does what it may, and nothing that was acknowledged is lost."""

import functools

import numpy as np
import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import APPENDED_AT, CHANNEL, FATE, LOST_UNCLEAN, PUBLISHED_AT, PUBLISHER, ROUTED_AT, SEQUENCE, VISIBLE_AT
from simfabric.planning.swarm import complete
from simfabric.running import Result, run
from simfabric.world import SECOND, Array
from tests.helpers import differences, drive, topology_of
from tests.helpers import run as outcome_of

BASE = """
run: {duration: 8s, warmup: 0s, compiled: never, seed: 3}
clients: {count: 12, subscriptions: 2, delay: 5ms}
channels: {count: 6, popularity: uniform}
gateways: {count: 2}
bus: {partitions: 6, brokers: 3, replication: 2, commit_every: 1s, session_timeout: 1s}
fanout: {routers: 2}
routing: {heartbeat: 1s, ttl: 3s, cache: 0s}
traffic: [{name: chat, per: all, rate: 40/s, until: 6s}, {name: typing, per: all, rate: 8/s, lane: transient, until: 6s}]
"""
UNCLEAN = {"bus__acks": "leader", "bus__replica_delay": "300ms", "traffic__chat__rate": "200/s"}
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "restart": ("{kind: restart_broker, at: 3s, down: 2s, target: {broker: 1}}", {}),
    "restarts": ("{kind: restart_broker, every: 900ms, down: 1s, target: {broker: one}}", {"storage__enabled": "false"}),
    "unclean": ("{kind: elect_unclean, at: 3s, down: 1s, target: {broker: all}}", UNCLEAN),
    "too few copies": ("{kind: shrink_replicas, at: 3s, length: 1s}", {"bus__min_in_sync": "2"}),
    "crash": ("{kind: crash_consumer, at: 3500ms, down: 2s}", {}),
    "commit first": ("{kind: crash_consumer, at: 3500ms, down: 2s, mode: commit_first}", {"fanout__work": "40ms"}),
    "eager": ("{kind: rebalance_group, at: 3500ms, down: 2s, pause: 500ms}", {"fanout__work": "10ms"}),
    "cooperative": ("{kind: rebalance_group, at: 3500ms, down: 2s, pause: 500ms, mode: cooperative}", {"fanout__routers": "3"}),
    "poison": ("{kind: poison_record, at: 3s, length: 2s, share: 20%, attempt_time: 20ms}", {}),
    "burst": ("{kind: burst_channel, at: 3s, length: 2s, factor: 10}", {}),
    "flood": ("{kind: flood_clients, at: 3s, length: 2s, factor: 40}", {"limits__publish": "{per_user: {rate: 5/s, burst: 5}}"}),
    "expiry": ("{kind: expire_log, at: 3200ms}", {"faults": "[{kind: kill_node, at: 3s, down: 1s}, FAULT]"}),
}


def result_of(name: str, **changes: str) -> Result:
    fault, needs = KINDS[name]
    faults = needs.get("faults", "[FAULT]").replace("FAULT", fault)
    return run(topology_of(BASE, **{**needs, "faults": faults, **changes}))


cached = functools.cache(result_of)


@functools.cache
def calm(name: str) -> Result:
    return run(topology_of(BASE, **{**KINDS[name][1], "faults": "[]"}))


def messages(result: Result) -> Array:
    return np.asarray(result.messages[:, 1:])


@pytest.mark.parametrize("name", KINDS)
def test_every_law_holds_and_who_is_there_has_everything_in_the_end(name: str) -> None:
    result = cached(name)
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]
    assert complete(result).verdict != "invalid", complete(result).detail


@pytest.mark.parametrize("name", KINDS)
def test_half_windows_give_the_same_digest(name: str) -> None:
    assert result_of(name, run__window=f"{cached(name).window // 2}ns").digest == cached(name).digest


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("restarts", "expiry")])
def test_without_a_chance_it_changes_no_bit_of_the_run(name: str) -> None:
    never = KINDS[name][0].replace("}", ", p: 0%}") if "target" not in KINDS[name][0] else KINDS[name][0].replace(", target", ", p: 0%, target")
    assert result_of(name, faults=f"[{never}]").digest == calm(name).digest != cached(name).digest


def test_compiled_runs_are_like_plain_ones() -> None:
    faults = ", ".join(KINDS[name][0] for name in ("restart", "unclean", "poison", "eager"))
    topology = topology_of(BASE, **{**UNCLEAN, "faults": f"[{faults}]", "run__duration": "6s"})
    assert differences(outcome_of(topology), outcome_of(topology, by_numba=True)) == []


def test_partitions_of_a_restarted_broker_wait_for_the_election_and_no_others_do() -> None:
    fabric = Fabric(topology_of(BASE, faults=f"[{KINDS['restart'][0]}]"), False)
    drive(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    rows = rows[(rows[:, SEQUENCE] > 0) & (rows[:, PUBLISHED_AT] >= 3 * SECOND) & (rows[:, PUBLISHED_AT] < 3.4 * SECOND)]
    assert fabric.producers is not None
    assert fabric.brokers is not None
    its = fabric.brokers.shelf_of[fabric.producers.partition_of[rows[:, CHANNEL]]] == 1
    assert its.any()
    assert (rows[its, APPENDED_AT] >= 3.5 * SECOND).all()
    assert (rows[its, APPENDED_AT] < 3.51 * SECOND).all()
    assert (rows[~its, APPENDED_AT] - rows[~its, PUBLISHED_AT] < 0.1 * SECOND).all()


def test_a_restart_loses_nothing_whatever_the_acks() -> None:
    for acks in ("all", "leader", "none"):
        result = result_of("restarts", bus__acks=acks, bus__replica_delay="100ms", traffic__chat__until="6s")
        assert not any(result.end.dropped.values())
        assert complete(result).verdict == "valid"


def test_without_a_copy_partitions_wait_for_their_own_broker() -> None:
    result = result_of("restart", bus__replication="1")
    late = messages(result)
    assert (late[:, VISIBLE_AT] - late[:, PUBLISHED_AT]).max() > 1.9 * SECOND
    assert result.delivered == calm("restart").delivered


def test_an_unclean_election_loses_what_replicas_did_not_have_and_says_so() -> None:
    """Rate x replica delay in the mean, and no less or more than a Poisson count allows: 200/s x 0.3 s = 60, four deviations either way."""
    result = cached("unclean")
    lost = messages(result)[messages(result)[:, FATE] == LOST_UNCLEAN]
    durable = int((lost[:, PUBLISHED_AT] > 0).sum()) - int((lost[:, 12] == 2).sum())
    assert 60 - 4 * 60**0.5 < durable < 60 + 4 * 60**0.5
    assert f"{durable} acknowledged records lost" in next(text for _, text in result.events if "lost" in text)
    assert result.end.dropped["unclean"] > 0
    assert (lost[:, PUBLISHED_AT] > 2.65 * SECOND).all()
    assert (lost[:, PUBLISHED_AT] < 3 * SECOND).all()


def test_a_loss_leaves_no_hole_in_a_channel() -> None:
    rows = messages(cached("unclean"))
    for channel in range(6):
        sequences = rows[(rows[:, CHANNEL] == channel) & (rows[:, SEQUENCE] > 0), SEQUENCE]
        assert np.array_equal(np.sort(sequences), np.arange(1, len(sequences) + 1))


def test_what_a_dying_leader_had_not_answered_is_sent_again() -> None:
    """Its work takes 80 ms a batch here, and replicas no time: what is cut off had no answer, and is in the log all the same."""
    result = result_of("unclean", bus__replica_delay="0s", bus__work="80ms", traffic__chat__rate="26/s", bus__threads="1")
    assert result.end.dropped["unclean"] == 0
    assert complete(result).verdict == "valid"
    rows = messages(result)
    about = rows[(rows[:, SEQUENCE] > 0) & (rows[:, PUBLISHED_AT] > 2.9 * SECOND) & (rows[:, PUBLISHED_AT] < 3 * SECOND)]
    assert (about[:, APPENDED_AT] > 3 * SECOND).any()


def test_with_too_few_copies_publications_wait_unless_the_leader_is_enough() -> None:
    waiting = messages(cached("too few copies"))
    waiting = waiting[(waiting[:, PUBLISHED_AT] >= 3 * SECOND) & (waiting[:, PUBLISHED_AT] < 3.9 * SECOND) & (waiting[:, SEQUENCE] > 0)]
    assert len(waiting) > 10
    assert (waiting[:, APPENDED_AT] >= 4 * SECOND).all()
    assert result_of("too few copies", bus__acks="leader").digest == run(topology_of(BASE, bus__min_in_sync="2", bus__acks="leader")).digest


def test_a_broker_that_is_away_counts_as_a_copy_less() -> None:
    late = messages(result_of("restart", bus__min_in_sync="2"))
    assert (late[:, APPENDED_AT] - late[:, PUBLISHED_AT]).max() > 1.9 * SECOND


def test_a_crash_repeats_and_commit_first_passes_over() -> None:
    assert cached("crash").end.tried["duplicate"] > 0 == calm("crash").end.tried["duplicate"]
    first = cached("commit first")
    assert first.end.aside["committed_first"] > 0
    never = messages(first)
    assert int((never[:, ROUTED_AT] == 0).sum()) >= first.end.aside["committed_first"]


def routed_between(result: Result, begin: float, end: float) -> Array:
    routed = messages(result)[:, ROUTED_AT]
    return np.asarray(routed[(routed > begin * SECOND) & (routed < end * SECOND)])


def test_an_eager_rebalance_stops_everybody_and_a_cooperative_one_those_who_move() -> None:
    assert len(routed_between(cached("eager"), 3.7, 4)) == 0
    assert len(routed_between(cached("eager"), 5.7, 6)) == 0
    assert len(routed_between(cached("eager"), 4.1, 5.4)) > 0
    assert len(routed_between(cached("cooperative"), 3.7, 4)) > 0
    assert "2 partitions stand still" in next(text for _, text in result_of("cooperative", fanout__routers="3", bus__assignor="range").events if "late" in text)


def test_a_group_whose_members_are_all_late_reads_on_when_the_first_is_back() -> None:
    for mode in ("eager", "cooperative"):
        result = result_of("eager", faults=f"[{{kind: rebalance_group, at: 3500ms, down: 1s, pause: 200ms, mode: {mode}, target: {{router: all}}}}]")
        assert complete(result).verdict == "valid"
        assert len(routed_between(result, 3.7, 4.5)) == 0


def test_poison_is_set_aside_after_its_attempts_and_its_partition_goes_on() -> None:
    poisoned, usual = cached("poison"), calm("poison")
    assert poisoned.delivered == usual.delivered
    assert 5 < poisoned.end.aside["dead_letter"] < 40  # 96 records times 0.2 is 19, with a deviation of 4.
    slower, fewer = result_of("poison", faults="[{kind: poison_record, at: 3s, length: 2s, share: 20%, attempt_time: 40ms}]"), poisoned
    assert slower.end.aside == fewer.end.aside
    busy = [sum(int(b.rows.sum()) for b in result.end.busy if b.name == "routers") for result in (fewer, slower)]
    assert busy[1] - busy[0] == 3 * 20_000_000 * fewer.end.aside["dead_letter"]


def test_a_burst_multiplies_one_channel_and_leaves_the_others_publications_as_they_are() -> None:
    burst, usual = messages(cached("burst")), messages(calm("burst"))
    for channel in range(6):
        counts = [
            int(((rows[:, CHANNEL] == channel) & (rows[:, PUBLISHED_AT] >= 3 * SECOND) & (rows[:, PUBLISHED_AT] < 5 * SECOND)).sum()) for rows in (burst, usual)
        ]
        assert counts[0] == counts[1] if channel else 5 * counts[1] < counts[0] < 16 * counts[1]


def test_limits_answer_a_flood_and_nobody_else_is_limited() -> None:
    flood, usual = cached("flood"), calm("flood")
    more = messages(result_of("flood", limits__publish="{}"))
    abuser = np.bincount(more[:, PUBLISHER]).argmax()
    rows, before = messages(flood), messages(usual)
    assert flood.end.limited - usual.end.limited > 50
    for publisher in range(12):
        passed = [int(((each[:, PUBLISHER] == publisher) & (each[:, SEQUENCE] > 0)).sum()) for each in (rows, before)]
        assert passed[0] == passed[1] if publisher != abuser else passed[0] > passed[1]


def test_a_log_that_expires_makes_a_snapshot_of_what_was_missed_meanwhile() -> None:
    expired = result_of("expiry", clients__reconnect="{first: 1s, cap: 1s}")
    kept = run(topology_of(BASE, faults="[{kind: kill_node, at: 3s, down: 1s}]", clients__reconnect="{first: 1s, cap: 1s}"))
    assert expired.end.dropped["snapshot"] > 0 == kept.end.dropped["snapshot"]
    assert kept.end.replayed > expired.end.replayed


@pytest.mark.parametrize(
    ("fault", "changes", "law"),
    [
        ("{kind: elect_unclean, at: 3s}", {}, "acks all nothing"),
        ("{kind: elect_unclean, at: 3s}", {"bus__acks": "leader", "hot__shards": "2"}, "one order"),
        ("{kind: restart_broker, at: 3s}", {"fanout__pattern": "direct"}, "there is no bus"),
        ("{kind: restart_broker, at: 3s, target: {broker: 3}}", {}, "from 0 to 2"),
        ("{kind: restart_broker, at: 3s, target: {router: 0}}", {}, "strikes no router"),
        ("{kind: kill_node, at: 3s, target: {broker: 0}}", {}, "strikes no broker"),
        ("{kind: rebalance_group, at: 3s}", {"fanout__pattern": "broadcast"}, "group of routers"),
        ("{kind: rebalance_group, at: 3s, mode: commit_first}", {}, "eager and cooperative"),
        ("{kind: poison_record, at: 3s}", {"fanout__pattern": "broadcast"}, "no router reads"),
        ("{kind: burst_channel, at: 3s, factor: 0.5}", {}, "no ebb"),
        ("{kind: burst_channel, at: 3s, channel: hall}", {}, "must be a channel"),
        ("{kind: flood_clients, at: 3s, tenant: 4}", {}, "from 0 to 0"),
        ("{kind: shrink_replicas, at: 3s}", {"bus__min_in_sync": "3"}, "no more copies"),
    ],
)
def test_a_fault_without_its_subject_is_refused(fault: str, changes: dict[str, str], law: str) -> None:
    with pytest.raises(TopologyError, match=law):
        topology_of(BASE, faults=f"[{fault}]", **changes)
