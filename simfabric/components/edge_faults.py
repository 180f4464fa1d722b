"""Faults of the edge: the services that clients need before they are connected, and the balancer.

An open connection does not need them: who is connected stays so. Who dials waits, or is refused with a reason and tries again later.

Leaves out: a token whose life ends while its connection is open (it serves the dial alone); connections that pass through a balancer that is lost (they
stay, as with one that answers past itself); time-outs of checks that get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from simfabric.chance import uniform
from simfabric.components.apis import Api
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode, gateways_struck
from simfabric.components.state_faults import LONGEST, Slowdown
from simfabric.kernels.state import VOID_BEFORE
from simfabric.world import Array


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
        slow = self._slowdown.begin(episode)
        fails = f"{episode.fault.errors:.0%} of its answers are errors" if episode.fault.errors else ""
        return ", ".join(filter(None, ("" if episode.fault.factor == 1 and fails else slow, f"{self.name}: {fails}" if fails else "")))

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


class SlowReplay(Slowdown):
    """The replay service: both parts of its work are stretched. It answers all that it is asked, however late."""

    def __init__(self, parts: Parts) -> None:
        self.replay, self.both = parts.replay, parts.replay.laws
        super().__init__("replay", self, parts.replay.free_at)

    @property
    def _law(self) -> Array:
        return self.both[0]

    @_law.setter
    def _law(self, law: Array) -> None:
        factor = 1.0 if law is self.both[0] else float(np.prod([e.fault.factor for e in self._now if e.fault.factor > 0]))
        self.replay.laws = tuple(np.minimum(part * factor, LONGEST) for part in self.both)


class LimitApi:
    """One of the services that clients ask when they lack something; by name."""

    def __init__(self, parts: Parts) -> None:
        self._of: dict[str, Effect] = {
            "replay": SlowReplay(parts), "snapshot": Trouble("snapshot API", parts.snapshots), "bootstrap": Trouble("bootstrap API", parts.bootstrap),
        }  # fmt: skip

    def begin(self, episode: Episode) -> str:
        """From now on that service serves worse."""
        return self._of[episode.fault.api].begin(episode)

    def end(self, episode: Episode) -> str:
        """As before."""
        return self._of[episode.fault.api].end(episode)


def slow_handshakes(parts: Parts) -> Effect:
    """The TLS servers of the balancer."""
    return Slowdown("handshakes", parts.balancer, parts.balancer.free_at)


class LostBalancer:
    """The balancer shakes no hands, and what it knew of open connections and cookies is gone; the counts come back when it is, the cookies do not."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """It is lost."""
        balancer = self.parts.balancer
        self._now.append(episode)
        np.maximum(balancer.free_at, episode.end, out=balancer.free_at)
        balancer.forgotten += balancer.open
        balancer.open[:] = 0
        self.parts.columns.crowd.cookie[:] = -1
        return "the balancer is lost, and its tables"

    def end(self, episode: Episode) -> str:
        """It is back, and the gateways tell it what is open."""
        balancer = self.parts.balancer
        self._now.remove(episode)
        if not self._now:
            balancer.open += balancer.forgotten
            balancer.forgotten[:] = 0
        return "the balancer is back"


class StaleBalancer:
    """What the balancer's checks find takes effect later; of several faults the longest."""

    def __init__(self, parts: Parts) -> None:
        self.balancer = parts.balancer
        self._now: list[Episode] = []

    def begin(self, episode: Episode) -> str:
        """From now on its view is late."""
        self._now.append(episode)
        self.balancer.late = max(e.fault.late for e in self._now)
        return f"the balancer's view is {self.balancer.late / 1e9:g} s late"

    def end(self, episode: Episode) -> str:
        """What its checks find from now on takes effect at once again."""
        self._now.remove(episode)
        self.balancer.late = max((e.fault.late for e in self._now), default=0)
        return "the balancer's view is fresh"


class FlappingHealth:
    """Checks of gateways that are well get lost by chance: `fall` in a row take a gateway out, `rise` good ones take it in again."""

    def __init__(self, parts: Parts) -> None:
        self.world, self.balancer = parts.world, parts.balancer
        self.key = parts.world.key("faults/checks")

    def begin(self, episode: Episode) -> str:
        """From now on checks get lost."""
        struck = gateways_struck(self.world, episode)
        for gateway in struck:
            self.world.env.process(self._checks(gateway, episode))
        return f"{episode.fault.share:.0%} of the checks of {len(struck)} gateways are lost"

    def end(self, episode: Episode) -> str:
        """They arrive again."""
        return "checks arrive again"

    def _checks(self, gateway: int, episode: Episode) -> Generator[Any, Any, None]:
        balancer, health = self.balancer, self.world.topology.balancer.health
        address, failed, good, n, out = episode.number * 1_000_000 + gateway, 0, 0, 0, False
        while self.world.now < episode.end or out:
            yield self.world.env.timeout(balancer.next_check(gateway))
            lost = self.world.now < episode.end and float(uniform(self.key, address, episode.n * 1_000_000 + n)) < episode.fault.share
            failed, good, n = (failed + 1, 0, n + 1) if lost else (0, good + 1, n + 1)
            if failed == health.fall and not out:
                out = True
                balancer.doubted[gateway] += 1
            elif good == health.rise and out:
                out = False
                balancer.doubted[gateway] -= 1


EDGE_FAULTS: dict[str, Callable[[Parts], Effect]] = {
    "fail_tokens": FailTokens,
    "limit_api": LimitApi,
    "slow_handshakes": slow_handshakes,
    "lose_balancer": LostBalancer,
    "stale_balancer": StaleBalancer,
    "flap_health": FlappingHealth,
}
