"""The consumer group (S9, L2), the balancer (S19) and presence (S16)."""

from __future__ import annotations

import numpy as np

from simfabric.laws.records import bounds
from simfabric.laws.records.evidence import GATEWAY, ROUTER, Array, Evidence, last_before
from simfabric.laws.records.finding import Anomaly, Finding, found

LAG, PICK = "consumer.lag", "balancer.pick"
JOINED, PARTED, LAPSED, CALM = 40, 41, 42, 43  # Kinds of presence.told; kernels/presence.py.
STICKY = ("cookie", "source_ip", "consistent_hash", "rendezvous", "maglev")


def group_safety(e: Evidence) -> Finding:
    """S9, of what is sampled: committed <= fetched <= visible, and while a consumer has a partition its commits never fall."""
    lag = e.history[LAG]
    if not len(lag["at"]):
        return Finding(0, why="there are too many consumers and partitions to be recorded" if LAG in e.history.cut else "there is no bus")
    amiss = (lag["committed"] < 0) | (lag["committed"] > lag["fetched"]) | (lag["fetched"] > lag["visible"])
    order = np.lexsort((lag["at"], lag["partition"], lag["consumer"]))
    same = np.append(False, (lag["consumer"][order][1:] == lag["consumer"][order][:-1]) & (lag["partition"][order][1:] == lag["partition"][order][:-1]))
    soon = np.append(False, np.diff(lag["at"][order]) <= np.diff(np.unique(lag["at"])).max(initial=0))
    fell = np.append(False, np.diff(lag["committed"][order]) < 0)
    for at, _, until, _ in e.faults(ROUTER):  # A new generation begins at the last commit.
        for change in (at + min(until - at, e.topology.bus.session_timeout), until):
            fell &= (lag["at"][order] < change) | (np.append(0, lag["at"][order][:-1]) > change)
    amiss[order] |= same & soon & fell

    def tell(i: int) -> Anomaly:
        numbers = ", ".join(f"{name} {lag[name][i]}" for name in ("committed", "fetched", "visible"))
        return Anomaly(int(lag["at"][i]), f"consumer {lag['consumer'][i]}, partition {lag['partition'][i]}: {numbers}", ((LAG, i),))

    return found(int((lag["committed"] > 0).sum()), np.flatnonzero(amiss), tell)


def lag_drains(e: Evidence) -> Finding:
    """L2: what was visible when a dead router's partitions had a reader again is fetched within D·ρ/(1 − ρ) and the grain of what is recorded."""
    lag, topology = e.history[LAG], e.topology
    if e.other_faults:
        return Finding(0, why="other faults may slow the routers down")
    last = lag["at"] == lag["at"].max(initial=0)
    rate = lag["visible"][last].sum() / max(1, e.history.end)
    work = topology.fanout.work.mean + topology.gateways.count * topology.fanout.work_per_target.mean
    load = rate * work / topology.fanout.routers
    if not load < 0.95:
        return Finding(0, why=f"the routers' load is {load:.0%}: no bound is known")
    exercised = 0
    wrong: list[int] = []
    for at, _, until, _ in e.faults(ROUTER):
        away = min(until - at, topology.bus.session_timeout)
        others = {router for other, router, back, _ in e.faults(ROUTER) if other <= at + away < back}
        if len(others) == topology.fanout.routers:  # Nobody can take over.
            away = until - at
        by = at + away + int(away * load / (1 - load)) + topology.bus.fetch.max_wait + 2_000_000_000
        before, after = _sample(lag["at"], at + away), _sample(lag["at"], by)
        if min(before, after) < 0 or any(other != at and at - away <= other < by for other, *_ in e.faults(ROUTER)):
            continue
        for i in np.flatnonzero(lag["at"] == before).tolist():
            if lag["visible"][i] > lag["fetched"][i]:
                exercised += 1
                its = np.flatnonzero((lag["at"] == after) & (lag["partition"] == lag["partition"][i]))
                wrong += [j for j in its.tolist() if lag["fetched"][j] < lag["visible"][i]]

    def tell(j: int) -> Anomaly:
        told = f"partition {lag['partition'][j]} is behind still: {lag['fetched'][j]} of {lag['visible'][j]} fetched"
        return Anomaly(int(lag["at"][j]), told, ((LAG, j),))

    return found(exercised, wrong, tell)


def _sample(at: Array, after: int) -> int:
    """The time of the first sample from then on; -1 = none."""
    later = at[at >= after]
    return int(later.min()) if len(later) else -1


def affinity(e: Evidence) -> Finding:
    """S19: while the pool does not change a sticky policy sends a client where it was; and nobody is sent to who has been dead for longer than T_health."""
    picks, topology = e.history[PICK], e.topology
    at = picks["at"] - topology.network.hop
    wrong, exercised = np.zeros(len(at), bool), 0
    changes = []
    for died, gateway, until, _ in e.faults(GATEWAY):
        known = died + bounds.noticed_after(topology) + e.slack
        wrong |= (picks["gateway"] == gateway) & (at > known) & (at < until)
        exercised += int(((at > known) & (at < until)).sum())
        changes.append((min(died, 0) if died < 0 else died, until + bounds.back_after(topology)))
    before = np.full(len(at), -1)
    if topology.balancer.policy in STICKY and not topology.hot.gateways and not e.other_faults:
        before = _same_pool(e, at, changes)
        moved = (before >= 0) & (picks["gateway"] != np.maximum(before, 0))
        wrong |= moved
        exercised += int((before >= 0).sum())

    def tell(i: int) -> Anomaly:
        client, gateway = int(picks["client"][i]), int(picks["gateway"][i])
        told = f"client {client} was sent to gateway {gateway}"
        told += f" and not to gateway {before[i]}, though nothing had changed" if 0 <= before[i] != gateway else ", which was dead and known to be"
        return Anomaly(int(picks["at"][i]), told, ((PICK, i),))

    return found(exercised, np.flatnonzero(wrong), tell)


def _same_pool(e: Evidence, at: Array, changes: list[tuple[int, int]]) -> Array:
    """For each pick the gateway of the client's connection before, if the pool has not changed since; -1 else."""
    picks, c = e.history[PICK], e.connections
    i = last_before(c.client, c.opened_at, picks["client"], at, strictly=True)
    if not len(c.client) or not len(at):
        return np.full(len(at), -1)
    led = last_before(picks["client"], picks["at"], c.client, c.opened_at)  # The pick that led to each connection.
    picked = np.where(led >= 0, picks["at"][np.maximum(led, 0)] - e.topology.network.hop, 0)
    since = np.where(i >= 0, picked[np.maximum(i, 0)], 0)
    calm = i >= 0
    for begin, end in changes:
        calm &= (at < begin) | (since > end)
    return np.where(calm, c.gateway[np.maximum(i, 0)], -1)


def presence_truth(e: Evidence) -> Finding:
    """S16, of what the store is told and tells: a session ends once, and what gateways are told has its cause in the store."""
    told, updates, clients = e.history["presence.told"], e.history["presence.update"], e.history["client"]
    if not e.topology.presence.enabled:
        return Finding(0, why="the fabric keeps no presence")
    user = np.zeros(e.topology.clients.count, np.int64)
    user[clients["client"]] = clients["user"]
    leaves = np.isin(told["what"], (PARTED, LAPSED))
    causes = {online: np.unique(np.column_stack([user[told["client"]], told["at"]])[np.isin(told["what"], what)], axis=0)
              for online, what in ((1, (JOINED,)), (0, (PARTED, LAPSED, CALM)))}  # fmt: skip
    known = {online: set(map(tuple, rows.tolist())) for online, rows in causes.items()}
    asked = zip(user[updates["client"]].tolist(), updates["due"].tolist(), updates["online"].tolist())
    wrong = [i for i, (who, due, online) in enumerate(asked) if (who, due) not in known[online]]

    def tell(i: int) -> Anomaly:
        state = "online" if updates["online"][i] else "offline"
        text = f"gateway {updates['gateway'][i]} was told that the user of client {updates['client'][i]} is {state}, and nothing had said so to the store"
        return Anomaly(int(updates["at"][i]), text, (("presence.update", i),))

    both = leaves.any() and (told["what"] == JOINED).any()
    return found(len(updates["at"]) if both else 0, wrong, tell)
