"""Clauses: what a promise such as "delivery.p99 < 2s, connect.success > 99%" asks of a run, and what a run shows of it.

    text ─▶ clauses ─▶ worker: run, observe ─▶ samples (merged histograms and counts) ─▶ metric, headroom

A sample is small and adds up: a histogram, or two counts. Quantiles are those of the merged histograms, so that no mean of quantiles is taken.

Leaves out: messages that are on their way at the end and not late yet. Those that are late already, and have not reached their gateway, count as
late as the run is long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simfabric.analysis.quantiles import fewest, mean, quantile
from simfabric.errors import Refusal, did_you_mean
from simfabric.kernels.histogram import BINS, bin_of
from simfabric.kernels.state import LOGGED, STAGE_NAMES, UNDERWAY
from simfabric.recorder import TIMELINE
from simfabric.running import Result
from simfabric.units import format_duration, parse_count, parse_duration, parse_share
from simfabric.world import SECOND, Array

STATISTICS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "mean": None}
OF_TIME = ("delivery", *STAGE_NAMES)
SUCCESSES = ("connect.success", "replay.success")
COMPONENTS = ("balancer", "gateways", "storage", "bus", "routers", "replay")
CLAUSE = re.compile(r"\s*([a-z_]{1,40}\.[a-z0-9_]{1,40})\s*(<=|>=|<|>)\s*(.{1,40}?)\s*")
MOST_CLAUSES = 20
EXAMPLE = 'write clauses such as "delivery.p99 < 2s, connect.success > 99%, utilisation.storage < 70%"'


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise: a metric and its bound [s, share or messages]. Shares of success are promised from below; their failures are what is compared."""

    metric: str
    bound: float
    at_most: bool

    @property
    def subject(self) -> str:
        """What is measured, such as delivery."""
        return self.metric.partition(".")[0]

    @property
    def of(self) -> str:
        """What of it, such as p99."""
        return self.metric.partition(".")[2]

    @property
    def timed(self) -> bool:
        """Whether it is a duration, from a histogram."""
        return self.subject in OF_TIME and self.of in STATISTICS

    def shown(self, value: float | None) -> str:
        """A value of the metric, for people."""
        if value is None or math.isnan(value):
            return "-"
        if self.timed:
            return format_duration(float(f"{value * SECOND:.3g}"))
        return f"{value:.6g} messages" if self.subject == "lag" else f"{100 * value:.4g} %"

    def __str__(self) -> str:
        return f"{self.metric} {'<' if self.at_most else '>'} {self.shown(self.bound)}"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run shows: of each clause its histogram (bins and counts) or (part, whole); how busy each component's busiest row was."""

    shown: tuple[tuple[Array, Array] | tuple[float, float], ...]
    busiest: dict[str, float]
    digest: str


def parse_slo(text: str) -> tuple[Clause, ...]:
    """The clauses of a promise, separated by commas or "and"; raises Refusal."""
    parts = re.split(r",|\band\b", text[:2000]) if text.strip() else []
    if not 1 <= len(parts) <= MOST_CLAUSES:
        raise Refusal(f"a promise has from 1 to {MOST_CLAUSES} clauses", EXAMPLE, value=text[:80])
    return tuple(_clause(part) for part in parts)


def _clause(text: str) -> Clause:
    match = CLAUSE.fullmatch(text)
    if match is None:
        raise Refusal("a clause is a metric, < or >, and a bound", EXAMPLE, value=text.strip()[:80])
    metric, sign, bound = match.groups()
    subject, _, of = metric.partition(".")
    if subject in OF_TIME and of in STATISTICS:
        clause = Clause(metric, parse_duration(bound) / SECOND, True)
    elif metric in SUCCESSES:
        clause = Clause(metric, parse_share(bound), False)
    elif subject == "utilisation" and of in COMPONENTS:
        clause = Clause(metric, parse_share(bound), True)
    elif metric == "lag.max":
        clause = Clause(metric, float(parse_count(bound)), True)
    else:
        raise Refusal("there is no such metric", _known(metric), value=metric)
    if clause.at_most != sign.startswith("<"):
        raise Refusal(f"{metric} is promised from {'above' if clause.at_most else 'below'}", f"write {'<' if clause.at_most else '>'}", value=text.strip())
    if not 0.0 < (clause.bound if clause.at_most else 1.0 - clause.bound) < math.inf:
        raise Refusal("the bound must leave something: more than 0, and less than 100 % of success", "give another bound", value=bound)
    return clause


def _known(metric: str) -> str:
    """The metrics that there are, and the one that was meant."""
    names = [f"{name}.{of}" for name in OF_TIME for of in STATISTICS] + [*SUCCESSES, "lag.max"] + [f"utilisation.{name}" for name in COMPONENTS]
    times = f"{', '.join(OF_TIME)} with .{', .'.join(STATISTICS)}"
    return f"{did_you_mean(metric, names)} the metrics are: {times}; {', '.join(SUCCESSES)}; lag.max; utilisation.COMPONENT".strip()


def observe(result: Result, clauses: tuple[Clause, ...]) -> Sample:
    """What a run shows of each clause; called in the worker."""
    return Sample(tuple(_shown(result, clause) for clause in clauses), result.busiest, result.digest)


def _shown(result: Result, clause: Clause) -> tuple[Array, Array] | tuple[float, float]:
    if clause.timed:
        histogram = result.delays[1].sum(axis=0) if clause.subject == "delivery" else result.stages[STAGE_NAMES.index(clause.subject)]
        histogram = histogram.copy()
        if clause.subject == "delivery":
            histogram[bin_of(result.simulated)] += late(result, round(clause.bound * SECOND))
        used = np.flatnonzero(histogram)
        return used, histogram[used]
    if clause.subject == "utilisation":
        return result.busiest.get(clause.of, 0.0), 1.0
    if clause.subject == "lag":
        return float(result.timeline[:, TIMELINE.index("lag")].max(initial=0)), 1.0
    if clause.metric == "connect.success":
        openings, refusals = (float(result.timeline[-1, TIMELINE.index(name)]) for name in ("openings", "refusals"))
        return refusals, openings + refusals
    lost = float(result.end.expired + result.end.reset)
    return lost, lost + result.end.replayed


def late(result: Result, bound: int) -> int:
    """Deliveries of messages published after the warm-up that no router (or log) had sent on when the run ended, more than `bound` later [ns]."""
    if not len(result.messages):
        return 0
    from simfabric.running.result import MESSAGE_NAMES

    column = {name: result.messages[:, i] for i, name in enumerate(MESSAGE_NAMES)}
    published, last = column["published_at"], result.simulated
    onward = np.where(column["routed_at"] > 0, column["routed_at"], column["visible_at"])
    stuck = (
        (published >= result.topology.run.warmup)
        & (published < last - bound)
        & ((onward == 0) | (onward >= last))
        & np.isin(column["fate"], (UNDERWAY, LOGGED))
    )
    return int(column["owed"][stuck].sum()) * result.messages_every


def metric(samples: Sequence[Sample], clauses: tuple[Clause, ...], place: int) -> float | None:
    """The metric of one clause that samples show together [s, share or messages]; None where they are too few to tell."""
    clause = clauses[place]
    if clause.timed:
        whole = np.zeros(BINS, np.int64)
        for sample in samples:
            bins, counts = sample.shown[place]
            whole[np.asarray(bins)] += counts
        q = STATISTICS[clause.of]
        found = mean(whole) if q is None else quantile(whole, q)
        return None if found is None else found / SECOND
    part, total = (math.fsum(float(sample.shown[place][i]) for sample in samples) for i in (0, 1))
    if not total:
        return None
    return part / total if clause.at_most else 1.0 - part / total


def headroom(samples: Sequence[Sample], clauses: tuple[Clause, ...]) -> float:
    """Bound / metric - 1 of the worst clause; positive where all are kept. Raises Refusal where the samples do not tell."""
    rooms = []
    for place, clause in enumerate(clauses):
        value = metric(samples, clauses, place)
        if value is None:
            q = STATISTICS.get(clause.of) or 0.0
            need = f"at least {fewest(q)} samples" if clause.timed else "something to count"
            raise Refusal(f"{clause.metric} needs {need} in the runs, after the warm-up", "lengthen run.duration, or ask for another metric", value=str(clause))
        bound, value = (clause.bound, value) if clause.at_most else (1.0 - clause.bound, 1.0 - value)
        rooms.append(bound / value - 1.0 if value > 0.0 else math.inf)
    return min(rooms)
