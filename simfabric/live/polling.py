"""Polling: a connection over HTTP answers that are held until there is something to say.

Frames are numbered from 1 on; a poll names the last one that arrived, and everything after it is kept until a later poll names it: an
answer that was lost on its way is simply given again. Of two polls the older ends empty. Both halves are here, the gateway's box and the
client's transport.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable

from simfabric.live.answers import parsed, read_reason, write_reason
from simfabric.live.driver import ABNORMAL, CallFailed, TransportEnded
from simfabric.live.events import INVALID_PAYLOAD, Uplink
from simfabric.protocol import effects
from simfabric.protocol.codec import MAX_FRAME, encode, read_frame, wire_size
from simfabric.protocol.forms import GATEWAY, SEQUENCE, SESSION, MalformedFrame, listed
from simfabric.protocol.frames import ConnectionAck, Frame

HOLD = 25.0  # How long an empty poll is held [s].


class PollBox:
    """The gateway's side: what was written and has not been confirmed."""

    def __init__(self, written: Callable[[int], None], schema: int, hold: float = HOLD) -> None:
        self.written = written  # Tells how much of the session's buffer has arrived.
        self.schema = schema
        self.hold = hold
        self.kept: deque[tuple[str, int]] = deque()  # Text and size; bounded by the session's buffer rule.
        self.confirmed = 0  # Number of the last frame that arrived.
        self.end: effects.CloseTransport | None = None
        self.polls = 0
        self.changed = asyncio.Event()

    def send(self, frame: Frame) -> None:
        """Keep a frame for the next poll."""
        self.kept.append((encode(frame, self.schema), wire_size(frame)))
        self.changed.set()

    def close(self, effect: effects.CloseTransport) -> None:
        """Tell the poll that takes the last frame."""
        self.end = effect
        self.changed.set()

    async def poll(self, last: int, hold: float = -1.0) -> bytes:
        """What follows frame number `last`; waits for it, but not for ever."""
        self.polls += 1
        this = self.polls
        self.changed.set()  # An older poll ends.
        while self.kept and self.confirmed < last:
            self.confirmed += 1
            self.written(self.kept.popleft()[1])
        try:
            async with asyncio.timeout(hold if hold >= 0 else self.hold):
                while not self.kept and self.end is None and this == self.polls:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass
        return self._answer() if this == self.polls else b'{"last":0,"frames":[]}'

    def _answer(self) -> bytes:
        texts: list[str] = []
        size = 0
        for text, _ in self.kept:
            size += len(text)
            if texts and size > MAX_FRAME:
                break
            texts.append(text)
        closing = ""
        if self.end is not None and len(texts) == len(self.kept):
            reason = write_reason(self.end.reason, self.end.advised, self.end.spread)
            closing = f',"close":{json.dumps({"code": self.end.code, "reason": reason})}'
        return f'{{"last":{self.confirmed + len(texts)},"frames":[{",".join(texts)}]{closing}}}'.encode()


Poll = Callable[[str, str, int], Awaitable[bytes]]  # Session, gateway, last; raises CallFailed.


class LongPoll:
    """The client's side: polls one after the other; what is sent goes by calls of its own."""

    def __init__(self, poll: Poll, uplink: Uplink) -> None:
        self.poll = poll
        self.uplink = uplink
        self.session = self.gateway = ""  # Known once the gateway has greeted.
        self.last = 0
        self.arrived: deque[tuple[Frame, int]] = deque()
        self.end: TransportEnded | None = None
        self.closed = False

    async def open(self) -> None:
        """The first poll makes the connection: its answer brings the greeting."""
        await self._poll()
        greeting = self.arrived[0][0] if self.arrived else None
        if self.end is not None and greeting is None:
            raise self.end
        if not isinstance(greeting, ConnectionAck) or greeting.session < 0 or greeting.gateway < 0:
            raise TransportEnded(INVALID_PAYLOAD)
        self.session, self.gateway = SESSION.write(greeting.session), GATEWAY.write(greeting.gateway)

    async def receive(self) -> tuple[Frame, int]:
        """The next frame."""
        while not self.arrived:
            if self.end is not None:
                raise self.end
            await self._poll()
        return self.arrived.popleft()

    async def send(self, frame: Frame) -> None:
        """Send a frame by a call of its own."""
        try:
            await self.uplink(self.session, self.gateway, encode(frame).encode())
        except CallFailed:
            self.end = TransportEnded(ABNORMAL)  # The poll under way finds out, too.
            raise self.end from None

    async def close(self, code: int, reason: str) -> None:
        """Poll no more: the gateway notices that nobody answers its pings."""
        self.end = TransportEnded(code)

    async def _asked(self) -> bytes:
        """The answer of a poll. One that is lost is asked for once more, with the same cursor: what it took out is still kept."""
        try:
            return await self.poll(self.session, self.gateway, self.last)
        except CallFailed as failed:
            if failed.status or not self.session:
                raise
            return await self.poll(self.session, self.gateway, self.last)

    async def _poll(self) -> None:
        try:
            answer = parsed(await self._asked())
            last = SEQUENCE.read(answer.get("last"), "last")
            frames = [read_frame(value, "frame") for value in listed(answer.get("frames"), "frames")]
            if "close" in answer:
                self.end = _told(answer["close"])
        except CallFailed:
            raise TransportEnded(ABNORMAL, bytes_seen=bool(self.session)) from None
        except MalformedFrame:
            raise TransportEnded(INVALID_PAYLOAD) from None
        self.last = max(self.last, last)
        self.arrived.extend((frame, wire_size(frame)) for frame in frames)


def _told(close: object) -> TransportEnded:
    """The end as the gateway told it."""
    if type(close) is not dict or type(close.get("code")) is not int or type(close.get("reason")) is not str:
        raise MalformedFrame("close", "must be a code and a reason")
    return TransportEnded(close["code"] if 1000 <= close["code"] < 5000 else ABNORMAL, *read_reason(close["reason"]))
