"""Faults of records: some that cannot be read, and a log that forgets all at once.

A router tries what it cannot read again and again, and then sets it aside (a dead letter): it goes out to nobody. In the log it stands all the
same, with its sequence; so a client that gets a later message of the channel finds it missing, and reads it from there. A router has one thread:
all its partitions wait for the attempts.

What expires is taken out of the log; clients that lack some of it are told so when they ask, and take a snapshot in its place.

Leaves out: a back-off between the attempts; who looks at what was set aside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from simfabric.components.component import Component
from simfabric.components.effects import Effect, Parts
from simfabric.components.schedule import Episode
from simfabric.components.waiting import first_waiting
from simfabric.kernels.state import SET_ASIDE
from simfabric.units import format_count

SHARES = 1 << 31


class Poison:
    """Records that routers cannot read."""

    def __init__(self, parts: Parts) -> None:
        assert parts.routers is not None, "refused by the topology"
        self.routers = parts.routers

    def begin(self, episode: Episode) -> str:
        """From now on some of those that are published are poison."""
        fault, state = episode.fault, self.routers.state
        row = [[episode.begin, episode.end, round(fault.share * SHARES), fault.attempts * fault.attempt_time]]
        self.routers.state = state._replace(poison=np.concatenate([state.poison, np.array(row, np.int64)]))
        return f"{fault.share:.2%} of the records that are published cannot be read"

    def end(self, episode: Episode) -> str:
        """Those that are published now are as always."""
        return f"records can be read again; {format_count(int(self.routers.tally.counters[SET_ASIDE]))} set aside so far"


class Expiry:
    """A log that forgets what it holds."""

    def __init__(self, parts: Parts) -> None:
        self.world = parts.world
        self.columns = parts.columns
        self.components = [part for field in fields(parts) if isinstance(part := getattr(parts, field.name), Component)]

    def begin(self, episode: Episode) -> str:
        """All goes that was published before now, up to the first message that is still under way."""
        count = self.columns.retire(self.world.now, first_waiting(self.columns.messages, self.components))
        return f"the log expired, {format_count(count)} messages of it"

    def end(self, episode: Episode) -> str:
        """It lasts no time."""
        raise AssertionError(episode)


RECORD_FAULTS: dict[str, Callable[[Parts], Effect]] = {"poison_record": Poison, "expire_log": Expiry}
