"""Priority of messages where they wait."""

from __future__ import annotations

from typing import Literal

from simfabric.policies.lanes import POLICIES
from simfabric.topology.kinds import COUNT, DURATION, Choice, Quantity
from simfabric.topology.section import Section, leaf, section


class Weights(Section):
    """Shares of the lanes with `weighted`."""

    control: int = leaf(Quantity(COUNT, "1", "1000"), "8", "Weight of control messages.")
    durable: int = leaf(Quantity(COUNT, "1", "1000"), "4", "Weight of durable messages.")
    transient: int = leaf(Quantity(COUNT, "1", "1000"), "1", "Weight of transient messages.")


class Lanes(Section):
    """Which message goes next where several wait: at routers, and in the delivery queue of each gateway."""

    policy: Literal["fifo", "strict", "weighted"] = leaf(
        Choice(POLICIES),
        "fifo",
        "fifo: one lane; strict: control messages first, then durable ones, then transient ones; weighted: in proportion to the weights.",
    )
    weights: Weights = section(Weights, "Shares of the lanes with weighted.")
    patience: int | None = leaf(
        Quantity(DURATION, "0", "1h"), None, "A transient message that has waited longer for its turn is dropped; not given: none is. Not with fifo."
    )
