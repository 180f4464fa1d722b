"""The presence store: who is online, by leases; and who is told when somebody comes or goes.

    gateways ──a connection is accepted, ends──▶ presence ──updates──▶ gateways ──▶ subscribers who look
                                                  │ ▲
                                                  └─┘ debounce, leases

A gateway says when a connection begins and when it ends, and renews the entries of all that it holds with each heartbeat. A heartbeat that changes
nothing is no event: when a gateway crashes, its entries last until a lease after the last heartbeat before that. One that ends as planned says
that all its connections have ended. A user is online while any device is; that one went is told a debounce later, unless they are back. What there is
to tell goes from the store to the gateways that have the user's first channels, as with a store that has publish and subscribe of its own
(Redis): past the log and the bus.

Leaves out: the load of heartbeats; a store that fails or forgets; the presence of all others that a client reads when it comes; gateways that ask
only for channels in which somebody looks; updates of many users in one frame.
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import below
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.components.gateways import Gateways
from simfabric.kernels import presence as kernels
from simfabric.kernels.frames import ITEM, KIND_SHIFT, WIDTH
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.presence import LAPSE, PART, Entries
from simfabric.kernels.state import LIFE
from simfabric.kernels.tickets import TURN
from simfabric.world import SECOND, Array, World


class Presence(Component):
    """The presence store; see the module."""

    name = "presence"

    def __init__(self, world: World, columns: Columns, gateways: Gateways) -> None:
        super().__init__(world)
        self.config = config = world.topology.presence
        self.columns = columns
        self.gateways = gateways
        self.free_at = np.zeros(config.servers, np.int64)
        self.busy = np.zeros(config.servers, np.int64)
        self.counters = np.zeros(kernels.STORE_COUNTERS, np.int64)
        self.seconds = np.zeros(-(-world.topology.run.duration // SECOND) + 1, np.int64)  # Updates told in each second.
        self.user_of = columns.who.user
        self.entries = self._at_start()
        self.online_at_start = self.online
        self._settings = np.array([config.debounce, config.queue_timeout, config.channels, config.lease, world.topology.network.hop], np.int64)
        self._law, self._key = world.table(config.work), world.key("presence/work")
        self._serve = world.kernel(kernels.serve_presence)
        self._out, self._timers = Outbox(4096), Outbox()
        self._sent = np.zeros(2, np.int64)

    def advance(self, end: int) -> None:
        """Serve what is due, in order of arrival."""
        frames, count = self.inbox.take(end)
        first, columns = 0, self.columns
        while first < count:
            self._sent[:] = 0
            timers = self._timers.reserve(count)
            done = self._serve(
                frames, first, count, self._settings, self.user_of, self.free_at, self.busy, self._law, self._key, self.entries, self.gateways.nodes,
                columns.book, columns.crowd, self._out.frames, timers, self._sent, self.seconds, self.counters,
            )  # fmt: skip
            self.gateways.inbox.put(self._out.frames, int(self._sent[0]))
            self.inbox.put(timers, int(self._sent[1]))
            if self._sent[0] == 0 and done < count:
                self._out.reserve(len(self._out.frames) + 1)
            first = int(done)

    def lost(self, gateway: int, life: int, seats: Array, planned: bool) -> None:
        """The gateway ended now, and had these seats: it says so when that was planned; else their leases end, with those of half-open connections."""
        whole, crowd, now = gateway * LIFE + life, self.columns.crowd, self.world.now
        known = self.entries.ticket
        ghosts = np.flatnonzero((known >= 0) & (known % TURN == whole))
        ghosts = ghosts[~np.isin(ghosts, seats)]
        both = np.concatenate([seats, ghosts]).astype(np.int64)
        tickets = np.concatenate([crowd.turn[seats].astype(np.int64) * TURN + whole, known[ghosts]])
        hop = self.world.topology.network.hop
        frames = np.zeros((len(both), WIDTH), np.int64)
        frames[:, 0] = now + hop if planned else max(now + hop, self._renewed(gateway) + self.config.lease)
        frames[:, 1] = ((PART if planned else LAPSE) << KIND_SHIFT) | (gateway << 32) | both
        frames[:, 3], frames[:, 4] = both, tickets
        self.inbox.put(frames, len(frames))

    @property
    def online(self) -> int:
        """Users with a connected device."""
        return int((self.entries.devices > 0).sum())

    @property
    def pending(self) -> int:
        """Updates that wait for their debounce."""
        return int((self.entries.gone_at >= 0).sum())

    def mending(self) -> Array:
        """Seats of which something is on its way to the store."""
        waiting = self.inbox.waiting()
        kind = waiting[:, 1] >> KIND_SHIFT
        return np.unique(waiting[kind <= LAPSE, ITEM])

    def _renewed(self, gateway: int) -> int:
        """The last heartbeat of this gateway until now; all of them have phases of their own."""
        every, now = self.config.heartbeat, self.world.now
        phase = int(below(self.world.key("presence/heartbeat"), gateway, 0, min(every, 2**31)))
        return now - (now - phase) % every

    def _at_start(self) -> Entries:
        """Who is connected as the run begins is online, and all know it."""
        crowd, users = self.columns.crowd, int(self.user_of.max()) + 1
        devices = np.bincount(self.user_of[crowd.client[crowd.home >= 0]], minlength=users).astype(np.int16)
        away = np.full(users, -1, np.int64)
        return Entries(crowd.belief.copy(), devices, (devices > 0).astype(np.int8), away, away.copy())
