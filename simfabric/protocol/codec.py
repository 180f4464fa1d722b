"""Codec: frames as JSON text. The only place that knows JSON and the versions of the schema.

A frame is one flat object `{"type": …}`. Every frame is a table of fields: attribute, name on the wire, form, default. Writing leaves
out what equals its default, reading puts the default back; so a zero survives wherever absence means something else (`fromSequence`
0 is "from the first event", absent is "live only"). Numbers of the core get names of one fixed form each, and an `eventId` a fixed
width, so that their lexical order is the numeric one. Durations and times are seconds as exact decimals of nanoseconds.

Changes of the schema only add. A field that version 2 added is not written to a peer of version 1, and read as its default from one; an
event of a type that the peer cannot know reaches it as a hole by design, so that its cursor goes on. Unknown fields are ignored, unknown
types become `Unknown`. The text is untrusted: whatever is wrong with it is a `MalformedFrame`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from simfabric.protocol import frames
from simfabric.protocol.forms import (
    CHANNEL,
    CONNECTION,
    EVENT,
    FLAG,
    GATEWAY,
    KEY,
    SECONDS,
    SEQUENCE,
    SESSION,
    TEXT,
    USER,
    VERSION,
    Form,
    Literal,
    MalformedFrame,
    listed,
    read_text,
    whole,
)
from simfabric.protocol.frames import Envelope, Frame

SCHEMA = 2  # The current version: N.
MAX_FRAME = 65_536  # Bytes of one frame, in both directions.
HEAD = 200  # Bytes of a frame without what it carries: types, names and numbers.
TOP = 32  # Bytes of one channel in a ping.
MAX_DEPTH = 8  # Of nested lists and objects.
STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)  # An unfinished string ends with the text: one pass, whatever the text.


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a frame; a dot in the name is an object within the object."""

    attribute: str
    name: str
    form: Form
    default: Any = None  # None: must be present.
    since: int = 1  # Version of the schema that added it.
    always: bool = False  # Written even if it equals the default.


def read_tops(value: Any, place: str) -> tuple[tuple[int, int, int], ...]:
    """{channel: [epoch, top]}."""
    if type(value) is not dict:
        raise MalformedFrame(place, "must be an object of channels")
    tops = []
    for name, position in value.items():
        channel = CHANNEL.read(name, place)
        if type(position) is not list or len(position) != 2:
            raise MalformedFrame(f"{place}.{name}", "must be [epoch, top]")
        tops.append((channel, SEQUENCE.read(position[0], f"{place}.{name}[0]"), SEQUENCE.read(position[1], f"{place}.{name}[1]")))
    return tuple(tops)


def read_events(value: Any, place: str) -> tuple[Envelope | frames.SequenceSkip, ...]:
    """A list of events, and of holes by design; those of unknown types are left out, which the receiver's gap rule notices."""
    events = [read_frame(item, f"{place}[{at}]") for at, item in enumerate(listed(value, place))]
    if any(not isinstance(event, Envelope | frames.SequenceSkip | frames.Unknown) for event in events):
        raise MalformedFrame(place, "must hold events only")
    return tuple(event for event in events if isinstance(event, Envelope | frames.SequenceSkip))


TOPS = Form(lambda tops: {CHANNEL.write(channel): [epoch, top] for channel, epoch, top in tops}, read_tops)
EVENTS = Form(lambda events: [written_fields(event, SCHEMA) for event in events], read_events)


# -------------------------------------------------------------------------------------------------------------------------- frames


CORRELATION = Field("correlation", "corr", SEQUENCE)
OF_CHANNEL = Field("channel", "channel", CHANNEL)
ENVELOPE = (
    Field("event", "eventId", EVENT),
    Field("sequence", "sequence", SEQUENCE),
    Field("epoch", "epoch", SEQUENCE),
    OF_CHANNEL,
    Field("schema", "schemaVersion", VERSION, 1, always=True),
    Field("ts", "ts", SECONDS, 0, always=True),
    Field("user", "userId", USER, -1),
    Field("size", "payload.size", SEQUENCE, 0),
    Field("status", "status", whole(0, 255), 0),
    Field("client_message_id", "clientMsgId", KEY, -1, since=2),
)

# Name of the type -> class and fields. Envelopes, the typing frame of a client, subscribe and errors have words of their own below.
TABLE: dict[str, tuple[type[Any], tuple[Field, ...]]] = {
    "connection.ack": (
        frames.ConnectionAck,
        (
            Field("connection", "connectionId", CONNECTION),
            Field("user", "userId", USER),
            Field("schema", "schemaVersion", VERSION),
            Field("interval", "heartbeat.interval", SECONDS),
            Field("timeout", "heartbeat.timeout", SECONDS),
            Field("max_channels", "limits.maxChannels", SEQUENCE),
            Field("session", "session", SESSION, -1),
            Field("gateway", "gateway", GATEWAY, -1),
        ),
    ),
    "unsubscribe": (frames.Unsubscribe, (CORRELATION, OF_CHANNEL)),
    "subscribed": (
        frames.Subscribed,
        (
            CORRELATION,
            OF_CHANNEL,
            Field("epoch", "epoch", SEQUENCE),
            Field("top", "top", SEQUENCE),
            Field("floor", "floor", SEQUENCE),
            Field("recovered", "recovered", FLAG),
            Field("events", "events", EVENTS, ()),
        ),
    ),
    "unsubscribed": (
        frames.Unsubscribed,
        (Field("correlation", "corr", SEQUENCE, -1), OF_CHANNEL, Field("reason", "reason", TEXT, ""), Field("final", "final", FLAG, False)),
    ),
    "message.send": (
        frames.MessageSend,
        (
            CORRELATION,
            OF_CHANNEL,
            Field("client_message_id", "clientMsgId", KEY),
            Field("size", "payload.size", SEQUENCE),
            Field("schema", "schemaVersion", VERSION, 1, always=True),
        ),
    ),
    "message.ack": (
        frames.MessageAck,
        (
            CORRELATION,
            Field("client_message_id", "clientMsgId", KEY),
            Field("event", "eventId", EVENT),
            Field("sequence", "sequence", SEQUENCE),
            Field("epoch", "epoch", SEQUENCE),
            Field("duplicate", "duplicate", FLAG, False),
        ),
    ),
    "ping": (frames.Ping, (Field("t", "t", SECONDS), Field("tops", "tops", TOPS, (), since=2))),
    "pong": (frames.Pong, (Field("t", "t", SECONDS),)),
    "draining": (
        frames.Draining,
        (Field("retry_after", "retryAfter", SECONDS), Field("spread", "spread", SECONDS), Field("deadline", "deadline", SECONDS)),
    ),
    "sequence.skip": (
        frames.SequenceSkip,
        (OF_CHANNEL, Field("epoch", "epoch", SEQUENCE), Field("first", "from", SEQUENCE), Field("last", "to", SEQUENCE)),
    ),
    "channel.resync": (
        frames.ChannelResync,
        (OF_CHANNEL, Field("epoch", "epoch", SEQUENCE), Field("top", "top", SEQUENCE), Field("reason", "reason", TEXT, "")),
    ),
    "auth.revoked": (frames.AuthRevoked, (Field("reason", "reason", TEXT, ""),)),
    "channel.access.revoked": (frames.ChannelAccessRevoked, (OF_CHANNEL,)),
}
TYPING = (OF_CHANNEL,)
CURSOR = (OF_CHANNEL, Field("epoch", "epoch", SEQUENCE, 0), Field("sequence", "fromSequence", SEQUENCE, -1))
ERROR = (Field("correlation", "corr", SEQUENCE, -1), Field("channel", "channel", CHANNEL, -1), Field("retry_after", "retryAfter", SECONDS, -1))
NAMES = {shape: (name, columns) for name, (shape, columns) in TABLE.items()}
ADDED = {
    shape: tuple(column for column in columns if column.since > 1)
    for shape, columns in [(Envelope, ENVELOPE), *TABLE.values()]
    if any(column.since > 1 for column in columns)
}


@dataclass(slots=True)
class Cursor:
    """One channel of a subscribe."""

    channel: int
    epoch: int
    sequence: int


def adapted(frame: Frame, schema: int) -> Frame:
    """The frame as a peer of this version knows it: what later versions added is gone, and an event of an unknown type is a hole by design."""
    if isinstance(frame, Envelope) and not frames.knows(schema, frame.type):
        return frames.SequenceSkip(frame.channel, frame.epoch, frame.sequence, frame.sequence)
    if schema >= SCHEMA and not (isinstance(frame, frames.Subscribed) and frame.events):
        return frame
    changes: dict[str, Any] = {column.attribute: column.default for column in ADDED.get(type(frame), ()) if column.since > schema}
    if isinstance(frame, Envelope | frames.MessageSend):
        changes["schema"] = min(frame.schema, schema)
    if isinstance(frame, frames.Subscribed):
        changes["events"] = tuple(adapted(event, schema) for event in frame.events)
    return replace(frame, **changes) if changes else frame


def wire_size(frame: Frame) -> int:
    """What a frame takes on a transport [bytes]: a head, and what it carries. Payloads are simulated, so the text of a frame tells only a part."""
    if isinstance(frame, Envelope):
        return HEAD + frame.size
    if isinstance(frame, frames.Subscribed):
        return HEAD + sum(map(wire_size, frame.events))
    if isinstance(frame, frames.MessageSend):
        return HEAD + frame.size
    if isinstance(frame, frames.Ping):
        return HEAD + TOP * len(frame.tops)
    return HEAD


# ------------------------------------------------------------------------------------------------------------------------- writing


def encode(frame: Frame, schema: int = SCHEMA) -> str:
    """The frame as text for a peer of this version."""
    return "".join(_json(written_fields(adapted(frame, schema), schema)))


def written_fields(frame: Any, schema: int) -> dict[str, Any]:
    """The frame as an object."""
    if isinstance(frame, Envelope):
        return {"type": frames.TYPE_NAMES[frame.type], **_columns(frame, ENVELOPE)}
    if isinstance(frame, frames.Subscribe):
        cursors = [_columns(Cursor(*channel), CURSOR) for channel in frame.channels]
        return {"type": "subscribe", "corr": frame.correlation, **(cursors[0] if len(cursors) == 1 else {"channels": cursors})}
    if isinstance(frame, frames.TypingSent):
        return {"type": "typing", **_columns(frame, TYPING)}
    if isinstance(frame, frames.ErrorFrame):
        return {"type": frames.ERROR_NAMES[frame.error], **_columns(frame, ERROR)}
    if isinstance(frame, frames.Unknown):
        return {"type": frame.type}
    name, columns = NAMES[type(frame)]
    return {"type": name, **_columns(frame, columns)}


def _columns(frame: Any, columns: tuple[Field, ...]) -> dict[str, Any]:
    """The fields that are to be written."""
    answer: dict[str, Any] = {}
    for column in columns:
        value = getattr(frame, column.attribute)
        if column.always or column.default is None or value != column.default:
            outer, _, inner = column.name.rpartition(".")
            target = answer.setdefault(outer, {}) if outer else answer
            target[inner] = column.form.write(value)
    return answer


def _json(value: Any) -> Iterator[str]:
    """JSON text; written here because the standard writer cannot keep decimals exact."""
    if isinstance(value, dict):
        for at, (name, item) in enumerate(value.items()):
            yield f"{',' if at else '{'}{json.dumps(name)}:"
            yield from _json(item)
        yield "}" if value else "{}"
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield "," if at else "["
            yield from _json(item)
        yield "]" if value else "[]"
    else:
        yield str(value) if isinstance(value, Literal) else json.dumps(value)


# ------------------------------------------------------------------------------------------------------------------------- reading


def decode(text: str | bytes, limit: int = MAX_FRAME) -> Frame:
    """The frame in a text from the network, of at most `limit` bytes; raises `MalformedFrame` and nothing else."""
    return read_frame(_parsed(text, limit), "frame")


def read_frame(value: Any, place: str) -> Frame:
    """The frame in an object."""
    if type(value) is not dict:
        raise MalformedFrame(place, "must be an object")
    name = read_text(value.get("type"), f"{place}.type")
    if name in TABLE:
        shape, columns = TABLE[name]
        frame: Frame = shape(**_values(value, columns, place))
        return frame
    if name == "subscribe":
        return _subscribe(value, place)
    if name == "typing" and "eventId" not in value:
        return frames.TypingSent(**_values(value, TYPING, place))
    if name in frames.TYPE_NAMES:
        return Envelope(type=frames.TYPE_NAMES.index(name), **_values(value, ENVELOPE, place))
    if name in frames.ERROR_NAMES:
        return frames.ErrorFrame(error=frames.ERROR_NAMES.index(name), **_values(value, ERROR, place))
    return frames.Unknown(name)


def _subscribe(value: dict[str, Any], place: str) -> frames.Subscribe:
    items = listed(value["channels"], f"{place}.channels") if "channels" in value else [value]
    if not items:
        raise MalformedFrame(f"{place}.channels", "must name a channel")
    cursors = []
    for at, item in enumerate(items):
        where = f"{place}.channels[{at}]" if "channels" in value else place
        if type(item) is not dict:
            raise MalformedFrame(where, "must be an object")
        cursor = Cursor(**_values(item, CURSOR, where))
        cursors.append((cursor.channel, cursor.epoch, cursor.sequence))
    return frames.Subscribe(SEQUENCE.read(value.get("corr"), f"{place}.corr"), tuple(cursors))


def _values(value: dict[str, Any], columns: tuple[Field, ...], place: str) -> dict[str, Any]:
    """The attributes of a frame: what is there in its form, what is missing by its default."""
    answer = {}
    for column in columns:
        outer, _, inner = column.name.rpartition(".")
        source = value.get(outer, {}) if outer else value
        if type(source) is not dict:
            raise MalformedFrame(f"{place}.{outer}", "must be an object")
        if inner in source:
            answer[column.attribute] = column.form.read(source[inner], f"{place}.{column.name}")
        elif column.default is None:
            raise MalformedFrame(f"{place}.{column.name}", "must be present")
        else:
            answer[column.attribute] = column.default
    return answer


def _parsed(text: str | bytes, limit: int) -> Any:
    """JSON as Python values, numbers with a point or exponent as `Literal`."""
    if len(text) > limit:
        raise MalformedFrame("frame", f"must have at most {limit} bytes")
    try:
        if isinstance(text, bytes):
            text = text.decode()
        elif len(text) * 4 > limit and len(text.encode()) > limit:
            raise MalformedFrame("frame", f"must have at most {limit} bytes")
        _check_depth(text)
        return json.loads(text, object_pairs_hook=_object, parse_float=Literal, parse_int=_integer, parse_constant=_constant)
    except MalformedFrame:
        raise
    except ValueError as error:  # No UTF-8, or no JSON.
        raise MalformedFrame("frame", "must be JSON in UTF-8") from error


def _check_depth(text: str) -> None:
    """Before parsing, since a deep text would exhaust the parser's stack."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in STRING_OR_BRACKET.finditer(text):
        token = match.group()
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            raise MalformedFrame("frame", f"must not nest deeper than {MAX_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    answer = dict(pairs)
    if len(answer) != len(pairs):
        raise MalformedFrame("frame", "must not repeat a name within an object")
    return answer


def _integer(text: str) -> int:
    if len(text) > 20:
        raise MalformedFrame("frame", "must hold whole numbers of 64 bits only")
    return int(text)


def _constant(text: str) -> Any:
    raise MalformedFrame("frame", f"must hold finite numbers only, not {text}")


assert all(column.attribute in {item.name for item in fields(shape)} for shape, columns in TABLE.values() for column in columns)
