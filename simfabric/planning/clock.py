"""The clock: about how long a run will take, from what it has to do and what each thing was measured to cost.

The costs are CPU time of one core of a server, fitted to the stages of this package and to variants of them (window, rate, size), which they
meet within a third. Another machine may be twice as fast or slow, and a busy one slower still: they tell whether to wait for seconds,
minutes or hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do."""

    clients: float
    subscriptions: float
    channels: float
    messages: float
    frames: float  # Frames to gateways.
    deliveries: float
    scattered: float  # Of them, those to a few clients here and there; the others go through a gateway's clients in the order of their columns.
    rounds: float  # Windows in which there is something to do.
    touched: float  # Bytes that deliveries reach into: links, rows and slots.


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each costs [ns]."""

    start: float  # numba, and kernels read from its cache; tables of laws.
    client: float  # Identity, delay, seat.
    subscription: float  # Draw the channel, sort by channel, lay out slot and row.
    further: float  # More for a subscription, each time that there are ten times as many: sorting then reaches far.
    channel: float  # Popularity and its guide.
    message: float  # Made, published, stored, batched, appended, fetched.
    frame: float  # Routed to one gateway, ordered there, read.
    delivery: float  # Written to a client whose columns are in the cache.
    miss: float  # More for a delivery that finds nothing there.
    round: float  # A call of every component.


COMPILED = Costs(start=0.6e9, client=100, subscription=50, further=65, channel=400, message=8_000, frame=120, delivery=20, miss=80, round=32_000)
PLAIN = Costs(start=0.05e9, client=2_000, subscription=2_500, further=0, channel=500, message=50_000, frame=22_000, delivery=4_000, miss=0, round=40_000)
CACHE = 16e6  # Bytes of what deliveries reach into that stay near the core.
NEAR = 2e6  # Subscriptions that are sorted at the least cost.


def rounds_of(duration: int, window: int, messages: float) -> float:
    """Windows that have something to do: a message keeps about four of them busy, and what falls into one window shares it."""
    windows = math.ceil(duration / window)
    return windows * -math.expm1(-4.0 * messages / windows)


def setup_time(work: Work, costs: Costs) -> float:
    """Until the clock starts [ns]."""
    subscription = costs.subscription + costs.further * max(0.0, math.log10(max(work.subscriptions, 1.0) / NEAR))
    return costs.start + work.clients * costs.client + work.subscriptions * subscription + work.channels * costs.channel


def run_time(work: Work, costs: Costs) -> float:
    """From then on [ns]."""
    missing = max(0.0, 1.0 - CACHE / max(work.touched, 1.0))
    each = work.messages * costs.message + work.frames * costs.frame + work.deliveries * costs.delivery + work.rounds * costs.round
    return each + missing * work.scattered * costs.miss
