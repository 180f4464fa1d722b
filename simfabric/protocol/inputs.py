"""Inputs: what happened. A driver hands them to a session; nothing else moves it but its timers.

Times and durations are nanoseconds, sizes bytes. Channels, users, events and message keys are small integers; `codec`
gives them their names on the wire. Treat an input as immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simfabric.protocol.frames import Envelope, Frame, SequenceSkip

# Kinds of fetch, in `FetchFailed` and `CancelFetch`.
BOOTSTRAP, TOKEN, REPLAY, SNAPSHOT = range(4)

# Kinds of transport, in the order of the ladder.
WEBSOCKET, SSE, LONG_POLL = range(3)


@dataclass(slots=True)
class ConnectRequested:
    """The user logged in, opened the page, or asks again after the end; or a tab became leader."""


@dataclass(slots=True)
class Bootstrapped:
    """The bootstrap call answered."""

    ticket: int
    allowed: tuple[int, ...]  # Channels that the user may read.
    hints: tuple[tuple[int, int, int], ...] = ()  # Cursor hints: channel, epoch, sequence.


@dataclass(slots=True)
class TokenReady:
    """The token call answered; the token itself stays with the driver."""

    ticket: int
    ttl: int  # How long the token is valid from the asking on [ns].


@dataclass(slots=True)
class TransportOpened:
    """The transport of this dial generation is open (sse: first byte, long poll: first answer)."""

    generation: int


@dataclass(slots=True)
class FrameReceived:
    """A frame, or any bytes of one, came over the transport of this dial generation. At a gateway the generation is that of its one connection."""

    generation: int
    frame: Frame
    size: int = 0  # [bytes]


@dataclass(slots=True)
class TransportClosed:
    """The transport of this dial generation is closed, or could not be opened."""

    generation: int
    code: int
    advised: int = -1  # Delay that the other side advises [ns], -1 = none.
    spread: int = 0  # Over which the advised delay is to be spread [ns].
    bytes_seen: bool = True  # Whether any byte ever arrived: evidence for the ladder.


@dataclass(slots=True)
class ReplayReady:
    """One page of a replay."""

    ticket: int
    channel: int
    epoch: int
    events: tuple[Envelope | SequenceSkip, ...]  # And the holes by design between them.
    top: int  # Sequence of the newest event in the log.
    more: bool = False
    truncated: bool = False  # The log no longer holds what comes after the cursor.


@dataclass(slots=True)
class SnapshotReady:
    """The state of a channel as of its watermark (epoch, sequence)."""

    ticket: int
    channel: int
    epoch: int
    sequence: int
    size: int = 0  # Of the state [bytes].


@dataclass(slots=True)
class FetchFailed:
    """A call failed: `status` as in HTTP, 0 = no answer in time or no connection."""

    ticket: int
    kind: int
    status: int
    advised: int = -1  # Retry-After [ns], -1 = none.
    channel: int = -1


@dataclass(slots=True)
class SubscribeWanted:
    """The screen needs a channel, or needs it no more."""

    channel: int
    wanted: bool = True
    direct: bool = False  # A direct conversation: ranked after the visible, and carried by every transport.


@dataclass(slots=True)
class VisibleChanged:
    """The user looks at these channels now; an empty tuple with hidden = True when the page went to the background."""

    channels: tuple[int, ...]
    hidden: bool = False


@dataclass(slots=True)
class PublishRequested:
    """The user presses enter."""

    channel: int
    client_message_id: int  # The idempotency key, made before the first try.
    size: int  # Of the payload [bytes].


@dataclass(slots=True)
class NetworkChanged:
    """The system says that the network is up or down."""

    up: bool


@dataclass(slots=True)
class Resumed:
    """The page, or the machine, wakes from sleep; or the user asks for a retry now."""


@dataclass(slots=True)
class PeerMessage:
    """Another tab of the same browser said something: see `leader`."""

    tab: int
    message: object


@dataclass(slots=True)
class CursorLoaded:
    """A saved cursor was read from the browser's storage."""

    channel: int
    epoch: int
    sequence: int
    with_state: bool = False  # Whether channel state of exactly this point is in hand, too.


@dataclass(slots=True)
class ConsumerDrained:
    """The user interface took the batch that was delivered, and is ready for the next one."""


@dataclass(slots=True)
class LogoutRequested:
    """The user logs out, or the page closes."""

    closing: bool = False  # The page closes: nothing local is cleared.


ClientInput = (
    ConnectRequested | Bootstrapped | TokenReady | TransportOpened | FrameReceived | TransportClosed | ReplayReady | SnapshotReady | FetchFailed
    | SubscribeWanted | VisibleChanged | PublishRequested | NetworkChanged | Resumed | PeerMessage | CursorLoaded | ConsumerDrained | LogoutRequested
)  # fmt: skip


# What happens to a gateway's half.


@dataclass(slots=True)
class ConnectionAccepted:
    """A transport reached this gateway, and its token was decoded."""

    user: int
    tenant: int
    schema: int
    expires_at: int  # When the token ends, on the gateway's clock [ns].
    revision: int  # The revocation version under which the token was given.
    revoked: int  # The least revocation version that is still good for this user.
    allowed: tuple[int, ...]  # Channels that the user may read and write.


@dataclass(slots=True)
class RouteReady:
    """The route of a channel to this gateway is visible to every publisher."""

    channel: int
    ticket: int


@dataclass(slots=True)
class LogRead:
    """The log answered: where the channel stands, and, when asked, the events after the cursor."""

    channel: int
    ticket: int
    epoch: int
    top: int
    floor: int  # Oldest sequence that is retained.
    events: tuple[Envelope, ...] = ()
    presence: tuple[Envelope, ...] = ()  # Who is how, one for each user: transients are not replayed.


@dataclass(slots=True)
class EventRouted:
    """An event of a channel reached this gateway, durable or transient."""

    envelope: Envelope


@dataclass(slots=True)
class AppendSettled:
    """The one atomic step of looking up the key and appending is done."""

    correlation: int
    client_message_id: int
    event: int
    sequence: int
    epoch: int
    duplicate: bool = False
    failed: bool = False  # Storage refused: the same request may come again.


@dataclass(slots=True)
class BufferWritten:
    """The transport took this much of the outgoing buffer."""

    size: int


@dataclass(slots=True)
class DrainStarted:
    """This gateway is to be emptied."""

    retry_after: int
    spread: int
    deadline: int  # Durations from now [ns].


@dataclass(slots=True)
class UserRevoked:
    """The user may no longer be connected."""

    reason: int = 4401  # The close code that follows.


@dataclass(slots=True)
class AccessRevoked:
    """The user may no longer read or write this channel."""

    channel: int


@dataclass(slots=True)
class AccessGranted:
    """The user may read and write this channel from now on."""

    channel: int


@dataclass(slots=True)
class PositionChecked:
    """Once per channel, not per client: the log's top, to be compared with what was fanned out."""

    channel: int
    epoch: int
    top: int
    events: tuple[Envelope, ...] = field(default=())  # The missing range, when the gateway could fetch it.


GatewayInput = (
    ConnectionAccepted | FrameReceived | TransportClosed | RouteReady | LogRead | EventRouted | AppendSettled | BufferWritten | DrainStarted | UserRevoked
    | AccessRevoked | AccessGranted | PositionChecked
)  # fmt: skip
