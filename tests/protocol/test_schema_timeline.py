"""The timeline of a schema: a field is added, both versions are served, and what a version said goes only when nobody of it can be connected.

For every version there is one text of each kind of frame, with all its fields, as a peer of that version writes and reads it. As long as the
version is served these texts must be read and written to the letter: who takes a field or a type away too early, renames it, or asks for one
that the version does not have, fails here.
"""

import dataclasses

import pytest

from simfabric.protocol import codec, frames
from simfabric.protocol.codec import SCHEMA, decode, encode
from simfabric.protocol.forms import MalformedFrame
from simfabric.protocol.parameters import Parameters

TEXTS = {
    1: '''
{"type":"message.created","eventId":"e0000000000000000077","sequence":12,"epoch":1,"channel":"c3","schemaVersion":1,"ts":1.5,"userId":"u5","payload":{"size":200}}
{"type":"message.moderated","eventId":"e0000000000000000078","sequence":13,"epoch":1,"channel":"c3","schemaVersion":1,"ts":1.5,"userId":"u5","payload":{"size":200}}
{"type":"presence.updated","eventId":"e0000000000000000079","sequence":0,"epoch":0,"channel":"c3","schemaVersion":1,"ts":2,"userId":"u5","payload":{"size":20},"status":1}
{"type":"typing","eventId":"e0000000000000000080","sequence":0,"epoch":0,"channel":"c3","schemaVersion":1,"ts":2,"userId":"u5","payload":{"size":1}}
{"type":"connection.ack","connectionId":"k4","userId":"u5","schemaVersion":1,"heartbeat":{"interval":25,"timeout":10},"limits":{"maxChannels":200},"session":"s6","gateway":"g7"}
{"type":"subscribe","corr":1,"channel":"c3","epoch":1,"fromSequence":12}
{"type":"subscribe","corr":1,"channels":[{"channel":"c3","epoch":1,"fromSequence":12},{"channel":"c4","fromSequence":0}]}
{"type":"unsubscribe","corr":2,"channel":"c3"}
{"type":"subscribed","corr":1,"channel":"c3","epoch":1,"top":12,"floor":2,"recovered":true,"events":[{"type":"message.created","eventId":"e0000000000000000077","sequence":12,"epoch":1,"channel":"c3","schemaVersion":1,"ts":1.5,"userId":"u5","payload":{"size":200}},{"type":"sequence.skip","channel":"c3","epoch":1,"from":13,"to":13}]}
{"type":"unsubscribed","corr":2,"channel":"c3","reason":"gone","final":true}
{"type":"message.send","corr":3,"channel":"c3","clientMsgId":"m9","payload":{"size":200},"schemaVersion":1}
{"type":"message.ack","corr":3,"clientMsgId":"m9","eventId":"e0000000000000000077","sequence":12,"epoch":1,"duplicate":true}
{"type":"typing","channel":"c3"}
{"type":"ping","t":7}
{"type":"pong","t":7}
{"type":"draining","retryAfter":1,"spread":30,"deadline":60}
{"type":"sequence.skip","channel":"c3","epoch":1,"from":2,"to":4}
{"type":"channel.resync","channel":"c3","epoch":1,"top":12,"reason":"slow"}
{"type":"auth.revoked","reason":"gone"}
{"type":"channel.access.revoked","channel":"c3"}
{"type":"error.not_authorized","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.rate_limited","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.unavailable","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.too_large","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.channel_limit","corr":3,"channel":"c3","retryAfter":1}
''',
    2: '''
{"type":"message.created","eventId":"e0000000000000000077","sequence":12,"epoch":1,"channel":"c3","schemaVersion":2,"ts":1.5,"userId":"u5","payload":{"size":200},"clientMsgId":"m9"}
{"type":"message.moderated","eventId":"e0000000000000000078","sequence":13,"epoch":1,"channel":"c3","schemaVersion":2,"ts":1.5,"userId":"u5","payload":{"size":200}}
{"type":"presence.updated","eventId":"e0000000000000000079","sequence":0,"epoch":0,"channel":"c3","schemaVersion":2,"ts":2,"userId":"u5","payload":{"size":20},"status":1}
{"type":"typing","eventId":"e0000000000000000080","sequence":0,"epoch":0,"channel":"c3","schemaVersion":2,"ts":2,"userId":"u5","payload":{"size":1}}
{"type":"connection.ack","connectionId":"k4","userId":"u5","schemaVersion":2,"heartbeat":{"interval":25,"timeout":10},"limits":{"maxChannels":200},"session":"s6","gateway":"g7"}
{"type":"subscribe","corr":1,"channel":"c3","epoch":1,"fromSequence":12}
{"type":"subscribe","corr":1,"channels":[{"channel":"c3","epoch":1,"fromSequence":12},{"channel":"c4","fromSequence":0}]}
{"type":"unsubscribe","corr":2,"channel":"c3"}
{"type":"subscribed","corr":1,"channel":"c3","epoch":1,"top":12,"floor":2,"recovered":true,"events":[{"type":"message.created","eventId":"e0000000000000000077","sequence":12,"epoch":1,"channel":"c3","schemaVersion":2,"ts":1.5,"userId":"u5","payload":{"size":200},"clientMsgId":"m9"},{"type":"sequence.skip","channel":"c3","epoch":1,"from":13,"to":13}]}
{"type":"unsubscribed","corr":2,"channel":"c3","reason":"gone","final":true}
{"type":"message.send","corr":3,"channel":"c3","clientMsgId":"m9","payload":{"size":200},"schemaVersion":2}
{"type":"message.ack","corr":3,"clientMsgId":"m9","eventId":"e0000000000000000077","sequence":12,"epoch":1,"duplicate":true}
{"type":"typing","channel":"c3"}
{"type":"ping","t":7,"tops":{"c3":[1,12]}}
{"type":"pong","t":7}
{"type":"draining","retryAfter":1,"spread":30,"deadline":60}
{"type":"sequence.skip","channel":"c3","epoch":1,"from":2,"to":4}
{"type":"channel.resync","channel":"c3","epoch":1,"top":12,"reason":"slow"}
{"type":"auth.revoked","reason":"gone"}
{"type":"channel.access.revoked","channel":"c3"}
{"type":"error.not_authorized","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.rate_limited","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.unavailable","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.too_large","corr":3,"channel":"c3","retryAfter":1}
{"type":"error.channel_limit","corr":3,"channel":"c3","retryAfter":1}
''',
}  # fmt: skip


def served(current, back):
    """The versions of which a client may be connected."""
    return [version for version in TEXTS if current - back <= version <= current]


def broken(current=SCHEMA, back=1):
    """The texts of served versions that are no longer read and written to the letter."""
    return [text for version in served(current, back) for text in TEXTS[version].split("\n") if text and not kept(text, version)]


def kept(text, version):
    try:
        return encode(decode(text), version) == text
    except (MalformedFrame, TypeError):  # It is refused, or makes no frame.
        return False


def test_what_a_served_version_says_is_read_and_written_as_ever():
    parameters = Parameters()
    assert parameters.schema_current == SCHEMA and len(served(SCHEMA, parameters.schema_back)) == parameters.schema_back + 1
    assert broken(parameters.schema_current, parameters.schema_back) == []


def test_every_kind_of_frame_and_every_field_is_in_the_texts():
    for version in served(SCHEMA, 1):
        texts = [text for text in TEXTS[version].split("\n") if text]
        assert {type(decode(text)) for text in texts} == {kind for kind in frames.Frame.__args__ if kind is not frames.Unknown}
        for name in (*frames.TYPE_NAMES, *frames.ERROR_NAMES, *codec.TABLE):
            columns = codec.TABLE[name][1] if name in codec.TABLE else codec.ERROR if name in frames.ERROR_NAMES else ()
            (text,) = [text for text in texts if f'"type":"{name}"' in text.split(",")[0] and (name != "typing" or "eventId" in text)]
            assert all(f'"{column.name.rpartition(".")[2]}":' in text for column in columns if column.since <= version)


def without(patch, name, attribute):
    """The field is gone from the frame."""
    if name == "event":
        patch.setattr(codec, "ENVELOPE", tuple(column for column in codec.ENVELOPE if column.attribute != attribute))
        return
    shape, columns = codec.TABLE[name]
    left = tuple(column for column in columns if column.attribute != attribute)
    patch.setitem(codec.TABLE, name, (shape, left))
    patch.setitem(codec.NAMES, shape, (name, left))


def changed(patch, kind, attribute, **changes):
    """The field is another one."""
    shape, columns = codec.TABLE[kind]
    other = tuple(dataclasses.replace(column, **changes) if column.attribute == attribute else column for column in columns)
    patch.setitem(codec.TABLE, kind, (shape, other))
    patch.setitem(codec.NAMES, shape, (kind, other))


def type_gone(patch):
    patch.setattr(frames, "TYPE_NAMES", ("message.created", "message.hidden", *frames.TYPE_NAMES[2:]))


REMOVALS = {
    "an optional field of both versions": lambda patch: without(patch, "unsubscribed", "final"),
    "a field of an event": lambda patch: without(patch, "event", "status"),
    "a field that must be present": lambda patch: without(patch, "message.ack", "sequence"),
    "a field that is renamed": lambda patch: changed(patch, "channel.resync", "reason", name="why"),
    "a field that is asked for from now on": lambda patch: changed(patch, "ping", "tops", default=None),
    "a type of event": type_gone,
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_removal_while_a_client_of_the_version_before_may_be_connected_is_caught(removal, monkeypatch):
    assert broken() == []
    with monkeypatch.context() as patch:
        REMOVALS[removal](patch)
        assert broken() != []
    assert broken() == []


def test_after_the_window_what_only_an_old_version_had_may_go(monkeypatch):
    """Version 1 had no tops in its pings. Version 2 asks for them as soon as version 1 is served no more, and not before."""
    changed(monkeypatch, "ping", "tops", default=None)
    assert broken(current=2, back=1) != []
    assert broken(current=3, back=1) == []
