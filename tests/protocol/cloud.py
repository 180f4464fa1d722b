"""The cloud: logs, gateways and the network in front of them, in virtual time. What can go wrong with them happens by a call."""

from __future__ import annotations

import abc
import random
from collections.abc import Callable

from simfabric.protocol import effects as do
from simfabric.protocol import inputs
from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.codec import decode, encode, wire_size
from simfabric.protocol.frames import Envelope, Frame
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import CLOSED, GatewaySession
from tests.protocol.network import MILLISECOND, OTHER, USER, Gateway, Link, Shown, VirtualTime, Weather


class Cloud(VirtualTime):
    """Everything but the client, which the pair adds."""

    def __init__(self, parameters: Parameters, seed: int, channels: int, gateways: int, retain: int, wire: bool) -> None:
        super().__init__()
        self.parameters = parameters
        self.random = random.Random(seed)
        self.weather = Weather()
        self.logs = {channel: ChannelLog(channel, retain) for channel in range(channels)}
        self.shown = {channel: Shown(log, {}) for channel, log in self.logs.items()}
        self.gateways = [Gateway(number, self.parameters) for number in range(gateways)]
        self.links: dict[int, Link] = {}  # By connection.
        self.dialled = 0
        self.allowed = list(range(channels))
        self.revision = 0
        self.revoked = 0
        self.schema = 2
        self.wire = wire  # Whether frames go through JSON.
        self.appended: dict[int, list[int]] = {}  # Key of the user's message -> the epochs in which it was appended.
        self.every(self.parameters.position_check, self.check_positions)

    def timer_owners(self) -> list[tuple[int, Callable[[], None]]]:
        """Deadlines of the gateways' sessions, and what to call at them."""
        owners: list[tuple[int, Callable[[], None]]] = []
        for gateway in self.gateways:
            for session in gateway.sessions.values():
                deadline = session.next_deadline()
                if deadline is not None:
                    owners.append((deadline, lambda gateway=gateway, session=session: self.serve(gateway, session, session.handle_timers(self.now))))
        return owners

    @abc.abstractmethod
    def tell(self, happened: inputs.ClientInput) -> None:
        """Something happened to the client."""

    def accept(self, gateway: Gateway, generation: int, kind: int) -> None:
        connection = len(self.links) + 1
        link = self.links[connection] = Link(generation, connection, gateway.number)
        session = GatewaySession(connection, gateway.number, self.parameters, gateway.limits, seed=3, kind=kind)
        gateway.sessions[connection] = session
        self.downstream(link, lambda: self.tell(inputs.TransportOpened(generation)))
        accepted = inputs.ConnectionAccepted(USER, 1, self.schema, self.now + self.parameters.token_ttl, self.revision, self.revoked, tuple(self.allowed))
        self.serve(gateway, session, session.handle(accepted, self.now))
        if gateway.draining is not None:
            self.serve(gateway, session, session.handle(gateway.draining, self.now))

    def downstream(self, link: Link, call: Callable[[], None], extra: int = 0) -> None:
        """To the client, in order unless held back."""
        when = max(self.now + self.weather.delay, link.last[0])
        if extra == 0:
            link.last[0] = when

        def arrive() -> None:
            if not link.silent and not link.client_knows:
                call()

        self.at(when + extra, arrive)

    def upstream(self, link: Link, call: Callable[[], None]) -> None:
        """To the gateway, in order."""
        link.last[1] = max(self.now + self.weather.delay, link.last[1])
        self.at(link.last[1], lambda: None if link.silent else call())

    def receive(self, link: Link, frame: Frame) -> None:
        gateway = self.gateways[link.gateway]
        session = gateway.sessions.get(link.connection)
        if session is not None and gateway.alive:
            self.serve(gateway, session, session.handle(inputs.FrameReceived(link.connection, frame, wire_size(frame)), self.now))

    def gateway_sees_close(self, link: Link) -> None:
        gateway = self.gateways[link.gateway]
        session = gateway.sessions.pop(link.connection, None)
        if session is not None and gateway.alive:
            self.serve(gateway, session, session.handle(inputs.TransportClosed(link.connection, 1000), self.now))

    # ------------------------------------------------------------------------------------------------------------------- gateways' side

    def serve(self, gateway: Gateway, session: GatewaySession, effects: list[do.GatewayEffect]) -> None:
        """What a gateway's half wants done, in order."""
        for effect in effects:
            handler = GATEWAY_EFFECTS.get(type(effect))
            if handler is not None:
                handler(self, gateway, session, effect)

    def give(self, gateway: Gateway, session: GatewaySession, happened: inputs.GatewayInput) -> None:
        if gateway.alive and session.state != CLOSED:
            self.serve(gateway, session, session.handle(happened, self.now))

    def gateway_sends(self, gateway: Gateway, session: GatewaySession, effect: do.SendFrame) -> None:
        link = self.links[session.connection]
        frame = decode(encode(effect.frame, session.out.schema)) if self.wire else effect.frame
        happened = inputs.FrameReceived(link.generation, frame, wire_size(frame))
        is_event = isinstance(frame, Envelope)
        held = is_event and self.random.random() < self.weather.reorder
        self.downstream(link, lambda: self.tell(happened), self.weather.hold_back if held else 0)
        if is_event and self.random.random() < self.weather.duplicate:
            self.downstream(link, lambda: self.tell(happened), self.random.choice([0, self.weather.hold_back]))
        self.after(self.weather.delay, lambda: self.give(gateway, session, inputs.BufferWritten(wire_size(effect.frame))))

    def gateway_closes(self, gateway: Gateway, session: GatewaySession, effect: do.CloseTransport) -> None:
        link = self.links[session.connection]
        gateway.sessions.pop(session.connection, None)

        def closed() -> None:
            link.client_knows = True
            self.tell(inputs.TransportClosed(link.generation, effect.code, effect.advised, effect.spread))

        self.downstream(link, closed)

    def make_route(self, gateway: Gateway, session: GatewaySession, effect: do.MakeRoute) -> None:
        def visible() -> None:
            connections = gateway.routes.setdefault(effect.channel, [])
            if session.state != CLOSED and session.connection not in connections:
                connections.append(session.connection)
            self.give(gateway, session, inputs.RouteReady(effect.channel, effect.ticket))

        self.after(5 * MILLISECOND, visible)

    def drop_route(self, gateway: Gateway, session: GatewaySession, effect: do.DropRoute) -> None:
        connections = gateway.routes.get(effect.channel, [])
        if session.connection in connections:
            connections.remove(session.connection)

    def read_log(self, gateway: Gateway, session: GatewaySession, effect: do.ReadLog) -> None:
        def read() -> None:
            log = self.logs[effect.channel]
            events = log.read(effect.after, effect.limit).events if effect.limit else ()
            answer = inputs.LogRead(effect.channel, effect.ticket, log.epoch, log.top, log.floor, events)
            self.after(MILLISECOND, lambda: self.give(gateway, session, answer))

        self.after(MILLISECOND, read)

    def append(self, gateway: Gateway, session: GatewaySession, effect: do.Append) -> None:
        def appended() -> None:
            log = self.logs[effect.channel]
            event, duplicate = log.append(effect.user, effect.client_message_id, effect.size, self.now)
            answer = inputs.AppendSettled(effect.correlation, effect.client_message_id, event.event, event.sequence, event.epoch, duplicate)
            self.after(MILLISECOND, lambda: self.give(gateway, session, answer))
            if not duplicate:
                self.appended.setdefault(effect.client_message_id, []).append(event.epoch)
                self.fan_out(event)

        self.after(2 * MILLISECOND, appended)

    def fan_out(self, event: Envelope) -> None:
        """To every gateway that has the route by the time it gets there, in log order."""
        self.shown[event.channel].history[event.epoch, event.sequence] = event.event
        for gateway in self.gateways:
            if self.random.random() >= self.weather.lose_fanout:
                self.after(3 * MILLISECOND, lambda gateway=gateway: self.route(gateway, event))

    def route(self, gateway: Gateway, event: Envelope) -> None:
        for connection in tuple(gateway.routes.get(event.channel, ())):
            session = gateway.sessions.get(connection)
            if session is not None:
                self.give(gateway, session, inputs.EventRouted(event))

    def check_positions(self) -> None:
        """Every gateway compares its channels with the log."""
        for gateway in self.gateways:
            for channel, connections in gateway.routes.items():
                log = self.logs[channel]
                for connection in tuple(connections):
                    session = gateway.sessions.get(connection)
                    if session is not None:
                        self.give(gateway, session, inputs.PositionChecked(channel, log.epoch, log.top, tuple(log.events[-5:])))

    def say(self, channel: int, count: int = 1, size: int = 200) -> None:
        """Others write."""
        for _ in range(count):
            self.fan_out(self.logs[channel].append(OTHER, -1, size, self.now)[0])

    def cut(self, seen: bool = True) -> None:
        """Every connection breaks; seen or not."""
        for link in self.links.values():
            if link.client_knows or link.silent:
                continue
            if seen:
                self.at(self.now, lambda link=link: self.client_sees_cut(link))
            link.silent = True

    def client_sees_cut(self, link: Link) -> None:
        if not link.client_knows:
            link.client_knows = True
            self.tell(inputs.TransportClosed(link.generation, 1006))
        self.gateway_sees_close(link)

    def kill(self, number: int, seen: bool = True) -> None:
        """A gateway process dies; its routes stay."""
        gateway = self.gateways[number]
        gateway.alive = False
        gateway.sessions.clear()
        for link in self.links.values():
            if link.gateway == number and not link.client_knows and not link.silent:
                if seen:
                    self.at(self.now, lambda link=link: self.client_sees_cut(link))
                link.silent = True

    def restart(self, number: int) -> None:
        """A new process in its place."""
        self.gateways[number] = Gateway(number, self.parameters)

    def drain(self, number: int) -> None:
        """A deploy begins."""
        parameters = self.parameters
        gateway = self.gateways[number]
        gateway.draining = inputs.DrainStarted(parameters.drain_retry_after, parameters.drain_spread, parameters.drain_deadline)
        for session in tuple(gateway.sessions.values()):
            self.give(gateway, session, gateway.draining)

    def new_epoch(self, channel: int) -> None:
        """The channel's log is lost."""
        self.logs[channel].new_epoch()

    def revoke_user(self) -> None:
        """The user's sessions end."""
        self.revoked = self.revision + 1
        for gateway in self.gateways:
            for session in tuple(gateway.sessions.values()):
                self.give(gateway, session, inputs.UserRevoked())

    def revoke(self, channel: int) -> None:
        """The user may not read the channel any more."""
        if channel in self.allowed:
            self.allowed.remove(channel)
        for gateway in self.gateways:
            for session in tuple(gateway.sessions.values()):
                self.give(gateway, session, inputs.AccessRevoked(channel))

    def heal(self) -> None:
        """Faults end; gateways run; nothing is drained."""
        self.weather = Weather()
        for gateway in self.gateways:
            if not gateway.alive or gateway.draining is not None:
                if gateway.alive:
                    self.kill(gateway.number)
                self.restart(gateway.number)


GATEWAY_EFFECTS: dict[type, Callable[..., None]] = {
    do.SendFrame: Cloud.gateway_sends,
    do.CloseTransport: Cloud.gateway_closes,
    do.MakeRoute: Cloud.make_route,
    do.DropRoute: Cloud.drop_route,
    do.ReadLog: Cloud.read_log,
    do.Append: Cloud.append,
}
