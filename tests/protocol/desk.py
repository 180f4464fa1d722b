"""A desk: one gateway session with a log behind it, whose steps a test takes one by one or lets happen."""

from __future__ import annotations

from simfabric.protocol import frames, inputs
from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.codec import wire_size
from simfabric.protocol.effects import Append, CloseTransport, MakeRoute, ReadLog, SendFrame
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import GatewaySession

SECOND = 1_000_000_000
CONNECTION = 7
USER = 5


class Desk:
    """The session of user 5, tenant 1, who may use channels 0 … 299; channel 3 has a log."""

    def __init__(self, parameters=None, limits=None, opened=True, allowed=range(300), events=0, **settings):
        self.session = GatewaySession(CONNECTION, 2, parameters or Parameters(), limits, **settings)
        self.log = ChannelLog(3)
        self.now = 0
        self.allowed = tuple(allowed)
        for _ in range(events):
            self.append()
        if opened:
            self.open()

    def open(self, schema=2, expires_at=60 * SECOND, revision=0, revoked=0):
        return self.give(inputs.ConnectionAccepted(USER, 1, schema, expires_at, revision, revoked, self.allowed))

    def give(self, happened):
        return self.session.handle(happened, self.now)

    def frame(self, frame, size=0):
        return self.give(inputs.FrameReceived(CONNECTION, frame, size))

    def append(self, user=1, key=-1, size=100):
        return self.log.append(user, key, size, self.now)[0]

    def route(self, envelope):
        return self.give(inputs.EventRouted(envelope))

    def subscribe(self, epoch=0, sequence=-1, channel=3, correlation=1):
        """Ask, and do what the session wants done until it has answered."""
        return self.settle(self.frame(frames.Subscribe(correlation, ((channel, epoch, sequence),))))

    def settle(self, effects):
        done = []
        while effects:
            effect = effects.pop(0)
            done.append(effect)
            if isinstance(effect, MakeRoute):
                effects += self.give(inputs.RouteReady(effect.channel, effect.ticket))
            elif isinstance(effect, ReadLog):
                effects += self.give(self.read(effect))
            elif isinstance(effect, Append):
                effects += self.give(self.appended(effect))
        return done

    def read(self, effect, presence=()):
        log = self.log if effect.channel == 3 else ChannelLog(effect.channel)
        page = log.read(effect.after, effect.limit) if effect.limit else log.read(log.top, 0)
        return inputs.LogRead(effect.channel, effect.ticket, log.epoch, log.top, log.floor, page.events, presence)

    def appended(self, effect):
        event, duplicate = self.log.append(effect.user, effect.client_message_id, effect.size, self.now)
        return inputs.AppendSettled(effect.correlation, effect.client_message_id, event.event, event.sequence, event.epoch, duplicate)

    def write_out(self, effects):
        """The transport takes everything that was sent."""
        return self.give(inputs.BufferWritten(sum(wire_size(frame) for frame in sent(effects))))

    def wait_until(self, now):
        """Time passes; timers fire at their deadlines."""
        effects = []
        while (deadline := self.session.next_deadline()) is not None and deadline <= now:
            self.now = max(deadline, self.now)
            effects += self.session.handle_timers(self.now)
        self.now = now
        return effects


def sent(effects):
    return [effect.frame for effect in effects if isinstance(effect, SendFrame)]


def closes(effects):
    return [effect.code for effect in effects if isinstance(effect, CloseTransport)]


def sequences(effects):
    return [frame.sequence for frame in sent(effects) if isinstance(frame, frames.Envelope)]


def presence(user, ts, channel=3):
    return frames.Envelope(channel, 0, 0, 0, frames.PRESENCE, ts, user, 20, status=1)
