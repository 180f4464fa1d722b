"""Results in words: the summary for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simfabric.analysis.quantiles import quantile
from simfabric.kernels.state import STAGE_NAMES
from simfabric.running import limited
from simfabric.units import format_count, format_duration, format_rate

if TYPE_CHECKING:
    from simfabric.running.result import Result

MEANINGS = {
    "gateway_in": "a publication read, waiting included",
    "storage": "persisted",
    "bus": "batched, appended, replicated",
    "fanout": "fetched and routed",
    "gateway_wait": "wait at the gateway of a subscriber",
    "hot": "publication to arrival in hot channels",
    "transient": "publication to arrival of transient messages",
    "ack": "publisher has its acknowledgement",
    "catch_up": "age of a message at its replay",
    "connect": "connected again after a break",
    "recovery": "complete again after a break",
}


def as_json(result: Result) -> str:
    """The figures as one JSON object."""
    return json.dumps(result.figures(), indent=2, allow_nan=False)


def plain(text: str) -> str:
    """A name as a terminal may show it: without control characters, so without escape sequences."""
    return "".join(character if character.isprintable() else "·" for character in text)


def summary(result: Result) -> str:
    """One screen: what was run, what went through, how long it took, what is nearest to saturation, which promises and laws held."""
    parts = (_head, _traffic, _delays, _load, _promises, _published, _laws)
    blocks = ["\n".join(part(result)) for part in parts]
    return "\n\n".join(block for block in blocks if block)


def _head(result: Result) -> Iterator[str]:
    figures = result.figures()
    name = plain(result.topology.name or result.topology.source or "topology")
    partial = "  PARTIAL: interrupted" if result.partial else ""
    yield f"{name}: {format_duration(result.simulated)} simulated in {result.wall_s:.1f} s, {result.setup_s:.1f} s of them set-up{partial}"
    speed = figures["simulated_s"] / max(result.wall_s - result.setup_s, 1e-9)
    exact = "exact" if result.window <= result.lookahead else f"each frame wrong by less than {format_duration(result.window)}"
    yield (
        f"{speed:.3g}x real time, {format_count(round(figures['deliveries_per_wall_s']))} deliveries per wall second; window {format_duration(result.window)} "
        f"({exact}; lookahead {format_duration(result.lookahead)}); seed {figures['seed']}"
    )


def _traffic(result: Result) -> Iterator[str]:
    figures, end = result.figures(), result.end
    yield f"connections   {format_count(end.connections)} open, {format_count(end.subscriptions)} subscriptions"
    yield f"messages in   {format_count(end.published)}  ({format_rate(figures['published_per_s'])})"
    yield f"messages out  {format_count(result.delivered)}  ({format_rate(figures['delivered_per_s'])}), of them by replay {format_count(end.replayed)}"
    dropped = ", ".join(f"{reason.replace('_', ' ')} {format_count(n)}" for reason, n in end.dropped.items() if n) or "none"
    yield f"open          in flight {format_count(figures['in_flight'])}, offline {format_count(end.away_lacks)}"
    yield f"dropped       {dropped}"
    if any(end.aside.values()):
        yield "passed over   " + ", ".join(f"{reason.replace('_', ' ')} {format_count(n)}" for reason, n in end.aside.items() if n)
    vain = ", ".join(f"{reason.replace('_', ' ')} {format_count(n)}" for reason, n in figures["tried_in_vain"].items() if n) or "none"
    yield f"tried in vain {vain}"
    if figures["breaks"] or figures["dials"]:
        replays = result.replay["requests"]
        banners = figures["offline_banners"]
        gave_up = f", {format_count(banners)} times a client showed that it is offline" if banners else ""
        counts = f"{format_count(figures['breaks'])} breaks, {format_count(figures['dials'])} dials, {format_count(replays)} replay requests"
        yield f"reconnects    {counts}{gave_up}"
    yield from _placement(result)
    if any(result.transient.values()):
        delivered, full, late = (format_count(n) for n in result.transient.values())
        yield f"transient     {delivered} deliveries; dropped: {full} at full buffers, {late} frames that waited too long"
    yield from _presence(result)
    if any(result.backpressure.values()):
        shed, throttled, pauses, paused = result.backpressure.values()
        told = f"{format_count(int(shed))} frames shed, {format_count(int(throttled))} transient messages throttled"
        yield f"backpressure  {told}, consumers paused {format_count(int(pauses))} times for {paused:.3g} s in all"
    if result.hot["channels"]:
        channels, coalesced, capped, deferred = (format_count(n) for n in result.hot.values())
        yield f"hot           {channels} channels have many members; {coalesced} messages coalesced, {capped} capped, {deferred} deferred"
    if result.closed_slow:
        yield f"slow          {format_count(result.closed_slow)} connections of slow consumers were closed"
    yield from _services(result)
    yield f"lag           at most {format_count(figures['lag_max'])} messages not committed"


def _placement(result: Result) -> Iterator[str]:
    """How evenly connections lie, and what dials made gateways set up; of several gateways."""
    if result.topology.gateways.count == 1:
        return
    placed = result.imbalance
    told = [(name, at) for name, at in (("before", placed.before), ("at worst", placed.worst), ("at the end", placed.end)) if at is not None]
    yield "placement     fullest gateway over the mean: " + ", ".join(f"{at.highest:.2f} {name} (CV {at.variation:.1%})" for name, at in told)
    counted = {name: format_count(n) for name, n in result.rehydration.items()}
    if result.rehydration["accepted"]:
        tenants = f" and {counted['tenants']} tenants" if result.topology.clients.tenants > 1 else ""
        yield (
            f"rehydration   {counted['accepted']} dials accepted, {counted['moved']} by another gateway than before; {counted['subscribed']} subscriptions "
            f"set up, {counted['routes']} channels{tenants} new to their gateway"
        )


def _presence(result: Result) -> Iterator[str]:
    """Who came and went, and to whom it was told."""
    if result.presence:
        counted = {name: format_count(n) for name, n in result.presence.items()}
        untold = f", {counted['untold']} not told by a busy store" if result.presence["untold"] else ""
        yield (
            f"presence      {counted['online']} online; {counted['joined']} came, {counted['parted']} went: {counted['published']} updates told (at most "
            f"{counted['most_in_a_second']} in a second), {counted['suppressed']} debounced, {counted['pending']} pending{untold}"
        )
        full, late = result.presence["buffer_full"], result.presence["waited_too_long"]
        lost = f"; dropped: {format_count(full)} at full buffers, {format_count(late)} frames that waited too long" if full or late else ""
        yield f"              {counted['frames']} frames to gateways, {counted['delivered']} deliveries to those who look{lost}"


def _services(result: Result) -> Iterator[str]:
    """What became of dials, calls and connections, where there is something to tell."""
    yield from limited.lines(result.limits)
    if result.turned_away_busy:
        yield f"busy          {format_count(result.turned_away_busy)} dials were refused by gateways that were too busy"
    for name, counted in result.apis.items():
        if counted["refused"] or counted["failed"] or counted["late"]:
            refused, failed, late = (format_count(counted[what]) for what in ("refused", "failed", "late"))
            asked = f"{format_count(counted['requests'])} requests"
            yield f"{name:14}{asked}, {refused} refused, {failed} failed, {late} answered too late"
    if any(result.churn.values()):
        left, silent, unheard, _ = (format_count(n) for n in result.churn.values())
        yield f"churn         {left} times a user left, {silent} links fell silent, {unheard} messages were sent into the silence"
    if result.snapshots["requests"]:
        asked, applied, passed = (format_count(result.snapshots[name]) for name in ("requests", "applied", "messages"))
        yield f"snapshots     {asked} requests, {applied} applied in place of {passed} messages"


def _delays(result: Result) -> Iterator[str]:
    yield f"{'delay':14}{'p50':>11}{'p95':>11}{'p99':>11}{'p99.9':>11}"
    rows = [("delivery", result.delays[1].sum(axis=0), "publication to arrival, live, after the warm-up")]
    rows += [(f"  {plain(region.name)[:11]}", result.delays[1, i], "the same, by region") for i, region in enumerate(result.topology.clients.regions)]
    if result.hot["channels"]:
        elsewhere = result.delays[1].sum(axis=0) - result.stages[STAGE_NAMES.index("hot")]
        rows.append(("elsewhere", elsewhere, "the same, in channels that are not hot"))
    rows += [(name.replace("_", " "), result.stages[STAGE_NAMES.index(name)], meaning) for name, meaning in MEANINGS.items()]
    rows.append(("presence", result.seen, "an update, from when it was due to arrival"))
    for name, histogram, meaning in rows:
        if histogram.sum():
            cells = [quantile(histogram, q) for q in (0.5, 0.95, 0.99, 0.999)]
            yield f"{name:14}" + "".join(f"{_duration(cell):>11}" for cell in cells) + f"  {meaning}"


def _duration(ns: float | None) -> str:
    """Three digits of a duration; a dash where the samples are too few."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:.0f} {unit}"
    return f"{ns:.0f} ns"


def _load(result: Result) -> Iterator[str]:
    yield f"{'utilisation':14}{'mean':>11}{'busiest':>11}"
    for name, mean in sorted(result.utilisation.items(), key=lambda item: -result.busiest[item[0]]):
        yield f"{name:14}{mean:>11.1%}{result.busiest[name]:>11.1%}"
    weakest = result.bottleneck
    if weakest.utilisation == 0:
        yield "bottleneck    none: nothing had anything to do"
        return
    told = "saturated" if weakest.headroom == 0 else f"saturated at {1 + weakest.headroom:.3g} times this load"
    yield f"bottleneck    {weakest.component}: its busiest row works {weakest.utilisation:.1%} of the time; {told}"


def _promises(result: Result) -> Iterator[str]:
    for objective in result.slo:
        value = "too few samples" if objective.value is None else _value(objective.value, objective.unit)
        verdict = {True: "met", False: "MISSED", None: "unknown"}[objective.met]
        yield f"SLO {objective.name:16} {'<=' if objective.at_most else '>='} {_value(objective.target, objective.unit):10} {value:>16}  {verdict}"


def _value(value: float, unit: str) -> str:
    if value == float("inf"):
        return "never"
    return _duration(value * 1e9) if unit == "s" else f"{value:.4%}"


def _published(result: Result) -> Iterator[str]:
    published = result.topology.published
    if published is None:
        return
    yield f"predicted beside published ({plain(published.source)})"
    yield f"{'':14}{'predicted':>11}{'published':>11}{'ratio':>11}"
    for point in published.quantiles:
        predicted = result.delay(point.quantile)
        ratio = f"{predicted * 1e9 / point.delay:.2f}" if predicted is not None else "-"
        yield f"p{100 * point.quantile:<13.6g}{_duration(None if predicted is None else predicted * 1e9):>11}{_duration(point.delay):>11}{ratio:>11}"
    if published.cpu is not None:
        ours = result.utilisation["gateways"]
        yield f"{'gateway CPU':14}{ours:>11.1%}{published.cpu:>11.1%}{ours / published.cpu:>11.2f}"
    if published.note:
        yield plain(published.note)


def _laws(result: Result) -> Iterator[str]:
    valid = sum(verdict.verdict == "valid" for verdict in result.laws)
    unknown = [verdict.law for verdict in result.laws if verdict.verdict == "unknown"]
    told = f"; not exercised: {', '.join(law.split()[0] for law in unknown)}" if unknown else ""
    yield f"laws          {valid} valid at {len(result.checkpoints)} checkpoints{told}"
    for verdict in result.laws:
        if verdict.verdict == "invalid":
            yield f"BROKEN        {verdict.law}: {verdict.detail} at {verdict.at / 1e9:g} s"
            yield from (f"    {line}" for line in verdict.witness.splitlines())
    yield from _history(result)
    yield f"digest        {result.digest}"


def _history(result: Result) -> Iterator[str]:
    """How much was watched, and why the laws that need it are unknown."""
    history = result.history
    if history is None:
        return
    watched = "of all clients" if history.everybody else f"of one client in {history.every}: statements about everybody are not made"
    yield f"history       {format_count(len(history))} records {watched}"
    for verdict in result.laws:
        if verdict.verdict == "unknown" and verdict.detail:
            yield f"unknown       {verdict.law}: {verdict.detail}"


def as_html(result: Result) -> str:
    """The summary for a notebook, escaped."""
    import html

    return f"<pre>{html.escape(summary(result))}</pre>"


def manifest(result: Result) -> dict[str, Any]:
    """What a result folder says of itself, beside its tables."""
    return {
        "format": 1,
        "figures": result.figures(),
        "summary": summary(result),
        "topology": result.topology.to_yaml(),
        "topology_sha256": result.topology.digest,
    }
