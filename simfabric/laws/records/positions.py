"""Positions and times of messages: producers' order (S6), one sequence for one message (S7), cause before effect (S21), delays that add up (C11), no
zero-time loop (L4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simfabric.history import KINDS
from simfabric.laws.records import bounds
from simfabric.laws.records.evidence import (
    FAR,
    IN_TURN,
    LANE_TRANSIENT,
    LOGGED,
    LOST_AFTER_SAVE,
    RECEIVE,
    Evidence,
    last_before,
)
from simfabric.laws.records.finding import Anomaly, Finding, found


def producer_order(e: Evidence) -> Finding:
    """S6: who publishes in a channel after the message before was acknowledged stands after it."""
    m = e.messages
    if e.topology.hot.shards > 1 and m["hot"].any():
        return Finding(0, why="hot channels are spread over partitions, where producers have more than one record in flight")
    ok = bounds.acknowledged_at(e)
    theirs = np.flatnonzero((m["publisher"] >= 0) & (m["lane"] != LANE_TRANSIENT) & (m["sequence"] > 0))
    key, at, sequence = (m["publisher"] * e.channels + m["channel"])[theirs], m["at"][theirs], m["sequence"][theirs]
    order = np.lexsort((ok[theirs], key))
    _, rank = np.unique(key[order], return_inverse=True)
    best = np.maximum.accumulate(rank * FAR + sequence[order])  # The greatest sequence that was acknowledged so far.
    before = last_before(key[order], ok[theirs][order], key, at)
    rows = np.flatnonzero(before >= 0)
    highest = best[before[rows]] - rank[before[rows]] * FAR
    wrong = rows[highest >= sequence[rows]]

    def tell(k: int) -> Anomaly:
        i, j = int(theirs[k]), int(theirs[order[before[k]]])
        told = f"client {m['publisher'][i]} published message {m['message'][i]} after message {m['message'][j]} was acknowledged, and it stands before it"
        return Anomaly(int(m["appended_at"][i]), told, (("message", int(m["row"][j])), ("message", int(m["row"][i]))))

    return found(len(rows), wrong, tell)


def position_integrity(e: Evidence) -> Finding:
    """S7: a sequence is one message's, sequences of a channel run from 1 without holes, in the order of appending, and what was acknowledged is there."""
    m = e.messages
    durable = np.flatnonzero((m["sequence"] > 0) & (m["lane"] != LANE_TRANSIENT))
    order = durable[np.lexsort((m["appended_at"][durable], m["sequence"][durable], m["channel"][durable]))]
    channel, sequence, appended = m["channel"][order], m["sequence"][order], m["appended_at"][order]
    first = np.append(True, channel[1:] != channel[:-1]) if len(order) else np.empty(0, bool)
    expected = np.where(first, 1, np.append(0, sequence[:-1]) + 1)
    earlier = ~first & (np.append(0, appended[:-1]) > appended)
    unseen = np.flatnonzero((m["fate"] == LOGGED) & (m["lane"] != LANE_TRANSIENT) & (m["sequence"] <= 0))
    wrong = np.concatenate([order[(sequence != expected) | earlier], unseen])

    def tell(i: int) -> Anomaly:
        told = f"message {m['message'][i]} has #{m['sequence'][i]} of channel {m['channel'][i]}, which is taken, leaves a hole before it, or is out of order"
        near = np.flatnonzero((m["channel"] == m["channel"][i]) & (np.abs(m["sequence"] - m["sequence"][i]) <= 1))
        return Anomaly(int(m["appended_at"][i]), told, tuple(("message", int(m["row"][j])) for j in near[:4]))

    result = found(len(order) if len(order) > 1 else 0, wrong, tell)
    lost = int(((m["fate"] == LOST_AFTER_SAVE) & (bounds.acknowledged_at(e) < e.history.end)).sum())
    return replace(result, note=f"{lost} acknowledged messages were lost with their gateways, which died before they had sent them on") if lost else result


def time_sanity(e: Evidence) -> Finding:
    """S21: no stage of a message is before the one that causes it, and no hop takes less than its wire."""
    m, topology = e.messages, e.topology
    storage, bus = bounds.hop(topology, "storage"), bounds.hop(topology, "bus")
    steps = [
        ("at", "received_at", 0), ("received_at", "saved_at", storage), ("received_at", "appended_at", 0), ("appended_at", "visible_at", 0),
        ("visible_at", "routed_at", bus), ("appended_at", "routed_at", 0),
    ]  # fmt: skip
    if topology.fanout.pattern != "direct":
        steps.append(("saved_at", "appended_at", storage + bus))
    wrong = np.zeros(len(m["at"]), bool)
    compared = 0
    for cause, effect, least in steps:
        both = ((m[cause] > 0) | (cause == "at")) & (m[effect] > 0)
        compared += int(both.sum())
        wrong |= both & (m[effect] < m[cause] + least - e.slack)

    def tell(i: int) -> Anomaly:
        times = ", ".join(f"{name.removesuffix('_at')} {m[name][i]}" for name in ("received_at", "saved_at", "appended_at", "visible_at", "routed_at"))
        return Anomaly(int(m["at"][i]), f"message {m['message'][i]}, published at {m['at'][i]} ns: {times}", (("message", int(m["row"][i])),))

    return found(compared, np.flatnonzero(wrong), tell)


def delays_add_up(e: Evidence) -> Finding:
    """C11: what arrives live was brought to the client's gateway by a frame, after it was routed, and then took at least the way to the client."""
    received, frames, clients = e.history[RECEIVE], e.history["gateway.frame"], e.history["client"]
    if "gateway.frame" in e.history.cut:
        return Finding(0, why="frames of routers found no room in the history")
    delay = np.zeros(e.topology.clients.count, np.int64)
    delay[clients["client"]] = clients["delay"]
    sent_at = received["at"] - delay[received["client"]]
    gateways = e.topology.gateways.count
    frame = last_before(frames["message"] * gateways + frames["gateway"], frames["at"], received["message"] * gateways + received["gateway"], sent_at + e.slack)
    place = e.place(received["message"])
    live = received["outcome"] <= IN_TURN
    early = live & (place >= 0) & (frame < 0)

    def tell(i: int) -> Anomaly:
        told = (
            f"message {received['message'][i]} left gateway {received['gateway'][i]} for client {received['client'][i]} before any frame had brought it there"
        )
        first: tuple[tuple[str, int], ...] = (("message", int(e.messages["row"][place[i]])),)
        return Anomaly(int(received["at"][i]), told, (*first, (RECEIVE, i)))

    return found(int(live.sum()), np.flatnonzero(early), tell)


def no_zero_time_loop(e: Evidence) -> Finding:
    """L4: no client has more than 10 000 records of one kind at one instant."""
    worst: list[tuple[int, str, int, int]] = []
    total = 0
    for kind, columns in KINDS.items():
        if columns[0] != "client" or kind in ("client", "subscription", RECEIVE, "client.caught_up", "client.resumed"):
            continue
        table = e.history[kind]
        total += len(table["at"])
        pairs, rows, counts = np.unique(np.column_stack([table["at"], table["client"]]), axis=0, return_index=True, return_counts=True)
        worst += [(int(pairs[i, 0]), kind, int(rows[i]), int(counts[i])) for i in np.flatnonzero(counts > bounds.SAME_INSTANT)]

    def tell(k: int) -> Anomaly:
        at, kind, row, count = worst[k]
        return Anomaly(at, f"{count} records of {kind} at one instant", ((kind, row),))

    return found(total + len(e.messages["at"]), range(len(worst)), tell)
