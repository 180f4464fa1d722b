"""Sessions: clients that are run one by one, by the protocol's own client code.

    frames of the fabric ──▶ inputs ──▶ ClientSession ──▶ effects ──▶ frames of the fabric

A session sits on a seat of the columns like every other client, and takes the place of the kernel that would decide for it: what reaches the
seat is told to it, and what it does goes out as the same frames. The gateways' rows go on keeping the account of its cursors, so that the
laws hold over all clients alike. A client does the same as a session and as a column, to the nanosecond.

Leaves out: other transports than websockets, tabs, acknowledgements of sends (the echo settles them) and what is sent again after a break.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simfabric.chance import uniform
from simfabric.components.columns import Columns
from simfabric.components.session_trace import Trace
from simfabric.errors import SimfabricError
from simfabric.kernels import clients as kernels
from simfabric.kernels import frames as kinds
from simfabric.kernels.frames import NEVER, WIDTH
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.lifecycle import AWAY_AFTER, AWAY_SPREAD, BUSY_AFTER, BUSY_SPREAD, Fleet
from simfabric.kernels.log import is_asked, message_at
from simfabric.kernels.state import (
    BYTES,
    CHANNEL,
    DELAY,
    FATE,
    LIFE,
    LOW,
    PACE,
    PREVIOUS,
    PUBLISHED_AT,
    PUBLISHER,
    SEQUENCE,
    SERVED,
    SERVED_AT,
    SESSION,
    STAGE_CONNECT,
    UNSENT,
    WIDE,
    Tally,
)  # fmt: skip
from simfabric.protocol import codes, effects, frames, inputs, machine
from simfabric.protocol.client import ClientSession
from simfabric.protocol.parameters import MINUTE, SECOND, Parameters
from simfabric.protocol.profiles import DEFAULT, PROFILES
from simfabric.topology import Topology
from simfabric.world import Array, World

EPOCH = 1  # The log of a run is never lost.
GATEWAYS, BALANCER, TOKENS, REPLAY, SELF = range(5)  # To whom a session sends.


class SessionError(SimfabricError):
    """A session and its columns disagree: a bug, never hidden."""


def parameters_of(topology: Topology) -> Parameters:
    """The protocol's numbers as the topology has them. One page holds every replay, whenever it comes, and there are no other
    transports to fall back to."""
    clients, token = topology.clients, topology.apis.token
    reconnect = clients.reconnect
    ttl = min(max(token.ttl, MINUTE), 5 * MINUTE)
    subscriptions = len(topology.channels.given) + clients.subscriptions
    most = max(200, subscriptions)
    return Parameters(
        reconnect_first=max(1, reconnect.first),
        reconnect_factor=reconnect.factor,
        reconnect_cap=reconnect.cap,
        reconnect_jitter=reconnect.jitter,
        jitter_order=reconnect.jitter_order,
        attempt_limit=reconnect.attempt_limit,
        stable_after=reconnect.stable_after,
        offline_retry=reconnect.offline_retry,
        offline_jitter=reconnect.jitter,
        connect_timeout=clients.connect_timeout,
        token_ttl=ttl,
        token_margin=min(token.margin, ttl - 1),
        gap_wait=clients.gap_wait,
        page_events=1 << 40,
        fetch_timeout=1 << 60,
        replay_max=1 << 40,
        max_channels=most,
        subscribe_burst_user=max(400, 2 * most),
        ws_failures=1 << 40,
        queue_cap=1 << 40,
    )


class Seated:
    """One session, its seat, and what it waits for."""

    __slots__ = ("asked", "channels", "fetches", "generation", "life", "name", "ping_at", "seat", "session", "ticket", "wake_at")

    def __init__(self, session: ClientSession, seat: int, channels: dict[int, int]) -> None:
        self.session = session
        self.seat = seat
        self.name = f"client {session.client}"
        self.channels = channels  # Channel -> its place among the subscriptions.
        self.generation = 0  # Of the transport that is there, or is being opened.
        self.life = -1  # Of the gateway at its other end, -1 = none.
        self.ticket = 0  # Of the call to an API under way.
        self.asked: dict[int, int] = {}  # Channel -> correlation of its subscribe.
        self.fetches: dict[int, tuple[int, int]] = {}  # Channel -> ticket of the replay under way, and its cursor.
        self.ping_at = NEVER  # When the gateway's next ping arrives.
        self.wake_at = NEVER  # When the next WAKE frame is due.


class Sessions:
    """The clients of a fabric that are sessions; see the module."""

    def __init__(self, world: World, columns: Columns, tally: Tally, settings: Array, fleet: Fleet) -> None:
        self.world, self.columns, self.settings = world, columns, settings
        self.tally = tally
        self.out: tuple[list[tuple[int, int, int, int, int]], ...] = ([], [], [], [], [])
        self.trace = Trace()
        self.delivered: list[tuple[int, int, int]] = []  # Message, client, when it was shown [ns].
        self._hop = world.topology.network.hop
        self._ask_hop = world.topology.network.replay_hop or self._hop
        self._ask_rows = world.topology.replay.servers
        self._phase = world.key("clients/heartbeat_phase")
        self.parameters = parameters_of(world.topology)
        names = [DEFAULT, *(part.profile for part in world.topology.clients.fleet)]
        run, crowd = world.topology.run, columns.crowd
        self.seated: dict[int, Seated] = {}
        for seat in np.flatnonzero(crowd.link[:, PACE] & SESSION).tolist():
            profile = PROFILES[names[fleet.profile[seat]]]
            session = ClientSession(int(crowd.client[seat]), run.seed, run.replication, self.parameters, profile)
            first, last = int(crowd.start[seat]), int(crowd.start[seat + 1])
            self.seated[seat] = Seated(session, seat, {int(crowd.channels[i]): i for i in range(first, last)})
        self._flags = np.zeros(len(crowd.client), bool)
        self._flags[list(self.seated)] = True
        for one in self.seated.values():
            self._begin(one)

    # ------------------------------------------------------------------------------------------------------------------ the drive

    def pick(self, found: Array) -> Array:
        """Which of these frames are for a session."""
        seat = found[:, 3] & LOW
        publication = found[:, 1] >> kinds.KIND_SHIFT == kinds.PUBLICATION
        log = self.columns.log
        seat[publication] = log.rows[found[publication, 3] - log.base[0], PUBLISHER]
        return np.asarray(self._flags[seat])

    def serve(self, found: Array, end: int) -> None:
        """These frames, in order, and every timer before `end`."""
        counters = self.tally.counters
        log = self.columns.log
        waiting: dict[int, list[list[int]]] = {}
        for frame in found.tolist():
            counters[SERVED] += 1
            counters[SERVED_AT] = (int(counters[SERVED_AT]) + frame[0]) & ((1 << 62) - 1)
            publication = frame[1] >> kinds.KIND_SHIFT == kinds.PUBLICATION
            seat = int(log.rows[frame[3] - log.base[0], PUBLISHER]) if publication else frame[3] & LOW
            waiting.setdefault(seat, []).append(frame)
        for seat, its in waiting.items():
            one = self.seated[seat]
            for frame in its:
                self._pass_time(one, frame[0])
                ARRIVALS[frame[1] >> kinds.KIND_SHIFT](self, one, frame)
            self._pass_time(one, end)
            self._plan(one, end)

    def sent(self, to: int) -> Array:
        """The frames for one receiver, which are then gone from here."""
        written = np.array(self.out[to], np.int64).reshape(-1, WIDTH)
        self.out[to].clear()
        return written

    def _pass_time(self, one: Seated, before: int) -> None:
        """The gateway's pings and the session's timers that are due before this time; what arrives goes before what is due."""
        while True:
            due = one.session.next_deadline()
            at = min(one.ping_at, NEVER if due is None else due)
            if at >= before:
                return
            if one.ping_at == at:
                one.ping_at += self.parameters.heartbeat_interval
                self._receive(one, frames.Ping(at - self._delay(one)), at)
            else:
                self._carry(one, one.session.handle_timers(at), at)

    def _plan(self, one: Seated, end: int) -> None:
        """One WAKE frame waits for each session. A deadline that moves away finds nothing to do then, and the next one is planned."""
        due = one.session.next_deadline()
        at = min(one.ping_at, NEVER if due is None else due)
        if at < NEVER and (at < one.wake_at or one.wake_at < end):
            one.wake_at = at
            self.out[SELF].append((at, (kinds.WAKE << kinds.KIND_SHIFT) | one.seat, 0, one.seat, 0))

    def _begin(self, one: Seated) -> None:
        """The user has the page open. Who is connected as the run begins has been so for long, and has seen all that was published: nothing."""
        crowd, session = self.columns.crowd, one.session
        life = int(crowd.belief[one.seat])
        at = 0
        if life >= 0:
            at = -(self.parameters.stable_after + self.parameters.heartbeat_interval + self.parameters.token_margin + SECOND)
        for channel in one.channels:
            session.handle(inputs.CursorLoaded(channel, 0, 0, with_state=True), at)
            session.handle(inputs.SubscribeWanted(channel), at)
        if life < 0:
            return
        (boot,) = (e for e in session.handle(inputs.ConnectRequested(), at) if isinstance(e, effects.FetchBootstrap))
        answer = inputs.Bootstrapped(boot.ticket, tuple(one.channels))  # Before the run no token is too old: the dial follows at once.
        (dial,) = (e for e in session.handle(answer, at) if isinstance(e, effects.OpenTransport))
        one.generation, one.life = dial.generation, life
        made = session.handle(inputs.TransportOpened(dial.generation), at)
        session.handle(inputs.FrameReceived(dial.generation, self._ack(one)), at)
        for asked in (e.frame for e in made if isinstance(e, effects.SendFrame)):
            assert isinstance(asked, frames.Subscribe)
            for channel, _, _ in asked.channels:
                session.handle(inputs.FrameReceived(dial.generation, frames.Subscribed(asked.correlation, channel, 0, 0, 1, True)), at)
        while at < 0:
            at = min(0, at + self.parameters.heartbeat_interval)
            session.handle_timers(at - 1)
            session.handle(inputs.FrameReceived(dial.generation, frames.Ping(at)), at)
        one.ping_at = self._first_ping(one, 0)
        self._plan(one, 0)

    # ------------------------------------------------------------------------------------------------------------------ inputs

    def _feed(self, one: Seated, happened: inputs.ClientInput, at: int) -> None:
        self._carry(one, one.session.handle(happened, at), at)

    def _receive(self, one: Seated, frame: frames.Frame, at: int, size: int = 0) -> None:
        """A frame of the gateway arrives."""
        self.trace.frame(at - self._delay(one), at, self._gateway(one), one.name, frame)
        self._feed(one, inputs.FrameReceived(one.generation, frame, size), at)

    def _noticed(self, one: Seated, frame: list[int]) -> None:
        at, crowd = frame[0], self.columns.crowd
        if crowd.belief[one.seat] != frame[4]:
            return
        crowd.belief[one.seat] = one.life = -1
        crowd.broke_at[one.seat] = at
        one.ping_at = NEVER
        self.tally.counters[kernels.BREAKS] += 1
        planned = frame[2] == kernels.PLANNED
        code = codes.SERVICE_RESTART if planned else codes.ABNORMAL
        after, over = (int(self.settings[AWAY_AFTER]), int(self.settings[AWAY_SPREAD])) if planned else (-1, 0)
        self.trace.note(at, one.name, f"connection closed ({code})")
        self._feed(one, inputs.TransportClosed(one.generation, code, after, over), at)

    def _due(self, one: Seated, frame: list[int]) -> None:
        if one.session.state == machine.IDLE:
            self._feed(one, inputs.ConnectRequested(), frame[0])

    def _token(self, one: Seated, frame: list[int]) -> None:
        ticket, one.ticket = one.ticket, 0
        self.trace.step(frame[0] - self._delay(one) - self._hop, frame[0], "token API", one.name, "token")
        self._feed(one, inputs.TokenReady(ticket, int(self.world.topology.apis.token.ttl)), frame[0])

    def _refused(self, one: Seated, frame: list[int]) -> None:
        """The end of a call or a dial. One that came to nothing in time is ended by the session itself, at this very instant."""
        at, reason = frame[0], frame[4]
        self.tally.counters[kernels.REFUSALS] += 1
        if reason == kernels.TIMED_OUT:
            return
        after, over = (int(self.settings[BUSY_AFTER]), int(self.settings[BUSY_SPREAD])) if reason == kernels.ADVISED else (-1, 0)
        if one.session.state == machine.TOKEN:
            ticket, one.ticket = one.ticket, 0
            self.trace.step(at - self._delay(one) - self._hop, at, "token API", one.name, "503 unavailable")
            self._feed(one, inputs.FetchFailed(ticket, inputs.TOKEN, 503, after), at)
        else:
            code = codes.TRY_AGAIN_LATER if reason == kernels.ADVISED else codes.ABNORMAL
            by = "edge" if reason == kernels.ADVISED else f"gateway {reason}"
            self.trace.step(at - self._delay(one), at, by, one.name, f"refused ({code})")
            self._feed(one, inputs.TransportClosed(one.generation, code, after, over), at)

    def _opened(self, one: Seated, frame: list[int]) -> None:
        at, crowd, seat = frame[0], self.columns.crowd, one.seat
        crowd.belief[seat] = one.life = frame[4]
        crowd.cookie[seat] = frame[4] // LIFE
        self.tally.counters[kernels.OPENINGS] += 1
        self.tally.stages[STAGE_CONNECT, bin_of(at - int(crowd.broke_at[seat]))] += 1
        one.ping_at = self._first_ping(one, at)
        self.trace.step(at - self._delay(one), at, self._gateway(one), one.name, "opened")
        self._feed(one, inputs.TransportOpened(one.generation), at)
        self._send(GATEWAYS, at + self._delay(one), (kinds.SUBSCRIBE << kinds.KIND_SHIFT) | seat, frame[4] // LIFE, seat, frame[4])
        if one.channels:
            self._receive(one, self._ack(one), at)

    def _told(self, one: Seated, frame: list[int]) -> None:
        """The gateway replies to all subscribes; of each channel a frame of its own follows."""
        at, crowd = frame[0], self.columns.crowd
        crowd.ready_at[one.seat] = at
        crowd.banner[one.seat] = 0
        if not one.channels:
            self._receive(one, self._ack(one), at)

    def _top(self, one: Seated, frame: list[int]) -> None:
        channel, top = divmod(frame[4], WIDE)
        if channel in one.asked:
            self._receive(one, frames.Subscribed(one.asked.pop(channel), channel, EPOCH if top else 0, top, 1, True), frame[0])

    def _event(self, one: Seated, frame: list[int]) -> None:
        event = self._envelope(one, frame[4])
        self._receive(one, event, frame[0], event.size)

    def _filled(self, one: Seated, frame: list[int]) -> None:
        channel, upto = divmod(frame[4], WIDE)
        if channel in one.fetches:
            self._page(one, channel, upto, frame[0])

    def _page(self, one: Seated, channel: int, upto: int, at: int) -> None:
        ticket, after = one.fetches.pop(channel)
        log = self.columns.log
        events: list[frames.Envelope] = []
        message = message_at(channel, upto, log)
        while message >= log.base[0] and log.rows[message - log.base[0], SEQUENCE] > after:
            events.append(self._envelope(one, message))
            message = int(log.rows[message - log.base[0], PREVIOUS])
        whole = len(events) == max(0, upto - after)
        page = inputs.ReplayReady(ticket, channel, EPOCH, tuple(reversed(events)), upto, False, not whole)
        self.trace.step(at - self._delay(one), at, "replay", one.name, f"c{channel} #{after + 1}..{upto}")
        self._feed(one, page, at)

    def _publication(self, one: Seated, frame: list[int]) -> None:
        """The user presses enter; nobody does so while the page says that it is not connected."""
        message, counters = frame[3], self.tally.counters
        row = self.columns.log.rows[message - self.columns.log.base[0]]
        members = int(self.columns.crowd.members[row[CHANNEL]])
        if one.life < 0 or one.session.state not in machine.READY:
            row[FATE] = UNSENT
            counters[kernels.UNSENT_COUNT] += 1
            counters[kernels.UNSENT_OBLIGATIONS] += members
            return
        counters[kernels.PUBLISHED] += 1
        counters[kernels.PUBLISHED_OBLIGATIONS] += members
        self._feed(one, inputs.PublishRequested(int(row[CHANNEL]), message, int(row[BYTES])), frame[0])

    def _woken(self, one: Seated, frame: list[int]) -> None:
        """Time has passed; that was all."""

    # ------------------------------------------------------------------------------------------------------------------ effects

    def _carry(self, one: Seated, made: list[effects.ClientEffect], at: int) -> None:
        """Do what the session says, in order; what is answered at once is told to it at the same instant."""
        answers: list[inputs.ClientInput] = []
        resuming = False
        for effect in made:
            if isinstance(effect, effects.FetchReplay):
                resuming |= self._fetch(one, effect, at)
            else:
                doer = EFFECTS.get(type(effect))
                answer = doer(self, one, effect, at) if doer is not None else None
                if answer is not None:
                    answers.append(answer)
        if resuming:
            arrives = at + self._delay(one) + self._ask_hop
            self._send(REPLAY, arrives, (kinds.RESUME << kinds.KIND_SHIFT) | one.seat, one.seat % self._ask_rows, one.life * WIDE + one.seat, 0)
        for answer in answers:
            self._feed(one, answer, at)

    def _fetch_bootstrap(self, one: Seated, effect: effects.FetchBootstrap, at: int) -> inputs.ClientInput | None:
        return inputs.Bootstrapped(effect.ticket, tuple(one.channels))

    def _fetch_token(self, one: Seated, effect: effects.FetchToken, at: int) -> inputs.ClientInput | None:
        if self.world.topology.apis.token.ttl == 0:
            return inputs.TokenReady(effect.ticket, 0)
        one.ticket = effect.ticket
        self.tally.counters[kernels.TOKENS] += 1
        arrives = at + self._delay(one) + self._hop
        self.trace.step(at, arrives, one.name, "token API", "POST token")
        self._send(TOKENS, arrives, (kinds.ASK << kinds.KIND_SHIFT) | one.seat, 0, one.seat, 0)
        return None

    def _dial(self, one: Seated, effect: effects.OpenTransport, at: int) -> None:
        crowd = self.columns.crowd
        one.generation = effect.generation
        self.tally.counters[kernels.DIALS] += 1
        arrives = at + self._delay(one) + self._hop
        self.trace.step(at, arrives, one.name, "edge", "dial")
        self._send(BALANCER, arrives, (kinds.DIAL << kinds.KIND_SHIFT) | one.seat, 0, one.seat, int(crowd.dials[one.seat]))
        crowd.dials[one.seat] += 1

    def _send_frame(self, one: Seated, effect: effects.SendFrame, at: int) -> None:
        frame = effect.frame
        arrives = at + self._delay(one)
        self.trace.frame(at, arrives, one.name, self._gateway(one), frame)
        if isinstance(frame, frames.Subscribe):
            for channel, _, sequence in frame.channels:
                self._agree(one, channel, sequence)
                one.asked[channel] = frame.correlation
        elif isinstance(frame, frames.MessageSend):
            message = frame.client_message_id
            if self.columns.log.rows[message - self.columns.log.base[0], PUBLISHED_AT] == at:  # Else it is sent again, which the fabric leaves out.
                self._send(GATEWAYS, arrives, (kinds.PUBLISH << kinds.KIND_SHIFT) | message, one.life // LIFE, message, one.life)

    def _agree(self, one: Seated, channel: int, sequence: int) -> None:
        """The session's cursor is the one that the gateway's row has handed back."""
        kept = int(self.columns.crowd.resume_cursor[one.channels[channel]])
        if kept != sequence:
            raise SessionError(
                f"{one.name} stands at #{sequence} of channel {channel}, its columns at #{kept}; law: a client does the same as a session and as a "
                "column; cure: this is a bug in simfabric, please report the topology and seed"
            )

    def _fetch(self, one: Seated, effect: effects.FetchReplay, at: int) -> bool:
        """Ask the log for one channel; True when it is one of those that are asked for together, after a subscribe."""
        seat, channel = one.seat, effect.channel
        one.fetches[channel] = (effect.ticket, effect.after)
        arrives = at + self._delay(one) + self._ask_hop
        self.trace.step(at, arrives, one.name, "replay", f"GET c{channel} after #{effect.after}")
        if is_asked(int(self.columns.crowd.resume_upto[one.channels[channel]])):
            return True
        name = (kinds.GAP << kinds.KIND_SHIFT) | ((channel & 16777215) << 32) | seat
        self._send(REPLAY, arrives, name, seat % self._ask_rows, one.life * WIDE + seat, channel * WIDE + effect.after)
        return False

    def _cancel(self, one: Seated, effect: effects.CancelFetch, at: int) -> None:
        if effect.kind == inputs.REPLAY:
            one.fetches = {channel: fetch for channel, fetch in one.fetches.items() if fetch[0] != effect.ticket}
        elif effect.ticket == one.ticket:
            one.ticket = 0

    def _deliver(self, one: Seated, effect: effects.Deliver, at: int) -> inputs.ClientInput | None:
        """The user interface takes what it gets at once."""
        self.delivered.extend((event.event, one.session.client, at) for event in effect.events)
        self.trace.delivery(at, one.name, effect)
        return inputs.ConsumerDrained()

    def _moved(self, one: Seated, effect: effects.StateChanged, at: int) -> None:
        crowd = self.columns.crowd
        crowd.state[one.seat] = effect.new
        self.trace.state(at, one.name, effect)
        if effect.new == machine.OFFLINE and crowd.banner[one.seat] == 0:
            crowd.banner[one.seat] = 1
            self.tally.counters[kernels.OFFLINES] += 1
        elif effect.new == machine.SIGNED_OUT:
            self.tally.counters[kernels.GIVEN_UP] += 1

    # ------------------------------------------------------------------------------------------------------------------ helpers

    def _send(self, to: int, *frame: int) -> None:
        at, name, row, item, extra = frame
        self.out[to].append((at, name, row, item, extra))

    def _delay(self, one: Seated) -> int:
        return int(self.columns.crowd.link[one.seat, DELAY])

    def _gateway(self, one: Seated) -> str:
        return f"gateway {one.life // LIFE}"

    def _first_ping(self, one: Seated, opened: int) -> int:
        u = float(uniform(self._phase, one.session.client, int(self.columns.crowd.dials[one.seat])))
        return opened + round(u * self.parameters.heartbeat_interval)

    def _ack(self, one: Seated) -> frames.ConnectionAck:
        p, client = self.parameters, one.session.client
        return frames.ConnectionAck(client, client, p.schema_current, p.heartbeat_interval, p.heartbeat_timeout, p.max_channels, -1, one.life // LIFE)

    def _envelope(self, one: Seated, message: int) -> frames.Envelope:
        row = self.columns.log.rows[message - self.columns.log.base[0]].tolist()
        own = message if row[PUBLISHER] == one.seat else -1
        return frames.Envelope(row[CHANNEL], row[SEQUENCE], EPOCH, message, ts=row[PUBLISHED_AT], size=row[BYTES], client_message_id=own)


ARRIVALS: dict[int, Callable[[Sessions, Seated, list[int]], None]] = {
    kinds.NOTICE: Sessions._noticed,
    kinds.DIAL: Sessions._due,
    kinds.TOKEN: Sessions._token,
    kinds.REFUSED: Sessions._refused,
    kinds.OPENED: Sessions._opened,
    kinds.SUBSCRIBED: Sessions._told,
    kinds.TOP: Sessions._top,
    kinds.EVENT: Sessions._event,
    kinds.FILLED: Sessions._filled,
    kinds.PUBLICATION: Sessions._publication,
    kinds.WAKE: Sessions._woken,
}
EFFECTS: dict[type, Callable[[Sessions, Seated, Any, int], inputs.ClientInput | None]] = {
    effects.FetchBootstrap: Sessions._fetch_bootstrap,
    effects.FetchToken: Sessions._fetch_token,
    effects.OpenTransport: Sessions._dial,
    effects.SendFrame: Sessions._send_frame,
    effects.CancelFetch: Sessions._cancel,
    effects.Deliver: Sessions._deliver,
    effects.StateChanged: Sessions._moved,
}
