"""Clients: the devices, as columns. They publish, receive, notice breaks, dial again and catch up.

    publishers ──▶ clients ──uplink──▶ gateways
                    │ ▲└──dial──▶ balancer ──▶ gateways ──▶ clients
                    ▼ │
          bootstrap API, token API

The receive side (cursor per subscription: in order, duplicate, gap) is settled where messages are written, in the gateways' kernel.

Leaves out: tabs, the bounded client queue; a send that was lost is not sent again. A user closes the page only while it is connected.
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import constant, uniform
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.seated import SELF
from simfabric.components.sessions import Sessions
from simfabric.kernels import clients as kernels
from simfabric.kernels.churn import Habits, stay_all
from simfabric.kernels.frames import BOOT, DIAL, KIND_SHIFT, NOTICE, WIDTH
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.lifecycle import LIFECYCLE, NEVER_RESETS, RESETS, Fleet
from simfabric.kernels.state import DELAY, LIFE
from simfabric.kernels.tallying import new_tally
from simfabric.kernels.tickets import TURN
from simfabric.protocol.machine import EFFECTS, TABLE
from simfabric.protocol.profiles import CAP_FIRST, DEFAULT, PROFILES, Profile
from simfabric.topology import Topology
from simfabric.world import SECOND, Array, World


def settings_of(topology: Topology) -> Array:
    """The numbers of `lifecycle`, in the order of its names."""
    reconnect, token, drain, balancer = topology.clients.reconnect, topology.apis.token, topology.gateways.drain, topology.balancer
    values = (
        reconnect.first, reconnect.cap, int(reconnect.jitter_order == "jitter_first"), reconnect.attempt_limit, reconnect.offline_retry, reconnect.stable_after,
        token.ttl, token.margin, drain.retry_after, drain.spread, -1 if balancer.retry_after is None else balancer.retry_after, balancer.retry_spread,
        int(topology.apis.bootstrap.enabled),
    )  # fmt: skip
    assert len(values) == LIFECYCLE
    return np.array(values, np.int64)


def old_names(topology: Topology) -> list[str]:
    """The profiles that faults give to clients for a while; their numbers follow those of the fleet."""
    return [fault.profile for fault in topology.faults if fault.kind == "old_clients"]


def old_profile(topology: Topology, name: str) -> Profile:
    """An older version of these clients, or another library."""
    if name in PROFILES:
        return PROFILES[name]
    own = topology.clients.reconnect
    return Profile(CAP_FIRST, own.first, own.factor, own.cap, jitter=0.0 if name == "no_jitter" else own.jitter, reset_on_open=False)


def fleet_of(world: World, columns: Columns) -> Fleet:
    """Whose client library each client has, drawn by its number."""
    fleet = world.topology.clients.fleet
    known = [PROFILES[DEFAULT], *(PROFILES[part.profile] for part in fleet), *(old_profile(world.topology, name) for name in old_names(world.topology))]
    schedules = [np.array(profile.schedule, np.int64) for profile in known]
    ends = np.cumsum([len(schedule) for schedule in schedules])
    numbers = [
        (p.kind, p.first, p.cap, p.extra, p.late, p.limit, int(p.reset_on_open), end - len(schedule), end)
        for p, schedule, end in zip(known, schedules, ends.tolist())
    ]
    client = columns.crowd.client.astype(np.int64)
    shares = np.cumsum([1.0 - sum(part.share for part in fleet), *(part.share for part in fleet)])
    profile = np.searchsorted(shares[:-1], uniform(world.key("clients/profile"), client, 0), side="right").astype(np.int8)
    table = np.array(numbers, np.int64)
    for place, name in enumerate(old_names(world.topology), 1 + len(fleet)):
        table[place, RESETS] = NEVER_RESETS if name == "never_reset" else table[place, RESETS]
    return Fleet(profile, table, np.array([(p.factor, p.centre, p.jitter) for p in known]), np.concatenate(schedules))


def habits_of(world: World, columns: Columns) -> Habits:
    """Who comes and goes, drawn by number, and by which laws."""
    topology, client = world.topology, columns.crowd.client.astype(np.int64)
    config = topology.clients
    laws = [(world.table(part.stays), world.table(part.away or constant(0))) for part in config.churn]
    tables = [table for pair in laws for table in pair] or [world.table(constant(0))]
    ends = np.cumsum([len(table) for table in tables])
    starts = ends - [len(table) for table in tables]
    parts = [(int(p.ends == "silent"), starts[2 * i], ends[2 * i], starts[2 * i + 1], ends[2 * i + 1]) for i, p in enumerate(config.churn)]
    shares = np.cumsum([part.share for part in config.churn])
    part = np.searchsorted(shares, uniform(world.key("clients/churn"), client, 0), side="right")
    least = max(SECOND, topology.run.window or 0, config.delay_floor)
    return Habits(
        np.where(part < len(shares), part, -1).astype(np.int8),
        np.array(parts, np.int64).reshape(-1, 5),
        np.concatenate(tables),
        np.array([least, config.heartbeat_interval, config.heartbeat_timeout, config.connect_timeout], np.int64),
        np.array([world.key(f"clients/{name}") for name in ("stay", "absence", "heartbeat_phase")], np.int64),
    )


class Clients(Component):
    """All clients of the fabric; see the module."""

    name = "clients"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        config = world.topology.clients
        self.columns = columns
        self.tally = new_tally(0)
        self.to_gateways: Component
        self.to_balancer: Component
        self.to_bootstrap: Component
        self.to_tokens: Component
        self._live = world.kernel(kernels.live)
        self.fleet = fleet_of(world, columns)
        self.habits = habits_of(world, columns)
        self._settings = settings_of(world.topology)
        self._keys = np.array([world.key(f"clients/{name}") for name in ("backoff", "offline", "away", "sub_retry")], np.int64)
        self._table, self._effects = np.array(TABLE, np.int8), np.array(EFFECTS, np.int32)
        self._up, self._dial, self._again, self._ask = Outbox(), Outbox(), Outbox(), Outbox()
        self._sent = np.zeros(4, np.int64)
        self.to_replay: Component
        self.to_snapshots: Component
        self.sessions = Sessions(world, columns, self.tally, self._settings, self.fleet, self.habits) if config.sessions != 0 else None
        if self.sessions is not None:
            self._pass_on(self.sessions, SELF, self)
        if config.start:
            self._dial_over(config.start)

    def advance(self, end: int) -> None:
        """Serve publications, breaks, answers to dials, and timers."""
        frames, count = self.inbox.take(end)
        if count == 0:
            return
        if self.sessions is not None:
            count = self._serve_sessions(self.sessions, frames, count, end)
        config = self.world.topology.clients.reconnect
        up, dial, again, ask = (box.reserve(2 * count) for box in (self._up, self._dial, self._again, self._ask))
        self._sent[:] = 0
        columns = self.columns
        self._live(
            frames, count, self._settings, config.factor, config.jitter, self._keys, self._table, self._effects, self.world.topology.network.hop,
            columns.crowd, self.fleet, self.habits, columns.log, up, dial, again, ask, self._sent, self.tally,
        )  # fmt: skip
        self.to_gateways.inbox.put(up, int(self._sent[0]))
        self.to_balancer.inbox.put(dial, int(self._sent[1]))
        if self._sent[3]:
            asked = ask[: self._sent[3]]
            boots = asked[:, 1] >> KIND_SHIFT == BOOT
            for api, chosen in ((self.to_bootstrap, boots), (self.to_tokens, ~boots)):
                api.inbox.put(asked[chosen], int(chosen.sum()))
        if self._sent[2]:  # A client that waits briefly dials before the end of this stretch: its timer is served now. Clients do not touch each other.
            self.inbox.clock = self.clock
            self.inbox.put(again, int(self._sent[2]))
            self.advance(end)

    def _serve_sessions(self, sessions: Sessions, frames: Array, count: int, end: int) -> int:
        """Give the sessions what is theirs; returns how many frames are left for the others, at the front."""
        theirs = sessions.pick(frames[:count])
        sessions.serve(frames[:count][theirs], end)
        left = count - int(theirs.sum())
        frames[:left] = frames[:count][~theirs]
        receivers = (self.to_gateways, self.to_balancer, self.to_bootstrap, self.to_tokens, self.to_replay, self.to_snapshots, self)
        for number, receiver in enumerate(receivers):
            self._pass_on(sessions, number, receiver)
        return left

    def _pass_on(self, sessions: Sessions, number: int, receiver: Component) -> None:
        written = sessions.sent(number)
        receiver.inbox.put(written, len(written))

    def begin(self) -> None:
        """When they leave who are connected as the run begins, and will leave."""
        if self.world.topology.clients.churn and not self.world.topology.clients.start:
            crowd, count = self.columns.crowd, len(self.columns.crowd.client)
            up, again = np.empty((count, WIDTH), np.int64), np.empty((count, WIDTH), np.int64)
            self._sent[:] = 0
            self.world.kernel(stay_all)(self.habits, crowd, up, again, self._sent)
            self.to_gateways.inbox.put(up, int(self._sent[0]))
            self.inbox.put(again, int(self._sent[2]))

    def lose(self, gateway: int, incarnation: int, seats: Array, planned: bool) -> None:
        """These seats' gateway ended now: each client will notice after its delay; when it was `planned`, the gateway told them itself."""
        frames = np.zeros((len(seats), WIDTH), np.int64)
        frames[:, 0] = self.world.now + self.columns.crowd.link[seats, DELAY] + (0 if planned else self.world.topology.clients.notice)
        frames[:, 1] = (NOTICE << KIND_SHIFT) | seats
        frames[:, 2] = kernels.PLANNED if planned else 0
        frames[:, 3] = seats
        frames[:, 4] = self.columns.crowd.turn[seats].astype(np.int64) * TURN + gateway * LIFE + incarnation
        self.inbox.put(frames, len(frames))

    def _dial_over(self, duration: int) -> None:
        """Nobody is connected: every client dials once, at a time drawn evenly over the duration."""
        crowd = self.columns.crowd
        seats = np.arange(len(crowd.client), dtype=np.int64)
        at = (uniform(self.world.key("clients/start"), crowd.client.astype(np.int64), 0) * duration).astype(np.int64)
        crowd.broke_at[:] = at
        frames = np.zeros((len(seats), WIDTH), np.int64)
        frames[:, 0] = at
        frames[:, 1] = (DIAL << KIND_SHIFT) | seats
        frames[:, 3] = seats
        self.inbox.put(frames, len(frames))
