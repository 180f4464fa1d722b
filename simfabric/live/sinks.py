"""Sinks: the client's side of a gateway's connection, over a websocket or over one long HTTP answer.

What the session sends waits here for the transport to take it, in order; the session's buffer rule bounds it, and a bound of its own backs
that up. A close waits its turn, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Protocol

from simfabric.live.answers import write_reason
from simfabric.protocol import effects
from simfabric.protocol.codec import encode, wire_size
from simfabric.protocol.frames import Frame


class Pipe(Protocol):
    """A transport that takes text."""

    async def put(self, text: str) -> None:
        """Write one text."""

    async def end(self, code: int, reason: str) -> None:
        """End it with a code and a reason."""

    def abort(self) -> None:
        """Cut the connection without a word."""


class Gone(Exception):  # noqa: N818 - the other side may leave at any time.
    """The transport is gone."""


class WebSocketPipe:
    """A websocket: a frame is a text message."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def put(self, text: str) -> None:
        """Write one text."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self.socket.send(text)
        except ConnectionClosed:
            raise Gone from None

    async def end(self, code: int, reason: str) -> None:
        """End it with a code and a reason."""
        await self.socket.close(code, reason)

    def abort(self) -> None:
        """Cut the connection without a word."""
        self.socket.transport.abort()


class EventPipe:
    """Server-sent events: a frame is a message event; the end is an event of its own, as an HTTP answer has no close code."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def put(self, text: str) -> None:
        """Write one text."""
        await self._write(f"data: {text}\n\n")

    async def end(self, code: int, reason: str) -> None:
        """End it with a code and a reason."""
        with contextlib.suppress(Gone):
            await self._write(f"event: close\ndata: {json.dumps({'code': code, 'reason': reason})}\n\n")
        self.writer.close()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self.writer.transport.abort()

    async def _write(self, text: str) -> None:
        if self.writer.is_closing():
            raise Gone
        try:
            self.writer.write(text.encode())
            await self.writer.drain()
        except ConnectionError:
            raise Gone from None


class QueueSink:
    """What a gateway writes, on its way into a pipe."""

    def __init__(self, pipe: Pipe, written: Callable[[int], None], schema: int, most: int) -> None:
        self.pipe = pipe
        self.written = written  # Tells how much of the session's buffer the transport took.
        self.schema = schema
        self.most = most
        self.waiting = 0  # Bytes, as the session counts them.
        self.outbox: asyncio.Queue[tuple[str, int] | effects.CloseTransport] = asyncio.Queue()

    def send(self, frame: Frame) -> None:
        """Queue one frame for the transport."""
        size = wire_size(frame)
        self.waiting += size
        if self.waiting > self.most:  # The session should have closed it long before.
            self.pipe.abort()
        else:
            self.outbox.put_nowait((encode(frame, self.schema), size))

    def close(self, effect: effects.CloseTransport) -> None:
        """Close it, after what waits."""
        self.outbox.put_nowait(effect)

    async def write(self) -> None:
        """Write until the connection ends."""
        with contextlib.suppress(Gone):
            while True:
                item = await self.outbox.get()
                if isinstance(item, effects.CloseTransport):
                    await self.pipe.end(item.code, write_reason(item.reason, item.advised, item.spread))
                    return
                text, size = item
                await self.pipe.put(text)
                self.waiting -= size
                self.written(size)
