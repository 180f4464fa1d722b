"""What a gateway does with a message to deliver, a publication, a dial and a subscribe."""

from __future__ import annotations

from simfabric.chance import draw, uniform, word
from simfabric.compiling import inlined
from simfabric.kernels.catching_up import answered_by, forget_held, give_up
from simfabric.kernels.cores import begin, core_of, finish, worked
from simfabric.kernels.fanout import fan_out
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.looking import say_joined
from simfabric.kernels.servers import free_first
from simfabric.kernels.slow import LAST
from simfabric.kernels.splitting import INWARDS, OUTWARDS, passes_at
from simfabric.kernels.state import (
    ACCEPT_TIMEOUT,
    ACCEPTED,
    ALIVE,
    ASK_DELAY,
    ASK_ROWS,
    BREAKS_AT,
    BYTES,
    CHANNEL,
    CORES,
    DELAY,
    DIES_AT,
    EXPECTED,
    FATE,
    INCARNATION,
    INCARNATION_OF,
    KEY_BAD,
    KEY_FRAME,
    KEY_HANDSHAKE,
    KEY_SUBSCRIBE,
    LANE,
    LIFE,
    LINK_FREE_AT,
    LOST_AT_GATEWAY,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    LOW,
    MOVED,
    NOTICED_AT,
    OPEN,
    OVERFLOW_GRACE,
    OWED,
    PROTECTED,
    PUBLISHED_AT,
    PUBLISHER,
    QUEUE_BOUND,
    RECEIVED_AT,
    ROUTES,
    SENT_BYTES,
    SHARED,
    SHED,
    SHED_FRAMES,
    SIZE,
    SLOTS_FIRST,
    SLOTS_USED,
    STAGE_IN,
    STALE,
    STORE_DELAY,
    SUBSCRIBED,
    THROTTLED,
    THROTTLED_COUNT,
    TRANSIENT,
    TRANSIENT_DELAY,
    TRANSIENT_NAME,
    TURNED_AWAY,
    TURNED_AWAY_BUSY,
    UP_DELAY,
    UP_ROWS,
    VOID_BEFORE,
    WARMUP,
    WASTED,
    WIDE,
    WRITTEN,
    Book,
    Crowd,
    Log,
    Nodes,
    Outs,
    Tally,
)
from simfabric.kernels.striking import next_strike
from simfabric.kernels.subscriptions import FOLLOWS, append_row, find_slot
from simfabric.kernels.tickets import ticket_of
from simfabric.kernels.transients import fan_out_transient


@inlined
def deliver(at: int, gateway: int, message: int, slot: int, nodes: Nodes, book: Book, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> int:
    """A message for this gateway's subscribers. What was sent to an earlier life of the gateway is stale; without subscribers it is wasted.

    `slot` has FOLLOWS added if it goes in a frame with the one before it; `slot` < 0 stands for
    -1 - incarnation: the sender does not know the slot, the gateway looks it up. Returns when it was dropped [ns], -1 if it was written.
    """
    incarnation = nodes.state[gateway, INCARNATION]
    follows = 0
    if slot >= FOLLOWS:
        slot -= FOLLOWS
        follows = 1
    life = -1 - slot
    if slot >= 0:
        life = 0 if slot < book.pool[SLOTS_FIRST] else book.late[slot - book.pool[SLOTS_FIRST], INCARNATION_OF]
    if nodes.state[gateway, ALIVE] == 0 or life != incarnation:
        tally.counters[STALE] += 1
        return at
    row = message - log.base[0]
    channel = log.rows[row, CHANNEL]
    if slot < 0:
        slot = find_slot(channel, gateway, incarnation, book)
    if slot < 0 or book.slots[slot, SIZE] == 0:
        tally.counters[WASTED] += 1
        core = gateway * nodes.settings[CORES] + channel % nodes.settings[CORES]
        if nodes.settings[SHARED] == 1:
            core = core_of(gateway, 0, nodes, crowd)
        begins = begin(core, at, nodes)
        now = worked(core, begins + draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway)), nodes)
        finish(gateway, core, begins, now, nodes, tally)
        return begins
    transient = log.rows[row, LANE] == TRANSIENT
    free = nodes.free_at[free_first(nodes.free_at, gateway * nodes.settings[CORES], nodes.settings[CORES])]
    if free - at > nodes.settings[QUEUE_BOUND]:  # Clients that see the gap fetch what is durable later.
        tally.counters[SHED if transient else SHED_FRAMES] += 1
        return at
    subscribers = book.slots[slot, SIZE]
    tally.counters[EXPECTED] += subscribers
    nodes.state[gateway, WRITTEN] += subscribers
    nodes.state[gateway, SENT_BYTES] += subscribers * log.rows[row, BYTES]
    late = 1 if log.rows[row, PUBLISHED_AT] >= nodes.settings[WARMUP] else 0
    if transient:
        fan_out_transient(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally)
    else:
        fan_out(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally)
    return -1


def publish(at: int, gateway: int, message: int, life: int, nodes: Nodes, crowd: Crowd, log: Log, outs: Outs, tally: Tally) -> None:
    """A publication from a client: read it and pass it on to storage (or to the bus where there is none)."""
    row = message - log.base[0]
    channel = log.rows[row, CHANNEL]
    if nodes.state[gateway, ALIVE] == 0 or life != gateway * LIFE + nodes.state[gateway, INCARNATION]:
        log.rows[row, FATE] = LOST_AT_GATEWAY
        tally.counters[LOST_PUBLICATIONS] += 1
        tally.counters[LOST_OBLIGATIONS] += log.rows[row, OWED]
        return
    core = core_of(gateway, log.rows[row, PUBLISHER], nodes, crowd)
    begins = begin(core, at, nodes)
    now = worked(core, begins + draw(nodes.frame_in, word(nodes.keys[KEY_FRAME], message, gateway)), nodes)
    log.rows[row, RECEIVED_AT] = now
    if log.rows[row, PUBLISHED_AT] >= nodes.settings[WARMUP]:
        tally.stages[STAGE_IN, bin_of(now - at)] += 1
    finish(gateway, core, begins, now, nodes, tally)
    if log.rows[row, LANE] == TRANSIENT and nodes.settings[PROTECTED] == 1:
        log.rows[row, FATE] = THROTTLED
        tally.counters[THROTTLED_COUNT] += 1
        return
    n = outs.sent[0]
    outs.sent[0] = n + 1
    outs.up[n, 0] = now + nodes.settings[UP_DELAY]
    outs.up[n, 1] = (13 << 56) | message
    outs.up[n, 2] = channel % nodes.settings[UP_ROWS] if nodes.settings[UP_ROWS] > 0 else gateway
    outs.up[n, 3] = message
    outs.up[n, 4] = life
    if log.rows[row, LANE] == TRANSIENT:  # It passes the storage by.
        outs.up[n, 0] = now + nodes.settings[TRANSIENT_DELAY]
        outs.up[n, 1] = nodes.settings[TRANSIENT_NAME] | message
        outs.up[n, 2] = gateway


def shake_hands(at: int, gateway: int, seat: int, incarnation: int, nodes: Nodes, crowd: Crowd, outs: Outs, tally: Tally) -> None:
    """A dial that the balancer sent here: accept it, or refuse it when the node is dead, reborn, full, too busy or bad, or the token void."""
    n = outs.sent[1]
    outs.sent[1] = n + 1
    outs.down[n, 2] = 0
    outs.down[n, 3] = seat
    if (
        nodes.state[gateway, ALIVE] == 0
        or incarnation != nodes.state[gateway, INCARNATION]
        or nodes.state[gateway, OPEN] >= nodes.most[gateway]
        or (nodes.bad[gateway] > 0 and uniform(nodes.keys[KEY_BAD], crowd.client[seat], at) < nodes.bad[gateway])
    ):
        tally.counters[TURNED_AWAY] += 1
        outs.down[n, 0] = at + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 4] = gateway
        if nodes.state[gateway, ALIVE] == 1 and incarnation == nodes.state[gateway, INCARNATION]:
            outs.down[n, 2] = 1
            outs.down[n, 4] = gateway * LIFE + incarnation
        return
    if crowd.asked_at[seat] < nodes.settings[VOID_BEFORE]:
        tally.counters[TURNED_AWAY] += 1
        outs.down[n, 0] = at + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 2] = 3
        outs.down[n, 4] = gateway * LIFE + incarnation
        return
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    if begins - at > nodes.settings[ACCEPT_TIMEOUT]:
        tally.counters[TURNED_AWAY] += 1
        tally.counters[TURNED_AWAY_BUSY] += 1
        outs.down[n, 0] = at + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 2] = 2
        outs.down[n, 4] = gateway * LIFE + incarnation
        return
    now = worked(core, begins + draw(nodes.handshake, word(nodes.keys[KEY_HANDSHAKE], crowd.client[seat], at)), nodes)
    finish(gateway, core, begins, now, nodes, tally)
    if now >= nodes.state[gateway, DIES_AT]:  # The node dies with the handshake in its hands.
        tally.counters[TURNED_AWAY] += 1
        outs.down[n, 0] = nodes.state[gateway, DIES_AT] + crowd.link[seat, DELAY]
        outs.down[n, 1] = (6 << 56) | seat
        outs.down[n, 4] = gateway
        return
    nodes.state[gateway, OPEN] += 1
    tally.counters[ACCEPTED] += 1
    if crowd.cookie[seat] >= 0 and crowd.cookie[seat] != gateway:
        tally.counters[MOVED] += 1
    crowd.home[seat] = gateway
    crowd.link[seat, LINK_FREE_AT] = 0
    if nodes.settings[OVERFLOW_GRACE] >= 0:
        crowd.refusing[seat, LAST] = -1
    crowd.link[seat, BREAKS_AT] = min(nodes.state[gateway, DIES_AT], next_strike(seat, now + crowd.link[seat, DELAY], crowd))
    outs.down[n, 0] = now + crowd.link[seat, DELAY]
    outs.down[n, 1] = (5 << 56) | seat
    outs.down[n, 4] = ticket_of(gateway, seat, nodes, crowd)
    say_joined(now, seat, ticket_of(gateway, seat, nodes, crowd), nodes, outs)


def subscribe(
    at: int, goes_on_at: int, gateway: int, item: int, ticket: int, nodes: Nodes, book: Book, crowd: Crowd, outs: Outs, tally: Tally
) -> None:  # fmt: skip
    """A client names its channels: from now on it gets what is live, and holds it; when the routes are visible, the log is asked where they stand.

    All steps from here on take a known time, if it need not wait for its slot: if the client will have given up by then, it gives up. One that was
    refused before is ready all the same, and waits.
    """
    incarnation = nodes.state[gateway, INCARNATION]
    seat = item & LOW
    deadline = answered_by(at, item, nodes, crowd)
    if nodes.state[gateway, ALIVE] == 0 or ticket != ticket_of(gateway, seat, nodes, crowd) or crowd.subscribed[seat] == 1:
        give_up(seat, ticket, deadline, outs)
        return
    core = core_of(gateway, seat, nodes, crowd)
    begins = begin(core, at, nodes)
    now = begins
    first = crowd.start[seat]
    slots_used = book.pool[SLOTS_USED]
    for i in range(first, crowd.start[seat + 1]):
        now = worked(core, now + draw(nodes.subscribe, word(nodes.keys[KEY_SUBSCRIBE], crowd.client[seat], at + i - first)), nodes)
        registered = passes_at(max(now, goes_on_at), gateway, OUTWARDS, nodes.splits) + nodes.settings[STORE_DELAY]
        append_row(crowd.channels[i], gateway, incarnation, seat, -(crowd.resume_cursor[i] + 1), registered, book)
        forget_held(i, crowd)
    crowd.subscribed[seat] = 1
    tally.counters[SUBSCRIBED] += crowd.start[seat + 1] - first
    tally.counters[ROUTES] += book.pool[SLOTS_USED] - slots_used
    finish(gateway, core, begins, now, nodes, tally)
    now = passes_at(max(now, goes_on_at), gateway, OUTWARDS, nodes.splits) + nodes.settings[STORE_DELAY]
    asked_at = passes_at(now, gateway, OUTWARDS, nodes.splits) + nodes.settings[ASK_DELAY]
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = asked_at
    outs.ask[n, 1] = (17 << 56) | seat
    outs.ask[n, 2] = seat % nodes.settings[ASK_ROWS]
    outs.ask[n, 3] = ticket * WIDE + seat
    outs.ask[n, 4] = deadline
    told_at = passes_at(asked_at, gateway, INWARDS, nodes.splits) + nodes.settings[ASK_DELAY] + crowd.link[seat, DELAY]
    dies_at, noticed_at = nodes.state[gateway, DIES_AT], nodes.state[gateway, NOTICED_AT] + crowd.link[seat, DELAY]
    if told_at > deadline or (told_at - crowd.link[seat, DELAY] >= dies_at and noticed_at > deadline):
        crowd.link[seat, BREAKS_AT] = min(crowd.link[seat, BREAKS_AT], deadline)
        give_up(seat, ticket, deadline, outs)
