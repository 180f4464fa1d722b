"""Leader: which of a user's tabs holds the one connection, by term and lease.

The leader beats; a follower that has heard no beat for a lease claims the next term after a short random time (visible tabs first) and
leads from then on. Rank decides between two that lead: the higher term, then the lower tab id; the one outranked steps down as soon as it
hears of the other. While a slow bus keeps two leaders apart, tabs show each event once by (epoch, sequence): see `tabs.Feed`.

A tab's wanted channels are held by the leader under the same lease, so a crashed tab pins nothing. Each tab owns its unacknowledged sends
and hands them to every new leader with the same keys. Leaves out: the bus itself (BroadcastChannel or the like), which may delay, and may
lose what is said to a frozen tab; and storage.

    tab ── Hello, Wants, Forward ──▶ leader ── Beat, Events, ChannelState, Settled, CursorShared ──▶ tabs
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simfabric.chance import uniform
from simfabric.protocol.rules import claim_at, lease_ok, outranks
from simfabric.protocol.tabs import AuthEnded, Beat, ChannelState, Claim, CursorShared, Events, Forward, Hello, Resign, Settled, TabMessage, Wants

# ----------------------------------------------------------------------------------------------------------- what follows from it


@dataclass(slots=True)
class Say:
    """Broadcast this to the other tabs."""

    message: TabMessage


@dataclass(slots=True)
class Gained:
    """This tab leads from now on, in this term: START."""

    term: int


@dataclass(slots=True)
class Lost:
    """This tab leads no longer, another does, in this term: LOGOUT."""

    term: int
    leader: int


@dataclass(slots=True)
class Followed:
    """Another leader is followed from now on: hand it the unacknowledged sends."""

    term: int
    leader: int


@dataclass(slots=True)
class TabJoined:
    """A tab joined the one that leads: send it the channels' state."""

    tab: int


@dataclass(slots=True)
class WantsChanged:
    """What the other tabs need, together: (channel, direct, visible), by channel."""

    channels: tuple[tuple[int, bool, bool], ...]


@dataclass(slots=True)
class Passed:
    """A message that is meant for this tab and is not about leadership."""

    message: Forward | Settled | Events | ChannelState | CursorShared | AuthEnded


Action = Say | Gained | Lost | Followed | TabJoined | WantsChanged | Passed

FOLLOWER, LEADER, GONE = range(3)


class Leader:
    """One tab's part in the election. `key` names the decision "clients/claim" of the run; a tab's id is its entity there."""

    def __init__(self, tab: int, beat: int, lease: int, key: int, visible: bool = True) -> None:
        self.tab = tab
        self.beat = beat
        self.lease = lease
        self.key = key
        self.visible = visible
        self.role = GONE
        self.term = 0  # The highest that was ever seen: it never goes back.
        self.leader = -1  # Whom this tab follows, or itself; -1 = none known.
        self.wants: tuple[tuple[int, bool, bool], ...] = ()  # What this tab needs.
        self.claims = 0  # Draws of this decision so far.
        self.last_beat = 0  # Of the leader that is followed [ns].
        self.lease_at: int | None = None  # When the lease of the leader ends.
        self.claim_at: int | None = None  # When this tab will claim.
        self.beat_at: int | None = None  # When this tab speaks next: a leader's beat, a follower's wants.
        self.heard: dict[int, int] = {}  # Of a leader: when each other tab was heard last.
        self.wanted: dict[int, tuple[tuple[int, bool, bool], ...]] = {}  # Of a leader: what each other tab needs.
        self.handlers: dict[type, Callable[[Any, int], list[Action]]] = {
            Hello: self._hello,
            Beat: self._beat,
            Claim: self._beat,
            Resign: self._resign,
            Wants: self._wants,
            Forward: self._forward,
            Settled: self._settled,
            Events: self._pass,
            ChannelState: self._state,
            CursorShared: self._pass,
            AuthEnded: self._pass,
        }

    @property
    def leads(self) -> bool:
        """Whether this tab leads now."""
        return self.role == LEADER

    # ------------------------------------------------------------------------------------------------------------------ calls

    def start(self, now: int) -> list[Action]:
        """The page was opened: ask for a leader, and claim soon if none answers."""
        self.role, self.leader = FOLLOWER, -1
        self._claim_soon(now)
        self.beat_at = now + self.beat
        return [Say(Hello(self.tab)), Say(Wants(self.tab, self.wants))]

    def stop(self) -> list[Action]:
        """The page closes, or the user was signed out."""
        said: list[Action] = [Say(Resign(self.term, self.tab)) if self.leads else Say(Wants(self.tab, ()))] if self.role != GONE else []
        self.role, self.leader = GONE, -1
        self.lease_at = self.claim_at = self.beat_at = None
        self.heard.clear()
        self.wanted.clear()
        return said

    def set_wants(self, channels: tuple[tuple[int, bool, bool], ...]) -> list[Action]:
        """This tab's screen needs these channels: (channel, direct, visible) each."""
        if channels == self.wants:
            return []
        self.wants = channels
        return [Say(Wants(self.tab, channels))] if self.role == FOLLOWER else []

    def set_visible(self, visible: bool, now: int) -> None:
        """The user came to this tab, or left it; one that waits to claim and becomes visible claims earlier."""
        came, self.visible = visible and not self.visible, visible
        if came and self.claim_at is not None:
            waited = self.claim_at
            self._claim_soon(now)
            self.claim_at = min(waited, self.claim_at)

    def handle(self, message: TabMessage, now: int) -> list[Action]:
        """Another tab said this."""
        handler = self.handlers.get(type(message))
        return [] if handler is None or self.role == GONE else handler(message, now)

    def next_deadline(self) -> int | None:
        """When `handle_timers` is due next."""
        due = [at for at in (self.lease_at, self.claim_at, self.beat_at) if at is not None]
        if self.leads and self.heard:
            due.append(min(self.heard.values()) + self.lease)
        return min(due) if due else None

    def handle_timers(self, now: int) -> list[Action]:
        """What is due, in the order lease, claim, beat, tabs that fell silent."""
        actions: list[Action] = []
        claims = self.claim_at
        if self.lease_at is not None and self.lease_at <= now:
            self.lease_at, self.leader = None, -1
            self._claim_soon(now)
        if claims is not None and claims <= now:
            if now - claims > self.beat:
                self._claim_soon(now)  # This tab was frozen, too: listen before claiming.
            else:
                actions += self._lead()
        if self.beat_at is not None and self.beat_at <= now:
            self.beat_at = now + self.beat
            actions.append(Say(Beat(self.term, self.tab) if self.leads else Wants(self.tab, self.wants)))
        if self.leads:
            actions += self._forget_silent(now)
        return actions

    # --------------------------------------------------------------------------------------------------------------- election

    def _claim_soon(self, now: int) -> None:
        self.claim_at = claim_at(now, self.beat, self.visible, uniform(self.key, self.tab, self.claims))
        self.claims += 1

    def _lead(self) -> list[Action]:
        self.role, self.leader = LEADER, self.tab
        self.term += 1
        self.lease_at = self.claim_at = None
        return [Say(Claim(self.term, self.tab)), Gained(self.term)]

    def _beat(self, message: Beat | Claim, now: int) -> list[Action]:
        if message.tab == self.leader and message.term == self.term and not self.leads:
            self.last_beat, self.lease_at, self.claim_at = now, now + self.lease, None
            return []
        if self._outranked(message):
            return self._follow(message.term, message.tab, now)
        # One that was outranked does not know: the leader tells it at once; followers stay silent.
        return [Say(Beat(self.term, self.tab))] if self.leads else []

    def _outranked(self, message: Beat | Claim) -> bool:
        """Whether who says this leads this tab: it has the higher rank, or the same term and nobody else of that term leads."""
        if self.leader < 0:
            return message.term >= self.term
        return outranks(message.term, message.tab, self.term, self.leader)

    def _follow(self, term: int, leader: int, now: int) -> list[Action]:
        led, self.role = self.leads, FOLLOWER
        self.term, self.leader = term, leader
        self.last_beat, self.lease_at, self.claim_at = now, now + self.lease, None
        self.heard.clear()
        self.wanted.clear()
        lost: list[Action] = [Lost(term, leader)] if led else []
        return [*lost, Say(Wants(self.tab, self.wants)), Followed(term, leader)]

    def _resign(self, message: Resign, now: int) -> list[Action]:
        if message.tab == self.leader and message.term == self.term and not self.leads:
            self.leader, self.lease_at = -1, None
            self._claim_soon(now)
        return self._gone(message.tab) if self.leads else []

    def follows(self, now: int) -> bool:
        """Whether a leader's lease holds for this tab."""
        return self.role == FOLLOWER and self.leader >= 0 and lease_ok(now, self.last_beat, self.lease)

    # ------------------------------------------------------------------------------------------------------------- other tabs

    def _hello(self, message: Hello, now: int) -> list[Action]:
        if not self.leads:
            return []
        known = message.tab in self.heard
        self.heard[message.tab] = now
        joined: list[Action] = [] if known else [TabJoined(message.tab)]
        return [Say(Beat(self.term, self.tab)), *joined]

    def _wants(self, message: Wants, now: int) -> list[Action]:
        if not self.leads:
            return []
        known = message.tab in self.heard
        self.heard[message.tab] = now
        joined: list[Action] = [] if known else [TabJoined(message.tab)]
        if self.wanted.get(message.tab, ()) == message.channels:
            return joined
        self.wanted[message.tab] = message.channels
        return [*joined, self._together()]

    def _gone(self, tab: int) -> list[Action]:
        self.heard.pop(tab, None)
        return [self._together()] if self.wanted.pop(tab, ()) else []

    def _forget_silent(self, now: int) -> list[Action]:
        silent = [tab for tab, at in self.heard.items() if not lease_ok(now, at, self.lease)]
        needed = [self.wanted.pop(tab, ()) for tab in silent]
        for tab in silent:
            del self.heard[tab]
        return [self._together()] if any(needed) else []

    def _together(self) -> WantsChanged:
        together: dict[int, tuple[int, bool, bool]] = {}
        for channels in self.wanted.values():
            for channel, direct, visible in channels:
                _, was_direct, was_visible = together.get(channel, (channel, False, False))
                together[channel] = (channel, direct or was_direct, visible or was_visible)
        return WantsChanged(tuple(together[channel] for channel in sorted(together)))

    def _forward(self, message: Forward, now: int) -> list[Action]:
        if not self.leads:
            return []
        self.heard[message.tab] = now
        return [Passed(message)]

    def _settled(self, message: Settled, now: int) -> list[Action]:
        return [Passed(message)] if message.tab == self.tab else []

    def _state(self, message: ChannelState, now: int) -> list[Action]:
        return [Passed(message)] if message.to in (-1, self.tab) and not self.leads else []

    def _pass(self, message: Events | CursorShared | AuthEnded, now: int) -> list[Action]:
        """A leader needs nobody's events but its own; sign-out and cursors are for everybody."""
        return [] if self.leads and type(message) is Events else [Passed(message)]
