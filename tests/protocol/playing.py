"""Playing: one client session, what is told to it, and what it wants done. Nothing answers by itself; the helpers answer where a test says so."""

from __future__ import annotations

from typing import Any, TypeVar

from simfabric.protocol import effects as do
from simfabric.protocol import frames, inputs, machine
from simfabric.protocol.client import ClientSession
from simfabric.protocol.frames import Envelope
from simfabric.protocol.parameters import Parameters

MS = 1_000_000
S = 1_000_000_000
TTL = 60 * S
Effect = TypeVar("Effect")


class Play:
    """A session in a little time of its own. `made` are the effects of the last step, `log` all of them with their instants."""

    def __init__(self, parameters: Parameters | None = None, **named: Any) -> None:
        self.parameters = parameters or Parameters()
        self.session = ClientSession(named.pop("client", 1), parameters=self.parameters, **named)
        self.now = S
        self.takes = True  # Whether the user interface takes every batch at once.
        self.made: list[do.ClientEffect] = []
        self.log: list[tuple[int, do.ClientEffect]] = []

    # ------------------------------------------------------------------------------------------------------------------- what happens

    def feed(self, happened: inputs.ClientInput) -> list[do.ClientEffect]:
        """Something happens now."""
        return self._note(self.session.handle(happened, self.now))

    def frame(self, frame: frames.Frame, size: int = 100) -> list[do.ClientEffect]:
        """A frame on the connection."""
        return self.feed(inputs.FrameReceived(self.generation, frame, size))

    def close(self, code: int, advised: int = -1, spread: int = 0, bytes_seen: bool = True) -> list[do.ClientEffect]:
        """The other side closes the connection, or the dial fails."""
        return self.feed(inputs.TransportClosed(self.session.primary.dialled, code, advised, spread, bytes_seen))

    def wait(self, duration: int) -> list[do.ClientEffect]:
        """Time passes, timer by timer; the effects of all of them."""
        until = self.now + duration
        made: list[do.ClientEffect] = []
        while (at := self.session.next_deadline()) is not None and at <= until:
            assert at >= self.now
            self.now = at
            made += self._note(self.session.handle_timers(at))
            while self.takes and self.of(do.Deliver):
                made += self.feed(inputs.ConsumerDrained())
        self.now = until
        self.made = made
        return made

    def sleep(self, duration: int) -> list[do.ClientEffect]:
        """Time passes while this machine sleeps: the timers are served once, late."""
        self.now += duration
        return self._note(self.session.handle_timers(self.now))

    def _note(self, made: list[do.ClientEffect]) -> list[do.ClientEffect]:
        self.made = made
        self.log += [(self.now, effect) for effect in made]
        return made

    # ------------------------------------------------------------------------------------------------------------- what is looked at

    @property
    def generation(self) -> int:
        return self.session.primary.dialled

    @property
    def state(self) -> str:
        return machine.STATE_NAMES[self.session.state]

    def of(self, kind: type[Effect]) -> list[Effect]:
        """The effects of this kind in the last step."""
        return [effect for effect in self.made if isinstance(effect, kind)]

    def ever(self, kind: type[Effect]) -> list[Effect]:
        """The effects of this kind so far."""
        return [effect for _, effect in self.log if isinstance(effect, kind)]

    def last(self, kind: type[Effect]) -> Effect:
        """The latest effect of this kind."""
        return self.ever(kind)[-1]

    def sent(self, kind: type[Effect]) -> list[Effect]:
        """The frames of this kind that the last step wrote."""
        return [effect.frame for effect in self.of(do.SendFrame) if isinstance(effect.frame, kind)]

    def counted(self, name: str) -> int:
        """How often this was counted so far."""
        return sum(effect.amount for effect in self.ever(do.Count) if effect.name == name)

    def shown(self, channel: int = 0) -> list[Any]:
        """What the user sees of a channel so far: sequences, and resets as (epoch, sequence)."""
        seen: list[Any] = []
        for _, effect in self.log:
            if isinstance(effect, do.Deliver) and effect.channel == channel:
                seen += [event.sequence for event in effect.events]
            elif isinstance(effect, do.ChannelReset) and effect.channel == channel:
                seen.append((effect.epoch, effect.sequence))
        return seen

    def show(self) -> None:
        """Let the queue go out."""
        self.wait(2 * self.parameters.flush_every)

    # --------------------------------------------------------------------------------------------------------- stages of a connection

    def start(self, *channels: int, allowed: tuple[int, ...] = (0, 1, 2)) -> Play:
        """The page is opened; the bootstrap and token calls are answered: it dials."""
        self.feed(inputs.ConnectRequested())
        for channel in channels:
            self.feed(inputs.SubscribeWanted(channel))
        self.feed(inputs.Bootstrapped(self.last(do.FetchBootstrap).ticket, allowed))
        self.answer_token()
        return self

    def answer_token(self, ttl: int = TTL) -> None:
        self.feed(inputs.TokenReady(self.last(do.FetchToken).ticket, ttl))

    def open(self) -> list[frames.Subscribe]:
        """The dial works; what was subscribed."""
        self.feed(inputs.TransportOpened(self.generation))
        return self.sent(frames.Subscribe)

    def ack(self, generation: int = 0, gateway: int = -1) -> None:
        ack = frames.ConnectionAck(1, 1, 2, 25 * S, 10 * S, 200, -1, gateway)
        self.feed(inputs.FrameReceived(generation or self.generation, ack))

    def reply(self, asked: list[frames.Subscribe], epoch: int = 1, top: int = 0, floor: int = 1, recovered: bool = True, generation: int = 0) -> None:
        """Every subscribe is answered alike."""
        for frame in asked:
            for channel, _, _ in frame.channels:
                answer = frames.Subscribed(frame.correlation, channel, epoch, top, floor, recovered)
                self.feed(inputs.FrameReceived(generation or self.generation, answer))

    def live(self, *channels: int, top: int = 0, **named: Any) -> Play:
        """From the start to live, with these channels at this top of epoch 1."""
        self.start(*channels, **named)
        asked = self.open()
        self.ack()
        self.reply(asked, top=top)
        assert self.state == "live"
        return self

    def redial(self) -> list[frames.Subscribe]:
        """Wait for the next dial, and let it work."""
        dials = len(self.ever(do.OpenTransport))
        while len(self.ever(do.OpenTransport)) == dials:
            at = self.session.next_deadline()
            assert at is not None
            self.wait(at - self.now)
            if self.state == "token":
                self.answer_token()
        asked = self.open()
        self.ack()
        return asked

    def event(self, sequence: int, channel: int = 0, epoch: int = 1, event: int = 0, **named: Any) -> list[do.ClientEffect]:
        """A live event."""
        return self.frame(self.envelope(sequence, channel, epoch, event, **named))

    def envelope(self, sequence: int, channel: int = 0, epoch: int = 1, event: int = 0, **named: Any) -> Envelope:
        return Envelope(channel, sequence, epoch, event or (channel << 40 | epoch << 20 | sequence), **named)

    def page(self, first: int, last: int, top: int = -1, more: bool = False, epoch: int = 1, truncated: bool = False) -> list[do.ClientEffect]:
        """The open replay is answered with these events."""
        asked = self.last(do.FetchReplay)
        events = tuple(self.envelope(at, asked.channel, epoch) for at in range(first, last + 1))
        return self.feed(inputs.ReplayReady(asked.ticket, asked.channel, epoch, events, last if top < 0 else top, more, truncated))

    def snapshot(self, sequence: int, epoch: int = 1) -> list[do.ClientEffect]:
        """The open snapshot is answered."""
        asked = self.last(do.FetchSnapshot)
        return self.feed(inputs.SnapshotReady(asked.ticket, asked.channel, epoch, sequence))
