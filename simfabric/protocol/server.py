"""Gateway session: the server's half of one connection, without its sockets.

accepted → open (token, expiry and revocation version checked, `connection.ack` sent) → draining → closed. A driver hands in what
happened, carries out the effects in order, and decides nothing. Permission is checked on every subscribe and every publish. What a
client sends is untrusted: nothing that it can send raises.

Channels are the matter of `subscribing`, publications of `publishing`; what goes out is bounded by `outgoing`, what comes in by `limits`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simfabric.chance import decision_key, uniform
from simfabric.protocol import codes, frames, inputs, rules
from simfabric.protocol.codec import wire_size
from simfabric.protocol.effects import Announce, CloseTransport, Count, Fault, GatewayEffect
from simfabric.protocol.frames import Frame
from simfabric.protocol.inputs import WEBSOCKET, GatewayInput
from simfabric.protocol.limits import TAKEN, Limits
from simfabric.protocol.merging import ON
from simfabric.protocol.outgoing import Outgoing
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.publishing import Publications
from simfabric.protocol.queues import CLOSE, NEVER, TOKEN, bucket
from simfabric.protocol.subscribing import Subscriptions

ACCEPTED, OPEN, DRAINING, CLOSED = range(4)
STATE_NAMES = ("accepted", "open", "draining", "closed")

# Timers, in their order of firing at one instant.
PING, PONG, SLOW, WINDOW, DRAIN = range(5)

LEEWAY = 1_000_000_000  # How late a token may come: clocks of gateways and of the token service differ [ns].
TYPING_GAP = 1_000_000_000  # Between two typing frames of one channel that are passed on [ns].


class GatewaySession:
    """One connection of a gateway. `connection` is unique in the run, and is the generation of its transport."""

    def __init__(
        self,
        connection: int,
        gateway: int,
        parameters: Parameters | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        replication: int = 0,
        kind: int = WEBSOCKET,
    ) -> None:
        self.connection = connection
        self.gateway = gateway
        self.parameters = parameters or Parameters()
        self.limits = limits or Limits(self.parameters)
        self.kind = kind
        self.phase = uniform(decision_key(seed, replication, "gateways/heartbeat"), connection, 0)
        self.state = ACCEPTED
        self.user = self.tenant = -1
        self.allowed: set[int] = set()
        self.publications = Publications(self.parameters)
        self.out = Outgoing(connection, self.parameters)
        self.subscriptions = Subscriptions(self.parameters, self.out)
        self.timers = [NEVER] * 5
        self.drain: inputs.DrainStarted | None = None
        self.early: list[GatewayInput] = []  # What was decided about this connection before it was open.
        self.refusals = (self.parameters.subscribe_burst_user * TOKEN, 0)  # Bucket of refusals that are borne.
        self.typed: dict[int, int] = {}  # Channel -> when its last typing frame was passed on.
        self.effects: list[GatewayEffect] = []

    # --------------------------------------------------------------------------------------------------------------- the three calls

    def handle(self, happened: GatewayInput, now: int) -> list[GatewayEffect]:
        """What is to be done after this."""
        effects = self.effects = []
        kind = type(happened)
        if self.state == ACCEPTED and kind in EARLY:
            self.early.append(happened)
        elif self.state == CLOSED or (self.state == ACCEPTED and kind not in BEFORE_OPEN):
            effects.append(Count("ignored"))
        else:
            HANDLERS[kind](self, happened, now)
        self._arm_outgoing()
        return effects

    def next_deadline(self) -> int | None:
        """When `handle_timers` is to be called."""
        armed = [deadline for deadline in self.timers if deadline != NEVER]
        return min(armed) if armed else None

    def handle_timers(self, now: int) -> list[GatewayEffect]:
        """What is to be done at this time; a timer that is armed meanwhile waits for a later call."""
        effects = self.effects = []
        due = sorted((deadline, timer) for timer, deadline in enumerate(self.timers) if deadline != NEVER and deadline <= now)
        for deadline, timer in due:
            if self.timers[timer] == deadline:
                self.timers[timer] = NEVER
                TIMERS[timer](self, deadline, now)
        self._arm_outgoing()
        return effects

    # ------------------------------------------------------------------------------------------------------------- begin, end, drain

    def _accept(self, accepted: inputs.ConnectionAccepted, now: int) -> None:
        """A browser cannot see a refused upgrade: so the transport is accepted first, and closed with a code that says why."""
        if self.state != ACCEPTED:
            self.effects.append(Count("ignored"))
            return
        parameters = self.parameters
        self.user, self.tenant, self.allowed = accepted.user, accepted.tenant, set(accepted.allowed)
        if accepted.revision < accepted.revoked:
            self._close(codes.REVOKED, "revoked")
        elif now >= accepted.expires_at + LEEWAY:
            self._close(codes.TOKEN_EXPIRED, "token expired")
        elif rules.accepts(accepted.schema, parameters.schema_current, parameters.schema_back) == rules.REFUSE:
            self._close(codes.UPGRADE_REQUIRED, "schema too old")
        else:
            self._open(min(accepted.schema, parameters.schema_current), now)

    def _open(self, schema: int, now: int) -> None:
        parameters = self.parameters
        self.state = OPEN
        self.out.user, self.out.schema = self.user, schema
        session, gateway = (-1, -1) if self.kind == WEBSOCKET else (self.connection, self.gateway)
        interval, timeout = parameters.heartbeat_interval, parameters.heartbeat_timeout
        self._send(frames.ConnectionAck(self.connection, self.user, schema, interval, timeout, parameters.max_channels, session, gateway))
        if parameters.heartbeat_driver == "server":
            self.timers[PING] = rules.ping_at(now, interval, self.phase, True)
        else:
            self.timers[PONG] = rules.hb_deadline(now, interval, timeout)
        early, self.early = self.early, []
        for decision in early:
            HANDLERS[type(decision)](self, decision, now)

    def _start_drain(self, drain: inputs.DrainStarted, now: int) -> None:
        if self.state == OPEN:
            self.state, self.drain = DRAINING, drain
            self.timers[DRAIN] = now + max(1, drain.deadline)
            self._send(frames.Draining(drain.retry_after, drain.spread, drain.deadline))

    def _drained(self, deadline: int, now: int) -> None:
        assert self.drain is not None
        self._close(codes.SERVICE_RESTART, "draining", self.drain.retry_after, self.drain.spread)

    def _revoke(self, revoked: inputs.UserRevoked, now: int) -> None:
        if revoked.reason in (codes.REVOKED, codes.FORBIDDEN):
            self._send(frames.AuthRevoked("revoked"))
        self._close(revoked.reason, "revoked")

    def _transport_closed(self, closed: inputs.TransportClosed, now: int) -> None:
        if closed.generation == self.connection:
            self._forget()
        else:
            self.effects.append(Count("stale"))

    def _close(self, code: int, reason: str, advised: int = -1, spread: int = 0) -> None:
        if self.state != CLOSED:
            self.effects.append(CloseTransport(self.connection, code, reason, advised, spread))
            self._forget()

    def _forget(self) -> None:
        """Nothing more comes in or goes out."""
        self.subscriptions.clear(self.effects)
        self.publications.clear()
        self.timers = [NEVER] * 5
        self.state = CLOSED

    # ------------------------------------------------------------------------------------------------------------------------ frames

    def _frame(self, received: inputs.FrameReceived, now: int) -> None:
        if received.generation != self.connection:
            self.effects.append(Count("stale"))
            return
        if self.parameters.heartbeat_driver == "server":
            self.timers[PONG] = NEVER  # Any byte is a sign of life.
        else:
            self.timers[PONG] = rules.hb_deadline(now, self.parameters.heartbeat_interval, self.parameters.heartbeat_timeout)
        if received.size > self.parameters.max_frame:
            self._close(codes.FRAME_TOO_BIG, "frame too big")
            return
        handler = FRAMES.get(type(received.frame))
        if handler is None:
            self.effects.append(Count("unexpected"))  # A frame that only servers send.
        else:
            handler(self, received.frame, now)

    def _unknown(self, unknown: frames.Unknown, now: int) -> None:
        """A newer client may say more than is known here; what is no frame at all is its fault."""
        if unknown.malformed:
            self.effects.append(Fault("a message is a frame"))
            self._close(codes.INVALID_PAYLOAD, "malformed frame")
        else:
            self.effects.append(Count("unknown"))

    def _ping(self, ping: frames.Ping, now: int) -> None:
        """A client that woke up, or that drives the heartbeat: it gets an answer, and what it may have missed."""
        self._send(frames.Pong(ping.t))
        tops = self.subscriptions.changed_tops()
        if tops:
            self._send(frames.Ping(now, tops))

    def _pong(self, pong: frames.Pong, now: int) -> None:
        """The sign of life was counted already."""

    def _typing(self, typing: frames.TypingSent, now: int) -> None:
        channel = typing.channel
        if channel not in self.subscriptions.channels or now < self.typed.get(channel, -TYPING_GAP) + TYPING_GAP:
            self.effects.append(Count("typing_dropped"))
            return
        self.typed[channel] = now
        self.effects.append(Announce(channel, self.user, frames.TYPING))

    def _publish(self, send: frames.MessageSend, now: int) -> None:
        """Permission, size, buckets, schema; then the log decides, one publication of a channel after the other."""
        parameters = self.parameters
        if send.channel not in self.allowed:
            self._error(send.correlation, frames.NOT_AUTHORIZED, send.channel)
        elif wire_size(send) > parameters.max_frame:
            self._error(send.correlation, frames.TOO_LARGE, send.channel)
        elif self._within(self.limits.publish(self.user, self.tenant, now), send.correlation, send.channel, now):
            if rules.accepts(send.schema, parameters.schema_current, parameters.schema_back) == rules.REFUSE:
                self._close(codes.UPGRADE_REQUIRED, "schema too old")
            elif not self.publications.add(send, self.user, self.effects):
                self._error(send.correlation, frames.UNAVAILABLE, send.channel, parameters.ack_timeout)

    def _appended(self, settled: inputs.AppendSettled, now: int) -> None:
        for answer in self.publications.settle(settled, self.user, self.effects):
            self._send(answer)

    # -------------------------------------------------------------------------------------------------------------------- subscribing

    def _subscribe(self, subscribe: frames.Subscribe, now: int) -> None:
        for channel, epoch, sequence in subscribe.channels:
            if self.state == CLOSED:
                return
            self._subscribe_one(subscribe.correlation, channel, epoch, sequence, now)

    def _subscribe_one(self, correlation: int, channel: int, epoch: int, sequence: int, now: int) -> None:
        known = self.subscriptions.channels
        if self.drain is not None:
            self._error(correlation, frames.UNAVAILABLE, channel, self.drain.retry_after)
        elif channel not in self.allowed:
            self._error(correlation, frames.NOT_AUTHORIZED, channel)
        elif channel not in known and len(known) >= self.parameters.max_channels:
            self._error(correlation, frames.CHANNEL_LIMIT, channel)
        elif self._within(self.limits.subscribe(self.user, self.tenant, now), correlation, channel, now):
            self.subscriptions.start(correlation, channel, epoch, sequence, self.effects)

    def _unsubscribe(self, unsubscribe: frames.Unsubscribe, now: int) -> None:
        self.subscriptions.leave(unsubscribe.channel, self.effects)
        self._send(frames.Unsubscribed(unsubscribe.correlation, unsubscribe.channel))

    def _route_ready(self, ready: inputs.RouteReady, now: int) -> None:
        self.subscriptions.route_ready(ready, self.effects)

    def _log_read(self, read: inputs.LogRead, now: int) -> None:
        self._unless_slow(self.subscriptions.log_read(read, now, self.effects))

    def _routed(self, routed: inputs.EventRouted, now: int) -> None:
        self._unless_slow(self.subscriptions.routed(routed.envelope, now, self.effects))

    def _position(self, checked: inputs.PositionChecked, now: int) -> None:
        self._unless_slow(self.subscriptions.position(checked, now, self.effects))

    def _access_revoked(self, revoked: inputs.AccessRevoked, now: int) -> None:
        channel = revoked.channel
        if channel not in self.allowed:
            return
        self.allowed.discard(channel)
        subscription = self.subscriptions.channels.get(channel)
        if subscription is not None and subscription.state != ON:
            self._error(subscription.correlation, frames.NOT_AUTHORIZED, channel)
        self.subscriptions.leave(channel, self.effects)
        for correlation in self.publications.refuse(channel):
            self._error(correlation, frames.NOT_AUTHORIZED, channel)
        self._send(frames.ChannelAccessRevoked(channel))

    def _access_granted(self, granted: inputs.AccessGranted, now: int) -> None:
        self.allowed.add(granted.channel)

    def _written(self, written: inputs.BufferWritten, now: int) -> None:
        self.out.written(written.size, self.effects)

    # ------------------------------------------------------------------------------------------------------------- timers and sending

    def _ping_due(self, deadline: int, now: int) -> None:
        self.timers[PING] = rules.ping_at(now, self.parameters.heartbeat_interval, 0.0, False)
        if self.timers[PONG] == NEVER:
            self.timers[PONG] = now + self.parameters.heartbeat_timeout
        self._send(frames.Ping(now, self.subscriptions.changed_tops()))

    def _pong_late(self, deadline: int, now: int) -> None:
        """Silence. If this gateway itself was suspended the client may well have answered: ask once more."""
        if rules.hb_verdict(now, deadline, self.parameters.heartbeat_interval) == rules.PROBE:
            self.timers[PONG] = now + self.parameters.heartbeat_timeout
            self._send(frames.Ping(now, self.subscriptions.changed_tops()))
        else:
            self._close(codes.HEARTBEAT_DEAD, "no pong")

    def _too_slow(self, deadline: int, now: int) -> None:
        self._close(codes.SLOW_CONSUMER, "slow consumer")

    def _window_over(self, deadline: int, now: int) -> None:
        self.out.window_over(now, self.effects)

    def _within(self, wait: int, correlation: int, channel: int, now: int) -> bool:
        """Whether a bucket had a token; if not, the request is refused, and who asks on and on is closed."""
        if wait == TAKEN:
            return True
        parameters = self.parameters
        level, last = self.refusals
        level, last, borne = bucket(level, last, now, parameters.subscribe_rate_user, parameters.subscribe_burst_user, 1)
        self.refusals = (level, last)
        if borne:
            self._error(correlation, frames.RATE_LIMITED, channel, max(0, wait))
        else:
            self._close(codes.RATE_EXCEEDED, "rate exceeded", max(0, wait))
        return False

    def _error(self, correlation: int, error: int, channel: int, retry_after: int = -1) -> None:
        self._send(frames.ErrorFrame(correlation, error, channel, retry_after))

    def _send(self, frame: Frame) -> None:
        if self.state != CLOSED:
            self._unless_slow(self.out.control(frame, self.effects))

    def _unless_slow(self, verdict: int) -> None:
        if verdict == CLOSE:
            self._close(codes.SLOW_CONSUMER, "slow consumer")

    def _arm_outgoing(self) -> None:
        """The buffer's own deadlines change with every frame."""
        if self.state != CLOSED:
            self.timers[SLOW] = self.out.too_slow_at()
            self.timers[WINDOW] = self.out.next_window()


Handler = Callable[[GatewaySession, Any, int], None]

BEFORE_OPEN = (inputs.ConnectionAccepted, inputs.TransportClosed, inputs.UserRevoked)
EARLY = (inputs.DrainStarted, inputs.AccessRevoked, inputs.AccessGranted)

HANDLERS: dict[type, Handler] = {
    inputs.ConnectionAccepted: GatewaySession._accept,
    inputs.FrameReceived: GatewaySession._frame,
    inputs.TransportClosed: GatewaySession._transport_closed,
    inputs.RouteReady: GatewaySession._route_ready,
    inputs.LogRead: GatewaySession._log_read,
    inputs.EventRouted: GatewaySession._routed,
    inputs.AppendSettled: GatewaySession._appended,
    inputs.BufferWritten: GatewaySession._written,
    inputs.DrainStarted: GatewaySession._start_drain,
    inputs.UserRevoked: GatewaySession._revoke,
    inputs.AccessRevoked: GatewaySession._access_revoked,
    inputs.AccessGranted: GatewaySession._access_granted,
    inputs.PositionChecked: GatewaySession._position,
}

FRAMES: dict[type, Handler] = {
    frames.Subscribe: GatewaySession._subscribe,
    frames.Unsubscribe: GatewaySession._unsubscribe,
    frames.MessageSend: GatewaySession._publish,
    frames.TypingSent: GatewaySession._typing,
    frames.Ping: GatewaySession._ping,
    frames.Pong: GatewaySession._pong,
    frames.Unknown: GatewaySession._unknown,
}

TIMERS: dict[int, Callable[[GatewaySession, int, int], None]] = {
    PING: GatewaySession._ping_due,
    PONG: GatewaySession._pong_late,
    SLOW: GatewaySession._too_slow,
    WINDOW: GatewaySession._window_over,
    DRAIN: GatewaySession._drained,
}
