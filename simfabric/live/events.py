"""Events: the client's side of server-sent events: one long answer brings frames, each frame that is sent is a call of its own.

The transport is open when its first byte is there, since a proxy that holds answers back shows itself by that alone. Frames are sent one
after the other, so their order is kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from simfabric.live import http
from simfabric.live.answers import read_reason
from simfabric.live.driver import ABNORMAL, CallFailed, TransportEnded
from simfabric.protocol.codec import MAX_FRAME, decode, encode
from simfabric.protocol.forms import GATEWAY, SESSION, MalformedFrame
from simfabric.protocol.frames import ConnectionAck, Frame

INVALID_PAYLOAD = 1007
Uplink = Callable[[str, str, bytes], Awaitable[None]]  # Session, gateway, frames; raises CallFailed.


class EventStream:
    """An open stream of events, and the calls that go with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uplink: Uplink) -> None:
        self.reader = reader
        self.writer = writer
        self.uplink = uplink
        self.first: tuple[Frame, int] | None = None  # Came with the opening, and is still to be received.
        self.session = asyncio.get_running_loop().create_future()  # Known once the gateway has greeted.

    async def open(self) -> None:
        """Wait for the first frame."""
        self.first = await self._next()

    async def receive(self) -> tuple[Frame, int]:
        """The next text."""
        first, self.first = self.first, None
        return first or await self._next()

    async def send(self, frame: Frame) -> None:
        """Write one text."""
        session, gateway = await self.session
        try:
            await self.uplink(session, gateway, encode(frame).encode())
        except CallFailed:
            self.writer.transport.abort()  # Another gateway, or none: the stream is of no use any more, and its reader tells.
            raise TransportEnded(ABNORMAL) from None

    async def close(self, code: int, reason: str) -> None:
        """Close it."""
        await http.finish(self.writer)

    async def _next(self) -> tuple[Frame, int]:
        """The next frame; other lines than an event's data and name mean nothing here."""
        name, data = "message", ""
        while True:
            line = await self._line()
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif not line and data:
                if name == "close":
                    await http.finish(self.writer)
                    raise _ended(data)
                return self._read(data)

    def _read(self, text: str) -> tuple[Frame, int]:
        try:
            frame = decode(text, MAX_FRAME)
        except MalformedFrame:
            self.writer.transport.abort()
            raise TransportEnded(INVALID_PAYLOAD) from None
        if isinstance(frame, ConnectionAck) and not self.session.done():
            self.session.set_result((SESSION.write(frame.session), GATEWAY.write(frame.gateway)))
        return frame, len(text)

    async def _line(self) -> str:
        try:
            line = await self.reader.readuntil(b"\n")
            return line[:-1].decode()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.writer.transport.abort()
            raise TransportEnded(ABNORMAL) from None


def _ended(data: str) -> TransportEnded:
    """The end as the gateway told it."""
    try:
        told = json.loads(data)
        code, reason = int(told["code"]), str(told["reason"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return TransportEnded(ABNORMAL)
    return TransportEnded(code if 1000 <= code < 5000 else ABNORMAL, *read_reason(reason))
