"""Conservation of messages and obligations (C1, C7, C10): counted by kernels, read off columns, found in inboxes; the three must agree."""

from __future__ import annotations

from simfabric.laws.verdict import Verdict, equal
from simfabric.recorder import Checkpoint

AFTER_THE_LOG = ("expired", "snapshot")  # How an obligation may end that is in the log: it was there, and cursors have passed it.


def publications(c: Checkpoint) -> Verdict:
    """C1a: messages that clients and back ends published, by their counters, are the rows of the message table."""
    return equal("C1a publications are counted once", c.at, c.published, c.counted_published, c.published, "published by counters and by rows")


def upstream(c: Checkpoint) -> Verdict:
    """C1b: obligations published = on the way to the log + in the log + lost on the way, by reason."""
    lost = sum(n for reason, n in c.dropped.items() if reason not in AFTER_THE_LOG)
    return equal("C1b nothing is lost on the way to the log", c.at, c.owed, c.owed, c.upstream + c.logged + lost, "owed = upstream + logged + lost")


def subscriptions(c: Checkpoint) -> Verdict:
    """C1c: every subscription stands in exactly one place: a gateway's book, or with its absent client."""
    return equal("C1c every subscription has one place", c.at, c.subscriptions, c.rows + c.away, c.subscriptions, "rows + away = subscriptions")


def deliveries(c: Checkpoint) -> Verdict:
    """C1d: what the counters call delivered is what the cursors of all subscribers have moved."""
    counted = c.live + c.replayed + c.expired + c.reset
    return equal("C1d deliveries are what the cursors moved", c.at, c.cursors, counted, c.cursors, "live + replayed + expired + reset = sum of cursors")


def balance(c: Checkpoint) -> Verdict:
    """C1: published x subscribers = delivered + dropped by reason + in flight + offline, none of them negative."""
    flight = in_flight(c)
    total = c.live + c.replayed + sum(c.dropped.values()) + flight + c.away_lacks
    if flight < 0 or c.away_lacks < 0:
        return Verdict("C1 published x subscribers is conserved", "invalid", c.owed, f"in flight {flight}, offline {c.away_lacks}: negative", c.at)
    return equal("C1 published x subscribers is conserved", c.at, c.counted_owed, c.counted_owed, total, "owed = delivered + dropped + in flight + offline")


def fan_out(c: Checkpoint) -> Verdict:
    """C10: the subscribers of every slot at every frame = deliveries + duplicates + held + gaps + cut off + overflown."""
    return equal("C10 every local subscriber is tried once", c.at, c.expected, c.expected, sum(c.tried.values()), "members of the slots = outcomes")


def in_flight(c: Checkpoint) -> int:
    """Obligations between publication and arrival that are neither dropped nor those of absent clients."""
    return c.upstream + c.logged - c.cursors - c.away_lacks


LAWS = (publications, upstream, subscriptions, deliveries, balance, fan_out)
