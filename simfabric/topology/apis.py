"""The APIs that a client calls on its way to a connection, and when it lacks too much for a replay."""

from __future__ import annotations

from collections.abc import Iterator

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, SHARE, Flag, LawOf, Quantity
from simfabric.topology.section import Section, leaf, section
from simfabric.units import write_duration

WORK = LawOf(DURATION, "0", "1min")


class Api(Section):
    """A service with so many servers and one queue; not every request ends well."""

    servers: int = leaf(Quantity(COUNT, "1", "100k"), "64", "Requests that are served at the same time.")
    work: Law = leaf(WORK, "2ms", "Work of one request.")
    queue_timeout: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "A request that would wait longer is refused then (503).")
    errors: float = leaf(Quantity(SHARE, "0", "1"), "0%", "Share of the requests that are served in vain: the answer is an error (500).")


class Bootstrap(Api):
    """The bootstrap API: a client that starts asks it what it may see; one that only dials again has the answer in hand."""

    work: Law = leaf(WORK, "5ms", "Work of one request.")
    enabled: bool = leaf(Flag(), "true", "Whether clients call it; false: they know what it would say.")


class Token(Api):
    """The token API: a client needs a fresh token for every dial; one in hand that has not expired serves again."""

    ttl: int = leaf(Quantity(DURATION, "0", "1h"), "60s", "Life of a token from the asking on; 0s: clients need no token.")
    margin: int = leaf(Quantity(DURATION, "0", "1h"), "5s", "A token that expires within this time is not used for a dial.")

    def laws(self) -> Iterator[Refusal]:
        if 0 < self.ttl <= self.margin:
            yield Refusal(
                f"a token must live longer than the margin, {write_duration(self.margin)}", "lengthen ttl or shorten margin", ("ttl",), write_duration(self.ttl)
            )


class Snapshot(Api):
    """The snapshot API: gives the state of a channel to a client that lacks more of it than a replay may bring."""

    work: Law = leaf(WORK, "5ms", "Work of one request.")


class Apis(Section):
    """The services beside the sockets."""

    bootstrap: Bootstrap = section(Bootstrap, "Tells clients that start what they may see.")
    token: Token = section(Token, "Gives clients the tokens with which they dial.")
    snapshot: Snapshot = section(Snapshot, "Gives clients the state of a channel in place of its events.")
