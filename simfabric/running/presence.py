"""Presence in numbers: what the laws compare, and what a result says of it."""

from __future__ import annotations

import numpy as np

from simfabric.components.presence import Presence
from simfabric.fabric import Fabric
from simfabric.kernels import looking, presence
from simfabric.kernels.frames import ITEM, KIND_SHIFT
from simfabric.kernels.presence import UPDATE
from simfabric.kernels.state import INCARNATION, LIFE, LOW, Tally
from simfabric.kernels.tickets import TURN
from simfabric.recorder import Array, Watched
from simfabric.world import SECOND

HALF_OPEN = 28  # Kind of the frame with which a gateway gives up a half-open connection.
OUTCOMES = {
    "not_looking": looking.NOT_LOOKING,
    "shown": looking.SHOWN,
    "cut_off": looking.SHOWN_CUT,
    "buffer_full": looking.SHOWN_FULL,
    "half_open": looking.SHOWN_IN_VAIN,
}


def watched(fabric: Fabric, gateways: Tally) -> Watched | None:
    """What the laws of presence compare, now."""
    store = fabric.presence
    if store is None:
        return None
    said, counters = store.counters, gateways.counters
    entries, columns = store.entries, fabric.columns
    amiss = np.flatnonzero(_connected(fabric) != entries.ticket)
    kinds = fabric.gateways.inbox.waiting()[:, 1] >> KIND_SHIFT
    under_way = int((kinds == UPDATE).sum())
    if fabric.gateways.waiting is not None:
        under_way += int((fabric.gateways.waiting[:, 1] >> KIND_SHIFT == UPDATE).sum())
    users = columns.who.user[columns.crowd.client[entries.ticket >= 0]]
    return Watched(
        joined=int(said[presence.JOINED]),
        parted=int(said[presence.PARTED]),
        online_at_start=store.online_at_start,
        online=int((np.bincount(users, minlength=1) > 0).sum()),
        devices=int(entries.devices.sum()),
        entries=int((entries.ticket >= 0).sum()),
        amiss=len(amiss),
        mending=int(np.isin(amiss, np.concatenate([store.mending(), _half_open(fabric)])).sum()),
        published=int(said[presence.PUBLISHED]),
        suppressed=int(said[presence.SUPPRESSED]),
        untold=int(said[presence.UNTOLD]),
        pending=store.pending,
        sent=int(said[presence.SENT]),
        served=int(counters[looking.UPDATES]),
        under_way=under_way,
        members=int(counters[looking.MEMBERS]),
        outcomes={name: int(counters[place]) for name, place in OUTCOMES.items()},
    )


def _connected(fabric: Fabric) -> Array:
    """The ticket of every seat's connection as gateways have it, -1 = none."""
    crowd, nodes = fabric.columns.crowd, fabric.gateways.nodes
    home = crowd.home.astype(np.int64)
    return np.asarray(np.where(home >= 0, crowd.turn.astype(np.int64) * TURN + home * LIFE + nodes.state[home, INCARNATION], -1))


def _half_open(fabric: Fabric) -> Array:
    """Seats that some gateway still holds a half-open connection of."""
    waiting = fabric.gateways.inbox.waiting()
    return np.asarray(waiting[waiting[:, 1] >> KIND_SHIFT == HALF_OPEN, ITEM] & LOW)


def figures_of(store: Presence | None, gateways: Tally) -> dict[str, int]:
    """What a result says of presence; nothing where the fabric keeps none."""
    if store is None:
        return {}
    said, counters = store.counters, gateways.counters
    return {
        "online": store.online,
        "joined": int(said[presence.JOINED]),
        "parted": int(said[presence.PARTED]),
        "published": int(said[presence.PUBLISHED]),
        "suppressed": int(said[presence.SUPPRESSED]),
        "untold": int(said[presence.UNTOLD]),
        "pending": store.pending,
        "most_in_a_second": int(store.seconds.max()),
        "lapsed": int(said[presence.LAPSED]),
        "moved": int(said[presence.RENEWED]),
        "wait_at_most_ns": int(said[presence.WAITED_MOST]),
        "frames": int(said[presence.SENT]),
        "delivered": int(counters[looking.SHOWN]),
        "buffer_full": int(counters[looking.SHOWN_FULL]),
        "cut_off": int(counters[looking.SHOWN_CUT]),
        "waited_too_long": int(counters[looking.UPDATES_SHED]),
        "stale": int(counters[looking.UPDATES_STALE]),
        "wasted": int(counters[looking.UPDATES_WASTED]),
    }


def in_seconds(figures: dict[str, int]) -> dict[str, float | None]:
    """The same with durations in seconds."""
    return {name.replace("_ns", "_s"): n / SECOND if name.endswith("_ns") else n for name, n in figures.items()}
