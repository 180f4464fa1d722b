"""Planted bugs in how connections end and how snapshots are counted: each breaks the law that watches over it."""

import pytest

from simfabric.kernels import churn, fanout, leaving
from simfabric.kernels import serving as kernels
from simfabric.kernels.state import CURSOR, GHOSTS, OPEN, RESET_OBLIGATIONS, SEAT, TO_GHOSTS
from simfabric.running import run
from simfabric.topology import loads
from tests.helpers import topology_of
from tests.reference.reconnecting import Reconnecting
from tests.reference.test_reconnecting import BOTH, STORM, columns

CHURN = """
version: 1
run: {duration: 20s, warmup: 1s, compiled: never}
clients:
  count: 60
  delay: 10ms
  replay_max: 3
  heartbeat_interval: 2s
  heartbeat_timeout: 1s
  churn: [{name: mobile, share: 50%, stays: exponential(5s), ends: silent}, {name: office, share: 50%, stays: exponential(5s), away: exponential(3s)}]
channels: {count: 6}
gateways: {count: 2}
traffic: [{name: news, kind: producers, to: uniform, per: all, rate: 20/s}]
"""


def broken():
    return {v.law.split()[0] for v in run(loads(CHURN)).laws if v.verdict == "invalid"}


def test_without_a_bug_no_law_is_broken():
    assert broken() == set()


def uncounted_leave(monkeypatch):
    original = kernels.leave

    def bug(gateway, item, nodes, book, crowd):
        original(gateway, item, nodes, book, crowd)
        nodes.state[gateway, OPEN] += 1

    monkeypatch.setattr(kernels, "leave", bug)


def ghost_that_is_dropped_twice(monkeypatch):
    original = kernels.drop_ghost

    def bug(gateway, item, subscribed, nodes, book, crowd):
        original(gateway, item, subscribed, nodes, book, crowd)
        nodes.state[gateway, GHOSTS] -= 1

    monkeypatch.setattr(kernels, "drop_ghost", bug)


def cursor_that_is_forgotten(monkeypatch):
    original, calls = leaving.hand_back, []

    def bug(i, r, book, crowd):
        calls.append(i)
        if len(calls) != 30:
            original(i, r, book, crowd)

    monkeypatch.setattr(leaving, "hand_back", bug)


def ghost_that_still_counts(monkeypatch):
    original = kernels.become_ghost

    def bug(at, gateway, item, until, nodes, book, crowd, outs):
        original(at, gateway, item, until, nodes, book, crowd, outs)
        rows = [r for r in range(book.pool[0]) if book.rows[r, SEAT] < -1]
        for r in rows:
            book.rows[r, CURSOR] = 1

    monkeypatch.setattr(kernels, "become_ghost", bug)


def row_that_stays(monkeypatch):
    original, calls = leaving.take_out, []

    def bug(r, slot, book):
        calls.append(r)
        if len(calls) != 10:
            original(r, slot, book)

    monkeypatch.setattr(leaving, "take_out", bug)


def write_that_is_not_counted(monkeypatch):
    original = fanout.write_in_vain

    def bug(message, seat, at, first_core, chosen, read, late, byte_work, turn, nodes, crowd, tally):
        original(message, seat, at, first_core, chosen, read, late, byte_work, turn, nodes, crowd, tally)
        tally.counters[TO_GHOSTS] -= 1

    monkeypatch.setattr(fanout, "write_in_vain", bug)


def snapshot_that_is_silent(monkeypatch):
    original = kernels.reset

    def bug(at, gateway, item, extra, nodes, book, crowd, log, outs, tally):
        before = tally.counters[RESET_OBLIGATIONS]
        original(at, gateway, item, extra, nodes, book, crowd, log, outs, tally)
        tally.counters[RESET_OBLIGATIONS] = before

    monkeypatch.setattr(kernels, "reset", bug)


BUGS = {
    uncounted_leave: "C4", ghost_that_is_dropped_twice: "C4", cursor_that_is_forgotten: "C1d", ghost_that_still_counts: "C1d", row_that_stays: "C1c",
    write_that_is_not_counted: "C10", snapshot_that_is_silent: "C1d",
}  # fmt: skip


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_breaks_its_law(plant, monkeypatch):
    plant(monkeypatch)
    assert BUGS[plant] in broken()


def test_a_heartbeat_that_is_off_by_a_nanosecond_is_not_what_plain_simpy_says(monkeypatch):
    original = churn.hb_deadline
    monkeypatch.setattr(churn, "hb_deadline", lambda last, interval, timeout: original(last, interval, timeout) + 1)
    topology = topology_of(STORM, clients__churn=BOTH, faults="[]")
    fabric, seen = columns(topology, monkeypatch)
    delay = [int(fabric.columns.crowd.link[seat, 2]) for seat in fabric.columns.seat_of]
    assert {row for row in seen if row[2] < 300 * 10**9} != {row for row in Reconnecting(topology, delay).run() if row[2] < 300 * 10**9 and row[1] != "offline"}
