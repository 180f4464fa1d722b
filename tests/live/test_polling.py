"""Long poll: what was taken out and lost on its way is given again, and of two polls the older ends empty."""

import asyncio
import json

import pytest

from simfabric.live import http
from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.driver import TransportEnded
from simfabric.live.gateway import Gateway
from simfabric.live.polling import LongPoll, PollBox
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects, frames, inputs
from simfabric.protocol.parameters import SECOND

USER = 3


def conversed(conversation):
    """Run a conversation over a long poll."""

    async def run():
        async with asyncio.timeout(60), Server(Gateway.of(Backend((7, 8))), LoopClock()) as server:
            service = Sockets("127.0.0.1", server.api_port, server.access, USER)
            await service.bootstrap(effects.FetchBootstrap(1))
            await service.token(effects.FetchToken(2))
            return await conversation(server, service, await service.dial(effects.OpenTransport(1, inputs.LONG_POLL)))

    return asyncio.run(run())


async def heard(transport, count):
    return [(await transport.receive())[0] for _ in range(count)]


def test_frames_go_up_by_calls_and_come_down_in_order():
    async def conversation(server, service, poll):
        (greeting,) = await heard(poll, 1)
        assert (greeting.user, greeting.session, greeting.gateway) == (USER, 1, 1)
        await poll.send(frames.Subscribe(1, ((7, 0, 0),)))
        await poll.send(frames.MessageSend(2, 7, 5001, 10))
        kinds = [type(frame) for frame in await heard(poll, 3)]
        assert kinds == [frames.Subscribed, frames.MessageAck, frames.Envelope]

    conversed(conversation)


def test_case_80_what_was_taken_out_by_an_answer_that_got_lost_is_given_again():
    async def conversation(server, service, poll):
        await heard(poll, 1)
        await poll.send(frames.Subscribe(1, ((7, 0, 0),)))
        lost = await service._poll(poll.session, poll.gateway, poll.last)
        again = await service._poll(poll.session, poll.gateway, poll.last)
        assert lost == again
        assert [type(frame) for frame in await heard(poll, 1)] == [frames.Subscribed]
        assert poll.last == json.loads(lost)["last"] == 2

    conversed(conversation)


def test_case_80_of_two_polls_the_older_ends_empty():
    async def run():
        box = PollBox(lambda size: None, 2)
        older = asyncio.ensure_future(box.poll(0))
        await asyncio.wait((older,), timeout=0)
        newer = asyncio.ensure_future(box.poll(0))
        await older
        box.send(frames.Pong(1))
        return older.result(), await newer

    older, newer = asyncio.run(run())
    assert json.loads(older)["frames"] == []
    assert json.loads(newer) == {"last": 1, "frames": [{"type": "pong", "t": 0.000000001}]}


def test_what_a_later_poll_confirms_is_forgotten_and_frees_the_buffer():
    async def run():
        freed = []
        box = PollBox(freed.append, 2)
        for t in range(3):
            box.send(frames.Pong(t))
        first = json.loads(await box.poll(0))
        second = json.loads(await box.poll(2))
        return freed, first, second, len(box.kept)

    freed, first, second, kept = asyncio.run(run())
    assert (first["last"], second["last"], kept) == (3, 3, 1)
    assert len(second["frames"]) == 1
    assert len(freed) == 2 and all(size > 0 for size in freed)


def test_an_empty_poll_ends_after_its_hold():
    assert json.loads(asyncio.run(PollBox(lambda size: None, 2).poll(0, hold=0))) == {"last": 0, "frames": []}


def test_an_answer_is_no_larger_than_a_frame_and_the_end_waits_for_the_last_one():
    async def run():
        box = PollBox(lambda size: None, 2)
        for _ in range(3):
            box.send(frames.AuthRevoked("x" * 250))
        for _ in range(2):
            box.send(frames.Subscribed(1, 7, 1, 9, 1, True, tuple(frames.Envelope(7, n, 1, n) for n in range(1, 400))))
        box.close(effects.CloseTransport(1, 4401, "revoked"))
        first = json.loads(await box.poll(0))
        return first, json.loads(await box.poll(first["last"]))

    first, second = asyncio.run(run())
    assert (len(first["frames"]), "close" in first) == (4, False)
    assert (len(second["frames"]), second["close"]["code"]) == (1, 4401)


def test_the_end_comes_with_its_code_and_advice():
    async def conversation(server, service, poll):
        await heard(poll, 1)
        server.gateway.drain(2 * SECOND, 3 * SECOND, 1, server.clock.now())
        server.after()
        assert isinstance((await poll.receive())[0], frames.Draining)
        with pytest.raises(TransportEnded) as end:
            await poll.receive()
        return end.value.code, end.value.advised, end.value.spread

    assert conversed(conversation) == (1012, 2 * SECOND, 3 * SECOND)


def test_case_79_a_poll_and_an_uplink_that_reach_no_such_session_are_told_410():
    async def conversation(server, service, poll):
        await heard(poll, 1)
        key = {"Authorization": f"Bearer {server.access}"}
        for query in ("user=3&session=s1&gateway=g2", "user=3&session=s9&gateway=g1", "user=4&session=s1&gateway=g1"):
            answer = await http.call("127.0.0.1", server.api_port, "GET", f"/realtime/poll?{query}&last=0", key)
            assert answer.status == 410
        poll.session = "s9"
        with pytest.raises(TransportEnded):
            await poll.send(frames.Pong(1))
        with pytest.raises(TransportEnded):
            await poll.receive()

    conversed(conversation)


def test_a_token_that_is_none_of_ours_is_told_by_its_close_code():
    async def conversation(server, service, poll):
        service._secret = "guessed"
        with pytest.raises(TransportEnded) as end:
            await service.dial(effects.OpenTransport(2, inputs.LONG_POLL))
        return end.value.code

    assert conversed(conversation) == 4101


@pytest.mark.parametrize("body", [b"", b"{}", b'{"last":1,"frames":[]}', b'{"last":1,"frames":[{"type":"pong","t":1}]}', b'{"last":0,"frames":[],"close":7}'])
def test_an_answer_that_makes_no_connection_is_a_transport_that_ended(body):
    async def poll(session, gateway, last):
        return body

    with pytest.raises(TransportEnded):
        asyncio.run(LongPoll(poll, None).open())


def test_a_server_that_stops_ends_the_polls_that_it_holds():
    async def conversation(server, service, poll):
        await heard(poll, 1)
        box, held = server.polls[1][1], asyncio.Event()
        hold = box.poll
        box.poll = lambda last: held.set() or hold(last)
        waiting = asyncio.ensure_future(poll.receive())
        await held.wait()
        await server.stop()
        with pytest.raises(TransportEnded) as end:
            await waiting
        return end.value.code

    assert conversed(conversation) == 1001
