"""Gateway: the gateway's half of every connection, over one backend, without any socket.

It carries out what sessions ask for, in order: frames go to the connection's sink, reads and appends to the backend, events of a channel to
every connection with a route. Who drives it hands in the time, reads the next deadline after each call, and may be an event loop or a
simulator. A drain closes the connections there are; new ones are accepted all along, as the next gateway would.

    sink ◀── frames ── session ── reads, appends ──▶ backend
         ── frames ──▶         ◀── positions, events ──
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from simfabric.live.backend import Backend
from simfabric.protocol import effects, inputs
from simfabric.protocol.frames import Envelope, Frame
from simfabric.protocol.limits import Limits
from simfabric.protocol.server import GatewaySession

NUMBER = 1  # Of the gateway: there is one.


class Sink(Protocol):
    """The client's side of a connection."""

    def send(self, frame: Frame) -> None:
        """Write one frame."""

    def close(self, effect: effects.CloseTransport) -> None:
        """Close it with a code and a reason."""


class Session(Protocol):
    """What is driven."""

    def handle(self, given: Any, now: int) -> list[Any]:
        """What must be done about an input."""

    def next_deadline(self) -> int | None:
        """When the next timer is due [ns]; None = never."""

    def handle_timers(self, now: int) -> list[Any]:
        """What must be done about the timers that are due."""


@dataclass(slots=True)
class Connection:
    """One connection."""

    number: int
    user: int
    kind: int
    session: Session
    sink: Sink
    routes: set[int] = field(default_factory=set)  # Channels; asked for membership only.


class Gateway:
    """The connections of one gateway. `new_session` makes the session of a connection number and a kind of transport; the number is also the
    transport's generation. `watch` sees every effect.
    """

    def __init__(self, backend: Backend, new_session: Callable[[int, int], Session], watch: Callable[[int, Any], None] = lambda number, effect: None) -> None:
        self.backend = backend
        self.new_session = new_session
        self.watch = watch
        self.connections: dict[int, Connection] = {}  # In order of arrival.
        self.last_number = 0
        self.counts: dict[str, int] = {}  # Of what sessions counted, and of faults by law.
        self.due: list[tuple[int, int]] = []  # Heap of (deadline, connection); stale ones are skipped.
        self.position_at: int | None = None
        self.routed: dict[int, tuple[int, int]] = {}  # Per channel: (epoch, sequence) of the newest event that came by fan-out.
        self.todo: deque[tuple[int, Any]] = deque()
        self.busy = False
        self.carriers: dict[type, Callable[[Connection, Any, int], None]] = {
            effects.SendFrame: lambda connection, effect, now: connection.sink.send(effect.frame),
            effects.CloseTransport: self._close,
            effects.MakeRoute: self._make_route,
            effects.DropRoute: lambda connection, effect, now: connection.routes.discard(effect.channel),
            effects.ReadLog: self._read,
            effects.Append: self._append,
            effects.Announce: self._announce,
            effects.Fault: lambda connection, effect, now: self._count(f"fault: {effect.law}", 1),
            effects.Count: lambda connection, effect, now: self._count(effect.name, effect.amount),
        }

    @classmethod
    def of(cls, backend: Backend, seed: int = 0) -> Gateway:
        """A gateway with the protocol's sessions and one set of limits."""
        limits = Limits(backend.parameters)
        return cls(backend, lambda number, kind: GatewaySession(number, NUMBER, backend.parameters, limits, seed, kind=kind))

    # ------------------------------------------------------------------------------------------------------------------ calls

    def connect(self, sink: Sink, accepted: inputs.ConnectionAccepted, now: int, kind: int = inputs.WEBSOCKET) -> int:
        """A transport arrived; returns the number of the connection."""
        self.last_number += 1
        self.connections[self.last_number] = Connection(self.last_number, accepted.user, kind, self.new_session(self.last_number, kind), sink)
        if self.position_at is None:
            self.position_at = now + self.backend.parameters.position_check
        self._give(self.last_number, accepted, now)
        return self.last_number

    def receive(self, number: int, frame: Frame, size: int, now: int) -> None:
        """A frame arrived."""
        self._give(number, inputs.FrameReceived(number, frame, size), now)

    def written(self, number: int, size: int, now: int) -> None:
        """The transport took this much of what was sent."""
        self._give(number, inputs.BufferWritten(size), now)

    def disconnected(self, number: int, code: int, now: int) -> None:
        """The transport is gone."""
        self._give(number, inputs.TransportClosed(number, code), now)
        self.connections.pop(number, None)

    def drain(self, retry_after: int, spread: int, deadline: int, now: int) -> None:
        """Ask everybody who is here to move."""
        for number in tuple(self.connections):
            self._give(number, inputs.DrainStarted(retry_after, spread, deadline), now)

    def revoke_user(self, user: int, now: int) -> None:
        """The user may no longer be connected, nor dial with a token that was given before."""
        self.backend.revisions[user] = self.backend.revisions.get(user, 0) + 1
        self._give_user(user, inputs.UserRevoked(), now)

    def revoke_access(self, user: int, channel: int, now: int) -> None:
        """The user may no longer read or write the channel."""
        self.backend.denied.add((user, channel))
        self._give_user(user, inputs.AccessRevoked(channel), now)

    def grant_access(self, user: int, channel: int, now: int) -> None:
        """The user may again."""
        self.backend.denied.discard((user, channel))
        self._give_user(user, inputs.AccessGranted(channel), now)

    def publish(self, channel: int, user: int, key: int, size: int, now: int) -> None:
        """A publication that came by another gateway."""
        _, event = self.backend.append(0, channel, user, key, size, now)
        if event is not None:
            self.route(event, now)

    def route(self, event: Envelope, now: int) -> None:
        """An event reached this gateway: it goes to every connection with a route."""
        if event.sequence:
            self.routed[event.channel] = max(self.routed.get(event.channel, (0, 0)), (event.epoch, event.sequence))
        for number, connection in tuple(self.connections.items()):
            if event.channel in connection.routes:
                self._give(number, inputs.EventRouted(event), now)

    def next_deadline(self) -> int | None:
        """When `handle_timers` is due next."""
        while self.due and self._deadline(self.due[0][1]) != self.due[0][0]:
            heapq.heappop(self.due)
        deadlines = [at for at in (self.due[0][0] if self.due else None, self.position_at) if at is not None]
        return min(deadlines) if deadlines else None

    def handle_timers(self, now: int) -> None:
        """What is due: connections by (deadline, number), then the check of positions."""
        while True:
            at = self.next_deadline()
            if at is None or at > now:
                return
            if self.due and self.due[0][0] == at:
                _, number = heapq.heappop(self.due)
                self._carry(number, self.connections[number].session.handle_timers(now), now)
                self._drain_todo(now)
            else:
                self._check_positions(now)

    # --------------------------------------------------------------------------------------------------------------- sessions

    def _give(self, number: int, given: Any, now: int) -> None:
        """Hand an input to a session, and go on until nothing follows from it. What follows waits for its turn."""
        self.todo.append((number, given))
        self._drain_todo(now)

    def _give_user(self, user: int, given: Any, now: int) -> None:
        for number, connection in tuple(self.connections.items()):
            if connection.user == user:
                self._give(number, given, now)

    def _drain_todo(self, now: int) -> None:
        if self.busy:
            return
        self.busy = True
        try:
            while self.todo:
                number, given = self.todo.popleft()
                if number in self.connections:
                    self._carry(number, self.connections[number].session.handle(given, now), now)
        finally:
            self.busy = False

    def _carry(self, number: int, made: list[Any], now: int) -> None:
        connection = self.connections[number]
        was_busy, self.busy = self.busy, True
        for effect in made:
            self.watch(number, effect)
            self.carriers[type(effect)](connection, effect, now)
        self.busy = was_busy
        at = self._deadline(number)
        if at is not None:
            heapq.heappush(self.due, (at, number))

    def _deadline(self, number: int) -> int | None:
        connection = self.connections.get(number)
        return None if connection is None else connection.session.next_deadline()

    # ---------------------------------------------------------------------------------------------------------------- effects

    def _close(self, connection: Connection, effect: effects.CloseTransport, now: int) -> None:
        connection.routes.clear()
        self.connections.pop(connection.number, None)
        connection.sink.close(effect)

    def _make_route(self, connection: Connection, effect: effects.MakeRoute, now: int) -> None:
        connection.routes.add(effect.channel)
        self.todo.append((connection.number, inputs.RouteReady(effect.channel, effect.ticket)))

    def _read(self, connection: Connection, effect: effects.ReadLog, now: int) -> None:
        self.todo.append((connection.number, self.backend.read(effect.channel, effect.ticket, effect.after, effect.limit)))

    def _append(self, connection: Connection, effect: effects.Append, now: int) -> None:
        settled, event = self.backend.append(effect.correlation, effect.channel, effect.user, effect.client_message_id, effect.size, now)
        self.todo.append((connection.number, settled))
        if event is not None:
            self.route(event, now)

    def _announce(self, connection: Connection, effect: effects.Announce, now: int) -> None:
        self.route(Envelope(effect.channel, 0, 0, 0, effect.type, now, effect.user), now)

    def _check_positions(self, now: int) -> None:
        """Once for each channel: what the log has and the fan-out did not bring is handed to every connection with a route."""
        self.position_at = now + self.backend.parameters.position_check if self.connections else None
        for channel in self.backend.channels:
            epoch, sequence = self.routed.get(channel, (0, 0))
            page = self.backend.logs[channel].read(sequence, self.backend.parameters.page_events, epoch)
            checked = inputs.PositionChecked(channel, page.epoch, page.top, page.events)
            self.routed[channel] = max((epoch, sequence), (page.epoch, page.top))
            for number, connection in tuple(self.connections.items()):
                if channel in connection.routes:
                    self._give(number, checked, now)

    def _count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount
