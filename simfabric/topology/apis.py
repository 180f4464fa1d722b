"""The APIs that a client calls on its way to a connection."""

from __future__ import annotations

from collections.abc import Iterator

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, LawOf, Quantity
from simfabric.topology.section import Section, leaf, section
from simfabric.units import write_duration


class Token(Section):
    """The token API: a client needs a fresh token for every dial; one in hand that has not expired serves again."""

    servers: int = leaf(Quantity(COUNT, "1", "100k"), "64", "Requests that are served at the same time.")
    work: Law = leaf(LawOf(DURATION, "0", "1min"), "2ms", "Work of one request.")
    queue_timeout: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "A request that would wait longer is refused then (503).")
    ttl: int = leaf(Quantity(DURATION, "0", "1h"), "60s", "Life of a token from the asking on; 0s: clients need no token.")
    margin: int = leaf(Quantity(DURATION, "0", "1h"), "5s", "A token that expires within this time is not used for a dial.")

    def laws(self) -> Iterator[Refusal]:
        if 0 < self.ttl <= self.margin:
            yield Refusal(
                f"a token must live longer than the margin, {write_duration(self.margin)}", "lengthen ttl or shorten margin", ("ttl",), write_duration(self.ttl)
            )


class Apis(Section):
    """The services beside the sockets."""

    token: Token = section(Token, "Gives clients the tokens with which they dial.")
