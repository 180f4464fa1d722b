"""Slow consumers: what a full outbound buffer does to its connection.

A message that finds the buffer full is not written, and its client asks the log for it (the channel is dirty). A connection that refuses for
longer than the grace is closed; what had been written before reaches its client first, then the end. Source: the protocol's `slow_consumer`.

Leaves out: dropping transient messages that lie in the buffer already, the oldest first, before a durable one is refused. A delivery is settled when it
is written, and all behind a dropped one would arrive earlier. What bounds it: a transient message is written only below the soft bound
(`transients_upto`), so no more of the buffer than that, and one message, stands before a durable one; at 0% none ever waits, and none is there to drop.
"""

from __future__ import annotations

from simfabric.kernels.state import BREAKS_AT, BUFFER, CLOSED_SLOW, DELAY, OVERFLOW_GRACE, PACE, SOFT_BUFFER, WIDE, Crowd, Nodes, Outs, Tally
from simfabric.kernels.tickets import ticket_of

SWEEP = 10_000_000  # So long after it was closed, a connection leaves the gateway's book [ns].
SLOW = 4  # Row of a NOTICE: closed with 4508.
SINCE, LAST, CLOSED, HEARD = range(4)  # Columns of `crowd.refusing`.


def heard_of_end(seat: int, ticket: int, at: int, crowd: Crowd) -> bool:
    """Whether at this time the client knows that its gateway has closed the connection with this ticket: what it would have asked, it asks no more."""
    if len(crowd.refusing) == 1:
        return False
    return bool(crowd.refusing[seat, CLOSED] == ticket and at >= crowd.refusing[seat, HEARD])


def refuse(seat: int, gateway: int, now: int, wired: int, nodes: Nodes, crowd: Crowd, outs: Outs, tally: Tally) -> None:
    """The buffer of this connection refuses a durable message; `wired` is when its link will have sent all that was written.

    It has refused without a break as long as one refusal follows another before the buffer can have drained to its soft bound.
    """
    drained = (nodes.settings[BUFFER] - nodes.settings[SOFT_BUFFER]) * min(crowd.link[seat, PACE] >> 16, 8_000_000_000)
    if crowd.refusing[seat, LAST] < 0 or now - crowd.refusing[seat, LAST] > drained:
        crowd.refusing[seat, SINCE] = now
    crowd.refusing[seat, LAST] = now
    ends = max(wired, now + SWEEP) + crowd.link[seat, DELAY] + 1
    if now - crowd.refusing[seat, SINCE] <= nodes.settings[OVERFLOW_GRACE] or ends >= crowd.link[seat, BREAKS_AT]:
        return
    crowd.link[seat, BREAKS_AT] = ends
    tally.counters[CLOSED_SLOW] += 1
    ticket = ticket_of(gateway, seat, nodes, crowd)
    crowd.refusing[seat, CLOSED], crowd.refusing[seat, HEARD] = ticket, ends
    n = outs.sent[1]
    outs.sent[1] = n + 1
    outs.down[n, 0] = ends
    outs.down[n, 1] = (2 << 56) | seat
    outs.down[n, 2] = SLOW
    outs.down[n, 3] = seat
    outs.down[n, 4] = ticket
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = now + SWEEP
    outs.ask[n, 1] = (24 << 56) | seat
    outs.ask[n, 2] = gateway
    outs.ask[n, 3] = ticket * WIDE + seat
    outs.ask[n, 4] = ticket
