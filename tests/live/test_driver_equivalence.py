"""One script, three drivers: a heap, SimPy, and an event loop over real sockets. The effects are the same, in the same order.

Heap and SimPy agree to the nanosecond whatever the delay of the link; the sockets do, too, when the others' link takes no time, since their
clock stands still while anything is under way on the loopback.
"""

import asyncio
import inspect

import pytest

from simfabric.live.gateway import Gateway
from simfabric.protocol import effects, inputs
from simfabric.protocol.client import ClientSession
from tests.live.worlds import CHANNELS, MS, HeapWorld, S, SimPyWorld, SocketWorld, new_backend
from tests.protocol.plain_client import PlainClient

FIRST, SECOND = CHANNELS


# Every client with the three calls is driven alike: name -> made from the parameters.
CLIENTS = {"plain": PlainClient, "session": lambda parameters: ClientSession(client=1, parameters=parameters)}
each_client = pytest.mark.parametrize("client", CLIENTS)


class Script:
    """What happens, as (pause after it, what). `at` is the world, whose verbs are the same everywhere."""

    def __init__(self):
        self.key = 0

    def publish(self, at, count, channel=FIRST):
        """Publications of somebody else."""
        for _ in range(count):
            self.key += 1
            at.gateway.publish(channel, 99, self.key, 10, at.now())
        at.rearm()

    def steps(self):
        yield (S, lambda at: at.feed(inputs.ConnectRequested()))
        yield (S, lambda at: at.feed(inputs.SubscribeWanted(FIRST)))
        yield (S, lambda at: at.feed(inputs.SubscribeWanted(SECOND)))
        yield (S, lambda at: self.publish(at, 5))
        yield (S, lambda at: at.feed(inputs.PublishRequested(FIRST, 7001, 20)))
        yield (S, lambda at: self.publish(at, 2, SECOND))
        # A cut, and events while away: they come by replay.
        yield (0, lambda at: at.cut())
        yield (10 * S, lambda at: self.publish(at, 4))
        yield (S, lambda at: at.feed(inputs.PublishRequested(FIRST, 7002, 20)))
        # A drain: the deadline comes first for a client that knows no standby.
        yield (10 * S, lambda at: at.drain(0, 2 * S, 5 * S))
        yield (20 * S, lambda at: self.publish(at, 3))
        # The log of a channel is lost while away: a reset stands in place of what cannot be had.
        yield (0, lambda at: at.cut())
        yield (0, lambda at: at.backend.logs[FIRST].new_epoch())
        yield (10 * S, lambda at: self.publish(at, 6))
        yield (S, lambda at: self.publish(at, 1))
        # Retention passes the cursor while away.
        yield (0, lambda at: at.cut())
        yield (0, lambda at: self.publish(at, 9, SECOND))
        yield (10 * S, lambda at: at.backend.logs[SECOND].truncate(11))
        # A quiet minute: heartbeats.
        yield (60 * S, lambda at: self.publish(at, 1, SECOND))
        yield (S, lambda at: at.feed(inputs.LogoutRequested()))


async def played(world):
    for pause, work in Script().steps():
        work(world)
        going = world.run(pause)
        if inspect.isawaitable(going):
            await going
    return world.trace


def virtual(kind, delay, client):
    backend = new_backend()
    world = kind(CLIENTS[client](backend.parameters), Gateway.of(backend), delay=delay)
    return asyncio.run(played(world))


def over_sockets(client):
    async def run():
        backend = new_backend()
        world = await SocketWorld(CLIENTS[client](backend.parameters), Gateway.of(backend)).start()
        try:
            return await played(world)
        finally:
            await world.finish()

    return asyncio.run(run())


def story(trace):
    """What the user saw of each channel."""
    seen = {FIRST: [], SECOND: []}
    for _, effect in trace:
        if isinstance(effect, effects.Deliver):
            seen[effect.channel] += [(event.epoch, event.sequence) for event in effect.events if event.sequence]
        elif isinstance(effect, effects.ChannelReset):
            seen[effect.channel].append(("reset", effect.epoch, effect.sequence))
    return seen


def test_the_script_has_every_kind_of_recovery_in_it():
    seen = story(virtual(HeapWorld, 0, "plain"))
    assert seen[FIRST] == [*((1, n) for n in range(1, 15)), ("reset", 2, 6), (2, 7)]
    assert seen[SECOND] == [(1, 1), (1, 2), ("reset", 1, 11), (1, 12)]


@each_client
@pytest.mark.parametrize("delay", [0, 7 * MS, 400 * MS])
def test_heap_and_simpy_give_the_same_effects_at_the_same_instants(delay, client):
    heap = virtual(HeapWorld, delay, client)
    assert heap == virtual(SimPyWorld, delay, client)
    assert len(heap) > 50


@each_client
def test_real_sockets_give_the_same_effects_at_the_same_instants(client):
    assert over_sockets(client) == virtual(HeapWorld, 0, client)
