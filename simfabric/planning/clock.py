"""The clock: about how long a run will take, from what it has to do and what each thing was measured to cost.

The costs are those of one core of a server of 2023, measured with the topologies of this package; another machine is faster or slower by a
factor of two, and a busy one slower still. Above all they tell whether to wait for seconds, minutes or hours.
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
    frames: float  # Frames to gateways: a frame costs its way through router, inbox and gateway.
    deliveries: float
    rounds: float  # Windows in which there is something to do.
    touched: float  # Bytes that deliveries reach into: links, rows and slots.


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each costs [ns]."""

    start: float  # Imports, tables of laws, kernels read from their cache.
    client: float  # Identity, delay, seat.
    subscription: float  # Draw the channel, sort by channel, lay out slot and row.
    channel: float  # Popularity and its guide.
    message: float  # Made, published, stored, batched, appended, fetched.
    frame: float  # Routed to one gateway, ordered there, read.
    delivery: float  # Written, with all it touches in cache.
    miss: float  # More for a delivery, and for a frame, that finds nothing in cache.
    round: float  # A call of every component.


COMPILED = Costs(start=1.0e9, client=150, subscription=105, channel=400, message=6_000, frame=120, delivery=35, miss=130, round=110_000)
PLAIN = Costs(start=0.1e9, client=2_000, subscription=2_500, channel=500, message=100_000, frame=20_000, delivery=4_500, miss=0, round=60_000)
CACHE = 16e6  # Bytes of what deliveries reach into that stay near the core.


def rounds_of(duration: int, window: int, messages: float) -> float:
    """Windows that have something to do: a message keeps about four of them busy, and what falls into one window shares it."""
    windows = math.ceil(duration / window)
    return windows * -math.expm1(-4.0 * messages / windows)


def setup_time(work: Work, costs: Costs) -> float:
    """Until the clock starts [ns]."""
    return costs.start + work.clients * costs.client + work.subscriptions * costs.subscription + work.channels * costs.channel


def run_time(work: Work, costs: Costs) -> float:
    """From then on [ns]."""
    missing = max(0.0, 1.0 - CACHE / max(work.touched, 1.0))
    each = work.messages * costs.message + work.frames * costs.frame + work.deliveries * costs.delivery + work.rounds * costs.round
    return each + missing * costs.miss * (work.deliveries + work.frames)
