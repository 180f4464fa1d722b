"""The clients: how many, where, how they connect and how they come back."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.protocol.profiles import DEFAULT, PROFILES
from simfabric.topology.kinds import BANDWIDTH, COUNT, DURATION, NUMERIC, SHARE, Choice, LawOf, Quantity, Text
from simfabric.topology.section import Section, items, leaf, required, section
from simfabric.units import write_duration, write_share


class Region(Section):
    """A part of the clients that is as far from the edge as its delay says."""

    name: str = required(Text(100), "Name of the region; unique.")
    share: float = required(Quantity(SHARE, "0", "1"), "Share of all clients that live here; the shares of all regions sum to 100%.")
    delay: Law = leaf(
        LawOf(DURATION, "0", "10min"),
        "lognormal(median 20ms, p99 150ms)",
        "One-way delay between a client and the edge, drawn once per client.",
    )


class Reconnect(Section):
    """How long a client waits before it dials again: first, first x factor, … up to the cap, each with jitter."""

    first: int = leaf(Quantity(DURATION, "0", "1h"), "1s", "Wait before the first dial after a break.")
    factor: float = leaf(Quantity(NUMERIC, "1", "10"), "2", "By what each further wait is longer than the one before.")
    cap: int = leaf(Quantity(DURATION, "1ms", "1h"), "30s", "Longest wait, before jitter; at least first.")
    jitter: float = leaf(Quantity(SHARE, "0", "1"), "20%", "How far a wait is spread at random, as a share of itself to either side.")
    jitter_order: Literal["cap_first", "jitter_first"] = leaf(
        Choice(("cap_first", "jitter_first")),
        "cap_first",
        "cap_first: late waits are spread around the cap; jitter_first: none exceeds it, and half of the late ones are exactly the cap.",
    )
    attempt_limit: int = leaf(Quantity(COUNT, "0", "1M"), "8", "Failed attempts after which a client shows that it is offline, and retries slowly.")
    offline_retry: int = leaf(Quantity(DURATION, "1ms", "1d"), "60s", "Wait between the retries of an offline client, with the same jitter.")
    stable_after: int = leaf(Quantity(DURATION, "0", "1h"), "30s", "A connection must last so long before its failed attempts are forgotten.")

    def laws(self) -> Iterator[Refusal]:
        if self.cap < self.first:
            yield Refusal(
                f"the cap must be at least the first wait, {write_duration(self.first)}", "raise cap or lower first", ("cap",), write_duration(self.cap)
            )


OTHERS = tuple(name for name in PROFILES if name != DEFAULT)


class FleetPart(Section):
    """Clients that use another library, with its reconnect policy as read from its source."""

    profile: str = required(Choice(OTHERS), "The library; see simfabric/protocol/profiles.py for versions and waits.")
    share: float = required(Quantity(SHARE, "0", "1"), "Share of all clients; what the shares leave has the protocol's own policy, clients.reconnect.")


class Churn(Section):
    """Clients whose connections end by themselves."""

    name: str = required(Text(100), "Name of this part of the clients; unique.")
    share: float = required(Quantity(SHARE, "0", "1"), "Share of all clients; what the shares leave stays connected for ever.")
    stays: Law = required(LawOf(DURATION, "0", "365d"), "How long a connection lasts if nothing else ends it, from its opening on; at least 1s.")
    ends: Literal["close", "silent"] = leaf(
        Choice(("close", "silent")),
        "close",
        "close: the user closes the page, and comes again; silent: nothing passes any more, and both sides find out by heartbeat.",
    )
    away: Law | None = leaf(LawOf(DURATION, "0", "365d"), None, "How long a user who closed the page stays away; at least 1s. Only with ends: close.")

    def laws(self) -> Iterator[Refusal]:
        if (self.away is not None) != (self.ends == "close"):
            cure = "give away" if self.away is None else "leave away out"
            yield Refusal("who closes the page has a time away, and nobody else", cure, ("ends" if self.away is None else "away",), self.ends)


class Link(Section):
    """Clients with another downlink than the rest, such as phones at the edge of a cell."""

    name: str = required(Text(100), "Name of this part of the clients; unique.")
    share: float = required(Quantity(SHARE, "0", "1"), "Share of all clients, drawn one by one; what the shares leave has clients.bandwidth.")
    bandwidth: int = required(Quantity(BANDWIDTH, "1bit/s", "1000Gbit/s"), "Their downlink; 1bit/s is a client that reads next to nothing.")


class Clients(Section):
    """The devices and their users: how many, how far away, how they connect."""

    count: int = leaf(Quantity(COUNT, "1", "100M"), "100", "Number of clients.")
    tenants: int = leaf(Quantity(COUNT, "1", "100M"), "1", "Number of tenants that the clients belong to.")
    tenant_popularity: float = leaf(Quantity(NUMERIC, "0", "3"), "0", "Zipf exponent of the tenants' sizes; 0 makes them equal.")
    devices_per_user: int = leaf(Quantity(COUNT, "1", "100"), "1", "Clients that one user has.")
    behind_nat: float = leaf(Quantity(SHARE, "0", "1"), "0%", "Share of clients that share their address with others.")
    nat_size: int = leaf(Quantity(COUNT, "1", "1M"), "50", "Clients per shared address.")
    regions: tuple[Region, ...] = items(Region, 100, "Where the clients are; an empty list is one region, main, with clients.delay.")
    delay: Law = leaf(
        LawOf(DURATION, "0", "10min"),
        "lognormal(median 20ms, p99 150ms)",
        "One-way delay between a client and the edge, drawn once per client, where there are no regions.",
    )
    delay_floor: int = leaf(Quantity(DURATION, "1us", "10s"), "1ms", "Least one-way delay between a client and the edge; shorter draws are raised to it.")
    bandwidth: int = leaf(Quantity(BANDWIDTH, "0", "1000Gbit/s"), "20Mbit/s", "Downlink of each client; unlimited takes no time to transmit.")
    links: tuple[Link, ...] = items(Link, 20, "Clients with another downlink: slow consumers.")
    gap_wait: int = leaf(Quantity(DURATION, "0", "1min"), "300ms", "How long a client that sees a gap waits for it to close by itself before it asks the log.")
    replay_max: int = leaf(
        Quantity(COUNT, "0", "1G"),
        "2000",
        "A client that lacks more messages of a channel takes a snapshot of it, and not a replay; also when some have expired.",
    )
    fetch_timeout: int = leaf(Quantity(DURATION, "100ms", "1h"), "10s", "How long a client waits for a snapshot before it asks again.")
    subscriptions: int = leaf(Quantity(COUNT, "0", "1000"), "5", "Channels that each client subscribes to besides the given ones, drawn by their popularity.")
    start: int = leaf(
        Quantity(DURATION, "1ms", "7d", MappingProxyType({"connected": 0})),
        "connected",
        "connected: every client is connected when the run begins; a duration: they dial spread over that time.",
    )
    reconnect: Reconnect = section(Reconnect, "How a client comes back after its connection broke.")
    sessions: int | None = leaf(
        Quantity(COUNT, "0", "100M", MappingProxyType({"all": None})),
        "0",
        "Clients that are run one by one, by the protocol's own client code, and leave a trace; they do what they would do as columns.",
    )
    connect_timeout: int = leaf(
        Quantity(DURATION, "100ms", "1h"),
        "10s",
        "A client waits so long for each step of connecting (bootstrap, token, edge, its subscriptions); then it gives up.",
    )
    fleet: tuple[FleetPart, ...] = items(FleetPart, 20, "Clients with the reconnect policies of well-known libraries.")
    churn: tuple[Churn, ...] = items(Churn, 20, "Clients whose connections end by themselves: users who come and go, links that fall silent.")
    heartbeat_interval: int = leaf(Quantity(DURATION, "1s", "1h"), "25s", "Time between two pings of a gateway on a connection.")
    heartbeat_timeout: int = leaf(Quantity(DURATION, "1s", "1h"), "10s", "How much later than that a sign of life may come before a connection counts as dead.")
    notice: int = leaf(Quantity(DURATION, "0", "1h"), "0s", "How long after its gateway died a client sees the break, besides the one-way delay.")

    def laws(self) -> Iterator[Refusal]:
        total = sum(region.share for region in self.regions)
        if self.regions and abs(total - 1.0) > 1e-6:
            yield Refusal("the regions' shares must sum to 100%", f"change a share: now they sum to {write_share(round(total, 9))}", ("regions",))
        others = sum(part.share for part in self.fleet)
        if others > 1.0 + 1e-9:
            yield Refusal("the fleet's shares must sum to at most 100%", f"lower a share: now they sum to {write_share(round(others, 9))}", ("fleet",))
        going = sum(part.share for part in self.churn)
        if going > 1.0 + 1e-9:
            yield Refusal("the shares of churn must sum to at most 100%", f"lower a share: now they sum to {write_share(round(going, 9))}", ("churn",))
        linked = sum(part.share for part in self.links)
        if linked > 1.0 + 1e-9:
            yield Refusal("the shares of links must sum to at most 100%", f"lower a share: now they sum to {write_share(round(linked, 9))}", ("links",))
        yield from repeated([part.name for part in self.links], "links", "part of the clients")
        yield from repeated([part.name for part in self.churn], "churn", "part of the clients")
        yield from repeated([region.name for region in self.regions], "regions", "region")


def repeated(names: list[str], path: str, what: str) -> Iterator[Refusal]:
    """One refusal for each name that an earlier item of the list `path` has."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in first:
            yield Refusal(f"the name of a {what} must be unique; {path}[{first[name]}] has it already", "give it another name", (path, i, "name"), name)
        first.setdefault(name, i)
