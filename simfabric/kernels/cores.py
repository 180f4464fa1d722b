"""Cores: event loops that serve frames first come, first served, and stop now and then with all others of their node.

A core is one number, when it is free (Lindley's recursion). A stop of the world (a collection, a steal) resumes what it interrupted; stops
that meet queue.
"""

from __future__ import annotations

from simfabric.chance import draw, word
from simfabric.compiling import inlined
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    CORES,
    FRAMES,
    KEY_PAUSE_EVERY,
    KEY_PAUSE_LENGTH,
    PACE,
    PAUSE_AT,
    PAUSE_NUMBER,
    PAUSE_UNTIL,
    SHARED,
    STAGE_OUT,
    WORK,
    Crowd,
    Nodes,
    Tally,
)


def core_of(gateway: int, seat: int, nodes: Nodes, crowd: Crowd) -> int:
    """The core that serves a connection: its own, or with one shared queue the one that is free first."""
    first = gateway * nodes.settings[CORES]
    if nodes.settings[SHARED] == 0:
        return int(first + ((crowd.link[seat, PACE] >> 8) & 255))
    return free_first(nodes.free_at, first, nodes.settings[CORES])


def next_pause(core: int, now: int, nodes: Nodes) -> int:
    """The pause of this core that begins next has begun by `now`: its length is added, and the one after it is drawn. Pauses queue."""
    gateway = core // nodes.settings[CORES]
    n = nodes.pauses[core, PAUSE_NUMBER]
    length = draw(nodes.pause_length, word(nodes.keys[KEY_PAUSE_LENGTH], gateway, n))
    nodes.pauses[core, PAUSE_UNTIL] = max(nodes.pauses[core, PAUSE_UNTIL], nodes.pauses[core, PAUSE_AT]) + length
    nodes.pauses[core, PAUSE_NUMBER] = n + 1
    nodes.pauses[core, PAUSE_AT] += draw(nodes.pause_every, word(nodes.keys[KEY_PAUSE_EVERY], gateway, n + 1))
    return length


@inlined
def begin(core: int, at: int, nodes: Nodes) -> int:
    """When this core begins a frame that arrived at `at`: not before it is free, and not inside a pause."""
    begins = max(at, nodes.free_at[core])
    while nodes.pauses[core, PAUSE_AT] <= begins:
        next_pause(core, begins, nodes)
        begins = max(begins, nodes.pauses[core, PAUSE_UNTIL])
    return int(begins)


def worked(core: int, now: int, nodes: Nodes) -> int:
    """When work that would end at `now` ends, with the pauses that fell into it."""
    while nodes.pauses[core, PAUSE_AT] < now:
        now += next_pause(core, now, nodes)
    return now


@inlined
def take_up(core: int, turn: int, at: int, read: int, late: int, nodes: Nodes, tally: Tally) -> None:
    """A core begins with a frame: from when it is free, it reads it."""
    begins = begin(core, at, nodes)
    nodes.turn[core, 0] = turn
    nodes.turn[core, 1] = begins
    nodes.free_at[core] = worked(core, begins + read, nodes)
    if late == 1:
        tally.stages[STAGE_OUT, bin_of(begins - at)] += 1


def finish(gateway: int, core: int, begins: int, now: int, nodes: Nodes, tally: Tally) -> None:
    """The core is busy until `now`."""
    nodes.free_at[core] = now
    nodes.busy[gateway] += now - begins
    nodes.state[gateway, FRAMES] += 1
    tally.counters[WORK] += now - begins


@inlined
def end_turn(gateway: int, first_core: int, turn: int, nodes: Nodes, tally: Tally) -> None:
    """A frame has been written to all of a gateway's connections: count the work of the cores that took it up."""
    given = 0
    for core in range(first_core, first_core + nodes.settings[CORES]):
        if nodes.turn[core, 0] == turn:
            given += nodes.free_at[core] - nodes.turn[core, 1]
    nodes.busy[gateway] += given
    nodes.state[gateway, FRAMES] = turn
    tally.counters[WORK] += given
