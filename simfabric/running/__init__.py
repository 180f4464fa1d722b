"""Running a topology: `run` brings it to life, watches it, and hands back what it left behind."""

from simfabric.running.one_run import Progress, run
from simfabric.running.result import Result

__all__ = ["Progress", "Result", "run"]
