"""Transient messages: once to whoever is there, past the storage and the log, and the first to go where a buffer fills."""

import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.state import BYTES, FATE, LANE, LIVE, OVERFLOWN, OWED, PASSED_ON, SAVED_AT, SEQUENCE, TRANSIENT, TRANSIENT_DROPPED, TRANSIENT_LIVE
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, drive, topology_of

BASE = """
run: {duration: 20s, warmup: 0s, compiled: never}
clients: {count: 40, subscriptions: 3, delay: 10ms}
channels: {count: 8}
gateways: {count: 2}
traffic: [{name: chat, rate: 10/min}, {name: typing, rate: 30/min, lane: transient, size: 64B}]
"""
SLOW = {"clients.bandwidth": "20kbit/s", "gateways.buffer": "8KB", "gateways.transients_upto": "25%", "traffic[0].size": "2KB", "traffic[1].size": "1KB"}


def ended(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    drive(fabric)
    return fabric, tallies(fabric)["gateways"].counters


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
def test_a_transient_message_passes_the_storage_and_the_log_by_and_is_owed_to_nobody(pattern):
    fabric, counters = ended(fanout__pattern=pattern)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    transient = rows[rows[:, LANE] == TRANSIENT]
    assert len(transient) > 200 and counters[TRANSIENT_LIVE] > 1000
    assert not transient[:, [SEQUENCE, SAVED_AT, OWED]].any()
    if pattern != "direct":
        assert (transient[:-20, FATE] == PASSED_ON).mean() > 0.95


def test_every_law_holds_with_messages_of_both_kinds_over_a_storm():
    result = run(topology_of(BASE, faults="[{at: 5s, down: 2s, target: {gateway: all}}]", **SLOW))
    assert [law for law in result.laws if law.verdict == "invalid"] == []
    assert result.end.tried["transient"] > 0 and result.end.tried["transient_dropped"] > 0


def test_a_transient_storm_makes_no_durable_message_wait_for_a_replay():
    _, calm = ended(**SLOW, traffic="[{name: chat, rate: 10/min, size: 2KB}]")
    _, storm = ended(**SLOW, traffic="[{name: chat, rate: 10/min, size: 2KB}, {name: typing, rate: 10/s, lane: transient, size: 100B}]")
    assert storm[TRANSIENT_DROPPED] > 1000
    assert storm[OVERFLOWN] <= 1.5 * calm[OVERFLOWN] + 20 and storm[LIVE] > 0


def test_a_transient_message_is_dropped_only_above_the_soft_bound():
    _, none = ended(**{**SLOW, "gateways.transients_upto": "0%"})
    _, half = ended(**{**SLOW, "gateways.transients_upto": "50%"})
    _, whole = ended(**{**SLOW, "gateways.transients_upto": "100%"})
    assert none[TRANSIENT_DROPPED] > half[TRANSIENT_DROPPED] > whole[TRANSIENT_DROPPED]


@pytest.mark.parametrize(("share", "some_wait"), [("0%", False), ("25%", True)])
def test_at_no_share_of_the_buffer_no_transient_message_ever_waits_in_it(share, some_wait):
    fabric = Fabric(topology_of(BASE, **{**SLOW, "gateways.transients_upto": share}), False)
    fabric.gateways.keep_trail()
    drive(fabric)
    rows, pace, free_at, waited, written = fabric.columns.log.rows, 400_000, {}, [], 0  # 20 kbit/s: so many nanoseconds a byte.
    for message, client, arrives in fabric.gateways.trail().tolist():
        begins = arrives - int(rows[message, BYTES]) * pace
        if rows[message, LANE] == TRANSIENT:
            waited.append(begins == free_at.get(client))  # The link took it up the moment it had done with the one before.
            written += 1
        free_at[client] = arrives
    assert any(waited) == some_wait and written > 30


def test_typing_that_nobody_sends_changes_nothing():
    def traffic(rate):
        return f"[{{name: chat, rate: 10/min}}, {{name: typing, rate: {rate}, lane: transient}}]"

    alone, beside = ended(traffic=traffic("0/s"))[1], ended(traffic="[{name: chat, rate: 10/min}]")[1]
    assert alone.tolist() == beside.tolist()


@pytest.mark.parametrize("pattern", ["targeted", "direct"])
@pytest.mark.parametrize("by_numba", [False, True])
def test_windows_and_compilation_change_nothing_with_typing_and_slow_consumers_that_are_cut_off(pattern, by_numba):
    closing = {"gateways.overflow": "disconnect", "gateways.overflow_grace": "100ms", "run.duration": "8s"}
    check_invariance(topology_of(BASE, fanout__pattern=pattern, **SLOW, **closing), by_numba)
