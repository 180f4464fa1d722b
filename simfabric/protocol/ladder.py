"""Ladder: which transport is dialled next, from counted evidence.

A websocket that fails is first a network fault: a failure counts only if not one byte arrived although some HTTPS call has worked since
the connection was lost (or since the start). Enough of those lead one rung down, websocket → sse → long poll; while a lower rung is in
use the websocket is tried again every now and then, beside the connection that works, and its success leads back to the top at once. The
rung lives in memory only: a page that is loaded anew starts at the top.
"""

from __future__ import annotations

from simfabric.chance import uniform
from simfabric.protocol.inputs import WEBSOCKET
from simfabric.protocol.rules import carries, counts_for_fallback, ladder, ws_retry_at

S = 1_000_000_000


class Ladder:
    """One client's place on the ladder. `key` names the decision "clients/ws_retry" of the run, `client` is the entity."""

    def __init__(self, key: int, client: int, ws_failures: int = 3, sse_failures: int = 2, retry_low: int = 300 * S, retry_high: int = 600 * S) -> None:
        self.key = key
        self.client = client
        self.websocket_limit = ws_failures  # Twice as many after a success.
        self.sse_limit = sse_failures
        self.retry_low = retry_low  # Between two tries of a websocket while in fallback [ns].
        self.retry_high = retry_high
        self.kind = WEBSOCKET  # The rung that works, or is being tried.
        self.websocket_failures = 0  # That counted, since the last success.
        self.websocket_ever = False  # Whether one has ever worked: then more evidence is asked for.
        self.sse_failures = 0
        self.reachable = False  # Whether an HTTPS call has worked since the connection was lost.
        self.retry_at: int | None = None  # WS_RETRY [ns]; armed in fallback only.
        self.retry_pending = False  # It fired while there was no connection to keep: the next dial tries the websocket.
        self.retries = 0  # Draws of this decision so far.

    def next_kind(self) -> int:
        """The transport of the next dial."""
        return WEBSOCKET if self.retry_pending else self.kind

    def call_worked(self) -> None:
        """Some HTTPS call was answered: the network and the service are there."""
        self.reachable = True

    def connection_lost(self) -> None:
        """A connection that had been open is gone: what was known about the network is old."""
        self.reachable = False

    def opened(self, kind: int, now: int) -> None:
        """A transport works. The websocket leads back to the top; a lower rung keeps trying for it."""
        if kind == WEBSOCKET:
            self.kind = WEBSOCKET
            self.websocket_ever = True
            self.websocket_failures = self.sse_failures = 0
            self.retry_at, self.retry_pending = None, False
        else:
            self.sse_failures = 0
            if self.retry_at is None:
                self._arm(now)

    def failed(self, kind: int, bytes_seen: bool, now: int) -> int:
        """A dial of this kind failed; sse without a first byte in time is one. Returns the rung to go on with."""
        self.retry_pending = self.retry_pending and kind != WEBSOCKET
        if not counts_for_fallback(bytes_seen, self.reachable):
            return self.kind
        if kind == WEBSOCKET:
            self.websocket_failures += 1
        else:
            self.sse_failures += 1
        self.kind = ladder(self.kind, self.websocket_failures, self.websocket_ever, self.sse_failures, self.websocket_limit, self.sse_limit)
        if self.kind != WEBSOCKET and self.retry_at is None:
            self._arm(now)
        return self.kind

    def retry_due(self, now: int, ready: bool) -> bool:
        """WS_RETRY fired. True: dial a websocket beside the connection that works; without one, the next dial will be a websocket."""
        if self.kind == WEBSOCKET:
            self.retry_at = None
            return False
        self._arm(now)
        self.retry_pending = not ready
        return ready

    def carries(self, frame_class: int, visible_or_direct: bool) -> bool:
        """Whether the rung in use carries this class of frames."""
        return carries(self.kind, frame_class, visible_or_direct)

    def _arm(self, now: int) -> None:
        u = uniform(self.key, self.client, self.retries)
        self.retries += 1
        self.retry_at = ws_retry_at(now, self.retry_low, self.retry_high, u)
