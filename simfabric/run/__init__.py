"""Running a topology: `run` brings it to life, watches it, and hands back what it left behind."""

from simfabric.run.result import Result
from simfabric.run.running import run

__all__ = ["Result", "run"]
