"""Driver: a client session over real sockets.

It carries out effects in order, feeds back what came of them, reads the next deadline after each call, and decides nothing. Every call and
every transport is a task that ends in an input of the session, unless the session called it off before. What is for the user interface
goes to `show`.

    session ── effects ──▶ driver ── calls, frames ──▶ service
            ◀── inputs ──         ◀── answers, frames ──
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from simfabric.live.clock import Alarm, Clock
from simfabric.protocol import effects, inputs
from simfabric.protocol.frames import Frame

MOST_WAITING = 4_096  # Frames that wait for a socket to take them.
ABNORMAL = 1006  # Ended without a close frame.


class Session(Protocol):
    """What is driven."""

    def handle(self, given: Any, now: int) -> list[Any]:
        """What must be done about an input."""

    def next_deadline(self) -> int | None:
        """When the next timer is due [ns]; None = never."""

    def handle_timers(self, now: int) -> list[Any]:
        """What must be done about the timers that are due."""


class CallFailed(Exception):  # noqa: N818 - an answer of the service.
    """A call did not work: `status` as in HTTP, 0 = no answer."""

    def __init__(self, status: int, advised: int = -1) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.advised = advised


class TransportEnded(Exception):  # noqa: N818 - the end of a transport is no error.
    """A transport is closed, or could not be opened."""

    def __init__(self, code: int, advised: int = -1, spread: int = 0, bytes_seen: bool = True) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.advised = advised
        self.spread = spread
        self.bytes_seen = bytes_seen


class Transport(Protocol):
    """An open transport; `receive` and `send` raise TransportEnded."""

    async def receive(self) -> tuple[Frame, int]:
        """The next frame of the other side."""

    async def send(self, frame: Frame) -> None:
        """Write one frame."""

    async def close(self, code: int, reason: str) -> None:
        """Close it with a code and a reason."""


class Service(Protocol):
    """What can be called: the four APIs, which raise CallFailed, and the dial, which raises TransportEnded."""

    async def bootstrap(self, effect: effects.FetchBootstrap) -> inputs.Bootstrapped:
        """Call the bootstrap API."""

    async def token(self, effect: effects.FetchToken) -> inputs.TokenReady:
        """Call the token API."""

    async def replay(self, effect: effects.FetchReplay) -> inputs.ReplayReady:
        """Call the replay API."""

    async def snapshot(self, effect: effects.FetchSnapshot) -> inputs.SnapshotReady:
        """Call the snapshot API."""

    async def dial(self, effect: effects.OpenTransport) -> Transport:
        """Open a transport."""

    def forget(self) -> None:
        """Forget the token."""


class Line:
    """One dial generation: its task, and what is to be written, in order."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.outbox: asyncio.Queue[Frame | effects.CloseTransport] = asyncio.Queue(MOST_WAITING)
        self.open = False


class Driver:
    """Drives one session. `show` gets every effect that is not for the network; `trace` gets all of them."""

    def __init__(
        self,
        session: Session,
        service: Service,
        clock: Clock,
        show: Callable[[Any], None] = lambda effect: None,
        trace: Callable[[int, Any], None] = lambda now, effect: None,
    ) -> None:
        self.session = session
        self.service = service
        self.clock = clock
        self.show = show
        self.trace = trace
        self.lines: dict[int, Line] = {}  # By dial generation; what the session closed is no longer here, and silent.
        self.calls: dict[tuple[int, int], asyncio.Task[None]] = {}  # By kind and ticket.
        self.tasks: set[asyncio.Task[None]] = set()  # Everything that runs, to be waited for at the end.
        self.alarm: Alarm | None = None
        self.alarm_at: int | None = None
        self.carriers: dict[type, Callable[[Any], None]] = {
            effects.FetchBootstrap: lambda effect: self._call(inputs.BOOTSTRAP, effect, self.service.bootstrap(effect)),
            effects.FetchToken: lambda effect: self._call(inputs.TOKEN, effect, self.service.token(effect)),
            effects.FetchReplay: lambda effect: self._call(inputs.REPLAY, effect, self.service.replay(effect), effect.channel),
            effects.FetchSnapshot: lambda effect: self._call(inputs.SNAPSHOT, effect, self.service.snapshot(effect), effect.channel),
            effects.CancelFetch: self._cancel,
            effects.OpenTransport: self._open,
            effects.SendFrame: self._send,
            effects.CloseTransport: self._close,
            effects.ClearLocal: self._forget,
        }

    # ------------------------------------------------------------------------------------------------------------------ calls

    def feed(self, given: Any) -> None:
        """Something happened: the session answers with effects."""
        now = self.clock.now()
        self._carry(self.session.handle(given, now), now)

    async def stop(self) -> None:
        """End everything that runs."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = self.alarm_at = None
        self.lines.clear()
        self.calls.clear()
        while self.tasks:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    # ---------------------------------------------------------------------------------------------------------------- effects

    def _carry(self, made: list[Any], now: int) -> None:
        for effect in made:
            self.trace(now, effect)
            self.carriers.get(type(effect), self.show)(effect)
        self._set_alarm()

    def _set_alarm(self) -> None:
        at = self.session.next_deadline()
        if at == self.alarm_at:
            return
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm, self.alarm_at = (self.clock.call_at(at, self._ring) if at is not None else None), at

    def _ring(self) -> None:
        at, self.alarm, self.alarm_at = self.alarm_at, None, None
        assert at is not None
        now = max(at, self.clock.now())
        self._carry(self.session.handle_timers(now), now)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _forget(self, effect: effects.ClearLocal) -> None:
        self.service.forget()
        self.show(effect)

    # ------------------------------------------------------------------------------------------------------------------ fetch

    def _call(self, kind: int, effect: Any, work: Coroutine[Any, Any, Any], channel: int = -1) -> None:
        async def finish() -> None:
            try:
                answer = await work
            except CallFailed as failed:
                answer = inputs.FetchFailed(effect.ticket, kind, failed.status, failed.advised, channel)
            if self.calls.pop((kind, effect.ticket), None) is not None:
                self.feed(answer)

        self.calls[kind, effect.ticket] = self._start(finish())

    def _cancel(self, effect: effects.CancelFetch) -> None:
        task = self.calls.pop((effect.kind, effect.ticket), None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    # -------------------------------------------------------------------------------------------------------------- transport

    def _open(self, effect: effects.OpenTransport) -> None:
        line = self.lines[effect.generation] = Line()
        line.task = self._start(self._run(effect, line))

    def _send(self, effect: effects.SendFrame) -> None:
        line = self.lines.get(effect.generation)
        if line is not None:
            try:
                line.outbox.put_nowait(effect.frame)
            except asyncio.QueueFull:  # A socket that takes nothing: as good as broken.
                assert line.task is not None
                line.task.cancel()

    def _close(self, effect: effects.CloseTransport) -> None:
        line = self.lines.pop(effect.generation, None)
        if line is None or line.task is None:
            return
        if not line.open or line.outbox.full():
            line.task.cancel()
        else:
            line.outbox.put_nowait(effect)

    async def _run(self, effect: effects.OpenTransport, line: Line) -> None:
        """From the dial to the close. Only what the session still holds is told to it."""
        generation = effect.generation
        try:
            transport = await self.service.dial(effect)
        except TransportEnded as end:
            self._ended(generation, end)
            return
        line.open = True
        writer = self._start(self._write(transport, line))
        try:
            self._tell(generation, inputs.TransportOpened(generation))
            while True:
                frame, size = await transport.receive()
                self._tell(generation, inputs.FrameReceived(generation, frame, size))
        except TransportEnded as end:
            self._ended(generation, end)
        except asyncio.CancelledError:
            await asyncio.shield(self._start(transport.close(ABNORMAL, "")))
            self._ended(generation, TransportEnded(ABNORMAL))
        finally:
            writer.cancel()

    async def _write(self, transport: Transport, line: Line) -> None:
        with contextlib.suppress(TransportEnded):  # The reader tells.
            while True:
                item = await line.outbox.get()
                if isinstance(item, effects.CloseTransport):
                    await transport.close(item.code, item.reason)
                    return
                await transport.send(item)

    def _tell(self, generation: int, given: Any) -> None:
        if generation in self.lines:
            self.feed(given)

    def _ended(self, generation: int, end: TransportEnded) -> None:
        if self.lines.pop(generation, None) is not None:
            self.feed(inputs.TransportClosed(generation, end.code, end.advised, end.spread, end.bytes_seen))
