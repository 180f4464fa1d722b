"""Server: the gateway on loopback: websockets on one port, the HTTP calls and the other two transports on the next.

For the holder of the access key, on this machine only: the address, the Host and Origin of every request are checked, so no page that a
browser happens to show can reach it by another name. Frames, bodies, connections and everything that waits have bounds. Tokens are never
written anywhere. Leaves out: TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from simfabric.live import answers
from simfabric.live.clock import Alarm, Clock
from simfabric.live.gateway import NUMBER, Gateway
from simfabric.live.http import Answer, BadMessage, Request, start_http
from simfabric.live.polling import PollBox
from simfabric.live.sinks import EventPipe, Pipe, QueueSink, WebSocketPipe
from simfabric.live.sockets import LOOPBACK, silent
from simfabric.protocol import codes, effects, inputs
from simfabric.protocol.codec import MAX_FRAME, SCHEMA, decode
from simfabric.protocol.forms import CHANNEL, GATEWAY, SESSION, MalformedFrame
from simfabric.protocol.frames import Frame, Unknown
from simfabric.protocol.parameters import SECOND

MOST_CONNECTIONS = 1_000
MOST_USERS = 1_000
MOST_CLOSED = 100  # Connections by long poll that are over and have not been told.
CLOSE_PATIENCE = 1  # For the other side's half of a closing handshake [s].


class Server:
    """The gateway's two ports. `access` is the key that every HTTP call must carry."""

    def __init__(self, gateway: Gateway, clock: Clock, host: str = "127.0.0.1", port: int = 0, access: str = "", origins: tuple[str, ...] = ()) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the law is that only this machine is served; here {host}")
        self.gateway = gateway
        self.backend = gateway.backend
        self.clock = clock
        self.host = host
        self.port = port  # Of the websockets; 0 = any.
        self.api_port = 0
        self.access = access or secrets.token_urlsafe(24)
        self.origins = origins
        self.alarm: Alarm | None = None
        self.sinks: dict[int, QueueSink] = {}
        self.polls: dict[int, tuple[int, PollBox]] = {}  # User and box of each connection by long poll.
        self.streams: set[asyncio.Future[None]] = set()  # Long answers under way.
        self.stack = contextlib.AsyncExitStack()
        self.calls: dict[tuple[str, str], Callable[[Request, int], Answer | Awaitable[Answer]]] = {
            ("GET", "bootstrap"): self._bootstrap,
            ("POST", "token"): self._token,
            ("POST", "uplink"): self._uplink,
            ("GET", "poll"): self._poll,
            ("GET", "replay"): self._replay,
            ("GET", "snapshot"): self._snapshot,
        }

    async def start(self) -> None:
        """Listen on both ports."""
        from websockets.asyncio.server import serve

        async with contextlib.AsyncExitStack() as stack:
            sockets = await stack.enter_async_context(
                serve(
                    self._serve_socket, self.host, self.port, process_request=self._check_upgrade, max_size=MAX_FRAME, max_queue=16, compression=None,
                    ping_interval=None, open_timeout=10, close_timeout=CLOSE_PATIENCE, server_header=None, logger=silent(),
                )
            )  # fmt: skip
            calls = await start_http(self._answer, self.host, self.port + 1 if self.port else 0)
            await stack.enter_async_context(calls)
            self.port = sockets.sockets[0].getsockname()[1]
            self.api_port = calls.sockets[0].getsockname()[1]
            self.stack = stack.pop_all()

    async def stop(self) -> None:
        """Close every connection and both ports."""
        if self.alarm is not None:
            self.alarm.cancel()
        for sink in tuple(self.sinks.values()):
            if isinstance(sink.pipe, EventPipe):  # Its answer would go on for ever; websockets are closed with their port.
                sink.pipe.abort()
        for _, box in self.polls.values():
            box.close(effects.CloseTransport(0, codes.GOING_AWAY, "stopped"))
        await asyncio.gather(*self.streams)
        await self.stack.aclose()
        if self.alarm is not None:
            self.alarm.cancel()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ----------------------------------------------------------------------------------------------------------------- timers

    def after(self) -> None:
        """After each call of the gateway: wake it at its next deadline."""
        if self.alarm is not None:
            self.alarm.cancel()
        at = self.gateway.next_deadline()
        self.alarm = None if at is None else self.clock.call_at(at, lambda: self._ring(at))

    def _ring(self, at: int) -> None:
        self.gateway.handle_timers(max(at, self.clock.now()))
        self.after()

    # ------------------------------------------------------------------------------------------------------------- websockets

    def _trusted(self, host: str | None, origin: str | None, port: int) -> bool:
        """Whether a request names this machine, and comes from no page, or one that is welcome."""
        here = [f"{name}:{port}" for name in (*LOOPBACK, "[::1]")]
        return host in here and (origin is None or origin in self.origins or origin in [f"http://{name}" for name in here])

    def _check_upgrade(self, socket: Any, request: Any) -> Any:
        try:
            trusted = self._trusted(request.headers.get("Host"), request.headers.get("Origin"), self.port)
        except LookupError:  # Two of a kind.
            trusted = False
        if not trusted or urlsplit(request.path).path != "/realtime/ws":
            return socket.respond(403, "")
        return socket.respond(503, "") if len(self.sinks) >= MOST_CONNECTIONS else None

    async def _serve_socket(self, socket: Any) -> None:
        """From the upgrade to the close. Refusals come as close codes, since a browser shows no status of an upgrade."""
        from websockets.exceptions import ConnectionClosed

        query = parse_qs(urlsplit(socket.request.path).query, max_num_fields=4)
        accepted = self._accepted(query.get("token", [""])[0], query.get("v", [""])[0])
        if accepted is None:
            await socket.close(codes.TOKEN_EXPIRED, "token")
            return
        number, writer = self._attach(WebSocketPipe(socket), accepted, inputs.WEBSOCKET)
        try:
            while True:
                text = await socket.recv()
                self._receive(number, text)
        except ConnectionClosed:
            pass
        finally:
            await self._detach(number, writer, socket.close_code or codes.ABNORMAL)

    # ------------------------------------------------------------------------------------------------------------ connections

    def _accepted(self, secret: str, schema: str) -> inputs.ConnectionAccepted | None:
        return self.backend.accept(secret, _version(schema))

    def _attach(self, pipe: Pipe, accepted: inputs.ConnectionAccepted, kind: int) -> tuple[int, asyncio.Future[None]]:
        """A transport is there: hand it to the gateway, and write what that has to say."""
        number = 0

        def written(size: int) -> None:
            self.gateway.written(number, size, self.clock.now())
            self.after()

        sink = QueueSink(pipe, written, min(accepted.schema, SCHEMA), 2 * self.backend.parameters.out_buffer + MAX_FRAME)
        writer = asyncio.ensure_future(sink.write())
        number = self.gateway.connect(sink, accepted, self.clock.now(), kind)
        self.sinks[number] = sink
        self.after()
        return number, writer

    def _receive(self, number: int, text: str | bytes) -> None:
        self.gateway.receive(number, _frame(text), len(text), self.clock.now())
        self.after()

    async def _detach(self, number: int, writer: asyncio.Future[None], code: int) -> None:
        self.gateway.disconnected(number, code, self.clock.now())
        self.after()
        del self.sinks[number]
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------------------------- http

    async def _answer(self, request: Request) -> Answer:
        origin = request.headers.get("origin")
        if not self._trusted(request.headers.get("host"), origin, self.api_port):
            return Answer(403)
        headers = {"Cache-Control": "no-store", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        if origin is not None:
            headers |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if request.method == "OPTIONS":
            return Answer(204, b"", headers | {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "Authorization"})
        if (request.method, request.path) == ("GET", "/realtime/sse"):  # A browser's EventSource cannot send the key: the token says who it is.
            return self._events(request, headers)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self.access}".encode()):
            return Answer(401, b"", headers)
        parts = request.path.strip("/").split("/")
        call = self.calls.get((request.method, parts[1] if parts[0] == "realtime" and len(parts) == 2 else parts[0]))
        if call is None:
            return Answer(404, b"", headers)
        try:
            called = call(request, _number(request.query.get("user", "0"), MOST_USERS - 1))
            answer = called if isinstance(called, Answer) else await called
        except (BadMessage, MalformedFrame):
            return Answer(400, b"", headers)
        answer.headers = headers
        return answer

    def _bootstrap(self, request: Request, user: int) -> Answer:
        current, back = self.backend.parameters.schema_current, self.backend.parameters.schema_back
        hints = tuple((channel, self.backend.logs[channel].epoch, self.backend.logs[channel].top) for channel in self.backend.allowed(user))
        name = f"[{self.host}]" if ":" in self.host else self.host
        url = f"ws://{name}:{self.port}/realtime/ws"
        return Answer(200, answers.write_bootstrap(url, self.backend.allowed(user), hints, current - back, current))

    def _token(self, request: Request, user: int) -> Answer:
        return Answer(200, answers.write_token(self.backend.issue(user, self.clock.now()), self.backend.parameters.token_ttl))

    def _events(self, request: Request, headers: dict[str, str]) -> Answer:
        """The long answer of one connection; refusals come in it, as a browser shows no status."""
        accepted = self._accepted(request.query.get("token", ""), request.query.get("v", ""))

        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pipe = EventPipe(writer)
            if accepted is None:
                await pipe.end(codes.TOKEN_EXPIRED, "token")
                return
            number, writing = self._attach(pipe, accepted, inputs.SSE)
            leaving = asyncio.ensure_future(reader.read(1))
            ended = asyncio.get_running_loop().create_future()
            self.streams.add(ended)
            try:
                await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
                await self._detach(number, writing, codes.ABNORMAL)
                self.streams.discard(ended)
                ended.set_result(None)

        if len(self.sinks) >= MOST_CONNECTIONS:
            return Answer(503, b"", headers)
        return Answer(200, b"", headers | {"Content-Type": "text/event-stream"}, stream)

    def _session(self, request: Request) -> int:
        """The connection that a call belongs to; -1 if it is one of another gateway."""
        gateway = int(GATEWAY.read(request.query.get("gateway"), "gateway"))
        session = int(SESSION.read(request.query.get("session"), "session"))
        return session if gateway == NUMBER else -1

    def _uplink(self, request: Request, user: int) -> Answer:
        """Frames of a connection that only receives: one a line. 410: the connection is not here, make a new one."""
        session = self._session(request)
        for line in request.body.split(b"\n"):
            connection = self.gateway.connections.get(session)
            if connection is None or connection.user != user or connection.kind == inputs.WEBSOCKET:
                return Answer(410)
            self._receive(session, line)
        return Answer(200)

    async def _poll(self, request: Request, user: int) -> Answer:
        """The next frames of a connection; the first poll, with a token, makes it."""
        if "token" in request.query:
            accepted = self._accepted(request.query["token"], request.query.get("v", ""))
            if accepted is None or accepted.user != user or len(self.polls) + len(self.sinks) >= MOST_CONNECTIONS:
                refused = effects.CloseTransport(0, codes.TRY_AGAIN_LATER if accepted else codes.TOKEN_EXPIRED, "refused")
                box = PollBox(lambda size: None, SCHEMA)
                box.close(refused)
                return Answer(200, await box.poll(0))
            return Answer(200, await self._new_poll(accepted).poll(0, 0))
        known = self.polls.get(self._session(request))
        if known is None or known[0] != user:
            return Answer(410)
        return Answer(200, await known[1].poll(_number(request.query.get("last", ""), 2**53 - 1)))

    def _new_poll(self, accepted: inputs.ConnectionAccepted) -> PollBox:
        number = 0

        def written(size: int) -> None:
            self.gateway.written(number, size, self.clock.now())
            self.after()

        box = PollBox(written, min(accepted.schema, SCHEMA), self.backend.parameters.poll_hold / SECOND)
        number = self.gateway.connect(box, accepted, self.clock.now(), inputs.LONG_POLL)
        self.polls[number] = (accepted.user, box)
        closed = [old for old in self.polls if old not in self.gateway.connections]
        for old in closed[:-MOST_CLOSED]:  # A few are kept for the poll that is to hear how they ended.
            del self.polls[old]
        self.after()
        return box

    def _replay(self, request: Request, user: int) -> Answer:
        channel = self._channel(request)
        if channel not in self.backend.allowed(user):
            return Answer(403)
        after, epoch, limit = (_number(request.query.get(name, ""), 2**53 - 1) for name in ("fromSeq", "epoch", "limit"))
        schema = min(_version(request.query.get("v", "")), SCHEMA)
        return Answer(200, answers.write_replay(self.backend.replay(channel, epoch, after, limit), schema))

    def _snapshot(self, request: Request, user: int) -> Answer:
        channel = self._channel(request)
        return Answer(200, answers.write_snapshot(self.backend.snapshot(channel))) if channel in self.backend.allowed(user) else Answer(403)

    def _channel(self, request: Request) -> int:
        return int(CHANNEL.read(request.path.rsplit("/", 1)[-1], "channel"))


def _frame(text: str | bytes) -> Frame:
    """The frame in a text; one that is none is for the session to judge, too."""
    try:
        return decode(text)
    except MalformedFrame:
        return Unknown(malformed=True)


def _version(text: str) -> int:
    """The version that a client says it speaks; one that says nothing is current."""
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else SCHEMA


def _number(text: str, most: int) -> int:
    """A whole number of a query."""
    if not re.fullmatch("[0-9]{1,16}", text) or int(text) > most:
        raise BadMessage
    return int(text)
