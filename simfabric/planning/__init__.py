"""Planning: what a run will do, need and take, before it is made."""

from simfabric.planning.estimate import Plan, plan
from simfabric.planning.machine import free_memory
from simfabric.planning.words import problems, text, warnings

__all__ = ["Plan", "free_memory", "plan", "problems", "text", "warnings"]
