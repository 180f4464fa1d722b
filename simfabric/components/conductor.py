"""The conductor: moves the columns window by window, from one control event to the next.

It advances the components in the order of the flow, each as far as no frame can still arrive in its past: to the least of (clock of a
sender + fixed delay of the hop) over its senders. A round so gains the whole loop of components, not its shortest hop, and the results are
the same to the last bit for every shorter step. A longer `window` drops that bound: frames that come back inside it are served late, by
less than one window, since components are visited again until none of them is late. Source of the bound: conservative synchronisation
(Chandy & Misra 1979), here without null messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simfabric.components.component import Component
from simfabric.kernels.frames import NEVER
from simfabric.world import World


def lookahead(components: Sequence[Component]) -> int:
    """The longest exact window [ns]: the least sum of fixed delays around any loop of components (Floyd-Warshall)."""
    number = {id(c): i for i, c in enumerate(components)}
    far = NEVER // 4
    distance = [[far] * len(components) for _ in components]
    for component in components:
        for sender, delay in component.senders:
            i, j = number[id(sender)], number[id(component)]
            distance[i][j] = min(distance[i][j], delay)
    for k in range(len(components)):
        for row in distance:
            for j in range(len(components)):
                row[j] = min(row[j], row[k] + distance[k][j])
    return min(distance[i][i] for i in range(len(components)))


class Conductor:
    """Moves the components, in the order of the flow, from one control event to the next."""

    def __init__(self, world: World, components: Sequence[Component], window: int | None) -> None:
        self.world = world
        self.components = list(components)
        self.lookahead = lookahead(self.components)
        self.window = window or self.lookahead
        self.exact = self.window <= self.lookahead
        self.rounds = 0
        if not self.exact:
            world.tolerance = self.window

    def process(self, until: int, between: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False) -> Any:
        """The SimPy process: run the columns up to the next control event, let it happen, go on, until the end or until `stopped` says so.

        `between` is called after each round.
        """
        env = self.world.env
        while True:
            now = int(env.now)
            if env.peek() <= now:  # Others have something to do at this very instant: they go first.
                yield env.timeout(0)
                continue
            if now >= until or stopped():
                return
            upto = min(int(min(env.peek(), until)), until)
            self.advance(upto, between)
            yield env.timeout(upto - now)

    def advance(self, upto: int, between: Callable[[], None]) -> None:
        """Every clock to `upto`, round by round; a stretch without work is skipped."""
        components = self.components
        while True:
            due = min(c.earliest() for c in components)
            if due >= upto:
                for component in components:
                    component.clock = component.inbox.clock = upto
                return
            for component in components:
                component.clock = max(component.clock, due)
            for component in components:
                end = min(component.clock + self.window, upto)
                if self.exact:
                    for sender, delay in component.senders:
                        end = min(end, sender.clock + delay)
                if end > component.clock:
                    component.advance(end)
                    component.clock = end
            while not self.exact and (late := [c for c in components if c.earliest() < c.clock]):
                for component in late:
                    component.advance(component.clock)
            self.rounds += 1
            between()
