"""What goes wrong, and what is promised nevertheless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from simfabric.errors import Refusal
from simfabric.topology.kinds import COUNT, DURATION, SHARE, Choice, Kind, Quantity, Text
from simfabric.topology.section import Section, items, leaf, required, section

NODE_WORDS = ("one", "all")


@dataclass(frozen=True)
class NodeKind(Kind):
    """The number of a node, 'one' for one drawn at random, or 'all'."""

    most: str

    @property
    def unit(self) -> str:
        return "number of a node (the first is 0), one, or all"

    @property
    def range(self) -> str:
        return f"from 0 to {self.most}, one, or all"

    def read(self, value: object) -> int | str:
        if isinstance(value, str) and value.strip(" ") in NODE_WORDS:
            return value.strip(" ")
        try:
            return int(Quantity(COUNT, "0", self.most).read(value))
        except Refusal:
            raise Refusal("must be the number of a node, the first being 0, or 'one', or 'all'", f"give a number {self.range}") from None

    def write(self, value: Any) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(NODE_WORDS)}, Quantity(COUNT, "0", self.most).schema()]}


class Target(Section):
    """Whom a fault strikes."""

    gateway: int | Literal["one", "all"] = leaf(
        NodeKind("99_999"), "one", "Number of the gateway, the first being 0; one: one drawn at random; all: every one of them."
    )
    router: int | Literal["one", "all"] | None = leaf(
        NodeKind("99_999"), None, "The same of the routers that share the bus's partitions (fanout.pattern targeted); not given: a gateway is struck."
    )


class Fault(Section):
    """Something that goes wrong at a stated time."""

    kind: Literal["kill_node", "restart_node", "rolling_deploy", "scale_out"] = leaf(
        Choice(("kill_node", "restart_node", "rolling_deploy", "scale_out")),
        "kill_node",
        "kill_node: the node dies at once, with all its connections and all it holds (a router: with what it has fetched and not sent); restart_node: the "
        "same by plan, with the advice of gateways.drain; rolling_deploy: one batch of gateways after the other is restarted like that; scale_out: the last "
        "gateways are not there before.",
    )
    target: Target = section(Target, "Whom kill_node and restart_node strike.")
    at: int = required(Quantity(DURATION, "0", "7d"), "When it happens, from the start of the run; before its end.")
    down: int = leaf(Quantity(DURATION, "1ms", "7d"), "30s", "How long the node is away.")
    count: int | None = leaf(
        Quantity(COUNT, "0", "100k"),
        None,
        "How many gateways: of a rolling_deploy the first ones (not given: all), of a scale_out the last ones (not given: 1).",
    )
    batch: int = leaf(Quantity(COUNT, "1", "100k"), "1", "Gateways that a rolling_deploy restarts at the same time.")
    pause: int = leaf(Quantity(DURATION, "0", "7d"), "10s", "Time between the return of one batch of a rolling_deploy and the end of the next.")

    def laws(self) -> Iterator[Refusal]:
        many = self.kind in ("rolling_deploy", "scale_out")
        if many and self.target.gateway != "one":
            yield Refusal(f"{self.kind} takes gateways in order", "write count instead of target", ("target", "gateway"), str(self.target.gateway))
        if self.target.router is not None and (self.kind != "kill_node" or self.target.gateway != "one"):
            yield Refusal(
                "a router can be killed, and a fault strikes a router or a gateway", "write kind: kill_node and no gateway",
                ("target", "router"), str(self.target.router),
            )  # fmt: skip
        if not many and self.count is not None:
            yield Refusal(f"count belongs to rolling_deploy and scale_out, not to {self.kind}", "write target", ("count",), str(self.count))


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
