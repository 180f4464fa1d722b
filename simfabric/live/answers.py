"""Answers: the bodies of the HTTP calls as JSON text, written and read; and the advice in the reason of a close.

Names and forms are those of the frames, so what the codec refuses is refused here too.
"""

from __future__ import annotations

import json
import re
from typing import Any

from simfabric.protocol.codec import SCHEMA, encode, read_events
from simfabric.protocol.forms import CHANNEL, FLAG, SECOND, SECONDS, SEQUENCE, Literal, MalformedFrame, listed, read_seconds, write_seconds
from simfabric.protocol.inputs import Bootstrapped, ReplayReady, SnapshotReady

MAX_REASON = 123  # Bytes of a close reason.
ADVICE = re.compile(r" ?retry_after=([0-9.]{1,20}) spread=([0-9.]{1,20})$")


def parsed(body: bytes) -> dict[str, Any]:
    """A body of bounded size as an object, numbers with a point or exponent exact."""
    try:
        value = json.loads(body.decode(), parse_float=Literal, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise MalformedFrame("answer", "must be JSON in UTF-8") from error
    if type(value) is not dict:
        raise MalformedFrame("answer", "must be an object")
    return value


def _refused(text: str) -> Any:
    raise ValueError(text)


def _text(value: Any, place: str) -> str:
    if type(value) is not str or not value or len(value) > 2048 or not value.isprintable():
        raise MalformedFrame(place, "must be printable text of at most 2048 characters")
    return value


def write_bootstrap(url: str, allowed: tuple[int, ...], hints: tuple[tuple[int, int, int], ...], oldest: int, newest: int) -> bytes:
    """The answer of the bootstrap API as JSON."""
    cursors = {CHANNEL.write(channel): [epoch, sequence] for channel, epoch, sequence in hints}
    return json.dumps(
        {"wsUrl": url, "allowedChannels": [CHANNEL.write(channel) for channel in allowed], "cursorHints": cursors, "schema": [oldest, newest]}
    ).encode()


def read_bootstrap(body: bytes, ticket: int) -> tuple[str, Bootstrapped]:
    """Where to dial, and what the session is to know."""
    value = parsed(body)
    allowed = tuple(CHANNEL.read(name, "allowedChannels") for name in listed(value.get("allowedChannels"), "allowedChannels"))
    hints = []
    cursors = value.get("cursorHints", {})
    if type(cursors) is not dict:
        raise MalformedFrame("cursorHints", "must be an object")
    for name, position in cursors.items():
        epoch, sequence = (SEQUENCE.read(part, "cursorHints") for part in _pair(position))
        hints.append((CHANNEL.read(name, "cursorHints"), epoch, sequence))
    return _text(value.get("wsUrl"), "wsUrl"), Bootstrapped(ticket, allowed, tuple(hints))


def _pair(value: Any) -> list[Any]:
    if len(listed(value, "cursorHints")) != 2:
        raise MalformedFrame("cursorHints", "must be [epoch, sequence]")
    return list(value)


def write_token(secret: str, ttl: int) -> bytes:
    """The answer of the token API as JSON."""
    return f'{{"wsToken":{json.dumps(secret)},"ttl":{write_seconds(ttl)}}}'.encode()


def read_token(body: bytes) -> tuple[str, int]:
    """The answer of the token API, checked."""
    value = parsed(body)
    return _text(value.get("wsToken"), "wsToken"), read_seconds(value.get("ttl"), "ttl")


def write_replay(answer: ReplayReady, schema: int = SCHEMA) -> bytes:
    """A page of a replay as JSON, for a client of this version."""
    events = ",".join(encode(event, schema) for event in answer.events)
    rest = json.dumps({"epoch": answer.epoch, "top": answer.top, "more": answer.more, "truncated": answer.truncated})
    return f'{{"events":[{events}],{rest[1:]}'.encode()


def read_replay(body: bytes, ticket: int, channel: int) -> ReplayReady:
    """A page of a replay, checked."""
    value = parsed(body)
    epoch, top = (SEQUENCE.read(value.get(name), name) for name in ("epoch", "top"))
    more, truncated = (FLAG.read(value.get(name, False), name) for name in ("more", "truncated"))
    return ReplayReady(ticket, channel, epoch, read_events(value.get("events"), "events"), top, more, truncated)


def write_snapshot(answer: SnapshotReady) -> bytes:
    """A snapshot's watermark as JSON."""
    return json.dumps({"epoch": answer.epoch, "sequence": answer.sequence, "state": {"size": answer.size}}).encode()


def read_snapshot(body: bytes, ticket: int, channel: int) -> SnapshotReady:
    """A snapshot's watermark, checked."""
    value = parsed(body)
    state = value.get("state", {})
    size = SEQUENCE.read(state.get("size", 0), "state.size") if type(state) is dict else 0
    return SnapshotReady(ticket, channel, SEQUENCE.read(value.get("epoch"), "epoch"), SEQUENCE.read(value.get("sequence"), "sequence"), size)


def read_retry_after(headers: dict[str, str]) -> int:
    """The advice of an answer [ns], -1 = none."""
    text = headers.get("retry-after", "")
    return int(text) * SECOND if re.fullmatch(r"[0-9]{1,6}", text) else -1


def write_reason(reason: str, advised: int, spread: int) -> str:
    """The reason of a close, with the advice when there is one."""
    advice = f" retry_after={SECONDS.write(advised)} spread={SECONDS.write(spread)}" if advised >= 0 else ""
    return reason.encode()[: MAX_REASON - len(advice)].decode(errors="ignore") + advice


def read_reason(reason: str) -> tuple[int, int]:
    """The advice in the reason of a close: (advised, spread) [ns], (-1, 0) = none."""
    match = ADVICE.search(reason)
    try:
        return (read_seconds(Literal(match[1]), "reason"), read_seconds(Literal(match[2]), "reason")) if match else (-1, 0)
    except MalformedFrame:
        return -1, 0
