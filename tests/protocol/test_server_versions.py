"""An event of a type that is newer than its reader: whichever way it goes, the reader gets a hole by design and its cursor goes on."""

import pytest

from simfabric.live import answers
from simfabric.live.backend import Backend
from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs
from simfabric.protocol.codec import decode, encode, wire_size
from simfabric.protocol.effects import Count
from simfabric.protocol.frames import MESSAGE, MODERATION, Envelope, SequenceSkip
from simfabric.protocol.parameters import Parameters
from tests.protocol.desk import USER, Desk, presence, sent
from tests.protocol.playing import Play, S

LATER = 77  # A type of a version that this code does not know.
INLINE = Parameters(inline_recovery=300)


@pytest.fixture
def moderation_is_new(monkeypatch):
    """As if version 2 had added moderation."""
    monkeypatch.setattr(frames, "TYPE_SINCE", (1, 2, 1, 1))


def opened(schema, events=(), **settings):
    """A desk whose client agreed on this version; the log of channel 3 has events of these types."""
    desk = Desk(opened=False, **settings)
    for kind in events:
        append(desk, kind)
    desk.open(schema=schema)
    return desk


def append(desk, kind):
    return desk.log.append(1, -1, 100, desk.now, kind)[0]


@pytest.mark.parametrize(("schema", "kind", "whole"), [(1, MODERATION, False), (2, MODERATION, True), (1, MESSAGE, True), (1, LATER, False), (2, LATER, False)])
def test_a_live_event_of_a_newer_type_is_a_hole_by_design(moderation_is_new, schema, kind, whole):
    desk = opened(schema)
    desk.subscribe()
    event = append(desk, kind)
    (frame,) = sent(desk.route(event))
    assert (type(frame), frame.channel) == (Envelope if whole else SequenceSkip, 3)
    assert decode(encode(frame, schema)) == frame
    if not whole:
        assert frame == SequenceSkip(3, 1, 1, 1)


def test_a_newer_type_loses_its_event_and_no_more(moderation_is_new):
    desk = opened(1, [MESSAGE])
    desk.subscribe()
    heard = [sent(desk.route(append(desk, kind)))[0] for kind in (MODERATION, MESSAGE, LATER, MESSAGE)]
    assert [frame.sequence if isinstance(frame, Envelope) else (frame.first, frame.last) for frame in heard] == [(2, 2), 3, (4, 4), 5]


@pytest.mark.parametrize("schema", [1, 2])
def test_a_transient_of_a_newer_type_is_not_sent_at_all(schema):
    desk = opened(schema)
    desk.subscribe()
    unknown = presence(8, 1)
    unknown.type = LATER
    assert desk.route(unknown) == [Count("transient_unknown")]
    assert len(sent(desk.route(presence(8, 1)))) == 1


def test_a_reply_that_carries_events_carries_the_holes_between_them(moderation_is_new):
    desk = opened(1, [MESSAGE, MODERATION, MESSAGE], parameters=INLINE)
    (reply,) = sent(desk.subscribe(0, 0))
    assert [type(event) for event in reply.events] == [Envelope, SequenceSkip, Envelope]
    assert decode(encode(reply, 1)) == reply
    desk = opened(2, [MESSAGE, MODERATION, LATER], parameters=INLINE)
    assert [type(event) for event in sent(desk.subscribe(0, 0))[0].events] == [Envelope, Envelope, SequenceSkip]


@pytest.mark.parametrize(("schema", "kinds"), [(1, [Envelope, SequenceSkip, Envelope]), (2, [Envelope, Envelope, Envelope])])
def test_a_page_of_a_replay_has_the_holes_of_its_version(moderation_is_new, schema, kinds):
    backend = Backend((3,))
    for kind in (MESSAGE, MODERATION, MESSAGE):
        backend.logs[3].append(1, -1, 100, 0, kind)
    page = answers.read_replay(answers.write_replay(backend.replay(3, 1, 0, 10), schema), 5, 3)
    assert [type(event) for event in page.events] == kinds and page.top == 3


def told(play, frame):
    """The client hears a frame by way of its text."""
    play.frame(decode(encode(frame, 1)))


def test_a_client_of_the_version_before_goes_on_over_what_it_cannot_know(moderation_is_new):
    desk = opened(1)
    desk.subscribe()
    play = Play().start(3, allowed=(3,))
    asked = play.open()
    play.ack()
    play.reply(asked, epoch=0)  # The channel is empty: the hole brings the epoch, as an event would.
    for kind in (MODERATION, MESSAGE, MODERATION, MODERATION, MESSAGE, MODERATION):
        told(play, *sent(desk.route(append(desk, kind))))
    play.wait(S)
    assert play.shown(3) == [2, 5] and play.session.cursors == {3: (1, 6)}
    assert not play.ever(do.FetchReplay) and not play.ever(do.FetchSnapshot) and play.state == "live"


def test_such_a_client_catches_up_over_the_holes_by_replay_and_not_by_a_snapshot(moderation_is_new):
    play = Play().live(3, allowed=(3,), top=0)
    desk = opened(1, [MODERATION, MESSAGE, MODERATION, MODERATION, MESSAGE, MODERATION])
    play.close(1006)
    play.reply(play.redial(), top=6)
    asked = play.last(do.FetchReplay)
    answer = inputs.ReplayReady(asked.ticket, 3, 1, desk.log.read(asked.after, 300).events, 6)
    play.feed(answers.read_replay(answers.write_replay(answer, 1), asked.ticket, 3))
    play.show()
    assert play.shown(3) == [2, 5] and play.session.cursors == {3: (1, 6)} and play.state == "live"
    assert not play.ever(do.FetchSnapshot) and len(play.ever(do.FetchReplay)) == 1
    told(play, Envelope(3, 7, 1, 99))
    play.show()
    assert play.shown(3) == [2, 5, 7]


def test_such_a_client_takes_the_holes_of_a_reply(moderation_is_new):
    desk = opened(1, [MODERATION, MESSAGE, MODERATION], parameters=INLINE)
    (reply,) = sent(desk.subscribe(0, 0))
    play = Play().live(3, allowed=(3,))
    play.close(1006)
    (asked,) = play.redial()
    reply.correlation = asked.correlation
    told(play, reply)
    play.show()
    assert play.shown(3) == [2] and play.session.cursors == {3: (1, 3)} and play.state == "live" and not play.ever(do.FetchReplay)


def test_a_page_that_starts_within_a_hole_goes_on_behind_it():
    play = Play().live(0, top=2)
    play.close(1006)
    play.reply(play.redial(), top=6)
    asked = play.last(do.FetchReplay)
    play.feed(inputs.ReplayReady(asked.ticket, 0, 1, (SequenceSkip(0, 1, 1, 4), play.envelope(5), SequenceSkip(0, 2, 6, 9), play.envelope(6)), 6))
    play.show()
    assert play.shown() == [5, 6] and play.session.cursors == {0: (1, 6)}


def test_the_account_of_the_buffer_is_that_of_the_frames_of_the_version(moderation_is_new):
    desk = opened(1)
    desk.subscribe()
    effects = desk.route(append(desk, MODERATION)) + desk.route(append(desk, MESSAGE)) + desk.frame(frames.Ping(0))
    effects += desk.wait_until(desk.session.next_deadline())
    pings = [frame for frame in sent(effects) if isinstance(frame, frames.Ping)]
    assert pings and all(ping.tops == () for ping in pings)
    desk.session.out.buffered -= 2 * 200  # The greeting and the reply.
    assert desk.session.out.buffered == sum(map(wire_size, sent(effects)))
    desk.write_out(effects)
    assert desk.session.out.buffered == 0


def test_the_authors_own_event_of_a_newer_type_is_a_hole_as_well(moderation_is_new):
    desk = opened(1)
    desk.subscribe()
    event = desk.log.append(USER, 4, 100, 0, MODERATION)[0]
    assert sent(desk.route(event)) == [SequenceSkip(3, 1, 1, 1)]


def test_a_hole_that_is_first_in_an_empty_channel_brings_the_epoch_with_the_sequence():
    play = Play().start(3, allowed=(3,))
    asked = play.open()
    play.ack()
    play.reply(asked, epoch=0)
    told(play, SequenceSkip(3, 1, 1, 1))
    assert play.session.cursors == {3: (1, 1)}
    play.close(1006)
    assert [frame.channels for frame in play.redial()] == [((3, 1, 1),)]
