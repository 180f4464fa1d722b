"""Memory: what a run will hold, from the columns as they really are (`miniature`) and the number of their rows.

Only what is written to counts: columns for clients that lose their connection stay untouched, and cost nothing, as long as nobody does.

Leaves out: results that are kept after the run; the pages of the operating system's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.components.faults import deaths, lives_of
from simfabric.components.link_faults import HOW
from simfabric.fabric import Fabric
from simfabric.kernels.frames import WIDTH
from simfabric.kernels.state import COUNTERS
from simfabric.planning.flows import Spread
from simfabric.recorder import PLACEMENT, TIMELINE
from simfabric.topology import Topology
from simfabric.topology.expected import Aim, Membership, ranks_of
from simfabric.topology.fault_kinds import KINDS
from simfabric.world import SECOND

# Which rows the fields of the bundles have; see kernels/state.py. A test knows whether one is missing.
CLIENT = ("link", "client", "home", "subscribed", "turn", "belief", "cookie", "start", "state", "ready_at", "asked_at", "flags")
AWAY_CLIENT = ("broke_at", "attempt", "dials", "drawn", "no_state_at")  # Written to when a client dials.
SUBSCRIPTION = ("channels",)
AWAY_SUBSCRIPTION = ("resume_cursor", "resume_upto", "held_first", "held_run")  # Written to when its client comes back.
CHANNEL = ("members", "channel_first", "channel_more", "head_message", "head_sequence")
SLOT, ROW, LATE, MESSAGE = ("slots",), ("rows",), ("late",), ("rows",)
INDEX = ("index",)  # Two to four places for each late slot.
PRESENCE_CLIENT, PRESENCE_USER = ("ticket",), ("devices", "shown", "last_seen", "gone_at")  # Of every client and user, where presence is kept.
REFUSING = ("refusing",)  # Of every client, where a full buffer closes connections.
STRIKES = ("strikes_from", "strikes", "opened_at")  # Of every client, where faults break connections.
CREDIT, WANTED = ("sent", "back", "back_at"), ("wants",)  # Of every router and life of a gateway, and of every router, with backpressure by credits.
SLOWED = ("slowed",)  # Of every client, where faults slow down links.
FIXED = ("pool", "base")

LAYING_OUT = 4  # Bytes of a subscription while subscriptions are sorted by channel.
SEATING = 80  # Bytes of a client while it is given a gateway and a seat.
DRAWING = 64  # Bytes of a channel while popularity is tabulated.
FRAME = 4 * 8 * WIDTH + 16  # Bytes of a frame that waits: in four arrays of an inbox, and in the order.
PROGRAM = 60_000_000  # Python, numpy, SimPy, pydantic.
NUMBA = 130_000_000  # numba, and the kernels compiled.


@dataclass(frozen=True, slots=True)
class Part:
    """So many things of so many bytes."""

    what: str
    count: float
    each: float  # [bytes]

    @property
    def size(self) -> float:
        """All of them [bytes]."""
        return self.count * self.each


def row_bytes(bundle: Any, names: Sequence[str]) -> float:
    """Bytes of one row of these fields of a bundle."""
    arrays: list[np.ndarray[Any, Any]] = [getattr(bundle, name) for name in names]
    return sum(array.nbytes / len(array) for array in arrays)


def slots_of(topology: Topology, members: Membership, spread: Spread) -> float:
    """Pairs of a channel and a gateway that has a member of it."""
    ranks, weights = ranks_of(members.channels)
    share = np.concatenate([np.array(members.given), members.share(ranks)])
    aim = Aim(np.concatenate([np.ones(len(members.given)), weights]), share, 0)
    return spread.reach(aim, topology.clients.count)


def away_share(topology: Topology) -> float:
    """The share of the clients that dial during the run: all of those that were not connected, and those that a dying gateway or a
    broken link held, or that come and go.
    """
    if topology.clients.start:
        return 1.0
    gateways, struck, broken = topology.gateways.count, 0, 0.0
    for fault in topology.faults:
        if fault.kind == "rolling_deploy":
            struck += gateways if fault.count is None else fault.count
        elif KINDS[fault.kind].dies and fault.target.router is None and fault.kind != "scale_out":
            several = fault.every or fault.target.gateway in ("minority", "majority", "all") or fault.target.zone is not None or fault.kind == "lose_region"
            struck += gateways if several else 1
        elif fault.kind in HOW:
            broken += 1.0 if fault.every else fault.share
    return min(1.0, sum(part.share for part in topology.clients.churn) + struck / gateways + broken)


def parts_of(
    topology: Topology, mini: Fabric, members: Membership, spread: Spread, messages: float, frames: float, window: int, compiled: bool
) -> tuple[Part, ...]:
    """What the run will hold, largest first; `frames` per second through all inboxes, `messages` in the whole run."""
    columns, clients = mini.columns, topology.clients.count
    crowd, book, log = columns.crowd, columns.book, columns.log
    subscriptions, slots, away = members.subscriptions, slots_of(topology, members, spread), away_share(topology)
    identity = row_bytes(columns.who, ("user", "tenant", "address", "region")) + columns.seat_of.itemsize
    row, slot, late = row_bytes(book, ROW), row_bytes(book, SLOT), row_bytes(book, LATE)
    each_client = row_bytes(crowd, CLIENT) + identity
    each_subscription = row_bytes(crowd, SUBSCRIPTION) + (0.0 if topology.clients.start else row)
    each_channel = row_bytes(crowd, CHANNEL[:1]) + row_bytes(book, CHANNEL[1:3]) + row_bytes(log, CHANNEL[3:]) + DRAWING
    parts = [
        Part("the program", 1, PROGRAM + NUMBA * compiled),
        Part("clients", clients, each_client),
        Part("subscriptions", subscriptions, each_subscription),
        Part("buffers that refuse", clients * (topology.gateways.overflow == "disconnect"), row_bytes(crowd, REFUSING)),
        Part("strikes of faults", clients * (len(crowd.opened_at) > 1), sum(getattr(crowd, name).nbytes for name in STRIKES) / len(crowd.client)),
        Part("links that faults slow down", clients * (len(crowd.slowed) > 1), row_bytes(crowd, SLOWED) + 8),
        Part("sorting and seating", 1, max(subscriptions * LAYING_OUT, clients * SEATING)),
        Part("channels", len(members.given) + members.channels, each_channel),
        Part("messages in the log", min(1.0, topology.bus.retention / topology.run.duration) * messages, row_bytes(log, MESSAGE)),
        Part("frames on their way", frames * window / SECOND, 2 * FRAME),
        Part("consumers x partitions", _consumers(topology) * topology.bus.partitions, 5 * 8),
        Part("producers x partitions", _producers(topology) * topology.bus.partitions, 4 * 8),
        Part("timeline", *_timeline(topology, mini)),
        Part("histograms", *_histograms(topology, mini)),
    ]
    if topology.backpressure.policy == "credits":
        given, lives = mini.gateways.credits, lives_of(deaths(mini.world, topology))
        each = sum(getattr(given, name).nbytes / given.sent.size for name in CREDIT)
        parts.append(Part("credits of routers", topology.fanout.routers * topology.gateways.count * lives, each))
    if mini.presence is not None:
        users, entries = -(-clients // topology.clients.devices_per_user), mini.presence.entries
        parts.append(Part("presence", 1, clients * row_bytes(entries, PRESENCE_CLIENT) + users * row_bytes(entries, PRESENCE_USER)))
    if not topology.clients.start:
        parts.append(Part("slots (channel on a gateway)", slots, slot))
    if away:
        late_slots, late_rows = slots * away, max(4.0 * slots, 2.5 * subscriptions) * away
        grown = late_slots * (slot + late + 3.0 * row_bytes(book, INDEX)) + late_rows * row
        present = 0.0 if topology.clients.start else slots * slot + subscriptions * row
        parts += [
            Part("clients that dial", clients * away, row_bytes(crowd, AWAY_CLIENT) + FRAME),
            Part("subscriptions that come back", subscriptions * away, row_bytes(crowd, AWAY_SUBSCRIPTION)),
            Part("growing room for them", 1, 1.7 * grown + present),
        ]
    return tuple(sorted(parts, key=lambda part: -part.size))


def _consumers(topology: Topology) -> int:
    pattern = topology.fanout.pattern
    return 0 if pattern == "direct" else topology.gateways.count if pattern == "broadcast" else topology.fanout.routers


def _producers(topology: Topology) -> int:
    return 0 if topology.fanout.pattern == "direct" else topology.gateways.count + len(topology.traffic)


def _timeline(topology: Topology, mini: Fabric) -> tuple[float, float]:
    """Samples, one a second up to an hour, and the bytes of each: its figures, and the work done by every row."""
    samples = min(3600, math.ceil(topology.run.duration / SECOND)) + topology.run.checkpoints
    rows = topology.gateways.count + topology.storage.shards + topology.bus.brokers + topology.fanout.routers + topology.replay.servers
    return samples, 8.0 * (len(TIMELINE) + len(PLACEMENT) + rows + topology.balancer.servers) + 4.0 * topology.gateways.count


def _histograms(topology: Topology, mini: Fabric) -> tuple[float, float]:
    """Tallies, and the bytes of one that counts deliveries."""
    tally = mini.gateways.workers[0].tally
    regions = max(1, len(topology.clients.regions))
    return topology.run.workers + 2, tally.delays.nbytes * regions + tally.stages.nbytes + 8 * COUNTERS
