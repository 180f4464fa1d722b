"""Partitioning: which partition of a topic a channel's messages go to, and which consumer of a group owns a partition.

The key of a message is its channel's id in ASCII decimals (channel 1207 has the key b"1207"), hashed as Kafka hashes: murmur2, made
positive, modulo the number of partitions. All messages of a channel then keep their order, and a hot channel is a hot partition.

Source: Apache Kafka, `Utils.murmur2`, `DefaultPartitioner`; consumer assignors `RangeAssignor` and `RoundRobinAssignor`.
Leaves out: keyless messages (sticky batches); assignors that remember (sticky, cooperative); several topics in one group.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simfabric.policies.pools import Integers

SEED = 0x9747B28C
MULTIPLIER = 0x5BD1E995
LOW = 0xFFFF_FFFF  # 32 bits.
POSITIVE = 0x7FFF_FFFF
BLOCK = 1 << 16  # Keys hashed at once: bounds the memory, whatever the number of channels.

Halves = NDArray[np.uint32]


def channel_key(channel: int) -> bytes:
    """The message key of a channel."""
    return b"%d" % channel


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit hash of a key, unsigned."""
    length = len(key)
    h = SEED ^ length
    whole = length - length % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * MULTIPLIER & LOW
        k = (k ^ (k >> 24)) * MULTIPLIER & LOW
        h = (h * MULTIPLIER & LOW) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * MULTIPLIER & LOW
    h = (h ^ (h >> 13)) * MULTIPLIER & LOW
    return h ^ (h >> 15)


def partition(key: bytes, partitions: int) -> int:
    """The partition of a key."""
    return (murmur2(key) & POSITIVE) % partitions


def channel_partitions(channels: Integers, partitions: int) -> NDArray[np.int32]:
    """The partition of every channel id >= 0: `partition(channel_key(channel), partitions)` as a column."""
    if partitions < 1:
        raise ValueError(f"partitions = {partitions}, but a topic has at least 1")
    channels = np.asarray(channels, np.int64)
    if len(channels) and channels.min() < 0:
        raise ValueError(f"channel {channels.min()} has no key: ids count from 0")
    answer = np.empty(len(channels), np.int32)
    for start in range(0, len(channels), BLOCK):
        block = channels[start : start + BLOCK]
        answer[start : start + BLOCK] = (_murmur2_of_decimals(block) & np.uint32(POSITIVE)) % np.uint32(partitions)
    return answer


def range_assignor(members: Integers, partitions: int) -> Integers:
    """The owner of every partition: consecutive ranges, in the order of the members; the first ones own one more if it does not divide."""
    if len(members) == 0:
        return np.full(partitions, -1, np.int64)
    share, extra = divmod(partitions, len(members))
    return np.repeat(np.sort(np.asarray(members, np.int64)), share + (np.arange(len(members)) < extra))


def round_robin_assignor(members: Integers, partitions: int) -> Integers:
    """The owner of every partition: the members in turn."""
    if len(members) == 0:
        return np.full(partitions, -1, np.int64)
    return np.sort(np.asarray(members, np.int64))[np.arange(partitions) % len(members)]


ASSIGNORS: dict[str, Callable[[Integers, int], Integers]] = {
    "range": range_assignor,
    "round_robin": round_robin_assignor,
}


def _murmur2_of_decimals(numbers: Integers) -> Halves:
    """murmur2 of the ASCII decimals of each number, all numbers of as many digits at once."""
    answer = np.empty(len(numbers), np.uint32)
    digits = np.searchsorted(np.array([10**power for power in range(1, 19)]), numbers, side="right") + 1
    for length in np.unique(digits):
        rows = digits == length
        answer[rows] = _murmur2_of_columns(_decimals(numbers[rows], int(length)))
    return answer


def _decimals(numbers: Integers, length: int) -> list[Halves]:
    """The ASCII digits, most significant first, one column per place."""
    columns = []
    for _ in range(length):
        numbers, digit = np.divmod(numbers, 10)
        columns.append((digit + 48).astype(np.uint32))
    return columns[::-1]


def _murmur2_of_columns(columns: list[Halves]) -> Halves:
    """murmur2 of keys of one length, given as a column per byte; uint32 arrays wrap as the hash wants."""
    length = len(columns)
    multiplier = np.uint32(MULTIPLIER)
    h = np.full(len(columns[0]), SEED ^ length, np.uint32)
    whole = length - length % 4
    for at in range(0, whole, 4):
        k = _little_endian(columns[at : at + 4]) * multiplier
        k = (k ^ (k >> np.uint32(24))) * multiplier
        h = (h * multiplier) ^ k
    if whole < length:
        h = (h ^ _little_endian(columns[whole:])) * multiplier
    h = (h ^ (h >> np.uint32(13))) * multiplier
    return h ^ (h >> np.uint32(15))


def _little_endian(columns: list[Halves]) -> Halves:
    number = columns[0].copy()
    for place, column in enumerate(columns[1:], 1):
        number |= column << np.uint32(8 * place)
    return number
