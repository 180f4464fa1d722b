"""Backend: what outlives a connection, in memory: users and their channels, tokens, the channels' logs, keys of publications.

It is the service behind the gateways in one object, small and exact; capacity, delay and loss of a real one are the simulator's subject.
Events are the idea of a payload: a kind and a size.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from simfabric.protocol.cursors import recoverable
from simfabric.protocol.frames import MESSAGE, Envelope
from simfabric.protocol.inputs import AppendSettled, ConnectionAccepted, LogRead, ReplayReady, SnapshotReady
from simfabric.protocol.parameters import Parameters

MOST_TOKENS = 10_000
MOST_KEYS = 100_000


@dataclass(slots=True)
class Token:
    """A right to dial: whose it is, until when, and under which revocation version it was given."""

    user: int
    expires_at: int
    revision: int


@dataclass(slots=True)
class Log:
    """The log of one channel: one incarnation at a time, and of it the newest events."""

    epoch: int = 0  # 0 = nothing was ever written.
    top: int = 0
    events: list[Envelope] = field(default_factory=list)  # Contiguous, up to `top`.

    @property
    def floor(self) -> int:
        """The oldest sequence that is retained; one beyond the top when nothing is."""
        return self.top - len(self.events) + 1

    def after(self, cursor: int, limit: int) -> tuple[Envelope, ...]:
        """At most `limit` events after a cursor that retention has not passed."""
        start = max(0, cursor - self.floor + 1)
        return tuple(self.events[start : start + limit])


class Backend:
    """The state of the service. Every user may read and write `channels` until it is taken away."""

    def __init__(self, channels: tuple[int, ...], parameters: Parameters | None = None, retention: int = 10_000) -> None:
        self.parameters = parameters or Parameters()
        self.channels = channels
        self.retention = retention  # Events that a log keeps.
        self.logs = {channel: Log() for channel in channels}
        self.denied: set[tuple[int, int]] = set()  # (user, channel).
        self.revisions: dict[int, int] = {}  # Per user: the least revocation version that is still good.
        self.tokens: dict[str, Token] = {}
        self.keys: dict[tuple[int, int], tuple[int, AppendSettled]] = {}  # (user, key) -> when, first result; oldest first.
        self.last_event = 0

    # ------------------------------------------------------------------------------------------------------------------ users

    def allowed(self, user: int) -> tuple[int, ...]:
        """The channels of a user."""
        return tuple(channel for channel in self.channels if (user, channel) not in self.denied)

    def issue(self, user: int, now: int) -> str:
        """A token for the next dial."""
        while self.tokens and (len(self.tokens) >= MOST_TOKENS or next(iter(self.tokens.values())).expires_at < now - self.parameters.token_ttl):
            del self.tokens[next(iter(self.tokens))]
        secret = secrets.token_urlsafe(24)
        self.tokens[secret] = Token(user, now + self.parameters.token_ttl, self.revisions.get(user, 0))
        return secret

    def accept(self, secret: str, schema: int) -> ConnectionAccepted | None:
        """What a token says; None = it is none of ours."""
        token = self.tokens.get(secret)
        return None if token is None else self.accepted(token.user, schema, token.expires_at, token.revision)

    def accepted(self, user: int, schema: int, expires_at: int, revision: int | None = None) -> ConnectionAccepted:
        """A connection of this user."""
        revoked = self.revisions.get(user, 0)
        return ConnectionAccepted(user, 0, schema, expires_at, revoked if revision is None else revision, revoked, self.allowed(user))

    # ------------------------------------------------------------------------------------------------------------------- logs

    def append(self, correlation: int, channel: int, user: int, key: int, size: int, now: int) -> tuple[AppendSettled, Envelope | None]:
        """Look up the key and append if it is new: one step. The event is None when the first result is repeated."""
        self._forget_keys(now)
        known = self.keys.get((user, key))
        if known is not None:
            first = known[1]
            return AppendSettled(correlation, key, first.event, first.sequence, first.epoch, duplicate=True), None
        event = self._written(channel, user, key, size, now)
        settled = AppendSettled(correlation, key, event.event, event.sequence, event.epoch)
        self.keys[user, key] = now, settled
        return settled, event

    def _written(self, channel: int, user: int, key: int, size: int, now: int) -> Envelope:
        log = self.logs[channel]
        log.epoch = log.epoch or 1
        log.top += 1
        self.last_event += 1
        event = Envelope(channel, log.top, log.epoch, self.last_event, MESSAGE, now, user, size, key)
        log.events.append(event)
        del log.events[: -self.retention]
        return event

    def _forget_keys(self, now: int) -> None:
        while self.keys:
            oldest = next(iter(self.keys))
            if len(self.keys) < MOST_KEYS and self.keys[oldest][0] > now - self.parameters.idempotency_window:
                return
            del self.keys[oldest]

    def read(self, channel: int, ticket: int, after: int, limit: int) -> LogRead:
        """Where a channel stands, and the events after a cursor that can still be had."""
        log = self.logs[channel]
        events = log.after(after, limit) if limit > 0 and after + 1 >= log.floor else ()
        return LogRead(channel, ticket, log.epoch, log.top, log.floor, events)

    def replay(self, channel: int, epoch: int, after: int, limit: int, ticket: int = 0) -> ReplayReady:
        """One page of what follows a cursor: whole, or truncated."""
        log = self.logs[channel]
        most = self.parameters.page_events
        if not recoverable(after, epoch, log.top, log.epoch, log.floor, self.retention):
            return ReplayReady(ticket, channel, log.epoch, (), log.top, truncated=True)
        events = log.after(after, max(1, min(limit, most)))
        return ReplayReady(ticket, channel, log.epoch, events, log.top, more=bool(events) and events[-1].sequence < log.top)

    def snapshot(self, channel: int, ticket: int = 0) -> SnapshotReady:
        """The state of a channel as of its top."""
        log = self.logs[channel]
        return SnapshotReady(ticket, channel, log.epoch, log.top, sum(event.size for event in log.events))

    def truncate(self, channel: int, keep: int) -> None:
        """Retention passes all but the newest events."""
        log = self.logs[channel]
        log.events = log.events[len(log.events) - keep :]

    def recreate(self, channel: int) -> None:
        """The log is lost: its next incarnation begins at 1."""
        self.logs[channel] = Log(self.logs[channel].epoch + 1)
