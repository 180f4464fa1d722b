"""Whatever happens to a gateway's half, in whatever state: no exception, no timer in the past, no frame after the end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.protocol import frames, inputs
from simfabric.protocol.effects import CloseTransport, SendFrame
from simfabric.protocol.frames import ChannelAccessRevoked, Envelope, Subscribed
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import CLOSED, HANDLERS, GatewaySession
from tests.protocol.desk import CONNECTION, SECOND
from tests.protocol.frames_strategy import FRAMES

few = st.integers(0, 5)
places = st.integers(-1, 9)
events = st.builds(
    Envelope, few, st.integers(0, 9), st.integers(0, 3), few, st.integers(0, 3), few, few, st.sampled_from([0, 100, 400_000]), st.integers(-1, 3)
)
tuples = st.lists(events, max_size=4).map(tuple)
durations = st.sampled_from([0, 1, SECOND, 60 * SECOND])
INPUTS = {
    inputs.ConnectionAccepted: st.builds(
        inputs.ConnectionAccepted, few, few, st.integers(0, 3), st.sampled_from([0, 10**15]), few, few, st.lists(few, max_size=5).map(tuple)
    ),
    inputs.FrameReceived: st.builds(inputs.FrameReceived, st.sampled_from([CONNECTION, CONNECTION, 8]), FRAMES, st.sampled_from([0, 65_536, 65_537])),
    inputs.TransportClosed: st.builds(inputs.TransportClosed, st.sampled_from([CONNECTION, 8, 9, 10]), st.just(1006)),
    inputs.RouteReady: st.builds(inputs.RouteReady, few, few),
    inputs.LogRead: st.builds(inputs.LogRead, few, few, few, places, places, tuples, tuples),
    inputs.EventRouted: st.builds(inputs.EventRouted, events),
    inputs.AppendSettled: st.builds(inputs.AppendSettled, few, few, few, few, few, st.booleans(), st.booleans()),
    inputs.BufferWritten: st.builds(inputs.BufferWritten, st.sampled_from([0, 100, 10**7])),
    inputs.DrainStarted: st.builds(inputs.DrainStarted, durations, durations, durations),
    inputs.UserRevoked: st.builds(inputs.UserRevoked, st.sampled_from([4401, 4403, 4409])),
    inputs.AccessRevoked: st.builds(inputs.AccessRevoked, few),
    inputs.AccessGranted: st.builds(inputs.AccessGranted, few),
    inputs.PositionChecked: st.builds(inputs.PositionChecked, few, few, few, tuples),
}
# What a client that means it does, so that sessions get somewhere: the same inputs with small numbers.
MEANT = st.one_of(
    st.builds(frames.Subscribe, few, st.lists(st.tuples(few, few, places), min_size=1, max_size=3).map(tuple)),
    st.builds(frames.MessageSend, few, few, few, st.sampled_from([10, 65_337])),
    st.builds(frames.Unsubscribe, few, few),
    st.builds(frames.Ping, few),
).map(lambda frame: inputs.FrameReceived(CONNECTION, frame, 100))
STEPS = st.lists(st.tuples(st.one_of(MEANT, *INPUTS.values()), durations), max_size=40)
ACCEPTED = inputs.ConnectionAccepted(1, 1, 2, 10**15, 0, 0, (0, 1, 2, 3))


def test_every_input_has_a_strategy_here():
    assert set(INPUTS) == set(HANDLERS)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(st.booleans(), STEPS, st.sampled_from([Parameters(), Parameters(inline_recovery=5, heartbeat_driver="client")]))
def test_no_input_in_any_state_raises_or_leaves_a_timer_in_the_past(opened, steps, parameters):
    session = GatewaySession(CONNECTION, 1, parameters)
    now = 0
    closed = 0
    readable: set[int] = set()
    if opened:
        session.handle(ACCEPTED, now)
        readable = set(session.allowed)
    for happened, pause in steps:
        effects = session.handle(happened, now)
        deadline = session.next_deadline()
        assert deadline is None or deadline > now
        now += pause
        while (deadline := session.next_deadline()) is not None and deadline <= now:
            effects += session.handle_timers(now)
        closed += sum(isinstance(effect, CloseTransport) for effect in effects)
        assert closed <= 1 and (closed == 0 or session.state == CLOSED)
        readable = session.allowed if session.state != CLOSED else readable
        assert_authority(effects, readable)
        if session.state == CLOSED:
            assert session.next_deadline() is None
            assert not any(isinstance(effect, SendFrame) for effect in session.handle(happened, now))


def assert_authority(effects, readable):
    """Nothing of a channel goes out that the user may not read at the end of the call, but for the news of that."""
    gone = {effect.frame.channel for effect in effects if isinstance(effect, SendFrame) and isinstance(effect.frame, ChannelAccessRevoked)}
    for effect in effects:
        if isinstance(effect, SendFrame) and isinstance(effect.frame, Envelope | Subscribed):
            assert effect.frame.channel in readable and effect.frame.channel not in gone
