"""Backend: what outlives a connection, in memory: users and their channels, tokens, the channels' logs, keys of publications.

It is the service behind the gateways in one object, small and exact; capacity, delay and loss of a real one are the simulator's subject.
Events are the idea of a payload: a kind and a size.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.frames import Envelope
from simfabric.protocol.inputs import AppendSettled, ConnectionAccepted, LogRead, ReplayReady, SnapshotReady
from simfabric.protocol.parameters import Parameters

MOST_TOKENS = 10_000


@dataclass(slots=True)
class Token:
    """A right to dial: whose it is, until when, and under which revocation version it was given."""

    user: int
    expires_at: int
    revision: int


class Backend:
    """The state of the service. Every user may read and write `channels` until it is taken away."""

    def __init__(self, channels: tuple[int, ...], parameters: Parameters | None = None, retention: int = 10_000) -> None:
        self.parameters = parameters or Parameters()
        self.channels = channels
        self.logs = {channel: ChannelLog(channel, retention, window=self.parameters.idempotency_window) for channel in channels}
        self.denied: set[tuple[int, int]] = set()  # (user, channel).
        self.revisions: dict[int, int] = {}  # Per user: the least revocation version that is still good.
        self.tokens: dict[str, Token] = {}

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
        event, known = self.logs[channel].append(user, key, size, now)
        return AppendSettled(correlation, key, event.event, event.sequence, event.epoch, known), None if known else event

    def read(self, channel: int, ticket: int, after: int, limit: int) -> LogRead:
        """Where a channel stands, and the events after a cursor that can still be had."""
        page = self.logs[channel].read(max(after, 0), limit)
        return LogRead(channel, ticket, page.epoch, page.top, page.floor, page.events if limit > 0 else ())

    def replay(self, channel: int, epoch: int, after: int, limit: int, ticket: int = 0) -> ReplayReady:
        """One page of what follows a cursor: whole, or truncated."""
        page = self.logs[channel].read(after, max(1, min(limit, self.parameters.page_events)), epoch, self.parameters.page_bytes)
        return ReplayReady(ticket, channel, page.epoch, page.events, page.top, page.more, page.truncated)

    def snapshot(self, channel: int, ticket: int = 0) -> SnapshotReady:
        """The state of a channel as of its top."""
        log = self.logs[channel]
        return SnapshotReady(ticket, channel, log.epoch, log.top, sum(event.size for event in log.events))
