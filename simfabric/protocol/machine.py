"""The machine: every state of a client's connection, every input, and what follows. The table is data; sessions and populations read it.

Guards run before the look-up and each outcome of a guard is an input of its own, so a pair (state, input) has one answer: the next state
and a set of effects. A pair that is not listed changes nothing and is counted as ignored. A set of effects is carried out from the lowest
bit to the highest: the bits are numbered so that this is the order in which each row names them.
"""

from __future__ import annotations

IDLE, BOOTSTRAP, TOKEN, DIALING, SUBSCRIBING, REPLAYING, LIVE, SYNCING, BACKOFF, OFFLINE, SIGNED_OUT = range(11)
STATE_NAMES = ("idle", "bootstrap", "token", "dialing", "subscribing", "replaying", "live", "syncing", "backoff", "offline", "signed_out")

START, BOOT_OK, TOKEN_OK, OPENED, SUBS_OK, SUBS_BEHIND, CAUGHT_UP, PATIENCE, BEHIND = range(9)
FAIL, FAIL_LIMIT, AWAY, STALE_TOKEN, TERMINAL, RETRY, POKE, DRAIN, LOGOUT = range(9, 18)
INPUT_NAMES = (
    "START", "BOOT_OK", "TOKEN_OK", "OPENED", "SUBS_OK", "SUBS_BEHIND", "CAUGHT_UP", "PATIENCE", "BEHIND",
    "FAIL", "FAIL_LIMIT", "AWAY", "STALE_TOKEN", "TERMINAL", "RETRY", "POKE", "DRAIN", "LOGOUT",
)  # fmt: skip

EFFECT_NAMES = (
    "ZERO_ATTEMPT", "NEW_GEN", "CLOSE", "STOP_ALL", "DROP_TOKEN", "FETCH_BOOT", "FETCH_TOKEN", "DIAL", "SEND_SUBS", "ARM_HEARTBEAT", "ARM_CONNECT",
    "STOP_CONNECT", "ARM_STABLE", "RESEND_UNACKED", "FETCH_BEHIND", "ARM_PATIENCE", "STOP_PATIENCE", "ARM_RETRY", "COUNT_ATTEMPT", "ARM_SLOW",
    "ARM_ADVISED", "CLEAR_LOCAL", "TELL_TABS", "ARM_SOON", "PROBE", "ARM_STANDBY",
)  # fmt: skip
(
    ZERO_ATTEMPT, NEW_GEN, CLOSE, STOP_ALL, DROP_TOKEN, FETCH_BOOT, FETCH_TOKEN, DIAL, SEND_SUBS, ARM_HEARTBEAT, ARM_CONNECT,
    STOP_CONNECT, ARM_STABLE, RESEND_UNACKED, FETCH_BEHIND, ARM_PATIENCE, STOP_PATIENCE, ARM_RETRY, COUNT_ATTEMPT, ARM_SLOW,
    ARM_ADVISED, CLEAR_LOCAL, TELL_TABS, ARM_SOON, PROBE, ARM_STANDBY,
) = (1 << bit for bit in range(26))  # fmt: skip

SAME = -1  # Target of a row whose input leaves the state as it is.

READY = (REPLAYING, LIVE, SYNCING)  # Subscribed: events flow.
OPEN = (SUBSCRIBING, *READY)  # A transport is up.
TRYING = (BOOTSTRAP, TOKEN, DIALING, *OPEN)  # On the way to live, or there.
WAITING = (BACKOFF, OFFLINE)  # No transport, and a timer that will dial again.
LEAVE = NEW_GEN | CLOSE | STOP_ALL  # How every attempt ends: the old generation is dead before its socket is closed.

# (from states, input, to, effects)
TRANSITIONS: tuple[tuple[tuple[int, ...], int, int, int], ...] = (
    ((IDLE, SIGNED_OUT), START, BOOTSTRAP, ZERO_ATTEMPT | NEW_GEN | FETCH_BOOT | ARM_CONNECT),
    ((BOOTSTRAP,), BOOT_OK, TOKEN, FETCH_TOKEN | ARM_CONNECT),
    ((TOKEN,), TOKEN_OK, DIALING, DIAL | ARM_CONNECT),
    ((DIALING,), OPENED, SUBSCRIBING, SEND_SUBS | ARM_HEARTBEAT | ARM_CONNECT),
    ((SUBSCRIBING,), SUBS_OK, LIVE, STOP_CONNECT | ARM_STABLE | RESEND_UNACKED),
    ((SUBSCRIBING,), SUBS_BEHIND, REPLAYING, STOP_CONNECT | ARM_STABLE | RESEND_UNACKED | FETCH_BEHIND | ARM_PATIENCE),
    ((REPLAYING, SYNCING), CAUGHT_UP, LIVE, STOP_PATIENCE),
    ((REPLAYING,), PATIENCE, SYNCING, 0),
    ((LIVE,), BEHIND, SYNCING, FETCH_BEHIND),
    ((REPLAYING, SYNCING), BEHIND, SAME, FETCH_BEHIND),
    (TRYING, FAIL, BACKOFF, LEAVE | ARM_RETRY | COUNT_ATTEMPT),
    (TRYING, FAIL_LIMIT, OFFLINE, LEAVE | ARM_SLOW),
    (READY, AWAY, BACKOFF, LEAVE | ARM_ADVISED),
    ((DIALING, *OPEN), STALE_TOKEN, TOKEN, LEAVE | DROP_TOKEN | FETCH_TOKEN | ARM_CONNECT),
    ((IDLE, *TRYING, *WAITING), TERMINAL, SIGNED_OUT, LEAVE | CLEAR_LOCAL | TELL_TABS),
    (WAITING, RETRY, BOOTSTRAP, NEW_GEN | FETCH_BOOT | ARM_CONNECT),
    (WAITING, POKE, SAME, ARM_SOON),
    (OPEN, POKE, SAME, PROBE),
    (OPEN, DRAIN, SAME, ARM_STANDBY),
    ((*TRYING, *WAITING, SIGNED_OUT), LOGOUT, IDLE, LEAVE | CLEAR_LOCAL),
)

LISTED: frozenset[tuple[int, int]] = frozenset((state, given) for states, given, _, _ in TRANSITIONS for state in states)


def _next_states() -> tuple[tuple[int, ...], ...]:
    rows = [[state] * len(INPUT_NAMES) for state in range(len(STATE_NAMES))]
    for states, given, to, _ in TRANSITIONS:
        for state in states:
            rows[state][given] = state if to == SAME else to
    return tuple(map(tuple, rows))


def _effect_masks() -> tuple[tuple[int, ...], ...]:
    rows = [[0] * len(INPUT_NAMES) for _ in STATE_NAMES]
    for states, given, _, effects in TRANSITIONS:
        for state in states:
            rows[state][given] = effects
    return tuple(map(tuple, rows))


TABLE = _next_states()  # TABLE[state][input] -> next state.
EFFECTS = _effect_masks()  # EFFECTS[state][input] -> bits.


def effect_names(mask: int) -> tuple[str, ...]:
    """The names in a set of effects, in the order in which they are carried out."""
    return tuple(name for bit, name in enumerate(EFFECT_NAMES) if mask >> bit & 1)


def markdown() -> str:
    """The table, row by row, as Markdown: for reading and for teaching."""
    lines = ["| from | input | to | effects |", "|---|---|---|---|"]
    for states, given, to, effects in TRANSITIONS:
        origin = ", ".join(STATE_NAMES[state] for state in states)
        target = "same" if to == SAME else STATE_NAMES[to]
        lines.append(f"| {origin} | {INPUT_NAMES[given]} | {target} | {' '.join(effect_names(effects)) or '-'} |")
    return "\n".join(lines) + "\n"


def mermaid() -> str:
    """The table as a state diagram that Markdown viewers draw: one arrow for all inputs that lead from one state to another."""
    arrows: dict[tuple[int, int], list[str]] = {}
    for state, row in enumerate(TABLE):
        for given, to in enumerate(row):
            if to != state:
                arrows.setdefault((state, to), []).append(INPUT_NAMES[given])
    lines = ["stateDiagram-v2", f"    [*] --> {STATE_NAMES[IDLE]}"]
    lines += [f"    {STATE_NAMES[state]} --> {STATE_NAMES[to]}: {', '.join(names)}" for (state, to), names in arrows.items()]
    return "\n".join(lines) + "\n"
