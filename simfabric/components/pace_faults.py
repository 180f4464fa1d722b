"""Faults of downlinks: clients that read slowly or not at all, links with less bandwidth, and links that hold what they have for a while.

A slow link fills the buffer of its connection at the gateway, and what a full buffer does is the gateways' policy: nothing else is touched. When the
fault ends, what waits goes out at the link's own pace. Of faults that overlap on one link the slowest decides.

Leaves out: where a third fault overlaps with two others on one link, what has been written before it ends at the pace that was known then; an
unlimited link counts as 8 Gbit/s once a fault may strike it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simfabric.components.columns import Columns
from simfabric.components.effects import Effect, Parts
from simfabric.components.link_faults import clients_struck
from simfabric.components.schedule import Episode
from simfabric.kernels.pacing import AFTER, HELD, UNTIL
from simfabric.kernels.state import OPEN, PACE, SENT_BYTES
from simfabric.world import SECOND, Array

SAID = {"slow_clients": "read slowly", "cap_bandwidth": "have less bandwidth", "clog_link": "hold what they have"}


def pace_ahead(columns: Columns, planned: Sequence[Episode]) -> None:
    """Room for what faults do to links, if there are such faults."""
    if any(episode.fault.kind in SAID for episode in planned):
        own = columns.crowd.link[:, PACE] >> 16
        slowed = np.zeros((max(len(own), 2), 2), np.int64)
        slowed[: len(own), AFTER] = own
        columns.crowd = columns.crowd._replace(slowed=slowed)
        columns.own_pace = own


def pace_of(parts: Parts, episode: Episode) -> int:
    """Nanoseconds per byte while the fault lasts. Who reads a share of what is sent is measured by the mean connection until now."""
    fault, state = episode.fault, parts.gateways.nodes.state
    if fault.kind == "clog_link" or (fault.kind == "slow_clients" and fault.reads == 0):
        return HELD
    if fault.kind == "cap_bandwidth":
        return max(1, round(8 * SECOND / fault.bandwidth))
    sent, connections = int(state[:, SENT_BYTES].sum()), max(1, int(state[:, OPEN].sum()))
    return min(HELD, round(parts.world.now * connections / (fault.reads * sent))) if sent else 1


class Pace:
    """The links of a share of the clients are slower for a while."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def begin(self, episode: Episode) -> str:
        """From now on they are slower."""
        columns = self.parts.columns
        seat = columns.seat_of[clients_struck(self.parts.world, episode)].astype(np.int64)
        pace = pace_of(self.parts, episode)
        columns.slower.append((episode, seat, pace))
        self._set(seat)
        rate = "nothing passes" if pace >= HELD else f"{8 * SECOND / pace:.3g} bit/s"
        return f"the links of {len(seat)} clients {SAID[episode.fault.kind]}: {rate}"

    def end(self, episode: Episode) -> str:
        """As fast as before, if no other fault is in force."""
        columns = self.parts.columns
        (ended,) = [entry for entry in columns.slower if entry[0] is episode]
        columns.slower.remove(ended)
        self._set(ended[1])
        return f"the links of {len(ended[1])} clients are as fast as before"

    def _set(self, seats: Array) -> None:
        """The slowest fault in force decides until it ends, and then the slowest of those that last longer."""
        columns = self.parts.columns
        crowd, own = columns.crowd, columns.own_pace
        now, then, until = np.maximum(own, 1), np.maximum(own, 1), np.zeros(len(own), np.int64)
        for _, struck, pace in columns.slower:
            now[struck] = np.maximum(now[struck], pace)
        for episode, struck, pace in columns.slower:
            slowest = struck[now[struck] <= max(pace, 1)]
            until[slowest] = np.maximum(until[slowest], episode.end)
        for episode, struck, pace in columns.slower:
            later = struck[until[struck] < episode.end]
            then[later] = np.maximum(then[later], pace)
        free = until == 0
        now[free], then[free] = own[free], own[free]
        crowd.slowed[seats, UNTIL], crowd.slowed[seats, AFTER] = until[seats], then[seats]
        crowd.link[seats, PACE] = (now[seats] << 16) | (crowd.link[seats, PACE] & 0xFFFF)


PACE_FAULTS: dict[str, Callable[[Parts], Effect]] = dict.fromkeys(SAID, Pace)
