"""HTTP: as much of it as five small calls need, bounded on every side. One request per connection.

What comes in is untrusted: head, body, time and number of connections have limits, and a request that breaks one gets an answer without a
reason. Leaves out: keep-alive, chunks, TLS; this is for loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD = 8_192  # Bytes of a request's or an answer's head.
MAX_BODY = 65_536
MAX_LINE = 2 * 65_536  # Of a stream of frames.
MAX_ANSWER = 1_048_576
MAX_CONNECTIONS = 256
PATIENCE = 10.0  # For a whole request [s].
STATUS = {
    200: "OK", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    410: "Gone", 413: "Content Too Large", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


class BadMessage(ValueError):  # noqa: N818 - it says what the message is.
    """No HTTP that is understood here; `status` answers it."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(STATUS[status])
        self.status = status


Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Request:
    """A request; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class Answer:
    """An answer."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict)
    stream: Stream | None = None  # Instead of a body: writes for as long as it likes.


Handler = Callable[[Request], Awaitable[Answer]]


async def start_http(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Listen, and answer each request by the handler."""
    busy = 0

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy
        busy += 1
        try:
            answer = Answer(503) if busy > MAX_CONNECTIONS else await _answered(handler, reader)
            first = f"HTTP/1.1 {answer.status} {STATUS[answer.status]}"
            _write(writer, first, answer.headers, answer.body if answer.stream is None else None)
            await writer.drain()
            if answer.stream is not None:
                await answer.stream(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # The other side left, or this server stops: nobody to answer.
        finally:
            busy -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    return await asyncio.start_server(serve_one, host, port, limit=MAX_HEAD)


async def _answered(handler: Handler, reader: asyncio.StreamReader) -> Answer:
    try:
        async with asyncio.timeout(PATIENCE):
            request = await _read_request(reader)
        return await handler(request)
    except BadMessage as bad:
        return Answer(bad.status)
    except TimeoutError:
        return Answer(400)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    first, headers = await _read_head(reader)
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
        raise BadMessage
    body = await _read_body(reader, headers, MAX_BODY)
    target = urlsplit(parts[1])
    return Request(parts[0], target.path, dict(parse_qsl(target.query, max_num_fields=20)), headers, body)


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    except asyncio.LimitOverrunError as error:
        raise BadMessage(413) from error
    except (asyncio.IncompleteReadError, UnicodeDecodeError) as error:
        raise BadMessage from error
    first, *lines = head[:-4].split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name.lower() in headers:
            raise BadMessage  # Two of a kind would mean two things to two readers.
        headers[name.lower()] = value.strip()
    return first, headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str], limit: int) -> bytes:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not length.isascii() or not length.isdigit() or len(length) > 9:
        raise BadMessage
    if int(length) > limit:
        raise BadMessage(413)
    try:
        return await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as error:
        raise BadMessage from error


def _write(writer: asyncio.StreamWriter, first: str, headers: dict[str, str], body: bytes | None) -> None:
    """A head and its body; a body of None goes on until the connection ends."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), *length, "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("ascii") + (body or b""))


async def call(host: str, port: int, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    """Make one request; raises OSError when nobody answers and BadMessage when what comes is no answer."""
    answer, reader, writer = await begin(host, port, method, target, headers, body)
    try:
        answer.body = await _read_body(reader, answer.headers, MAX_ANSWER)
        return answer
    finally:
        await finish(writer)


async def begin(
    host: str, port: int, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[Answer, asyncio.StreamReader, asyncio.StreamWriter]:
    """Make a request and read the head of the answer; the rest is for the caller to read, who also calls `finish`."""
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE)
    try:
        _write(writer, f"{method} {target} HTTP/1.1", {"Host": f"{host}:{port}", **(headers or {})}, body)
        await writer.drain()
        first, answered = await _read_head(reader)
        status = first.split(" ")[1:2]
        if not first.startswith("HTTP/1.") or not status or not status[0].isdigit():
            raise BadMessage
        return Answer(int(status[0]), b"", answered), reader, writer
    except BaseException:
        await finish(writer)
        raise


async def finish(writer: asyncio.StreamWriter) -> None:
    """Close a connection."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
