"""What a client gets: nothing lost (S1), recovered means recovered (S2), nothing made up (S3), once (S4), in order (S5), only what it subscribed to (S12),
honest about retention (S24), and every obligation in one state (C1)."""

from __future__ import annotations

import numpy as np

from simfabric.laws.records.evidence import DUPLICATE, FAILED, RECEIVE, Array, Evidence
from simfabric.laws.records.finding import Anomaly, Finding, Records, found


def no_silent_loss(e: Evidence) -> Finding:
    """S1: between what a client was shown, told as a snapshot or told as gone, no sequence is missing."""
    c = e.covered
    delivered = int((c.kind <= 1).sum())

    def tell(i: int) -> Anomaly:
        client, channel = divmod(int(c.group[i]), e.channels)
        first, last = int(c.before[i]) + 1, int(c.start[i]) - 1
        told = f"client {client} never got #{first}{f' to #{last}' if last > first else ''} of channel {channel}, and was shown #{int(c.start[i])}"
        before = [c.record(i - 1)] if i and c.group[i - 1] == c.group[i] else []
        return Anomaly(int(c.at[i]), told, (*_message(e, channel, first), *before, *_dropped(e, client, channel, first), c.record(i)))

    return found(delivered, np.flatnonzero(c.start > c.before + 1), tell)


def recovered(e: Evidence) -> Finding:
    """S2: what was told to be recoverable follows without a hole, from where the client stands; else a snapshot comes first."""
    resumed, c = e.history["client.resumed"], e.covered
    group = e.group(resumed["client"], resumed["channel"])
    order, position = _in_time(c.group, c.at, c.start, group, resumed["at"])
    following = _next_of_same(order, position, len(group), c.group, group)
    missed = resumed["head"] > resumed["start"]
    there = missed & (following >= 0)
    i = np.maximum(following, 0)
    if not len(c.group):
        return Finding(0)
    snapshot = c.kind[i] == 2
    holed = there & (resumed["recovered"] == 1) & (c.start[i] > resumed["start"] + 1)
    other = there & (resumed["recovered"] == 1) & (c.before[i] < resumed["start"])
    unsaid = there & (resumed["recovered"] <= 0) & ~snapshot & (c.start[i] > resumed["start"]) & ~_promised(resumed, group)

    def tell(k: int) -> Anomaly:
        start, head = int(resumed["start"][k]), int(resumed["head"][k])
        what = f"client {resumed['client'][k]} resumed channel {resumed['channel'][k]} from #{start} (head #{head}), "
        what += "was told that it is not recovered, and got" if unsaid[k] else "and got"
        after = int(i[k])
        return Anomaly(int(c.at[after]), f"{what} #{int(c.start[after])} next", (("client.resumed", k), c.record(after)))

    return found(int(there.sum()), np.flatnonzero(holed | other | unsaid), tell)


def integrity(e: Evidence) -> Finding:
    """S3: what arrives was published before, and its publication did not fail."""
    s = e.shown
    wrong = (s.channel < 0) | (s.at <= s.published_at) | np.isin(s.fate, FAILED)

    def tell(i: int) -> Anomaly:
        why = "nobody published" if s.channel[i] < 0 else "was refused or lost" if s.fate[i] in FAILED else "was published later"
        place = int(e.place(s.message[i : i + 1])[0])
        first: Records = (("message", int(e.messages["row"][place])),) if place >= 0 else ()
        return Anomaly(int(s.at[i]), f"client {s.client[i]} was shown message {s.message[i]}, which {why}", (*first, s.record(i)))

    return found(len(s.at), np.flatnonzero(wrong), tell)


def once(e: Evidence) -> Finding:
    """S4: a user is shown a durable message at most once, whatever the wire repeats; a transient one has no position by which it could be known again."""
    s = e.shown
    order = np.lexsort((s.at, s.message, s.client))
    order = order[s.sequence[order] > 0]
    again = np.flatnonzero((s.client[order][1:] == s.client[order][:-1]) & (s.message[order][1:] == s.message[order][:-1]))

    def tell(k: int) -> Anomaly:
        a, b = int(order[k]), int(order[k + 1])
        return Anomaly(int(s.at[b]), f"client {s.client[b]} was shown message {s.message[b]} twice", (s.record(a), s.record(b)))

    return found(int((e.history[RECEIVE]["outcome"] == DUPLICATE).sum()), again, tell)


def in_order(e: Evidence) -> Finding:
    """S5: what a user is shown of a channel has growing sequences."""
    s = e.shown
    durable = np.flatnonzero(s.sequence > 0)
    group, sequence = e.group(s.client, s.channel)[durable], s.sequence[durable]
    same = group[1:] == group[:-1]
    back = np.flatnonzero(same & (sequence[1:] <= sequence[:-1]) & (s.message[durable][1:] != s.message[durable][:-1]))

    def tell(k: int) -> Anomaly:
        a, b = int(durable[k]), int(durable[k + 1])
        told = f"client {s.client[b]} was shown #{s.sequence[b]} of channel {s.channel[b]} after #{s.sequence[a]}"
        return Anomaly(int(s.at[b]), told, (s.record(a), s.record(b)))

    return found(int(same.sum()), back, tell)


def only_subscribed(e: Evidence) -> Finding:
    """S12, without tenants: what arrives is of a channel to which the client subscribes."""
    received, subscribed = e.history[RECEIVE], e.history["subscription"]
    place = e.place(received["message"])
    channel = np.where(place < 0, -1, e.messages["channel"][place]) if len(e.messages["row"]) else place
    mine = np.isin(e.group(received["client"], channel), e.group(subscribed["client"], subscribed["channel"]))

    def tell(i: int) -> Anomaly:
        told = f"client {received['client'][i]} received message {received['message'][i]} of channel {channel[i]}, to which it does not subscribe"
        return Anomaly(int(received["at"][i]), told, ((RECEIVE, i),))

    several = len(np.unique(channel)) >= 2
    return found(len(channel) if several else 0, np.flatnonzero(~mine & (channel >= 0)), tell)


def honest_retention(e: Evidence) -> Finding:
    """S24: who asks for what the log has let go of is told so: a snapshot, never a silent jump."""
    resumed, gap, m = e.history["client.resumed"], e.history["client.gap"], e.messages
    first = np.zeros(e.channels * 2, np.int64)
    wanted = e.group(resumed["channel"], resumed["start"] + 1) if len(resumed["at"]) else first[:0]
    known = e.group(m["channel"], m["sequence"])
    order = np.argsort(known)
    i = np.minimum(np.searchsorted(known[order], wanted), max(len(known) - 1, 0))
    expired = np.zeros(len(wanted), bool)
    if len(known):
        same = known[order][i] == wanted
        expired = same & (m["at"][order][i] + e.topology.bus.retention < resumed["at"]) & (resumed["recovered"] <= 0)

    def tell(k: int) -> Anomaly:
        told = f"{gap['count'][k]} messages of channel {gap['channel'][k]} were gone from the log, and client {gap['client'][k]} was not told"
        return Anomaly(int(gap["at"][k]), told, (("client.gap", k),))

    return found(int(expired.sum()), np.arange(len(gap["at"])), tell)


def obligations(e: Evidence) -> Finding:
    """C1 in full: where a subscription stands is what was delivered, snapshotted and told as gone, each once; what is left of the channel is open."""
    subscribed = e.history["subscription"]
    groups, reached = e.reached
    group = e.group(subscribed["client"], subscribed["channel"])
    i = np.minimum(np.searchsorted(groups, group), max(len(groups) - 1, 0))
    come = np.where(groups[i] == group, reached[i], 0) if len(groups) else np.zeros(len(group), np.int64)
    cursor, head = subscribed["cursor"], e.heads[subscribed["channel"]]

    def tell(k: int) -> Anomaly:
        told = f"client {subscribed['client'][k]} stands at #{cursor[k]} of channel {subscribed['channel'][k]} (head #{head[k]}); its records end at #{come[k]}"
        return Anomaly(e.history.end, told, (("subscription", k),))

    return found(int(head.sum()), np.flatnonzero((come != cursor) | (cursor > head)), tell)


# ------------------------------------------------------------------------------------------------------------------------ helpers


def _message(e: Evidence, channel: int, sequence: int) -> Records:
    """The message with this sequence."""
    its = np.flatnonzero((e.messages["channel"] == channel) & (e.messages["sequence"] == sequence))
    return tuple(("message", int(e.messages["row"][i])) for i in its[:1])


def _dropped(e: Evidence, client: int, channel: int, sequence: int) -> Records:
    """Where a gateway dropped it."""
    drops = e.history["gateway.drop"]
    message = [int(e.messages["message"][i]) for i in np.flatnonzero((e.messages["channel"] == channel) & (e.messages["sequence"] == sequence))]
    return tuple(("gateway.drop", int(i)) for i in np.flatnonzero((drops["client"] == client) & np.isin(drops["message"], message))[:2])


def _in_time(group: Array, at: Array, start: Array, asked: Array, asked_at: Array) -> tuple[Array, Array]:
    """Asked instants among rows, by group and time, an instant before what arrives at it: the order, and where it has each asked one."""
    groups, times = np.concatenate([asked, group]), np.concatenate([asked_at, at])
    starts = np.concatenate([np.full(len(asked), -1), start])
    order = np.lexsort((starts, times, groups))
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return order, position[: len(asked)]


def _next_of_same(order: Array, position: Array, asked: int, group: Array, asked_group: Array) -> Array:
    """For each asked instant the next row of its group before the group is asked again; -1 = none."""
    if not asked:
        return position
    behind = np.append(order, -1)[position + 1]  # What comes at once after it, in time.
    row = np.where(behind >= asked, behind - asked, -1)
    same = (row >= 0) & (group[np.maximum(row, 0)] == asked_group) if len(group) else np.zeros(asked, bool)
    return np.where(same, row, -1)


def _promised(resumed: dict[str, Array], group: Array) -> Array:
    """Of a refusal by the log (recovered -1): what came between was told to be recoverable before, and may have joined on by itself."""
    return np.asarray((resumed["recovered"] == -1) & (group >= 0))
