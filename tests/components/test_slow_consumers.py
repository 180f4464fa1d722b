"""Slow consumers: what they do not read is fetched later or ends their connection, and nobody else notices."""

import numpy as np

from simfabric.fabric import Fabric
from simfabric.kernels.clients import BREAKS
from simfabric.kernels.state import CLOSED_SLOW, OVERFLOWN, REPLAYED_COUNT
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import drive, topology_of

BASE = """
run: {duration: 30s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 2, delay: 10ms, bandwidth: unlimited, links: [{name: cell, share: 10%, bandwidth: 16kbit/s}]}
channels: {count: 6, given: [{name: hall, members: 100%}]}
traffic: [{name: hall, kind: producers, to: hall, rate: 5/s, size: 1KB}]
gateways: {count: 2, buffer: 16KB}
"""


def ended(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    fabric.gateways.keep_trail()
    drive(fabric)
    counted = tallies(fabric)
    return fabric, counted["gateways"].counters, counted["clients"].counters


def test_a_client_that_reads_next_to_nothing_changes_nothing_for_the_others():
    quick = ended(**{"clients.links": "[]"})[0]
    slow, counters, _ = ended(**{"clients.links[0].bandwidth": "1bit/s"})
    throttled = np.unique(slow.columns.crowd.client[(slow.columns.crowd.link[:, 3] >> 16) > 0])
    assert 2 <= len(throttled) <= 15 and counters[OVERFLOWN] > 100
    one, other = (fabric.gateways.trail() for fabric in (quick, slow))
    assert np.array_equal(one[~np.isin(one[:, 1], throttled)], other[~np.isin(other[:, 1], throttled)])


def test_a_full_buffer_makes_its_client_ask_the_log_and_keeps_the_connection():
    _, counters, clients = ended()
    assert counters[OVERFLOWN] > 100 and counters[REPLAYED_COUNT] > 50 and counters[CLOSED_SLOW] == clients[BREAKS] == 0


def test_a_buffer_that_refuses_for_longer_than_the_grace_ends_its_connection():
    _, counters, clients = ended(**{"gateways.overflow": "disconnect", "gateways.overflow_grace": "2s"})
    assert counters[CLOSED_SLOW] >= clients[BREAKS] > 5 and counters[REPLAYED_COUNT] > 50


def test_who_has_an_endless_grace_is_never_cut_off():
    lenient, _, _ = ended(**{"gateways.overflow": "disconnect", "gateways.overflow_grace": "1h"})
    resynced, _, _ = ended()
    assert np.array_equal(lenient.gateways.trail(), resynced.gateways.trail())


def test_every_message_for_a_slow_consumer_is_accounted_for():
    for changes in ({}, {"gateways.overflow": "disconnect", "gateways.overflow_grace": "1s"}):
        result = run(topology_of(BASE, **changes))
        assert [law for law in result.laws if law.verdict == "invalid"] == []
