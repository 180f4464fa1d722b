"""The driver carries out effects in order, feeds back what came of them, re-reads the deadline after each call, and decides nothing."""

import asyncio

import pytest

from simfabric.live.driver import CallFailed, Driver, TransportEnded
from simfabric.protocol import effects, inputs
from simfabric.protocol.frames import Pong, TypingSent
from tests.live.worlds import JumpingClock


class Script:
    """A session that answers each input by the next list of effects, and has the deadlines that a test sets."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []
        self.deadline = None
        self.arrived = asyncio.Event()

    def handle(self, given, now):
        self.heard.append((now, given))
        self.arrived.set()
        return self.answers.pop(0) if self.answers else []

    def next_deadline(self):
        return self.deadline

    def handle_timers(self, now):
        self.deadline = None
        return self.handle("timers", now)

    async def hears(self, count):
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return [given for _, given in self.heard]


class Line:
    """A transport whose other side is the test."""

    def __init__(self):
        self.incoming = asyncio.Queue()
        self.sent = []
        self.closed = asyncio.Event()

    async def receive(self):
        item = await self.incoming.get()
        if isinstance(item, Exception):
            raise item
        return item, 10

    async def send(self, frame):
        self.sent.append(frame)

    async def close(self, code, reason):
        self.sent.append(("closed", code))
        self.closed.set()


class Service:
    """Calls that wait until the test answers them."""

    def __init__(self):
        self.waiting = {}
        self.lines = {}
        self.forgot = 0
        self.called = asyncio.Event()

    async def asked(self, effect):
        future = self.waiting[type(effect)] = asyncio.get_running_loop().create_future()
        self.called.set()
        return await future

    bootstrap = token = replay = snapshot = asked

    async def dial(self, effect):
        answer = await self.asked(effect)
        self.lines[effect.generation] = answer
        return answer

    def forget(self):
        self.forgot += 1


def driven(conversation, *answers):
    """Run a conversation with a driver of this script; the driver is stopped at its end."""

    async def run():
        session, service, clock = Script(*answers), Service(), JumpingClock()
        shown = []
        driver = Driver(session, service, clock, shown.append)
        try:
            return await conversation(driver, session, service, clock, shown)
        finally:
            await driver.stop()

    return asyncio.run(run())


async def started(service, kind):
    async with asyncio.timeout(60):
        while kind not in service.waiting:
            service.called.clear()
            await service.called.wait()
    return service.waiting.pop(kind)


OPEN = effects.OpenTransport(5, inputs.WEBSOCKET)


def test_an_answer_a_refusal_and_silence_become_inputs():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        (await started(service, effects.FetchToken)).set_result(inputs.TokenReady(3, 60))
        assert (await session.hears(2))[1] == inputs.TokenReady(3, 60)
        (await started(service, effects.FetchReplay)).set_exception(CallFailed(503, 2_000))
        assert (await session.hears(3))[2] == inputs.FetchFailed(4, inputs.REPLAY, 503, 2_000, 7)

    driven(conversation, [effects.FetchToken(3)], [effects.FetchReplay(4, 7, 1, 0, 10)])


def test_a_call_that_was_called_off_says_nothing():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        future = await started(service, effects.FetchSnapshot)
        driver.feed("off")
        assert not driver.calls
        driver.feed("another")
        (await started(service, effects.FetchToken)).set_result(inputs.TokenReady(4, 60))
        assert (await session.hears(4))[3] == inputs.TokenReady(4, 60)
        assert future.cancelled()

    driven(conversation, [effects.FetchSnapshot(3, 7)], [effects.CancelFetch(3, inputs.SNAPSHOT)], [effects.FetchToken(4)])


def test_frames_are_written_in_order_and_the_close_comes_after_them():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        line = Line()
        (await started(service, effects.OpenTransport)).set_result(line)
        assert (await session.hears(2))[1] == inputs.TransportOpened(5)
        driver.feed("leave")
        await line.closed.wait()
        assert line.sent == [TypingSent(7), Pong(1), Pong(2), ("closed", 1000)]
        line.incoming.put_nowait(Pong(9))
        line.incoming.put_nowait(TransportEnded(1000))
        await asyncio.gather(*driver.tasks)
        assert len(session.heard) == 3  # What the session closed is silent.

    opened = [effects.SendFrame(5, TypingSent(7)), effects.SendFrame(5, Pong(1))]
    driven(conversation, [OPEN], opened, [effects.SendFrame(5, Pong(2)), effects.CloseTransport(5, 1000)])


def test_frames_and_the_end_of_a_transport_carry_its_generation_and_advice():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        line = Line()
        (await started(service, effects.OpenTransport)).set_result(line)
        line.incoming.put_nowait(Pong(9))
        line.incoming.put_nowait(TransportEnded(1012, 5, 7))
        heard = await session.hears(4)
        assert heard[2:] == [inputs.FrameReceived(5, Pong(9), 10), inputs.TransportClosed(5, 1012, 5, 7, True)]
        driver.feed("late")
        assert not driver.lines

    driven(conversation, [OPEN], [], [], [], [effects.SendFrame(5, Pong(1)), effects.CloseTransport(5, 1000)])


def test_case_44_a_dial_that_is_closed_before_it_opened_is_never_adopted():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        future = await started(service, effects.OpenTransport)
        driver.feed("too late")
        await asyncio.gather(*driver.tasks, return_exceptions=True)
        assert future.cancelled()
        assert len(session.heard) == 2

    driven(conversation, [OPEN], [effects.CloseTransport(5, 4000)])


def test_a_dial_that_fails_says_that_no_byte_was_seen():
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        (await started(service, effects.OpenTransport)).set_exception(TransportEnded(1006, bytes_seen=False))
        assert (await session.hears(2))[1] == inputs.TransportClosed(5, 1006, -1, 0, False)

    driven(conversation, [OPEN])


def test_the_deadline_is_read_after_each_call_and_kept_to_the_nanosecond():
    async def conversation(driver, session, service, clock, shown):
        session.deadline = 50
        driver.feed("one")
        session.deadline = 30
        driver.feed("two")
        assert clock.next_alarm() == 30
        clock.ring()
        assert session.heard[-1] == (30, "timers")
        assert clock.next_alarm() is None

    driven(conversation)


def test_an_alarm_that_rings_early_is_told_the_deadline_and_a_late_one_the_clock():
    async def conversation(driver, session, service, clock, shown):
        for time, told in ((29, 30), (31, 31)):
            session.deadline = 30
            driver.feed("go")
            alarm = clock.alarms[-1][2]
            clock.time = time
            alarm.callback()
            assert session.heard[-1] == (told, "timers")

    driven(conversation)


def test_what_is_for_the_user_interface_is_shown_in_order_and_clearing_forgets_the_token():
    def conversation_of(expected):
        async def conversation(driver, session, service, clock, shown):
            driver.feed("go")
            assert shown == expected
            assert service.forgot == 1

        return conversation

    made = [effects.Deliver(7, ()), effects.Count("x"), effects.ClearLocal(), effects.Fault("law")]
    driven(conversation_of(made), made)


@pytest.mark.parametrize("kind", [effects.FetchBootstrap(1), OPEN])
def test_stopping_ends_what_is_under_way_and_says_nothing_to_the_session(kind):
    async def conversation(driver, session, service, clock, shown):
        driver.feed("go")
        future = await started(service, type(kind))
        await driver.stop()
        assert future.cancelled()
        assert not driver.tasks
        assert len(session.heard) == 1

    driven(conversation, [kind])
