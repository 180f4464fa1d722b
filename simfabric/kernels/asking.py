"""Asking: what a client wants of the log or of the snapshot API for one of its channels, as frames on their way there."""

from __future__ import annotations

from simfabric.kernels.log import message_at
from simfabric.kernels.state import (
    API_DELAY,
    ASK_DELAY,
    ASK_ROWS,
    BREAKS_AT,
    DELAY,
    DIES_AT,
    GAP_OPEN,
    GAP_WAIT,
    NOTICED_AT,
    PACE,
    REPLAY_MAX,
    SESSION,
    WIDE,
    Crowd,
    Log,
    Nodes,
    Outs,
)  # fmt: skip
from simfabric.kernels.tickets import ticket_of


def ask_for_gap(i: int, seat: int, gateway: int, cursor: int, noticed_at: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """A client has a sequence that does not follow its cursor: if the gap is still open after `gap_wait`, it asks the log for the range between.

    A client that by then will know that its connection is gone does not ask. A session decides for itself.
    """
    deadline = noticed_at + nodes.settings[GAP_WAIT]
    open_gap(i, deadline, crowd)
    if crowd.link[seat, PACE] & SESSION or deadline >= known_to_end(seat, gateway, nodes, crowd):
        return
    channel = crowd.channels[i]
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = deadline + crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (10 << 56) | ((channel & 16777215) << 32) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = ticket_of(gateway, seat, nodes, crowd) * WIDE + seat
    outs.ask[n, 4] = channel * WIDE + cursor


def open_gap(i: int, deadline: int, crowd: Crowd) -> None:
    """A gap may close by itself until the deadline, which takes both halves of what is not needed meanwhile."""
    crowd.held_run[i] |= GAP_OPEN
    crowd.resume_cursor[i] = deadline >> 31
    crowd.resume_upto[i] = deadline & 2147483647


def known_to_end(seat: int, gateway: int, nodes: Nodes, crowd: Crowd) -> int:
    """From when on a client asks nothing any more over this connection: it ends by its own doing, or it is told that its gateway died."""
    end = crowd.link[seat, BREAKS_AT]
    return int(end if end < nodes.state[gateway, DIES_AT] else nodes.state[gateway, NOTICED_AT] + crowd.link[seat, DELAY])


def ask_for_state(seat: int, gateway: int, channel: int, at: int, tries: int, counted: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """At `at` a client asks for the state of a channel. `tries`: how often it did so in vain; `counted`: 1 if its recovery waits for it.

    A client that by then will know that its connection is gone does not ask. A session asks by itself.
    """
    if crowd.link[seat, PACE] & SESSION or at >= known_to_end(seat, gateway, nodes, crowd):
        return
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = at + crowd.link[seat, DELAY] + nodes.settings[API_DELAY]
    outs.ask[n, 1] = (22 << 56) | ((channel & 16777215) << 32) | seat
    outs.ask[n, 2] = gateway
    outs.ask[n, 3] = ticket_of(gateway, seat, nodes, crowd) * WIDE + seat
    outs.ask[n, 4] = channel * WIDE + 2 * min(tries, 1000000) + counted


def is_beyond_replay(channel: int, cursor: int, upto: int, nodes: Nodes, log: Log) -> bool:
    """Whether what a client lacks of a channel is more than a replay may bring, or no longer wholly in the log: recovery is all or nothing."""
    return upto - cursor > nodes.settings[REPLAY_MAX] or has_expired(channel, cursor, upto, log)


def has_expired(channel: int, cursor: int, upto: int, log: Log) -> bool:
    """Whether the log has let go of a part of the range after the cursor. It lets go of the oldest first."""
    return bool(upto > cursor and log.base[0] > 0 and message_at(channel, cursor + 1, log) < 0)
