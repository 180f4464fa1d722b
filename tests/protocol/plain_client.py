"""A plain client: the least that is right. No queue, no tabs, no fallback, one wait for everything; only cursors, held events and recovery.

It shows what a gateway alone promises: where this client and the real one both fail, the gateway is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from simfabric.protocol import frames, inputs, rules
from simfabric.protocol.effects import (
    ChannelReset,
    ClientEffect,
    Deliver,
    FetchBootstrap,
    FetchReplay,
    FetchSnapshot,
    FetchToken,
    OpenTransport,
    PublishSettled,
    SendFrame,
)
from simfabric.protocol.effects import CloseTransport as Close
from simfabric.protocol.frames import Envelope
from simfabric.protocol.parameters import Parameters

SECOND = 1_000_000_000
NEVER = 2**62


@dataclass
class Channel:
    """Where the user stands in a channel."""

    epoch: int = 0
    sequence: int = -1
    held: dict[tuple[int, int], Envelope] = field(default_factory=dict)
    answered: bool = False  # `subscribed` has come on this connection.
    ticket: int = 0  # Of the fetch under way, 0 = none.
    retry_at: int = NEVER  # A fetch failed.
    gap_at: int = NEVER
    denied: bool = False


class PlainClient:
    """The same three calls as the real one."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.channels: dict[int, Channel] = {}
        self.generation = 0
        self.open = self.started = False
        self.ticket = 0
        self.dial_at = self.dead_at = self.resend_at = NEVER
        self.outbox: dict[int, inputs.PublishRequested] = {}
        self.effects: list[ClientEffect] = []

    def handle(self, happened: inputs.ClientInput, now: int) -> list[ClientEffect]:
        self.effects = []
        self.now = now
        method = getattr(self, "on_" + re.sub(r"(?<!^)(?=[A-Z])", "_", type(happened).__name__).lower(), None)  # ReplayReady -> on_replay_ready
        if method is not None:
            method(happened)
        return self.effects

    def next_deadline(self) -> int | None:
        deadlines = [self.dial_at, self.dead_at, self.resend_at]
        deadlines += [at for channel in self.channels.values() for at in (channel.gap_at, channel.retry_at)]
        return min(deadlines) if min(deadlines) < NEVER else None

    def handle_timers(self, now: int) -> list[ClientEffect]:
        self.effects = []
        self.now = now
        if self.dead_at <= now:
            self.effects.append(Close(self.generation, 4000))
            self.lost()
        if self.dial_at <= now:
            self.dial()
        if self.resend_at <= now:
            self.resend()
        for number, channel in self.channels.items():
            if min(channel.gap_at, channel.retry_at) <= now:
                self.replay(number, channel)
        return self.effects

    # ------------------------------------------------------------------------------------------------------------------- connection

    def dial(self) -> None:
        self.dial_at = NEVER
        self.dead_at = self.now + 40 * SECOND
        self.ticket += 1
        self.stage = self.ticket
        self.effects.append(FetchBootstrap(self.ticket))

    def lost(self) -> None:
        self.open = False
        self.generation += 1
        self.dead_at = NEVER
        self.dial_at = self.now + SECOND

    def on_connect_requested(self, happened: inputs.ConnectRequested) -> None:
        self.started = True
        self.dial()

    def on_bootstrapped(self, happened: inputs.Bootstrapped) -> None:
        if happened.ticket == self.stage:
            self.effects.append(FetchToken(happened.ticket))

    def on_token_ready(self, happened: inputs.TokenReady) -> None:
        if happened.ticket == self.stage:
            self.generation += 1
            self.effects.append(OpenTransport(self.generation, inputs.WEBSOCKET))

    def on_transport_opened(self, happened: inputs.TransportOpened) -> None:
        if happened.generation != self.generation:
            self.effects.append(Close(happened.generation, 4001))
            return
        self.open = True
        for number, channel in self.channels.items():
            channel.answered = False
            self.subscribe(number, channel)
        self.resend()

    def on_transport_closed(self, happened: inputs.TransportClosed) -> None:
        if happened.generation == self.generation:
            self.lost()

    def subscribe(self, number: int, channel: Channel) -> None:
        if self.open and not channel.denied:
            self.send(frames.Subscribe(number, ((number, channel.epoch, channel.sequence),)))

    def send(self, frame: frames.Frame) -> None:
        self.effects.append(SendFrame(self.generation, frame))

    def on_fetch_failed(self, happened: inputs.FetchFailed) -> None:
        if happened.kind in (inputs.BOOTSTRAP, inputs.TOKEN):
            if happened.ticket == self.stage and not self.open:
                self.lost()
            return
        channel = self.channels[happened.channel]
        if channel.ticket == happened.ticket:
            channel.ticket = 0
            channel.retry_at = self.now + SECOND

    def on_publish_requested(self, happened: inputs.PublishRequested) -> None:
        self.outbox[happened.client_message_id] = happened
        if self.open and self.resend_at == NEVER:
            self.say(happened)

    def say(self, wish: inputs.PublishRequested) -> None:
        self.send(frames.MessageSend(wish.client_message_id, wish.channel, wish.client_message_id, wish.size))

    def resend(self) -> None:
        self.resend_at = NEVER
        for wish in self.outbox.values() if self.open else ():
            self.say(wish)

    # ----------------------------------------------------------------------------------------------------------------------- channels

    def on_subscribe_wanted(self, happened: inputs.SubscribeWanted) -> None:
        channel = self.channels.setdefault(happened.channel, Channel())
        self.subscribe(happened.channel, channel)

    def on_frame_received(self, happened: inputs.FrameReceived) -> None:
        if happened.generation != self.generation:
            return
        self.dead_at = self.now + self.parameters.heartbeat_interval + self.parameters.heartbeat_timeout
        frame = happened.frame
        match frame:
            case frames.Subscribed():
                self.subscribed(frame, self.channels[frame.channel])
            case Envelope() if frame.sequence > 0:
                channel = self.channels[frame.channel]
                channel.held[frame.epoch, frame.sequence] = frame
                self.settle(frame.channel, channel)
            case frames.Ping():
                self.send(frames.Pong(frame.t))
                for number, epoch, top in frame.tops:
                    self.ahead(number, epoch, top)
            case frames.ChannelResync():
                self.ahead(frame.channel, frame.epoch, frame.top)
            case frames.ErrorFrame():
                self.refused(frame)
            case frames.MessageAck():
                if self.outbox.pop(frame.client_message_id, None) is not None:
                    self.effects.append(PublishSettled(frame.client_message_id, "sent"))
            case frames.ChannelAccessRevoked():
                self.channels.pop(frame.channel, None)

    def refused(self, error: frames.ErrorFrame) -> None:
        if error.correlation in self.outbox and error.retry_after >= 0:
            self.resend_at = self.now + max(1, error.retry_after)
        elif error.error == frames.NOT_AUTHORIZED and error.channel in self.channels:
            self.channels[error.channel].denied = True

    def ahead(self, number: int, epoch: int, top: int) -> None:
        channel = self.channels.get(number)
        if channel is not None and (epoch != channel.epoch or top > channel.sequence):
            self.replay(number, channel)

    def subscribed(self, reply: frames.Subscribed, channel: Channel) -> None:
        channel.answered = True
        verdict = rules.sub_verdict(channel.sequence, channel.epoch, reply.top, reply.epoch, reply.floor)
        if not reply.recovered or verdict in (rules.RESET, rules.AHEAD):
            self.snapshot(reply.channel, channel)
        elif verdict == rules.LIVE_ONLY:
            channel.epoch, channel.sequence = reply.epoch, reply.top
        elif verdict == rules.BEHIND and not reply.events:
            self.replay(reply.channel, channel)
        for event in reply.events:
            channel.held[event.epoch, event.sequence] = event
        self.settle(reply.channel, channel)

    def settle(self, number: int, channel: Channel) -> None:
        """Show what joins on; what does not waits, and then asks for what is between."""
        if not channel.answered or channel.sequence < 0:
            return
        for place in sorted(channel.held):
            event = channel.held[place]
            verdict = rules.classify(event.sequence, event.epoch, channel.sequence, channel.epoch)
            if verdict in (rules.DELIVER, rules.DUPLICATE):
                del channel.held[place]
            if verdict == rules.DELIVER:
                channel.epoch, channel.sequence = event.epoch, event.sequence
                self.effects.append(Deliver(number, (event,)))
        channel.gap_at = NEVER if not channel.held or channel.ticket else min(channel.gap_at, self.now + self.parameters.gap_wait)

    def replay(self, number: int, channel: Channel) -> None:
        channel.gap_at = channel.retry_at = NEVER
        if channel.sequence < 0 or any(epoch != channel.epoch for epoch, _ in channel.held):
            self.snapshot(number, channel)
            return
        self.ticket += 1
        channel.ticket = self.ticket
        self.effects.append(FetchReplay(self.ticket, number, channel.epoch, channel.sequence, self.parameters.page_events))

    def snapshot(self, number: int, channel: Channel) -> None:
        channel.gap_at = channel.retry_at = NEVER
        self.ticket += 1
        channel.ticket = self.ticket
        self.effects.append(FetchSnapshot(self.ticket, number))

    def on_replay_ready(self, page: inputs.ReplayReady) -> None:
        channel = self.channels.get(page.channel)
        if channel is None or channel.ticket != page.ticket:
            return
        channel.ticket = 0
        before = channel.sequence
        channel.answered = True
        if page.truncated or (channel.epoch and page.epoch != channel.epoch):
            self.snapshot(page.channel, channel)
            return
        for event in page.events:
            channel.held[event.epoch, event.sequence] = event
        self.settle(page.channel, channel)
        if page.top > channel.sequence:
            if channel.sequence > before:
                self.replay(page.channel, channel)
            else:
                self.snapshot(page.channel, channel)

    def on_snapshot_ready(self, state: inputs.SnapshotReady) -> None:
        channel = self.channels.get(state.channel)
        if channel is None or channel.ticket != state.ticket:
            return
        channel.ticket = 0
        channel.answered = True
        if state.epoch < channel.epoch or (state.epoch == channel.epoch and state.sequence < channel.sequence):
            channel.retry_at = self.now + SECOND
            return
        channel.epoch, channel.sequence = state.epoch, state.sequence
        channel.held = {place: event for place, event in channel.held.items() if place > (state.epoch, state.sequence)}
        self.effects.append(ChannelReset(state.channel, state.epoch, state.sequence, "snapshot"))
        self.settle(state.channel, channel)
