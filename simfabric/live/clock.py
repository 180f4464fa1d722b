"""Clock: the time that drivers hand to sessions, and who wakes them. Tests hand in one that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """What was set, and can be called off."""

    def cancel(self) -> None:
        """It will not ring."""


class Clock(Protocol):
    """Whole nanoseconds that never go back."""

    def now(self) -> int:
        """Time [ns]."""

    def call_at(self, at: int, callback: Callable[[], None]) -> Alarm:
        """Call back at that time [ns]."""


class LoopClock:
    """The monotonic clock of the running event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def now(self) -> int:
        """Time of the event loop [ns]."""
        return int(self.loop.time() * 1e9)

    def call_at(self, at: int, callback: Callable[[], None]) -> Alarm:
        """Call back at that time [ns]."""
        return self.loop.call_at(at / 1e9, callback)
