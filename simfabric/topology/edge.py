"""The edge: the balancer that spreads dials, and the gateways that hold connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, SHARE, SIZE, TIME_PER_BYTE, Choice, LawOf, Quantity
from simfabric.topology.section import Section, leaf, required, section
from simfabric.units import write_duration, write_size

WORK = LawOf(DURATION, "0", "10s")
POLICIES = (
    "cookie", "source_ip", "consistent_hash", "bounded_hash", "rendezvous", "maglev", "round_robin", "random", "two_choices", "least_connections",
)  # fmt: skip


class Health(Section):
    """How the balancer finds out that a gateway is dead or back."""

    interval: int = leaf(Quantity(DURATION, "10ms", "1h"), "2s", "Time from one check of a gateway to the next.")
    timeout: int = leaf(Quantity(DURATION, "1ms", "1h"), "1s", "When a check without an answer counts as failed; at most the interval.")
    fall: int = leaf(Quantity(COUNT, "1", "100"), "3", "Failed checks in a row after which a gateway gets no more dials.")
    rise: int = leaf(Quantity(COUNT, "1", "100"), "2", "Good checks in a row after which it gets dials again.")

    def laws(self) -> Iterator[Refusal]:
        if self.timeout > self.interval:
            yield Refusal(
                f"a check must end before the next begins: at most the interval, {write_duration(self.interval)}",
                "shorten timeout or lengthen interval",
                ("timeout",),
                write_duration(self.timeout),
            )


class Balancer(Section):
    """The balancer: picks a gateway for each dial, after the TLS handshake."""

    policy: Literal[
        "cookie", "source_ip", "consistent_hash", "bounded_hash", "rendezvous", "maglev", "round_robin", "random", "two_choices", "least_connections"
    ] = leaf(Choice(POLICIES), "least_connections", "How the gateway of a dial is picked.")
    key: Literal["user", "tenant"] = leaf(Choice(("user", "tenant")), "user", "What the hashing policies hash.")
    virtual_nodes: int = leaf(Quantity(COUNT, "1", "10k"), "100", "Points of each gateway on the ring of consistent_hash and bounded_hash.")
    load_bound: float = leaf(Quantity(SHARE, "0", "10"), "25%", "How far above the mean bounded_hash lets a gateway's connections go.")
    slow_start: int = leaf(Quantity(DURATION, "0", "1h"), "0s", "Time over which a gateway that came back grows to its full share of dials; 0s: at once.")
    servers: int = leaf(Quantity(COUNT, "1", "100k"), "4", "Cores that do TLS handshakes, all balancers together.")
    handshake: Law = leaf(WORK, "0.5ms", "TLS work of one dial.")
    queue_timeout: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "A dial that would wait longer for its TLS handshake is refused then.")
    retry_after: int | None = leaf(Quantity(DURATION, "0", "1h"), None, "Wait that a refusal for overload advises, at any place; not given: no advice.")
    retry_spread: int = leaf(Quantity(DURATION, "0", "1h"), "0s", "Over what a client spreads that wait at random, besides retry_after.")
    health: Health = section(Health, "How a dead gateway is found out.")


class GatewayWork(Section):
    """What a gateway's core spends on each thing."""

    handshake: Law = leaf(WORK, "0.5ms", "Work of one accepted dial.")
    subscribe: Law = leaf(WORK, "10us", "Work of one subscription of a client that connects.")
    frame_in: Law = leaf(WORK, "20us", "Work of reading one frame from a client.")
    delivery: Law = leaf(WORK, "4us", "Work of writing one message to one subscriber.")
    byte_out: float = leaf(Quantity(TIME_PER_BYTE, "0", "1ms"), "0ns", "Work of each byte written, besides the delivery.")


class Pauses(Section):
    """Stop-the-world pauses of each gateway."""

    every: Law = required(LawOf(DURATION, "1ms", "7d"), "Time from the start of one pause to the start of the next; pauses that meet queue.")
    length: Law = required(LawOf(DURATION, "0", "10min"), "How long a pause lasts.")


class Drain(Section):
    """What a gateway advises when it closes by plan; there is no herd if the spread is at least the connections by the admission rate."""

    retry_after: int = leaf(Quantity(DURATION, "0", "1h"), "0s", "Least wait before a client dials again.")
    spread: int = leaf(Quantity(DURATION, "0", "1h"), "30s", "Over what clients spread their dials at random, besides retry_after.")


class Gateways(Section):
    """The gateways: hold the connections, read their frames, write each message to every local subscriber."""

    count: int = leaf(Quantity(COUNT, "1", "100k"), "1", "Number of gateways.")
    zones: int = leaf(Quantity(COUNT, "1", "100"), "1", "Zones or regions over which gateways and routers are spread: node n stands in zone n modulo zones.")
    cores: int = leaf(Quantity(COUNT, "1", "256"), "4", "Cores of each gateway.")
    dispatch: Literal["connection", "shared"] = leaf(
        Choice(("connection", "shared")),
        "connection",
        "connection: each connection belongs to one core, so its messages keep their order; shared: the core that is free first takes the next frame.",
    )
    work: GatewayWork = section(GatewayWork, "What a core spends on each thing.")
    memory: int = leaf(Quantity(SIZE, "1MB", "100_000GB"), "8GB", "Memory of each gateway.")
    memory_per_connection: int = leaf(Quantity(SIZE, "0", "1GB"), "30KB", "Memory of one connection, buffers of waiting messages not included.")
    connections: int = leaf(Quantity(COUNT, "1", "100M"), "100k", "Most connections of one gateway; further dials are refused.")
    descriptors: int = leaf(Quantity(COUNT, "1", "100M"), "200k", "Most open sockets of one gateway; further dials are refused.")
    accept_timeout: int | None = leaf(
        Quantity(DURATION, "0", "1h"),
        None,
        "A dial that would wait longer for its core is refused at once (1013), with the advice of the balancer's refusals; not given: none is.",
    )
    buffer: int = leaf(Quantity(SIZE, "1KB", "1GB"), "1MB", "Outbound buffer of each socket; what a slow consumer has waiting beyond it overflows.")
    transients_upto: float = leaf(
        Quantity(SHARE, "0", "1"),
        "50%",
        "Share of that buffer up to which transient messages are written; when it is fuller they are dropped. What is written goes; 0%: none ever waits.",
    )
    overflow: Literal["resync", "disconnect"] = leaf(
        Choice(("resync", "disconnect")),
        "resync",
        "What a full buffer does: resync: the message is not written, and the client asks the log for it; disconnect: so too, and a connection "
        "that refuses messages for longer than overflow_grace is closed.",
    )
    overflow_grace: int = leaf(
        Quantity(DURATION, "0", "1h"), "5s", "How long a buffer may refuse messages, without draining to that share between, before its connection is closed."
    )
    drain: Drain = section(Drain, "What a gateway advises to its clients when it closes by plan.")
    pauses: Pauses | None = section(Pauses, "Stop-the-world pauses of each gateway; not given: none.", optional=True)

    def laws(self) -> Iterator[Refusal]:
        if self.zones > self.count:
            yield Refusal("every zone needs a gateway", "lower zones or raise count", ("zones",), str(self.zones))
        if self.memory_per_connection > self.memory:
            yield Refusal(
                f"one connection must fit in a gateway's memory, {write_size(self.memory)}",
                "lower memory_per_connection or raise memory",
                ("memory_per_connection",),
                write_size(self.memory_per_connection),
            )
