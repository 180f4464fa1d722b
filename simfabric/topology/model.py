"""The whole topology: a fabric as data, frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import PrivateAttr

from simfabric.errors import Problem, Refusal, TopologyError, shown
from simfabric.topology import files, whole
from simfabric.topology.apis import Apis
from simfabric.topology.backpressure import Backpressure
from simfabric.topology.building import build
from simfabric.topology.changing import changed
from simfabric.topology.channels import Channels
from simfabric.topology.clients import Clients
from simfabric.topology.edge import Balancer, Gateways
from simfabric.topology.fanout import Fanout, Replay, Routing
from simfabric.topology.faults import Fault, Published, Slo
from simfabric.topology.hot import Hot
from simfabric.topology.kinds import COUNT, Choice, Quantity, Text
from simfabric.topology.lanes import Lanes
from simfabric.topology.limits import Limits
from simfabric.topology.presence import Presence
from simfabric.topology.run import Network, Run
from simfabric.topology.section import Section, as_text, items, leaf, section
from simfabric.topology.storage import Bus, Storage
from simfabric.topology.traffic import Source
from simfabric.topology.tree import planted
from simfabric.topology.writing import yaml_text


class Topology(Section):
    """A realtime fabric as data: who its clients are, how it is built, what happens to it and what it promises."""

    version: Literal[1] = leaf(Quantity(COUNT, "1", "1"), "1", "Version of this format.")
    name: str = leaf(Text(100, empty=True), "", "Name of the fabric, for titles.")
    description: str = leaf(Text(2000, lines=True, empty=True), "", "What the file shows, for people.")
    run: Run = section(Run, "How long, with which luck and how exactly the run is made.")
    network: Network = section(Network, "One-way delays between components of the fabric.")
    clients: Clients = section(Clients, "The devices and their users.")
    channels: Channels = section(Channels, "The channels that clients subscribe to.")
    traffic: tuple[Source, ...] = items(
        Source, 1000, "The sources of publications; not given: users who chat.", default=({"name": "chat", "kind": "users", "rate": "6/min"},)
    )
    balancer: Balancer = section(Balancer, "Picks a gateway for each dial.")
    gateways: Gateways = section(Gateways, "Hold the connections and write messages to them.")
    limits: Limits = section(Limits, "How fast users and tenants may publish and subscribe; nothing given: no limit.")
    storage: Storage = section(Storage, "Keeps messages before they go to the bus.")
    bus: Bus = section(Bus, "The replicated log that carries messages.")
    fanout: Fanout = section(Fanout, "How gateways with subscribers get the messages.")
    backpressure: Backpressure = section(Backpressure, "What happens where messages come faster than gateways write them.")
    hot: Hot = section(Hot, "Channels with so much fan-out that the others may suffer, and what is done about them.")
    lanes: Lanes = section(Lanes, "Which message goes next where several wait.")
    routing: Routing = section(Routing, "The table of which gateways have subscribers of a channel.")
    replay: Replay = section(Replay, "Gives clients what they missed.")
    presence: Presence = section(Presence, "Keeps who is online, and tells those who look.")
    apis: Apis = section(Apis, "The services that clients call before they dial.")
    faults: tuple[Fault, ...] = items(Fault, 10_000, "What goes wrong, and when.")
    expect: Literal["recovery", "metastable"] = leaf(
        Choice(("recovery", "metastable")),
        "recovery",
        "What becomes of it after its faults. metastable: it must not recover (fewer than 95 % of its connections are there at the end), or the run fails.",
    )
    slo: Slo = section(Slo, "What is promised.")
    published: Published | None = section(Published, "What was measured on a real fabric like this one; not given: nothing.", optional=True)

    _source: str | None = PrivateAttr(default=None)
    _folder: str | None = PrivateAttr(default=None)

    def laws(self) -> Iterator[Refusal]:
        return whole.laws(self)

    @property
    def source(self) -> str | None:
        """The file that the topology was read from, if it was."""
        return self._source

    @property
    def folder(self) -> str | None:
        """The folder under which trace files are looked up; None for a topology that came from no file."""
        return self._folder

    @property
    def digest(self) -> str:
        """SHA-256 of the content: equal topologies have equal digests, wherever they come from."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_yaml(self) -> str:
        """Every key with its effective value, as text that reads back to an equal topology."""
        return yaml_text(as_text(self))

    def with_(self, changes: Mapping[str, object]) -> Topology:
        """The same topology with some keys changed: {"gateways.count": 80, "traffic.chat.rate": "2/s", "faults[0].at": "20s"}; None takes the default."""
        tree = planted(as_text(self, implied=False), self._source or self.name or "topology")
        tree = changed(Topology, tree, [(f"with_ {path}", path, value) for path, value in changes.items()])
        return build(Topology, tree)._from(self._source, self._folder)

    def file(self, name: str) -> Path:
        """The path of a file that the topology names, such as a trace: it must be there, and under the folder (without one: the working directory)."""
        folder = Path(self._folder or ".").resolve()
        try:
            return files.inside(folder, folder, name)
        except Refusal as refusal:
            raise TopologyError([Problem(self._source or "topology", "", shown(name), refusal.law, refusal.cure)]) from None

    def _from(self, source: str | None, folder: str | None) -> Topology:
        """The same topology, with the file and folder that it came from."""
        self._source, self._folder = source, folder
        return self

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, Topology) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)
