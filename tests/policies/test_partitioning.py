"""Partitioning: Kafka's own answers, from another implementation of its partitioner and assignors."""

import random
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as kafkas_murmur2
from hypothesis import given
from hypothesis import strategies as st

from simfabric.policies.partitioning import ASSIGNORS, channel_key, channel_partitions, murmur2, partition

CHANNELS = st.integers(0, 2**63 - 1) | st.integers(0, 12_000) | st.sampled_from([10**power + step for power in range(1, 19) for step in (-1, 0, 1)])


@pytest.mark.parametrize("length", range(65))
def test_murmur2_is_kafkas_for_keys_of_every_length(length):
    chance = random.Random(length)
    for key in [bytes(length), b"\xff" * length, b"\x80" * length, *(chance.randbytes(length) for _ in range(50))]:
        assert murmur2(key) == kafkas_murmur2(key) & 0xFFFF_FFFF
        for partitions in (1, 7, 32, 1000):
            assert partition(key, partitions) == DefaultPartitioner()(key, list(range(partitions)), [])


@given(st.lists(CHANNELS, min_size=1, max_size=50), st.integers(1, 5000))
def test_channels_go_where_kafka_sends_the_decimals_of_their_ids(channels, partitions):
    answer = channel_partitions(np.array(channels), partitions)
    assert answer.dtype == np.int32
    assert answer.tolist() == [DefaultPartitioner()(str(channel).encode(), list(range(partitions)), []) for channel in channels]
    assert answer.tolist() == [partition(channel_key(channel), partitions) for channel in channels]


def test_a_million_channels_are_partitioned_in_bounded_memory():
    channels = np.arange(1_000_000)
    tracemalloc.start()
    answer = channel_partitions(channels, 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - answer.nbytes < 8_000_000, "beside the answer, no more than some columns of one block"
    assert np.bincount(answer, minlength=32).min() > 30_000
    assert answer[[0, 9, 10, 65_535, 65_536, 999_999]].tolist() == [partition(b"%d" % channel, 32) for channel in (0, 9, 10, 65_535, 65_536, 999_999)]


def test_no_channels_have_no_partitions_and_senseless_ones_are_refused():
    assert channel_partitions(np.array([], np.int64), 3).tolist() == []
    with pytest.raises(ValueError, match="channel -3 has no key"):
        channel_partitions(np.array([4, -3]), 3)
    with pytest.raises(ValueError, match="partitions = 0"):
        channel_partitions(np.array([4]), 0)


KAFKAS = {"range": RangePartitionAssignor, "round_robin": RoundRobinPartitionAssignor}


@pytest.mark.parametrize("name", ASSIGNORS)
@given(st.sets(st.integers(0, 99), min_size=1, max_size=12), st.integers(1, 40))
def test_a_group_owns_its_partitions_as_kafkas_assignor_says(name, members, partitions):
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(partitions)))
    metadata = {f"{member:02d}": KAFKAS[name].metadata({"events"}) for member in members}
    truth = {}
    for member, assignment in KAFKAS[name].assign(cluster, metadata).items():
        for _, owned in assignment.assignment:
            truth |= dict.fromkeys(owned, int(member))
    shuffled = np.array(sorted(members, key=lambda member: member * 37 % 101))
    assert ASSIGNORS[name](shuffled, partitions).tolist() == [truth[p] for p in range(partitions)]


@pytest.mark.parametrize("name", ASSIGNORS)
def test_a_group_without_members_owns_nothing(name):
    assert ASSIGNORS[name](np.array([], np.int64), 3).tolist() == [-1, -1, -1]


def test_a_range_gives_the_first_members_one_more():
    assert ASSIGNORS["range"](np.array([5, 2, 9]), 8).tolist() == [2, 2, 2, 5, 5, 5, 9, 9]
    assert ASSIGNORS["round_robin"](np.array([5, 2, 9]), 8).tolist() == [2, 5, 9, 2, 5, 9, 2, 5]
