"""Frames as JSON: what is written is read back, and nothing that can be sent in is anything but a frame or a refusal."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.protocol.codec import ENVELOPE, MAX_FRAME, SCHEMA, TABLE, adapted, decode, encode
from simfabric.protocol.forms import EVENT, LARGEST, MalformedFrame, read_seconds, write_seconds
from simfabric.protocol.frames import (
    MESSAGE,
    ChannelResync,
    Draining,
    Envelope,
    ErrorFrame,
    MessageAck,
    Ping,
    Pong,
    Subscribe,
    TypingSent,
    Unknown,
)
from tests.protocol.frames_strategy import FRAMES

PROFILE = settings(deadline=None, derandomize=True, max_examples=150)
MESSAGE_EVENT = Envelope(3, 12, 1, 77, MESSAGE, ts=1_500_000_000, user=5, size=200, client_message_id=9)


@PROFILE
@given(FRAMES)
def test_every_frame_is_read_back_as_it_was_written(frame):
    assert decode(encode(frame)) == frame
    assert decode(encode(frame).encode()) == frame


@PROFILE
@given(FRAMES)
def test_a_peer_of_the_version_before_reads_what_it_knows(frame):
    assert decode(encode(frame, SCHEMA - 1)) == adapted(frame, SCHEMA - 1)
    assert adapted(adapted(frame, SCHEMA - 1), SCHEMA - 1) == adapted(frame, SCHEMA - 1)


def test_an_event_in_plain_sight():
    assert json.loads(encode(MESSAGE_EVENT)) == {
        "type": "message.created",
        "eventId": "e0000000000000000077",
        "sequence": 12,
        "epoch": 1,
        "channel": "c3",
        "schemaVersion": 2,
        "ts": 1.5,
        "userId": "u5",
        "payload": {"size": 200},
        "clientMsgId": "m9",
    }


def test_the_version_before_lacks_two_fields_and_nothing_else():
    old = decode(encode(MESSAGE_EVENT, 1))
    assert old == Envelope(3, 12, 1, 77, MESSAGE, ts=1_500_000_000, user=5, size=200, schema=1)
    assert decode(encode(Ping(7, ((3, 1, 12),)), 1)) == Ping(7)
    added = {(name, column.name) for name, (_, columns) in [("event", (Envelope, ENVELOPE)), *TABLE.items()] for column in columns if column.since > 1}
    assert added == {("event", "clientMsgId"), ("ping", "tops")}


def test_an_optional_field_that_was_added_has_a_default():
    assert all(column.default is not None for _, columns in TABLE.values() for column in columns if column.since > 1)


def test_case_7_a_cursor_of_zero_is_not_the_absence_of_one():
    assert '"fromSequence":0' in encode(Subscribe(1, ((3, 1, 0),)))
    assert "fromSequence" not in encode(Subscribe(1, ((3, 0, -1),)))
    assert decode(encode(Subscribe(0, ((0, 0, 0),)))) == Subscribe(0, ((0, 0, 0),))


def test_case_82_unknown_types_and_fields_are_no_error():
    assert decode('{"type": "reaction.added", "channel": 12, "x": [1.5, null]}') == Unknown("reaction.added")
    assert decode('{"type": "pong", "t": 2, "mood": "good", "deep": {"a": [1e5]}}') == Pong(2_000_000_000)
    assert decode('{"type": "message.ack", "corr": 1, "clientMsgId": "m2", "eventId": "e0000000000000000003", "sequence": 4, "epoch": 5}') == MessageAck(
        1, 2, 3, 4, 5
    )


def test_case_82_an_event_of_an_old_server_takes_defaults():
    text = '{"type": "message.created", "channel": "c1", "eventId": "e0000000000000000003", "sequence": 4, "epoch": 5}'
    assert decode(text) == Envelope(1, 4, 5, 3, schema=1)


@pytest.mark.parametrize(("sequence", "read"), [(2**53 - 1, True), (2**53, False)])
def test_case_26_a_sequence_that_a_browser_cannot_count_is_refused(sequence, read):
    text = EVENT_TEXT.format(sequence)
    if read:
        assert decode(text).sequence == sequence and decode(encode(decode(text))).sequence == sequence
    else:
        with pytest.raises(MalformedFrame, match=r"frame.sequence: must be a whole number within 0 … 9007199254740991"):
            decode(text)


@PROFILE
@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_names_of_events_sort_like_their_numbers(a, b):
    assert (EVENT.write(a) < EVENT.write(b)) == (a < b)


@PROFILE
@given(st.integers(0, LARGEST))
def test_seconds_are_exact(nanoseconds):
    assert read_seconds(write_seconds(nanoseconds), "t") == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1", 10**9), ("0.1", 10**8), ("1e-9", 1), ("1E+2", 10**11), ("0.30000000000000004", 3 * 10**8), ("-0.0", 0), ("0e99", 0), ("1e-99", 0)],
)
def test_seconds_of_other_writers_are_rounded_to_nanoseconds(text, nanoseconds):
    assert decode(f'{{"type": "pong", "t": {text}}}') == Pong(nanoseconds)


def test_a_client_types_and_everybody_sees_it():
    assert decode('{"type": "typing", "channel": "c4"}') == TypingSent(4)
    assert decode(encode(Envelope(4, 0, 0, 9, type=3, user=2))) == Envelope(4, 0, 0, 9, type=3, user=2)


def test_errors_and_advice_keep_their_zero():
    assert decode(encode(ErrorFrame(0, 1, 0, 0))) == ErrorFrame(0, 1, 0, 0)
    assert decode(encode(Draining(0, 0, 0))) == Draining(0, 0, 0)


def test_the_text_is_limited_to_the_byte():
    frame = '{"type": "pong", "t": 1, "fill": "%s"}'
    room = MAX_FRAME - len(frame % "")
    assert decode(frame % ("a" * room)) == Pong(10**9)
    for text in (frame % ("a" * (room + 1)), frame % ("é" * (room // 2 + 1))):
        with pytest.raises(MalformedFrame, match="65536 bytes"):
            decode(text)
        with pytest.raises(MalformedFrame, match="65536 bytes"):
            decode(text.encode())


SUBSCRIBED = '{{"type": "subscribed", "corr": 1, "channel": "c1", "epoch": 1, "top": 1, "floor": 1, "recovered": {0}}}'


def test_a_refusal_names_place_and_law():
    with pytest.raises(MalformedFrame) as refusal:
        decode(SUBSCRIBED.format('true, "events": [{"type": "typing", "eventId": 3}]'))
    assert refusal.value.place == "frame.events[0].eventId" and refusal.value.law == "must be a name such as e0000000000000000007"


EVENT_TEXT = '{{"type": "message.created", "channel": "c1", "eventId": "e0000000000000000003", "sequence": {0}, "epoch": 1}}'
HOSTILE = [
    "",
    " ",
    "null",
    "true",
    "7",
    '"ping"',
    "[]",
    "{}",
    "{",
    '{"type"',
    '{"type": null}',
    '{"type": 7}',
    '{"type": ["ping"]}',
    '{"type": "ping"}',
    '{"type": "pong", "t": NaN}',
    '{"type": "pong", "t": Infinity}',
    '{"type": "pong", "t": -1}',
    '{"type": "pong", "t": 1e999}',
    '{"type": "pong", "t": 9223372037}',
    '{"type": "pong", "t": true}',
    '{"type": "pong", "t": "1"}',
    '{"type": "pong", "t": null}',
    '{"type": "pong", "t": [1]}',
    '{"type": "pong", "t": 1, "t": 1}',
    '{"type": "pong", "t": 1, "x": {"a": 1, "a": 2}}',
    '{"type": "pong", "t": 1} x',
    '\ufeff{"type": "pong", "t": 1}',
    '{"type": "pong", "t": 1, "x": NaN}',
    '{"type": "pong", "t": 1' + "0" * 5000 + "}",
    '{"type": "pong", "t": 1, "x": ' + "9" * 5000 + "}",
    '{"type": "pong", "t": 1.' + "1" * 5000 + "}",
    '{"type": "pong", "t": 1, "x": ' + "[" * 30_000 + "}",
    '{"x":' * 10_000,
    "[" * 65_536,
    '{"a":"' + '\\"' * 30_000,
    '{"type": "\x00"}',
    '{"type": "a\\u0000b"}',
    '{"type": "\\ud800"}',
    '{"type": "' + "a" * 300 + '"}',
    EVENT_TEXT.format("true"),
    EVENT_TEXT.format("1.0"),
    EVENT_TEXT.format("-1"),
    EVENT_TEXT.format("9007199254740992"),
    EVENT_TEXT.format('"1"'),
    EVENT_TEXT.format("99999999999999999999999"),
    EVENT_TEXT.format("[]"),
    EVENT_TEXT.format("1").replace('"c1"', '"c01"'),
    EVENT_TEXT.format("1").replace('"c1"', '"c-1"'),
    EVENT_TEXT.format("1").replace('"c1"', '"c١"'),
    EVENT_TEXT.format("1").replace('"c1"', '"c9223372036854775808"'),
    EVENT_TEXT.format("1").replace('"c1"', "1"),
    EVENT_TEXT.format("1").replace('"e0', '"e'),
    EVENT_TEXT.format("1").replace('"epoch"', '"payload": 5, "epoch"'),
    EVENT_TEXT.format("1").replace('"epoch"', '"payload": {"size": false}, "epoch"'),
    EVENT_TEXT.format("1").replace('"epoch"', '"schemaVersion": 0, "epoch"'),
    '{"type": "subscribe", "corr": 1}',
    '{"type": "subscribe", "corr": 1, "channels": []}',
    '{"type": "subscribe", "corr": 1, "channels": {}}',
    '{"type": "subscribe", "corr": 1, "channels": ["c1"]}',
    '{"type": "subscribe", "channel": "c1"}',
    '{"type": "subscribe", "corr": 1, "channel": "c1", "fromSequence": null}',
    '{"type": "ping", "t": 1, "tops": []}',
    '{"type": "ping", "t": 1, "tops": {"c1": 5}}',
    '{"type": "ping", "t": 1, "tops": {"c1": [1]}}',
    '{"type": "ping", "t": 1, "tops": {"x": [1, 2]}}',
    '{"type": "ping", "t": 1, "tops": {"c1": [1, true]}}',
    SUBSCRIBED.format("1"),
    SUBSCRIBED.format('true, "events": [{"type": "pong", "t": 1}]'),
    '{"type": "connection.ack", "connectionId": "k1", "userId": "u1", "schemaVersion": 2, "heartbeat": [25], "limits": {"maxChannels": 1}}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_frame_is_refused(text):
    with pytest.raises(MalformedFrame):
        decode(text)


@pytest.mark.parametrize("raw", [b"\xff", b'{"type": "\xc3"}', b"\x00" * 100, b"\xff\xfe{\x00}\x00"])
def test_bytes_that_are_no_text_are_refused(raw):
    with pytest.raises(MalformedFrame):
        decode(raw)


def test_a_text_that_cannot_be_encoded_is_refused():
    with pytest.raises(MalformedFrame):
        decode('{"type": "' + "\ud800" * 20_000 + '"}')


def refused_or_read(text):
    """Whether nothing but a MalformedFrame comes out, or a frame that can be written and read again."""
    try:
        frame = decode(text)
    except MalformedFrame:
        return True
    return decode(encode(frame)) == frame


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.sampled_from(["c1", "m1", "e0000000000000000001"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from(["size", "c1"]), inner, max_size=3),
    max_leaves=6,
)


@settings(PROFILE, max_examples=400)
@given(FRAMES, st.data())
def test_a_frame_with_anything_in_any_field_is_refused_or_read(frame, data):
    fields = json.loads(encode(frame))
    for name in data.draw(st.lists(st.sampled_from([*sorted(fields), "extra"]), max_size=3)):
        fields[name] = data.draw(VALUES)
    assert refused_or_read(json.dumps(fields))


@settings(PROFILE, max_examples=400)
@given(FRAMES, st.data())
def test_a_damaged_text_is_refused_or_read(frame, data):
    raw = bytearray(encode(frame).encode())
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    assert refused_or_read(bytes(raw))
    assert refused_or_read(bytes(raw[:cut]))


@settings(PROFILE, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_anything_at_all_is_refused_or_read(text):
    assert refused_or_read(text)


def test_depth_does_not_depend_on_the_stack():
    def deep(levels):
        if levels:
            return deep(levels - 1)
        with pytest.raises(MalformedFrame, match="nest deeper"):
            decode('{"type": "pong", "t": 1, "x": ' + "[" * 9 + "]" * 9 + "}")
        return decode('{"type": "pong", "t": 1, "x": "[[[[[[[[[[[[[["}')

    assert deep(sys.getrecursionlimit() // 2) == Pong(10**9)


def test_a_resync_carries_its_reason():
    assert decode(encode(ChannelResync(1, 2, 3, "slow"))) == ChannelResync(1, 2, 3, "slow")
