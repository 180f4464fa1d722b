"""Presence: who is online, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.channels import Members, MembersKind
from simfabric.topology.kinds import COUNT, DURATION, SIZE, Flag, LawOf, Quantity
from simfabric.topology.section import Section, leaf
from simfabric.units import write_duration

LEAST_DEBOUNCE = 10_000_000  # [ns]


@dataclass(frozen=True)
class LookingKind(MembersKind):
    """A share of a channel's subscribers ('5%') or a mean number of them ('20')."""

    @property
    def unit(self) -> str:
        return "share of a channel's subscribers (with %) or their mean number"

    @property
    def range(self) -> str:
        return "from 0% to 100%, or from 0 to 100M subscribers"


class Presence(Section):
    """The presence store: it keeps who is online, by leases, and tells those who look."""

    enabled: bool = leaf(Flag(), "false", "Whether the fabric keeps presence.")
    servers: int = leaf(Quantity(COUNT, "1", "100k"), "4", "Updates that the store serves at the same time.")
    work: Law = leaf(LawOf(DURATION, "0", "1min"), "20us", "Work of the store for each change that it hears of, and for each debounced update.")
    queue_timeout: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "An update that would wait longer in the store is kept there and told to nobody.")
    debounce: int = leaf(
        Quantity(DURATION, "0", "1h"), "5s", "A user who goes is told of only when away for so long; who is back by then, of neither. 0s: all is told at once."
    )
    heartbeat: int = leaf(Quantity(DURATION, "1ms", "1h"), "10s", "Time between two renewals of the entries of a gateway's users.")
    lease: int = leaf(Quantity(DURATION, "1ms", "1d"), "30s", "Life of an entry that is not renewed, as when its gateway died; at least the heartbeat.")
    looking: Members = leaf(LookingKind(), "20%", "Who of a channel's subscribers has the others' presence in view: a share of them, or a mean number.")
    channels: int = leaf(Quantity(COUNT, "1", "1_000"), "3", "In how many of a user's channels, from the first one on, an update is told.")
    size: int = leaf(Quantity(SIZE, "1B", "64KiB"), "120B", "Size of an update.")

    def laws(self) -> Iterator[Refusal]:
        if 0 < self.debounce < LEAST_DEBOUNCE:
            least = write_duration(LEAST_DEBOUNCE)
            yield Refusal(f"a debounce must last at least {least}", "lengthen it, or write 0s for none", ("debounce",), write_duration(self.debounce))
        if self.lease < self.heartbeat:
            yield Refusal(
                f"a lease must outlive a heartbeat, {write_duration(self.heartbeat)}",
                "raise presence.lease (three heartbeats are usual) or lower presence.heartbeat",
                ("lease",),
                write_duration(self.lease),
            )
