"""Measures for tests of many runs, importable by workers: some of which kill the process that they run in."""

import os
from pathlib import Path

from simfabric.running import Result


def digest(result: Result) -> str:
    """The digest of the run."""
    return result.digest


def replication(result: Result) -> int:
    """Which replication it was."""
    return result.topology.run.replication


def dies_once(result: Result) -> int:
    """The process dies the first time that replication 1 is measured: the topology's description names the file that remembers it."""
    mark = Path(result.topology.description)
    if result.topology.run.replication == 1 and not mark.exists():
        mark.touch()
        os._exit(9)
    return result.topology.run.replication


def always_dies(result: Result) -> int:
    """The process dies at every measure of replication 1."""
    if result.topology.run.replication == 1:
        os._exit(9)
    return result.topology.run.replication


def refuses(result: Result) -> int:
    """An error that cannot travel between processes by itself."""

    class LocalError(ValueError):
        """Known nowhere else."""

    raise LocalError(f"replication {result.topology.run.replication}")
