"""Effects: what must be done. A session returns them, in order; a driver carries them out and decides nothing.

They compare by value, so that one log of inputs gives one log of effects, whoever drives. Times are nanoseconds, sizes bytes. Treat an
effect as immutable.
"""

from __future__ import annotations

from dataclasses import dataclass

from simfabric.protocol.frames import Envelope, Frame


@dataclass(slots=True)
class FetchBootstrap:
    """Call the bootstrap API."""

    ticket: int


@dataclass(slots=True)
class FetchToken:
    """Call the token API."""

    ticket: int


@dataclass(slots=True)
class OpenTransport:
    """Dial. Whatever comes of it carries this generation."""

    generation: int
    kind: int  # WEBSOCKET, SSE or LONG_POLL.
    avoid: int = -1  # A gateway to be avoided for a while, -1 = none.


@dataclass(slots=True)
class SendFrame:
    """Write a frame to the transport of this generation."""

    generation: int
    frame: Frame


@dataclass(slots=True)
class CloseTransport:
    """Close the transport of this generation."""

    generation: int
    code: int
    reason: str = ""
    advised: int = -1  # Advice for the next dial [ns], -1 = none.
    spread: int = 0


@dataclass(slots=True)
class FetchReplay:
    """Ask for the events of a channel after a cursor."""

    ticket: int
    channel: int
    epoch: int
    after: int  # Sequence of the cursor: exclusive.
    limit: int


@dataclass(slots=True)
class FetchSnapshot:
    """Ask for the state of a channel."""

    ticket: int
    channel: int


@dataclass(slots=True)
class CancelFetch:
    """The answer is no longer wanted; one that comes all the same is ignored."""

    ticket: int
    kind: int


@dataclass(slots=True)
class Deliver:
    """Show these events, in this order: one batch of one channel."""

    channel: int
    events: tuple[Envelope, ...]


@dataclass(slots=True)
class ChannelReset:
    """Replace the channel's state by the snapshot of this watermark: what lies between is not shown one by one."""

    channel: int
    epoch: int
    sequence: int
    reason: str


@dataclass(slots=True)
class PublishSettled:
    """What became of a send: `sent`, `failed` (may be retried by the user) or `expired`."""

    client_message_id: int
    outcome: str
    reason: str = ""


@dataclass(slots=True)
class PublishUnconfirmed:
    """No ack in time on a healthy connection: the user may be offered another try with the same key. The send is not settled."""

    client_message_id: int


@dataclass(slots=True)
class StateChanged:
    """The connection state moved (numbers of `machine`), and what the user interface shows now."""

    old: int
    new: int
    why: int  # The input of the table.
    shown: int  # See `rules.ui_state`.


@dataclass(slots=True)
class Broadcast:
    """Tell the other tabs."""

    message: object


@dataclass(slots=True)
class PersistCursor:
    """Save a cursor; a save may only raise the sequence within an epoch, or bring a newer epoch."""

    channel: int
    epoch: int
    sequence: int


@dataclass(slots=True)
class ClearLocal:
    """Forget token, caches and saved cursors."""


@dataclass(slots=True)
class Fault:
    """A remote party broke a rule: report it. Never an exception."""

    law: str
    channel: int = -1
    value: int = 0


@dataclass(slots=True)
class Count:
    """Something happened that is worth a number and nothing else."""

    name: str
    amount: int = 1


ClientEffect = (
    FetchBootstrap | FetchToken | OpenTransport | SendFrame | CloseTransport | FetchReplay | FetchSnapshot | CancelFetch | Deliver | ChannelReset
    | PublishSettled | PublishUnconfirmed | StateChanged | Broadcast | PersistCursor | ClearLocal | Fault | Count
)  # fmt: skip


# What a gateway's half wants done, beside SendFrame, CloseTransport, Fault and Count.


@dataclass(slots=True)
class MakeRoute:
    """Make the channel's route to this gateway visible, and say when it is."""

    channel: int
    ticket: int


@dataclass(slots=True)
class DropRoute:
    """This connection needs the channel's events no more."""

    channel: int


@dataclass(slots=True)
class ReadLog:
    """Read where the channel stands; with limit > 0 also up to that many events after the cursor."""

    channel: int
    ticket: int
    after: int
    limit: int


@dataclass(slots=True)
class Append:
    """Look up (user, key) and append if it is new: one atomic step."""

    correlation: int
    channel: int
    user: int
    client_message_id: int
    size: int


@dataclass(slots=True)
class Announce:
    """Fan out a transient event of a user; it is not logged."""

    channel: int
    user: int
    type: int


GatewayEffect = SendFrame | CloseTransport | MakeRoute | DropRoute | ReadLog | Append | Announce | Fault | Count
