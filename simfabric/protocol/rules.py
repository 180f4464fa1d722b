"""Rules: what numbers follow from what numbers. Time and chance are arguments, so a rule has no memory and no clock.

Each is a plain scalar function: sessions call it, populations compile it, and nothing else states it again. Verdicts are numbers with
names. Times are nanoseconds, `u` is uniform on [0, 1), and a deadline made from `now` lies at least LEAST_DELAY after it.

This file holds the rules of the connection: waits, heartbeat, token, transports, tabs. Those of positions are in `cursors`, those of
bounds in `queues`, the classes of codes in `codes`; the first two are named here again, so that every rule can be had as `rules.x`.
"""

from __future__ import annotations

from simfabric.protocol.codes import AWAY, FAULT, STALE_TOKEN, TERMINAL
from simfabric.protocol.cursors import (
    AHEAD,
    APPLY,
    BEHIND,
    CURRENT,
    DELIVER,
    DUPLICATE,
    GAP,
    LIVE_ONLY,
    RESET,
    RETRY,
    SNAPSHOT,
    TRANSIENT,
    after_skip,
    before,
    classify,
    may_save,
    recoverable,
    replay_verdict,
    snapshot_ok,
    sub_verdict,
)  # fmt: skip
from simfabric.protocol.inputs import LONG_POLL, SSE, WEBSOCKET
from simfabric.protocol.machine import FAIL, FAIL_LIMIT, IDLE, LIVE, OFFLINE, SIGNED_OUT, SYNCING
from simfabric.protocol.queues import (
    ASK_USER,
    BACKGROUND,
    CLOSE,
    COALESCE,
    DROP,
    ENQUEUE,
    EXPIRE,
    NEITHER,
    NEVER,
    OVERFLOW,
    RESEND,
    RESYNC,
    ROLLBACK,
    SEND,
    VISIBLE,
    WAIT,
    admit,
    bucket,
    bucket_wait,
    expire_at,
    pick_lane,
    publish_verdict,
    slow_consumer,
)  # fmt: skip

__all__ = [
    "AHEAD", "ALIVE", "APPLY", "ASK_USER", "BACKGROUND", "BEHIND", "CLOSE", "COALESCE", "CONTROL_FRAME", "CURRENT", "DEAD", "DELIVER", "DROP",
    "DUPLICATE", "DURABLE_EVENT", "ENQUEUE", "EXPIRE", "GAP", "LEAST_DELAY", "LENIENT", "LIVE_ONLY", "NEITHER", "NEVER", "OK", "OVERFLOW", "PROBE",
    "REFUSE", "RESEND", "RESET", "RESYNC", "RETRY", "ROLLBACK", "SEND", "SHOWN_NAMES", "SHOW_CONNECTED", "SHOW_CONNECTING", "SHOW_NOTHING",
    "SHOW_OFFLINE", "SHOW_RECONNECTING", "SHOW_SIGNED_OUT", "SHOW_SYNCING", "SNAPSHOT", "TRANSIENT", "TRANSIENT_EVENT", "VISIBLE", "WAIT",
    "accept_gen", "accepts", "admit", "after_skip", "attempt_after", "away_delay", "backoff", "backoff_jitter_first", "before", "bucket",
    "bucket_wait", "carries", "claim_at", "classify", "close_input", "counts_for_fallback", "expire_at", "fail_input", "hb_deadline", "hb_verdict",
    "ladder", "lease_ok", "may_save", "offline_delay", "outranks", "pick_lane", "ping_at", "publish_verdict", "recoverable", "replay_verdict",
    "retry_delay", "slow_consumer", "snapshot_ok", "soon", "standby_at", "sub_verdict", "token_fresh", "ui_state", "wanted", "ws_retry_at",
]  # fmt: skip

LEAST_DELAY = 1_000_000  # 1 ms: what a browser's timer can tell apart.


# Of a heartbeat.
ALIVE, DEAD, PROBE = range(3)
# Classes of frames, for a transport that does not carry all of them.
CONTROL_FRAME, DURABLE_EVENT, TRANSIENT_EVENT = range(3)
# Of a schema version.
OK, LENIENT, REFUSE = range(3)
# What the user interface shows.
SHOW_NOTHING, SHOW_CONNECTING, SHOW_RECONNECTING, SHOW_CONNECTED, SHOW_SYNCING, SHOW_OFFLINE, SHOW_SIGNED_OUT = range(7)
SHOWN_NAMES = ("nothing", "connecting", "reconnecting", "connected", "syncing", "offline", "signed_out")


# ------------------------------------------------------------------------------------------------------------------------- waits


def backoff(attempt: int, first: int, factor: float, cap: int, jitter: float, u: float) -> int:
    """Delay [ns] before reconnect number `attempt` = 0, 1, …: first · factor^attempt, at most `cap`, then spread evenly by ± `jitter`.

    `u` is uniform on [0, 1); the delay lies within (1 ± jitter) times the capped one, so it may exceed the cap by the jitter.
    """
    delay = float(min(first, cap))
    for _ in range(attempt):
        if delay >= cap:
            break
        delay = min(delay * factor, float(cap))
    return int(delay * (1.0 + jitter * (2.0 * u - 1.0)) + 0.5)


def backoff_jitter_first(attempt: int, first: int, factor: float, cap: int, jitter: float, u: float) -> int:
    """The same with the cap after the spread: half of the late waits are exactly the cap, which brings the herd back in step."""
    return min(cap, backoff(attempt, first, factor, cap, jitter, u))


def retry_delay(delay: int, advised: int, spread: int, u: float) -> int:
    """Wait before the next dial: the backoff `delay`, or what the server advised (-1 = nothing) plus its spread, whichever is longer."""
    if advised < 0:
        return delay
    return max(delay, advised + int(u * spread + 0.5))


def away_delay(advised: int, spread: int, away_min: int, away_spread: int, u: float) -> int:
    """Wait after a planned end: as advised, else away_min + u · away_spread. It is not an attempt."""
    if advised < 0:
        return retry_delay(0, away_min, away_spread, u)
    return retry_delay(0, advised, spread, u)


def offline_delay(offline_retry: int, jitter: float, u: float) -> int:
    """Wait between the slow retries of an offline client: even, spread by ± `jitter`."""
    return backoff(0, offline_retry, 1.0, offline_retry, jitter, u)


def soon(now: int, last_dial: int, retry_at: int, u: float, wake_jitter: int, min_gap: int) -> int:
    """When to dial after a hint that it may work now: within `wake_jitter`, `min_gap` after the last dial, and never later than planned."""
    return max(now + LEAST_DELAY, min(retry_at, max(now + int(u * wake_jitter + 0.5), last_dial + min_gap)))


def attempt_after(attempt: int, ready_for: int, stable_after: int) -> int:
    """The attempts counted after `ready_for` in a ready state: a gateway that accepts and soon closes does not reset them."""
    if ready_for >= stable_after:
        return 0
    return attempt


def fail_input(attempt: int, limit: int) -> int:
    """A failure as an input of the table: FAIL, or FAIL_LIMIT once `limit` attempts were made."""
    if attempt >= limit:
        return FAIL_LIMIT
    return FAIL


def close_input(kind: int, ready: bool, refetched: bool, faulted: bool, attempt: int, limit: int) -> int:
    """A close of class `kind` (see `codes`) as an input of the table.

    `ready`: a ready state was reached; `refetched`: a token was already refetched since the last one; `faulted`: a protocol fault was
    already forgiven.
    """
    if kind == TERMINAL or (kind == FAULT and faulted):
        return TERMINAL
    if kind == AWAY and ready:
        return AWAY
    if kind == STALE_TOKEN and not refetched:
        return STALE_TOKEN
    return fail_input(attempt, limit)


def standby_at(now: int, retry_after: int, spread: int, deadline: int, u: float) -> int:
    """When to open the standby connection after `draining`: evenly over the spread, and before the deadline when there is time."""
    room = max(0, min(spread, deadline - retry_after))
    return now + max(LEAST_DELAY, retry_after + int(u * room + 0.5))


# --------------------------------------------------------------------------------------------------- heartbeat, token, generation


def ping_at(last: int, interval: int, u: float, first: bool) -> int:
    """When the gateway pings next. The first ping comes at a random part of the interval, or all sockets of a deploy would beat in step."""
    if first:
        return last + max(LEAST_DELAY, int(u * interval + 0.5))
    return last + interval


def hb_deadline(last_rx: int, interval: int, timeout: int) -> int:
    """When a silent connection counts as dead. Any received byte is a sign of life."""
    return last_rx + interval + timeout


def hb_verdict(now: int, deadline: int, interval: int) -> int:
    """ALIVE before the deadline; PROBE when this check is late by more than one interval (we slept, not the server); else DEAD."""
    if now < deadline:
        return ALIVE
    if now - deadline > interval:
        return PROBE
    return DEAD


def token_fresh(now: int, asked_at: int, ttl: int, margin: int) -> bool:
    """Whether a token serves for another dial, on the client's own monotonic clock: a skewed wall clock does not matter."""
    return now + margin < asked_at + ttl


def accept_gen(g: int, primary: int, standby: int) -> bool:
    """Whether an input born on the socket of dial generation `g` is of a connection that we still have; 0 = no connection."""
    return g != 0 and g in (primary, standby)


# ---------------------------------------------------------------------------------------------------------- transports and schemas


def counts_for_fallback(bytes_seen: bool, https_worked: bool) -> bool:
    """Whether a failed websocket is evidence that websockets are blocked: not a byte arrived, while plain HTTPS works."""
    return https_worked and not bytes_seen


def ladder(kind: int, ws_fails: int, ws_ever: bool, sse_fails: int, ws_limit: int, sse_limit: int) -> int:
    """The transport to dial next: WEBSOCKET, then SSE, then LONG_POLL, by counted failures; a websocket that ever worked gets twice as many."""
    if kind == WEBSOCKET:
        if ws_fails >= (2 * ws_limit if ws_ever else ws_limit):
            return SSE
        return WEBSOCKET
    if kind == SSE:
        if sse_fails >= sse_limit:
            return LONG_POLL
        return SSE
    return LONG_POLL


def ws_retry_at(now: int, low: int, high: int, u: float) -> int:
    """When to try a websocket again while in fallback."""
    return now + max(LEAST_DELAY, low + int(u * (high - low) + 0.5))


def carries(kind: int, frame_class: int, visible_or_direct: bool) -> bool:
    """Whether a transport carries a frame: a long poll has control frames, and durable events of visible or direct channels."""
    if kind != LONG_POLL or frame_class == CONTROL_FRAME:
        return True
    return frame_class == DURABLE_EVENT and visible_or_direct


def accepts(schema: int, current: int, back: int) -> int:
    """A peer's schema version: OK from current - back to current, LENIENT when newer (known fields only), REFUSE when older (4426)."""
    if schema > current:
        return LENIENT
    if schema < current - back:
        return REFUSE
    return OK


# ------------------------------------------------------------------------------------------------------------- channels, tabs, screen


def wanted(allowed: bool, needed: bool, rank: int, max_channels: int) -> bool:
    """Whether a channel is to be subscribed: allowed, needed, and of rank 0, 1, … below the bound (visible, direct, recent)."""
    return allowed and needed and rank < max_channels


def outranks(term_a: int, tab_a: int, term_b: int, tab_b: int) -> bool:
    """Whether tab a leads over tab b: the higher term, and for equal terms the lower tab id."""
    if term_a != term_b:
        return term_a > term_b
    return tab_a < tab_b


def lease_ok(now: int, last_beat: int, lease: int) -> bool:
    """Whether the leader's last beat still holds."""
    return now < last_beat + lease


def claim_at(now: int, beat: int, visible: bool, u: float) -> int:
    """When to claim leadership after a lease ran out: within one beat if visible, in the beat after that if not."""
    share = u if visible else 1.0 + u
    return now + max(LEAST_DELAY, int(beat * share + 0.5))


def ui_state(state: int, ever_live: bool, banner: bool) -> int:
    """What the user sees: one of SHOW_*. Once raised, the offline banner stays through the slow retries until it is live again."""
    if state == IDLE:
        return SHOW_NOTHING
    if state == LIVE:
        return SHOW_CONNECTED
    if state == SYNCING:
        return SHOW_SYNCING
    if state == SIGNED_OUT:
        return SHOW_SIGNED_OUT
    if state == OFFLINE or banner:
        return SHOW_OFFLINE
    if ever_live:
        return SHOW_RECONNECTING
    return SHOW_CONNECTING
