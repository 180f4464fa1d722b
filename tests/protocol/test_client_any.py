"""Every input in every state, of any generation and ticket: a legal state, no exception, no timer in the past; what is not listed changes
nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.errors import LocalProtocolError
from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs, machine, tabs
from simfabric.protocol.carrying_out import take
from simfabric.protocol.channel import CATCHING, Channel
from simfabric.protocol.client import ClientSession
from simfabric.protocol.connection import Cause
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.timers import NEVER
from tests.protocol.playing import Play, S

SMALL = Parameters(queue_cap=6, dedupe_window=4, outbox_cap=3, page_events=2, max_channels=2, persist_every=S // 10, replay_max=4)

small = st.integers(0, 12)
channel = st.integers(0, 3)
epoch = st.integers(0, 2)
sequence = st.integers(-1, 9)
advice = st.sampled_from([-1, 0, 3 * S])
envelope = st.builds(frames.Envelope, channel, st.integers(0, 9), epoch, small, st.integers(0, 4), small, st.integers(0, 2), small, st.integers(-1, 3))
events = st.lists(envelope, max_size=4).map(tuple)
place = st.tuples(channel, epoch, sequence)
frame = st.one_of(
    envelope,
    envelope,
    st.builds(frames.ConnectionAck, small, small, st.integers(0, 4), small, small, small, small, small),
    st.builds(frames.Subscribe, small, st.just(())),
    st.builds(frames.Subscribed, st.integers(0, 40), channel, epoch, st.integers(0, 9), st.integers(0, 9), st.booleans(), events),
    st.builds(frames.Unsubscribed, small, channel, st.just(""), st.booleans()),
    st.builds(frames.MessageAck, small, st.integers(-1, 4), small, small, epoch),
    st.builds(frames.Ping, small, st.lists(place, max_size=3).map(tuple)),
    st.builds(frames.Pong, small),
    st.builds(frames.Draining, st.integers(0, S), st.integers(0, S), st.integers(0, S)),
    st.builds(frames.SequenceSkip, channel, epoch, st.integers(0, 9), st.integers(0, 9)),
    st.builds(frames.ChannelResync, channel, epoch, st.integers(0, 9)),
    st.builds(frames.AuthRevoked),
    st.builds(frames.ChannelAccessRevoked, channel),
    st.builds(frames.ErrorFrame, st.integers(0, 40), st.integers(0, 6), channel, advice),
    st.builds(frames.Unknown, st.just("new"), st.booleans()),
)
code = st.sampled_from([0, 1000, 1001, 1002, 1006, 1009, 1012, 1013, 4000, 4101, 4129, 4401, 4409, 4426, 4444, 4508, 4999])
peer = st.one_of(
    st.builds(tabs.Hello, small),
    st.builds(tabs.Beat, small, small),
    st.builds(tabs.Claim, small, small),
    st.builds(tabs.Resign, small, small),
    st.builds(tabs.Wants, small, st.lists(st.tuples(channel, st.booleans(), st.booleans()), max_size=3).map(tuple)),
    st.builds(tabs.Forward, small, channel, small, small),
    st.builds(tabs.Settled, st.just(0), small, st.sampled_from(["sent", "failed"])),
    st.builds(tabs.Events, small, channel, events),
    st.builds(tabs.ChannelState, small, channel, epoch, small),
    st.builds(tabs.CursorShared, channel, epoch, small),
    st.builds(tabs.AuthEnded),
)


def any_input(generation, ticket):
    return st.one_of(
        st.builds(inputs.ConnectRequested),
        st.builds(inputs.Bootstrapped, ticket, st.lists(channel, max_size=4).map(tuple)),
        st.builds(inputs.TokenReady, ticket, st.sampled_from([0, 60 * S])),
        st.builds(inputs.TransportOpened, generation),
        *(st.builds(inputs.FrameReceived, generation, frame, st.sampled_from([10, 70_000])) for _ in range(4)),
        st.builds(inputs.TransportClosed, generation, code, advice, st.sampled_from([0, S]), st.booleans()),
        st.builds(inputs.ReplayReady, ticket, channel, epoch, events, small, st.booleans(), st.booleans()),
        st.builds(inputs.SnapshotReady, ticket, channel, epoch, small),
        st.builds(inputs.FetchFailed, ticket, st.integers(0, 3), st.sampled_from([0, 401, 403, 410, 429, 500, 503]), advice, channel),
        st.builds(inputs.SubscribeWanted, channel, st.booleans(), st.booleans()),
        st.builds(inputs.VisibleChanged, st.lists(channel, max_size=2).map(tuple), st.booleans()),
        st.builds(inputs.PublishRequested, channel, st.integers(0, 4), st.sampled_from([10, 70_000])),
        st.builds(inputs.NetworkChanged, st.booleans()),
        st.builds(inputs.Resumed),
        st.builds(inputs.PeerMessage, small, peer),
        st.builds(inputs.CursorLoaded, channel, epoch, st.integers(0, 9), st.booleans()),
        st.builds(inputs.ConsumerDrained),
        st.builds(inputs.LogoutRequested, st.booleans()),
    )


def current(session):
    """Generations and tickets that are good now, beside some that are not."""
    lanes = session.lanes()
    channels = (session.channels or {}).values()
    generations = [0, 99, *range(1, session.generations + 1), *(lane.dialled for lane in lanes)]
    tickets = [0, 999, session.serial, *(lane.ticket for lane in lanes), *(known.ticket for known in channels)]
    return st.sampled_from(generations), st.sampled_from(tickets)


def helpful(session, data):
    """An input that leads on from where the session is: left alone, chance rarely gets anywhere."""
    lane = data.draw(st.sampled_from(session.lanes()))
    if lane.state == machine.BOOTSTRAP:
        return inputs.Bootstrapped(lane.ticket, (0, 1, 2))
    if lane.state == machine.TOKEN:
        return inputs.TokenReady(lane.ticket, 60 * S)
    if lane.state == machine.DIALING:
        return inputs.TransportOpened(lane.dialled)
    if lane.state == machine.SUBSCRIBING and not lane.acked:
        return inputs.FrameReceived(lane.dialled, frames.ConnectionAck(1, 1, 2, S, S, 2))
    if lane.asked:
        number = data.draw(st.sampled_from(sorted(lane.asked)))
        return inputs.FrameReceived(lane.dialled, frames.Subscribed(lane.asked[number], number, 1, data.draw(small), 1, data.draw(st.booleans())))
    return inputs.ConnectRequested()


def check(session, now, made):
    assert session.state in range(11)
    assert all(number.state in range(6) for number in (session.channels or {}).values())
    assert session.behind == sum(known.state == CATCHING for known in (session.channels or {}).values())
    deadline = session.next_deadline()
    assert deadline is None or deadline > now
    armed = session.armed or {}
    assert all(at > now for at in armed.values())
    assert (deadline or NEVER) == min([*armed.values(), *(lane.heartbeat_at for lane in session.lanes())])
    assert session.inbox is None or session.inbox.length == sum(len(known.queue or ()) for known in (session.channels or {}).values())
    assert session.inbox is None or session.inbox.length <= SMALL.queue_cap
    assert len(session.unsettled) <= SMALL.outbox_cap
    for effect in made:
        if isinstance(effect, do.SendFrame):
            assert effect.generation > 0
        if isinstance(effect, do.Deliver):
            assert effect.events
    for known in (session.channels or {}).values():
        check_channel(known)


def check_channel(known: Channel):
    assert known.applied <= known.seen or known.applied_epoch != known.epoch
    assert known.ids is None or len(known.ids) <= SMALL.dedupe_window
    assert known.seen >= -1 and (known.ticket == 0) == (known.fetching == 0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data(), st.booleans(), st.sampled_from(["server", "client"]))
def test_any_inputs_in_any_order_keep_the_session_whole(data, shares, driver):
    parameters = SMALL if driver == "server" else Parameters(queue_cap=6, dedupe_window=4, outbox_cap=3, max_channels=2, heartbeat_driver="client")
    session = ClientSession(1, parameters=parameters, shares=shares)
    now = S
    shown = {}
    for _ in range(data.draw(st.integers(1, 60))):
        choice = data.draw(st.integers(0, 9))
        if choice < 3:
            happened = helpful(session, data)
            made = session.handle(happened, now)
        elif choice < 8:
            made = session.handle(data.draw(any_input(*current(session))), now)
        else:
            deadline = session.next_deadline()
            late = data.draw(st.sampled_from([0, 1, S // 10, 40 * S, 4000 * S]))
            now = now + late if deadline is None else max(now, deadline) + late
            made = session.handle_timers(now)
        check(session, now, made)
        watch(shown, made)


def watch(shown, made):
    """Of one channel the user sees ascending sequences of one epoch, or a reset between."""
    for effect in made:
        if isinstance(effect, do.ClearLocal):
            shown.clear()
        elif isinstance(effect, do.ChannelReset):
            shown[effect.channel] = (effect.epoch, effect.sequence)
        elif isinstance(effect, do.Deliver):
            for event in effect.events:
                if event.sequence:
                    before = shown.get(effect.channel, (0, 0))
                    assert before[0] not in (event.epoch,) or event.sequence > before[1]
                    shown[effect.channel] = (event.epoch, event.sequence)


@pytest.mark.parametrize("given_input", range(len(machine.INPUT_NAMES)))
@pytest.mark.parametrize("state", range(len(machine.STATE_NAMES)))
def test_a_pair_that_is_not_listed_changes_nothing(state, given_input):
    session = Play().live(0, top=3).session
    session.primary.state = state
    session.effects = []
    before = repr([(name, getattr(session, name)) for name in type(session).__mro__[1].__slots__ if name not in ("effects", "channels", "primary")])
    take(session, session.primary, given_input, Cause())
    if (state, given_input) in machine.LISTED:
        skips = {machine.RETRY: machine.DIALING, machine.BOOT_OK: machine.DIALING}  # Bootstrap and token are in hand.
        assert session.primary.state == skips.get(given_input, machine.TABLE[state][given_input])
    else:
        assert session.effects == [do.Count("ignored")] and session.primary.state == state
        after = repr([(name, getattr(session, name)) for name in type(session).__mro__[1].__slots__ if name not in ("effects", "channels", "primary")])
        assert before == after


def test_a_driver_that_feeds_what_is_no_input_of_a_client_is_told_so():
    with pytest.raises(LocalProtocolError, match="RouteReady"):
        ClientSession(1).handle(inputs.RouteReady(1, 1), 0)
