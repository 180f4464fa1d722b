"""Sessions: clients that are run one by one, by the protocol's own client code.

    frames of the fabric ──▶ inputs ──▶ ClientSession ──▶ effects ──▶ frames of the fabric
          (session_inputs.py)                        (session_effects.py)

A session sits on a seat of the columns like every other client, and takes the place of the kernel that would decide for it: what reaches the
seat is told to it, and what it does goes out as the same frames. The gateways' rows go on keeping the account of its cursors, so that the
laws hold over all clients alike. A client does the same as a session and as a column, to the nanosecond.

Leaves out: other transports than websockets, tabs, acknowledgements of sends (the echo settles them) and what is sent again after a break.
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import uniform
from simfabric.components import session_effects, session_inputs
from simfabric.components.columns import Columns
from simfabric.components.seated import GATEWAYS, RECEIVERS, SELF, Seated, parameters_of
from simfabric.components.session_trace import Trace
from simfabric.kernels import frames as kinds
from simfabric.kernels.churn import KEY_PHASE, Habits, stay
from simfabric.kernels.frames import NEVER, WIDTH
from simfabric.kernels.lifecycle import BOOTED, Fleet
from simfabric.kernels.state import DELAY, LOW, PACE, PUBLISHER, SERVED, SERVED_AT, SESSION, Tally
from simfabric.kernels.tickets import gateway_of
from simfabric.protocol import effects, frames, inputs
from simfabric.protocol.client import ClientSession
from simfabric.protocol.parameters import SECOND
from simfabric.protocol.profiles import DEFAULT, PROFILES
from simfabric.protocol.rules import ping_at
from simfabric.world import Array, World


class Sessions:
    """The clients of a fabric that are sessions; see the module."""

    def __init__(self, world: World, columns: Columns, tally: Tally, settings: Array, fleet: Fleet, habits: Habits) -> None:
        self.topology, self.columns, self.tally = world.topology, columns, tally
        self.settings, self.habits = settings, habits
        self.parameters = parameters_of(world.topology)
        self.out: tuple[list[tuple[int, int, int, int, int]], ...] = tuple([] for _ in range(RECEIVERS))
        self.trace = Trace()
        self.delivered: list[tuple[int, int, int]] = []  # Message, client, when it was shown [ns].
        self.hop = world.topology.network.hop
        self.replay_hop = world.topology.network.replay_hop or self.hop
        self._stays = np.zeros((2, 2, WIDTH), np.int64)
        names = [DEFAULT, *(part.profile for part in world.topology.clients.fleet)]
        run, crowd = world.topology.run, columns.crowd
        self.seated: dict[int, Seated] = {}
        for seat in np.flatnonzero(crowd.link[:, PACE] & SESSION).tolist():
            profile = PROFILES[names[fleet.profile[seat]]]
            session = ClientSession(int(crowd.client[seat]), run.seed, run.replication, self.parameters, profile)
            first, last = int(crowd.start[seat]), int(crowd.start[seat + 1])
            self.seated[seat] = Seated(session, seat, int(crowd.link[seat, DELAY]), {int(crowd.channels[i]): i for i in range(first, last)})
        self._flags = np.zeros(len(crowd.client), bool)
        self._flags[list(self.seated)] = True
        for one in self.seated.values():
            self._begin(one)

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
                session_inputs.ARRIVALS[frame[1] >> kinds.KIND_SHIFT](self, one, frame)
            self._pass_time(one, end)
            self._plan(one, end)

    def sent(self, to: int) -> Array:
        """The frames for one receiver, which are then gone from here."""
        written = np.array(self.out[to], np.int64).reshape(-1, WIDTH)
        self.out[to].clear()
        return written

    # ------------------------------------------------------------------------------------------------- for inputs and effects

    def feed(self, one: Seated, happened: inputs.ClientInput, at: int) -> None:
        """Tell the session what happened, and do what it says."""
        session_effects.carry_out(self, one, one.session.handle(happened, at), at)

    def receive(self, one: Seated, frame: frames.Frame, at: int, size: int = 0) -> None:
        """A frame of the gateway arrives."""
        self.trace.frame(at - one.delay, at, self.gateway(one), one.name, frame)
        self.feed(one, inputs.FrameReceived(one.generation, frame, size), at)

    def send(self, to: int, at: int, name: int, row: int, item: int, extra: int) -> None:
        """A frame to a component."""
        self.out[to].append((at, name, row, item, extra))

    def gateway(self, one: Seated) -> str:
        """The other end of the connection, in words."""
        return f"gateway {gateway_of(one.ticket)}" if one.ticket >= 0 else "edge"

    def acknowledgement(self, one: Seated) -> frames.ConnectionAck:
        """The gateway confirms the connection."""
        p, client = self.parameters, one.session.client
        interval, timeout = p.heartbeat_interval, p.heartbeat_timeout
        return frames.ConnectionAck(client, client, p.schema_current, interval, timeout, p.max_channels, -1, gateway_of(one.ticket))

    def connected(self, one: Seated, at: int) -> None:
        """A connection is open: its pings are known, and its end, if it has one."""
        crowd = self.columns.crowd
        u = float(uniform(self.habits.keys[KEY_PHASE], one.session.client, int(crowd.dials[one.seat])))
        one.ping_at = ping_at(at, self.parameters.heartbeat_interval, u, True)
        if at > 0:
            up, again = self._stays
            written = np.zeros(4, np.int64)
            stay(one.seat, at, one.ticket, self.habits, crowd, up, again, written)
            self.out[GATEWAYS].extend(tuple(row) for row in up[: written[0]].tolist())
            self.out[SELF].extend(tuple(row) for row in again[: written[2]].tolist())

    # ------------------------------------------------------------------------------------------------------------------- time

    def _pass_time(self, one: Seated, before: int) -> None:
        """The gateway's pings and the session's timers that are due before this time; what arrives goes before what is due."""
        while True:
            due = one.session.next_deadline()
            at = min(one.ping_at, NEVER if due is None else due)
            if at >= before:
                return
            if one.ping_at == at:
                one.ping_at += self.parameters.heartbeat_interval
                self.receive(one, frames.Ping(at - one.delay), at)
            else:
                session_effects.carry_out(self, one, one.session.handle_timers(at), at)

    def _plan(self, one: Seated, end: int) -> None:
        """One WAKE frame waits for each session. A deadline that moves away finds nothing to do then, and the next one is planned."""
        due = one.session.next_deadline()
        at = min(one.ping_at, NEVER if due is None else due)
        if at < NEVER and (at < one.wake_at or one.wake_at < end):
            one.wake_at = at
            self.send(SELF, at, (kinds.WAKE << kinds.KIND_SHIFT) | one.seat, 0, one.seat, 0)

    def _begin(self, one: Seated) -> None:
        """The user has the page open. Who is connected as the run begins has been so for long, and has seen all that was published: nothing."""
        crowd, session = self.columns.crowd, one.session
        ticket = int(crowd.belief[one.seat])
        at = 0
        if ticket >= 0:
            at = -(self.parameters.stable_after + self.parameters.heartbeat_interval + self.parameters.token_margin + SECOND)
        for channel in one.channels:
            session.handle(inputs.CursorLoaded(channel, 0, 0, with_state=True), at)
            session.handle(inputs.SubscribeWanted(channel), at)
        if ticket < 0:
            return
        crowd.flags[one.seat] |= BOOTED
        (boot,) = (e for e in session.handle(inputs.ConnectRequested(), at) if isinstance(e, effects.FetchBootstrap))
        answer = inputs.Bootstrapped(boot.ticket, tuple(one.channels))  # Before the run no token is too old: the dial follows at once.
        (dial,) = (e for e in session.handle(answer, at) if isinstance(e, effects.OpenTransport))
        one.generation, one.ticket = dial.generation, ticket
        made = session.handle(inputs.TransportOpened(dial.generation), at)
        session.handle(inputs.FrameReceived(dial.generation, self.acknowledgement(one)), at)
        for asked in (e.frame for e in made if isinstance(e, effects.SendFrame)):
            assert isinstance(asked, frames.Subscribe)
            for channel, _, _ in asked.channels:
                session.handle(inputs.FrameReceived(dial.generation, frames.Subscribed(asked.correlation, channel, 0, 0, 1, True)), at)
        while at < 0:
            at = min(0, at + self.parameters.heartbeat_interval)
            session.handle_timers(at - 1)
            session.handle(inputs.FrameReceived(dial.generation, frames.Ping(at)), at)
        self.connected(one, 0)
        self._plan(one, 0)
