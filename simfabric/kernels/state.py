"""State that several kernels share: named bundles of arrays, and the names of their columns.

A bundle is a NamedTuple, so that plain and compiled kernels read `crowd.link[seat, BREAKS_AT]` alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# A seat is the place of one client in the columns; seats of one gateway are neighbours at the start.
LINK_FREE_AT, BREAKS_AT, DELAY, PACE = 0, 1, 2, 3  # Columns of a link; PACE = nanoseconds per byte << 16 | core << 8 | SESSION | region.
SESSION = 128  # In PACE: a session decides what this client does; what reaches it is told to it.


class Crowd(NamedTuple):
    """The clients, by seat."""

    link: Any  # int64[seats, 4]: when the downlink is free [ns], when the connection breaks [ns], one-way delay [ns], pace.
    client: Any  # int32[seats]: the client that sits here, the name by which its draws are addressed.
    home: Any  # int32[seats]: the gateway that holds the connection, -1 = none. Gateways' truth.
    subscribed: Any  # int8[seats]: 1 when a gateway has the seat's subscriptions in its book.
    turn: Any  # int8[seats]: which of its connections the seat has with a gateway; see kernels/tickets.py. Gateways' truth.
    belief: Any  # int32[seats]: the ticket of the connection that the client believes to have, -1 = none.
    broke_at: Any  # int64[seats]: when the client lost its connection [ns], or when it first dialled.
    refusing: Any  # int64[seats, 4]: full buffers, see kernels/slow.py; one row if they close no connection.
    state: Any  # int8[seats]: state of the protocol's table.
    flags: Any  # int8[seats]: what else a client remembers, in bits; see kernels/lifecycle.py.
    ready_at: Any  # int64[seats]: when the connection became ready [ns].
    asked_at: Any  # int64[seats]: when the client asked for its last token [ns].
    no_state_at: Any  # int64[seats]: when the client last heard that there is no state [ns].
    drawn: Any  # int32[seats, 5]: backoffs, slow retries, advised waits, waits for a fetch and before subscribing again ever drawn: addresses of chance.
    attempt: Any  # int32[seats]: failed attempts since the last stable connection.
    dials: Any  # int32[seats]: dials ever: the address of the balancer's chance.
    cookie: Any  # int32[seats]: the gateway of the last connection, -1 = none.
    start: Any  # int64[seats + 1]: where the seat's subscriptions begin.
    channels: Any  # int32[subscriptions]: the channel of each.
    members: Any  # int32[channels]: subscribers of each channel, connected or not.
    strikes_from: Any  # int64[seats + 1]: where the seat's strikes begin, see kernels/striking.py; one row if there are none.
    strikes: Any  # int64[strikes]: when faults break the connection that a client has then [ns], by seat and time.
    slowed: Any  # int64[seats, 2]: links that faults slow down, see kernels/pacing.py; one row if there are none.
    opened_at: Any  # int64[seats]: when the client's connection opened [ns]; one row if nobody asks.
    resume_cursor: Any  # int32[subscriptions]: the cursor with which an absent client will resume.
    resume_upto: Any  # int32[subscriptions]: up to which sequence the log answers what was asked; see kernels/catching_up.py.
    held_first: Any  # int32[subscriptions]: first sequence of the live messages held while catching up, 0 = none.
    held_run: Any  # int32[subscriptions]: what more is known of held messages and open gaps, packed, see below.


# `held_run` packs what else is known of the held messages: length of the unbroken run from `held_first` on; by how much the newest one lies
# beyond that run's end; length of the unbroken run up to the newest one, when that is another; how many asks for gaps are under way that have
# closed meanwhile; whether a gap is open that may still close by itself (then its deadline stands in `resume_cursor` and `resume_upto`, which
# nobody else needs at that time).
MOST_FIRST = 4095
BEYOND_SHIFT, MOST_BEYOND = 12, 511
LAST_SHIFT, MOST_LAST = 21, 31
HELD_BITS = 0x3FFFFFF  # All of it that is about held messages.
CLOSED_SHIFT, MOST_CLOSED = 26, 7
GAP_OPEN = 1 << 29

# Columns of a slot, of a late slot, and of the pool's counters: see kernels/subscriptions.py.
GATEWAY, START, SIZE, CAPACITY = 0, 1, 2, 3
NEXT, INCARNATION_OF, VISIBLE_FROM = 0, 1, 2
POOL_NEXT, SLOTS_USED, SLOTS_FIRST, GATEWAYS = 0, 1, 2, 3
KEY, SLOT = 0, 1  # Columns of the index; a key is 1 + channel * gateways + gateway, 0 = free.
SEAT, CURSOR = 0, 1  # The row of a half-open connection has -2 - seat and cursor 0.


class Book(NamedTuple):
    """The subscriptions of all gateways: slots of rows."""

    slots: Any  # int32[slots, 4]
    rows: Any  # int32[rows, 2]: seat and cursor side by side, since a fan-out needs both.
    channel_first: Any  # int32[channels + 1]: the first slots of each channel.
    channel_more: Any  # int32[channels]: the newest late slot of each channel, -1 = none.
    late: Any  # int64[late slots, 3]
    index: Any  # int64[power of two, 2]: the newest late slot of each channel on each gateway; see kernels/subscriptions.py.
    pool: Any  # int64[4]


# Columns of a message and its fates: see kernels/log.py.
# HOT: 1 in a hot channel. OWED: the subscribers that must get it, connected or not; none for a transient message. SOURCE: which source of the traffic made it.
(
    PUBLISHED_AT, CHANNEL, PUBLISHER, BYTES, SEQUENCE, PREVIOUS, RECEIVED_AT, SAVED_AT, APPENDED_AT, VISIBLE_AT, ROUTED_AT, FATE, LANE, SOURCE, OWED,
    HOT,
) = range(16)  # fmt: skip
MESSAGE_COLUMNS = 16
UNDERWAY, LOGGED, UNSENT, LOST_AT_GATEWAY, LOST_AFTER_SAVE, PASSED_ON, THROTTLED, LIMITED, LOST_UNCLEAN = range(
    9
)  # PASSED_ON: a transient message that the bus has handed out.
CONTROL, DURABLE, TRANSIENT = range(3)  # Lanes, the first goes first. What is transient has no sequence, is not in the log, and is never sent again.


class Log(NamedTuple):
    """Messages, one row each, and the log of every channel as a chain through them."""

    rows: Any  # int64[messages, MESSAGE_COLUMNS]
    base: Any  # int64[1]: the message of row 0.
    head_message: Any  # int64[channels]: the last message of each channel, -1 = none.
    head_sequence: Any  # int64[channels]: its sequence, 0 = none.


# Columns of a node; GHOSTS = half-open connections, of those that are OPEN.
ALIVE, INCARNATION, OPEN, DIES_AT, FRAMES, WRITTEN, SENT_BYTES, NOTICED_AT, GHOSTS = range(9)
NODE_COLUMNS = 9
# Settings of the gateways.
CORES, SHARED, UP_DELAY, UP_ROWS, BUFFER, WARMUP, STORE_DELAY, ASK_DELAY, ASK_ROWS, BYTE_COST, AHEAD, GAP_WAIT, VOID_BEFORE = range(13)
REPLAY_MAX, API_DELAY, FETCH_FIRST, FETCH_CAP, ADVICE, ACCEPT_TIMEOUT, CONNECT_TIMEOUT, SESSIONS = range(13, 21)
TRANSIENT_DELAY, TRANSIENT_NAME, SOFT_BUFFER, OVERFLOW_GRACE, QUEUE_BOUND, PROTECTED = range(21, 27)
NODE_SETTINGS = 32
FETCH_FACTOR, FETCH_JITTER = 0, 1
FETCHES = 3  # Column of `crowd.drawn`; see kernels/lifecycle.py for the others.
KEY_HANDSHAKE, KEY_SUBSCRIBE, KEY_FRAME, KEY_DELIVERY, KEY_PAUSE_EVERY, KEY_PAUSE_LENGTH, KEY_FETCH_RETRY = range(7)
KEY_BAD = 8  # 7 is that of `looking`.
PAUSE_AT, PAUSE_NUMBER, PAUSE_UNTIL = 0, 1, 2  # Columns of a core's pauses.


class Nodes(NamedTuple):
    """The gateways and their cores."""

    settings: Any  # int64[NODE_SETTINGS]
    shares: Any  # float64[3]: how waits for a fetch grow and spread; who looks at presence.
    keys: Any  # int64[9]: keys of chance.
    state: Any  # int64[gateways, 8]
    free_at: Any  # int64[gateways * cores]: when a core is next idle [ns].
    busy: Any  # int64[gateways]: work given so far [ns].
    most: Any  # int64[gateways]: connections that each may have.
    bad: Any  # float64[gateways]: share of the dials that each refuses for no reason of theirs.
    turn: Any  # int64[gateways * cores, 2]: the last frame that each core took up, and when [ns].
    pauses: Any  # int64[gateways * cores, 3]: next pause [ns], its number, end of the last one [ns].
    handshake: Any  # Laws as float64 tables.
    subscribe: Any
    frame_in: Any
    delivery: Any
    pause_every: Any
    pause_length: Any
    splits: Any  # int64[splits, 4]: when gateways are cut off, see kernels/splitting.py.


class Outs(NamedTuple):
    """Where a gateway's frames go: to storage or bus, to clients, to the log."""

    up: Any
    down: Any
    ask: Any
    sent: Any  # int64[5]: frames written so far to each; what lacks room (1 book, 2 trail); a sum for nobody.


# Counters of facts.
(
    LIVE, DUPLICATE, HELD, GAPPED, CUT, OVERFLOWN, EXPECTED, STALE, WASTED, LOST_PUBLICATIONS, LOST_OBLIGATIONS, REPLAYED_COUNT,
    ACCEPTED, TURNED_AWAY, RECOVERED, SERVED, SERVED_AT, WORK, FILLS, DELAY_SUM, EXPIRED,
    RESET_COUNT, RESET_OBLIGATIONS, TURNED_AWAY_BUSY, TO_GHOSTS, TRANSIENT_LIVE, TRANSIENT_DROPPED, CLOSED_SLOW, SHED, MOVED, SUBSCRIBED, ROUTES,
    SHED_FRAMES, THROTTLED_COUNT, SET_ASIDE,
) = range(35)  # fmt: skip
COUNTERS = 64
# Histograms of stages.
STAGE_IN, STAGE_OUT, STAGE_CATCH_UP, STAGE_RECOVERY, STAGE_CONNECT, STAGE_ACK, STAGE_STORAGE, STAGE_BUS, STAGE_FANOUT, STAGE_TRANSIENT, STAGE_HOT = range(11)
STAGE_NAMES = ("gateway_in", "gateway_wait", "catch_up", "recovery", "connect", "ack", "storage", "bus", "fanout", "transient", "hot")
STAGES = 11


class Tally(NamedTuple):
    """What one worker counted; tallies add up."""

    counters: Any  # int64[COUNTERS]
    delays: Any  # int64[2 * regions, BINS]: delivery delays of messages published before and after the warm-up, per region.
    stages: Any  # int64[STAGES, BINS]
    digest: Any  # uint64[1]: sum of the hashes of all deliveries.
    trail: Any  # int64[.., 6]: notes of what was written to clients, when a history is asked for, else int64[0, 6]; see kernels/noting.py.
    trailed: Any  # int64[2]: notes on the trail, and those that found no room.
    watched: Any  # int8[seats]: 1 for those of whom notes are made; empty while nobody asks for a history.
    seen: Any  # int64[BINS]: delays of presence, from when it was due to arrival.


LIFE = 1024  # life = gateway * LIFE + incarnation.
WIDE = 4294967296  # Two numbers below 2^31 in one: high * WIDE + low.
LOW = 4294967295
