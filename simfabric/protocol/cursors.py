"""Cursors: where a client stands in a channel, and what an event, a reply, a page or a snapshot means from there.

A cursor is the pair (epoch, sequence): the epoch names one incarnation of the channel's log, and sequences of two epochs are never
compared. Epoch 0 = none known yet (an empty channel), sequence -1 = no cursor (live only), sequence 0 = from the first event on. A
recovery is proven whole, or a snapshot takes its place.
"""

from __future__ import annotations

# Of an event.
DELIVER, DUPLICATE, GAP, RESET, TRANSIENT = range(5)
# Of a reply to a subscribe; RESET is the same word for the same cure, a snapshot.
LIVE_ONLY, CURRENT, BEHIND, AHEAD = range(5, 9)
# Of a page of a replay.
APPLY, RETRY, SNAPSHOT = range(3)


def classify(sequence: int, epoch: int, cur_seq: int, cur_epoch: int) -> int:
    """What an event is to a cursor: TRANSIENT, RESET, DUPLICATE, DELIVER or GAP. To an empty channel the first event brings the epoch."""
    if sequence == 0:
        return TRANSIENT
    if cur_epoch != 0 and cur_epoch != epoch:
        return RESET
    if sequence <= cur_seq:
        return DUPLICATE
    if sequence == cur_seq + 1:
        return DELIVER
    return GAP


def sub_verdict(cur_seq: int, cur_epoch: int, top: int, epoch: int, floor: int) -> int:
    """What a `subscribed` reply means: LIVE_ONLY (take (epoch, top)), RESET, AHEAD, CURRENT or BEHIND.

    `floor` is the oldest retained sequence. A cursor at the top is current even when retention has passed it; one ahead of the top is
    never a success.
    """
    if cur_seq < 0:
        return LIVE_ONLY
    if cur_epoch != 0 and cur_epoch != epoch:
        return RESET
    if cur_seq > top:
        return AHEAD
    if cur_seq == top:
        return CURRENT
    if cur_seq + 1 < floor:
        return RESET
    return BEHIND


def recoverable(cur_seq: int, cur_epoch: int, top: int, epoch: int, floor: int, most: int) -> bool:
    """Whether a gateway may answer `recovered`: everything after the cursor can be had, at most `most` events, or nothing was missed."""
    verdict = sub_verdict(cur_seq, cur_epoch, top, epoch, floor)
    if verdict == BEHIND:
        return top - cur_seq <= most
    return verdict in (CURRENT, LIVE_ONLY)


def replay_verdict(epoch: int, cur_epoch: int, truncated: bool, progressed: bool, tries: int, limit: int) -> int:
    """What to do with a page: APPLY it, RETRY after a backoff, or take a SNAPSHOT. `tries` counts the pages without progress, this one too."""
    if truncated or (cur_epoch != 0 and cur_epoch != epoch):
        return SNAPSHOT
    if progressed:
        return APPLY
    if tries < limit:
        return RETRY
    return SNAPSHOT


def snapshot_ok(epoch: int, seq: int, want_epoch: int, cur_epoch: int, cur_seq: int) -> bool:
    """Whether a snapshot may replace the state: of the announced epoch (0 = none was), and not older than the cursor within its epoch."""
    if want_epoch != 0 and epoch != want_epoch:
        return False
    return epoch != cur_epoch or seq >= cur_seq


def before(seq_a: int, ts_a: int, id_a: int, seq_b: int, ts_b: int, id_b: int) -> bool:
    """Order of two events of one channel and epoch: by sequence, then server timestamp, then event id."""
    if seq_a != seq_b:
        return seq_a < seq_b
    if ts_a != ts_b:
        return ts_a < ts_b
    return id_a < id_b


def after_skip(first: int, last: int, cur_seq: int) -> int:
    """The cursor after a hole by design from `first` to `last`: it passes the hole only from its edge, and never goes back."""
    if first <= cur_seq + 1 and last > cur_seq:
        return last
    return cur_seq


def may_save(epoch: int, seq: int, saved_epoch: int, saved_seq: int) -> bool:
    """Whether a cursor may overwrite a saved one: only a higher sequence of the same epoch, or a newer epoch."""
    return epoch > saved_epoch or (epoch == saved_epoch and seq > saved_seq)
