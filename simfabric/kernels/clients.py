"""What clients do, as columns: they publish, notice breaks, fetch tokens, dial with growing delays, and subscribe again when a gateway answers.

LEFT: users who closed the page. SILENCES: connections on which nothing passed any more. UNHEARD: publications into such a silence.

The course of a connection is the protocol's table; see `lifecycle`.
"""

from __future__ import annotations

from typing import Any

from simfabric.kernels.churn import STEP_TIMEOUT, Habits, fall_silent, farewell, go, stay, stay_of, write
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.lifecycle import (
    ASKING,
    ASKS_DRAWN,
    BANNER,
    BOOTED,
    REFETCHED,
    TOKEN_MARGIN,
    TOKEN_TTL,
    Fleet,
    advice,
    ended,
    input_of,
    opened,
    ready,
    started,
    subscribe_wait,
    taken,
    wait,
)
from simfabric.kernels.lifecycle import BOOTS as MUST_BOOT
from simfabric.kernels.slow import SLOW
from simfabric.kernels.state import (
    DELAY,
    FATE,
    LOW,
    OWED,
    PUBLISHER,
    SERVED,
    SERVED_AT,
    STAGE_CONNECT,
    UNSENT,
    WIDE,
    Crowd,
    Log,
    Tally,
)  # fmt: skip
from simfabric.kernels.striking import HUSHED, REBOUND, RESET, hush, rebind
from simfabric.kernels.tickets import SILENT, gateway_of, life_of
from simfabric.protocol.machine import BOOT_OK, OFFLINE, OPENED, REPLAYING, STALE_TOKEN, SYNCING, TOKEN, TOKEN_OK
from simfabric.protocol.rules import LEAST_DELAY, token_fresh

# A clients' tally uses these places of the counters, which it shares with no one.
PUBLISHED, UNSENT_COUNT, UNSENT_OBLIGATIONS, BREAKS, DIALS, OPENINGS, REFUSALS, PUBLISHED_OBLIGATIONS, OFFLINES, TOKENS, GIVEN_UP, BOOTS = range(12)
LEFT, SILENCES, UNHEARD = 12, 13, 14
ADVISED, TIMED_OUT, FAILED = -1, -2, -3  # Reasons of a refusal that name no gateway: 503 with the edge's advice; no answer in time; 500.
PLANNED, OVERDUE = 1, 2  # Row of a NOTICE: the gateway said that it would close; no answer to SUBSCRIBE came in time.
FULL, BUSY, VOID = 1, 2, 3  # Row of a REFUSED: a living gateway had no room; its core was too busy; the token was not valid any more.


def live(
    frames: Any, count: int, settings: Any, factor: float, jitter: float, keys: Any, table: Any, effects: Any, hop: int, crowd: Crowd, fleet: Fleet,
    habits: Habits, log: Log, up: Any, dial: Any, again: Any, ask: Any, sent: Any, tally: Tally
) -> None:  # fmt: skip
    """Serve the clients' frames. sent: frames written to `up` (gateways), `dial` (balancer), `again` (timers) and `ask` (bootstrap and token API)."""
    for f in range(count):
        at = frames[f, 0]
        kind = frames[f, 1] >> 56
        seat = frames[f, 3] & LOW
        why = frames[f, 2]
        extra = frames[f, 4]
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        if kind == 36:
            ticket = crowd.belief[seat]
            if ticket < 0 or ticket >= SILENT:
                continue
            if why >= HUSHED:
                tally.counters[SILENCES] += 1
                hush(at, seat, ticket, extra, hop, habits, crowd, up, dial, again, sent)
                continue
            kind = 2
            extra = ticket
        if kind == 12:
            row = frames[f, 3] - log.base[0]
            seat = log.rows[row, PUBLISHER]
            owed = log.rows[row, OWED]
            ticket = crowd.belief[seat]
            if ticket < 0 or ticket >= SILENT or crowd.state[seat] < REPLAYING or crowd.state[seat] > SYNCING:  # Nobody sends who is shown to be cut off.
                tally.counters[UNHEARD] += 1 if ticket >= SILENT else 0
                log.rows[row, FATE] = UNSENT
                tally.counters[UNSENT_COUNT] += 1
                tally.counters[UNSENT_OBLIGATIONS] += owed
                continue
            tally.counters[PUBLISHED] += 1
            tally.counters[PUBLISHED_OBLIGATIONS] += owed
            write(up, sent, 0, at + crowd.link[seat, DELAY], (13 << 56) | frames[f, 3], gateway_of(ticket), frames[f, 3], life_of(ticket))
        elif kind == 5:
            taken(seat, OPENED, table, effects, crowd)
            crowd.belief[seat] = extra
            crowd.cookie[seat] = gateway_of(extra)
            opened(seat, crowd, fleet)
            tally.counters[OPENINGS] += 1
            tally.stages[STAGE_CONNECT, bin_of(at - crowd.broke_at[seat])] += 1
            write(up, sent, 0, at + crowd.link[seat, DELAY], (7 << 56) | seat, gateway_of(extra), seat, extra)
            stay(seat, at, extra, habits, crowd, up, again, sent)
        elif kind == 19:
            if crowd.belief[seat] == extra:
                crowd.flags[seat] &= ~ASKING
                ready(seat, at, frames[f, 2] == 1, table, effects, crowd)
        elif kind == 3:
            started(seat, table, effects, crowd)
            if settings[MUST_BOOT] == 0 or crowd.flags[seat] & BOOTED:  # Skip rule: what bootstrap said is still in hand.
                token(at, seat, settings, table, effects, hop, crowd, dial, ask, sent, tally)
            else:
                tally.counters[BOOTS] += 1
                write(ask, sent, 3, at + crowd.link[seat, DELAY] + hop, (20 << 56) | seat, 0, seat, 0)
        elif kind == 21:
            crowd.flags[seat] |= BOOTED
            token(at, seat, settings, table, effects, hop, crowd, dial, ask, sent, tally)
        elif kind >= 34:
            after = put_off(at, kind, seat, frames[f, 2], extra, factor, jitter, settings, keys, table, effects, crowd, habits, up, again, sent)
            if after >= 0:
                write(again, sent, 2, at + after, (35 << 56) | seat, 0, seat, extra + WIDE)
        elif kind >= 30:
            if crowd.belief[seat] == extra:
                tally.counters[LEFT if kind == 30 else SILENCES] += 1
                if kind == 30:
                    go(at, seat, extra, hop, table, effects, habits, crowd, up, dial, again, sent)
                else:
                    fall_silent(at, at - stay_of(seat, habits, crowd), 0, seat, extra, hop, habits, crowd, dial, again, sent)
        elif kind == 16:
            call(at, seat, table, effects, hop, crowd, dial, sent, tally)
        else:
            if kind == 2:
                if crowd.belief[seat] != extra:
                    continue
                crowd.belief[seat] = -1
                crowd.broke_at[seat] = at
                ended(seat, at, crowd, settings, fleet)
                tally.counters[BREAKS] += 1
                if why in (OVERDUE, RESET):
                    farewell(at, seat, extra, hop, crowd, up, dial, sent)
                elif why == REBOUND:
                    rebind(at, seat, extra, hop, habits, crowd, up, dial, sent)
                elif why == SLOW:
                    write(dial, sent, 1, at + crowd.link[seat, DELAY] + hop, (24 << 56) | seat, 0, seat, extra)
            else:
                tally.counters[REFUSALS] += 1
                if why > 0:  # The balancer has counted it as open.
                    write(dial, sent, 1, at + crowd.link[seat, DELAY] + hop, (24 << 56) | seat, 0, seat, extra)
                if frames[f, 2] == VOID and crowd.flags[seat] & REFETCHED == 0:  # One new token at once, and no attempt.
                    crowd.flags[seat] |= REFETCHED
                    taken(seat, STALE_TOKEN, table, effects, crowd)
                    ask_for_token(at, seat, hop, crowd, ask, sent, tally)
                    continue
                if crowd.state[seat] == TOKEN:  # Without a token, the next attempt asks again.
                    crowd.asked_at[seat] = -settings[TOKEN_TTL]
            planned = kind == 2 and why == PLANNED
            after, spread = advice(planned, kind == 6 and (extra == ADVISED or why == BUSY), crowd.state[seat], settings)
            given = input_of(seat, planned, crowd, settings, fleet)
            mask = taken(seat, given, table, effects, crowd)
            if crowd.state[seat] == OFFLINE and crowd.flags[seat] & BANNER == 0:
                crowd.flags[seat] |= BANNER
                tally.counters[OFFLINES] += 1
            delay = wait(seat, at, mask, after, spread, factor, jitter, settings, keys, crowd, fleet)
            if delay < 0:
                tally.counters[GIVEN_UP] += 1
            else:
                write(again, sent, 2, at + max(delay, LEAST_DELAY), (3 << 56) | seat, 0, seat, 0)


def token(at: int, seat: int, settings: Any, table: Any, effects: Any, hop: int, crowd: Crowd, dial: Any, ask: Any, sent: Any, tally: Tally) -> None:
    """What bootstrap says is in hand: dial with a token that is still fresh, or ask for one."""
    taken(seat, BOOT_OK, table, effects, crowd)
    if settings[TOKEN_TTL] == 0 or token_fresh(at, crowd.asked_at[seat], settings[TOKEN_TTL], settings[TOKEN_MARGIN]):
        call(at, seat, table, effects, hop, crowd, dial, sent, tally)
    else:
        ask_for_token(at, seat, hop, crowd, ask, sent, tally)


def ask_for_token(at: int, seat: int, hop: int, crowd: Crowd, ask: Any, sent: Any, tally: Tally) -> None:
    """A new token, from the token API."""
    crowd.asked_at[seat] = at
    tally.counters[TOKENS] += 1
    write(ask, sent, 3, at + crowd.link[seat, DELAY] + hop, (15 << 56) | seat, 0, seat, 0)


def call(at: int, seat: int, table: Any, effects: Any, hop: int, crowd: Crowd, dial: Any, sent: Any, tally: Tally) -> None:
    """A token is in hand: dial through the balancer."""
    taken(seat, TOKEN_OK, table, effects, crowd)
    tally.counters[DIALS] += 1
    write(dial, sent, 1, at + crowd.link[seat, DELAY] + hop, (3 << 56) | seat, 0, seat, crowd.dials[seat])
    crowd.dials[seat] += 1


def put_off(
    at: int, kind: int, seat: int, row: int, extra: int, factor: float, jitter: float, settings: Any, keys: Any, table: Any, effects: Any, crowd: Crowd,
    habits: Habits, up: Any, again: Any, sent: Any
) -> int:  # fmt: skip
    """A client's subscribes were refused, or its wait is over, or it has no answer: returns how long it waits before it asks again, -1 if it does not.

    A client asks into a silence, too, as long as it does not know of it. `row` of ASK_AGAIN: 0, or 1 + the number of the ask whose time is over.
    """
    ticket = extra & LOW
    if crowd.belief[seat] != ticket and (kind == 34 or crowd.belief[seat] != ticket + SILENT):
        return -1
    if kind == 35 and row == 0:
        if crowd.belief[seat] == ticket:
            write(up, sent, 0, at + crowd.link[seat, DELAY], (7 << 56) | seat, gateway_of(ticket), extra // WIDE * WIDE + seat, ticket)
        crowd.flags[seat] |= ASKING
        write(again, sent, 2, at + habits.settings[STEP_TIMEOUT], (35 << 56) | seat, 1 + crowd.drawn[seat, ASKS_DRAWN], seat, extra)
        return -1
    if kind == 35 and (crowd.flags[seat] & ASKING == 0 or row != 1 + crowd.drawn[seat, ASKS_DRAWN]):
        return -1
    crowd.flags[seat] &= ~ASKING
    advised = -1
    if kind == 34:
        advised = row
        ready(seat, at, False, table, effects, crowd)
    return subscribe_wait(seat, extra // WIDE, advised, factor, jitter, settings, keys, crowd)
