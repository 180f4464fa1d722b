"""Indicator: who is typing in a channel, as a user interface shows it.

A typing event says that somebody types; the one who types says so again every 3 s, and nobody says when it is over. So what is shown ends by
itself 6 s after it was last heard: one lost event changes nothing, and a lost end leaves nothing standing.
"""

from __future__ import annotations

from simfabric.protocol.frames import TYPING, Envelope
from simfabric.protocol.parameters import SECOND

SHOWN_FOR = 6 * SECOND  # After it was last heard [ns].


class Indicator:
    """The users who type in one channel. It is given what is delivered, message or not, and asked what to show."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until: dict[int, int] = {}  # User -> when it ends, in the order in which they began.

    def heard(self, event: Envelope, now: int) -> None:
        """An event was delivered: somebody types, or has sent what was typed."""
        if event.type == TYPING:
            self.until[event.user] = now + SHOWN_FOR
        elif event.sequence:
            self.until.pop(event.user, None)

    def typing(self, now: int) -> tuple[int, ...]:
        """Who is to be shown now."""
        self.until = {user: at for user, at in self.until.items() if now < at}
        return tuple(self.until)

    def next_deadline(self) -> int | None:
        """When the next of them ends by itself [ns]."""
        return min(self.until.values(), default=None)
