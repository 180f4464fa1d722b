"""Evidence: a history as laws read it, each view made once, when a law first asks for it. Nothing here knows the fabric.

What users were shown, in which order; what covers each sequence of a channel for each client; when a client was connected, and to what.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from simfabric.history import History
from simfabric.topology import Topology

Array = np.ndarray[Any, Any]
IN_TURN, DUPLICATE, HELD, TRANSIENT = range(4)  # Outcomes of a receive; kernels/noting.py.
LOGGED, UNSENT, LOST_AT_GATEWAY, LOST_AFTER_SAVE, PASSED_ON, THROTTLED, LIMITED = range(1, 8)  # Fates of a message; kernels/state.py.
FAILED = (UNSENT, LOST_AT_GATEWAY, LOST_AFTER_SAVE, THROTTLED, LIMITED)
LANE_TRANSIENT = 2
GATEWAY, ROUTER = 0, 1  # Components of a fault.
FAR = 1 << 40  # More than any sequence.
NEVER = 1 << 62
LIFE, SILENT = 1024, 1 << 30  # Of tickets; kernels/tickets.py.
HUSHED = 7  # From this `why` on a struck client notices nothing; kernels/striking.py.
RECEIVE, CAUGHT_UP, SNAPSHOT, GAP = "client.receive", "client.caught_up", "client.snapshot", "client.gap"


class Shown(NamedTuple):
    """What users saw, by (client, channel), time and sequence: live deliveries, and what the log's answers brought."""

    at: Array
    client: Array
    message: Array
    channel: Array
    sequence: Array  # 0 = transient.
    published_at: Array
    fate: Array
    gateway: Array  # -1 where the log's answer brought it.
    kind: Array  # 0 = client.receive, 1 = client.caught_up
    row: Array  # In the table of that kind.

    def record(self, i: int) -> tuple[str, int]:
        """The record of a row."""
        return (RECEIVE, CAUGHT_UP)[int(self.kind[i])], int(self.row[i])


class Covered(NamedTuple):
    """Stretches of sequences that a client need not wait for any more, by (client, channel), start and end."""

    group: Array
    at: Array
    start: Array
    end: Array
    kind: Array  # 0, 1 as in Shown; 2 = snapshot, 3 = gap.
    row: Array
    before: Array  # How far the client's stretches had come before this one.

    def record(self, i: int) -> tuple[str, int]:
        """The record of a row."""
        return (RECEIVE, CAUGHT_UP, SNAPSHOT, GAP)[int(self.kind[i])], int(self.row[i])


class Connections(NamedTuple):
    """The connections of every client as it saw them, by client and time; those of the start among them."""

    client: Array
    opened_at: Array
    ended_at: Array  # NEVER: still open as the run ends.
    gateway: Array
    ticket: Array
    row: Array  # In client.open; -1 = open as the run begins.
    end_row: Array  # In client.disconnect; -1 = it is open, the user left, or a fault broke it.
    struck_row: Array  # In client.struck; -1 = no fault broke it.
    ready_at: Array  # When it was told where its channels stand; NEVER: it was not.


@dataclass(frozen=True, eq=False)
class Evidence:
    """A history and the topology of its run; see the module."""

    history: History
    topology: Topology

    @cached_property
    def channels(self) -> int:
        """Channels of the fabric."""
        return len(self.topology.channels.given) + self.topology.channels.count

    @cached_property
    def messages(self) -> dict[str, Array]:
        """The messages by number, and `row`, their place in the table."""
        table = self.history["message"]
        order = np.argsort(table["message"])
        return {name: column[order] for name, column in table.items()} | {"row": order}

    def place(self, message: Array) -> Array:
        """Where these messages stand in `messages`; -1 for one that is not there."""
        known = self.messages["message"]
        if not len(known):
            return np.full(len(message), -1)
        i = np.minimum(np.searchsorted(known, message), len(known) - 1)
        return np.where(known[i] == message, i, -1)

    def group(self, client: Array, channel: Array) -> Array:
        """One number for each client and channel."""
        return client * self.channels + channel

    @cached_property
    def shown(self) -> Shown:
        """See Shown; also what is still under way as the run ends."""
        received, caught = self.history[RECEIVE], self.history[CAUGHT_UP]
        live = np.flatnonzero(np.isin(received["outcome"], (IN_TURN, TRANSIENT)))
        at = np.concatenate([received["at"][live], caught["at"]])
        client = np.concatenate([received["client"][live], caught["client"]])
        message = np.concatenate([received["message"][live], caught["message"]])
        gateway = np.concatenate([received["gateway"][live], np.full(len(caught["at"]), -1)])
        kind = np.repeat([0, 1], [len(live), len(caught["at"])])
        row = np.concatenate([live, np.arange(len(caught["at"]))])
        place = self.place(message)
        columns = [np.where(place < 0, -1, self.messages[name][place]) if len(self.messages["message"]) else place for name in SHOWN_OF_MESSAGE]
        channel, sequence, published_at, fate = columns
        order = np.lexsort((sequence, at, channel, client))
        return Shown(*(column[order] for column in (at, client, message, channel, sequence, published_at, fate, gateway, kind, row)))

    @cached_property
    def covered(self) -> Covered:
        """See Covered: of durable messages only."""
        shown, reset, gap = self.shown, self.history[SNAPSHOT], self.history[GAP]
        durable = np.flatnonzero(shown.sequence > 0)
        jumps = np.flatnonzero(reset["upto"] > reset["start"])
        parts = [
            (self.group(shown.client, shown.channel)[durable], shown.at[durable], shown.sequence[durable], shown.sequence[durable], shown.kind[durable],
             shown.row[durable]),
            (self.group(reset["client"], reset["channel"])[jumps], reset["at"][jumps], reset["start"][jumps] + 1, reset["upto"][jumps],
             np.full(len(jumps), 2), jumps),
            (self.group(gap["client"], gap["channel"]), gap["at"], gap["start"] + 1, gap["start"] + gap["count"], np.full(len(gap["at"]), 3),
             np.arange(len(gap["at"]))),
        ]  # fmt: skip
        group, at, start, end, kind, row = (np.concatenate(column) for column in zip(*parts))
        order = np.lexsort((end, start, group))
        group, at, start, end, kind, row = (column[order] for column in (group, at, start, end, kind, row))
        return Covered(group, at, start, end, kind, row, _reached_before(group, end))

    @cached_property
    def reached(self) -> tuple[Array, Array]:
        """How far each (client, channel) has come by its records: groups, in order, and sequences."""
        group, end = self.covered.group, self.covered.end
        last = np.flatnonzero(np.append(group[1:] != group[:-1], True)) if len(group) else np.empty(0, np.int64)
        return group[last], np.maximum(self.covered.before[last], end[last])

    @cached_property
    def connections(self) -> Connections:
        """See Connections."""
        opened, clients = self.history["client.open"], self.history["client"]
        first = clients["gateway"] >= 0
        client = np.concatenate([clients["client"][first], opened["client"]])
        at = np.concatenate([np.zeros(int(first.sum()), np.int64), opened["at"]])
        ticket = np.concatenate([clients["gateway"][first] * LIFE, opened["ticket"]])
        gateway = np.concatenate([clients["gateway"][first], opened["gateway"]])
        row = np.concatenate([np.full(int(first.sum()), -1), np.arange(len(opened["at"]))])
        order = np.lexsort((at, client))
        client, at, ticket, gateway, row = (column[order] for column in (client, at, ticket, gateway, row))
        key = client * SILENT + ticket
        ended, left, ready = (self.history[f"client.{kind}"] for kind in ("disconnect", "leave", "ready"))
        end_at, end_row = _first_after(ended["client"] * SILENT + ended["ticket"] % SILENT, ended["at"], key, at)
        left_at, _ = _first_after(left["client"] * SILENT + left["ticket"] % SILENT, left["at"], key, at)
        ready_at, _ = _first_after(ready["client"] * SILENT + ready["ticket"] % SILENT, ready["at"], key, at)
        ready_at = np.where(row < 0, 0, ready_at)
        struck_at, struck_row = self._struck(client, at)
        ended_at = np.minimum(np.minimum(end_at, left_at), struck_at)
        by_end, by_fault = (end_at == ended_at) & (ended_at < NEVER), (struck_at == ended_at) & (ended_at < NEVER)
        return Connections(client, at, ended_at, gateway, ticket, row, np.where(by_end & ~by_fault, end_row, -1), np.where(by_fault, struck_row, -1), ready_at)

    def _struck(self, client: Array, opened_at: Array) -> tuple[Array, Array]:
        """When a fault first breaks a connection so that its client notices at once, unless nothing passed on it before; and that record."""
        struck, silence = self.history["client.struck"], self.history["client.silence"]
        at_once = np.flatnonzero(struck["why"] < HUSHED)
        broken_at, row = _first_after(struck["client"][at_once], struck["at"][at_once], client, opened_at)
        hushed = struck["why"] >= HUSHED
        quiet_at, _ = _first_after(silence["client"], silence["at"], client, opened_at)
        hushed_at, _ = _first_after(struck["client"][hushed], struck["at"][hushed], client, opened_at)
        broken = (row >= 0) & (broken_at <= np.minimum(quiet_at, hushed_at))
        return np.where(broken, broken_at, NEVER), np.where(broken, at_once[np.maximum(row, 0)] if len(at_once) else -1, -1)

    @cached_property
    def known_at(self) -> Array:
        """When each of `messages` was last known to be on its way to the routers [ns]: the latest stage before routing."""
        m = self.messages
        return np.asarray(np.maximum.reduce([m[name] for name in ("at", "received_at", "saved_at", "appended_at", "visible_at")]))

    @cached_property
    def other_faults(self) -> bool:
        """Whether anything goes wrong besides deaths of gateways and routers: no bound is known then."""
        return bool((self.history["fault"]["component"] > ROUTER).any())

    @cached_property
    def heads(self) -> Array:
        """The last sequence of each channel."""
        heads = np.zeros(self.channels, np.int64)
        np.maximum.at(heads, self.messages["channel"], self.messages["sequence"])
        return heads

    def faults(self, component: int) -> list[tuple[int, int, int, int]]:
        """What goes wrong with gateways or routers, in order: when, which, until when, by plan."""
        table = self.history["fault"]
        its = table["component"] == component
        return list(zip(*(table[name][its].tolist() for name in ("at", "number", "until", "planned"))))

    @cached_property
    def slack(self) -> int:
        """By how much a time may be wrong [ns]: a run in longer windows than the exact one is right to one window."""
        return self.history.late


SHOWN_OF_MESSAGE = ("channel", "sequence", "at", "fate")


def _reached_before(group: Array, end: Array) -> Array:
    """For rows by group: the greatest end of the rows before in the same group, 0 for the first."""
    if not len(group):
        return end
    rank = np.cumsum(np.append(0, group[1:] != group[:-1]))
    greatest = np.maximum.accumulate(rank * FAR + end)
    before = np.append(0, greatest[:-1]) - rank * FAR
    return np.asarray(np.maximum(before, 0))


def _first_after(key: Array, at: Array, asked_key: Array, asked_at: Array) -> tuple[Array, Array]:
    """For each asked (key, time) the first time with that key from then on, NEVER where there is none, and its row."""
    row = last_before(key[::-1], -at[::-1], asked_key, -asked_at)
    row = np.where(row >= 0, len(key) - 1 - row, -1)
    return np.where(row >= 0, at[np.maximum(row, 0)], NEVER) if len(key) else np.full(len(asked_key), NEVER), row


def last_before(key: Array, at: Array, asked_key: Array, asked_at: Array, *, strictly: bool = False) -> Array:
    """For each asked (key, time): the row with that key and the greatest time <= (`strictly`: <) it; -1 = none. Of equal ones the last."""
    count = len(key)
    rank = np.repeat([1, 0] if strictly else [0, 1], [count, len(asked_key)])
    keys, times = np.concatenate([key, asked_key]), np.concatenate([at, asked_at])
    order = np.lexsort((np.arange(len(keys)), rank, times, keys))
    known = np.maximum.accumulate(np.where(order < count, np.arange(len(order)), -1))
    found = np.full(len(asked_key), -1)
    asked = order >= count
    row = np.where(known >= 0, order[np.maximum(known, 0)], -1)
    same = (known >= 0) & (keys[row] == keys[order])
    found[order[asked] - count] = np.where(same, row, -1)[asked]
    return found
