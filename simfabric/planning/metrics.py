"""Metrics: what a result can be asked for by name, as one number: `delivery.p99`, `lag.max`, `busiest.storage`.

A literal registry: name, meaning, unit, and which direction is better. What compares designs, looks for a capacity or asks what matters reads it.
A metric is None where the run does not tell (too few samples, a component that is not there).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np

from simfabric.analysis.quantiles import mean, quantile
from simfabric.errors import SimfabricError, did_you_mean, shown
from simfabric.kernels.state import STAGE_NAMES
from simfabric.recorder import TIMELINE
from simfabric.running import Result
from simfabric.running.result import seconds
from simfabric.units import format_count, format_rate

Better = Literal["lower", "higher"]
Unit = Literal["s", "share", "1/s", "messages", "deliveries", "dials", "times", "ratio", "connections"]
GRAIN = 1.0 / 128.0  # Of a bin of the recorder's histograms.
QUANTILES: Mapping[str, float] = MappingProxyType({"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999})


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a result."""

    name: str
    says: str
    unit: Unit
    better: Better
    of: Callable[[Result], float | None]
    grain: float = 0.0  # Relative width of what it can tell apart: quantiles are bins of a histogram.


class UnknownMetricError(SimfabricError):
    """There is no metric of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        families = ", ".join(dict.fromkeys(each.split(".")[0] for each in METRICS))
        closest = did_you_mean(self.name, METRICS) or "write one such as delivery.p99"
        return f"'{shown(self.name)}': there is no metric of this name\n    cure: {closest} (families: {families})"


def metric(name: str) -> Metric:
    """The metric of a name; raises UnknownMetricError."""
    try:
        return METRICS[name.strip()]
    except KeyError:
        raise UnknownMetricError(name.strip()) from None


def measure(result: Result, names: Sequence[str]) -> tuple[float | None, ...]:
    """Several metrics of a result, in the order of their names; None where the run does not tell. With functools.partial, what workers run."""
    return tuple(METRICS[name].of(result) for name in names)


def written(value: float | None, unit: str) -> str:
    """A value for people, three digits: '12.3 ms', '4.50 %', '1.2k/s'; a dash where there is none, 'never' for an endless time."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if unit == "s" else "unbounded"
    if unit == "s":
        size = next((size for size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)) if abs(value) >= size[1]), ("ns", 1e-9))
        return f"{value / size[1]:.3g} {size[0]}" if value else "0 s"
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "ratio":
        return f"{value:.3g}"
    number = float(f"{value:.3g}")
    written = (format_rate if unit == "1/s" else format_count)(abs(number))
    return f"-{written}" if number < 0 else written


def written_change(value: float, unit: str) -> str:
    """A difference for people: of shares in percentage points."""
    return f"{100 * value:.3g} points" if unit == "share" else written(value, unit)


def _delay(q: float, result: Result) -> float | None:
    return result.delay(q)


def _mean_delay(result: Result) -> float | None:
    return seconds(mean(result.delays[1].sum(axis=0)))


def _stage(name: str, q: float, result: Result) -> float | None:
    return result.stage(name, q)


def _objective(name: str, result: Result) -> float | None:
    """What became of a promise; a time that too many never saw is infinite."""
    return next(objective.value for objective in result.slo if objective.name == name)


def _last(column: str, result: Result) -> float:
    return float(result.timeline[-1, TIMELINE.index(column)])


def _most(column: str, result: Result) -> float:
    return float(result.timeline[:, TIMELINE.index(column)].max())


def _dropped(reason: str | None, result: Result) -> float:
    return float(sum(result.end.dropped.values()) if reason is None else result.end.dropped[reason])


def _lost(result: Result) -> float:
    """Nobody gets these by replay or by a snapshot, and no limit refused them."""
    return float(sum(result.end.dropped[reason] for reason in ("gateway_died_before_save", "gateway_died_after_save", "unclean", "expired")))


def _tried(outcome: str, result: Result) -> float:
    return float(result.end.tried[outcome])


def _utilisation(component: str, result: Result) -> float | None:
    return result.utilisation.get(component)


def _busiest(component: str, result: Result) -> float | None:
    return result.busiest.get(component)


def _bottleneck(result: Result) -> float:
    return result.bottleneck.utilisation


def _delivered(result: Result) -> float:
    return float(result.delivered)


def _published_rate(result: Result) -> float:
    return result.end.published / max(result.simulated / 1e9, 1e-9)


def _delivered_rate(result: Result) -> float:
    return result.delivered / max(result.simulated / 1e9, 1e-9)


def _frames_rate(result: Result) -> float:
    return _last("frames", result) / max(result.simulated / 1e9, 1e-9)


def _imbalance(when: Literal["worst", "end"], result: Result) -> float | None:
    at = getattr(result.imbalance, when)
    return None if at is None else float(at.highest)


def _moved(result: Result) -> float | None:
    accepted = result.rehydration["accepted"]
    return result.rehydration["moved"] / accepted if accepted else None


def _offline(result: Result) -> float:
    return float(result.end.away_lacks)


def _elsewhere(q: float, result: Result) -> float | None:
    """Of deliveries in channels that are not hot; None where no channel is."""
    hot = result.stages[STAGE_NAMES.index("hot")]
    return seconds(quantile(np.maximum(result.delays[1].sum(axis=0) - hot, 0), q)) if hot.any() else None


def _cores(result: Result) -> float:
    """The mean number of busy servers of all that moves messages from the log to clients."""
    rows = {name: count * servers for name, count, servers in result.busy_rows}
    return sum(result.utilisation[name] * rows[name] for name in ("gateways", "routers", "bus") if name in rows)


def _new_to_gateway(what: str, result: Result) -> float:
    return float(result.rehydration[what])


def _pressure(what: str, result: Result) -> float:
    return float(result.backpressure[what])


def _transient_dropped(result: Result) -> float:
    return float(result.transient["buffer_full"] + result.transient["waited_too_long"])


def _wasted(result: Result) -> float:
    return float(result.wasted)


def _stale(result: Result) -> float:
    return float(result.stale)


def _replayed(result: Result) -> float:
    return float(result.end.replayed)


def _closed_slow(result: Result) -> float:
    return float(result.closed_slow)


def _connections(result: Result) -> float:
    return float(result.end.connections)


STAGES: Mapping[str, str] = MappingProxyType({
    "gateway_in": "of a publication at its gateway, waiting included",
    "gateway_wait": "of a delivery before its gateway",
    "catch_up": "since publication of a message that came by replay",
    "connect": "until clients that broke are connected again",
    "ack": "until a publisher has its acknowledgement",
    "storage": "until a publication is persisted",
    "bus": "from the store to the log: batched, appended, replicated",
    "fanout": "from the log to the gateways",
    "transient": "of transient messages, publication to arrival",
    "hot": "in hot channels, publication to arrival",
})  # fmt: skip
COMPONENTS = ("balancer", "bootstrap_api", "token_api", "snapshot_api", "gateways", "storage", "bus", "routers", "presence", "replay")
DROPS: Mapping[str, str] = MappingProxyType({
    "limited": "refused by a rate limit",
    "gateway_died_before_save": "lost with a gateway before they were saved",
    "gateway_died_after_save": "lost between the store and the log",
    "unclean": "lost with a broker that had not replicated them",
    "expired": "no longer in the log when a client came back",
    "snapshot": "replaced by a snapshot",
})  # fmt: skip

REGISTERED = (
    *(Metric(f"delivery.{label}", f"quantile {q:g} of the delay from publication to arrival, live, after the warm-up", "s", "lower", partial(_delay, q), GRAIN)
      for label, q in QUANTILES.items()),
    Metric("delivery.mean", "mean delay from publication to arrival, live, after the warm-up", "s", "lower", _mean_delay),
    *(Metric(f"{stage}.{label}", f"quantile {q:g} of the time {says}", "s", "lower", partial(_stage, stage, q), GRAIN)
      for stage, says in STAGES.items() for label, q in QUANTILES.items()),
    *(Metric(f"elsewhere.{label}", f"quantile {q:g} of the delay in channels that are not hot", "s", "lower", partial(_elsewhere, q), GRAIN)
      for label, q in QUANTILES.items()),
    Metric("recovery.p99", "quantile 0.99 of the time until clients that broke are complete again; endless if too many are not", "s", "lower",
           partial(_objective, "recovery p99"), GRAIN),
    *(Metric(f"recovery.{label}", f"quantile {q:g} of the same, of those who are complete", "s", "lower", partial(_stage, "recovery", q), GRAIN)
      for label, q in QUANTILES.items() if label != "p99"),
    Metric("connect.success", "share of the answered dials that were accepted", "share", "higher", partial(_objective, "connect success")),
    Metric("replay.success", "share of the messages that clients lacked which came by replay", "share", "higher", partial(_objective, "replay success")),
    Metric("deliveries", "messages that arrived, live or by replay", "deliveries", "higher", _delivered),
    Metric("deliveries.rate", "the same per second", "1/s", "higher", _delivered_rate),
    Metric("published.rate", "messages published per second", "1/s", "higher", _published_rate),
    Metric("frames.rate", "frames that gateways were sent per second", "1/s", "lower", _frames_rate),
    Metric("connections", "open connections at the end", "connections", "higher", _connections),
    Metric("dropped", "deliveries owed that ended without arrival, whatever the reason", "deliveries", "lower", partial(_dropped, None)),
    *(Metric(f"dropped.{reason}", f"deliveries owed that were {says}", "deliveries", "lower", partial(_dropped, reason)) for reason, says in DROPS.items()),
    Metric("lost", "deliveries owed that nothing can bring back", "deliveries", "lower", _lost),
    Metric("offline", "deliveries owed to clients that are away at the end", "deliveries", "lower", _offline),
    Metric("replayed", "deliveries by replay", "deliveries", "lower", _replayed),
    Metric("duplicates", "deliveries of what the client had already", "deliveries", "lower", partial(_tried, "duplicate")),
    Metric("gaps", "deliveries that showed a client that it lacks something", "deliveries", "lower", partial(_tried, "gap")),
    Metric("overflown", "deliveries that found a full buffer", "deliveries", "lower", partial(_tried, "overflown")),
    Metric("lag.max", "most messages that consumers had not committed", "messages", "lower", partial(_most, "lag")),
    Metric("breaks", "connections that broke", "times", "lower", partial(_last, "breaks")),
    Metric("dials", "dials of clients", "dials", "lower", partial(_last, "dials")),
    Metric("refusals", "dials that were refused", "dials", "lower", partial(_last, "refusals")),
    Metric("banners", "times a client showed that it is offline", "times", "lower", partial(_last, "offline")),
    Metric("closed_slow", "connections of slow consumers that gateways closed", "times", "lower", _closed_slow),
    Metric("imbalance.worst", "connections of the fullest gateway over the mean, at worst after the first event", "ratio", "lower",
           partial(_imbalance, "worst")),
    Metric("imbalance.end", "the same at the end", "ratio", "lower", partial(_imbalance, "end")),
    Metric("moved", "share of the dials that another gateway than before accepted", "share", "lower", _moved),
    Metric("routes", "channels that gateways had to learn anew for clients who came", "times", "lower", partial(_new_to_gateway, "routes")),
    Metric("tenants", "tenants that gateways had to load for clients who came", "times", "lower", partial(_new_to_gateway, "tenants")),
    Metric("shed", "frames of durable messages that gateways shed", "times", "lower", partial(_pressure, "shed")),
    Metric("throttled", "transient messages refused while the fabric protected itself", "messages", "lower", partial(_pressure, "throttled")),
    Metric("transient.dropped", "transient deliveries and frames dropped by full buffers or after too long a wait", "times", "lower", _transient_dropped),
    Metric("wasted", "frames that found no subscriber at their gateway", "times", "lower", _wasted),
    Metric("stale", "frames for a gateway that was gone, or in a later life", "times", "lower", _stale),
    Metric("cores", "cores of gateways, routers and brokers that worked in the mean", "ratio", "lower", _cores),
    *(Metric(f"utilisation.{name}", f"share of the time that {name} worked, after the warm-up", "share", "lower", partial(_utilisation, name))
      for name in COMPONENTS),
    *(Metric(f"busiest.{name}", f"the same of the busiest row of {name}", "share", "lower", partial(_busiest, name)) for name in COMPONENTS),
    Metric("busiest", "the same of the bottleneck, whichever it is", "share", "lower", _bottleneck),
)  # fmt: skip
METRICS: Mapping[str, Metric] = MappingProxyType({each.name: each for each in REGISTERED})
USUAL = ("delivery.p50", "delivery.p99", "busiest", "frames.rate", "dropped")  # What a comparison tells unless asked.
