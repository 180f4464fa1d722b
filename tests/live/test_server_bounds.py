"""What the served ports let in: this machine, known pages, the holder of the key; bounded frames; no token in any repr or log."""

import asyncio
import json
import logging

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simfabric.live import http
from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.driver import CallFailed
from simfabric.live.gateway import Gateway
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects
from simfabric.protocol.frames import ConnectionAck
from simfabric.protocol.inputs import FrameReceived


class Listener:
    """A gateway's session that remembers the sizes of the frames it heard."""

    def __init__(self, session):
        self.session = session
        self.sizes = []
        self.frame_heard = asyncio.Event()

    def handle(self, given, now):
        if isinstance(given, FrameReceived):
            self.sizes.append(given.size)
            self.frame_heard.set()
        return self.session.handle(given, now)

    def next_deadline(self):
        return self.session.next_deadline()

    def handle_timers(self, now):
        return self.session.handle_timers(now)


def new_gateway():
    gateway = Gateway.of(Backend((7, 8)))
    make = gateway.new_session
    gateway.new_session = lambda number, kind: Listener(make(number, kind))
    return gateway


def served(conversation, **settings):
    """Run a conversation with a served gateway."""

    async def run():
        async with asyncio.timeout(60), Server(new_gateway(), LoopClock(), **settings) as server:
            return await conversation(server)

    return asyncio.run(run())


def status(path, method="GET", key=None, host=None, origin=None, **settings):
    async def conversation(server):
        headers = {"Authorization": f"Bearer {server.access if key is None else key}"}
        if origin is not None:
            headers["Origin"] = origin
        reader, writer = await asyncio.open_connection("127.0.0.1", server.api_port)
        http._write(writer, f"{method} {path} HTTP/1.1", {"Host": host or f"127.0.0.1:{server.api_port}", **headers}, b"")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer.split(b" ")[1])

    return served(conversation, **settings)


def test_another_machine_cannot_be_served():
    with pytest.raises(ValueError, match="only this machine"):
        Server(new_gateway(), None, host="0.0.0.0")


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/realtime/bootstrap?user=3", "GET", 200),
        ("/realtime/token?user=3", "POST", 200),
        ("/realtime/token?user=3", "GET", 404),
        ("/snapshot/c7", "GET", 200),
        ("/snapshot/c9", "GET", 403),
        ("/snapshot/7", "GET", 400),
        ("/replay/c7?fromSeq=0&epoch=0&limit=10", "GET", 200),
        ("/replay/c7?fromSeq=-1&epoch=0&limit=10", "GET", 400),
        ("/replay/c7?fromSeq=99999999999999999999&epoch=0&limit=10", "GET", 400),
        ("/replay/c7", "GET", 400),
        ("/realtime/bootstrap?user=1000", "GET", 400),
        ("/realtime/bootstrap?user=²", "GET", 400),
        ("/", "GET", 404),
        ("/../etc/passwd", "GET", 404),
    ],
)
def test_each_call_answers_its_own_requests_only(path, method, expected):
    assert status(path.encode().decode("latin-1").encode("ascii", "replace").decode(), method) == expected


def test_a_call_without_the_key_is_refused():
    assert status("/realtime/bootstrap", key="") == 401
    assert status("/realtime/bootstrap", key="ключ".encode().hex()) == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1", "127.0.0.1", "127.0.0.1.evil.example:1"])
def test_a_name_that_was_bound_to_this_machine_by_somebody_else_is_refused(host):
    assert status("/realtime/bootstrap", host=host) == 403


def test_a_page_is_refused_unless_it_is_named():
    page = "http://localhost:5173"
    assert status("/realtime/bootstrap", origin=page) == 403
    assert status("/realtime/bootstrap", origin="null") == 403
    assert status("/realtime/bootstrap", origin=page, origins=(page,)) == 200
    assert status("/realtime/bootstrap", method="OPTIONS", origin=page, origins=(page,)) == 204


async def fetched_token(server):
    answer = await http.call("127.0.0.1", server.api_port, "POST", "/realtime/token?user=3", {"Authorization": f"Bearer {server.access}"})
    return json.loads(answer.body)["wsToken"]


@pytest.mark.parametrize(("path", "origin"), [("/realtime/ws", "http://evil.example"), ("/realtime/ws", "null"), ("/elsewhere", None)])
def test_an_upgrade_from_another_page_or_to_another_path_is_refused(path, origin):
    async def conversation(server):
        token = await fetched_token(server)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}{path}?token={token}&v=2", origin=origin, proxy=None)
        return refused.value.response.status_code, len(server.gateway.connections)

    assert served(conversation) == (403, 0)


def close_code(token, sent):
    """The code that a connection ends with after this was sent."""

    async def conversation(server):
        secret = await fetched_token(server) if token is None else token
        async with connect(f"ws://127.0.0.1:{server.port}/realtime/ws?token={secret}&v=2", proxy=None) as socket:
            if token is None:
                await socket.recv()
                await socket.send(sent)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        return socket.close_code

    return served(conversation)


def test_a_token_that_is_none_of_ours_is_told_by_a_close_code_that_browsers_see():
    assert close_code("guessed", "") == 4101


@pytest.mark.parametrize("text", ["", "[]", "null", '{"type":1}', "[" * 10_000, '{"type":"pong"}', b"\xff\xfe"])
def test_what_is_no_frame_ends_the_connection(text):
    assert close_code(None, text) == 1007


def test_case_84_a_frame_of_65537_bytes_ends_the_connection_and_one_of_65536_does_not():
    frame = '{"type":"unknown","x":"%s"}'
    assert close_code(None, frame % ("x" * (65_537 - len(frame) + 2))) == 1009

    async def conversation(server):
        async with connect(f"ws://127.0.0.1:{server.port}/realtime/ws?token={await fetched_token(server)}&v=2", proxy=None) as socket:
            await socket.recv()
            await socket.send(frame % ("x" * (65_536 - len(frame) + 2)))
            session = server.gateway.connections[1].session
            await session.frame_heard.wait()
            return session.sizes[-1]

    assert served(conversation) == 65_536


def test_no_token_and_no_key_is_in_a_repr_or_in_a_log(caplog):
    caplog.set_level(logging.DEBUG)

    async def conversation(server):
        service = Sockets("127.0.0.1", server.api_port, server.access, 3)
        await service.bootstrap(effects.FetchBootstrap(1))
        await service.token(effects.FetchToken(2))
        transport = await service.dial(effects.OpenTransport(1, 0))
        frame, _ = await transport.receive()
        await transport.close(1000, "")
        assert isinstance(frame, ConnectionAck)
        return [repr(service), repr(transport)], [service._secret, server.access]

    texts, secrets = served(conversation)
    assert not any(secret in text for secret in secrets for text in [*texts, caplog.text, *(str(record.args) for record in caplog.records)])


def test_an_address_elsewhere_is_dialled_over_wss_only():
    async def dial():
        service = Sockets("127.0.0.1", 1, "key", 3)
        service._url = "ws://example.com/realtime/ws"
        await service.dial(effects.OpenTransport(1, 0))

    with pytest.raises(Exception, match="code 1006"):
        asyncio.run(dial())


def test_a_call_that_nobody_answers_has_status_0():
    with pytest.raises(CallFailed, match="status 0"):
        asyncio.run(Sockets("127.0.0.1", 1, "key", 3).bootstrap(effects.FetchBootstrap(1)))
