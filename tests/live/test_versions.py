"""A client of the version before over real sockets: what it cannot know reaches it as a hole by design, live and by the replay call."""

import asyncio

import pytest

from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.gateway import Gateway
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects, frames, inputs
from simfabric.protocol.frames import MESSAGE, MODERATION, Envelope, SequenceSkip

USER, CHANNEL = 3, 7


@pytest.mark.parametrize(("schema", "kinds"), [(1, [Envelope, SequenceSkip, Envelope]), (2, [Envelope, Envelope, Envelope])])
@pytest.mark.parametrize("kind", [inputs.WEBSOCKET, inputs.SSE, inputs.LONG_POLL])
def test_every_transport_and_the_replay_speak_the_version_of_the_client(monkeypatch, schema, kinds, kind):
    monkeypatch.setattr(frames, "TYPE_SINCE", (1, 2, 1, 1))  # As if version 2 had added moderation.

    async def run():
        backend = Backend((CHANNEL,))
        async with asyncio.timeout(60), Server(Gateway.of(backend), LoopClock()) as server:
            service = Sockets("127.0.0.1", server.api_port, server.access, USER, schema)
            await service.bootstrap(effects.FetchBootstrap(1))
            await service.token(effects.FetchToken(2))
            transport = await service.dial(effects.OpenTransport(1, kind))
            await transport.receive()
            await transport.send(frames.Subscribe(1, ((CHANNEL, 0, -1),)))
            await transport.receive()
            for type_ in (MESSAGE, MODERATION, MESSAGE):
                server.gateway.route(backend.logs[CHANNEL].append(1, -1, 10, 0, type_)[0], server.clock.now())
            live = [(await transport.receive())[0] for _ in range(3)]
            page = await service.replay(effects.FetchReplay(3, CHANNEL, 1, 0, 100))
            await transport.close(1000, "")
            return live, page.events

    live, replayed = asyncio.run(run())
    assert [type(frame) for frame in live] == [type(frame) for frame in replayed] == kinds
