"""Profiles: how long well-known clients wait before they dial again, as data and one scalar function.

An experiment may put the herd of another client library on the same tier. Each profile was read from the library's source, in the
version that is named. All of them count attempts from 0 again as soon as a connection opens (or its connect reply comes), so a gateway
that accepts and soon closes is redialled at full speed for ever; only the protocol's own profile waits for a stable connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from simfabric.protocol.rules import backoff

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

# Shapes of the wait before attempt k = 0, 1, …; each times (centre ± jitter), plus U(0, extra).
CAP_FIRST, CAP_LAST, ADDED, SCHEDULE, LINEAR, SQUARE = range(6)

# What a close code asks for.
REDIAL, AT_ONCE, STOP = range(3)


@dataclass(frozen=True, slots=True)
class Profile:
    """The reconnect policy of one client. Durations [ns]."""

    kind: int
    first: int
    factor: float = 1.0
    cap: int = 0
    centre: float = 1.0
    jitter: float = 0.0
    extra: int = 0
    schedule: tuple[int, ...] = (0,)  # The waits of a SCHEDULE; after the last one comes `cap`.
    late: int = -1  # Time without a connection after which every wait is `cap`, -1 = never.
    limit: int = -1  # Dials after which the client gives up, -1 = none.
    reset_on_open: bool = True
    retries_first_dial: bool = True  # Whether a first connection that fails is dialled again at all.
    at_once: tuple[tuple[int, int], ...] = ()  # Ranges of close codes that are redialled without a wait.
    stops: tuple[tuple[int, int], ...] = ()  # Ranges of close codes after which the client stays away.

    def wait(self, attempt: int, u: float, down_for: int = 0) -> int:
        """The wait before attempt 0, 1, … after `down_for` without a connection; see the function `wait`."""
        numbers = (self.kind, self.first, self.factor, self.cap, self.centre, self.jitter, self.extra, self.schedule, self.late)
        return wait(*numbers, attempt, down_for, u)

    def gives_up(self, attempt: int) -> bool:
        """Whether no dial follows after `attempt` dials that failed."""
        return 0 <= self.limit <= attempt

    def reaction(self, code: int) -> int:
        """What the client does about a close code: REDIAL after the wait, AT_ONCE or STOP."""
        if any(low <= code <= high for low, high in self.stops):
            return STOP
        if any(low <= code <= high for low, high in self.at_once):
            return AT_ONCE
        return REDIAL


def wait(
    kind: int, first: int, factor: float, cap: int, centre: float, jitter: float, extra: int, schedule: Sequence[int], late: int,
    attempt: int, down_for: int, u: float,
) -> int:  # fmt: skip
    """Delay [ns] before dial number `attempt` = 0, 1, … of a profile; `schedule` is any row of whole numbers (an array when compiled)."""
    spread = centre + jitter * (2.0 * u - 1.0)
    if late >= 0 and down_for >= late:
        return cap
    if kind == CAP_LAST:
        return min(cap, int(backoff(attempt, first, factor, 1 << 60, 0.0, 0.5) * spread + 0.5))
    if kind == ADDED:
        return min(cap, first + int(backoff(attempt, first, factor, cap, 0.0, 0.5) * u + 0.5))
    if kind == SCHEDULE:
        middle = schedule[attempt] if attempt < len(schedule) else cap
    elif kind == LINEAR:  # The first dial at once, then first · min((k + 2) / 3, 2).
        middle = min(cap, first * (attempt + 2) // 3) if attempt > 0 else 0
    elif kind == SQUARE:  # Flat for seven failures, then the square of their number.
        failures = attempt + 1
        middle = min(cap, first * failures * failures) if failures > 7 else first
    else:
        middle = backoff(attempt, first, factor, cap, 0.0, 0.5)
    return int(middle * spread + 0.5) + int(extra * u + 0.5)


DEFAULT = "simfabric"

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # The protocol's own: the banner after 8 attempts, then a slow retry, never the end.
        "simfabric": Profile(CAP_FIRST, SECOND, 2.0, 30 * SECOND, jitter=0.2, reset_on_open=False),
        # centrifugal/centrifuge-js 5.8. Starts anew with the connect reply.
        "centrifuge-js": Profile(ADDED, 500 * MILLISECOND, 2.0, 20 * SECOND),
        # phoenixframework/phoenix 1.8. No jitter.
        "phoenix": Profile(SCHEDULE, 0, cap=5 * SECOND, schedule=tuple(ms * MILLISECOND for ms in (10, 50, 100, 150, 200, 250, 500, 1_000, 2_000))),
        # pusher/pusher-js 8.6. Obeys close-code classes.
        "pusher-js": Profile(CAP_FIRST, SECOND, cap=SECOND, at_once=((4200, 4299),), stops=((4000, 4099), (4300, 4999))),
        # socketio/socket.io client 4.8. The cap comes after the jitter.
        "socket.io": Profile(CAP_LAST, SECOND, 2.0, 5 * SECOND, jitter=0.5),
        # dotnet/aspnetcore SignalR 10.0, with automatic reconnect switched on.
        "signalr": Profile(SCHEDULE, 0, schedule=(0, 2 * SECOND, 10 * SECOND, 30 * SECOND), limit=4, retries_first_dial=False),
        # ably/ably-js 2.28. After two minutes it is "suspended": every 30 s, without jitter.
        "ably-js": Profile(LINEAR, 15 * SECOND, cap=30 * SECOND, centre=0.9, jitter=0.1, late=120 * SECOND),
        # mattermost/mattermost webapp.
        "mattermost": Profile(SQUARE, 3 * SECOND, cap=300 * SECOND, extra=2 * SECOND),
        # nats-io/nats.py: 60 dials for each server.
        "nats.py": Profile(CAP_FIRST, 2 * SECOND, cap=2 * SECOND, limit=60),
    }
)
