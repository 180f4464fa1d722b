"""Queues: what is bounded, and what happens at the bound.

The client's queue of events, the gateway's buffer of a slow consumer, the user's outbox, and the token bucket before all of them. A
durable event is never dropped and passed over: at the bound its channel is resynchronised instead.
"""

from __future__ import annotations

# Of an event at the client's queue, and at the gateway's buffer; DROP is the same word for the same loss, of a transient.
ENQUEUE, COALESCE, DROP, OVERFLOW = range(4)
SEND, RESYNC, CLOSE = range(4, 7)
# Lanes of the client's queue.
VISIBLE, BACKGROUND = range(2)
NEITHER = -1
# Of a publication that waits for its ack.
WAIT, RESEND, ROLLBACK, EXPIRE, ASK_USER = range(5)

TOKEN = 1_000_000_000  # One token of a bucket in its unit, the billionth: a rate per second is then a rate of units per nanosecond.
NEVER = -1


def admit(qlen: int, cap: int, near: int, transient: bool, has_slot: bool) -> int:
    """An event at the client's queue of `qlen` events: ENQUEUE, COALESCE with its queued twin, DROP near the bound, or OVERFLOW at it."""
    if transient and has_slot:
        return COALESCE
    if transient and qlen >= near:
        return DROP
    if qlen >= cap:
        return OVERFLOW
    return ENQUEUE


def pick_lane(visible_len: int, background_len: int, run: int, burst: int) -> int:
    """The lane to serve after `run` visible events in a row: VISIBLE first, one BACKGROUND event after `burst`; NEITHER when both are empty."""
    if visible_len > 0 and (run < burst or background_len == 0):
        return VISIBLE
    if background_len > 0:
        return BACKGROUND
    return NEITHER


def slow_consumer(buffered: int, size: int, soft: int, hard: int, transient: bool, over_for: int, grace: int) -> int:
    """A frame of `size` bytes for a socket with `buffered` bytes unsent: SEND, DROP, RESYNC (the channel is dirty) or CLOSE (4508).

    `over_for` is how long the buffer has refused durable frames; the socket is closed once that exceeds `grace`.
    """
    total = buffered + size
    if total <= soft:
        return SEND
    if transient:
        return DROP
    if total <= hard:
        return SEND
    if over_for > grace:
        return CLOSE
    return RESYNC


def bucket(tokens: int, last: int, now: int, rate: int, burst: int, cost: int) -> tuple[int, int, bool]:
    """Refill since `last`, take `cost` if there is enough: (tokens, last, taken). `tokens` counts units of 1 / TOKEN, the others whole tokens.

    All whole numbers: the refill of Δt ns at `rate` per second is exactly rate · Δt units, and a long pause cannot overflow.
    """
    full = burst * TOKEN
    if now > last:
        pause = now - last
        last = now
        if rate > 0:
            if pause > (full - tokens) // rate:
                tokens = full
            else:
                tokens += pause * rate
    if tokens >= cost * TOKEN:
        return tokens - cost * TOKEN, last, True
    return tokens, last, False


def bucket_wait(tokens: int, rate: int, burst: int, cost: int) -> int:
    """Time [ns] until a bucket holds `cost`: the advice of a refusal. NEVER when it cannot hold that much."""
    short = cost * TOKEN - tokens
    if short <= 0:
        return 0
    if rate <= 0 or cost > burst:
        return NEVER
    return (short + rate - 1) // rate


def publish_verdict(error: bool, age: int, max_age: int, gen_sent: int, gen_now: int, since_sent: int, ack_timeout: int) -> int:
    """An unacked publication: ROLLBACK, EXPIRE, RESEND, ASK_USER or WAIT. Whatever it is, the key stays.

    `error`: the server refused for good. Sent over an earlier dial generation: resend. An ack that is late on the same connection is the
    user's choice, since the message may well be in the log.
    """
    if error:
        return ROLLBACK
    if age > max_age:
        return EXPIRE
    if gen_sent != gen_now:
        return RESEND
    if since_sent >= ack_timeout:
        return ASK_USER
    return WAIT


def expire_at(queued_at: int, max_age: int) -> int:
    """The first instant at which a publication is too old."""
    return queued_at + max_age + 1
