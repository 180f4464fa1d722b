"""One client, one gateway and a script, driven three ways: by a heap, by SimPy, and by an event loop over real sockets.

Every world has the same few verbs, and keeps a trace of the client's effects with their instants. The sockets' world runs on a clock that
jumps: it stands still until every frame and every call on the loopback has arrived, then jumps to the next deadline. So real time never
decides anything, and the three can be compared effect by effect.
"""

import abc
import asyncio
import heapq

import simpy

from simfabric.live.backend import Backend
from simfabric.live.driver import Driver
from simfabric.live.server import Server
from simfabric.live.sockets import Sockets
from simfabric.protocol import effects, inputs
from simfabric.protocol.codec import encode
from simfabric.protocol.parameters import Parameters

USER = 1
CHANNELS = (7, 8)
S = 10**9
MS = 10**6
GENEROUS = 60.0  # For real sockets on a busy machine [s].


def new_backend(**changes):
    return Backend(CHANNELS, Parameters(**changes))


class VirtualWorld(abc.ABC):
    """The client and the gateway over links with one delay, in virtual time; who keeps the time is the subclass's."""

    def __init__(self, client, gateway, delay=0):
        self.client = client
        self.gateway = gateway
        self.backend = gateway.backend
        self.delay = delay
        self.trace = []  # (at, effect).
        self.numbers = {}  # Dial generation -> the gateway's connection.
        self.generations = {}  # And back.
        self.void = set()  # Tickets that were called off.
        self.carriers = {
            effects.FetchBootstrap: lambda e: self.call(inputs.BOOTSTRAP, e, self.bootstrap),
            effects.FetchToken: lambda e: self.call(inputs.TOKEN, e, lambda e: inputs.TokenReady(e.ticket, self.backend.parameters.token_ttl)),
            effects.FetchReplay: lambda e: self.call(inputs.REPLAY, e, lambda e: self.backend.replay(e.channel, e.epoch, e.after, e.limit, e.ticket)),
            effects.FetchSnapshot: lambda e: self.call(inputs.SNAPSHOT, e, lambda e: self.backend.snapshot(e.channel, e.ticket)),
            effects.CancelFetch: lambda e: self.void.add((e.kind, e.ticket)),
            effects.OpenTransport: self.open,
            effects.SendFrame: self.send,
            effects.CloseTransport: self.close,
        }

    # Who keeps the time.

    @abc.abstractmethod
    def now(self):
        """The clock of this driver [ns]."""

    @abc.abstractmethod
    def later(self, work):
        """Do it after the link's delay."""

    # Verbs of a script.

    def feed(self, given):
        self.carry(self.client.handle(given, self.now()))

    def cut(self):
        """Every connection breaks without a word."""
        for number in list(self.generations):
            self.gateway.disconnected(number, 1006, self.now())
            self.end(number, 1006, -1, 0)

    def drain(self, retry_after, spread, deadline):
        self.gateway.drain(retry_after, spread, deadline, self.now())
        self.rearm()

    def rearm(self):  # noqa: B027 - most drivers look at every deadline anyway.
        """The script did something to the gateway."""

    # The client's effects.

    def carry(self, made):
        for effect in made:
            self.trace.append((self.now(), effect))
            if type(effect) in self.carriers:
                self.carriers[type(effect)](effect)

    def bootstrap(self, effect):
        allowed = self.backend.allowed(USER)
        return inputs.Bootstrapped(effect.ticket, allowed, tuple((c, self.backend.logs[c].epoch, self.backend.logs[c].top) for c in allowed))

    def call(self, kind, effect, answer):
        def arrive():
            made = answer(effect)
            self.later(lambda: None if (kind, effect.ticket) in self.void else self.feed(made))

        self.later(arrive)

    def open(self, effect):
        generation = effect.generation

        def arrive():
            self.later(lambda: self.feed(inputs.TransportOpened(generation)))
            accepted = self.backend.accepted(USER, 2, self.now() + self.backend.parameters.token_ttl)
            sink = VirtualSink(self, generation)
            sink.number = number = self.gateway.last_number + 1
            self.numbers[generation], self.generations[number] = number, generation
            assert self.gateway.connect(sink, accepted, self.now()) == number

        self.later(arrive)

    def send(self, effect):
        number, size = self.numbers.get(effect.generation), len(encode(effect.frame))
        self.later(lambda: number in self.generations and self.gateway.receive(number, effect.frame, size, self.now()))

    def close(self, effect):
        number = self.numbers.pop(effect.generation, None)
        if self.generations.pop(number, None) is not None:
            self.later(lambda: self.gateway.disconnected(number, effect.code, self.now()))

    def end(self, number, code, advised, spread):
        """The client learns that a connection is over."""
        generation = self.generations.pop(number, None)
        if generation is not None and self.numbers.pop(generation, None) is not None:
            self.feed(inputs.TransportClosed(generation, code, advised, spread))

    # Timers: the client's, then the gateway's.

    def deadline(self):
        due = [at for at in (self.client.next_deadline(), self.gateway.next_deadline()) if at is not None]
        return min(due) if due else None

    def ring(self):
        now = self.now()
        at = self.client.next_deadline()
        if at is not None and at <= now:
            self.carry(self.client.handle_timers(now))
        self.gateway.handle_timers(now)


class VirtualSink:
    """The gateway's side of a virtual link."""

    def __init__(self, world, generation):
        self.world = world
        self.generation = generation
        self.number = 0

    def send(self, frame):
        world, size = self.world, len(encode(frame))

        def arrive():
            if self.number in world.generations:
                world.gateway.written(self.number, size, world.now())
                if self.generation in world.numbers:
                    world.feed(inputs.FrameReceived(self.generation, frame, size))

        world.later(arrive)

    def close(self, effect):
        self.world.later(lambda: self.world.end(self.number, effect.code, effect.advised, effect.spread))


class HeapWorld(VirtualWorld):
    """Time is the least of a heap."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.clock = 0
        self.queue = []
        self.serial = 0

    def now(self):
        return self.clock

    def later(self, work):
        self.serial += 1
        heapq.heappush(self.queue, (self.clock + self.delay, self.serial, work))

    def run(self, duration):
        until = self.clock + duration
        while True:
            at = self.deadline()
            if self.queue and self.queue[0][0] <= min(until, at if at is not None else until):
                self.clock, _, work = heapq.heappop(self.queue)
                work()
            elif at is not None and at <= until:
                self.clock = max(self.clock, at)
                self.ring()
            else:
                self.clock = until
                return


class SimPyWorld(VirtualWorld):
    """Time is SimPy's: one process for each thing under way, one for the timers."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.env = simpy.Environment()
        self.changed = self.env.event()
        self.env.process(self.timers())

    def now(self):
        return self.env.now

    def later(self, work):
        def process():
            yield self.env.timeout(self.delay)
            work()
            self.wake()

        self.env.process(process())

    def feed(self, given):
        super().feed(given)
        self.wake()

    def rearm(self):
        self.wake()

    def wake(self):
        if not self.changed.triggered:
            self.changed.succeed()

    def timers(self):
        while True:
            self.changed = self.env.event()
            at = self.deadline()
            if at is not None and at <= self.env.now:
                self.ring()
                continue
            yield self.changed if at is None else self.env.any_of([self.changed, self.env.timeout(at - self.env.now)])

    def run(self, duration):
        until = self.env.now + duration
        self.wake()
        while self.env.peek() <= until:
            self.env.step()
        if until > self.env.now:
            self.env.run(until=until)


class JumpingClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self):
        self.time = 0
        self.serial = 0
        self.alarms = []  # Heap of [at, serial, callback or None].

    def now(self):
        return self.time

    def call_at(self, at, callback):
        self.serial += 1
        alarm = Alarm(at, self.serial, callback)
        heapq.heappush(self.alarms, (at, self.serial, alarm))
        return alarm

    def next_alarm(self):
        while self.alarms and self.alarms[0][2].callback is None:
            heapq.heappop(self.alarms)
        return self.alarms[0][0] if self.alarms else None

    def ring(self):
        _, _, alarm = heapq.heappop(self.alarms)
        self.time = max(self.time, alarm.at)
        alarm.callback()


class Alarm:
    def __init__(self, at, serial, callback):
        self.at = at
        self.callback = callback

    def cancel(self):
        self.callback = None


class Watched:
    """A session, and a flag that is raised whenever something happened to it."""

    def __init__(self, session, changed):
        self.session = session
        self.changed = changed
        self.frames = {}  # Frames heard, by dial generation.

    def handle(self, given, now):
        self.changed.set()
        if isinstance(given, inputs.FrameReceived):
            self.frames[given.generation] = self.frames.get(given.generation, 0) + 1
        return self.session.handle(given, now)

    def next_deadline(self):
        return self.session.next_deadline()

    def handle_timers(self, now):
        self.changed.set()
        return self.session.handle_timers(now)


class CountedSockets(Sockets):
    """The service, remembering the local port of each dial generation."""

    def __init__(self, *given):
        super().__init__(*given)
        self.ports = {}

    async def dial(self, effect):
        transport = await super().dial(effect)
        self.ports[effect.generation] = transport.socket.local_address[1]
        return transport


class SocketWorld:
    """The same over loopback: `await SocketWorld(…).start()`; the verbs are those of the others, `run` and `finish` are awaited."""

    def __init__(self, client, gateway):
        self.changed = asyncio.Event()
        self.clock = JumpingClock()
        self.gateway = gateway
        self.backend = gateway.backend
        self.trace = []
        self.said = {}  # Frames written by the client, by dial generation.
        self.told = {}  # Frames written by the gateway, by connection.
        self.client = Watched(client, self.changed)
        make = gateway.new_session
        gateway.new_session = lambda number, kind: Watched(make(number, kind), self.changed)
        gateway.watch = self.watch
        self.server = Server(gateway, self.clock)

    async def start(self):
        await self.server.start()
        service = CountedSockets(self.server.host, self.server.api_port, self.server.access, USER)
        self.service = service
        self.driver = Driver(self.client, service, self.clock, trace=self.note)
        return self

    def note(self, now, effect):
        self.trace.append((now, effect))
        if isinstance(effect, effects.SendFrame):
            self.said[effect.generation] = self.said.get(effect.generation, 0) + 1

    def watch(self, number, effect):
        if isinstance(effect, effects.SendFrame):
            self.told[number] = self.told.get(number, 0) + 1

    def now(self):
        return self.clock.now()

    def feed(self, given):
        self.driver.feed(given)

    def cut(self):
        for sink in self.server.sinks.values():
            sink.pipe.socket.transport.abort()

    def drain(self, retry_after, spread, deadline):
        self.gateway.drain(retry_after, spread, deadline, self.now())
        self.rearm()

    def rearm(self):
        self.server.after()

    def quiet(self):
        """Whether nothing is under way: no call, no dial, no close, and every frame that was written was heard."""
        if self.driver.calls or any(not line.open for line in self.driver.lines.values()):
            return False
        ports = {sink.pipe.socket.remote_address[1]: number for number, sink in self.server.sinks.items() if number in self.gateway.connections}
        pairs = [(generation, ports.get(self.service.ports[generation])) for generation in self.driver.lines]
        if sorted(self.gateway.connections) != sorted(number for _, number in pairs if number is not None) or len(ports) != len(pairs):
            return False
        heard = {number: connection.session.frames for number, connection in self.gateway.connections.items()}
        return all(
            self.said.get(generation, 0) == sum(heard[number].values()) and self.told.get(number, 0) == self.client.frames.get(generation, 0)
            for generation, number in pairs
        )

    async def settle(self):
        async with asyncio.timeout(GENEROUS):
            while not self.quiet():
                self.changed.clear()
                await self.changed.wait()
        self.server.after()

    async def run(self, duration):
        until = self.clock.now() + duration
        await self.settle()
        while (at := self.clock.next_alarm()) is not None and at <= until:
            self.clock.ring()
            await self.settle()
        self.clock.time = until

    async def finish(self):
        await self.driver.stop()
        await self.server.stop()
