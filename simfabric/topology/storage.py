"""What is written down: the storage of messages, and the bus that carries them to the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, SIZE, TIME_PER_BYTE, Choice, Flag, LawOf, Quantity
from simfabric.topology.section import Section, leaf, section
from simfabric.units import write_count, write_size

WORK = LawOf(DURATION, "0", "1min")


class Storage(Section):
    """The storage: keeps each message before it goes to the bus."""

    enabled: bool = leaf(Flag(), "true", "Whether messages are stored at all; false goes straight to the bus.")
    shards: int = leaf(Quantity(COUNT, "1", "100k"), "8", "Shards, each serving one write at a time.")
    work: Law = leaf(WORK, "lognormal(median 1ms, p99 5ms)", "Work of one write.")


class Fetch(Section):
    """How a consumer asks a broker for records."""

    min_bytes: int = leaf(Quantity(SIZE, "1B", "1GB"), "1B", "A broker answers as soon as it has so much.")
    max_wait: int = leaf(Quantity(DURATION, "0", "1h"), "500ms", "A broker answers after so long, even with nothing.")
    max_bytes: int = leaf(Quantity(SIZE, "1B", "1GB"), "1MB", "Most that one answer carries; at least min_bytes.")

    def laws(self) -> Iterator[Refusal]:
        if self.max_bytes < self.min_bytes:
            yield Refusal(
                f"max_bytes must be at least min_bytes, {write_size(self.min_bytes)}",
                "raise max_bytes or lower min_bytes",
                ("max_bytes",),
                write_size(self.max_bytes),
            )


class Bus(Section):
    """The bus: a replicated log in partitions, from storage to fan-out."""

    brokers: int = leaf(Quantity(COUNT, "1", "10k"), "3", "Number of brokers.")
    partitions: int = leaf(Quantity(COUNT, "1", "100k"), "12", "Partitions of the topic; a channel belongs to one.")
    replication: int = leaf(Quantity(COUNT, "1", "10"), "3", "Copies of each partition, the leader's included; at most the brokers.")
    acks: Literal["all", "leader", "none"] = leaf(
        Choice(("all", "leader", "none"), MappingProxyType({"-1": "all", "1": "leader", "0": "none"})),
        "all",
        "When a record counts as written: on all replicas in sync, on the leader, or when it was sent.",
    )
    linger: int = leaf(Quantity(DURATION, "0", "1min"), "0ms", "How long a producer waits for more records of a batch.")
    batch: int = leaf(Quantity(SIZE, "1B", "100MB"), "16KB", "Size at which a batch goes off without waiting longer.")
    work: Law = leaf(WORK, "50us", "Work of one batch at the leader.")
    work_per_byte: float = leaf(Quantity(TIME_PER_BYTE, "0", "1ms"), "1ns", "Work of each byte at the leader, besides the batch's.")
    threads: int = leaf(Quantity(COUNT, "1", "1024"), "8", "Threads of each broker.")
    replica_delay: Law = leaf(LawOf(DURATION, "0", "1min"), "1ms", "Time until the replicas in sync have a batch.")
    fetch: Fetch = section(Fetch, "How consumers ask for records.")
    commit_every: int = leaf(Quantity(DURATION, "1ms", "1h"), "5s", "Time between a consumer's commits; what came since is read again after a crash.")
    session_timeout: int = leaf(
        Quantity(DURATION, "1ms", "1h"), "45s", "How long a silent consumer keeps its partitions, before its group shares them out anew."
    )
    election: int = leaf(
        Quantity(DURATION, "1ms", "1h"), "500ms", "How long partitions whose broker goes away are without a leader, before another one leads them."
    )
    min_in_sync: int = leaf(
        Quantity(COUNT, "1", "10"), "1", "With acks all: fewest copies in sync, the leader's included, with which publications are taken; at most replication."
    )
    retention: int = leaf(Quantity(DURATION, "1s", "365d"), "1h", "How long records are kept.")
    assignor: Literal["range", "round_robin"] = leaf(Choice(("range", "round_robin")), "range", "How partitions are given to the consumers of a group.")

    def laws(self) -> Iterator[Refusal]:
        if self.replication > self.brokers:
            yield Refusal(
                f"each copy of a partition needs its own broker, and there are {self.brokers}",
                "lower bus.replication or raise bus.brokers",
                ("replication",),
                write_count(self.replication),
            )
        if self.min_in_sync > self.replication:
            yield Refusal(
                f"no more copies can be in sync than there are, {self.replication}",
                "lower bus.min_in_sync or raise bus.replication",
                ("min_in_sync",),
                write_count(self.min_in_sync),
            )
