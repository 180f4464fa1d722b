"""A whole client over the fallback transports when the middle misbehaves: an uplink that reaches another gateway, an answer that gets lost."""

import asyncio

from simfabric.live.backend import Backend
from simfabric.live.clock import LoopClock
from simfabric.live.driver import CallFailed, Driver
from simfabric.live.gateway import Gateway
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects, frames, inputs
from simfabric.protocol.client import ClientSession
from simfabric.protocol.parameters import MILLISECOND, Parameters

USER, CHANNEL = 3, 7
QUICK = Parameters(reconnect_first=10 * MILLISECOND, flush_every=MILLISECOND)


class Fallback(Sockets):
    """The service behind a proxy that lets no websocket through; what else it does is the test's."""

    kind = inputs.LONG_POLL

    async def dial(self, effect):
        return await super().dial(effects.OpenTransport(effect.generation, self.kind))


class Shown:
    """What the user sees, and a way to wait for it."""

    def __init__(self):
        self.effects = []
        self.changed = asyncio.Event()

    def __call__(self, effect):
        self.effects.append(effect)
        self.changed.set()

    def of(self, kind):
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sequences(self):
        return [event.sequence for batch in self.of(effects.Deliver) for event in batch.events]

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


def lived(service_of, day):
    """A day of a client whose service is made for it; two gateways share one backend. Returns what `day` does, and all effects by name."""

    async def run():
        backend = Backend((CHANNEL,), QUICK)
        made = []
        async with asyncio.timeout(60), Server(Gateway.of(backend), LoopClock()) as home, Server(Gateway.of(backend), LoopClock()) as other:
            service, shown = service_of(home, other), Shown()
            driver = Driver(ClientSession(1, parameters=QUICK), service, LoopClock(), shown, lambda now, effect: made.append(effect))

            def show(effect):
                shown(effect)
                if isinstance(effect, effects.Deliver):  # The user interface takes every batch at once.
                    asyncio.get_running_loop().call_soon(driver.feed, inputs.ConsumerDrained())

            driver.show = show
            try:
                driver.feed(inputs.ConnectRequested())
                driver.feed(inputs.SubscribeWanted(CHANNEL))
                await shown.until(lambda: driver.session.state == 6)
                await day(driver, shown, home)
            finally:
                await driver.stop()
        return shown, backend.logs[CHANNEL], [effect for effect in made if isinstance(effect, effects.OpenTransport)]

    return asyncio.run(run())


def straying(kind):
    """The first publication that is sent up reaches the other gateway."""

    class Straying(Fallback):
        strays = 1

        async def _uplink(self, session, gateway, body):
            here = self.port
            if b"message.send" in body and self.strays:
                self.strays -= 1
                self.port = self.elsewhere
            try:
                await super()._uplink(session, gateway, body)
            finally:
                self.port = here

    def service_of(home, other):
        service = Straying("127.0.0.1", home.api_port, home.access, USER)
        other.access, service.elsewhere, service.kind = home.access, other.api_port, kind
        return service

    return service_of


def stray(kind):
    async def day(driver, shown, home):
        driver.feed(inputs.PublishRequested(CHANNEL, 42, 10))
        await shown.until(lambda: shown.of(effects.PublishSettled))
        await shown.until(lambda: shown.sequences())

    shown, log, dials = lived(straying(kind), day)
    assert shown.of(effects.PublishSettled) == [effects.PublishSettled(42, "sent")]
    assert len(dials) == 2  # 410, and a new session.
    assert [event.client_message_id for event in log.events] == [42] and shown.sequences() == [1]


def test_case_79_an_uplink_of_a_long_poll_that_reaches_another_gateway_makes_a_new_session_and_the_send_goes_again():
    stray(inputs.LONG_POLL)


def test_case_79_an_uplink_of_an_event_stream_that_reaches_another_gateway_makes_a_new_session_and_the_send_goes_again():
    stray(inputs.SSE)


def losing(count):
    """So many answers in a row that carry an event are lost on their way."""

    class Losing(Fallback):
        left = count

        async def _poll(self, session, gateway, last):
            answer = await super()._poll(session, gateway, last)
            if b"message.created" in answer and self.left:
                self.left -= 1
                raise CallFailed(0)
            return answer

    return lambda home, other: Losing("127.0.0.1", home.api_port, home.access, USER)


def lost(count):
    async def day(driver, shown, home):
        for key in range(3):
            home.gateway.publish(CHANNEL, 99, key, 10, home.clock.now())
            home.after()
            await shown.until(lambda key=key: len(shown.sequences()) > key)

    shown, _, dials = lived(losing(count), day)
    assert shown.sequences() == [1, 2, 3] and not shown.of(effects.ChannelReset)
    return len(dials)


def test_case_80_a_poll_answer_that_is_lost_is_given_again_to_the_same_session_and_shown_once():
    assert lost(1) == 1


def test_case_80_when_the_second_answer_is_lost_too_a_new_session_brings_it():
    assert lost(2) == 2


def test_the_hold_of_an_empty_poll_is_the_parameter():
    async def run():
        async with asyncio.timeout(60), Server(Gateway.of(Backend((CHANNEL,), QUICK)), LoopClock()) as server:
            service = Sockets("127.0.0.1", server.api_port, server.access, USER)
            await service.bootstrap(effects.FetchBootstrap(1))
            await service.token(effects.FetchToken(2))
            poll = await service.dial(effects.OpenTransport(1, inputs.LONG_POLL))
            assert isinstance((await poll.receive())[0], frames.ConnectionAck)
            return server.polls[1][1].hold

    assert asyncio.run(run()) == 25.0
