"""A small world, explored whole: one client's half and two gateways' halves, one log, a few messages, a few faults, in every order.

The other client is whoever writes to the log at any moment: two clients meet nowhere but there. Frames of a connection keep their order in each
direction, gateways get events in the log's order, and everything else (calls, routes, reads of the log, the news of a broken connection) may happen
at any time. Time passes when nothing else can happen, or early, as a fault. States that were seen before are not explored again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from simfabric.protocol import inputs
from simfabric.protocol.client import ClientSession
from simfabric.protocol.codec import wire_size
from simfabric.protocol.frames import Envelope
from simfabric.protocol.machine import LIVE
from simfabric.protocol.parameters import Parameters
from simfabric.protocol.server import GatewaySession
from tests.protocol.network import SECOND, Gateway, Link, Shown
from tests.protocol.pair import Pair

Lane = tuple[Any, ...]
Choice = tuple[Any, ...]
FAULTS = ("cut", "cut unseen", "kill 0", "kill 1", "time", "twice", "lose")


class SmallWorld(Pair):
    """A pair whose pending events wait in lanes, each in order, until somebody chooses which lane goes on."""

    def __init__(self, messages: int, faults: int, parameters: Parameters | None = None, client: Callable[[int, Parameters], Any] | None = None) -> None:
        self.exploring = False
        self.lanes: dict[Lane, list[Callable[[], None]]] = {}
        self.messages, self.faults, self.loose = messages, faults, 0
        self.patience = 3  # How often more time may pass before somebody writes.
        self.make = client or (lambda seed, parameters: ClientSession(1, seed, parameters=parameters))
        super().__init__(parameters, channels=1)
        self.start()
        self.run(2 * SECOND)
        assert self.client.state == LIVE
        self.exploring = True

    def new_client(self, seed: int) -> Any:
        return self.make(seed, self.parameters)

    # ------------------------------------------------------------------------------------------------------------ events wait in lanes

    def wait(self, lane: Lane, call: Callable[[], None]) -> None:
        """At the end of a lane."""
        self.lanes.setdefault(lane, []).append(call)

    def at(self, when: int, call: Callable[[], None]) -> None:
        """In exploration: a lane of its own."""
        if not self.exploring:
            super().at(when, call)
            return
        self.loose += 1
        self.wait(("loose", self.loose), call)

    def downstream(self, link: Link, call: Callable[[], None], extra: int = 0) -> None:
        if not self.exploring:
            super().downstream(link, call, extra)
            return
        self.wait(("down", link.connection), lambda: None if link.silent or link.client_knows else call())

    def upstream(self, link: Link, call: Callable[[], None]) -> None:
        if not self.exploring:
            super().upstream(link, call)
            return
        self.wait(("up", link.connection), lambda: None if link.silent else call())

    def fan_out(self, event: Envelope) -> None:
        if not self.exploring:
            super().fan_out(event)
            return
        self.shown[event.channel].history[event.epoch, event.sequence] = event.event
        for gateway in self.gateways:
            self.wait(("route", gateway.number), lambda gateway=gateway: self.route(gateway, event))

    def gateway_sends(self, gateway: Gateway, session: GatewaySession, effect: Any) -> None:
        """The socket takes at once what it is given."""
        if not self.exploring:
            super().gateway_sends(gateway, session, effect)
            return
        link = self.links[session.connection]
        happened = inputs.FrameReceived(link.generation, effect.frame, wire_size(effect.frame))
        self.downstream(link, lambda: self.tell(happened))
        self.give(gateway, session, inputs.BufferWritten(wire_size(effect.frame)))

    # --------------------------------------------------------------------------------------------------------------------- choices

    def choices(self) -> Iterator[Choice]:
        """What may happen next; nothing more once all is said and arrived."""
        waiting = [lane for lane, calls in self.lanes.items() if calls]
        yield from (("next", lane) for lane in waiting)
        if self.messages:
            yield ("say",)
            if not waiting and self.client.state != LIVE and self.patience:
                yield ("time",)
        if self.faults and (waiting or self.messages):
            for fault in FAULTS:
                if fault.startswith("kill") and not all(gateway.alive for gateway in self.gateways):
                    continue  # One must be left to dial.
                if fault in ("twice", "lose"):
                    kind = "down" if fault == "twice" else "route"
                    yield from (("fault", fault, lane) for lane in waiting if lane[0] == kind)
                else:
                    yield ("fault", fault)

    def choose(self, choice: Choice) -> None:
        """Let it happen."""
        match choice:
            case ("next", lane):
                self.lanes[lane].pop(0)()
            case ("say",):
                self.messages -= 1
                self.say(0)
            case ("time",):
                self.patience -= 1
                self.pass_time()
            case ("fault", what, *lane):
                self.faults -= 1
                self.fail(what, *lane)

    def fail(self, what: str, lane: Lane = ()) -> None:
        """A fault."""
        if what == "time":
            self.pass_time()
        elif what == "twice":
            self.lanes[lane][0]()
        elif what == "lose":
            self.lanes[lane].pop(0)
        elif what.startswith("kill"):
            self.kill(int(what[-1]))
        else:
            self.cut(seen=what == "cut")

    def pass_time(self) -> None:
        """On to the next deadline of anybody."""
        owners = self.timer_owners()
        if owners:
            self.now = max(self.now, min(at for at, _ in owners))
            for at, fire in owners:
                if at <= self.now:
                    fire()

    def end(self) -> dict[int, str]:
        """Faults end and time passes: in which channels the user is behind then."""
        self.exploring = False
        self.heal()
        self.run(self.silence)
        return self.behind()

    def state(self) -> tuple[Any, ...]:
        """All that the future depends on."""
        lanes = tuple((lane[:1] if lane[0] == "loose" else lane, *map(frozen, calls)) for lane, calls in self.lanes.items() if calls)
        gateways = tuple((g.alive, frozen(g.routes), tuple(map(frozen, g.sessions.values()))) for g in self.gateways)
        links = tuple((link.silent, link.client_knows) for link in self.links.values())
        place = self.shown[0].place
        return (self.now, self.patience, self.messages, self.faults, self.dialled, place, links, gateways, frozen(self.client), tuple(sorted(lanes, key=repr)))


def frozen(thing: Any) -> Any:
    """A value that is equal for equal things, whatever objects they are made of."""
    if isinstance(thing, (int, str, float, bytes, type(None))):
        return thing
    if isinstance(thing, (list, tuple, deque)):
        return tuple(map(frozen, thing))
    if isinstance(thing, (set, frozenset)):
        return tuple(sorted(map(frozen, thing)))
    if isinstance(thing, dict):
        return tuple((frozen(key), frozen(value)) for key, value in thing.items())
    if isinstance(thing, Link):
        return ("link", thing.connection)
    if isinstance(thing, Gateway):
        return ("gateway", thing.number)
    if isinstance(thing, (Parameters, Pair, Shown)):
        return type(thing).__name__
    if callable(thing) and hasattr(thing, "__code__"):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        return (thing.__qualname__, *map(frozen, cells), *map(frozen, thing.__defaults__ or ()))
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())] or sorted(vars(thing))
    return (type(thing).__name__, *(frozen(getattr(thing, name)) for name in names if name not in ("settings", "effects")))


def explore(make: Callable[[], SmallWorld], most: int = 1_000_000) -> tuple[int, int]:
    """Every state that can be reached, and every end: how many of both. Raises AssertionError with the choices that lead to what is wrong."""
    seen: set[int] = set()
    ends = 0
    paths: list[tuple[Choice, ...]] = [()]
    while paths and len(seen) < most:
        path = paths.pop()
        world = make()
        try:
            for choice in path:
                world.choose(choice)
            state = hash(world.state())
            if state in seen:
                continue
            seen.add(state)
            further = list(world.choices())
            if not further:
                ends += 1
                behind = world.end()
                assert not behind, behind
        except AssertionError as error:
            raise AssertionError(f"{error}; after {path}") from error
        paths += [(*path, choice) for choice in further]
    return len(seen), ends
