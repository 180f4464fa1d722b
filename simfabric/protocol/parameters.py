"""Parameters: every number of the protocol, with its default. Durations [ns], sizes [bytes], shares and factors as floats.

Where the architecture gives a number, its section is named ("seed §10.1"); the others are choices of this protocol. A set of parameters
that cannot keep the protocol's promises is refused when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND

JitterOrder = Literal["cap_first", "jitter_first"]
Driver = Literal["server", "client"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers that a client and its gateways agree on; the defaults are the reference deployment."""

    # Heartbeat.
    heartbeat_interval: int = 25 * SECOND  # Between pings. Seed §10.1.
    heartbeat_timeout: int = 10 * SECOND  # How late a sign of life may be. Seed §10.1.
    heartbeat_driver: Driver = "server"  # Who pings: timers of hidden tabs are throttled, so not the client.
    probe_timeout: int = 5 * SECOND  # For the answer to a probe after a sleep.

    # Reconnect.
    reconnect_first: int = 1 * SECOND  # Wait before the first dial. Seed §10.1.
    reconnect_factor: float = 2.0  # Growth of the wait with each attempt. Seed §10.1.
    reconnect_cap: int = 30 * SECOND  # Longest wait before its spread. Seed §10.1.
    reconnect_jitter: float = 0.2  # Spread of a wait, ± this share. Seed §10.1.
    jitter_order: JitterOrder = "cap_first"  # The other order puts half of the late waits at exactly the cap.
    attempt_limit: int = 8  # Attempts until the offline banner. Seed §10.1.
    stable_after: int = 30 * SECOND  # Time in a ready state after which attempts count from 0 again.
    offline_retry: int = 60 * SECOND  # Between the slow retries of an offline client.
    offline_jitter: float = 0.2  # Their spread, ± this share.
    connect_timeout: int = 10 * SECOND  # For each stage: bootstrap, token, dial, subscribe.
    wake_jitter: int = 1 * SECOND  # Spread of the dials after "the network is back".
    dial_gap: int = 1 * SECOND  # Least time between two dials while the network flaps.
    away_min: int = 5 * SECOND  # Wait after a planned close without advice …
    away_spread: int = 25 * SECOND  # … and its spread: 5 to 30 s.

    # Channels and sizes.
    max_channels: int = 200  # Subscriptions of one connection. Seed §10.1.
    max_frame: int = 65_536  # One frame, either direction. Seed §10.1: 64 KB.
    out_buffer: int = 1_048_576  # Unsent bytes that a gateway holds for one connection. Seed §10.1: 1 MB.
    subscribe_batch: int = 1  # Channels in one subscribe frame.
    linger: int = 30 * SECOND  # How long a channel that nobody needs any more stays subscribed.
    out_soft: float = 0.5  # Share of the buffer above which transients are dropped.
    slow_grace: int = 10 * SECOND  # How long a full buffer is borne before the connection is closed.

    # The client's queue.
    queue_cap: int = 5_000  # Events. Seed §10.2.
    near_full: float = 0.8  # Share of it at which transients are dropped.
    visible_burst: int = 64  # Visible events in a row before one of the background.
    flush_every: int = 50 * MILLISECOND  # Between two batches to the user interface.
    snapshot_min_gap: int = 5 * SECOND  # Between two snapshots of one channel.
    replay_patience: int = 10 * SECOND  # How long replaying is shown as reconnecting before it is shown as syncing.

    # Token.
    token_ttl: int = 60 * SECOND  # How long a token is good for a dial. Seed §13.
    token_margin: int = 5 * SECOND  # One that ends sooner than this is not used.

    # Recovery.
    gap_wait: int = 300 * MILLISECOND  # How long a gap may close by itself before it is replayed.
    inline_recovery: int = 0  # Missed events that a `subscribed` reply may carry.
    page_events: int = 300  # Events in one page of a replay …
    page_bytes: int = 48 * 1024  # … and their bytes: below max_frame with room for the frame around them.
    replay_max: int = 2_000  # Missed events beyond which a snapshot is cheaper.
    fetch_timeout: int = 10 * SECOND  # For a replay page or a snapshot.
    replay_tries: int = 2  # Pages without progress until a snapshot.
    dedupe_window: int = 1_024  # Event ids kept for each channel: more than one producer may write twice.

    # Publish.
    ack_timeout: int = 5 * SECOND  # After which a missing ack is the user's choice.
    outbox_cap: int = 200  # Unsettled sends of one client.
    outbox_age: int = 5 * MINUTE  # After which an unsettled send expires.
    resend_limited: bool = True  # A send that was refused for its rate goes again, when that is worth it; else it fails, and the user may try again.
    idempotency_window: int = 10 * MINUTE  # How long the server remembers a key.

    # Transports.
    ws_retry_min: int = 5 * MINUTE  # In fallback a websocket is tried again after this …
    ws_retry_max: int = 10 * MINUTE  # … to this. Seed §12.1.
    ws_failures: int = 3  # Counted failures until sse; twice as many once a websocket has worked.
    sse_failures: int = 2  # Failures until long poll.
    first_byte_timeout: int = 10 * SECOND  # A proxy that buffers sse shows here.
    poll_hold: int = 25 * SECOND  # How long a gateway holds an empty poll.

    # Schema and tabs.
    schema_current: int = 2  # Version N.
    schema_back: int = 1  # N - 1 is served, too. Seed §7.1.
    beat: int = 2 * SECOND  # Between two beats of the leader tab.
    lease: int = 6 * SECOND  # After its last beat a leader is gone.
    persist_every: int = 1 * SECOND  # Between two saves of the cursors.

    # Server.
    publish_rate_user: int = 5  # Tokens per second …
    publish_burst_user: int = 20  # … and the most that are saved up.
    publish_rate_tenant: int = 500
    publish_burst_tenant: int = 2_000
    subscribe_rate_user: int = 20
    subscribe_burst_user: int = 400
    subscribe_rate_tenant: int = 2_000
    subscribe_burst_tenant: int = 40_000
    drain_retry_after: int = 0  # Before the first client of a draining gateway may leave.
    drain_spread: int = 30 * SECOND  # Over which they leave.
    drain_deadline: int = 60 * SECOND  # When those that are left are closed.
    revocation_bound: int = 5 * SECOND  # Longest time from a revocation to the last delivery.
    position_check: int = 25 * SECOND  # Between two comparisons of a channel with its log.

    @property
    def near_full_events(self) -> int:
        """Length of the client's queue from which transients are dropped."""
        return int(self.queue_cap * self.near_full)

    @property
    def out_soft_bytes(self) -> int:
        """Bytes in a gateway's buffer above which transients are dropped."""
        return int(self.out_buffer * self.out_soft)

    def __post_init__(self) -> None:
        """Refuse what cannot keep the promises, naming the law."""
        for name, holds, values in self._laws():
            if not holds:
                raise ValueError(f"the law is {name}; here {values}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"the law is {name} > 0; here {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"the law is {name} >= 0; here {getattr(self, name)}")

    def _laws(self) -> tuple[tuple[str, bool, str], ...]:
        horizon = self.outbox_age + self.ack_timeout
        return (
            ("idempotency_window > outbox_age + ack_timeout", self.idempotency_window > horizon, f"{self.idempotency_window} and {horizon} ns"),
            ("dedupe_window >= outbox_cap", self.dedupe_window >= self.outbox_cap, f"{self.dedupe_window} and {self.outbox_cap} events"),
            (
                "subscribe_burst_user >= 2 * max_channels",
                self.subscribe_burst_user >= 2 * self.max_channels,
                f"{self.subscribe_burst_user} and {self.max_channels}",
            ),
            ("60 s <= token_ttl <= 5 min", MINUTE <= self.token_ttl <= 5 * MINUTE, f"{self.token_ttl} ns"),
            ("token_margin < token_ttl", self.token_margin < self.token_ttl, f"{self.token_margin} and {self.token_ttl} ns"),
            ("reconnect_factor >= 1", self.reconnect_factor >= 1.0, f"{self.reconnect_factor}"),
            ("0 <= reconnect_jitter <= 1", 0.0 <= self.reconnect_jitter <= 1.0, f"{self.reconnect_jitter}"),
            ("0 <= offline_jitter <= 1", 0.0 <= self.offline_jitter <= 1.0, f"{self.offline_jitter}"),
            ("0 < near_full <= 1", 0.0 < self.near_full <= 1.0, f"{self.near_full}"),
            ("0 < out_soft <= 1", 0.0 < self.out_soft <= 1.0, f"{self.out_soft}"),
            ("jitter_order is cap_first or jitter_first", self.jitter_order in ("cap_first", "jitter_first"), repr(self.jitter_order)),
            ("heartbeat_driver is server or client", self.heartbeat_driver in ("server", "client"), repr(self.heartbeat_driver)),
            ("beat < lease", self.beat < self.lease, f"{self.beat} and {self.lease} ns"),
            ("ws_retry_min <= ws_retry_max", self.ws_retry_min <= self.ws_retry_max, f"{self.ws_retry_min} and {self.ws_retry_max} ns"),
            ("page_bytes <= max_frame", self.page_bytes <= self.max_frame, f"{self.page_bytes} and {self.max_frame} B"),
            ("max_frame <= out_buffer", self.max_frame <= self.out_buffer, f"{self.max_frame} and {self.out_buffer} B"),
            ("schema_back < schema_current", self.schema_back < self.schema_current, f"{self.schema_back} and {self.schema_current}"),
        )  # fmt: skip


# Zero would be a loop without time, or a bound that lets nothing through.
_POSITIVE = (
    "heartbeat_interval", "heartbeat_timeout", "probe_timeout", "reconnect_first", "reconnect_cap", "attempt_limit", "offline_retry", "connect_timeout",
    "dial_gap", "max_channels", "page_bytes", "subscribe_batch", "queue_cap", "visible_burst", "flush_every", "page_events", "fetch_timeout",
    "replay_tries", "ack_timeout", "outbox_cap", "outbox_age", "ws_retry_min", "ws_failures", "sse_failures", "first_byte_timeout", "poll_hold", "beat",
    "persist_every", "publish_rate_user", "publish_burst_user", "publish_rate_tenant", "publish_burst_tenant", "subscribe_rate_user",
    "subscribe_rate_tenant", "subscribe_burst_tenant", "drain_deadline", "position_check",
)  # fmt: skip
_NOT_NEGATIVE = (
    "stable_after", "wake_jitter", "away_min", "away_spread", "linger", "slow_grace", "snapshot_min_gap", "replay_patience", "token_margin", "gap_wait",
    "inline_recovery", "replay_max", "dedupe_window", "schema_back", "drain_retry_after", "drain_spread", "revocation_bound",
)  # fmt: skip
