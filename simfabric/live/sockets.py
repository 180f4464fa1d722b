"""Sockets: the service as a client sees it, over HTTP calls and the three transports.

The token stays here: it travels in the dial URL, is never logged, and does not show in any repr. An address that is not on this machine is
dialled over wss only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from simfabric.live import http
from simfabric.live.answers import (
    read_bootstrap,
    read_reason,
    read_replay,
    read_retry_after,
    read_snapshot,
    read_token,
)
from simfabric.live.driver import ABNORMAL, CallFailed, Transport, TransportEnded
from simfabric.live.events import EventStream
from simfabric.live.polling import LongPoll
from simfabric.protocol import effects, inputs
from simfabric.protocol.codec import MAX_FRAME, SCHEMA, decode, encode
from simfabric.protocol.forms import CHANNEL, MalformedFrame
from simfabric.protocol.frames import Frame

LOOPBACK = ("127.0.0.1", "::1", "localhost")
INVALID_PAYLOAD = 1007
OWN_CODES = (1000, *range(3000, 5000))  # What an application may send.


def silent() -> logging.Logger:
    """A logger that says nothing: the library's own would write dial URLs, and with them tokens, when someone turns debugging on."""
    logger = logging.Logger("simfabric.live")
    logger.disabled = True
    return logger


class WebSocket:
    """An open websocket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def receive(self) -> tuple[Frame, int]:
        """The next frame of the other side."""
        from websockets.exceptions import ConnectionClosed

        try:
            text = await self.socket.recv()
            return decode(text), len(text)
        except ConnectionClosed:
            self._ended()
        except MalformedFrame:
            await self.close(INVALID_PAYLOAD, "")
            raise TransportEnded(INVALID_PAYLOAD) from None

    async def send(self, frame: Frame) -> None:
        """Write one frame."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self.socket.send(encode(frame))
        except ConnectionClosed:
            self._ended()

    async def close(self, code: int, reason: str) -> None:
        """Close it with a code and a reason."""
        if code == ABNORMAL:
            self.socket.transport.abort()
        await self.socket.close(code if code in OWN_CODES or code == INVALID_PAYLOAD else 1000, reason)

    def _ended(self) -> NoReturn:
        advised, spread = read_reason(self.socket.close_reason or "")
        raise TransportEnded(self.socket.close_code or ABNORMAL, advised, spread) from None


class Sockets:
    """The service at an address, for the holder of an access key."""

    def __init__(self, host: str, port: int, access: str, user: int, schema: int = SCHEMA) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the law is that calls without TLS stay on this machine; here {host}")
        self.host = host
        self.port = port
        self.user = user
        self.schema = schema
        self._access = access
        self._secret = ""  # The token.
        self._url = ""

    def __repr__(self) -> str:
        return f"Sockets({self.host}:{self.port}, user {self.user}, token {'***' if self._secret else 'none'})"

    async def _called(self, method: str, path: str, body: bytes = b"", **query: Any) -> bytes:
        target = f"{path}?{urlencode({'user': self.user, **query})}"
        try:
            answer = await http.call(self.host, self.port, method, target, {"Authorization": f"Bearer {self._access}"}, body)
        except (OSError, http.BadMessage):
            raise CallFailed(0) from None
        if answer.status != 200:
            raise CallFailed(answer.status, read_retry_after(answer.headers))
        return answer.body

    async def bootstrap(self, effect: effects.FetchBootstrap) -> inputs.Bootstrapped:
        """Call the bootstrap API."""
        body = await self._called("GET", "/realtime/bootstrap")
        try:
            self._url, answer = read_bootstrap(body, effect.ticket)
        except MalformedFrame:
            raise CallFailed(500) from None
        return answer

    async def token(self, effect: effects.FetchToken) -> inputs.TokenReady:
        """Call the token API."""
        body = await self._called("POST", "/realtime/token")
        try:
            self._secret, ttl = read_token(body)
        except MalformedFrame:
            raise CallFailed(500) from None
        return inputs.TokenReady(effect.ticket, ttl)

    async def replay(self, effect: effects.FetchReplay) -> inputs.ReplayReady:
        """Call the replay API."""
        path = f"/replay/{CHANNEL.write(effect.channel)}"
        body = await self._called("GET", path, fromSeq=effect.after, epoch=effect.epoch, limit=effect.limit, v=self.schema)
        try:
            return read_replay(body, effect.ticket, effect.channel)
        except MalformedFrame:
            raise CallFailed(500) from None

    async def snapshot(self, effect: effects.FetchSnapshot) -> inputs.SnapshotReady:
        """Call the snapshot API."""
        body = await self._called("GET", f"/snapshot/{CHANNEL.write(effect.channel)}")
        try:
            return read_snapshot(body, effect.ticket, effect.channel)
        except MalformedFrame:
            raise CallFailed(500) from None

    async def dial(self, effect: effects.OpenTransport) -> Transport:
        """A websocket, server-sent events or a long poll."""
        dials = {inputs.WEBSOCKET: self._dial_websocket, inputs.SSE: self._dial_events, inputs.LONG_POLL: self._dial_poll}
        return await dials[effect.kind]()

    async def _dial_websocket(self) -> Transport:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        address = urlsplit(self._url)
        if address.scheme != "wss" and address.hostname not in LOOPBACK:
            raise TransportEnded(ABNORMAL, bytes_seen=False)
        url = f"{self._url}?{self._credentials()}"
        try:
            socket = await connect(
                url, max_size=MAX_FRAME, compression=None, ping_interval=None, open_timeout=None, close_timeout=1, proxy=None, logger=silent()
            )
        except (OSError, WebSocketException, asyncio.IncompleteReadError):
            raise TransportEnded(ABNORMAL, bytes_seen=False) from None
        return WebSocket(socket)

    async def _dial_events(self) -> Transport:
        try:
            answer, reader, writer = await http.begin(self.host, self.port, "GET", f"/realtime/sse?{self._credentials()}")
        except (OSError, http.BadMessage):
            raise TransportEnded(ABNORMAL, bytes_seen=False) from None
        stream = EventStream(reader, writer, self._uplink)
        try:
            if answer.status != 200:
                raise TransportEnded(ABNORMAL)
            await stream.open()
        except BaseException:
            await http.finish(writer)
            raise
        return stream

    async def _dial_poll(self) -> Transport:
        poll = LongPoll(self._poll, self._uplink)
        await poll.open()
        return poll

    async def _poll(self, session: str, gateway: str, last: int) -> bytes:
        if not session:
            return await self._called("GET", "/realtime/poll", token=self._secret, v=self.schema)
        return await self._called("GET", "/realtime/poll", session=session, gateway=gateway, last=last)

    async def _uplink(self, session: str, gateway: str, body: bytes) -> None:
        await self._called("POST", "/realtime/uplink", body, session=session, gateway=gateway)

    def _credentials(self) -> str:
        return f"token={quote(self._secret, safe='')}&v={self.schema}"

    def forget(self) -> None:
        """Drop the token and the address."""
        self._secret = self._url = ""
