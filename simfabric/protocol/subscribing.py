"""Subscribing: the channels of one connection at a gateway.

In the only order that loses nothing: hold live events, make the route visible, read the log, merge, prove that there is no hole, reply,
let the held events go. With a hole the log is read once more, then the reply says `recovered=false`. Afterwards events are passed on as
they come; the position check finds the ones that did not.

A route is of one connection and channel, so `MakeRoute` for one that is there asks for a `RouteReady` only. Answers carry the ticket of
their step, and those of an older step are ignored. Methods that send answer CLOSE when the connection is too slow to be kept, else SEND.
"""

from __future__ import annotations

from simfabric.protocol import frames, inputs
from simfabric.protocol.effects import Count, DropRoute, GatewayEffect, MakeRoute, ReadLog
from simfabric.protocol.frames import Envelope
from simfabric.protocol.merging import ON, READING, ROUTING, Subscription, merge, remember
from simfabric.protocol.outgoing import Outgoing
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.queues import CLOSE, SEND

READS = 2  # Of the log for one subscribe.


class Subscriptions:
    """The channels that a connection has, or is about to have."""

    def __init__(self, parameters: Parameters, out: Outgoing) -> None:
        self.parameters = parameters
        self.out = out
        self.channels: dict[int, Subscription] = {}
        self.tickets = 0

    def start(self, correlation: int, channel: int, epoch: int, sequence: int, effects: list[GatewayEffect]) -> None:
        """From now on the channel's events are held; a subscription that was there begins anew."""
        self.out.forget(channel)
        self.channels[channel] = Subscription(channel, correlation, self._ticket(), epoch, sequence)
        effects.append(MakeRoute(channel, self.tickets))

    def leave(self, channel: int, effects: list[GatewayEffect]) -> None:
        """Nothing of the channel goes out any more."""
        if self.channels.pop(channel, None) is not None:
            self.out.forget(channel)
            effects.append(DropRoute(channel))

    def clear(self, effects: list[GatewayEffect]) -> None:
        """Leave all channels."""
        for channel in tuple(self.channels):
            self.leave(channel, effects)

    def route_ready(self, ready: inputs.RouteReady, effects: list[GatewayEffect]) -> None:
        """Every publisher sees the route: what the log does not have by now will be held."""
        subscription = self._waiting(ready.channel, ready.ticket, ROUTING, effects)
        if subscription is not None:
            self._read(subscription, effects)

    def log_read(self, read: inputs.LogRead, now: int, effects: list[GatewayEffect]) -> int:
        """The log answered: reply if that leaves no hole."""
        subscription = self._waiting(read.channel, read.ticket, READING, effects)
        if subscription is None:
            return SEND
        merged = merge(subscription.cursor_epoch, subscription.cursor, read, subscription.held, self.parameters)
        whole = merged.whole and not subscription.overflowed
        if not whole and subscription.reads < READS:
            subscription.overflowed = False
            self._read(subscription, effects)
            return SEND
        recovered = merged.recovered and whole
        events = merged.events if recovered else ()
        subscription.answered(read.epoch, read.top)
        reply = frames.Subscribed(subscription.correlation, read.channel, read.epoch, read.top, read.floor, recovered, events)
        if self.out.control(reply, effects) == CLOSE:
            return CLOSE
        return self._forward_all(subscription, (*merged.rest, *_dots(subscription, read)), now, effects)

    def routed(self, envelope: Envelope, now: int, effects: list[GatewayEffect]) -> int:
        """A live event: held or passed on."""
        subscription = self.channels.get(envelope.channel)
        if subscription is None:
            effects.append(Count("unrouted"))
        elif subscription.state == ON:
            return self._forward(subscription, envelope, now, effects)
        else:
            subscription.hold(envelope, self.parameters.out_buffer)
        return SEND

    def position(self, checked: inputs.PositionChecked, now: int, effects: list[GatewayEffect]) -> int:
        """Compare the log with what came by fan-out; if it is ahead, push the range, or say that it must be fetched."""
        subscription = self.channels.get(checked.channel)
        if subscription is None or subscription.state != ON or checked.epoch < subscription.epoch:
            return SEND
        continues = subscription.epoch in (0, checked.epoch)
        sent = subscription.sent if continues else 0
        if continues and checked.top <= sent:
            return SEND
        missing = tuple(event for event in checked.events if event.epoch == checked.epoch and sent < event.sequence <= checked.top)
        if continues and len(missing) == checked.top - sent and all(event.sequence == sent + 1 + at for at, event in enumerate(missing)):
            return self._forward_all(subscription, missing, now, effects)
        subscription.answered(checked.epoch, checked.top)
        subscription.base = 0
        return self.out.control(frames.ChannelResync(checked.channel, checked.epoch, checked.top, "position"), effects)

    def changed_tops(self) -> tuple[tuple[int, int, int], ...]:
        """Channels whose top changed since it was last said."""
        changed = []
        for channel, subscription in self.channels.items():
            place = (subscription.epoch, subscription.sent)
            if subscription.state == ON and subscription.announced != place:
                subscription.announced = place
                changed.append((channel, *place))
        return tuple(changed)

    def _read(self, subscription: Subscription, effects: list[GatewayEffect]) -> None:
        subscription.state = READING
        subscription.reads += 1
        subscription.ticket = self._ticket()
        limit = self.parameters.inline_recovery if subscription.cursor >= 0 else 0
        effects.append(ReadLog(subscription.channel, subscription.ticket, subscription.cursor, limit))

    def _forward_all(self, subscription: Subscription, envelopes: tuple[Envelope, ...], now: int, effects: list[GatewayEffect]) -> int:
        for envelope in envelopes:
            if self._forward(subscription, envelope, now, effects) == CLOSE:
                return CLOSE
        return SEND

    def _forward(self, subscription: Subscription, envelope: Envelope, now: int, effects: list[GatewayEffect]) -> int:
        """An event of a live channel; what the reply covered is not said twice, and an old incarnation not at all."""
        if envelope.sequence == 0:
            self.out.transient(envelope, now, effects)
            return SEND
        if envelope.epoch < subscription.epoch or (envelope.epoch == subscription.epoch and envelope.sequence <= subscription.base):
            effects.append(Count("covered"))
            return SEND
        if envelope.epoch > subscription.epoch:
            subscription.epoch, subscription.base, subscription.sent = envelope.epoch, 0, 0
        subscription.sent = max(subscription.sent, envelope.sequence)
        return self.out.event(envelope, now, effects)

    def _waiting(self, channel: int, ticket: int, state: int, effects: list[GatewayEffect]) -> Subscription | None:
        """The subscription that waits for this answer; an answer of an older step, or of a channel that was left, is ignored."""
        subscription = self.channels.get(channel)
        if subscription is None or subscription.state != state or subscription.ticket != ticket:
            effects.append(Count("stale"))
            return None
        return subscription

    def _ticket(self) -> int:
        self.tickets += 1
        return self.tickets


def _dots(subscription: Subscription, read: inputs.LogRead) -> tuple[Envelope, ...]:
    """One batch of the newest transients: they are not replayed."""
    for envelope in read.presence:
        remember(subscription.latest, envelope)
    latest, subscription.latest = subscription.latest, {}
    return tuple(envelope for envelope in latest.values() if envelope.sequence == 0)
