"""Tabs: what the tabs of one browser say to each other, and what a follower shows of it.

They share one connection (see `leader`): the leader tells what it received, the others tell what they need and what they send. Two may
lead for a moment, so a follower shows each event once and in order by (epoch, sequence), whoever tells it.
"""

from __future__ import annotations

from dataclasses import dataclass

from simfabric.protocol.cursors import DELIVER, GAP, RESET, classify
from simfabric.protocol.frames import Envelope


@dataclass(slots=True)
class Hello:
    """A tab joins."""

    tab: int


@dataclass(slots=True)
class Beat:
    """I lead."""

    term: int
    tab: int


@dataclass(slots=True)
class Claim:
    """I lead from now on."""

    term: int
    tab: int


@dataclass(slots=True)
class Resign:
    """I led, and leave in good order."""

    term: int
    tab: int


@dataclass(slots=True)
class Wants:
    """The channels that a tab needs: (channel, direct, visible) each. Said at every change and at every beat, so silence ends them."""

    tab: int
    channels: tuple[tuple[int, bool, bool], ...]


@dataclass(slots=True)
class Forward:
    """A follower's send, for the leader to publish; said again, with the same key, to every new leader until it is settled."""

    tab: int
    channel: int
    client_message_id: int
    size: int


@dataclass(slots=True)
class Settled:
    """What became of a follower's send."""

    tab: int
    client_message_id: int
    outcome: str
    reason: str = ""


@dataclass(slots=True)
class Events:
    """Events that the leader received, as it shows them itself."""

    term: int
    channel: int
    events: tuple[Envelope, ...]


@dataclass(slots=True)
class ChannelState:
    """The state of a channel as of (epoch, sequence): for a tab that joins late, and in place of events after a reset."""

    term: int
    channel: int
    epoch: int
    sequence: int
    to: int = -1  # The tab that asked, -1 = all.


@dataclass(slots=True)
class CursorShared:
    """Up to where the leader has applied a channel: from here its successor goes on."""

    channel: int
    epoch: int
    sequence: int


@dataclass(slots=True)
class AuthEnded:
    """The user may no longer be connected, in any tab."""

    reason: str = "auth"


TabMessage = Hello | Beat | Claim | Resign | Wants | Forward | Settled | Events | ChannelState | CursorShared | AuthEnded


class Feed:
    """What a follower shows of what leaders tell: each event once and in order, by (epoch, sequence), also while two of them tell it."""

    def __init__(self) -> None:
        self.cursors: dict[int, tuple[int, int]] = {}  # Per channel: epoch, sequence.

    def start_at(self, channel: int, epoch: int, sequence: int) -> bool:
        """State of this point is in hand: take it unless it is older; a cursor only rises within an epoch, or enters a newer one."""
        if (epoch, sequence) < self.cursors.get(channel, (0, -1)):
            return False
        self.cursors[channel] = (epoch, sequence)
        return True

    def take(self, message: Events) -> tuple[tuple[Envelope, ...], bool]:
        """The events to be shown, and whether the rest needs the channel's state anew: something is missing, or the epoch changed."""
        shown: list[Envelope] = []
        for event in message.events:
            epoch, sequence = self.cursors.get(message.channel, (0, -1))
            if sequence < 0:
                return (), True  # No state of this channel yet: the leader is to send it.
            verdict = classify(event.sequence, event.epoch, sequence, epoch)
            if verdict in (GAP, RESET):
                older = verdict == RESET and event.epoch < epoch  # A leader that was outranked still tells of the log that is gone.
                if older:
                    continue
                return tuple(shown), True
            if verdict == DELIVER:
                self.cursors[message.channel] = (event.epoch, event.sequence)
            if verdict == DELIVER or not event.sequence:
                shown.append(event)
        return tuple(shown), False
