"""Running fabrics in tests: an outcome is all that a run leaves behind, so that two runs can be compared to the last bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simfabric.fabric import Fabric
from simfabric.kernels.state import FATE, LIMITED
from simfabric.kernels.tallying import merged
from simfabric.topology import Topology, loads
from tests.reference.fabric import Reference, Setting

Array = np.ndarray[Any, Any]


def topology_of(text: str, **changes: object) -> Topology:
    """The topology of a text without its version line, with changes such as run__window="5ms"."""
    sets = [f"{path.replace('__', '.')}={value}" for path, value in changes.items()]
    return loads(f"version: 1\n{text}", sets=sets)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run left behind; `facts` are the columns that must not depend on window, form or workers."""

    fabric: Fabric
    digest: int
    counters: Array
    trail: Array  # int64[n, 3] of message, client and arrival.
    facts: dict[str, Array] = field(repr=False)


def run(topology: Topology, by_numba: bool = False, trail: bool = True) -> Outcome:
    """The outcome of a topology's run."""
    fabric = Fabric(topology, by_numba)
    if trail:
        fabric.gateways.keep_trail()
    drive(fabric)
    return outcome(fabric)


def drive(fabric: Fabric, until: int | None = None) -> None:
    """Up to a time [ns], or to the end of the topology's duration."""
    process = fabric.world.env.process(fabric.conductor.process(until or fabric.topology.run.duration))
    fabric.world.env.run(until=process)


def outcome(fabric: Fabric) -> Outcome:
    """What a fabric that has run left behind."""
    total = merged([worker.tally for worker in fabric.gateways.workers])
    trail = fabric.gateways.trail()
    facts = {"digest": total.digest, "counters": total.counters, "delays": total.delays, "stages": total.stages, "trail": trail}
    for component in fabric.components:
        facts[f"{component.name} frames"] = np.array([component.inbox.account[0], component.inbox.account[1], len(component.inbox.waiting())])
        tally = getattr(component, "tally", None)
        if tally is not None:
            facts |= {f"{component.name} counters": tally.counters, f"{component.name} stages": tally.stages}
        for name in ("busy", "free_at", "committed"):
            if hasattr(component, name):
                facts[f"{component.name} {name}"] = getattr(component, name)
    nodes, columns = fabric.gateways.nodes, fabric.columns
    facts |= {"gateways busy": nodes.busy, "gateways free": nodes.free_at, "gateways state": nodes.state, "replay counters": fabric.replay.counters}
    facts |= {"messages": columns.log.rows[: columns.messages], "heads": columns.log.head_sequence, "links": columns.crowd.link, "homes": columns.crowd.home}
    limits = fabric.gateways.limits
    facts |= {f"limits {name}": getattr(limits, name) for name in ("row", "life", "users", "tenants", "counts", "by_tenant")}
    if fabric.presence is not None:
        facts |= {"presence said": fabric.presence.counters, "presence seen": total.seen, "presence seconds": fabric.presence.seconds}
        facts |= {f"presence {name}": column for name, column in fabric.presence.entries._asdict().items()}
    return Outcome(fabric, int(total.digest[0]), total.counters, trail, {name: np.asarray(fact).copy() for name, fact in facts.items()})


def differences(one: Outcome, other: Outcome) -> list[str]:
    """The names of the facts in which two outcomes differ."""
    return [name for name, fact in one.facts.items() if not np.array_equal(fact, other.facts[name])]


def lookahead_of(topology: Topology) -> int:
    """The longest exact window [ns]."""
    return Fabric(topology, False).conductor.lookahead


def check_invariance(topology: Topology, by_numba: bool = False) -> Outcome:
    """The run with the longest exact window, with half of it and with a seventh of it leave the same behind."""
    whole = run(topology, by_numba)
    for part in (2, 7):
        window = max(1000, lookahead_of(topology) // part)
        assert differences(whole, run(topology.with_({"run.window": f"{window}ns"}), by_numba)) == [], f"window: lookahead / {part}"
    return whole


def check_agreement(topology: Topology) -> int:
    """The engine's deliveries are those of the fabric in plain SimPy, at the same nanoseconds. Returns how many there are."""
    reference = Reference(topology, setting(topology))
    reference.run()
    expected = sorted((at, message, client) for message, client, at in reference.arrivals)
    outcome = run(topology)
    found = [(at, message, client) for message, client, at in outcome.trail.tolist() if at < topology.run.duration]
    assert found == expected
    assert sorted(reference.refused) == np.flatnonzero(outcome.facts["messages"][:, FATE] == LIMITED).tolist()
    return len(found)


def setting(topology: Topology) -> Setting:
    """Where the engine seats the clients of a topology, what they subscribe to and how far away they are."""
    columns = Fabric(topology, False).columns
    crowd, seat_of = columns.crowd, columns.seat_of
    homes = [int(crowd.home[seat]) for seat in seat_of]
    cores = [int(seat) % topology.gateways.cores for seat in seat_of]
    channels = [crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist() for seat in seat_of]
    tenants = columns.who.tenant.tolist()
    return Setting(homes, cores, channels, [int(crowd.link[seat, 2]) for seat in seat_of], tenants)
