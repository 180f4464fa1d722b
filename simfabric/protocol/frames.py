"""Frames: what travels on a transport.

In the core channels, users, events and keys are small integers and times are nanoseconds; on the wire they have names and seconds:
`codec` is the only place that knows JSON and the versions of the schema.
"""

from __future__ import annotations

from dataclasses import dataclass

# Types of an envelope.
MESSAGE, MODERATION, PRESENCE, TYPING = range(4)
TYPE_NAMES = ("message.created", "message.moderated", "presence.updated", "typing")
TYPE_SINCE = (1, 1, 1, 1)  # The version of the schema that added each of them.


def knows(schema: int, kind: int) -> bool:
    """Whether a peer of this version understands events of this type. A type that this code cannot name is newer than every version it speaks."""
    return 0 <= kind < len(TYPE_SINCE) and TYPE_SINCE[kind] <= schema


@dataclass(slots=True)
class Envelope:
    """An event of a channel. Durable ones have a sequence from 1 on in an epoch from 1 on; transient ones (presence, typing) have 0 and 0."""

    channel: int
    sequence: int
    epoch: int
    event: int  # eventId.
    type: int = MESSAGE
    ts: int = 0  # The log's clock [ns].
    user: int = -1  # The author, or whose presence it is.
    size: int = 0  # Of the payload [bytes].
    client_message_id: int = -1  # On the author's echo, -1 = none.
    status: int = 0  # Of a presence.
    schema: int = 2


@dataclass(slots=True)
class ConnectionAck:
    """The gateway confirms the connection."""

    connection: int
    user: int
    schema: int
    interval: int  # Of the heartbeat [ns].
    timeout: int
    max_channels: int
    session: int = -1  # On sse and long poll only.
    gateway: int = -1


@dataclass(slots=True)
class Subscribe:
    """Ask for channels: each with a cursor (epoch, sequence), or sequence -1 for live only. More than one is the list form."""

    correlation: int
    channels: tuple[tuple[int, int, int], ...]  # channel, epoch, sequence.


@dataclass(slots=True)
class Unsubscribe:
    """Ask for a channel no more."""

    correlation: int
    channel: int


@dataclass(slots=True)
class Subscribed:
    """Where one channel stands; `recovered` says whether everything after the cursor can still be had."""

    correlation: int
    channel: int
    epoch: int
    top: int
    floor: int
    recovered: bool
    events: tuple[Envelope | SequenceSkip, ...] = ()


@dataclass(slots=True)
class Unsubscribed:
    """The channel ended: by request (correlation >= 0) or by the server."""

    correlation: int
    channel: int
    reason: str = ""
    final: bool = False


@dataclass(slots=True)
class MessageSend:
    """A publication."""

    correlation: int
    channel: int
    client_message_id: int
    size: int
    schema: int = 2


@dataclass(slots=True)
class MessageAck:
    """The publication is in the log. It never moves a cursor."""

    correlation: int
    client_message_id: int
    event: int
    sequence: int
    epoch: int
    duplicate: bool = False


@dataclass(slots=True)
class TypingSent:
    """The user is typing."""

    channel: int


@dataclass(slots=True)
class Ping:
    """A heartbeat, with the tops of the channels that changed since the last one."""

    t: int
    tops: tuple[tuple[int, int, int], ...] = ()  # channel, epoch, top.


@dataclass(slots=True)
class Pong:
    """The answer to a ping."""

    t: int


@dataclass(slots=True)
class Draining:
    """This gateway will close: durations [ns]."""

    retry_after: int
    spread: int
    deadline: int


@dataclass(slots=True)
class SequenceSkip:
    """A hole by design: the cursor may pass from..to."""

    channel: int
    epoch: int
    first: int
    last: int


@dataclass(slots=True)
class ChannelResync:
    """Durable events of the channel were dropped for this connection."""

    channel: int
    epoch: int
    top: int
    reason: str = ""


@dataclass(slots=True)
class AuthRevoked:
    """The user may no longer be connected; close 4401 follows."""

    reason: str = ""


@dataclass(slots=True)
class ChannelAccessRevoked:
    """The user may no longer read the channel; the connection stays."""

    channel: int


# Errors that answer a request.
NOT_AUTHORIZED, RATE_LIMITED, UNAVAILABLE, TOO_LARGE, CHANNEL_LIMIT = range(5)
ERROR_NAMES = ("error.not_authorized", "error.rate_limited", "error.unavailable", "error.too_large", "error.channel_limit")


@dataclass(slots=True)
class ErrorFrame:
    """A request failed: for good, or, with `retry_after` >= 0, until later [ns]."""

    correlation: int
    error: int
    channel: int = -1
    retry_after: int = -1


@dataclass(slots=True)
class Unknown:
    """A frame of a type that this version does not know: ignored and counted. Or, `malformed`, a text that is no frame at all."""

    type: str = ""
    malformed: bool = False


Frame = (
    Envelope | ConnectionAck | Subscribe | Unsubscribe | Subscribed | Unsubscribed | MessageSend | MessageAck | TypingSent | Ping | Pong | Draining
    | SequenceSkip | ChannelResync | AuthRevoked | ChannelAccessRevoked | ErrorFrame | Unknown
)  # fmt: skip
