"""The plan in words: a page for who plans capacity, what makes a run impossible here, and what to know before it."""

from __future__ import annotations

from collections.abc import Callable

from simfabric.errors import shown
from simfabric.planning.estimate import Plan, largest
from simfabric.planning.loads import Load
from simfabric.planning.memory import Part
from simfabric.topology import Topology
from simfabric.units import format_count, format_duration, format_rate, format_size
from simfabric.world import SECOND

LONGEST = 24 * 3600 * SECOND  # A run that takes longer is not begun unasked [ns].
MANY_MESSAGES = 10_000_000  # Rows of the log that are worth a word.
TOLD = 0.02  # Parts of the memory below this share are not told one by one.


def problems(plan: Plan, memory: float) -> list[str]:
    """What speaks against starting the run on a machine with so much free memory, with the arithmetic; nothing, if it fits."""
    found = []
    if not plan.fits(memory):
        sizes = " + ".join(_product(part) for part in plan.parts if part.size >= TOLD * plan.memory)
        found.append(
            f"needs about {_about(plan.memory, format_size)} of memory = {sizes}; this machine has {_about(memory, format_size)} free; "
            "cure: fewer clients.count, clients.subscriptions or a shorter run.duration, or --allow-large"
        )
    if plan.wall > LONGEST:
        found.append(
            f"takes about {_about(plan.wall, format_duration)} = {format_count(_round(plan.messages))} messages, "
            f"{format_count(_round(plan.deliveries * plan.topology.run.duration / SECOND))} deliveries, {format_count(_round(plan.rounds))} windows; "
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
        found.append(f"the log keeps {format_count(_round(plan.messages))} messages; a shorter bus.retention takes less memory")
    return found


def text(plan: Plan) -> str:
    """The plan as aligned plain text, at most forty lines."""
    topology = plan.topology
    title = shown(topology.name) or "a fabric without a name"
    lines = [f"{title}: {format_duration(topology.run.duration)} simulated, {format_duration(topology.run.warmup)} of it warm-up", ""]
    lines += [f"  {name:<16}{value}" for name, value in _facts(plan)]
    lines += ["", f"  {'component':<12}{'servers':>9}{'frames':>12}{'work each':>12}{'utilisation':>13}{'busiest':>22}"]
    lines += [_row(load) for load in plan.loads]
    weakest = plan.bottleneck
    if weakest.busiest > 0:
        growth = f"{_percent(weakest.headroom)} more load saturates it" if weakest.headroom > 0 else "it is saturated"
        lines += ["", f"  bottleneck: {weakest.name}, its busiest {weakest.row} {_percent(weakest.busiest)} busy; {growth}"]
    told = [part for part in plan.parts if part.size >= TOLD * plan.memory][:6]
    lines += [
        "",
        f"  memory: about {_about(plan.memory, format_size)}; the most for " + ", ".join(f"{part.what} {_about(part.size, format_size)}" for part in told),
    ]
    lines.append(f"  time:   {_time(plan)}")
    lines += [f"  note:   {warning}" for warning in warnings(plan)[:8]]
    return "\n".join(lines)


def _facts(plan: Plan) -> list[tuple[str, str]]:
    topology = plan.topology
    flow, members, busy = largest(plan) if plan.flows else (None, 0.0, 0.0)
    peak = f", at most {format_rate(plan.peak)}" if plan.peak > 1.001 * plan.publications else ""
    each = plan.connections / topology.gateways.count
    facts = [
        ("connections", f"{format_count(plan.connections)} on {format_count(topology.gateways.count)} gateways, {format_count(round(each))} each"
         + (f", the fullest {format_count(round(plan.fullest))}" if plan.fullest > 1.001 * each else "")),
        ("subscriptions", f"{format_count(round(plan.subscriptions))} to {format_count(len(topology.channels.given) + topology.channels.count)} channels"),
        ("publications", format_rate(plan.publications) + peak),
        ("deliveries", format_rate(plan.deliveries)),
        ("fan-out", f"{format_count(plan.fan_out)} clients per publication in the mean, on {format_count(plan.reach)} gateways ({topology.fanout.pattern})"),
    ]  # fmt: skip
    if flow is not None and len(plan.flows) > 1:
        facts.append(("widest source", f"{shown(flow.name, 40)}: {format_count(members)} clients, {format_duration(busy)} of work for each core that writes"))
    facts.append(("downlink", f"{_percent(plan.downlink)} of each client's" if topology.clients.bandwidth else "unlimited"))
    if topology.fanout.pattern != "direct":
        facts.append(("partitions", f"{format_count(topology.bus.partitions)}, the hottest has {plan.partition:.2f} times the mean"))
    return facts


def _row(load: Load) -> str:
    work = format_duration(load.work) if load.servers and load.frames else "-"
    share = _percent(load.utilisation) if load.servers else "-"
    busiest = f"{load.row} {_percent(load.busiest)}" if load.servers else "-"
    return f"  {load.name:<12}{format_count(load.servers) if load.servers else '-':>9}{format_rate(load.frames):>12}{work:>12}{share:>13}{busiest:>22}"


def _time(plan: Plan) -> str:
    exact = (
        f"exact, window {format_duration(plan.window)}"
        if plan.window <= plan.lookahead
        else f"window {format_duration(plan.window)}, wrong by at most that in a frame"
    )
    speed = plan.topology.run.duration / plan.running if plan.running else 0.0
    form = "compiled" if plan.compiled else "plain Python"
    return (
        f"about {_about(plan.wall, format_duration)} on this kind of machine ({form}): {_about(plan.setup, format_duration)} to set up, then "
        f"{speed:.2g} x real time; {exact}"
    )


def _saturated(load: Load) -> str:
    where = "" if load.utilisation >= 1.0 else f" (the mean of all is {_percent(load.utilisation)})"
    return f"{load.name}: the busiest {load.row} would be {_percent(load.busiest)} busy{where}; the run will work, but its queue grows without bound"


def _product(part: Part) -> str:
    if part.count <= 1:
        return f"{_about(part.size, format_size)} ({part.what})"
    return f"{format_count(_round(part.count))} {part.what} x {format_count(_round(part.each))} B"


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
