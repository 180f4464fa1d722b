"""The schedule of the faults: when each happens and whom it strikes, drawn ahead by address.

A fault with `every` happens again and again until the run ends; each time it happens with chance `p`. What lasts no time and what strikes nobody
is left out, so that it changes no bit of the run.

Leaves out: victims by what happens in the run (the gateway that has most connections).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simfabric.chance import below, draw, uniform, word
from simfabric.topology import Topology
from simfabric.topology.fault_kinds import KINDS
from simfabric.topology.faults import Fault
from simfabric.world import World

NEUTRAL = ("share", "lost", "late")  # Keys that make a fault none when they are 0.


@dataclass(frozen=True, slots=True)
class Episode:
    """One time that a fault happens: from `begin` until before `end` [ns]; what has no length ends as it begins."""

    number: int  # Of the fault in the topology.
    n: int  # How many times it has happened before, or could have: the address of its chance.
    fault: Fault
    begin: int
    end: int


def episodes(world: World, topology: Topology) -> list[Episode]:
    """Every time that a fault happens before the run's end, by time and number of the fault."""
    found = []
    for number, fault in enumerate(topology.faults):
        kind = KINDS[fault.kind]
        lasts = "length" in kind.takes
        if (lasts and fault.length == 0) or any(name in kind.takes and getattr(fault, name) == 0 for name in NEUTRAL):
            continue
        length = fault.length if lasts else fault.down if "down" in kind.takes and not kind.dies else 0
        for n, at in enumerate(_begins(world, number, fault)):
            if fault.p == 1 or float(uniform(world.key("faults/happens"), number, n)) < fault.p:
                found.append(Episode(number, n, fault, at, at + length))
    return sorted(found, key=lambda episode: (episode.begin, episode.number))


def _begins(world: World, number: int, fault: Fault) -> Iterator[int]:
    """When it may happen [ns]."""
    if fault.every is None:
        yield fault.at or 0
        return
    law, key, at, n = world.table(fault.every), world.key("faults/every"), 0, 0
    while True:
        at += max(1_000_000, draw(law, word(key, number, n)))  # The least of `every`: what is drawn shorter would never end.
        if at >= world.topology.run.duration:
            return
        yield at
        n += 1


def in_zone(world: World, episode: Episode, count: int) -> list[int]:
    """The nodes among `count` that stand in the zone that this episode strikes."""
    who, zones = episode.fault.target.zone, world.topology.gateways.zones
    zone = who if isinstance(who, int) else int(below(world.key("faults/zone"), episode.number, episode.n, zones))
    return list(range(zone, count, zones))


def gateways_struck(world: World, episode: Episode) -> list[int]:
    """The gateways that this episode strikes."""
    target, count = episode.fault.target, world.topology.gateways.count
    if target.zone is not None or episode.fault.kind == "lose_region":
        return in_zone(world, episode, count)
    return struck(world, episode, target.gateway, count, "target")


def struck(world: World, episode: Episode, who: int | str, count: int, what: str) -> list[int]:
    """The nodes among `count` that this episode strikes: `who` is a number or a word of the topology, `what` the name of the draw."""
    if who == "all":
        return list(range(count))
    key = world.key(f"faults/{what}")
    if who == "one":
        return [int(below(key, episode.number, episode.n, count))]
    if isinstance(who, int):
        return [who]
    few = (count - 1) // 2 if who == "minority" else count // 2 + 1
    nodes = np.arange(count, dtype=np.int64)
    order = np.argsort(uniform(key, nodes + (episode.number + 1) * 1_000_000, episode.n), kind="stable")
    return sorted(order[:few].tolist())
