"""The plan in words: a page for who plans capacity, what makes a run impossible here, and what to know before it."""

from __future__ import annotations

from collections.abc import Callable

from simfabric.errors import shown
from simfabric.planning.estimate import Plan, largest
from simfabric.planning.loads import Load
from simfabric.planning.memory import Part
from simfabric.topology import Topology
from simfabric.units import DURATIONS, format_count, format_duration, format_rate, format_size
from simfabric.world import SECOND

LONGEST = 24 * 3600 * SECOND  # A run that takes longer is not begun unasked [ns].
MANY_MESSAGES = 10_000_000  # Rows of the log that are worth a word.
TOLD = 0.02  # Parts of the memory below this share are not told one by one,
MOST_PARTS = 5  # nor more than so many.
MOST_NOTES = 8


def problems(plan: Plan, memory: float) -> list[str]:
    """What speaks against starting the run on a machine with so much free memory, with the arithmetic; nothing, if it fits."""
    found = []
    if not plan.fits(memory):
        rest = plan.memory - sum(part.size for part in told(plan))
        sizes = " + ".join([*(_product(part) for part in told(plan)), f"{_about(rest, format_size)} for the rest"])
        found.append(
            f"needs about {_about(plan.memory, format_size)} of memory = {sizes}; this machine has {_about(memory, format_size)} free; "
            "cure: fewer clients.count, clients.subscriptions or a shorter run.duration, or --allow-large"
        )
    if plan.wall > LONGEST:
        found.append(
            f"takes about {_lasting(plan.wall)} = {_count(plan.messages)} messages, "
            f"{_count(plan.work.deliveries)} deliveries, {_count(plan.work.rounds)} windows; "
            "cure: a shorter run.duration or a longer run.window, or --allow-large"
        )
    return found


def warnings(plan: Plan) -> list[str]:
    """What the run will show that its author may not have meant."""
    topology = plan.topology
    found = [_saturated(load) for load in plan.loads if load.busiest >= 1.0]
    start = topology.clients.start
    if start:
        busy = plan.load("balancer").work * plan.connections / (topology.balancer.servers * start)
        if busy >= 1.0 > plan.load("balancer").busiest:
            found.append(f"balancer: {_percent(busy)} busy while clients.start lasts; dials queue; cure: a longer clients.start, or more balancer.servers")
    room = _room(topology)
    if plan.fullest > room:
        found.append(
            f"the fullest gateway would hold {format_count(round(plan.fullest))} connections and has room for {format_count(room)}; "
            "cure: more gateways, or raise their limits (connections, descriptors, memory)"
        )
    if plan.downlink >= 1.0:
        found.append(f"a client's deliveries take {_percent(plan.downlink)} of its downlink: buffers overflow; cure: more clients.bandwidth or less traffic")
    if plan.messages > MANY_MESSAGES and topology.run.duration <= topology.bus.retention:
        found.append(f"the log keeps {_count(plan.messages)} messages; a shorter bus.retention takes less memory")
    return found


def text(plan: Plan) -> str:
    """The plan as aligned plain text, at most forty lines."""
    topology = plan.topology
    title = shown(topology.name) or "a fabric without a name"
    lines = [f"{title}: {format_duration(topology.run.duration)} simulated, {format_duration(topology.run.warmup)} of it warm-up", ""]
    lines += [f"  {name:<16}{value}" for name, value in _facts(plan)]
    lines += ["", f"  {'component':<14}{'servers':>9}{'frames':>12}{'work each':>12}{'utilisation':>13}{'busiest':>20}"]
    lines += [_row(load) for load in plan.loads]
    weakest = plan.bottleneck
    if weakest.busiest > 0:
        growth = f"{_percent(weakest.headroom)} more load saturates it" if weakest.headroom > 0 else "it is saturated"
        lines += ["", f"  bottleneck: {weakest.name}, its busiest {weakest.row} {_percent(weakest.busiest)} busy; {growth}"]
    lines += ["", f"  memory: about {_about(plan.memory, format_size)}"]
    lines += [f"    {_about(part.size, format_size):>8} = {_product(part)}" for part in told(plan) if part.count > 1]
    lines += [f"  time:   {_time(plan)}", f"  window: {_window(plan)}"]
    lines += [f"  note:   {warning}" for warning in warnings(plan)[:MOST_NOTES]]
    return "\n".join(lines)


def told(plan: Plan) -> tuple[Part, ...]:
    """The parts of the memory that matter."""
    return tuple(part for part in plan.parts[:MOST_PARTS] if part.size >= TOLD * plan.memory)


def _facts(plan: Plan) -> list[tuple[str, str]]:
    topology = plan.topology
    each = plan.connections / topology.gateways.count
    fullest = f", the fullest {_count(plan.fullest)}" if plan.fullest > 1.001 * each else ""
    peak = f", at most {_rate(plan.peak)}" if plan.peak > 1.001 * plan.publications else ""
    gateways = _many(topology.gateways.count, "gateway")
    channels = _many(len(topology.channels.given) + topology.channels.count, "channel")
    facts = [
        ("connections", f"{format_count(plan.connections)} on {gateways}, {_count(each)} each{fullest}"),
        ("subscriptions", f"{_count(plan.subscriptions)} to {channels}"),
        ("publications", _rate(plan.publications) + peak),
        ("deliveries", _rate(plan.deliveries)),
        ("fan-out", f"{_count(plan.fan_out)} clients per publication, on {_count(plan.reach)} of {gateways} ({topology.fanout.pattern})"),
    ]
    if len(plan.flows) > 1:
        flow, members, busy = largest(plan)
        facts.append(("widest source", f"{shown(flow.name, 40)}: {_count(members)} clients, {_lasting(busy)} of work for each core that writes"))
    facts.append(("downlink", f"{_percent(plan.downlink)} of each client's" if topology.clients.bandwidth else "unlimited"))
    if topology.fanout.pattern != "direct":
        facts.append(("partitions", f"{format_count(topology.bus.partitions)}, the hottest has {plan.partition:.2f} times the mean"))
    return facts


def _row(load: Load) -> str:
    servers, work = (format_count(load.servers), _lasting(load.work, 3)) if load.servers else ("-", "-")
    share, busiest = (_percent(load.utilisation), f"{load.row} {_percent(load.busiest)}") if load.servers else ("-", "-")
    return f"  {load.name:<14}{servers:>9}{_rate(load.frames):>12}{work if load.frames else '-':>12}{share:>13}{busiest:>20}"


def _time(plan: Plan) -> str:
    names = {True: "compiled", False: "plain Python"}
    other = _lasting(sum(plan.time(not plan.compiled)))
    setup, running = plan.time(plan.compiled)
    speed = f"then {plan.topology.run.duration / running:.2g} x real time" if running else "then nothing to do"
    return f"about {_lasting(plan.wall)} {names[plan.compiled]} ({names[not plan.compiled]}: {other}), {_lasting(setup)} to set up, {speed}; machines differ"


def _window(plan: Plan) -> str:
    if plan.window <= plan.lookahead:
        return f"{format_duration(plan.window)}, exact"
    return f"{format_duration(plan.window)}, longer than the lookahead of {format_duration(plan.lookahead)}: a frame is wrong by at most that"


def _saturated(load: Load) -> str:
    where = "" if load.utilisation >= 1.0 else f" (the mean of all is {_percent(load.utilisation)})"
    return f"{load.name}: the busiest {load.row} would be {_percent(load.busiest)} busy{where}; the run will work, but its queue grows without bound"


def _product(part: Part) -> str:
    """'210M subscriptions x 12 B'."""
    return f"{_count(part.count)} {part.what} x {_count(part.each)} B" if part.count > 1 else f"{_about(part.size, format_size)} for {part.what}"


def _room(topology: Topology) -> int:
    gateways = topology.gateways
    return min(gateways.connections, gateways.descriptors, gateways.memory // max(1, gateways.memory_per_connection))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 10 else f"{share:.3g} times"


def _round(number: float) -> float:
    """A number that is only known roughly, to three digits."""
    return float(f"{number:.3g}")


def _about(number: float, form: Callable[[float], str]) -> str:
    return form(float(f"{number:.2g}"))


def _lasting(ns: float, digits: int = 2) -> str:
    """A duration that is only known roughly, rounded in the unit that it is told in."""
    unit = next((name for name in ("d", "h", "min", "s", "ms", "us") if ns >= DURATIONS[name]), "ns")
    return f"{float(f'{ns / DURATIONS[unit]:.{digits}g}'):g}{unit}"


def _count(number: float) -> str:
    return format_count(_round(number))


def _rate(number: float) -> str:
    return format_rate(_round(number))


def _many(number: int, what: str) -> str:
    return f"{format_count(number)} {what}{'' if number == 1 else 's'}"
