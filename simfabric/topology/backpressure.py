"""Backpressure: what a gateway that cannot keep up does to those before it, and when the fabric protects itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, SHARE, Choice, Quantity
from simfabric.topology.section import Section, leaf, section
from simfabric.units import write_duration

POLICIES = ("none", "shed", "pull", "credits")


class Protection(Section):
    """Throttling that is switched on by what is measured, and off when all of it has gone back."""

    lag: int | None = leaf(Quantity(COUNT, "1", "1G"), None, "On when a consumer has so many records before it that it has not fetched; not given: never.")
    queue: int | None = leaf(Quantity(DURATION, "1ms", "1h"), None, "On when a gateway's freest core is so far behind; not given: never.")
    cpu: float | None = leaf(Quantity(SHARE, "1%", "1"), None, "On when a gateway's cores worked so much of the time since the last check; not given: never.")
    release: float = leaf(Quantity(SHARE, "0", "1"), "50%", "Off when every measure is below this share of its bound: less than 100%, or it flaps.")


class Backpressure(Section):
    """What happens where messages come faster than gateways write them."""

    policy: Literal["none", "shed", "pull", "credits"] = leaf(
        Choice(POLICIES),
        "none",
        "none: queues grow; shed: a gateway drops messages that would wait longer than `queue`, and clients fetch the durable ones later; pull: consumers "
        "stop fetching while a gateway they serve is further behind than `queue`, so that the messages wait in the bus; credits: a router sends a gateway "
        "no more than `window` frames that it has not taken up, then stops, and its fetching with it (fanout.pattern targeted).",
    )
    window: int = leaf(
        Quantity(COUNT, "1", "10k"), "64", "credits: frames of one router that may be under way to one gateway or wait there; each gives its credit back."
    )
    queue: int = leaf(Quantity(DURATION, "1ms", "1h"), "500ms", "How far a gateway's freest core may be behind.")
    resume: int | None = leaf(
        Quantity(DURATION, "0", "1h"), None, "pull: how far behind it may be when fetching goes on, one answer a check; at most queue. Not given: half of it."
    )
    check: int = leaf(Quantity(DURATION, "1ms", "1h"), "100ms", "Time between two looks at what is measured.")
    protection: Protection = section(Protection, "When transient messages are refused at the gateways that read them, to spare the rest.")

    def laws(self) -> Iterator[Refusal]:
        if self.resume is not None and self.resume > self.queue:
            yield Refusal(
                f"fetching goes on when a gateway is less behind than when it stopped, {write_duration(self.queue)}",
                "lower resume or raise queue",
                ("resume",),
                write_duration(self.resume),
            )
