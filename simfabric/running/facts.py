"""Facts: what the fabric's columns, counters and inboxes say at one instant, for the recorder and the laws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from simfabric.components.apis import Api
from simfabric.components.limits import overdrawn
from simfabric.components.waiting import all_waiting
from simfabric.fabric import Fabric
from simfabric.kernels import presence as store
from simfabric.kernels import subscriptions
from simfabric.kernels.frames import KIND_SHIFT, PUBLISH
from simfabric.kernels.limits import BY_TENANT, BY_USER, OBLIGATIONS
from simfabric.kernels.state import (
    ACCEPTED,
    ALIVE,
    CUT,
    DUPLICATE,
    EXPECTED,
    EXPIRED,
    FATE,
    GAPPED,
    GHOSTS,
    HELD,
    LIMITED,
    LIVE,
    LOST_OBLIGATIONS,
    MOVED,
    OPEN,
    OVERFLOWN,
    OWED,
    POOL_NEXT,
    PUBLISHED_AT,
    PUBLISHER,
    REPLAYED_COUNT,
    RESET_OBLIGATIONS,
    ROUTES,
    SERVED,
    SERVED_AT,
    SET_ASIDE,
    SUBSCRIBED,
    TO_GHOSTS,
    TRANSIENT_DROPPED,
    TRANSIENT_LIVE,
    UNSENT,
    WORK,
    Tally,
)  # fmt: skip
from simfabric.kernels.tallying import merged
from simfabric.recorder import Busy, Checkpoint, Queue
from simfabric.running import presence
from simfabric.world import Array

OUTCOMES = {
    "live": LIVE, "duplicate": DUPLICATE, "held": HELD, "gap": GAPPED, "cut_off": CUT, "overflown": OVERFLOWN, "half_open": TO_GHOSTS,
    "transient": TRANSIENT_LIVE, "transient_dropped": TRANSIENT_DROPPED,
}  # fmt: skip


def tallies(fabric: Fabric) -> dict[str, Tally]:
    """What each component counted."""
    counted = {"gateways": merged([worker.tally for worker in fabric.gateways.workers]), "clients": fabric.clients.tally}
    for component in (fabric.storage, fabric.producers, fabric.brokers, fabric.routers):
        if component is not None:
            counted[component.name] = component.tally
    return counted


def checkpoint(fabric: Fabric) -> Checkpoint:
    """Everything that the laws compare, now; every clock must stand at this instant."""
    now, columns = fabric.world.now, fabric.columns
    counted = tallies(fabric)
    gateways, clients = counted["gateways"].counters, counted["clients"].counters
    rows = columns.log.rows[: columns.messages - int(columns.log.base[0])]
    rows = rows[: np.searchsorted(rows[:, PUBLISHED_AT], now)]
    real = rows[rows[:, FATE] != UNSENT]
    members = columns.crowd.members.astype(np.int64)
    backend = real[real[:, PUBLISHER] < 0]
    retired_backend = columns.backend
    booked, away = np.zeros(2, np.int64), np.zeros(3, np.int64)
    book = columns.book
    fabric.world.kernel(subscriptions.sum_cursors)(book.rows, int(book.pool[POOL_NEXT]), booked)
    fabric.world.kernel(subscriptions.undelivered_away)(columns.log.head_sequence, columns.crowd, away)
    return Checkpoint(
        at=now,
        published=columns.published + len(real),
        owed=columns.owed + int(real[:, OWED].sum()),
        counted_published=int(clients[0]) + len(backend) + retired_backend[0],
        counted_owed=int(clients[7]) + int(backend[:, OWED].sum()) + retired_backend[1],
        upstream=int(columns.log.rows[waiting_messages(fabric, now) - columns.log.base[0], OWED].sum()),
        logged=int((members * columns.log.head_sequence).sum()),
        dropped=dropped(fabric, counted),
        subscriptions=int(members.sum()),
        rows=int(booked[0]),
        away=int(away[0]),
        cursors=int(booked[1] + away[1]),
        away_lacks=int(away[2]),
        live=int(gateways[LIVE]),
        replayed=int(gateways[REPLAYED_COUNT]),
        expired=int(gateways[EXPIRED]),
        reset=int(gateways[RESET_OBLIGATIONS]),
        expected=int(gateways[EXPECTED]),
        tried={name: int(gateways[place]) for name, place in OUTCOMES.items()},
        connections=int((columns.crowd.home >= 0).sum()),
        half_open=int(fabric.gateways.nodes.state[:, GHOSTS].sum()),
        open=int(fabric.gateways.nodes.state[:, OPEN].sum()),
        limited=columns.limited + int((real[:, FATE] == LIMITED).sum()),
        counted_limited=int(fabric.gateways.limits.counts[:, [BY_USER, BY_TENANT]].sum()),
        buckets=overdrawn(fabric.gateways.limits, now),
        queues=tuple(queues(fabric, counted)),
        busy=tuple(busy(fabric, counted)),
        presence=presence.watched(fabric, counted["gateways"]),
        aside=aside(fabric, counted),
    )


def dropped(fabric: Fabric, counted: dict[str, Tally]) -> dict[str, int]:
    """Obligations that ended without delivery, by reason."""
    after_save = sum(int(counted[name].counters[LOST_OBLIGATIONS]) for name in ("storage", "producers") if name in counted)
    gateways, limited = counted["gateways"].counters, fabric.gateways.limits.counts
    return {
        "limited": int(limited[:, OBLIGATIONS].sum()),
        "gateway_died_before_save": int(gateways[LOST_OBLIGATIONS]),
        "gateway_died_after_save": after_save,
        "unclean": int(counted["bus"].counters[LOST_OBLIGATIONS]) if "bus" in counted else 0,
        "expired": int(gateways[EXPIRED]),
        "snapshot": int(gateways[RESET_OBLIGATIONS]),
    }


def aside(fabric: Fabric, counted: dict[str, Tally]) -> dict[str, int]:
    """Records that routers passed over: they could not read them, or had committed them and died."""
    letters = int(counted["routers"].counters[SET_ASIDE]) if "routers" in counted else 0
    return {"dead_letter": letters, "committed_first": fabric.group.lost if fabric.group else 0}


def waiting_messages(fabric: Fabric, now: int) -> Array:
    """The messages published before now that are on their way to the log."""
    parts = [np.empty(0, np.int64)]
    for component in (fabric.gateways, fabric.storage, fabric.producers, fabric.brokers):
        if component is not None:
            frames = component.inbox.waiting()
            parts.append(frames[frames[:, 1] >> KIND_SHIFT == PUBLISH, 3])
    if fabric.producers is not None:
        parts.append(fabric.producers.waiting[:, 3])
    if fabric.brokers is not None:
        parts.append(fabric.brokers.held[:, 3])
    messages = np.concatenate(parts)
    rows = fabric.columns.log.rows[messages - fabric.columns.log.base[0]]
    return np.asarray(messages[rows[:, PUBLISHED_AT] < now])


def placement(fabric: Fabric, counted: dict[str, Tally]) -> tuple[Array, tuple[int, ...]]:
    """Connections of every gateway (-1: it is not up), half-open ones left out, and what dials did to gateways so far (PLACEMENT)."""
    state, counters = fabric.gateways.nodes.state, counted["gateways"].counters
    held = np.where(state[:, ALIVE] == 1, state[:, OPEN] - state[:, GHOSTS], -1).astype(np.int32)
    return held, (fabric.world.now, *counters[[ACCEPTED, MOVED, SUBSCRIBED, ROUTES]].tolist(), fabric.gateways.tenants.met)


def apis(fabric: Fabric) -> tuple[Api, ...]:
    """The services beside the sockets."""
    return fabric.bootstrap, fabric.tokens, fabric.snapshots


def queues(fabric: Fabric, counted: dict[str, Tally]) -> Iterator[Queue]:
    """Every inbox whose component counts what it serves."""
    served = {name: (int(tally.counters[SERVED]), int(tally.counters[SERVED_AT])) for name, tally in counted.items()}
    if len(fabric.gateways.workers) > 1:
        served["gateways"] = (served["gateways"][0], sum(int(w.tally.counters[SERVED_AT]) for w in fabric.gateways.workers))
    served["balancer"] = (int(fabric.balancer.counters[0]), int(fabric.balancer.counters[1]))
    for api in apis(fabric):
        served[api.name] = (int(api.counters[0]) + api.unmade[0], int(api.counters[1]) + api.unmade[1])
    if fabric.presence is not None:
        served["presence"] = (int(fabric.presence.counters[store.SERVED]), int(fabric.presence.counters[store.SERVED_AT]))
    served["replay"] = (int(fabric.replay.counters[3]), int(fabric.replay.counters[4]))
    for component in fabric.components:
        if component.name in served:
            waiting = all_waiting(component)
            count, total = served[component.name]
            account = component.inbox.account
            yield Queue(component.name, int(account[0]), int(account[1]), count, total, len(waiting), sum(waiting[:, 0].tolist()))


def busy(fabric: Fabric, counted: dict[str, Tally]) -> Iterator[Busy]:
    """The servers of every component: rows of work given, and the work that lies ahead of now."""
    now = fabric.world.now
    balancer, replay = fabric.balancer, fabric.replay
    yield _busy("balancer", balancer.busy, balancer.free_at, 1, int(balancer.counters[2]), now)
    for api in apis(fabric):
        yield _busy(api.name, api.busy, api.free_at, 1, int(api.counters[2]), now)
    gateways = fabric.gateways
    yield _busy("gateways", gateways.nodes.busy, gateways.nodes.free_at, fabric.topology.gateways.cores, int(counted["gateways"].counters[WORK]), now)
    if fabric.storage is not None:
        yield _busy("storage", fabric.storage.busy, fabric.storage.free_at, 1, int(fabric.storage.tally.counters[WORK]), now)
    if fabric.brokers is not None:
        brokers = fabric.brokers
        yield _busy("bus", brokers.busy, brokers.free_at, fabric.topology.bus.threads, int(brokers.tally.counters[WORK]), now)
    if fabric.routers is not None:
        yield _busy("routers", fabric.routers.state.busy, fabric.routers.state.free_at, 1, int(fabric.routers.tally.counters[WORK]), now)
    if fabric.presence is not None:
        yield _busy("presence", fabric.presence.busy, fabric.presence.free_at, 1, int(fabric.presence.counters[store.WORK]), now)
    yield _busy("replay", replay.busy, replay.free_at, 1, int(replay.counters[5]), now)


def _busy(name: str, rows: Array, free_at: Array, servers: int, work: int, now: int) -> Busy:
    ahead = np.minimum(np.maximum(free_at - now, 0).reshape(len(rows), servers).sum(axis=1), rows)
    return Busy(name, servers, rows.copy(), ahead, work)


def digest(fabric: Fabric) -> str:
    """The hash of all counts and times: the same for any window that is exact, any number of workers, compiled or not."""
    hashed = hashlib.blake2b(digest_size=16)
    for name, tally in sorted(tallies(fabric).items()):
        hashed.update(name.encode())
        for part in (tally.counters, tally.delays, tally.stages, tally.digest):
            hashed.update(np.ascontiguousarray(part).tobytes())
    columns = fabric.columns
    rows = columns.log.rows[: columns.messages - int(columns.log.base[0])]
    parts = [
        rows[rows[:, PUBLISHED_AT] < fabric.world.now], columns.log.head_sequence, columns.crowd.belief, columns.crowd.home, columns.crowd.dials,
        fabric.gateways.nodes.state, fabric.gateways.nodes.busy, fabric.balancer.open, fabric.balancer.counters, fabric.replay.counters,
        *(api.counters for api in apis(fabric)), columns.crowd.state, columns.crowd.attempt,
    ]  # fmt: skip
    if fabric.presence is not None:
        parts += [fabric.presence.counters, *fabric.presence.entries]
    for array in parts:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
