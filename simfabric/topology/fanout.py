"""From the bus to the clients: fan-out, the routing table, and the replay of what was missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, Choice, LawOf, Quantity
from simfabric.topology.section import Section, leaf
from simfabric.units import write_duration

WORK = LawOf(DURATION, "0", "1min")


class Fanout(Section):
    """How the gateways with subscribers of a channel get its messages."""

    pattern: Literal["broadcast", "targeted", "direct"] = leaf(
        Choice(("broadcast", "targeted", "direct")),
        "targeted",
        "broadcast: every gateway consumes all; targeted: routers look up the gateways; direct: the publisher's gateway looks them up itself.",
    )
    routers: int = leaf(Quantity(COUNT, "1", "10k"), "2", "Number of routers (targeted only).")
    work: Law = leaf(WORK, "10us", "Work of a router per message.")
    work_per_target: Law = leaf(WORK, "2us", "Work of a router per gateway that a message goes to.")


class Routing(Section):
    """The routing table: which gateways have subscribers of a channel, by leases."""

    store_delay: int = leaf(Quantity(DURATION, "1us", "1min"), "1ms", "Time of one read or write of the table, besides the hop.")
    heartbeat: int = leaf(Quantity(DURATION, "1ms", "1h"), "5s", "Time between two renewals of a gateway's leases.")
    ttl: int = leaf(Quantity(DURATION, "1ms", "1d"), "15s", "Life of a lease that is not renewed; at least the heartbeat.")
    cache: int = leaf(Quantity(DURATION, "0", "1h"), "1s", "Life of an entry in a router's cache; 0s: no cache.")

    def laws(self) -> Iterator[Refusal]:
        if self.ttl < self.heartbeat:
            yield Refusal(
                f"a lease must outlive a heartbeat, {write_duration(self.heartbeat)}",
                "raise routing.ttl (three heartbeats are usual) or lower routing.heartbeat",
                ("ttl",),
                write_duration(self.ttl),
            )


class Replay(Section):
    """The servers that give clients what they missed while they were away."""

    servers: int = leaf(Quantity(COUNT, "1", "100k"), "8", "Replay requests that are served at the same time.")
    work: Law = leaf(WORK, "2ms", "Work of one request.")
    work_per_message: Law = leaf(WORK, "20us", "Work of each message that a request returns.")
