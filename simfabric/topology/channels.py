"""The channels that clients subscribe to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simfabric.errors import Refusal
from simfabric.topology.clients import repeated
from simfabric.topology.kinds import COUNT, Kind, Quantity, Text
from simfabric.topology.section import Section, items, leaf, required
from simfabric.units import parse_count, parse_number, parse_share, write_count, write_number, write_share


@dataclass(frozen=True, slots=True)
class Members:
    """How many clients subscribe to a given channel: a share of all, or a number (one of the two is None)."""

    share: float | None = None
    count: int | None = None


@dataclass(frozen=True)
class MembersKind(Kind):
    """A share of all clients ('100%') or a number of them ('250')."""

    @property
    def unit(self) -> str:
        return "share of all clients (with %) or number of clients"

    @property
    def range(self) -> str:
        return "from 0% to 100%, or from 0 to 100M clients"

    def read(self, value: object) -> Members:
        if isinstance(value, Members):
            return value
        text = value if isinstance(value, str) else str(value)
        members = Members(share=parse_share(text)) if text.rstrip(" ").endswith("%") else Members(count=parse_count(text))
        if (members.share or 0) > 1 or (members.count or 0) > 100_000_000:
            raise Refusal(f"must be {self.range}", "give a share such as 100% or a number such as 250")
        return members

    def write(self, value: Any) -> str:
        return write_share(value.share) if value.share is not None else write_count(value.count)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": r"^[0-9][0-9_]*(\.[0-9]+)? ?[%kM]?$"}, {"type": "integer", "minimum": 0, "maximum": 100_000_000}]}


@dataclass(frozen=True)
class PopularityKind(Kind):
    """A Zipf exponent: 'zipf(1.1)', a bare number, or 'uniform' for 0."""

    @property
    def unit(self) -> str:
        return "Zipf exponent: zipf(1.1), a number, or uniform (0)"

    @property
    def range(self) -> str:
        return "from 0 to 3"

    def read(self, value: object) -> float:
        text = (value if isinstance(value, str) else str(value)).strip(" ")
        if text == "uniform":
            return 0.0
        match = re.fullmatch(r"zipf ?\(([^()]*)\)", text)
        try:
            exponent = parse_number(match.group(1) if match else text)
        except Refusal:
            raise Refusal("must be zipf(exponent), a number or uniform", "write zipf(1.1), or uniform for channels that are all alike") from None
        if exponent > 3:
            raise Refusal(f"must be a Zipf exponent {self.range}", "give an exponent such as 1.1")
        return exponent

    def write(self, value: Any) -> str:
        return f"zipf({write_number(value)})" if value else "uniform"

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": r"^(uniform|zipf ?\([0-9.]+\)|[0-9.]+)$"}, {"type": "number", "minimum": 0, "maximum": 3}]}


class GivenChannel(Section):
    """A channel with a name and a stated number of members, such as the one that everybody reads."""

    name: str = required(Text(100), "Name of the channel; unique.")
    members: Members = required(MembersKind(), "How many clients subscribe to it: a share of all clients, or a number.")

    @property
    def members_share(self) -> float | None:
        """The share of all clients that subscribe, where it is given as a share."""
        return self.members.share

    @property
    def members_count(self) -> int | None:
        """The number of clients that subscribe, where it is given as a number."""
        return self.members.count


class Channels(Section):
    """The channels: a few given ones, numbered first, and a crowd of ordinary ones."""

    count: int = leaf(Quantity(COUNT, "1", "100M"), "20", "Number of ordinary channels.")
    popularity: float = leaf(PopularityKind(), "zipf(1)", "How unequal the ordinary channels are: channel k is drawn in proportion to k^-exponent.")
    given: tuple[GivenChannel, ...] = items(GivenChannel, 10_000, "Channels with a name and a stated number of members; numbered before the ordinary ones.")

    def laws(self) -> Iterator[Refusal]:
        yield from repeated([channel.name for channel in self.given], "given", "channel")
