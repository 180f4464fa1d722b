"""How the run is made, and the wires inside the fabric."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, Choice, Quantity
from simfabric.topology.section import Section, leaf
from simfabric.units import write_duration

MOST_SEED = str(2**63 - 1)


class Run(Section):
    """How long, with which luck and how exactly the run is made."""

    duration: int = leaf(Quantity(DURATION, "1ns", "7d"), "60s", "Simulated time of the run, warmup included.")
    warmup: int = leaf(Quantity(DURATION, "0", "7d"), "5s", "Time at the start that the analysis leaves out; shorter than the duration.")
    seed: int = leaf(Quantity(COUNT, "0", MOST_SEED), "1", "The luck of the run: the same seed gives the same run, to the last bit.")
    replication: int = leaf(Quantity(COUNT, "0", "1_000_000"), "0", "Which independent run of the same seed this is.")
    window: int | None = leaf(
        Quantity(DURATION, "1us", "10s", MappingProxyType({"exact": None})),
        "exact",
        "Step of the data plane: exact takes the longest one that changes nothing; a longer one is faster and wrong by at most itself.",
    )
    workers: int = leaf(Quantity(COUNT, "1", "64"), "1", "Threads that compute the run; results do not depend on it.")
    compiled: Literal["auto", "always", "never"] = leaf(
        Choice(("auto", "always", "never")), "auto", "Whether kernels are compiled: auto compiles when the run is large enough to repay it."
    )
    checkpoints: int = leaf(Quantity(COUNT, "1", "1000"), "10", "How many times during the run the laws (conservation, Little) are checked.")
    messages: int = leaf(Quantity(COUNT, "0", "10M"), "100k", "Most messages of which a row with the times of all stages is kept; more are sampled.")

    def laws(self) -> Iterator[Refusal]:
        if self.warmup >= self.duration:
            yield Refusal(
                f"the warmup must be shorter than the duration, {write_duration(self.duration)}",
                "shorten run.warmup or lengthen run.duration",
                ("warmup",),
                write_duration(self.warmup),
            )


class Network(Section):
    """One-way delays between components of the fabric."""

    hop: int = leaf(Quantity(DURATION, "1us", "10s"), "500us", "One way between two components of the fabric, kernels included.")
    storage_hop: int | None = leaf(Quantity(DURATION, "1us", "10s"), None, "One way between a gateway and the storage; not given: hop.")
    bus_hop: int | None = leaf(Quantity(DURATION, "1us", "10s"), None, "One way to or from a broker of the bus; not given: hop.")
    replay_hop: int | None = leaf(Quantity(DURATION, "1us", "10s"), None, "One way between a client's edge and a replay server; not given: hop.")
