"""What a client session costs: time for each delivered event, and memory of an idle one.

    python -m tests.speed.session

Time is of `handle` and `handle_timers` alone, of events that come in order on one connection and of the batches that go to the user
interface; memory is what 10,000 sessions hold that are connected, live and quiet, with no channel.
"""

import gc
import time
import tracemalloc

from simfabric.protocol import effects, frames, inputs, machine
from simfabric.protocol.client import ClientSession

SECOND = 1_000_000_000
SESSIONS = 10_000
EVENTS = 100_000
CHANNELS = 20


def connect(session: ClientSession, now: int, channels: int) -> int:
    """Bring a session to live; when that was."""
    inputs_so_far = [inputs.ConnectRequested(), *(inputs.SubscribeWanted(channel) for channel in range(channels))]
    asked = [effect for happened in inputs_so_far for effect in session.handle(happened, now)]
    while session.state != machine.LIVE:
        effect = asked.pop(0)
        if isinstance(effect, effects.FetchBootstrap):
            asked += session.handle(inputs.Bootstrapped(effect.ticket, tuple(range(channels))), now)
        elif isinstance(effect, effects.FetchToken):
            asked += session.handle(inputs.TokenReady(effect.ticket, 60 * SECOND), now)
        elif isinstance(effect, effects.OpenTransport):
            asked += session.handle(inputs.TransportOpened(effect.generation), now)
            ack = frames.ConnectionAck(1, 1, 2, 25 * SECOND, 10 * SECOND, 200)
            asked += session.handle(inputs.FrameReceived(effect.generation, ack), now)
        elif isinstance(effect, effects.SendFrame) and isinstance(effect.frame, frames.Subscribe):
            for channel, _, _ in effect.frame.channels:
                reply = frames.Subscribed(effect.frame.correlation, channel, 1, 0, 1, True)
                asked += session.handle(inputs.FrameReceived(effect.generation, reply), now)
    return now


def microseconds_per_event() -> float:
    """Events of a few channels, one in 100 us, with a user interface that takes every batch at once."""
    session = ClientSession(1)
    now = connect(session, SECOND, CHANNELS)
    generation = session.generation
    events = [frames.Envelope(at % CHANNELS, at // CHANNELS + 1, 1, at) for at in range(EVENTS)]
    received = [inputs.FrameReceived(generation, event, 300) for event in events]
    drained = inputs.ConsumerDrained()
    delivered = 0
    began = time.perf_counter()
    for happened in received:
        now += 100_000
        at = session.next_deadline()
        if at is not None and at <= now:
            made = session.handle_timers(now)
            while shown := sum(len(effect.events) for effect in made if type(effect) is effects.Deliver):
                delivered += shown
                made = session.handle(drained, now)
        session.handle(happened, now)
    spent = time.perf_counter() - began
    assert delivered > EVENTS * 0.95
    return spent / delivered * 1e6


def bytes_per_session() -> float:
    """Sessions that have been live for two minutes and hear pings."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions = [ClientSession(client) for client in range(SESSIONS)]
    for client, session in enumerate(sessions):
        now = connect(session, (1 + client) * SECOND, 0)
        for beat in range(1, 6):
            while (at := session.next_deadline()) is not None and at <= now + beat * 25 * SECOND:
                session.handle_timers(at)
            session.handle(inputs.FrameReceived(session.generation, frames.Ping(beat)), now + beat * 25 * SECOND)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert all(session.state == machine.LIVE for session in sessions)
    return held / SESSIONS


if __name__ == "__main__":
    print(f"{min(microseconds_per_event() for _ in range(3)):.1f} us per delivered event (goal: 10)")
    print(f"{bytes_per_session():.0f} bytes per idle session (goal: 500)")
