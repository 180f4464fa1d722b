"""Fan-out: what is routed twice (S10), routes to the dead (S13), and routes of the living (S14)."""

from __future__ import annotations

import numpy as np

from simfabric.laws.records import bounds
from simfabric.laws.records.evidence import GATEWAY, LANE_TRANSIENT, LOGGED, ROUTER, Array, Evidence
from simfabric.laws.records.finding import Anomaly, Finding, found

FRAME = "gateway.frame"


def redelivery_bound(e: Evidence) -> Finding:
    """S10: what is routed twice was routed first after the last commit before a router's death, and again after it."""
    frames = e.history[FRAME]
    lives = _lives(e, frames)
    order = np.lexsort((frames["at"], frames["message"], lives))
    again = np.flatnonzero((lives[order][1:] == lives[order][:-1]) & (frames["message"][order][1:] == frames["message"][order][:-1]))
    first, second = frames["at"][order][again], frames["at"][order][again + 1]
    excused = np.zeros(len(again), bool)
    for at, *_ in e.faults(ROUTER):
        excused |= (first > at - e.topology.bus.commit_every - e.slack) & (second > at)

    def tell(k: int) -> Anomaly:
        a, b = int(order[again[k]]), int(order[again[k] + 1])
        told = f"message {frames['message'][b]} came twice to gateway {frames['gateway'][b]}, and no router died that had not committed it"
        return Anomaly(int(frames["at"][b]), told, ((FRAME, a), (FRAME, b)))

    return found(len(again) if e.faults(ROUTER) else 0, np.flatnonzero(~excused), tell)


def no_zombie_routes(e: Evidence) -> Finding:
    """S13: no message that became known a lease and a cached entry after a gateway's death is sent to that life of it."""
    frames = e.history[FRAME]
    place = e.place(frames["message"])
    known = np.where(place >= 0, e.known_at[np.maximum(place, 0)], 0) if len(e.known_at) else place
    channel = e.messages["channel"][np.maximum(place, 0)] if len(e.known_at) else place
    late = np.zeros(len(known), bool)
    exercised, died = 0, {}
    lives: dict[int, int] = {}
    rows = np.flatnonzero(e.history["fault"]["component"] == GATEWAY).tolist()
    for row, (at, gateway, _, _) in zip(rows, e.faults(GATEWAY)):
        life = lives[gateway] = lives.get(gateway, -1) + 1
        its = (frames["gateway"] == gateway) & (frames["incarnation"] == life)
        after = at + bounds.evicted_after(e.topology) + e.slack
        late |= its & (known >= after)
        died[gateway, life] = row
        exercised += int(np.isin(e.messages["channel"][e.known_at >= after], channel[its]).sum())

    def tell(i: int) -> Anomaly:
        message, gateway, life = (int(frames[name][i]) for name in ("message", "gateway", "incarnation"))
        told = f"message {message} was sent to life {life} of gateway {gateway}, which had ended a lease and more before it was known"
        return Anomaly(int(frames["at"][i]), told, (("fault", died[gateway, life]), ("message", int(e.messages["row"][place[i]])), (FRAME, i)))

    return found(exercised, np.flatnonzero(late), tell)


def route_completeness(e: Evidence) -> Finding:
    """S14: what is routed while a client is subscribed on a living gateway, and has been so for long enough, is sent to that gateway."""
    if e.other_faults:
        return Finding(0, why="other faults may keep what is routed from its gateways")
    c, frames, m = e.connections, e.history[FRAME], e.messages
    needed = _needed(e)
    gateways = e.topology.gateways.count
    sent = np.unique(frames["message"] * gateways + frames["gateway"])
    lacking = needed[~np.isin(m["message"][needed[:, 0]] * gateways + c.gateway[needed[:, 1]], sent)] if len(needed) else needed

    def tell(k: int) -> Anomaly:
        i, j = lacking[k].tolist()
        told = f"message {m['message'][i]} was not sent to gateway {c.gateway[j]}, where client {c.client[j]} had subscribed to channel {m['channel'][i]}"
        opened = [("client.open", int(c.row[j]))] if c.row[j] >= 0 else []
        return Anomaly(int(m["routed_at"][i]), told, (*opened, ("message", int(m["row"][i]))))

    return found(len(needed), range(len(lacking)), tell)


def _needed(e: Evidence) -> Array:
    """Messages and connections whose gateway must have been sent the message: int64[n, 2], places in `messages` and in `connections`."""
    c, m, subscribed = e.connections, e.messages, e.history["subscription"]
    routed = np.flatnonzero((m["fate"] == LOGGED) & (m["lane"] != LANE_TRANSIENT) & (m["routed_at"] > 0) & (m["routed_at"] < e.history.end - e.slack))
    routed = routed[np.argsort(m["channel"][routed], kind="stable")]
    where = np.searchsorted(m["channel"][routed], np.arange(e.channels + 1))
    order = np.argsort(subscribed["client"], kind="stable")
    of_client = subscribed["channel"][order]
    first = np.searchsorted(subscribed["client"][order], c.client)
    last = np.searchsorted(subscribed["client"][order], c.client, side="right")
    ends = _ended_at_gateway(e)
    since = np.where(c.row < 0, 0, c.ready_at) + bounds.visible_after(e.topology) + e.slack
    parts = [np.empty((0, 2), np.int64)]
    for j in np.flatnonzero((c.ready_at <= e.history.end) & (since < ends)):
        for channel in of_client[first[j] : last[j]].tolist():
            its = routed[where[channel] : where[channel + 1]]
            its = its[(e.known_at[its] >= since[j]) & (m["routed_at"][its] < ends[j] - e.slack)]  # A router looks when the message comes, and sends later.
            parts.append(np.column_stack([its, np.full(len(its), j)]))
    return np.concatenate(parts)


def _ended_at_gateway(e: Evidence) -> Array:
    """Until when what is routed surely finds each connection at its gateway [ns]."""
    c, topology = e.connections, e.topology
    clients = e.history["client"]
    delay = np.zeros(topology.clients.count, np.int64)
    delay[clients["client"]] = clients["delay"]
    ends = c.ended_at - delay[c.client] - topology.clients.notice
    silence = e.history["client.silence"]
    for j in np.flatnonzero(np.isin(c.client, silence["client"])):
        its = silence["at"][(silence["client"] == c.client[j]) & (silence["at"] >= c.opened_at[j])]
        ends[j] = min(ends[j], its.min(initial=ends[j]))
    for at, gateway, *_ in e.faults(GATEWAY):
        struck = (c.gateway == gateway) & (c.opened_at <= at)
        ends[struck & (ends > at)] = at
    return np.asarray(ends - 2 * topology.network.hop)


def _lives(e: Evidence, frames: dict[str, Array]) -> Array:
    """One number for each life of each gateway."""
    return frames["gateway"] * (1 << 10) + frames["incarnation"]
