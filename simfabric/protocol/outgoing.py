"""Outgoing: the bounded buffer between a gateway and one connection.

A slow socket delays nobody else and costs bounded memory. Above the soft bound transients are dropped; above the hard one a durable
event is not sent and its channel is dirty: nothing more of it is sent until the buffer has room again, and then `channel.resync` says
what to fetch. A buffer that stays full longer than the grace ends the connection. Control frames have a reserve above the hard bound.

Transients have a bound in time, too: so many in a window, then only the newest of each channel, type and user waits for the next one.

What goes out is what a peer of the agreed version knows, and so are the bytes that are counted. A durable event of a type that it cannot
know goes as a hole by design; a transient one does not go at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simfabric.protocol import frames
from simfabric.protocol.codec import adapted, wire_size
from simfabric.protocol.effects import Count, GatewayEffect, SendFrame
from simfabric.protocol.frames import Envelope, Frame, knows
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.queues import CLOSE, DROP, NEVER, RESYNC, SEND, slow_consumer

WINDOW = 1_000_000_000  # Of the bound on transients [ns].
MOST_TRANSIENTS = 50  # In one window: what a person can see.


@dataclass(slots=True)
class Dirty:
    """A channel of which durable events were not sent."""

    epoch: int
    top: int


class Outgoing:
    """Everything that a session sends goes through here; effects are appended to the list that is handed in."""

    def __init__(self, connection: int, parameters: Parameters) -> None:
        self.connection = connection
        self.parameters = parameters
        self.user = -1
        self.schema = parameters.schema_current  # Agreed with this peer.
        self.buffered = 0  # Bytes that the transport has not taken.
        self.over_since = NEVER  # Since when durable events do not fit.
        self.dirty: dict[int, Dirty] = {}
        self.window_start = NEVER
        self.window_count = 0
        self.waiting: dict[tuple[int, int, int], Envelope] = {}  # Transients for the next window.

    def control(self, frame: Frame, effects: list[GatewayEffect]) -> int:
        """A frame that cannot be left out: SEND, or CLOSE when not even the reserve has room."""
        frame = adapted(frame, self.schema)
        if self.buffered + wire_size(frame) > self.parameters.out_buffer + self.parameters.max_frame:
            return CLOSE
        self._write(frame, effects)
        return SEND

    def event(self, envelope: Envelope, now: int, effects: list[GatewayEffect]) -> int:
        """A durable event: SEND, RESYNC or CLOSE. Only its author's connections see the key."""
        if envelope.client_message_id >= 0 and envelope.user != self.user:
            envelope = replace(envelope, client_message_id=-1)
        frame = adapted(envelope, self.schema)
        dirty = self.dirty.get(envelope.channel)
        over_for = now - self.over_since if self.over_since != NEVER else 0
        verdict = RESYNC
        if dirty is None or over_for > self.parameters.slow_grace:
            verdict = self._verdict(frame, False, over_for)
        if verdict == SEND and dirty is None:
            self._write(frame, effects)
        elif verdict == RESYNC:
            self._soil(envelope.channel, envelope.epoch, envelope.sequence, now)
            effects.append(Count("durable_dropped"))
        return verdict

    def transient(self, envelope: Envelope, now: int, effects: list[GatewayEffect]) -> None:
        """A transient event: sent, made to wait for the next window, or dropped."""
        if not knows(self.schema, envelope.type):
            effects.append(Count("transient_unknown"))
            return
        if self.window_start == NEVER or now >= self.window_start + WINDOW:
            self._open_window(now, effects)
        key = (envelope.channel, envelope.type, envelope.user)
        if self.window_count >= MOST_TRANSIENTS or key in self.waiting:
            known = self.waiting.get(key)
            if known is None or known.ts <= envelope.ts:
                self.waiting[key] = envelope
            if len(self.waiting) > MOST_TRANSIENTS:
                del self.waiting[next(iter(self.waiting))]
            effects.append(Count("transient_coalesced"))
            return
        self._transient_now(envelope, effects)

    def next_window(self) -> int:
        """When the transients that wait may go [ns], or NEVER."""
        return self.window_start + WINDOW if self.waiting else NEVER

    def window_over(self, now: int, effects: list[GatewayEffect]) -> None:
        """The timer of `next_window`."""
        self._open_window(now, effects)

    def written(self, size: int, effects: list[GatewayEffect]) -> None:
        """The transport took this much; once below the soft bound, what was left out is named."""
        self.buffered = max(0, self.buffered - max(0, size))
        if self.buffered > self.parameters.out_soft_bytes:
            return
        self.over_since = NEVER
        dirty, self.dirty = self.dirty, {}
        for channel, place in dirty.items():
            self._write(frames.ChannelResync(channel, place.epoch, place.top, "slow"), effects)

    def too_slow_at(self) -> int:
        """When the connection has been too slow for too long [ns], or NEVER."""
        return NEVER if self.over_since == NEVER else self.over_since + self.parameters.slow_grace + 1

    def forget(self, channel: int) -> None:
        """Nothing of this channel may go out any more."""
        self.dirty.pop(channel, None)
        self.waiting = {key: envelope for key, envelope in self.waiting.items() if key[0] != channel}

    def _open_window(self, now: int, effects: list[GatewayEffect]) -> None:
        self.window_start, self.window_count = now, 0
        waiting, self.waiting = self.waiting, {}
        for envelope in waiting.values():
            self._transient_now(envelope, effects)

    def _transient_now(self, envelope: Envelope, effects: list[GatewayEffect]) -> None:
        frame = adapted(envelope, self.schema)
        if self._verdict(frame, True, 0) == DROP:
            effects.append(Count("transient_dropped"))
            return
        self.window_count += 1
        self._write(frame, effects)

    def _verdict(self, frame: Frame, transient: bool, over_for: int) -> int:
        parameters = self.parameters
        size = wire_size(frame)
        return slow_consumer(self.buffered, size, parameters.out_soft_bytes, parameters.out_buffer, transient, over_for, parameters.slow_grace)

    def _soil(self, channel: int, epoch: int, sequence: int, now: int) -> None:
        if self.over_since == NEVER:
            self.over_since = now
        known = self.dirty.get(channel)
        if known is None or epoch > known.epoch:
            self.dirty[channel] = Dirty(epoch, sequence)
        elif epoch == known.epoch:
            known.top = max(known.top, sequence)

    def _write(self, frame: Frame, effects: list[GatewayEffect]) -> None:
        self.buffered += wire_size(frame)
        effects.append(SendFrame(self.connection, frame))
