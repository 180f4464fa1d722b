"""Server-sent events: the same conversation as over a websocket, received by one long answer and sent by calls."""

import asyncio

import pytest

from simfabric.live import http
from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.driver import TransportEnded
from simfabric.live.gateway import Gateway
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects, frames, inputs
from simfabric.protocol.parameters import SECOND

USER = 3


def conversed(conversation):
    """Run a conversation over an event stream."""

    async def run():
        async with asyncio.timeout(60), Server(Gateway.of(Backend((7, 8))), LoopClock()) as server:
            service = Sockets("127.0.0.1", server.api_port, server.access, USER)
            await service.bootstrap(effects.FetchBootstrap(1))
            await service.token(effects.FetchToken(2))
            stream = await service.dial(effects.OpenTransport(1, inputs.SSE))
            try:
                return await conversation(server, service, stream)
            finally:
                await stream.close(1000, "")

    return asyncio.run(run())


async def heard(stream, count):
    return [(await stream.receive())[0] for _ in range(count)]


def test_frames_go_up_by_calls_and_come_down_in_order():
    async def conversation(server, service, stream):
        (greeting,) = await heard(stream, 1)
        assert (greeting.user, greeting.session, greeting.gateway) == (USER, 1, 1)
        await stream.send(frames.Subscribe(1, ((7, 0, 0),)))
        await stream.send(frames.MessageSend(2, 7, 5001, 10))
        subscribed, ack, event = await heard(stream, 3)
        assert [type(frame) for frame in (subscribed, ack, event)] == [frames.Subscribed, frames.MessageAck, frames.Envelope]
        assert (subscribed.channel, subscribed.top, subscribed.recovered) == (7, 0, True)
        assert (ack.client_message_id, ack.sequence) == (5001, 1)
        assert (event.sequence, event.client_message_id) == (1, 5001)

    conversed(conversation)


def test_the_end_comes_with_its_code_and_advice():
    async def conversation(server, service, stream):
        await heard(stream, 1)
        server.gateway.drain(2 * SECOND, 3 * SECOND, 1, server.clock.now())
        server.after()
        assert isinstance((await stream.receive())[0], frames.Draining)
        with pytest.raises(TransportEnded) as end:
            await stream.receive()
        return end.value.code, end.value.advised, end.value.spread

    assert conversed(conversation) == (1012, 2 * SECOND, 3 * SECOND)


def test_a_client_that_leaves_is_noticed():
    async def conversation(server, service, stream):
        await stream.close(1000, "")
        while server.gateway.connections:
            await asyncio.gather(*server.streams)
        return len(server.sinks)

    assert conversed(conversation) == 0


def test_case_79_an_uplink_that_reaches_no_such_session_is_told_410_and_ends_the_stream():
    async def conversation(server, service, stream):
        await heard(stream, 1)
        key = {"Authorization": f"Bearer {server.access}"}
        for query in ("user=3&session=s1&gateway=g2", "user=3&session=s9&gateway=g1", "user=4&session=s1&gateway=g1"):
            answer = await http.call("127.0.0.1", server.api_port, "POST", f"/realtime/uplink?{query}", key, b'{"type":"pong","t":1}')
            assert answer.status == 410
        stream.session = asyncio.get_running_loop().create_future()
        stream.session.set_result(("s9", "g1"))
        with pytest.raises(TransportEnded):
            await stream.send(frames.Pong(1))
        with pytest.raises(TransportEnded):
            await stream.receive()

    conversed(conversation)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type":"pong"}', b'{"type":"pong","t":1}\n\xff'])
def test_an_uplink_of_something_that_is_no_frame_ends_the_stream_as_it_would_a_websocket(body):
    async def conversation(server, service, stream):
        await heard(stream, 1)
        target = "/realtime/uplink?user=3&session=s1&gateway=g1"
        await http.call("127.0.0.1", server.api_port, "POST", target, {"Authorization": f"Bearer {server.access}"}, body)
        with pytest.raises(TransportEnded) as end:
            await stream.receive()
        return end.value.code

    assert conversed(conversation) == 1007


def test_a_token_that_is_none_of_ours_is_told_in_the_stream():
    async def conversation(server, service, stream):
        service._secret = "guessed"
        with pytest.raises(TransportEnded) as end:
            await service.dial(effects.OpenTransport(2, inputs.SSE))
        return end.value.code

    assert conversed(conversation) == 4101


def test_a_server_that_stops_ends_its_streams():
    async def conversation(server, service, stream):
        await heard(stream, 1)
        await server.stop()
        with pytest.raises(TransportEnded):
            await stream.receive()
        return server.sinks, server.streams

    assert conversed(conversation) == ({}, set())


HEAD = "HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("text", ["SSH-2.0\r\n\r\n", HEAD + "event: close\ndata: {}\n\n", HEAD + "x" * 200_000, HEAD + "data: [\n\n"], ids=range(4))
def test_a_stream_that_is_none_is_a_transport_that_ended(text):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text.encode())
        await http.finish(writer)

    async def run():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            service = Sockets("127.0.0.1", server.sockets[0].getsockname()[1], "key", USER)
            with pytest.raises(TransportEnded):
                await service.dial(effects.OpenTransport(1, inputs.SSE))

    asyncio.run(run())
