"""A result as OpenMetrics text (version 1.0.0): what a scrape of the fabric would have shown at its end, for tools that read that format.

Counters of messages and connections, the delay of deliveries and of every stage as histograms in seconds, utilisation as gauges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simfabric.kernels.histogram import bin_edges
from simfabric.kernels.state import STAGE_NAMES
from simfabric.world import Array

if TYPE_CHECKING:
    from simfabric.running.result import Result

BOUNDS_S = tuple(base * 10.0**power for power in range(-5, 3) for base in (1.0, 2.5, 5.0))


def open_metrics(result: Result) -> str:
    """The text, which ends with # EOF."""
    return "\n".join([*_families(result), "# EOF"]) + "\n"


def _families(result: Result) -> Iterator[str]:
    figures, end = result.figures(), result.end
    yield from _info(result)
    yield from _family("connections", "gauge", "Open connections at the end.", [("", figures["connections"])])
    yield from _family("messages_published", "counter", "Messages published.", [("", end.published)])
    deliveries = [('{way="live"}', end.live), ('{way="replay"}', end.replayed)]
    yield from _family("deliveries", "counter", "Messages that arrived.", deliveries)
    yield from _family("dropped", "counter", "Obligations that ended without delivery.", [(f'{{reason="{_label(why)}"}}', n) for why, n in end.dropped.items()])
    yield from _family("breaks", "counter", "Connections that broke.", [("", figures["breaks"])])
    yield from _family("dials", "counter", "Dials of clients.", [("", figures["dials"])])
    for name, help_, values in (
        ("utilisation", "Mean share of its servers' time.", result.utilisation),
        ("busiest", "The busiest row's share.", result.busiest),
    ):
        yield from _family(f"{name}_ratio", "gauge", help_, [(f'{{component="{_label(part)}"}}', share) for part, share in values.items()], "ratio")
    regions = [region.name for region in result.topology.clients.regions] or ["main"]
    delays = [(f'region="{_label(name)}"', result.delays[1, i]) for i, name in enumerate(regions)]
    yield from _histograms("delivery_delay_seconds", "Publication to arrival, live, after the warm-up.", delays)
    stages = [(f'stage="{name}"', result.stages[i]) for i, name in enumerate(STAGE_NAMES) if result.stages[i].any()]
    yield from _histograms("stage_seconds", "Time in each stage.", stages)


def _info(result: Result) -> Iterator[str]:
    yield "# TYPE simfabric_run info"
    yield "# HELP simfabric_run What was run."
    yield f'simfabric_run_info{{name="{_label(result.topology.name)}",digest="{result.digest}",seed="{result.topology.run.seed}"}} 1'


def _family(name: str, kind: str, help_: str, samples: Sequence[tuple[str, float]], unit: str = "") -> Iterator[str]:
    yield f"# TYPE simfabric_{name} {kind}"
    if unit:
        yield f"# UNIT simfabric_{name} {unit}"
    yield f"# HELP simfabric_{name} {help_}"
    for labels, value in samples:
        yield f"simfabric_{name}{'_total' if kind == 'counter' else ''}{labels} {_number(value)}"


def _histograms(name: str, help_: str, histograms: list[tuple[str, Array]]) -> Iterator[str]:
    yield f"# TYPE simfabric_{name} histogram"
    yield f"# UNIT simfabric_{name} seconds"
    yield f"# HELP simfabric_{name} {help_}"
    edges = bin_edges() / 1e9
    for labels, histogram in histograms:
        below = np.concatenate([[0], np.cumsum(histogram)])
        for bound in BOUNDS_S:
            yield f'simfabric_{name}_bucket{{{labels},le="{bound:g}"}} {int(below[np.searchsorted(edges, bound, side="right") - 1])}'
        yield f'simfabric_{name}_bucket{{{labels},le="+Inf"}} {int(below[-1])}'
        yield f"simfabric_{name}_count{{{labels}}} {int(below[-1])}"
        yield f"simfabric_{name}_sum{{{labels}}} {_number(float((histogram * (edges[:-1] + edges[1:]) / 2).sum()))}"


def _label(text: str) -> str:
    """A label's value: backslash, quote and line feed escaped, as the format says."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, int | np.integer):
        return str(int(value))
    return repr(float(value)) if math.isfinite(value) else ("NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf")
