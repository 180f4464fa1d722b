"""The gateway behind Centrifugo's JSON protocol, so that clients we did not write can talk to it.

Only words are translated: which publications are sent, when and in which order is our gateway's doing. Positions are Centrifugo's pairs
(offset, epoch), which are our (sequence, epoch) with the epoch as text. Sources: the client protocol of centrifugal/protocol, and
centrifugal.dev on client codes (unsubscribe below 2500 is final; disconnect 3500-3999 and 4500-4999 are final).
"""

import asyncio
import json
import logging

from simfabric.protocol import codes, frames
from simfabric.protocol.frames import ErrorFrame, MessageSend, Pong, Subscribe, Unsubscribe

QUIET = logging.Logger("tests.centrifugo")
QUIET.disabled = True
ERRORS = {  # Ours -> Centrifugo's code, and whether it is temporary.
    frames.NOT_AUTHORIZED: (103, False),
    frames.RATE_LIMITED: (111, True),
    frames.UNAVAILABLE: (100, True),
    frames.TOO_LARGE: (107, False),
    frames.CHANNEL_LIMIT: (106, False),
}
TOKEN_EXPIRED = 109
STALE, RESYNC = 2000, 2500  # Unsubscribed for good; unsubscribed, and to be subscribed again at once.
RECONNECT, STOP = 3001, 3503


class Wire:
    """One connection: replies and pushes as JSON lines."""

    def __init__(self, service, socket):
        self.service = service
        self.socket = socket
        self.number = None  # Of the gateway's connection.
        self.connect_id = 0
        self.recovering = {}  # Subscribe by its id: whether it asked for recovery.
        self.pinged_at = 0
        self.outbox = asyncio.Queue()
        self.writers = {
            frames.ConnectionAck: self.acknowledged,
            frames.Subscribed: self.subscribed,
            frames.Unsubscribed: self.unsubscribed,
            frames.Envelope: self.published,
            frames.MessageAck: lambda frame: self.say({"id": frame.correlation, "publish": {}}),
            frames.ChannelAccessRevoked: lambda frame: self.leave(frame.channel, STALE),
            frames.ChannelResync: lambda frame: self.leave(frame.channel, RESYNC),
            frames.Ping: self.pinged,
            ErrorFrame: self.failed,
            frames.Draining: lambda frame: None,  # Not a word of theirs; the close that follows is.
            frames.AuthRevoked: lambda frame: None,
        }

    # What our gateway says.

    def send(self, frame):
        self.writers[type(frame)](frame)

    def close(self, effect):
        final = codes.close_class(effect.code) == codes.TERMINAL
        self.outbox.put_nowait((STOP if final else RECONNECT, effect.reason))

    def say(self, reply):
        self.outbox.put_nowait(json.dumps(reply))

    def acknowledged(self, frame):
        self.say({"id": self.connect_id, "connect": {"client": f"k{frame.connection}", "version": "test", "ping": frame.interval / 1e9, "pong": True}})

    def publication(self, event):
        return {"data": {"event": event.event}, "offset": event.sequence}

    def subscribed(self, frame):
        asked = self.recovering.pop(frame.correlation)
        result = {
            "recoverable": True,
            "positioned": True,
            "epoch": str(frame.epoch or self.service.backend.logs[frame.channel].incarnation),  # Theirs has one from the start on.
            "was_recovering": asked,
            "recovered": asked and frame.recovered,
        }
        if frame.top:
            result["offset"] = frame.top  # Zero is left out, as Centrifugo does.
        if frame.events:
            result["publications"] = [self.publication(event) for event in frame.events]
        self.say({"id": frame.correlation, "subscribe": result})

    def unsubscribed(self, frame):
        if frame.correlation >= 0:
            self.say({"id": frame.correlation, "unsubscribe": {}})
        else:
            self.leave(frame.channel, STALE if frame.final else RESYNC)

    def leave(self, channel, code):
        self.say({"push": {"channel": f"c{channel}", "unsubscribe": {"code": code, "reason": "test"}}})

    def published(self, event):
        if event.sequence:
            self.say({"push": {"channel": f"c{event.channel}", "pub": self.publication(event)}})

    def pinged(self, frame):
        self.pinged_at = frame.t
        self.say({})

    def failed(self, frame):
        code, temporary = ERRORS[frame.error]
        self.say({"id": frame.correlation, "error": {"code": code, "message": frames.ERROR_NAMES[frame.error], "temporary": temporary}})

    # What their client says.

    def hear(self, command):
        number = command.get("id", 0)
        if "connect" in command:
            self.connect(number, command["connect"])
        elif "subscribe" in command:
            asked = command["subscribe"]
            recover = asked.get("recover", False)
            self.recovering[number] = recover
            offset = int(asked.get("offset", 0))
            cursor = (int(asked.get("epoch") or 0) if offset else 0, offset) if recover else (0, -1)
            self.give(Subscribe(number, ((int(asked["channel"][1:]), *cursor),)))
        elif "unsubscribe" in command:
            self.give(Unsubscribe(number, int(command["unsubscribe"]["channel"][1:])))
        elif "publish" in command:
            data = command["publish"]["data"]
            self.give(MessageSend(number, int(command["publish"]["channel"][1:]), data["key"], data["size"]))
        else:
            self.give(Pong(self.pinged_at))

    def connect(self, number, asked):
        service = self.service
        accepted = service.backend.accept(asked.get("token", ""), 2)
        if accepted is None or accepted.expires_at <= service.clock.now():
            self.say({"id": number, "error": {"code": TOKEN_EXPIRED, "message": "token expired", "temporary": True}})
            return
        self.connect_id = number
        self.number = service.gateway.connect(self, accepted, service.clock.now())
        service.wires[self.number] = self
        service.after()

    def give(self, frame):
        if self.number is not None:
            self.service.gateway.receive(self.number, frame, 0, self.service.clock.now())
            self.service.after()

    async def write(self):
        while True:
            item = await self.outbox.get()
            if isinstance(item, tuple):
                await self.socket.close(*item)
                return
            await self.socket.send(item)


class Centrifugo:
    """The served gateway: `async with Centrifugo(gateway, clock) as service`, then `service.url`."""

    def __init__(self, gateway, clock):
        self.gateway = gateway
        self.backend = gateway.backend
        self.clock = clock
        self.wires = {}
        self.frozen = False  # Its event loop hangs: no timer fires.
        self.alarm = None

    async def __aenter__(self):
        from websockets.asyncio.server import serve

        self.listening = serve(self.serve_one, "127.0.0.1", 0, ping_interval=None, compression=None, close_timeout=1, logger=QUIET)
        server = await self.listening.__aenter__()
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/connection/websocket"
        return self

    async def __aexit__(self, *error):
        if self.alarm is not None:
            self.alarm.cancel()
        await self.listening.__aexit__(*error)

    def after(self):
        if self.alarm is not None:
            self.alarm.cancel()
        at = self.gateway.next_deadline()
        self.alarm = None if at is None else self.clock.call_at(at, lambda: self.ring(at))

    def ring(self, at):
        if self.frozen:
            return
        self.gateway.handle_timers(max(at, self.clock.now()))
        self.after()

    def kill(self):
        """Every connection breaks without a word."""
        for wire in list(self.wires.values()):
            wire.socket.transport.abort()

    async def serve_one(self, socket):
        from websockets.exceptions import ConnectionClosed

        wire = Wire(self, socket)
        writer = asyncio.ensure_future(wire.write())
        try:
            async for text in socket:
                for line in text.split("\n"):
                    wire.hear(json.loads(line))
        except ConnectionClosed:
            pass
        finally:
            if wire.number is not None:
                self.gateway.disconnected(wire.number, 1006, self.clock.now())
                del self.wires[wire.number]
                self.after()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
