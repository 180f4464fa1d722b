"""The APIs: services that answer one request of a client after another.

    clients ──▶ bootstrap API ──▶ clients          what a client may see
    clients ──▶ token API ──▶ clients              the token with which it may dial
    clients ──▶ snapshot API ──▶ gateways          the state of a channel; it takes effect where the client's cursor is kept

Each has so many servers and one queue. A request that would wait longer than the queue's time-out is refused (503), a share of them is served
in vain (500), and one that is answered too late finds that nobody waits for it any more.

Leaves out: the network's failures; the size of the answers.
"""

from __future__ import annotations

import numpy as np

from simfabric.chance import uniform
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.kernels import log, servers
from simfabric.kernels.clients import ADVISED, FAILED, TIMED_OUT
from simfabric.kernels.frames import KIND_SHIFT, NO_STATE, REFUSED, STATE
from simfabric.kernels.inbox import Outbox
from simfabric.kernels.slow import CLOSED, HEARD
from simfabric.kernels.state import DELAY, LOW, WIDE
from simfabric.topology.apis import Api as ApiConfig
from simfabric.world import Array, World


class Api(Component):
    """One API with its servers; `what` names its section of the topology, `answer` is the kind of its answers. See the module."""

    def __init__(self, world: World, columns: Columns, what: str, answer: int) -> None:
        self.name = f"{what}_api"
        super().__init__(world)
        self.config: ApiConfig = getattr(world.topology.apis, what)
        self.columns = columns
        self.answer = answer
        self.errors = self.config.errors  # Share of the requests that are served in vain now.
        self.free_at = np.zeros(self.config.servers, np.int64)
        self.busy = np.zeros(self.config.servers, np.int64)
        self.counters = np.zeros(6, np.int64)  # Requests taken, sum of their arrivals, work [ns], refused, failed, answered too late.
        self.unmade = [0, 0]  # Requests that their clients did not make after all, and the sum of their times.
        self.to: Component
        self._law = world.table(self.config.work)
        self._serve = world.kernel(servers.handshakes)
        self._key, self._errors = world.key(f"apis/{what}"), world.key(f"apis/{what}/errors")
        self._out = Outbox()

    def advance(self, end: int) -> None:
        """Serve in order of arrival."""
        frames, count = self.inbox.take(end)
        if count:
            self._send(frames[:count], *self._done(frames, count))

    def _done(self, frames: Array, count: int) -> tuple[Array, Array, Array]:
        """When each request is answered, which are refused and which are served in vain."""
        client = self.columns.crowd.client
        done, refused = np.empty(count, np.int64), np.empty(count, np.int8)
        self._serve(frames, count, self.free_at, self.busy, self._law, self._key, self.config.queue_timeout, client, done, refused, self.counters)
        failed = np.zeros(count, bool)
        if self.errors > 0:
            taken = frames[:count]
            failed = uniform(self._errors, client[taken[:, 3] & LOW].astype(np.int64), taken[:, 0] + taken[:, 4] // WIDE) < self.errors
            failed &= refused == 0
            self.counters[4] += int(failed.sum())
        return done, refused == 1, failed

    def _send(self, frames: Array, done: Array, refused: Array, failed: Array) -> None:
        """The answers, to the clients; who gave up waiting learns it from its own clock."""
        count, topology = len(frames), self.world.topology
        seat = frames[:, 3]
        out = self._out.reserve(count)
        way = topology.network.hop + self.columns.crowd.link[seat, DELAY]
        deadline = np.maximum(frames[:, 0] - way + topology.clients.connect_timeout, frames[:, 0] + way)
        late = done + way > deadline  # The work is done, and nobody waits for it any more.
        self.counters[5] += int(late.sum())
        out[:count, 0] = np.minimum(done + way, deadline)
        out[:count, 1] = (np.where(refused | failed | late, REFUSED, self.answer).astype(np.int64) << KIND_SHIFT) | seat
        out[:count, 2] = 0
        out[:count, 3] = seat
        out[:count, 4] = np.where(late, TIMED_OUT, np.where(failed, FAILED, ADVISED))
        self.to.inbox.put(out, count)


class Snapshots(Api):
    """The snapshot API: the watermark is what stood in the log when the request came."""

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world, columns, "snapshot", STATE)
        self._watermarks = world.kernel(log.watermarks)

    def advance(self, end: int) -> None:
        """Serve in order of arrival. Who heard first that its gateway had closed the connection has not asked."""
        frames, count = self.inbox.take(end)
        crowd, seat = self.columns.crowd, frames[:count, 3] & LOW
        made = np.ones(count, bool)
        if len(crowd.refusing) > 1:
            asked_at = frames[:count, 0] - self.world.topology.network.hop - crowd.link[seat, DELAY]
            refusing = crowd.refusing[seat]
            made = (refusing[:, CLOSED] != frames[:count, 3] // WIDE) | (asked_at < refusing[:, HEARD])
        if not made.all():
            self.unmade[0] += int((~made).sum())
            self.unmade[1] += int(frames[:count][~made, 0].sum())
            frames = frames[:count][made]
            count = len(frames)
        if count:
            self._send(frames[:count], *self._done(frames, count))

    def _send(self, frames: Array, done: Array, refused: Array, failed: Array) -> None:
        """The answers, to the gateways' rows; a request without one to where its client asks again."""
        count, topology = len(frames), self.world.topology
        hop, delay = topology.network.hop, self.columns.crowd.link[frames[:, 3] & LOW, DELAY]
        deadline = np.maximum(frames[:, 0] - hop - 2 * delay + topology.clients.fetch_timeout, frames[:, 0] + hop)
        late = done + hop > deadline
        self.counters[5] += int(late.sum())
        watermark = np.empty(count, np.int64)
        self._watermarks(frames, count, self.columns.log, watermark)
        channel, asked = frames[:, 4] // WIDE, frames[:, 4] & LOW
        useless = refused | failed | late
        advised = refused & ~late & (topology.balancer.retry_after is not None)
        said = np.where(useless, (asked >> 1) * 4 + advised * 2, watermark * 2) + (asked & 1)
        out = self._out.reserve(count)
        out[:count, 0] = np.minimum(done + hop, deadline)
        out[:count, 1] = np.where(useless, NO_STATE, STATE).astype(np.int64) << KIND_SHIFT | frames[:, 1] & ((1 << KIND_SHIFT) - 1)
        out[:count, 2] = frames[:, 2]
        out[:count, 3] = frames[:, 3]
        out[:count, 4] = channel * WIDE + said
        self.to.inbox.put(out, count)
