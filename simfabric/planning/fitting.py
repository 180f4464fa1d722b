"""What fits this machine: one run, or several at once; refused with the arithmetic before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterable

from simfabric.errors import SimfabricError
from simfabric.planning.estimate import Plan, plan
from simfabric.planning.machine import free_memory
from simfabric.planning.many import processes_here
from simfabric.planning.words import problems
from simfabric.topology import Topology


class TooLargeError(SimfabricError):
    """A run that cannot fit the machine; the text is the arithmetic."""


def refuse_what_does_not_fit(planned: Plan, allow_large: bool) -> None:
    """Raise TooLargeError, with the arithmetic, if the run will not fit this machine's memory."""
    found = problems(planned, free_memory())
    if found and not allow_large:
        raise TooLargeError("\n".join(found))


def processes_that_fit(topologies: Iterable[Topology], processes: int | None = None) -> int:
    """How many processes may run these at once: as many as asked for (or as there are cores) whose runs fit the memory that is free.

    Raises TooLargeError if one of them alone does not fit.
    """
    largest = 0.0
    for topology in topologies:
        planned = plan(topology)
        refuse_what_does_not_fit(planned, allow_large=False)
        largest = max(largest, float(planned.memory))
    wanted = processes_here() if processes is None else max(1, processes)
    return max(1, min(wanted, int(free_memory() // largest))) if largest > 0 else wanted
