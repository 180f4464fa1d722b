"""The estimate beside the simulation: operational laws and queueing formulas in milliseconds, and where a run says something else, why.

The utilisation law needs no law of chance. Waits take arrivals for Poisson, work for independent, and the busiest row for the mean one; where
the topology is known to break that (bursts, a course of the day, batches of fan-out, faults, runs too short for a queue to settle), the reason
stands beside the figure. A difference without a known reason is told as such.

Leaves out: waits of the bus and of the routers behind it (their stages hold the fetches too).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.analysis.quantiles import mean
from simfabric.analysis.theory import mean_wait, settling
from simfabric.chance import Law
from simfabric.errors import shown
from simfabric.kernels.state import STAGE_NAMES
from simfabric.planning.estimate import Plan, plan
from simfabric.planning.flows import mean_of
from simfabric.running import Result
from simfabric.topology import Topology
from simfabric.units import format_duration
from simfabric.world import SECOND

GRID = 4000
TOLERANCE = 0.1  # Differences below that share are not worth a word,
NOISE = 3.0  # nor those below so many standard errors.
SMALL = 0.002  # Utilisation that is not worth comparing.


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what the formula says, what the run says (None: there was none), and why they differ, if they do."""

    name: str
    formula: str
    estimated: float
    simulated: float | None
    unit: str  # "share" or "s".
    reasons: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Simulated over estimated."""
        return self.simulated / self.estimated if self.simulated is not None and 0.0 < self.estimated < math.inf else None


@dataclass(frozen=True, eq=False)
class Estimate:
    """What the formulas say of a topology, beside a run if there was one."""

    topology: Topology
    plan: Plan
    lines: tuple[Line, ...]

    def text(self) -> str:
        """The estimate for people."""
        weakest = self.plan.bottleneck
        rows = [f"{shown(self.topology.name) or 'topology'}: estimated by operational laws and queueing formulas", ""]
        rows.append(f"  {'figure':<26}{'estimated':>12}{'simulated':>12}{'ratio':>8}  formula")
        for line in self.lines:
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            rows.append(f"  {line.name:<26}{_shown(line, line.estimated):>12}{_shown(line, line.simulated):>12}{ratio:>8}  {line.formula}")
            rows += [f"      {'differs' if i == 0 else '       '}: {reason}" for i, reason in enumerate(line.reasons)]
        growth = f"{100 * weakest.headroom:.3g} % more load saturates it" if weakest.headroom > 0 else "it is saturated"
        return "\n".join([*rows, "", f"  bottleneck: {weakest.name}, its busiest {weakest.row} {100 * weakest.busiest:.3g} % busy; {growth}"])

    def figures(self) -> dict[str, Any]:
        """The estimate as JSON knows it; what is not finite is None."""
        kept = [(line, line.estimated if math.isfinite(line.estimated) else None) for line in self.lines]
        rows = [{"name": e.name, "unit": e.unit, "estimated": x, "simulated": e.simulated, "ratio": e.ratio, "reasons": list(e.reasons)} for e, x in kept]
        return {"name": self.topology.name, "figures": rows, "bottleneck": self.plan.bottleneck.name}

    def __repr__(self) -> str:
        return self.text()


def estimate(topology: Topology, result: Result | None = None) -> Estimate:
    """What the formulas say of a topology: utilisation of every component, mean waits where a formula is known; beside a result of it, if given."""
    expected = plan(topology)
    return Estimate(topology, expected, (*_utilisations(expected, result), *_waits(expected, result)))


def _utilisations(expected: Plan, result: Result | None) -> Iterator[Line]:
    for load in expected.loads:
        if load.servers and load.busiest > 0.0:
            simulated = None if result is None else result.utilisation.get(load.name)
            line = Line(f"{load.name} utilisation", "utilisation law", min(load.utilisation, 1.0), simulated, "share")
            events = 0.0 if result is None else load.frames * (result.simulated - expected.topology.run.warmup) / SECOND
            noise = (1.0 + (variation(expected.topology.storage.work) if load.name == "storage" else 1.0)) ** 0.5 / max(events, 1.0) ** 0.5
            why = _changes(expected.topology) if load.utilisation < 1.0 else ["the load is more than the servers can do: a queue grows as long as it lasts"]
            yield _judged(line, noise, why) if load.utilisation > SMALL else line


def _waits(expected: Plan, result: Result | None) -> Iterator[Line]:
    topology = expected.topology
    seconds = (topology.run.duration - topology.run.warmup) / SECOND
    if topology.storage.enabled:
        load, work, spread = expected.load("storage"), mean_of(topology.storage.work) / SECOND, variation(topology.storage.work)
        if load.frames > 0.0 and work > 0.0:
            rate = load.busiest / work
            wait = mean_wait(1, rate, work, spread)
            reasons, noise = _queue(topology, rate, work, spread, seconds, load.frames * seconds)
            yield _judged(Line("storage, wait and work", "M/G/1", wait + work, _mean(result, "storage"), "s"), noise, reasons)
    load, frames = expected.load("gateways"), sum(flow.rate for flow in expected.flows)
    if load.busiest > 0.0 and frames > 0.0:
        work, spread = load.busiest / frames, _batches(expected)
        wait = mean_wait(1, frames, work, spread)
        reasons, noise = _queue(topology, frames, work, spread, seconds, frames * seconds)
        batch = "a frame is one batch of deliveries: those at its end also wait for those before them, and one core's frames come together (batch fan-out)"
        spaced = ["storage spaces the messages: one shard sends on one after the other, so that fewer meet at a gateway"] if topology.storage.enabled else []
        several = [f"gateways.dispatch: {topology.gateways.dispatch}; the formula is that of one core by itself"] if topology.gateways.cores > 1 else []
        yield _judged(Line("gateway, wait of a frame", "M/G/1, batches", wait, _mean(result, "gateway_wait"), "s"), noise, [*reasons, *spaced, *several, batch])


def _judged(line: Line, noise: float, reasons: list[str]) -> Line:
    """The line with the reasons why it may differ, if it does by more than noise explains."""
    if line.simulated is None or line.estimated == math.inf:
        return line if line.simulated is None else _because(line, reasons)
    differs = abs(line.simulated - line.estimated) > max(TOLERANCE, NOISE * noise) * max(line.estimated, line.simulated)
    return _because(line, reasons or ["no reason is known: lengthen the run; if it stays, one of the two is wrong"]) if differs else line


def _because(line: Line, reasons: list[str]) -> Line:
    return Line(line.name, line.formula, line.estimated, line.simulated, line.unit, tuple(reasons))


def _changes(topology: Topology) -> list[str]:
    """What makes the mean over the run a poor guide."""
    found = [
        f"bursts of {shown(source.name, 40)}: the formulas take its mean rate, and queues grow with the peaks" for source in topology.traffic if source.bursts
    ]
    found += [f"the course of a day of {shown(source.name, 40)}: the run's mean hides its peak" for source in topology.traffic if source.daily]
    found += ["faults: reconnects and catching up are not in the formulas"] if topology.faults else []
    found += ["clients that come and go or start during the run: the run differs from its mean"] if topology.clients.churn or topology.clients.start else []
    return found


def _queue(topology: Topology, rate: float, work: float, spread: float, seconds: float, events: float) -> tuple[list[str], float]:
    """Why a queue's mean wait may differ, and its standard error as a share of it, by heavy traffic."""
    reasons, settled = _changes(topology), settling(1, rate, work, spread)
    if rate * work >= 1.0:
        reasons.append("the load is more than the servers can do: the wait grows as long as the run lasts, and no formula has it")
    elif seconds < 50.0 * settled:
        reasons.append(
            f"the queue takes about {format_duration(float(f'{settled * SECOND:.2g}'))} to settle, and {seconds:.4g} s are measured: too short for a mean"
        )
    if any(source.arrivals == "regular" for source in topology.traffic):
        reasons.append("arrivals: regular; the formula's are Poisson")
    return reasons, math.sqrt(2.0 * min(settled, seconds) / seconds + 1.0 / max(events, 1.0))


def _batches(expected: Plan) -> float:
    """Squared coefficient of variation of a frame's deliveries, over channels of different sizes."""
    rate = sum(flow.rate for flow in expected.flows)
    first = second = 0.0
    for flow in expected.flows:
        members = flow.aim.surely + (expected.connections - flow.aim.surely) * flow.aim.share
        first += flow.rate / rate * float(flow.aim.weight @ members)
        second += flow.rate / rate * float(flow.aim.weight @ members**2)
    return max(0.0, second / first**2 - 1.0) if first > 0.0 else 0.0


def variation(law: Law) -> float:
    """Squared coefficient of variation of a law's draws, by its quantiles; what lies beyond one in 10^9 is left out."""
    edge = np.linspace(-20.0, 20.0, GRID + 1)
    share = 1.0 / (1.0 + np.exp(-edge))
    weight, middle = np.diff(share) / (share[-1] - share[0]), (share[1:] + share[:-1]) / 2.0
    at = np.array([law.quantile(float(p)) for p in middle])
    first, second = float(weight @ at), float(weight @ at**2)
    return max(0.0, second / first**2 - 1.0) if first > 0.0 else 0.0


def _mean(result: Result | None, stage: str) -> float | None:
    found = None if result is None else mean(result.stages[STAGE_NAMES.index(stage)])
    return None if found is None else found / SECOND


def _shown(line: Line, value: float | None) -> str:
    if value is None:
        return "-"
    if value == math.inf:
        return "unbounded"
    return f"{100 * value:.3g} %" if line.unit == "share" else format_duration(float(f"{value * SECOND:.3g}"))
