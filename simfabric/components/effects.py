"""Effects: what a fault does that lasts for a while, as two control events at exact times, when every clock stands at that instant.

An effect changes what a component holds when its fault begins, and changes it back when it ends; between the two the component works on as it
always does. Faults of one kind may overlap: an effect keeps what is in force and works out what that comes to.

Deaths of nodes are known ahead to the columns and stand in `faults` and `group`.

Leaves out: a fault that another one causes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simfabric.components.apis import Api, Snapshots
from simfabric.components.balancer import Balancer
from simfabric.components.bus import Brokers, Consumers, Producers
from simfabric.components.clients import Clients
from simfabric.components.columns import Columns
from simfabric.components.gateways import Gateways
from simfabric.components.presence import Presence
from simfabric.components.publishers import Publishers
from simfabric.components.replay import Replay
from simfabric.components.routers import Routers
from simfabric.components.schedule import Episode
from simfabric.components.storage import Storage
from simfabric.world import World


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of a fabric that a fault may strike; None where the topology has none."""

    world: World
    columns: Columns
    publishers: Publishers
    clients: Clients
    balancer: Balancer
    gateways: Gateways
    storage: Storage | None
    producers: Producers | None
    brokers: Brokers | None
    consumers: Consumers | None
    routers: Routers | None
    replay: Replay
    snapshots: Snapshots
    bootstrap: Api
    tokens: Api
    presence: Presence | None


class Effect(Protocol):
    """What one kind of fault does. Both say what happened, for the timeline."""

    def begin(self, episode: Episode) -> str:
        """The fault begins now."""
        ...

    def end(self, episode: Episode) -> str:
        """It ends now."""
        ...


class Effects:
    """Carries out the faults of a run that are no deaths, each by the effect of its kind."""

    def __init__(self, parts: Parts, planned: Sequence[Episode], kinds: dict[str, Callable[[Parts], Effect]], events: list[tuple[int, str]]) -> None:
        self.world = parts.world
        self.events = events
        self._of = {kind: kinds[kind](parts) for kind in dict.fromkeys(episode.fault.kind for episode in planned)}
        for episode in planned:
            parts.world.env.process(self._run(episode))

    def _run(self, episode: Episode) -> Generator[Any, Any, None]:
        effect = self._of[episode.fault.kind]
        yield self.world.env.timeout(episode.begin)
        self.events.append((self.world.now, effect.begin(episode)))
        if episode.end > episode.begin:
            yield self.world.env.timeout(episode.end - episode.begin)
            self.events.append((self.world.now, effect.end(episode)))
