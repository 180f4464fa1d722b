"""Cost: what a topology costs a month, by a table of prices.

A table is a YAML file, read with the same guard as a topology, with its currency, its source and its date. The table that comes with the package
(`EXAMPLE`) is an example: round figures, nobody's offer. A month has 730 hours.

Leaves out: discounts, support, people; storage that grows; traffic between zones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfabric.errors import Problem, Refusal, TopologyError, shown
from simfabric.planning.estimate import plan
from simfabric.planning.flows import mean_of
from simfabric.running import Result
from simfabric.topology import Topology, files
from simfabric.topology.building import build
from simfabric.topology.kinds import COUNT, NUMERIC, SHARE, Quantity, Text
from simfabric.topology.reading import Budget, read
from simfabric.topology.section import Section, leaf, required
from simfabric.topology.tree import Keys
from simfabric.world import SECOND

MONTH_S = 730 * 3600
PRICE = Quantity(NUMERIC, "0", "1_000_000_000")
EXAMPLE = Path(__file__).with_name("example_prices.yaml")


class Prices(Section):
    """A table of prices, each a month unless it says otherwise."""

    version: int = leaf(Quantity(COUNT, "1", "1"), "1", "Version of this format.")
    currency: str = required(Text(10), "Currency of all prices, such as EUR.")
    source: str = required(Text(500), "Where the prices are from.")
    date: str = required(Text(40), "When they were valid.")
    gateway: float = leaf(PRICE, "0", "Each gateway, besides its cores.")
    gateway_core: float = leaf(PRICE, "0", "Each core of a gateway.")
    balancer_core: float = leaf(PRICE, "0", "Each core of the balancers.")
    broker: float = leaf(PRICE, "0", "Each broker.")
    shard: float = leaf(PRICE, "0", "Each shard of the storage.")
    router: float = leaf(PRICE, "0", "Each router.")
    replay_server: float = leaf(PRICE, "0", "Each replay request that is served at the same time.")
    egress_gb: float = leaf(PRICE, "0", "Each GB (10^9 bytes) that gateways write to clients.")
    mean_load: float = leaf(Quantity(SHARE, "0", "1"), "100%", "Mean load of the month as a share of the topology's, for what is paid by use.")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the bill."""

    name: str
    quantity: float
    price: float

    @property
    def amount(self) -> float:
        """Quantity times price."""
        return self.quantity * self.price


@dataclass(frozen=True, eq=False)
class Cost:
    """What a topology costs a month."""

    items: tuple[Item, ...]
    currency: str
    source: str
    date: str

    @property
    def total(self) -> float:
        """The sum, a month."""
        return sum(item.amount for item in self.items)

    def line(self) -> str:
        """The sum in one line, with where the prices are from."""
        return f"{self.total:,.2f} {self.currency} a month (prices: {shown(self.source)}, {shown(self.date)})"

    def text(self) -> str:
        """The bill for people."""
        rows = [f"  {item.name:<16}{item.quantity:>16,.6g} x {item.price:>12,.4f} = {item.amount:>16,.2f} {self.currency}" for item in self.items]
        return "\n".join([*rows, f"  {self.line()}"])

    def figures(self) -> dict[str, Any]:
        """The bill as JSON knows it."""
        items = [{"name": item.name, "quantity": item.quantity, "price": item.price, "amount": item.amount} for item in self.items]
        return {"currency": self.currency, "total": self.total, "source": self.source, "date": self.date, "items": items}

    def __repr__(self) -> str:
        return self.text()


def load_prices(path: str | os.PathLike[str] | None = None) -> Prices:
    """The table of a file (not given: the example); raises TopologyError with every problem and its place."""
    name, budget = os.fspath(path or EXAMPLE), Budget()
    try:
        content = files.content(Path(name), budget.size)
    except Refusal as refusal:
        raise TopologyError([Problem(shown(name, 200), "", "", refusal.law, refusal.cure)]) from None
    tree = read(content, name, budget)
    if not isinstance(tree, Keys):
        raise TopologyError([Problem(str(tree.place), "", "", "prices must be a mapping of keys", "begin it with currency: EUR")])
    return build(Prices, tree, budget.problems)


def cost(topology: Topology, result: Result | None = None, *, prices: Prices | None = None) -> Cost:
    """What a topology costs a month; with a result, what was delivered in it is paid for, else what is expected.

    `prices`: by default the example that comes with the package.
    """
    table = load_prices() if prices is None else prices
    items = tuple(item for item in _items(topology, result, table) if item.price > 0.0)
    return Cost(items, table.currency, table.source, table.date)


def _items(topology: Topology, result: Result | None, table: Prices) -> Iterator[Item]:
    yield Item("gateways", topology.gateways.count, table.gateway)
    yield Item("gateway cores", topology.gateways.count * topology.gateways.cores, table.gateway_core)
    yield Item("balancer cores", topology.balancer.servers, table.balancer_core)
    direct = topology.fanout.pattern == "direct"
    yield Item("brokers", 0 if direct else topology.bus.brokers, table.broker)
    yield Item("shards", topology.storage.shards if topology.storage.enabled else 0, table.shard)
    yield Item("routers", topology.fanout.routers if topology.fanout.pattern == "targeted" else 0, table.router)
    yield Item("replay servers", topology.replay.servers, table.replay_server)
    yield Item("egress GB", _egress(topology, result) * MONTH_S / 1e9 * table.mean_load, table.egress_gb)


def _egress(topology: Topology, result: Result | None) -> float:
    """Bytes per second that gateways write to clients, headers not included."""
    expected = plan(topology)
    size = sum(flow.rate * flow.fan_out * flow.live * flow.size for flow in expected.flows)
    if result is None:
        return size
    deliveries = sum(flow.rate * flow.fan_out * flow.live for flow in expected.flows)
    mean = size / deliveries if deliveries else mean_of(topology.traffic[0].size) if topology.traffic else 0.0
    return result.delivered * mean * SECOND / max(result.simulated, 1)
