"""Faults of the edge: the services that clients need before they are connected, and the balancer.

An open connection does not need them: who is connected stays so. Who dials waits, or is refused with a reason and tries again later.

Leaves out: a token whose life ends while its connection is open (it serves the dial alone).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.components.apis import Api
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode
from simfabric.components.state_faults import Slowdown
from simfabric.kernels.state import VOID_BEFORE


class Trouble:
    """An API that is slower or stands still, and answers a share of its requests with an error. Shares of several faults miss each other by chance."""

    def __init__(self, name: str, api: Api) -> None:
        self.name = name
        self.api = api
        self._slowdown = Slowdown(name, api, api.free_at)
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """From now on it serves worse."""
        self._now.append(episode)
        self._count()
        fails = f", {episode.fault.errors:.0%} of its answers are errors" if episode.fault.errors else ""
        slow = self._slowdown.begin(episode)
        return (self.name if episode.fault.factor == 1 else slow) + fails

    def end(self, episode: Episode) -> str:
        """As before."""
        self._now.remove(episode)
        self._count()
        return self._slowdown.end(episode)

    def _count(self) -> None:
        errors = [self.api.config.errors, *(episode.fault.errors for episode in self._now)]
        self.api.errors = 1 - float(np.prod([1 - share for share in errors])) if len(errors) > 1 else errors[0]


class FailTokens(Trouble):
    """The token API; with `expire` a new key signs the tokens, so that gateways refuse those that were asked for before."""

    def __init__(self, parts: Parts) -> None:
        super().__init__("token API", parts.tokens)
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """From now on it serves worse; the tokens in the clients' hands may be void."""
        told = super().begin(episode)
        if episode.fault.expire:
            self.parts.gateways.nodes.settings[VOID_BEFORE] = self.parts.world.now
            told += ", the tokens that it gave are void"
        return told


EDGE_FAULTS: dict[str, Callable[[Parts], Effect]] = {"fail_tokens": FailTokens}
