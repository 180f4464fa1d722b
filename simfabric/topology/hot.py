"""Hot channels: which they are, and what is done about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, RATE, Choice, Quantity
from simfabric.topology.section import Section, leaf
from simfabric.units import write_count

POLICIES = ("none", "cap", "batch", "coalesce")


class Hot(Section):
    """Hot channels: those with many members, or with many deliveries a second. What each policy costs them and spares the others is in the result."""

    members: int = leaf(Quantity(COUNT, "1", "100M"), "10k", "A channel with so many subscribers is hot.")
    fanout: float = leaf(
        Quantity(RATE, "1/s", "1G/s"),
        "1G/s",
        "A channel is hot, too, in a second after one with so many deliveries (messages times members); routers count.",
    )
    policy: Literal["none", "cap", "batch", "coalesce"] = leaf(
        Choice(POLICIES),
        "none",
        "What routers do with the messages of a hot channel: cap: at most `cap` go in a window, the next ones in the windows after it, transient ones are "
        "dropped; batch: all of a window go at its end, as one frame; coalesce: so do the transient ones, and of each user and source only the latest.",
    )
    window: int = leaf(Quantity(DURATION, "1ms", "1min"), "100ms", "Length of a window; windows begin at its multiples.")
    cap: int = leaf(Quantity(COUNT, "1", "1M"), "1", "Messages of a hot channel in one window.")
    partitions: int = leaf(Quantity(COUNT, "0", "10k"), "0", "How many of the bus's partitions only channels with many members have; 0: they share all.")
    shards: int = leaf(
        Quantity(COUNT, "1", "10k"), "1", "Partitions, and so routers, over which each channel with many members is spread; its clients put it in order again."
    )

    gateways: int = leaf(
        Quantity(COUNT, "0", "10k"),
        "0",
        "How many gateways, the last ones, only subscribers of channels with many members are given, and those no others; 0: all share.",
    )

    def laws(self) -> Iterator[Refusal]:
        if 0 < self.partitions < self.shards:
            yield Refusal(
                f"a channel is spread over at most the partitions that hot channels have, {self.partitions}",
                "lower hot.shards or raise hot.partitions", ("shards",), write_count(self.shards),
            )  # fmt: skip
