"""Conservation of presence (P1 to P5): who is online, which updates were told, and what became of them."""

from __future__ import annotations

from simfabric.laws.verdict import Verdict, equal
from simfabric.recorder import Checkpoint, Watched

NOBODY = Watched(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {})


def online(c: Checkpoint) -> Verdict:
    """P1: users who came less those who went are those who are online now and were not at the start."""
    p = c.presence or NOBODY
    seen, left = p.joined + p.parted + p.online, p.online_at_start + p.joined - p.parted
    return equal("P1 who came and did not go is online", c.at, seen, left, p.online, "online at the start + joined - parted = users with an entry")


def entries(c: Checkpoint) -> Verdict:
    """P2: what the store keeps of a device is its connection, or something is on its way that will mend it."""
    p = c.presence or NOBODY
    if p.devices != p.entries:
        return Verdict("P2 presence follows the connections", "invalid", p.entries, f"devices of all users {p.devices} != entries {p.entries}", c.at)
    return equal("P2 presence follows the connections", c.at, p.entries + p.amiss, p.amiss, p.mending, "entries that differ = with news under way")


def updates(c: Checkpoint) -> Verdict:
    """P3: every coming and going is told, suppressed by the debounce, not told by a busy store, or waits."""
    p = c.presence or NOBODY
    told = p.published + p.suppressed + p.untold + p.pending
    return equal("P3 every update has one end", c.at, p.joined + p.parted, p.joined + p.parted, told, "joined + parted = told + suppressed + untold + pending")


def frames(c: Checkpoint) -> Verdict:
    """P4: what the store sent to gateways has been served, or is on its way."""
    p = c.presence or NOBODY
    return equal("P4 updates reach their gateways", c.at, p.sent, p.sent, p.served + p.under_way, "sent = served + under way")


def deliveries(c: Checkpoint) -> Verdict:
    """P5: every subscriber of every slot that an update came to does not look, or has one outcome."""
    p = c.presence or NOBODY
    return equal("P5 every subscriber who looks is tried once", c.at, p.members, p.members, sum(p.outcomes.values()), "members of the slots = outcomes")


LAWS = (online, entries, updates, frames, deliveries)
