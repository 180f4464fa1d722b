"""Parts of a virtual network: its time, its weather, its links, its gateways; and what a user saw, checked as it comes."""

from __future__ import annotations

import abc
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from simfabric.protocol import inputs
from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.frames import Envelope
from simfabric.protocol.limits import Limits
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import GatewaySession

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
USER = 5
OTHER = 6


@dataclass
class Weather:
    """What the network is like now."""

    delay: int = 20 * MILLISECOND  # One way.
    up: bool = True  # Whether dials and calls get anywhere.
    calls: bool = True  # Whether the HTTPS interfaces answer.
    duplicate: float = 0.0  # Share of events that come twice.
    reorder: float = 0.0  # Share of events that are held back …
    hold_back: int = 100 * MILLISECOND  # … for so long.
    lose_fanout: float = 0.0  # Share of events that a gateway never gets.
    lagging_replica: bool = False  # Replays and snapshots are of an old state.


class Link:
    """One transport: ordered in both directions until it breaks."""

    def __init__(self, generation: int, connection: int, gateway: int) -> None:
        self.generation = generation
        self.connection = connection
        self.gateway = gateway
        self.silent = False  # Half-open: nothing arrives, and nobody is told.
        self.client_knows = False  # That it is over.
        self.last = [0, 0]  # Latest arrival scheduled: downstream, upstream.


class Gateway:
    """One gateway process: its sessions, its routes, its limits."""

    def __init__(self, number: int, parameters: Parameters) -> None:
        self.number = number
        self.parameters = parameters
        self.limits = Limits(parameters)
        self.sessions: dict[int, GatewaySession] = {}
        self.routes: dict[int, list[int]] = {}  # Channel -> connections.
        self.alive = True
        self.draining: inputs.DrainStarted | None = None


@dataclass
class Shown:
    """What the user saw of one channel, checked as it comes."""

    log: ChannelLog
    history: dict[tuple[int, int], int]  # (epoch, sequence) -> event id, of everything that was ever in the log.
    place: tuple[int, int] | None = None
    items: list[tuple[str, int, int]] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)  # Of the user's own messages, as they came back.

    def deliver(self, event: Envelope) -> None:
        """An event is shown."""
        if event.sequence == 0:
            return
        self.items.append(("event", event.epoch, event.sequence))
        assert self.history[event.epoch, event.sequence] == event.event, f"another event at {event.epoch}/{event.sequence}"
        if self.place is not None:
            epoch, sequence = self.place
            joined = epoch in (0, event.epoch)
            assert joined and event.sequence == sequence + 1, f"{event.epoch}/{event.sequence} shown after {epoch}/{sequence}: {self.items[-6:]}"
        self.place = (event.epoch, event.sequence)
        if event.user == USER and event.client_message_id >= 0:
            self.keys.append(event.client_message_id)

    def reset(self, epoch: int, sequence: int) -> None:
        """A snapshot stands in."""
        self.items.append(("reset", epoch, sequence))
        if self.place is not None and self.place[0] == epoch:
            assert sequence >= self.place[1], f"reset back to {epoch}/{sequence} from {self.place}"
        self.place = (epoch, sequence)


class VirtualTime(abc.ABC):
    """A heap of calls, and sessions with deadlines: time jumps to the next of either."""

    def __init__(self) -> None:
        self.now = 0
        self.serial = 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when: int, call: Callable[[], None]) -> None:
        """Later."""
        self.serial += 1
        heapq.heappush(self.heap, (max(when, self.now), self.serial, call))

    def after(self, delay: int, call: Callable[[], None]) -> None:
        """Later by so much."""
        self.at(self.now + delay, call)

    def every(self, interval: int, call: Callable[[], None]) -> None:
        """Again and again."""

        def again() -> None:
            call()
            self.after(interval, again)

        self.after(interval, again)

    def drive(self, until: int) -> None:
        """Let time pass: inputs of an instant before timers of it."""
        while True:
            heads = [self.heap[0][0]] if self.heap else []
            owners = self.timer_owners()
            wake = min([*heads, *(at for at, _ in owners)], default=until + 1)
            if wake > until:
                break
            self.now = max(self.now, wake)
            if heads and heads[0] <= self.now:
                heapq.heappop(self.heap)[2]()
                continue
            for at, fire in owners:
                if at <= self.now:
                    fire()
        self.now = until

    def run(self, duration: int) -> None:
        """Let so much time pass."""
        self.drive(self.now + duration)

    @abc.abstractmethod
    def timer_owners(self) -> list[tuple[int, Callable[[], None]]]:
        """Deadlines of the sessions, and what to call at them."""
