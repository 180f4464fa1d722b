"""The result: what a run left behind, and what follows from it. A frozen value; it can be saved as a folder and judged again."""

from __future__ import annotations

import importlib
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfabric._version import __version__
from simfabric.analysis import sequence_chart
from simfabric.analysis.bottleneck import Bottleneck, bottleneck
from simfabric.analysis.placement import Placement, placement
from simfabric.analysis.quantiles import mean, quantile, share_below
from simfabric.analysis.slo import Objective
from simfabric.components.session_trace import Step
from simfabric.fabric import Fabric
from simfabric.history import History
from simfabric.kernels.clients import LEFT, SILENCES, UNHEARD
from simfabric.kernels.routing import UNROUTED
from simfabric.kernels.state import (
    CLOSED_SLOW,
    MESSAGE_COLUMNS,
    REPLAYED_COUNT,
    RESET_COUNT,
    RESET_OBLIGATIONS,
    SHED,
    SHED_FRAMES,
    STAGE_NAMES,
    STALE,
    THROTTLED_COUNT,
    TO_GHOSTS,
    TRANSIENT_DROPPED,
    TRANSIENT_LIVE,
    TURNED_AWAY_BUSY,
    WASTED,
)  # fmt: skip
from simfabric.laws import Verdict, judge, judge_expected, judge_history
from simfabric.laws.conservation import in_flight
from simfabric.recorder import PLACEMENT, TIMELINE, Checkpoint, Recorder
from simfabric.running import facts, open_metrics, presence, saving, text
from simfabric.running.limited import limited
from simfabric.topology import Topology
from simfabric.world import SECOND, Array

if TYPE_CHECKING:
    import pandas

PARTICIPANTS = ("client", "bootstrap API", "token API", "edge", "gateway", "replay", "snapshot API")  # Of a chart, from left to right.
QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99, "p999_s": 0.999}
API_COUNTS = ("requests", "refused", "failed", "late")
MESSAGE_NAMES = (
    "message", "published_at", "channel", "publisher", "bytes", "sequence", "previous", "received_at", "saved_at", "appended_at", "visible_at",
    "routed_at", "fate", "lane", "source", "owed", "hot",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """What a run left behind; times in columns are nanoseconds, in figures seconds."""

    topology: Topology
    digest: str
    simulated: int  # [ns]
    window: int  # [ns]
    lookahead: int  # [ns]
    setup_s: float
    wall_s: float
    partial: bool
    compiled: bool
    delays: Array  # int64[2, regions, bins]: delivery delays of messages published before and after the warm-up.
    stages: Array  # int64[stages, bins]: the stages in STAGE_NAMES.
    timeline: Array  # int64[samples, columns]: the columns in TIMELINE.
    placement: Array  # int64[samples, columns]: the columns in PLACEMENT, at the times of the timeline.
    held: Array  # int32[samples, gateways]: connections of every gateway, -1 while it is not up.
    busy: Array  # int64[samples, rows]: work done so far [ns], all components' rows side by side.
    busy_rows: tuple[tuple[str, int, int], ...]  # Component, its rows, servers in each row.
    checkpoints: tuple[Checkpoint, ...]
    events: tuple[tuple[int, str], ...]
    messages: Array  # int64[messages, columns]: a sample, the columns in MESSAGE_NAMES.
    messages_every: int  # One message in so many is in the sample.
    replay: dict[str, int]
    snapshots: dict[str, int]
    apis: dict[str, dict[str, int]]  # Of every API: requests, refused (503), failed (500), answered too late.
    turned_away_busy: int  # Dials that a gateway refused because its core was too busy.
    churn: dict[str, int]  # Users who left; links that fell silent, what was sent into the silence, and written into it.
    transient: dict[str, int]  # Transient messages: deliveries, drops by full buffers, and frames dropped because they waited too long.
    presence: dict[str, int]  # Who came and went, and what was told of it; empty where the fabric keeps no presence.
    seen: Array  # int64[bins]: delays of presence after the warm-up, from when it was due to arrival.
    backpressure: dict[str, float]  # Frames of durable messages shed, transient messages throttled, pauses of consumers and their time [s].
    hot: dict[str, int]  # Hot channels: how many have many members; messages coalesced, dropped by the cap, and deferred by it.
    closed_slow: int  # Connections of slow consumers that gateways closed (4508).
    limits: dict[str, dict[str, Any]]  # Of requests to publish and to subscribe: see `simfabric.running.limited`.
    stale: int  # Frames that reached a gateway's later life, or its grave.
    wasted: int  # Frames that found no subscriber.
    unrouted: int  # Frames that were not sent since a fault had lost their route.
    trail: Array | None  # int64[deliveries, 3]: message, client, arrival [ns]; only if asked for.
    trace: tuple[Step, ...]  # What the sessions did (`clients.sessions`), by time; the first 200 000 steps.
    history: History | None = None  # What happened, record by record; only if asked for.

    @cached_property
    def laws(self) -> tuple[Verdict, ...]:
        """The verdict of every law that is always on, and with a history of those that need one."""
        always = judge(self.checkpoints) + judge_expected(self.checkpoints, self.topology)
        return always + (judge_history(self.history, self.topology) if self.history is not None else ())

    @property
    def lawful(self) -> bool:
        """Whether no law is broken."""
        return all(verdict.verdict != "invalid" for verdict in self.laws)

    @property
    def end(self) -> Checkpoint:
        """The facts at the end."""
        return self.checkpoints[-1]

    @property
    def delivered(self) -> int:
        """Messages that arrived, live or by replay."""
        return self.end.live + self.end.replayed

    def delay(self, q: float, region: int | None = None) -> float | None:
        """Quantile q of the delivery delay after the warm-up [s]; None where the samples are too few."""
        histogram = self.delays[1].sum(axis=0) if region is None else self.delays[1, region]
        return seconds(quantile(histogram, q))

    def stage(self, name: str, q: float) -> float | None:
        """Quantile q of one stage of STAGE_NAMES [s]."""
        return seconds(quantile(self.stages[STAGE_NAMES.index(name)], q))

    def chart(self, *clients: int, first: float | None = None, last: float | None = None, mermaid: bool = False, width: int = 120, fold: bool = True) -> str:
        """What these sessions did (none named: all) within [first, last] seconds, as a message sequence chart: text, or Mermaid source."""
        bounds = {name: None if at is None else round(at * SECOND) for name, at in (("first", first), ("last", last))}
        steps = [sequence_chart.Step(*step) for step in self.trace]
        steps = sequence_chart.select(steps, *(f"client {client}" for client in clients), **bounds)
        if mermaid:
            return sequence_chart.mermaid(steps, order=PARTICIPANTS, fold=fold)
        return sequence_chart.text(steps, order=PARTICIPANTS, width=width, fold=fold)

    @cached_property
    def utilisation(self) -> dict[str, float]:
        """Share of its servers' time that each component worked, after the warm-up."""
        return {name: float(used.mean()) for name, used in self._used.items()}

    @cached_property
    def busiest(self) -> dict[str, float]:
        """The utilisation of the busiest row (gateway, shard, broker, router) of each component."""
        return {name: float(used.max()) for name, used in self._used.items()}

    @property
    def bottleneck(self) -> Bottleneck:
        """The component nearest to saturation."""
        return bottleneck(self.busiest)

    @cached_property
    def _used(self) -> dict[str, Array]:
        at = self.timeline[:, 0]
        first = int(np.searchsorted(at, self.topology.run.warmup)) if self.topology.run.warmup < self.simulated else len(at)
        since = self.busy[first] if first < len(at) - 1 and at[first] == self.topology.run.warmup else np.zeros(self.busy.shape[1], np.int64)
        span = self.simulated - (int(at[first]) if since.any() else 0)
        done = self.busy[-1] - since
        used, place = {}, 0
        for name, rows, servers in self.busy_rows:
            used[name] = done[place : place + rows] / (servers * max(1, span))
            place += rows
        return used

    def _components(self) -> dict[str, dict[str, float]]:
        """Of every component: its rows (gateways, shards, …), servers in each, and the work of the whole run [s]."""
        told, place = {}, 0
        for name, rows, servers in self.busy_rows:
            work = int(self.busy[-1, place : place + rows].sum())
            told[name] = {"rows": rows, "servers": servers, "work_s": work / SECOND}
            place += rows
        return told

    @cached_property
    def slo(self) -> tuple[Objective, ...]:
        """The promises of the topology and what became of them."""
        promised = self.topology.slo
        breaks, openings, refusals = (self.timeline[-1, TIMELINE.index(name)] for name in ("breaks", "openings", "refusals"))
        answered = openings + refusals
        recovery = self.stages[STAGE_NAMES.index("recovery")]
        replayed, lost = self.end.replayed, self.end.expired + self.end.reset
        return (
            Objective("delivery p99", promised.delivery_p99 / SECOND, self.delay(0.99), "s", True),
            Objective("connect success", promised.connect_success, float(openings / answered) if answered else None, "", False),
            Objective("recovery p99", promised.recovery_p99 / SECOND, self._recovered(recovery, int(breaks), 0.99), "s", True),
            Objective("replay success", promised.replay_success, replayed / (replayed + lost) if replayed + lost else None, "", False),
        )

    def _recovered(self, histogram: Array, breaks: int, q: float) -> float | None:
        """Quantile q of the time to recover [s]. Clients that broke and are not back count as never: infinite if they are too many."""
        missing = max(0, breaks - int(histogram.sum())) if self.topology.clients.start == 0 and not self.topology.clients.churn else 0
        if missing == 0 or not histogram.sum():
            return seconds(quantile(histogram, q)) if not missing else math.inf
        whole = histogram.sum() + missing
        return math.inf if histogram.sum() / whole < q else seconds(quantile(histogram, q * whole / histogram.sum()))

    @cached_property
    def imbalance(self) -> Placement:
        """How evenly connections lay on the gateways: before the first event, at worst since, and at the end."""
        return placement(self.placement[:, 0], self.held, self.events[0][0] if self.events else None)

    @property
    def rehydration(self) -> dict[str, int]:
        """Dials that gateways accepted, of them by another one than before, and what these had to set up: subscriptions, routes, tenants (see PLACEMENT)."""
        return dict(zip(PLACEMENT[1:], self.placement[-1, 1:].tolist()))

    @property
    def recovered_in_time(self) -> float | None:
        """Share of the recoveries that took no longer than promised."""
        return share_below(self.stages[STAGE_NAMES.index("recovery")], self.topology.slo.recovery_p99)

    def summary(self) -> str:
        """One screen of text for people; see `simfabric.running.text`."""
        return text.summary(self)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return text.as_html(self)

    @property
    def plot(self) -> Any:
        """The pictures of this result, `result.plot.timeline()` and so on: see `simfabric.plot.Pictures`.

        Found by name when asked for, as the public names of the package are: pictures stand above results and a result needs none of them.
        """
        return importlib.import_module("simfabric.plot").Pictures(self)

    def table(self, name: str) -> pandas.DataFrame:
        """A table as a pandas frame, times in seconds: timeline, placement, gateways, messages, delays, stages or events; with `laws` also history."""
        return saving.frame(self, name)

    def save(self, folder: str | Path) -> None:
        """Write the result as a folder: manifest.json and the tables."""
        saving.save(self, Path(folder))

    def open_metrics(self) -> str:
        """The figures as OpenMetrics text; see `simfabric.running.open_metrics`."""
        return open_metrics.open_metrics(self)

    def figures(self) -> dict[str, Any]:
        """The headline figures, as `--json` prints them; durations in seconds, None where the run does not tell."""
        end = self.end
        column = {name: self.timeline[:, i] for i, name in enumerate(TIMELINE)}
        weakest = self.bottleneck
        delay: dict[str, float | None] = {name: self.delay(q) for name, q in QUANTILES.items()}
        delay["mean_s"] = seconds(mean(self.delays[1].sum(axis=0)))
        return {
            "name": self.topology.name,
            "version": __version__,
            "seed": self.topology.run.seed,
            "digest": self.digest,
            "partial": self.partial,
            "simulated_s": self.simulated / SECOND,
            "wall_s": self.wall_s,
            "setup_s": self.setup_s,
            "window_s": self.window / SECOND,
            "lookahead_s": self.lookahead / SECOND,
            "compiled": self.compiled,
            "connections": end.connections,
            "subscriptions": end.subscriptions,
            "published": end.published,
            "published_per_s": end.published / max(self.simulated / SECOND, 1e-9),
            "owed": end.owed,
            "delivered": self.delivered,
            "delivered_per_s": self.delivered / max(self.simulated / SECOND, 1e-9),
            "deliveries_per_wall_s": self.delivered / max(self.wall_s - self.setup_s, 1e-9),
            "dropped": dict(end.dropped),
            "in_flight": in_flight(end),
            "offline": end.away_lacks,
            "tried_in_vain": {k: v for k, v in end.tried.items() if k not in ("live", "transient")}
            | {"stale_route": self.stale, "wasted": self.wasted, "lost_route": self.unrouted},
            "delay": delay,
            "stages": {name: {label: self.stage(name, q) for label, q in QUANTILES.items()} for name in STAGE_NAMES},
            "lag_max": int(column["lag"].max()),
            "breaks": int(column["breaks"][-1]),
            "dials": int(column["dials"][-1]),
            "offline_banners": int(column["offline"][-1]),
            "placement": {**asdict(self.imbalance), **self.rehydration},
            "replays": self.replay,
            "snapshots": self.snapshots,
            "apis": self.apis,
            "turned_away_busy": self.turned_away_busy,
            "churn": self.churn,
            "transient": self.transient,
            "presence": presence.in_seconds(self.presence) | {name: seconds(quantile(self.seen, q)) for name, q in QUANTILES.items() if self.presence},
            "closed_slow": self.closed_slow,
            "hot": self.hot,
            "backpressure": self.backpressure,
            "limits": self.limits,
            "utilisation": self.utilisation,
            "busiest": self.busiest,
            "components": self._components(),
            "fanout": self.topology.fanout.pattern,
            "clients": self.topology.clients.count,
            "frames": int(column["frames"][-1]),
            "bottleneck": {"component": weakest.component, "utilisation": weakest.utilisation, "headroom": finite(weakest.headroom)},
            "slo": [{"name": o.name, "target": o.target, "value": finite(o.value), "met": o.met} for o in self.slo],
            "laws": {
                "checked": [verdict.law for verdict in self.laws if verdict.verdict != "unknown"],
                "unknown": [verdict.law for verdict in self.laws if verdict.verdict == "unknown"],
                "broken": [{"law": v.law, "detail": v.detail, "at_s": v.at / SECOND, "witness": v.witness} for v in self.laws if v.verdict == "invalid"],
                "reasons": {verdict.law: verdict.detail for verdict in self.laws if verdict.verdict == "unknown" and verdict.detail},
                "checkpoints": len(self.checkpoints),
            },
        }


def result_of(
    fabric: Fabric, recorder: Recorder, setup_s: float, wall_s: float, partial: bool, trail: Array | None = None, history: History | None = None
) -> Result:  # fmt: skip
    """Collect what the fabric and the recorder hold."""
    topology = fabric.topology
    counted = facts.tallies(fabric)
    clients = counted["clients"].counters
    delays, gateways = counted["gateways"].delays, counted["gateways"].counters
    stages = np.add.reduce([tally.stages for tally in counted.values()])
    busy = recorder.checkpoints[-1].busy
    requests, channels, sent, _, _, _ = fabric.replay.counters.tolist()
    messages = np.concatenate(recorder.messages) if recorder.messages else np.empty((0, MESSAGE_COLUMNS + 1), np.int64)
    return Result(
        topology=topology,
        digest=facts.digest(fabric),
        simulated=fabric.world.now,
        window=fabric.conductor.window,
        lookahead=fabric.conductor.lookahead,
        setup_s=setup_s,
        wall_s=wall_s,
        partial=partial,
        compiled=fabric.world.by_numba,
        delays=delays.reshape(2, -1, delays.shape[1]).copy(),
        stages=stages,
        placement=np.array(recorder.placement, np.int64).reshape(-1, len(PLACEMENT)),
        held=np.array(recorder.held, np.int32).reshape(-1, topology.gateways.count),
        timeline=np.array(recorder.timeline, np.int64).reshape(-1, len(TIMELINE)),
        busy=np.array(recorder.busy, np.int64),
        busy_rows=tuple((b.name, len(b.rows), b.servers) for b in busy),
        checkpoints=tuple(recorder.checkpoints),
        events=tuple(recorder.events),
        messages=messages,
        messages_every=recorder.every,
        replay={"requests": requests, "channels": channels, "messages": sent, "delivered": int(counted["gateways"].counters[REPLAYED_COUNT])},
        snapshots=dict(zip(("requests", "applied", "messages"), (int(fabric.snapshots.counters[0]), *gateways[[RESET_COUNT, RESET_OBLIGATIONS]].tolist()))),
        apis={api.name: dict(zip(API_COUNTS, api.counters[[0, 3, 4, 5]].tolist())) for api in facts.apis(fabric)},
        turned_away_busy=int(gateways[TURNED_AWAY_BUSY]),
        churn=dict(zip(("left", "silent", "unheard", "half_open"), (*clients[[LEFT, SILENCES, UNHEARD]].tolist(), int(gateways[TO_GHOSTS])))),
        transient={
            "delivered": int(gateways[TRANSIENT_LIVE]),
            "buffer_full": int(gateways[TRANSIENT_DROPPED]),
            "waited_too_long": sum(int(counted[name].counters[SHED]) for name in ("gateways", "routers") if name in counted),
        },
        presence=presence.figures_of(fabric.presence, counted["gateways"]),
        seen=counted["gateways"].seen.copy(),
        hot=hot_of(fabric),
        backpressure={
            "shed": int(gateways[SHED_FRAMES]),
            "throttled": int(gateways[THROTTLED_COUNT]),
            "pauses": fabric.pressure.paused,
            "paused_s": fabric.pressure.paused_for / SECOND,
        },
        closed_slow=int(gateways[CLOSED_SLOW]),
        limits=limited(fabric.gateways.limits, topology.gateways.count),
        stale=int(counted["gateways"].counters[STALE]),
        wasted=int(counted["gateways"].counters[WASTED]),
        unrouted=int(counted["routers"].counters[UNROUTED]) if "routers" in counted else 0,
        trail=trail,
        trace=fabric.clients.sessions.trace.steps() if fabric.clients.sessions else (),
        history=history,
    )


def hot_of(fabric: Fabric) -> dict[str, int]:
    """What the fabric's routers did with hot channels."""
    windows = fabric.routers.hot if fabric.routers else None
    done = {name: getattr(windows, name) if windows else 0 for name in ("coalesced", "capped", "deferred")}
    return {"channels": int((fabric.columns.crowd.members >= fabric.columns.hot_from).sum()), **done}


def seconds(ns: float | None) -> float | None:
    """Nanoseconds as seconds; nothing stays nothing."""
    return None if ns is None else ns / SECOND


def finite(x: float | None) -> float | None:
    """JSON knows no infinity: it becomes nothing."""
    return None if x is None or not math.isfinite(x) else x
