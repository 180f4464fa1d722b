"""Connections: one at a time, and what arrives comes over it (S15); waits between dials (S20); tokens (S22)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from simfabric.laws.records.evidence import NEVER, RECEIVE, Evidence, last_before
from simfabric.laws.records.finding import Anomaly, Finding, found
from simfabric.topology import Topology

LEAST_DELAY = 1_000_000  # What a timer can tell apart [ns]; protocol/rules.py.
PLANNED, ADVISED, BUSY, VOID = 1, -1, 2, 3  # Why a connection ended by plan; why a dial was refused with advice, or for its token; kernels/clients.py.


def fencing(e: Evidence) -> Finding:
    """S15: a client has at most one connection, and what arrives comes from the gateway of the one that it has."""
    c, received = e.connections, e.history[RECEIVE]
    same = c.client[1:] == c.client[:-1]
    both = np.flatnonzero(same & (c.opened_at[1:] < c.ended_at[:-1])) + 1
    i = last_before(c.client, c.opened_at, received["client"], received["at"])
    place = np.maximum(i, 0)
    other = np.flatnonzero((i < 0) | (c.gateway[place] != received["gateway"]) | (c.ended_at[place] < received["at"])) if len(c.client) else i
    wrong = np.concatenate([both, -1 - other])

    def tell(k: int) -> Anomaly:
        if k >= 0:
            told = f"client {c.client[k]} opened a connection while it had another one"
            return Anomaly(int(c.opened_at[k]), told, tuple(("client.open", int(c.row[n])) for n in (k - 1, k) if c.row[n] >= 0))
        k = -1 - k
        told = f"client {received['client'][k]} received from gateway {received['gateway'][k]}, with which it had no connection"
        opened = [("client.open", int(c.row[i[k]]))] if i[k] >= 0 and c.row[i[k]] >= 0 else []
        return Anomaly(int(received["at"][k]), told, (*opened, (RECEIVE, k)))

    return found(int(same.sum()), wrong, tell)


class Wait(NamedTuple):
    """One wait of a client: from a failure to the next attempt, and the interval in which it must lie [ns]."""

    client: int
    failed: tuple[str, int]  # The record of the failure.
    at: int
    until: int
    due: int  # Row of the attempt.
    least: int
    most: int
    attempt: int


def backoff_contract(e: Evidence) -> Finding:
    """S20: every wait before a dial lies in the interval of its policy, by the attempts that failed since the connection was stable."""
    waits = [wait for client, events in _courses(e) for wait in _waits(e.topology, client, events)]
    wrong = [k for k, wait in enumerate(waits) if not wait.least - 1 <= wait.until - wait.at <= wait.most + 1]

    def tell(k: int) -> Anomaly:
        w = waits[k]
        told = f"client {w.client} waited {w.until - w.at} ns after failure {w.attempt + 1} in a row, and its policy says {w.least} to {w.most} ns"
        return Anomaly(w.until, told, (w.failed, ("client.due", w.due)))

    return found(sum(wait.attempt > 0 for wait in waits), wrong, tell)


def _courses(e: Evidence) -> Iterator[tuple[int, list[tuple[int, int, str, int, int]]]]:
    """Of each client by the topology's own policy: its events in time order, as (at, rank, kind, row, number)."""
    c = e.connections
    events: dict[int, list[tuple[int, int, str, int, int]]] = {}
    clients = e.history["client"]
    own = set(clients["client"][clients["own_policy"] == 1].tolist())
    ended = e.history["client.disconnect"]
    for kind, rank, numbers in (("client.ready", 1, "behind"), ("client.refused", 2, "by"), ("client.due", 3, "client")):
        table = e.history[kind]
        for row, (at, client, number) in enumerate(zip(table["at"].tolist(), table["client"].tolist(), table[numbers].tolist())):
            events.setdefault(client, []).append((at, rank, kind, row, number))
    for client, opened, row in zip(c.client.tolist(), c.opened_at.tolist(), c.row.tolist()):
        events.setdefault(client, []).append((opened, 0, "start" if row < 0 else "client.open", row, 0))
    for client, row, struck, at in zip(c.client.tolist(), c.end_row.tolist(), c.struck_row.tolist(), c.ended_at.tolist()):
        if struck >= 0:
            events[client].append((at, 2, "client.struck", struck, 0))
        elif row >= 0:
            events[client].append((at, 2, "client.disconnect", row, int(ended["why"][row])))
        elif at < NEVER:
            events[client].append((at, 2, "client.leave", row, 0))
    reasons = e.history["client.refused"]["reason"]
    for client in sorted(own & events.keys()):
        course = sorted(events[client])
        told = [_advice(number, int(reasons[row])) if kind == "client.refused" else number for _, _, kind, row, number in course]
        yield client, [(at, rank, kind, row, number) for (at, rank, kind, row, _), number in zip(course, told)]


def _advice(by: int, reason: int) -> int:
    """Whether a refusal came with advice; VOID if it was for the token."""
    return VOID if by == VOID else int(by == BUSY or (by == 0 and reason == ADVISED))


def _waits(topology: Topology, client: int, events: list[tuple[int, int, str, int, int]]) -> Iterator[Wait]:
    """The waits of one client, as its policy has them."""
    config, drain, balancer = topology.clients.reconnect, topology.gateways.drain, topology.balancer
    attempt, ready_at = 0, None
    failure: tuple[str, int, int, int, int, int] | None = None
    for at, _, kind, row, number in events:
        if kind == "start":
            ready_at = -(1 << 60)
        elif kind == "client.open":
            ready_at = None
        elif kind == "client.ready":
            ready_at = at if ready_at is None else ready_at
        elif kind == "client.leave":
            failure, attempt = None, 0
        elif kind == "client.due":
            if failure is None:
                attempt = 0
            else:
                what, its, since, least, most, n = failure
                yield Wait(client, (what, its), since, at, row, max(LEAST_DELAY, least), max(LEAST_DELAY, most), n)
            failure = None
        elif failure is not None or (kind == "client.refused" and number == VOID):
            return  # Two failures of one attempt, or a token that is fetched again: not as the records of this policy go.
        else:
            ended = kind != "client.refused"
            if ended and ready_at is not None and at - ready_at >= config.stable_after:
                attempt = 0
            planned = kind == "client.disconnect" and number == PLANNED
            after = drain.retry_after if planned else balancer.retry_after if not ended and number and balancer.retry_after is not None else -1
            spread = drain.spread if planned else balancer.retry_spread
            least, most = _interval(topology, attempt)
            if planned and ready_at is not None:
                least, most = after, after + spread
            elif after >= 0:
                least, most = max(least, after), max(most, after + spread)
            failure = (kind, row, at, least, most, attempt)
            if not (planned and ready_at is not None) and attempt < config.attempt_limit:
                attempt += 1
            ready_at = None


def _interval(topology: Topology, attempt: int) -> tuple[int, int]:
    """The least and the longest backoff after so many failed attempts [ns]; beyond the limit those of an offline client."""
    config = topology.clients.reconnect
    j = config.jitter
    if attempt >= config.attempt_limit:
        return int(config.offline_retry * (1 - j)), int(config.offline_retry * (1 + j)) + 1
    delay = float(min(config.first, config.cap))
    for _ in range(attempt):
        delay = min(delay * config.factor, float(config.cap))
    least, most = int(delay * (1 - j)), int(delay * (1 + j)) + 1
    return (min(least, config.cap), min(most, config.cap)) if config.jitter_order == "jitter_first" else (least, most)


def fresh_token(e: Evidence) -> Finding:
    """S22, of tokens by time: every dial of a client has a token that it was given no longer ago than a token lives."""
    ttl, hop = e.topology.apis.token.ttl, e.topology.network.hop
    if ttl == 0:
        return Finding(0, why="clients need no token")
    dials, tokens, clients = e.history["client.dial"], e.history["client.token"], e.history["client"]
    delay = np.zeros(e.topology.clients.count, np.int64)
    own = np.zeros(e.topology.clients.count, bool)
    delay[clients["client"]], own[clients["client"]] = clients["delay"], clients["own_policy"] == 1
    at = dials["at"] - delay[dials["client"]] - hop
    given = last_before(tokens["client"], tokens["at"], dials["client"], at)
    age = np.where(given >= 0, at - tokens["at"][np.maximum(given, 0)], 1 << 60) if len(tokens["at"]) else np.full(len(at), 1 << 60)
    mine = own[dials["client"]]

    def tell(k: int) -> Anomaly:
        last = (("client.token", int(given[k])),) if given[k] >= 0 else ()
        told = f"client {dials['client'][k]} dialled with a token that was {'never given' if given[k] < 0 else f'{age[k]} ns old'}; a token lives {ttl} ns"
        return Anomaly(int(at[k]), told, (*last, ("client.dial", k)))

    return found(int(mine.sum()), np.flatnonzero(mine & (age > ttl)), tell)
