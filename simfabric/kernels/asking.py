"""Asking: what a client wants of the log or of the snapshot API for one of its channels, as frames on their way there."""

from __future__ import annotations

from simfabric.kernels.log import message_at
from simfabric.kernels.state import (
    API_DELAY,
    ASK_DELAY,
    ASK_ROWS,
    DELAY,
    GAP_WAIT,
    REPLAY_MAX,
    WIDE,
    Crowd,
    Log,
    Nodes,
    Outs,
)  # fmt: skip
from simfabric.kernels.tickets import ticket_of


def ask_for_gap(seat: int, gateway: int, channel: int, cursor: int, noticed_at: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """A client has a sequence that does not follow its cursor: if nothing comes for `gap_wait`, it asks the log for the range between."""
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = noticed_at + nodes.settings[GAP_WAIT] + crowd.link[seat, DELAY] + nodes.settings[ASK_DELAY]
    outs.ask[n, 1] = (10 << 56) | ((channel & 16777215) << 32) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = ticket_of(gateway, seat, nodes, crowd) * WIDE + seat
    outs.ask[n, 4] = channel * WIDE + cursor


def ask_for_state(seat: int, gateway: int, channel: int, at: int, tries: int, counted: int, nodes: Nodes, crowd: Crowd, outs: Outs) -> None:
    """At `at` a client asks for the state of a channel. `tries`: how often it did so in vain; `counted`: 1 if its recovery waits for it."""
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
