"""A session on its seat: what it waits for, to whom it may send, and the protocol's numbers as the topology has them."""

from __future__ import annotations

from simfabric.errors import SimfabricError
from simfabric.kernels.frames import NEVER
from simfabric.protocol.client import ClientSession
from simfabric.protocol.parameters import MINUTE, Parameters
from simfabric.topology import Topology
from simfabric.topology.limits import are_limited

EPOCH = 1  # The log of a run is never lost.
GATEWAYS, BALANCER, BOOTSTRAP, TOKENS, REPLAY, SNAPSHOTS, SELF = range(7)  # To whom a session sends.
RECEIVERS = 7
NO_LIMIT = 1 << 60


class SessionError(SimfabricError):
    """A session and its columns disagree: a bug, never hidden."""


class Seated:
    """One session, its seat, and what it waits for."""

    __slots__ = (
        "asked",
        "call",
        "channels",
        "delay",
        "fetches",
        "generation",
        "name",
        "ping_at",
        "resumed_at",
        "seat",
        "session",
        "silent",
        "ticket",
        "wake_at",
    )

    def __init__(self, session: ClientSession, seat: int, delay: int, channels: dict[int, int]) -> None:
        self.session = session
        self.seat = seat
        self.delay = delay  # One way to the edge [ns].
        self.name = f"client {session.client}"
        self.channels = channels  # Channel -> its place among the subscriptions.
        self.generation = 0  # Of the transport that is there, or is being opened.
        self.ticket = -1  # Of the connection, see kernels/tickets.py; -1 = none.
        self.silent = False  # Nothing passes on it any more, and the session does not know.
        self.call = 0  # Ticket of the call to the bootstrap or token API under way.
        self.asked: dict[int, int] = {}  # Channel -> correlation of its subscribe.
        self.fetches: dict[int, tuple[int, int]] = {}  # Channel -> ticket of the replay or snapshot under way, and the cursor of a replay.
        self.ping_at = NEVER  # When the gateway's next ping arrives.
        self.resumed_at = -1  # When it asked last for all that it lacked.
        self.wake_at = NEVER  # When the next WAKE frame is due.


def parameters_of(topology: Topology) -> Parameters:
    """The protocol's numbers as the topology has them.

    One page holds every replay; how long a replay or a snapshot may take is the services' business; there are no other transports to fall back to; what
    was refused for its rate fails, as nothing is sent again; where subscribes are limited, a client asks for all its channels in one frame.
    As no ack empties an outbox, and an echo may never come over a slow link, it is never full; nor may the window of known events be smaller than it.
    """
    clients, token = topology.clients, topology.apis.token
    reconnect = clients.reconnect
    ttl = min(max(token.ttl, MINUTE), 5 * MINUTE)
    most = max(200, len(topology.channels.given) + clients.subscriptions)
    return Parameters(
        heartbeat_interval=clients.heartbeat_interval,
        heartbeat_timeout=clients.heartbeat_timeout,
        reconnect_first=max(1, reconnect.first),
        reconnect_factor=reconnect.factor,
        reconnect_cap=max(1, reconnect.cap),
        reconnect_jitter=reconnect.jitter,
        jitter_order=reconnect.jitter_order,
        attempt_limit=reconnect.attempt_limit,
        stable_after=reconnect.stable_after,
        offline_retry=reconnect.offline_retry,
        offline_jitter=reconnect.jitter,
        connect_timeout=clients.connect_timeout,
        token_ttl=ttl,
        token_margin=min(token.margin, ttl - 1),
        gap_wait=clients.gap_wait,
        replay_max=clients.replay_max,
        page_events=NO_LIMIT,
        fetch_timeout=NO_LIMIT,
        snapshot_min_gap=0,
        max_channels=most,
        subscribe_burst_user=max(400, 2 * most),
        ws_failures=NO_LIMIT,
        resend_limited=False,
        subscribe_batch=most if are_limited(topology.limits.subscribe) else 1,
        queue_cap=NO_LIMIT,
        outbox_cap=NO_LIMIT,
        dedupe_window=NO_LIMIT,
    )
