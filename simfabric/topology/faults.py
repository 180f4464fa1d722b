"""What goes wrong, and what is promised nevertheless."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from simfabric.chance import Law
from simfabric.errors import Refusal
from simfabric.topology.clients import OTHERS
from simfabric.topology.fault_kinds import KINDS
from simfabric.topology.kinds import BANDWIDTH, COUNT, DURATION, NUMERIC, SHARE, Choice, Flag, Kind, LawOf, Quantity, Text
from simfabric.topology.section import Section, items, leaf, required, section

MODES = {"crash_consumer": ("after_work", "commit_first"), "rebalance_group": ("eager", "cooperative")}  # The first is that which is not given.
NODE_WORDS = ("one", "minority", "majority", "all")


def enumerated(words: Sequence[str]) -> str:
    """These words, the last one after an 'or'."""
    return ", ".join([*words[:-1], f"or {words[-1]}"]) if len(words) > 1 else f"or {words[0]}"


@dataclass(frozen=True)
class NodeKind(Kind):
    """The number of a node, or how many drawn at random: 'one', 'minority', 'majority', or 'all'."""

    most: str
    words: ClassVar[tuple[str, ...]] = NODE_WORDS
    what: ClassVar[str] = "node"

    @property
    def unit(self) -> str:
        return f"number of a {self.what} (the first is 0), {enumerated(self.words)}"

    @property
    def range(self) -> str:
        return f"from 0 to {self.most}, {enumerated(self.words)}"

    def read(self, value: object) -> int | str:
        if isinstance(value, str) and value.strip(" ") in self.words:
            return value.strip(" ")
        try:
            return int(Quantity(COUNT, "0", self.most).read(value))
        except Refusal:
            law = f"must be the number of a {self.what}, the first being 0, or {enumerated([repr(word) for word in self.words])}"
            raise Refusal(law, f"give a number {self.range}") from None

    def write(self, value: Any) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, Quantity(COUNT, "0", self.most).schema()]}


class ZoneKind(NodeKind):
    """The number of a zone, or 'one' drawn at random."""

    words = ("one",)
    what = "zone"


NodeWord = Literal["one", "minority", "majority", "all"]
DRAWN = "one: one drawn at random; minority, majority: the most that are less, the fewest that are more than half, drawn; all: every one of them."


class Target(Section):
    """Whom a fault strikes."""

    gateway: int | NodeWord = leaf(NodeKind("99_999"), "one", f"Number of the gateway, the first being 0; {DRAWN}")
    router: int | NodeWord | None = leaf(
        NodeKind("99_999"),
        None,
        "The same of the routers that share the bus's partitions (fanout.pattern targeted); not given: a gateway is struck, or one router by its own faults.",
    )
    zone: int | Literal["one"] | None = leaf(
        ZoneKind("99"), None, "Instead of gateway: the gateways of this zone, the first being 0, or of one drawn at random; see gateways.zones."
    )
    broker: int | NodeWord | None = leaf(NodeKind("999"), None, "The same of the brokers of the bus, for its faults; not given: one.")


class Fault(Section):
    """Something that goes wrong at a stated time, or again and again at times drawn."""

    kind: str = leaf(Choice(tuple(KINDS)), "kill_node", "What goes wrong; `simfabric explain faults.kind` says of each what it is, and what must not happen.")
    target: Target = section(Target, "Whom it strikes, where the kind strikes nodes.")
    at: int | None = leaf(Quantity(DURATION, "0", "7d"), None, "When it happens, from the start of the run; before its end. This or every must be given.")
    every: Law | None = leaf(LawOf(DURATION, "1ms", "7d"), None, "Instead of at: the time to the first, and from the start of each to the next.")
    p: float = leaf(Quantity(SHARE, "0", "1"), "100%", "Chance of each of them that it happens at all.")
    length: int = leaf(Quantity(DURATION, "0", "7d"), "30s", "How long it lasts, where it lasts; 0 is no fault.")
    down: int = leaf(Quantity(DURATION, "1ms", "7d"), "30s", "How long a node is away.")
    count: int | None = leaf(
        Quantity(COUNT, "0", "100k"),
        None,
        "How many gateways: of a rolling_deploy the first ones (not given: all), of a scale_out the last ones (not given: 1).",
    )
    batch: int = leaf(Quantity(COUNT, "1", "100k"), "1", "Gateways that a rolling_deploy restarts at the same time.")
    profile: str = leaf(
        Choice(("no_jitter", "never_reset", *OTHERS)),
        "no_jitter",
        "How old_clients wait before they dial: as the protocol's own do, but without jitter, or without ever forgetting an attempt; or as another library.",
    )
    most: int = leaf(Quantity(DURATION, "0", "1min"), "100ms", "Delay of delay_packets; of the others, the most that a frame is later, drawn evenly.")
    pause: int = leaf(
        Quantity(DURATION, "0", "7d"),
        "10s",
        "Time between the return of one batch of a rolling_deploy, or of a crash_loop_node, and the next end; or of a stop in a rebalance_group.",
    )
    times: int = leaf(Quantity(COUNT, "1", "1000"), "3", "How often a crash_loop_node dies.")
    grace: int = leaf(Quantity(DURATION, "0", "7d"), "10s", "How long a drain_node keeps the connections that it has.")
    errors: float = leaf(Quantity(SHARE, "0", "1"), "0%", "Share of what a service is asked that it answers with an error meanwhile.")
    expire: bool = leaf(Flag(), "false", "Whether the tokens that were given before are void from then on.")
    limit: int = leaf(Quantity(COUNT, "0", "100M"), "0", "Most connections that a gateway may have meanwhile.")
    cpu: float = leaf(Quantity(SHARE, "1%", "1"), "50%", "Share of the time of its cores that is left to a slow_node; 100% is no fault.")
    late: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "By how much what the balancer knows of its gateways is late; 0 is no fault.")
    setting: str = leaf(Choice(("work", "connections")), "work", "What push_bad_config sets wrong on every gateway.")
    api: str = leaf(Choice(("replay", "snapshot", "bootstrap")), "replay", "The service that a limit_api strikes.")
    lost: int = leaf(Quantity(DURATION, "0", "1h"), "10s", "How far a copy is behind: what was written in so long before is lost; 0 is no fault.")
    way: str = leaf(Choice(("out", "in")), "out", "Which way a split_one_way cuts: what gateways send to the services behind them, or what they get.")
    reads: float = leaf(Quantity(SHARE, "0", "1"), "0%", "What a client still reads, as a share of what the mean connection has been sent until then.")
    bandwidth: int = leaf(Quantity(BANDWIDTH, "1kbit/s", "1000Gbit/s"), "64kbit/s", "Downlink of each client that it strikes, if its own is not slower.")
    spread: int = leaf(Quantity(DURATION, "0", "1h"), "0s", "Time over which it reaches one client after the other, drawn evenly.")
    factor: float = leaf(Quantity(NUMERIC, "0", "1_000"), "10", "How many times slower, or more; see the kind.")
    share: float = leaf(
        Quantity(SHARE, "0", "1"), "100%", "Share of the clients, channels, dials, frames or records that it strikes, each drawn; 0 is no fault."
    )
    mode: str | None = leaf(
        Choice(tuple(word for words in MODES.values() for word in words)),
        None,
        "How: of crash_consumer after_work (not given) or commit_first, of rebalance_group eager (not given) or cooperative.",
    )
    in_sync: int = leaf(Quantity(COUNT, "1", "10"), "1", "Copies that are in sync while shrink_replicas lasts.")
    attempts: int = leaf(Quantity(COUNT, "1", "1_000"), "3", "How often a record that cannot be read is tried before it is set aside.")
    attempt_time: int = leaf(Quantity(DURATION, "1us", "1min"), "100ms", "How long each of the attempts takes.")
    channel: str | None = leaf(
        Text(100), None, "Which channel, of channels.given by name, of the others by number (the first, most popular, is 0); not given: number 0."
    )
    tenant: int | None = leaf(Quantity(COUNT, "0", "100M"), None, "Number of the tenant whose users it strikes; not given: one user, drawn.")

    def struck(self, node: str) -> int | str | None:
        """Whom it strikes among the routers or brokers; None: none of them."""
        given: int | str | None = getattr(self.target, node)
        return "one" if given is None and KINDS[self.kind].strikes == node else given

    def laws(self) -> Iterator[Refusal]:
        if (self.at is None) == (self.every is None):
            yield Refusal("a fault has a time: at, or every", "give one of the two", ("at",))
        target = self.target
        if self.kind in ("rolling_deploy", "scale_out") and target.gateway != "one":
            yield Refusal(f"{self.kind} takes gateways in order", "write count instead of target", ("target", "gateway"), str(target.gateway))
        if self.kind == "scale_out" and self.every is not None:
            yield Refusal("gateways join once", "write at", ("every",))
        elif "target" not in KINDS[self.kind].takes and target != Target():
            yield Refusal(f"{self.kind} strikes no single node", "leave target out", ("target",))
        strikes = KINDS[self.kind].strikes
        for name in ("router", "broker"):
            given = getattr(target, name)
            if given is not None and strikes != name and (self.kind, name) != ("kill_node", "router"):
                cure = "write kind: kill_node or crash_consumer" if name == "router" else "write kind: restart_broker"
                yield Refusal(f"{self.kind} strikes no {name}", cure, ("target", name), str(given))
        if target.gateway != "one" and (strikes != "gateway" or target.router is not None):
            yield Refusal("a fault strikes a gateway, a router or a broker", "give no gateway beside it", ("target", "gateway"), str(target.gateway))
        if self.mode is not None and "mode" in KINDS[self.kind].takes and self.mode not in MODES[self.kind]:
            yield Refusal(f"{self.kind} has the modes {' and '.join(MODES[self.kind])}", "write one of them", ("mode",), self.mode)
        if target.zone is not None and (target.gateway != "one" or target.router is not None):
            yield Refusal("a fault strikes a zone or a node", "write zone alone", ("target", "zone"), str(target.zone))
        if self.kind == "lose_region" and target not in (Target(), Target(zone=target.zone)):
            yield Refusal("lose_region strikes a zone", "write target: {zone: one}, or a number", ("target",))
        takes = KINDS[self.kind].takes
        for name in sorted(self.model_fields_set - takes):
            if name != "target" and getattr(self, name) != type(self).model_fields[name].default:
                yield Refusal(f"{self.kind} takes no {name}", f"leave it out; {self.kind} takes {', '.join(sorted(takes - {'kind'}))}", (name,))


class Slo(Section):
    """What is promised: the run is judged by it."""

    delivery_p99: int = leaf(
        Quantity(DURATION, "1us", "1h"), "2s", "99 % of deliveries to connected clients take at most this long, from publication to receipt."
    )
    connect_success: float = leaf(Quantity(SHARE, "0", "1"), "99.9%", "Share of dials that become connections.")
    recovery_p99: int = leaf(Quantity(DURATION, "1us", "1d"), "30s", "99 % of clients are connected and complete again so long after a break.")
    replay_success: float = leaf(Quantity(SHARE, "0", "1"), "99.5%", "Share of what clients missed that a replay brings; for the rest, a snapshot must do.")


class PublishedQuantile(Section):
    """One point of a published distribution of delay."""

    quantile: float = required(Quantity(SHARE, "0", "1"), "Share of deliveries.")
    delay: int = required(Quantity(DURATION, "1ns", "1d"), "The delay that this share does not exceed.")


class Published(Section):
    """What somebody measured on a real fabric like this one, to compare the run with."""

    source: str = required(Text(500), "Where it was published.")
    quantiles: tuple[PublishedQuantile, ...] = items(PublishedQuantile, 100, "Delays from publication to receipt that were published.")
    cpu: float | None = leaf(Quantity(SHARE, "0", "1"), None, "Share of the gateways' cores that was busy; not given: not known.")
    note: str = leaf(Text(2000, lines=True, empty=True), "", "What to know about it.")
