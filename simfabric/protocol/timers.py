"""Timers: the deadlines of one client session, one slot for each (kind, id).

The kinds stand in the order in which they fire at equal deadlines. A timer that an earlier one stops in the same call does not fire, and
one that is armed in a call fires in a later call, so no time passes without time. Nothing is allocated while nothing is armed.
"""

from __future__ import annotations

(
    CONNECT, HEARTBEAT, PROBE, RETRY, STABLE, PATIENCE, STANDBY, WS_RETRY, LEASE, BEAT, PERSIST, FLUSH,
    GAP, SUB_RETRY, FETCH, LINGER,
    ACK, EXPIRE,
) = range(18)  # fmt: skip

NEVER = 1 << 62  # After every time of a run.
SPARED = frozenset((WS_RETRY, LEASE, BEAT, PERSIST, FLUSH, LINGER, EXPIRE))  # Not of one connection: STOP_ALL leaves them.

Due = tuple[int, int, int]  # deadline, kind, id.


class Timers:
    """What is armed. `soonest` is its least deadline, or -1 while that is not known.

    A session is one (it inherits, which saves each idle client an object).
    """

    __slots__ = ("armed", "soonest")

    def __init__(self) -> None:
        self.armed: dict[tuple[int, int], int] | None = None
        self.soonest = NEVER

    def arm(self, kind: int, deadline: int, number: int = 0) -> None:
        """Fire at this deadline, instead of the one before."""
        if self.armed is None:
            self.armed = {}
        elif self.armed.get((kind, number)) == self.soonest:
            self.soonest = -1
        self.armed[kind, number] = deadline
        if deadline < self.soonest:
            self.soonest = deadline

    def disarm(self, kind: int, number: int = 0) -> None:
        """Do not fire."""
        if self.armed is None or (kind, number) not in self.armed:
            return
        if self.armed.pop((kind, number)) == self.soonest:
            self.soonest = -1
        if not self.armed:
            self.armed, self.soonest = None, NEVER

    def deadline(self, kind: int, number: int = 0) -> int:
        """When it fires; NEVER if it is not armed."""
        return NEVER if self.armed is None else self.armed.get((kind, number), NEVER)

    def next_timer(self) -> int:
        """The least deadline."""
        if self.soonest < 0:
            self.soonest = min(self.armed.values()) if self.armed else NEVER
        return self.soonest

    def due_timers(self, now: int) -> list[Due]:
        """What fires now, in order."""
        if self.armed is None:
            return []
        return sorted((deadline, kind, number) for (kind, number), deadline in self.armed.items() if deadline <= now)

    def take_timer(self, due: Due) -> bool:
        """Whether this timer is still to fire: it was neither stopped nor armed anew; it is stopped now."""
        deadline, kind, number = due
        if self.deadline(kind, number) != deadline:
            return False
        self.disarm(kind, number)
        return True

    def disarm_connection(self) -> None:
        """STOP_ALL: stop everything but what outlives a connection."""
        for kind, number in tuple(self.armed or ()):
            if kind not in SPARED:
                self.disarm(kind, number)
