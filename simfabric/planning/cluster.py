"""A cluster as an executor: Dask's scheduler and workers, which many runs use like any other (`pip install 'simfabric[cluster]'`).

    with cluster("tls://scheduler:8786") as executor:
        sf.compare(topology, {"fanout.pattern": ["broadcast", "targeted"]}, executor=executor)

Whoever reaches a scheduler over tcp:// may run code on its workers: use it on one machine or in a network of your own, and tls:// elsewhere, with
certificates where Dask's configuration says (`distributed.comm.tls`). Workers need this version of simfabric: runs of another one may differ. Dask
runs again what a lost worker had; one thread a worker (`dask worker --nthreads 1`) keeps its memory to one run at a time.

Leaves out: starting and ending a cluster; that is Dask's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from simfabric._version import __version__
from simfabric.errors import SimfabricError, shown

SCHEMES = ("tcp://", "tls://")
PATIENCE = 10  # Until the scheduler must have answered [s].


class ClusterError(SimfabricError):
    """A cluster that cannot be used."""


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator[Executor]:
    """The executor of the cluster of a Dask scheduler, such as tcp://127.0.0.1:8786. Raises ClusterError: no Dask, no answer, no or other workers."""
    with _client(scheduler) as client:
        found = set(client.run(worker_version).values())
        if found != {__version__}:
            versions = ", ".join(sorted(map(str, found))) or "no workers"
            raise ClusterError(f"{shown(scheduler)}: the workers must have simfabric {__version__}, found {versions}\n    cure: start workers that have it")
        yield client.get_executor(pure=False)


@contextlib.contextmanager
def scheduler_or_here(scheduler: str | None) -> Iterator[Executor | None]:
    """The executor of a cluster if one is named; else None, for processes of this machine."""
    if scheduler is None:
        yield None
        return
    with cluster(scheduler) as executor:
        yield executor


def worker_version() -> str:
    """The version of simfabric, asked in a worker."""
    return __version__


def _client(scheduler: str) -> Any:
    """A client of the scheduler, to be closed."""
    if not scheduler.startswith(SCHEMES):
        raise ClusterError(f"{shown(scheduler)}: must be the address of a Dask scheduler\n    cure: write one such as tcp://127.0.0.1:8786")
    try:
        from distributed import Client
    except ImportError:
        raise ClusterError("a cluster needs Dask, which is not installed\n    cure: pip install 'simfabric[cluster]'") from None
    try:
        connect: Any = Client
        return connect(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # Dask's words for no answer, a wrong address, no certificate.
        raise ClusterError(f"{shown(scheduler)}: no scheduler answers there: {shown(str(error), 200)}\n    cure: start one with dask scheduler") from None
