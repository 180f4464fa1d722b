"""The observer: takes a run's history from the notes of gateways, from frames that components take, and from the rows of messages.

It reads and copies; nothing in the fabric depends on it (law M2), and what is not asked for costs nothing. In a large run it watches whole clients, chosen
by a hash of their number, and the messages of their channels.

Leaves out: what no frame carries (the router's cache, a broker's replicas).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simfabric.chance import mixed
from simfabric.components.clients import fleet_of
from simfabric.components.group import router_deaths
from simfabric.components.schedule import episodes
from simfabric.fabric import Fabric
from simfabric.history import History, HistoryBuilder
from simfabric.kernels import frames as kinds
from simfabric.kernels import noting
from simfabric.kernels.credits import SENDER
from simfabric.kernels.frames import AT, EXTRA, ID, ITEM, KIND_SHIFT, ROW
from simfabric.kernels.inbox import Tap
from simfabric.kernels.presence import CALM, JOIN, UPDATE
from simfabric.kernels.state import CHANNEL, DELAY, INCARNATION_OF, LOW, PACE, PUBLISHED_AT, SESSION, SLOTS_FIRST, WIDE
from simfabric.kernels.subscriptions import FOLLOWS
from simfabric.kernels.tickets import gateway_of
from simfabric.topology.fault_kinds import KINDS
from simfabric.world import Array

MOST_CLIENTS, SAMPLE = 4_000, 1_000  # So many are watched all; of more, a sample of at most so many.
ENOUGH = 200_000  # Frames and notes after which they are looked through.
MOST_PAIRS = 4_096  # Consumers x partitions; of more, no lag is recorded.
BY_CLIENT = {
    kinds.DIAL: "client.due", kinds.TOKEN: "client.token", kinds.REFUSED: "client.refused", kinds.OPENED: "client.open", kinds.SUBSCRIBED: "client.ready",
    kinds.NOTICE: "client.disconnect", kinds.GO: "client.leave", kinds.SILENCE: "client.silence", kinds.STRUCK: "client.struck",
}  # fmt: skip
CLOSES = {kinds.LEAVE: 0, kinds.HALF_OPEN: 1, kinds.DROPPED: 2}
DROPS = (noting.CUT, noting.FULL, noting.VAIN, noting.FULL_TRANSIENT)
TOLD = {noting.RESUMED: 1, noting.NOT_RECOVERED: 0, noting.TRUNCATED: -1}


def trail_of(history: History) -> Array:
    """Every delivery: int64[n, 3] of message, client and arrival [ns], by arrival, message and client."""
    received, shown = history["client.receive"], history["client.caught_up"]
    arrived = np.isin(received["outcome"], noting.ARRIVED)
    parts = [np.column_stack([part["message"], part["client"], part["at"]]) for part in ({k: v[arrived] for k, v in received.items()}, shown)]
    trail = np.concatenate(parts)
    return trail[np.lexsort((trail[:, 1], trail[:, 0], trail[:, 2]))]


class Observer:
    """Watches one fabric from before its run to its end; see the module."""

    def __init__(
        self, fabric: Fabric, most_clients: int = MOST_CLIENTS, sample: int = SAMPLE, builder: HistoryBuilder | None = None, *, everybody: bool = False
    ) -> None:
        self.fabric = fabric
        self.builder = builder or HistoryBuilder()
        crowd, count = fabric.columns.crowd, fabric.topology.clients.count
        self.every = 1
        while count > most_clients and count // self.every > sample and not everybody:
            self.every *= 2
        number = crowd.client.astype(np.uint64)
        self.watched = (np.asarray(mixed(number)) % np.uint64(self.every) == 0).astype(np.int8)
        self.channels = np.zeros(len(crowd.members), bool)
        owner = np.repeat(np.arange(len(crowd.client)), np.diff(crowd.start)) if self.every > 1 else None
        self.channels[crowd.channels if owner is None else crowd.channels[self.watched[owner] == 1]] = True
        fabric.gateways.watch(self.watched)
        self.taps = {component.name: Tap() for component in (fabric.clients, fabric.balancer, fabric.gateways)}
        if fabric.presence is not None:
            self.taps["presence"] = Tap()
        for component in fabric.components:
            component.inbox.tap = self.taps.get(component.name)
        self._who()

    def between(self) -> None:
        """After each round: when much has come together, look it through."""
        if sum(tap.count for tap in self.taps.values()) + sum(int(w.tally.trailed[0]) for w in self.fabric.gateways.workers) > ENOUGH:
            self.collect()

    def collect(self) -> None:
        """Take in what has come together; before messages are retired, since frames are looked up among them."""
        self._notes(self.fabric.gateways.notes(taken=True))
        self._clients(self.taps["clients"].fetch())
        self._balancer(self.taps["balancer"].fetch())
        self._gateways(self.taps["gateways"].fetch())
        if "presence" in self.taps:
            self._presence(self.taps["presence"].fetch())

    def sample(self) -> None:
        """Once a second: the lag of every consumer and partition."""
        consumers, now = self.fabric.consumers, self.fabric.world.now
        if consumers is None:
            return
        if consumers.committed.size > MOST_PAIRS:
            self.builder.lose("consumer.lag", 0)
            return
        consumer, partition = np.nonzero(np.broadcast_to(consumers.mine(), consumers.committed.shape))
        shelf = consumers.shelf
        self.builder.add(
            "consumer.lag", now, consumer, partition, shelf.owner_of[partition], shelf.visible[partition], consumers.committed[consumer, partition],
            shelf.fetched[consumer, partition],
        )  # fmt: skip

    def keep(self, first: int, rows: Array) -> None:
        """These messages leave the log, or the run has ended."""
        number = np.arange(first, first + len(rows), dtype=np.int64)
        chosen = self.channels[rows[:, CHANNEL]]
        kept = rows[chosen]
        self.builder.add("message", kept[:, PUBLISHED_AT], number[chosen], *(kept[:, j] for j in range(1, kept.shape[1])))

    def history(self) -> History:
        """Everything, when the run has ended."""
        self.collect()
        fabric, builder = self.fabric, self.builder
        lost = sum(int(worker.tally.trailed[1]) for worker in fabric.gateways.workers)
        if lost:
            for kind in ("client.receive", "client.caught_up", "client.snapshot", "client.gap", "client.resumed", "gateway.drop"):
                builder.lose(kind, 0)
        crowd = fabric.columns.crowd
        out = np.zeros((int(np.diff(crowd.start)[self.watched == 1].sum()) + 1, 4), np.int64)
        read = fabric.world.kernel(noting.read_cursors)
        count = int(read(self.watched, fabric.gateways.nodes, fabric.columns.book, crowd, out))
        builder.add("subscription", fabric.world.now, *out[:count].T)
        return builder.built(fabric.world.now, self.every, fabric.world.tolerance)

    # ------------------------------------------------------------------------------------------------------------------- what is read

    def _who(self) -> None:
        """The clients, and what is planned to go wrong."""
        fabric, columns = self.fabric, self.fabric.columns
        seat = np.flatnonzero(self.watched)
        crowd = columns.crowd
        client = crowd.client[seat].astype(np.int64)
        own = (fleet_of(fabric.world, columns).profile[seat] == 0) & (crowd.link[seat, PACE] & SESSION == 0)
        who = columns.who
        self.builder.add("client", 0, client, who.user[client], who.tenant[client], crowd.link[seat, DELAY], crowd.home[seat], own)
        for death in fabric.planned:
            self.builder.add("fault", death.at, 0, death.gateway, death.back_at, int(death.planned))
        if fabric.consumers is not None and fabric.routers is not None:
            for absence in router_deaths(fabric.world, fabric.topology):
                self.builder.add("fault", absence.at, 1, absence.router, absence.back_at, 0)
        names = list(KINDS)
        for episode in episodes(fabric.world, fabric.topology):
            if not KINDS[episode.fault.kind].dies:
                self.builder.add("fault", episode.begin, 2, names.index(episode.fault.kind), episode.end, 0)

    def _notes(self, notes: Array) -> None:
        if not len(notes):
            return
        kind, about, at, first, last = (notes[:, i] for i in (noting.KIND, noting.ABOUT, noting.AT, noting.FIRST, noting.LAST))
        client = self.fabric.columns.crowd.client[notes[:, noting.SEAT]].astype(np.int64)

        def add(name: str, chosen: Array, *columns: Any) -> None:
            if chosen.any():
                self.builder.add(name, at[chosen], client[chosen], *(column[chosen] for column in columns))

        add("client.receive", kind <= noting.TRANSIENT, about, first, kind)
        add("client.caught_up", kind == noting.CAUGHT_UP, about)
        add("gateway.drop", np.isin(kind, DROPS), about, first, kind)
        add("client.snapshot", kind == noting.RESET, about, first, last)
        add("client.gap", kind == noting.EXPIRED, about, first, last)
        for number, recovered in TOLD.items():
            add("client.resumed", kind == number, about, first, last, np.full(len(notes), recovered))

    def _clients(self, frames: Array) -> None:
        kind = frames[:, ID] >> KIND_SHIFT
        of_clients = np.isin(kind, tuple(BY_CLIENT))
        frames, kind, client = self._watched(frames[of_clients], kind[of_clients])
        for number, name in BY_CLIENT.items():
            its = kind == number
            if its.any():
                at, row, extra = frames[its, AT], frames[its, ROW], frames[its, EXTRA]
                columns: dict[str, tuple[Any, ...]] = {
                    "client.due": (), "client.token": (), "client.refused": (row, extra), "client.open": (gateway_of(extra), extra),
                    "client.ready": (extra & LOW, row), "client.disconnect": (extra, row), "client.leave": (extra,), "client.silence": (extra,),
                    "client.struck": (row, extra),
                }  # fmt: skip
                self.builder.add(name, at, client[its], *columns[name])

    def _balancer(self, frames: Array) -> None:
        kind = frames[:, ID] >> KIND_SHIFT
        frames, _, client = self._watched(frames[kind == kinds.DIAL], kind[kind == kinds.DIAL])
        if len(frames):
            self.builder.add("client.dial", frames[:, AT], client, frames[:, EXTRA])

    def _gateways(self, frames: Array) -> None:
        kind = frames[:, ID] >> KIND_SHIFT
        self._deliveries(frames[kind == kinds.DELIVER])
        if self.fabric.presence is not None:
            updates = frames[kind == UPDATE]
            seat = updates[:, ITEM] & LOW
            mine = self.watched[seat] == 1
            updates, client, high = updates[mine], self.fabric.columns.crowd.client[seat[mine]], updates[mine, ITEM] // WIDE
            if len(updates):
                self.builder.add("presence.update", updates[:, AT], client, updates[:, ROW], high >> 1 & 1023, high & 1, updates[:, EXTRA])
        chosen = np.isin(kind, (kinds.HANDSHAKE, kinds.SUBSCRIBE, *CLOSES))
        frames, kind, client = self._watched(frames[chosen], kind[chosen])
        for number in (kinds.HANDSHAKE, kinds.SUBSCRIBE, *CLOSES):
            its = kind == number
            if not its.any():
                continue
            at, gateway, extra, item = frames[its, AT], frames[its, ROW], frames[its, EXTRA], frames[its, ITEM]
            if number == kinds.HANDSHAKE:
                self.builder.add("balancer.pick", at, client[its], gateway, extra)
            elif number == kinds.SUBSCRIBE:
                self.builder.add("gateway.subscribe", at, client[its], gateway, extra & LOW)
            else:
                self.builder.add("gateway.close", at, client[its], gateway, item // WIDE, CLOSES[number])

    def _deliveries(self, frames: Array) -> None:
        """Frames of routers, of messages in the watched channels; a slot says for which life of the gateway it was."""
        log, book = self.fabric.columns.log, self.fabric.columns.book
        frames = frames[self.channels[log.rows[frames[:, ITEM] - log.base[0], CHANNEL]]] if len(frames) else frames
        if not len(frames):
            return
        extra = np.where(frames[:, EXTRA] < 0, frames[:, EXTRA], frames[:, EXTRA] % SENDER)
        slot = np.where(extra >= FOLLOWS, extra - FOLLOWS, extra)
        late = slot - book.pool[SLOTS_FIRST]
        life = np.where(late >= 0, book.late[np.maximum(late, 0), INCARNATION_OF], 0)
        life = np.where(slot < 0, -1 - slot, life)
        self.builder.add("gateway.frame", frames[:, AT], frames[:, ITEM], frames[:, ROW], life, extra >= FOLLOWS)

    def _presence(self, frames: Array) -> None:
        kind = frames[:, ID] >> KIND_SHIFT
        chosen = (kind >= JOIN) & (kind <= CALM)
        frames, kind, client = self._watched(frames[chosen], kind[chosen])
        if len(frames):
            self.builder.add("presence.told", frames[:, AT], client, kind, frames[:, EXTRA])

    def _watched(self, frames: Array, kind: Array) -> tuple[Array, Array, Array]:
        """Of these frames about seats, those of watched ones, with kind and client."""
        seat = frames[:, ITEM] & LOW
        mine = self.watched[seat] == 1
        seat = seat[mine]
        return frames[mine], kind[mine], self.fabric.columns.crowd.client[seat].astype(np.int64)
