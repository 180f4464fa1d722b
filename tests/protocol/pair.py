"""The pair: a client's half and gateways' halves over a virtual network, driven by a heap of events.

What can happen to the network, the gateways and the log happens by a call (see `cloud`); what the user saw is kept and checked: per channel
the log's events from the first cursor on, in order, once each, or an explicit reset in between (see `network.Shown`).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simfabric.protocol import effects as do
from simfabric.protocol import inputs
from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.codec import decode, encode
from simfabric.protocol.frames import Envelope
from simfabric.protocol.parameters import Parameters
from tests.protocol.cloud import Cloud
from tests.protocol.network import USER


class Pair(Cloud):
    """One client and its cloud."""

    def __init__(self, parameters: Parameters | None = None, seed: int = 1, channels: int = 2, gateways: int = 2, retain: int = -1, wire: bool = False) -> None:
        super().__init__(parameters or Parameters(), seed, channels, gateways, retain, wire)
        self.dials: list[int] = []
        self.settled: dict[int, list[str]] = {}
        self.log_of_effects: list[tuple[int, object]] = []
        self.consumer_delay = 0
        self.client = self.new_client(seed)

    @abc.abstractmethod
    def new_client(self, seed: int) -> Any:
        """The client's half: anything with the three calls."""

    def timer_owners(self) -> list[tuple[int, Callable[[], None]]]:
        """Deadlines of the sessions, and what to call at them: the client first."""
        owners: list[tuple[int, Callable[[], None]]] = []
        deadline = self.client.next_deadline()
        if deadline is not None:
            owners.append((deadline, lambda: self.carry_out(self.client.handle_timers(self.now))))
        return owners + super().timer_owners()

    # ---------------------------------------------------------------------------------------------------------------- the client's side

    def tell(self, happened: inputs.ClientInput) -> None:
        """Something happened to the client."""
        self.carry_out(self.client.handle(happened, self.now))

    def carry_out(self, effects: list[do.ClientEffect]) -> None:
        """What the client wants done, in order."""
        for effect in effects:
            self.log_of_effects.append((self.now, effect))
            handler = CLIENT_EFFECTS.get(type(effect))
            if handler is not None:
                handler(self, effect)

    def call(self, answer: Callable[[], inputs.ClientInput | None], ticket: int, kind: int, channel: int = -1) -> None:
        """An HTTPS call: there, answered, and back."""
        delay = self.weather.delay

        def served() -> None:
            if not (self.weather.up and self.weather.calls):
                self.after(delay, lambda: self.tell(inputs.FetchFailed(ticket, kind, 0, channel=channel)))
                return
            happened = answer()
            if happened is not None:
                self.after(delay, lambda: self.tell(happened))

        self.after(delay, served)

    def forbidden(self, ticket: int, kind: int, channel: int = -1) -> inputs.FetchFailed | None:
        """A call's refusal, if any."""
        if self.revision < self.revoked:
            return inputs.FetchFailed(ticket, kind, 401, channel=channel)
        if channel >= 0 and channel not in self.allowed:
            return inputs.FetchFailed(ticket, kind, 403, channel=channel)
        return None

    def fetch_bootstrap(self, effect: do.FetchBootstrap) -> None:
        ticket = effect.ticket
        self.call(lambda: self.forbidden(ticket, inputs.BOOTSTRAP) or inputs.Bootstrapped(ticket, tuple(self.allowed)), ticket, inputs.BOOTSTRAP)

    def fetch_token(self, effect: do.FetchToken) -> None:
        ticket, ttl = effect.ticket, self.parameters.token_ttl
        self.call(lambda: self.forbidden(ticket, inputs.TOKEN) or inputs.TokenReady(ticket, ttl), ticket, inputs.TOKEN)

    def fetch_replay(self, effect: do.FetchReplay) -> None:
        def answer() -> inputs.ClientInput:
            refused = self.forbidden(effect.ticket, inputs.REPLAY, effect.channel)
            if refused is not None:
                return refused
            log = self.logs[effect.channel]
            page = log.read(effect.after, min(effect.limit, self.parameters.page_events), effect.epoch, self.parameters.page_bytes)
            top = self.replica_top(log)
            events = tuple(self.as_seen(event) for event in page.events if event.sequence <= top)
            return inputs.ReplayReady(effect.ticket, effect.channel, page.epoch, events, top, page.more and len(events) == len(page.events), page.truncated)

        self.call(answer, effect.ticket, inputs.REPLAY, effect.channel)

    def fetch_snapshot(self, effect: do.FetchSnapshot) -> None:
        def answer() -> inputs.ClientInput:
            log = self.logs[effect.channel]
            refused = self.forbidden(effect.ticket, inputs.SNAPSHOT, effect.channel)
            return refused or inputs.SnapshotReady(effect.ticket, effect.channel, log.epoch, self.replica_top(log), 1_000)

        self.call(answer, effect.ticket, inputs.SNAPSHOT, effect.channel)

    def replica_top(self, log: ChannelLog) -> int:
        """How far the copy has come that answers the calls."""
        return max(min(log.top, 1), log.top - 2) if self.weather.lagging_replica else log.top

    def as_seen(self, event: Envelope) -> Envelope:
        """An event as this user gets it by a replay: with the key only if it is the author's."""
        return event if event.user == USER else replace(event, client_message_id=-1)

    def deliver(self, effect: do.Deliver) -> None:
        for event in effect.events:
            self.shown[effect.channel].deliver(event)
        self.after(self.consumer_delay, lambda: self.tell(inputs.ConsumerDrained()))

    def channel_reset(self, effect: do.ChannelReset) -> None:
        self.shown[effect.channel].reset(effect.epoch, effect.sequence)

    def publish_settled(self, effect: do.PublishSettled) -> None:
        self.settled.setdefault(effect.client_message_id, []).append(effect.outcome)

    # ---------------------------------------------------------------------------------------------------------------------- transports

    def open_transport(self, effect: do.OpenTransport) -> None:
        """A dial: the balancer goes round the gateways that are there, and does not know which of them is dead."""
        self.dials.append(self.now)
        generation = effect.generation

        def arrive() -> None:
            if not self.weather.up:
                self.after(self.weather.delay, lambda: self.tell(inputs.TransportClosed(generation, 1006, bytes_seen=False)))
                return
            candidates = [gateway for gateway in self.gateways if gateway.number != effect.avoid and gateway.draining is None] or self.gateways
            gateway = candidates[self.dialled % len(candidates)]
            self.dialled += 1
            if not gateway.alive:
                self.after(self.weather.delay, lambda: self.tell(inputs.TransportClosed(generation, 1006, bytes_seen=False)))
                return
            self.accept(gateway, generation, effect.kind)

        self.after(self.weather.delay, arrive)

    def send_frame(self, effect: do.SendFrame) -> None:
        """A frame of the client."""
        frame = decode(encode(effect.frame, self.schema)) if self.wire else effect.frame
        for link in self.links.values():
            if link.generation == effect.generation and not link.client_knows:
                self.upstream(link, lambda link=link: self.receive(link, frame))

    def close_transport(self, effect: do.CloseTransport) -> None:
        """The client closes; what it said before still arrives."""
        for link in self.links.values():
            if link.generation == effect.generation and not link.client_knows:
                link.client_knows = True
                self.upstream(link, lambda link=link: self.gateway_sees_close(link))

    # -------------------------------------------------------------------------------------------------------------------- what happens

    def start(self, wanted: tuple[int, ...] | None = None) -> None:
        """The user opens the page."""
        self.tell(inputs.ConnectRequested())
        for channel in self.logs if wanted is None else wanted:
            self.tell(inputs.SubscribeWanted(channel))

    def publish(self, channel: int, key: int) -> None:
        """The user writes."""
        self.tell(inputs.PublishRequested(channel, key, 100))

    def behind(self) -> dict[int, str]:
        """Channels whose user does not see the newest state, and why."""
        answer = {}
        for channel in self.allowed:
            log, shown = self.logs[channel], self.shown[channel]
            if shown.place != (log.epoch, log.top) and not (shown.place is None and log.top == 0):
                answer[channel] = f"shown {shown.place}, log {(log.epoch, log.top)}"
        return answer

    @property
    def silence(self) -> int:
        """The longest that a healed client may need: to notice a dead link, to wait, to dial by stages, to fetch, to be told of a lost tail."""
        parameters = self.parameters
        notice = 2 * (parameters.heartbeat_interval + parameters.heartbeat_timeout)
        wait = int(max(parameters.reconnect_cap, parameters.offline_retry, parameters.drain_deadline + parameters.drain_spread) * 1.2)
        stages = 5 * parameters.connect_timeout
        fetches = (parameters.replay_tries + 2) * parameters.fetch_timeout + 2 * parameters.snapshot_min_gap + 4 * parameters.reconnect_cap
        return notice + wait + stages + fetches + parameters.position_check + parameters.gap_wait


CLIENT_EFFECTS: dict[type, Callable[..., None]] = {
    do.FetchBootstrap: Pair.fetch_bootstrap,
    do.FetchToken: Pair.fetch_token,
    do.OpenTransport: Pair.open_transport,
    do.SendFrame: Pair.send_frame,
    do.CloseTransport: Pair.close_transport,
    do.FetchReplay: Pair.fetch_replay,
    do.FetchSnapshot: Pair.fetch_snapshot,
    do.Deliver: Pair.deliver,
    do.ChannelReset: Pair.channel_reset,
    do.PublishSettled: Pair.publish_settled,
}
