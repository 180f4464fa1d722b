"""As much of HTTP as is served: what is not understood gets a short answer, and nothing hangs or grows."""

import asyncio

import pytest

from simfabric.live.http import MAX_BODY, MAX_HEAD, Answer, BadMessage, call, start_http


async def echo(request):
    return Answer(200, f"{request.method} {request.path} {sorted(request.query.items())} {len(request.body)}".encode(), {"X-Kind": "test"})


def served(conversation):
    """Run a conversation with a server that echoes."""

    async def run():
        async with await start_http(echo, "127.0.0.1", 0) as server:
            return await conversation(server.sockets[0].getsockname()[1])

    return asyncio.run(run())


def raw(port_bytes):
    """What comes back for these bytes."""

    async def conversation(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(port_bytes)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    return served(conversation)


def test_a_call_and_its_answer():
    async def conversation(port):
        return await call("127.0.0.1", port, "POST", "/realtime/token?user=3&x=%26", body=b"abc")

    answer = served(conversation)
    assert (answer.status, answer.headers["x-kind"]) == (200, "test")
    assert answer.body == b"POST /realtime/token [('user', '3'), ('x', '&')] 3"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \xff\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"GET / HTTP/1.1\r\nA: %s\r\n\r\n" % (b"a" * MAX_HEAD), 413),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 200),
    ],
)
def test_what_is_no_request_is_refused(text, status):
    assert raw(text).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_service_that_is_not_there_and_one_that_speaks_something_else():
    async def closed(port):
        return port

    port = served(closed)
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(call("127.0.0.1", port, "GET", "/"))

    async def nonsense():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"SSH-2.0\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            await call("127.0.0.1", server.sockets[0].getsockname()[1], "GET", "/")

    with pytest.raises(BadMessage):
        asyncio.run(nonsense())
