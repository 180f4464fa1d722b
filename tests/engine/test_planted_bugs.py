"""What the other tests are worth: a planted bug of each kind, and the check that must notice it."""

import itertools

import pytest

from simfabric.chance import draw, word
from simfabric.components.conductor import Conductor
from simfabric.fabric import Fabric
from simfabric.kernels import bus, fanout, frames, routing, storage
from simfabric.kernels.inbox import PastError
from tests.helpers import check_agreement, check_invariance, drive, run, topology_of

SMALL = """
run: {duration: 1s, warmup: 0s}
clients: {count: 40, subscriptions: 3}
channels: {count: 8}
traffic: [{name: chat, rate: 5/s}]
gateways: {count: 3, work: {delivery: exponential(300us)}}
bus: {brokers: 2, partitions: 5, replication: 2, linger: 5ms}
"""


def test_without_a_bug_the_checks_pass():
    check_agreement(topology_of(SMALL))
    check_invariance(topology_of(SMALL))


def test_a_frame_that_is_sent_earlier_than_its_declared_delay_is_refused(monkeypatch):
    route, hop = routing.route, topology_of(SMALL).network.hop

    def hasty(*arguments):
        done = route(*arguments)
        out, sent = arguments[-3], arguments[-2]
        for n in range(sent[0]):
            out[n, 0] -= hop
        return done

    monkeypatch.setattr(routing, "route", hasty)
    with pytest.raises(PastError, match="gateways: a frame for"):
        run(topology_of(SMALL))


def test_a_hop_that_is_declared_longer_than_it_is_is_refused():
    # The loops over storage, bus and routers (or snapshot API) are the tight ones, so that the window follows what their last hop claims to be.
    fabric = Fabric(topology_of(SMALL, clients__delay_floor="20ms", network__replay_hop="20ms", routing__store_delay="20ms"), False)
    fabric.gateways.senders = [(sender, 4 * delay if sender in (fabric.routers, fabric.snapshots) else delay) for sender, delay in fabric.gateways.senders]
    fabric.conductor = Conductor(fabric.world, fabric.components, None)
    with pytest.raises(PastError, match="gateways: a frame for"):
        drive(fabric)


def consumed(key=1):
    """Draws in the order in which they are asked for, as a global generator would give them."""
    numbers = itertools.count()
    return lambda table, _: draw(table, word(key, 0, next(numbers)))


def test_a_draw_without_an_address_depends_on_the_window(monkeypatch):
    monkeypatch.setattr(fanout, "draw", consumed())
    with pytest.raises(AssertionError, match="window"):
        check_invariance(topology_of(SMALL))


def test_a_draw_without_an_address_has_other_luck_than_the_reference(monkeypatch):
    monkeypatch.setattr(storage, "draw", consumed())
    with pytest.raises(AssertionError):
        check_agreement(topology_of(SMALL))


def test_ties_that_are_broken_the_other_way_round_put_a_batch_out_of_order(monkeypatch):
    def latest_first(due, a, b):
        return due[a, 0] < due[b, 0] or (due[a, 0] == due[b, 0] and due[a, 1] >= due[b, 1])

    monkeypatch.setattr(frames, "precedes", latest_first)
    with pytest.raises(AssertionError):
        check_agreement(topology_of(SMALL))


def test_frames_in_the_order_in_which_they_were_sent_depend_on_the_window(monkeypatch):
    monkeypatch.setattr(frames, "precedes", lambda *_: True)
    with pytest.raises(AssertionError, match="window"):
        check_invariance(topology_of(SMALL))


def test_a_server_that_forgets_at_the_end_of_a_window_what_it_was_doing_is_noticed(monkeypatch):
    persist = storage.persist

    def forgetful(taken, count, free_at, *others):
        for shard in range(len(free_at)):
            free_at[shard] = 0
        return persist(taken, count, free_at, *others)

    monkeypatch.setattr(storage, "persist", forgetful)
    with pytest.raises(AssertionError, match="window"):
        check_invariance(topology_of(SMALL, storage__shards=1, storage__work="10ms"))
    with pytest.raises(AssertionError):
        check_agreement(topology_of(SMALL, storage__shards=1, storage__work="10ms"))


def test_a_batch_that_closes_at_the_end_of_a_window_is_noticed(monkeypatch):
    batch = bus.batch

    def impatient(taken, count, end, linger, *others):
        return batch(taken, count, end + linger, linger, *others)

    monkeypatch.setattr(bus, "batch", impatient)
    with pytest.raises((AssertionError, PastError)):
        check_invariance(topology_of(SMALL))


def test_one_nanosecond_is_noticed(monkeypatch):
    note = fanout.note

    def one_late(kind, message, seat, arrives, first, last, tally):
        note(kind, message, seat, arrives + (message == 7 and seat == 3), first, last, tally)

    monkeypatch.setattr(fanout, "note", one_late)
    with pytest.raises(AssertionError):
        check_agreement(topology_of(SMALL, clients__subscriptions=8))
