"""Comparing designs: every combination of what varies, each under the same luck, replication by replication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from simfabric.analysis.intervals import LEVEL
from simfabric.planning.comparison import Comparison
from simfabric.planning.designs import DesignError, factorial
from simfabric.planning.grid import known_metrics, replication_numbers, run_grid
from simfabric.planning.metrics import USUAL
from simfabric.planning.replicating import check_asked
from simfabric.planning.telling import runs_bar
from simfabric.topology import Topology


def compare(
    topology: Topology,
    vary: Mapping[str, Sequence[object]],
    replications: int = 10,
    *,
    metrics: Sequence[str] = USUAL,
    level: float = LEVEL,
    processes: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Run a topology in every combination of the values in `vary`, as {"fanout.pattern": ["broadcast", "targeted"]}, and compare them.

    Each replication has the same luck in every design, so differences vary less than the designs do; the first values make the design that the
    others are told against. Ctrl-C ends it early with the replications that all designs have. Raises TopologyError for all designs that cannot be,
    UnknownMetricError, TooLargeError, DesignError.
    """
    names = known_metrics(metrics)
    check_asked(names, replications, level)
    designs = factorial(topology, vary)
    if len(designs) < 2:
        raise DesignError("a comparison needs at least two designs\n    cure: give a key two values, such as fanout.pattern=broadcast,targeted")
    numbers = replication_numbers(topology, 0, replications)
    with runs_bar("comparing", progress) as tell:
        grid = run_grid(designs, numbers, names, executor=executor, processes=processes, tell=tell)
    return Comparison(topology, dict(vary), designs, grid, level, replications)
