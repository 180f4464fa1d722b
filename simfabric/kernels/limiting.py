"""What a gateway does with a request that may be too much: let it go on, let it wait for its slot, or refuse it."""

from __future__ import annotations

from simfabric.chance import draw, word
from simfabric.kernels.catching_up import answered_by, behind_link, give_up, tell
from simfabric.kernels.cores import begin, core_of, finish, worked
from simfabric.kernels.limits import ADMITTED, COUNTS, OBLIGATIONS, PUBLISHING, SUBSCRIBING, Limits, ask
from simfabric.kernels.state import (
    ALIVE,
    BREAKS_AT,
    DELAY,
    DIES_AT,
    FATE,
    INCARNATION,
    KEY_FRAME,
    KEY_SUBSCRIBE,
    LANE,
    LIFE,
    LIMITED,
    LINK_FREE_AT,
    LOST_AT_GATEWAY,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    LOW,
    NOTICED_AT,
    OWED,
    PACE,
    PUBLISHER,
    RECEIVED_AT,
    SESSION,
    THROTTLED,
    TRANSIENT,
    TRANSIENT_DELAY,
    UP_DELAY,
    WIDE,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)  # fmt: skip
from simfabric.kernels.tickets import life_of, ticket_of


def publish_within(
    at: int, gateway: int, message: int, life: int, nodes: Nodes, crowd: Crowd, log: Log, outs: Outs, tally: Tally, limits: Limits
) -> int:  # fmt: skip
    """When a publication may go on: now or at its slot; -1: it goes no further, for it was refused, or waits until its gateway dies.

    What is decided when it arrives, a core must have read: refusing takes the same work. What a dead gateway gets asks nobody.
    """
    if nodes.state[gateway, ALIVE] == 0 or life != gateway * LIFE + nodes.state[gateway, INCARNATION]:
        return at
    row = message - log.base[0]
    seat = log.rows[row, PUBLISHER]
    verdict, then = ask(PUBLISHING, at, gateway, life, seat, 1, limits)
    if verdict == ADMITTED and (then == at or then < nodes.state[gateway, DIES_AT]):
        return then
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    now = worked(core, begins + draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway)), nodes)
    finish(gateway, core, begins, now, nodes, tally)
    log.rows[row, RECEIVED_AT] = now
    owed = log.rows[row, OWED]
    if verdict == ADMITTED:
        log.rows[row, FATE] = LOST_AT_GATEWAY
        tally.counters[LOST_PUBLICATIONS] += 1
        tally.counters[LOST_OBLIGATIONS] += owed
        return -1
    log.rows[row, FATE] = LIMITED
    limits.counts[gateway, PUBLISHING * COUNTS + OBLIGATIONS] += owed
    arrives = behind_link(seat, now, crowd)
    if crowd.home[seat] != gateway or arrives >= crowd.link[seat, BREAKS_AT]:
        return -1
    crowd.link[seat, LINK_FREE_AT] = arrives - crowd.link[seat, DELAY]  # The error takes no time on the link; but it is a sign of life.
    if crowd.link[seat, PACE] & SESSION:
        tell(arrives, (33 << 56) | message, then, ticket_of(gateway, seat, nodes, crowd) * WIDE + seat, message, outs)
    return -1


def subscribe_within(at: int, gateway: int, item: int, ticket: int, nodes: Nodes, crowd: Crowd, outs: Outs, tally: Tally, limits: Limits) -> int:
    """When a client's subscribes may go on, all of them together; -1: they were refused, and it will ask again, or give up waiting for the answer.

    Refusing takes the work of one of them. Who connects and is refused is connected: what it has not subscribed to does not hold the rest back.
    """
    seat = item & LOW
    cost = crowd.start[seat + 1] - crowd.start[seat]
    if nodes.state[gateway, ALIVE] == 0 or ticket != ticket_of(gateway, seat, nodes, crowd) or crowd.subscribed[seat] == 1 or cost == 0:
        return at
    verdict, then = ask(SUBSCRIBING, at, gateway, life_of(ticket), seat, cost, limits)
    if verdict == ADMITTED:
        return then
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    now = worked(core, begins + draw(nodes.subscribe, word(nodes.keys[KEY_SUBSCRIBE], crowd.client[seat], at)), nodes)
    finish(gateway, core, begins, now, nodes, tally)
    deadline, delay = answered_by(at, item, nodes, crowd), crowd.link[seat, DELAY]
    arrives = behind_link(seat, now, crowd)
    if arrives > deadline or (arrives - delay >= nodes.state[gateway, DIES_AT] and nodes.state[gateway, NOTICED_AT] + delay > deadline):
        crowd.link[seat, BREAKS_AT] = min(crowd.link[seat, BREAKS_AT], deadline)
        give_up(seat, ticket, deadline, outs)
    elif arrives < crowd.link[seat, BREAKS_AT]:
        crowd.link[seat, LINK_FREE_AT] = arrives - delay
        tell(arrives, (34 << 56) | seat, then, seat, item // WIDE * WIDE + ticket, outs)
    return -1


def postpone(goes_on_at: int, message: int, nodes: Nodes, log: Log, outs: Outs) -> None:
    """A publication that has been read goes on at its slot, not before."""
    row = message - log.base[0]
    if goes_on_at > log.rows[row, RECEIVED_AT] and log.rows[row, FATE] != THROTTLED:
        delay = nodes.settings[TRANSIENT_DELAY if log.rows[row, LANE] == TRANSIENT else UP_DELAY]
        log.rows[row, RECEIVED_AT] = goes_on_at
        outs.up[outs.sent[0] - 1, 0] = goes_on_at + delay
