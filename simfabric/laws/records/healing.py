"""What ends well: everybody is back and lacks nothing (L1), and deploys end (L5). Bounds are sums of worst cases."""

from __future__ import annotations

import numpy as np

from simfabric.laws.records import bounds
from simfabric.laws.records.evidence import GATEWAY, LANE_TRANSIENT, Array, Evidence
from simfabric.laws.records.finding import Anomaly, Finding, found


def convergence(e: Evidence) -> Finding:
    """L1: so long after the last fault every client is connected, and lacks nothing that was known by then."""
    bound, why = _bound(e)
    if bound is None:
        return Finding(0, why=why)
    ends = [until for _, _, until, _ in e.faults(GATEWAY)]
    if not ends:
        return Finding(0, why="no gateway died")
    by = e.history.end - bound
    if max(ends) > by:
        return Finding(0, why=f"the run ends before {max(ends) + bound} ns, when everybody must be back")
    subscribed, m = e.history["subscription"], e.messages
    known = (m["lane"] != LANE_TRANSIENT) & (m["sequence"] > 0) & (e.known_at < by)
    owed = np.zeros(e.channels, np.int64)
    np.maximum.at(owed, m["channel"][known], m["sequence"][known])
    lacks = subscribed["cursor"] < owed[subscribed["channel"]]
    away = subscribed["connected"] == 0

    def tell(k: int) -> Anomaly:
        state = "is not connected" if away[k] else f"stands at #{subscribed['cursor'][k]} of #{owed[subscribed['channel'][k]]}"
        told = f"client {subscribed['client'][k]} {state} in channel {subscribed['channel'][k]}, {e.history.end - max(ends)} ns after the last fault"
        return Anomaly(e.history.end, told, (("subscription", k),))

    lost = len(np.unique(e.history["client.disconnect"]["client"]))
    return found(lost, np.flatnonzero(lacks | away), tell)


def deploys_end(e: Evidence) -> Finding:
    """L5: gateways that end by plan are back, and whoever they had is connected again in time."""
    bound, why = _bound(e)
    planned = [fault for fault in e.faults(GATEWAY) if fault[3]]
    if not planned:
        return Finding(0)
    if bound is None:
        return Finding(0, why=why)
    if len(planned) < len(e.faults(GATEWAY)):
        return Finding(0, why="gateways die besides")
    c = e.connections
    ended = e.history["client.disconnect"]
    struck = np.flatnonzero((c.end_row >= 0) & (ended["why"][np.maximum(c.end_row, 0)] == 1)) if len(ended["at"]) else np.empty(0, np.int64)
    last = max(until for _, _, until, _ in planned)
    back = _next_opened(c.client, c.opened_at)
    late = struck[(np.minimum(back[struck], e.history.end) > np.maximum(last, c.ended_at[struck]) + bound)]

    def tell(j: int) -> Anomaly:
        told = f"client {c.client[j]} lost its connection by plan, and had none again within {bound} ns of the deploy's end"
        return Anomaly(int(c.ended_at[j]), told, (("client.disconnect", int(c.end_row[j])),))

    return found(int((np.maximum(last, c.ended_at[struck]) + bound <= e.history.end).sum()), late, tell)


def _next_opened(client: Array, opened_at: Array) -> Array:
    """When each client's next connection was opened."""
    following = np.append(opened_at[1:], 0)
    return np.where(np.append(client[1:], -1) == client, following, 1 << 62)


def _bound(e: Evidence) -> tuple[int | None, str]:
    """How long healing may take, or why nobody knows."""
    config, topology = e.topology.clients, e.topology
    drops = e.history["gateway.drop"]["why"]
    reasons = {
        "users come and go": bool(config.churn), "clients have other policies": bool(config.fleet), "other faults strike": e.other_faults,
        "services fail now and then": any(getattr(topology.apis, name).errors > 0 for name in ("bootstrap", "token", "snapshot")),
        "a full buffer dropped messages, which only a later one shows": bool((drops == 6).any()) or topology.backpressure.policy == "shed",
        "subscribes are limited": topology.limits.subscribe != type(topology.limits.subscribe)(),
        "hot messages wait or are capped": topology.hot.policy != "none",
        "a router dies": bool(e.faults(1)),
        "the run is in long windows": e.slack > 0,
    }  # fmt: skip
    for why, true in reasons.items():
        if true:
            return None, f"{why}: no bound is known"
    outage = max((until - at for at, _, until, _ in e.faults(GATEWAY)), default=0) + bounds.back_after(topology)
    if outage >= bounds.quick_retries_for(topology):
        return None, "a gateway is away for so long that clients may go over to slow retries: no bound is known"
    planned = any(fault[3] for fault in e.faults(GATEWAY))
    bound = bounds.converged_after(topology, config.count, len(e.history["client.caught_up"]["at"]), planned)
    return bound, "a dial may time out in the queues where it waits: no bound is known"
