"""Faults of the hop from routers to gateways: frames that overtake each other, come twice, come later, or are lost and sent again.

Which frame is struck is drawn by message and gateway, or by gateway and time, and depends on when it was sent, so that all of it is known ahead. What
comes later on one connection of TCP holds up what follows: a constant delay, when it falls back, and a retransmission keep the order; only frames that
go by different ways overtake each other.

Leaves out: the same on the links of clients and on the other hops; transient messages that come twice, as nothing in them would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simfabric.chance import uniform
from simfabric.components.effects import Effect, Parts
from simfabric.components.routers import Routers
from simfabric.components.schedule import Episode
from simfabric.kernels.state import LANE, TRANSIENT
from simfabric.world import Array, World

SLOT = 10_000_000  # Frames that are sent to one gateway within it share their fate [ns].
RESENT_AFTER = 200_000_000  # Linux's least retransmission timeout [ns].
SAID = {
    "reorder_packets": "overtake each other",
    "duplicate_packets": "come twice",
    "delay_packets": "come later",
    "lose_packets": "are lost and sent again",
}


class Hop:
    """What happens to frames between routers and gateways, by the faults of a run."""

    def __init__(self, world: World, planned: Sequence[Episode]) -> None:
        self.world = world
        self.hop = world.topology.network.hop
        self.planned = [episode for episode in planned if episode.fault.kind in SAID]
        self.keys = {name: world.key(f"faults/{name}") for name in ("frame", "extra", "slot")}

    def passed(self, frames: Array, log_rows: Array, base: int) -> Array:
        """The frames as they arrive: int64[n, 5] of those that were sent, and of copies."""
        frames = frames.copy()
        sent = frames[:, 0] - self.hop  # By when it was sent a frame belongs to a fault, whatever others do to it.
        for episode in self.planned:
            within = (sent >= episode.begin) & (sent < episode.end)
            kind, fault = episode.fault.kind, episode.fault
            if kind == "delay_packets":
                frames[:, 0] += np.where(within, fault.most, 0)
                behind = (sent >= episode.end) & (sent < episode.end + fault.most)
                frames[behind, 0] += episode.end + fault.most - sent[behind]
            elif kind == "lose_packets":
                frames[:, 0] += self._held(episode, sent, frames[:, 2])
            elif within.any():
                chosen = np.flatnonzero(within & (self._u("frame", episode, frames) < fault.share))
                if kind == "duplicate_packets":
                    chosen = chosen[log_rows[frames[chosen, 3] - base, LANE] != TRANSIENT]
                    copies = frames[chosen]
                    copies[:, 0] += self._extra(episode, copies)
                    frames, sent = np.concatenate([frames, copies]), np.concatenate([sent, sent[chosen]])
                else:
                    frames[chosen, 0] += self._extra(episode, frames[chosen])
        return frames

    def _u(self, name: str, episode: Episode, frames: Array) -> Array:
        """Uniform numbers by message and gateway, for each time that a fault happens."""
        return np.asarray(uniform(self.keys[name], frames[:, 3] * 131_072 + frames[:, 2], (episode.number + 1) * 1_000_000 + episode.n))

    def _extra(self, episode: Episode, frames: Array) -> Array:
        return np.asarray((self._u("extra", episode, frames) * episode.fault.most).astype(np.int64))

    def _held(self, episode: Episode, sent: Array, gateway: Array) -> Array:
        """How long each frame waits for one that was lost before it on its way to the same gateway, or for its own second try."""
        slot, leaves = sent // SLOT, sent.copy()
        for back in range(RESENT_AFTER // SLOT + 1):
            begins = (slot - back) * SLOT
            u = uniform(self.keys["slot"], (slot - back) * 131_072 + gateway, (episode.number + 1) * 1_000_000 + episode.n)
            lost = (u < episode.fault.share) & (begins >= episode.begin) & (begins < episode.end)
            leaves = np.where(lost, np.maximum(leaves, begins + SLOT + RESENT_AFTER), leaves)
        return np.asarray(leaves - sent)


def rough_ahead(world: World, routers: Routers | None, planned: Sequence[Episode]) -> None:
    """Tell the routers what will happen to their frames."""
    hop = Hop(world, planned)
    if routers is not None and hop.planned:
        routers.rough = hop.passed


class Told:
    """Says when it begins and ends; the routers know ahead."""

    def __init__(self, parts: Parts) -> None:
        """Nothing to prepare."""

    def begin(self, episode: Episode) -> str:
        """From now on."""
        return f"frames from routers to gateways {SAID[episode.fault.kind]}"

    def end(self, episode: Episode) -> str:
        """No more."""
        return f"frames from routers to gateways no longer {SAID[episode.fault.kind]}"


HOP_FAULTS: dict[str, Callable[[Parts], Effect]] = dict.fromkeys(SAID, Told)
