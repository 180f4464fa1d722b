"""What a component is: an inbox, a clock, and the senders that it hears."""

from __future__ import annotations

import abc

from simfabric.kernels.inbox import Inbox
from simfabric.world import World


class Component(abc.ABC):
    """One component: its inbox, its clock, and who sends to it over which fixed delay."""

    name = "component"

    def __init__(self, world: World, rows: int = 0) -> None:
        self.world = world
        self.inbox = Inbox(world, self.name, rows)
        self.clock = 0
        self.senders: list[tuple[Component, int]] = []

    def hears(self, sender: Component, delay: int) -> None:
        """`sender` may send frames here that take at least `delay` [ns]."""
        self.senders.append((sender, delay))

    @abc.abstractmethod
    def advance(self, end: int) -> None:
        """Serve all that is due before `end`, in order, and send the results on."""

    def earliest(self) -> int:
        """This component has nothing to do before that time [ns]."""
        return self.inbox.earliest()
