"""Calibrating: what measurements of a real fabric say about a topology's laws, with where each came from."""

from simfabric.planning.calibrating.overlay import calibrate

__all__ = ["calibrate"]
