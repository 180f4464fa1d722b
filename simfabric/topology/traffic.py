"""The traffic: who publishes, how often, to which channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import model_validator

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, NUMERIC, RATE, SIZE, Choice, FileName, LawOf, Quantity, Text
from simfabric.topology.section import Section, leaf, required, section
from simfabric.units import write_duration

LANES = ("control", "durable", "transient")  # The first goes first.
TO_WORDS = ("subscribed", "popularity", "uniform")
DEFAULT_TO: Mapping[str, str] = MappingProxyType({"users": "subscribed", "channels": "popularity", "producers": "popularity", "trace": "popularity"})
DEFAULT_PER: Mapping[str, str] = MappingProxyType({"users": "user", "channels": "channel", "producers": "all", "trace": "all"})


class Bursts(Section):
    """Times when the rate is a multiple of the usual one."""

    every: int = required(Quantity(DURATION, "1ms", "7d"), "Time from the start of one burst to the start of the next.")
    length: int = required(Quantity(DURATION, "1ms", "7d"), "How long a burst lasts; at most every.")
    times: float = required(Quantity(NUMERIC, "1", "10_000"), "The rate within a burst, as a multiple of the rate outside.")

    def laws(self) -> Iterator[Refusal]:
        if self.length > self.every:
            yield Refusal(
                f"a burst must not outlast the time between two, {write_duration(self.every)}",
                "shorten length or lengthen every",
                ("length",),
                write_duration(self.length),
            )


class Daily(Section):
    """The course of a day: the rate follows a cosine whose mean is the stated rate."""

    peak_to_mean: float = leaf(Quantity(NUMERIC, "1", "5"), "2", "Rate at the day's peak, as a multiple of the day's mean.")
    peak_at: int = leaf(Quantity(DURATION, "0", "24h"), "14h", "Time of day of the peak.")
    starts_at: int = leaf(Quantity(DURATION, "0", "24h"), "9h", "Time of day when the run begins.")


class Source(Section):
    """One source of publications."""

    name: str = required(Text(100), "Name of the source; unique.")
    kind: Literal["users", "channels", "producers", "trace"] = leaf(
        Choice(("users", "channels", "producers", "trace")),
        "users",
        "users: clients publish through their gateways; channels: each channel has the rate and a random member publishes; "
        "producers: back ends write straight to the bus; trace: the rows of a file.",
    )
    rate: float | None = leaf(Quantity(RATE, "0", "1G/s"), None, "Publications per time, for each of what `per` says; needed unless the kind is trace.")
    per: Literal["user", "channel", "all"] = leaf(
        Choice(("user", "channel", "all")),
        "user",
        "What has the rate: each user (default of users), channel (of channels), or all together (of producers).",
    )
    to: str = leaf(
        Text(100),
        "subscribed",
        "Channel of a publication: subscribed (one that the publisher reads; users only, their default), popularity (default of the others), uniform, "
        "or the name of a given channel.",
    )
    lane: Literal["control", "durable", "transient"] = leaf(
        Choice(LANES),
        "durable",
        "control, durable: kept in the log, nobody may lack one; transient (typing, presence): once to whoever is there, never stored, first to be dropped.",
    )
    tenant: int | None = leaf(
        Quantity(COUNT, "0", "100M"), None, "Number of the only tenant whose users publish; needs kind: users and per: all; not given: those of every tenant."
    )
    size: Law = leaf(LawOf(SIZE, "1B", "16MiB"), "512B", "Size of a message's content.")
    bursts: Bursts | None = section(Bursts, "Times when the rate is a multiple of the usual one; not given: none.", optional=True)
    daily: Daily | None = section(Daily, "The course of a day; not given: the rate is constant.", optional=True)
    file: str | None = leaf(FileName(), None, "CSV with the columns at_s, channel and, if you like, client and size_bytes; needed when the kind is trace.")
    arrivals: Literal["poisson", "regular"] = leaf(Choice(("poisson", "regular")), "poisson", "poisson: at random times; regular: evenly spaced.")
    until: int | None = leaf(Quantity(DURATION, "0", "7d"), None, "When the source falls silent, from the start of the run; not given: never.")

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, data: Any) -> Any:
        """What `to` and `per` are when they are not given depends on the kind."""
        if not isinstance(data, Mapping):
            return data
        given = {name: value for name, value in data.items() if value is not None or name not in ("kind", "to", "per")}
        kind = str(given.get("kind", "users")).strip(" ")
        return {**({"to": DEFAULT_TO[kind], "per": DEFAULT_PER[kind]} if kind in DEFAULT_TO else {}), **given}

    def laws(self) -> Iterator[Refusal]:
        if self.kind == "trace":
            if self.file is None:
                yield Refusal("a trace needs its file", "add file: traces/day.csv", ("file",))
            if self.rate is not None:
                yield Refusal("a trace has no rate: its rows say when", "take the rate away", ("rate",))
        else:
            if self.rate is None:
                yield Refusal("a source needs its rate", "add rate: 3/min", ("rate",))
            if self.file is not None:
                yield Refusal("only a trace has a file", "take the file away, or write kind: trace", ("file",))
        if self.tenant is not None and (self.kind, self.per) != ("users", "all"):
            yield Refusal("one tenant's users publish at a rate of all together", "write kind: users and per: all, or take tenant away", ("tenant",))
        if self.to == "subscribed" and self.kind != "users":
            yield Refusal("only users publish to what they subscribe to", "write popularity, uniform or the name of a given channel", ("to",), self.to)

    def implied(self) -> frozenset[str]:
        to = {"to"} if self.to == DEFAULT_TO[self.kind] else set()
        return frozenset(to | ({"per"} if self.per == DEFAULT_PER[self.kind] else set()))
