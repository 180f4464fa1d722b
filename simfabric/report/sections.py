"""The sections of a report in words and tables: verdicts, bottleneck, traffic, delays, load, laws, and what was run."""

from __future__ import annotations

from collections.abc import Iterator

from simfabric.plot.marks import marks_of
from simfabric.plot.seen import Seen
from simfabric.report.markup import Markup, element, table
from simfabric.running.text import plain
from simfabric.units import format_count, format_duration, format_rate

TRAFFIC = (
    ("connections", "connections at the end"), ("subscriptions", "subscriptions"), ("published", "messages published"), ("delivered", "deliveries"),
    ("in_flight", "deliveries in flight"), ("offline", "messages that absent clients lack"), ("breaks", "connections that broke"), ("dials", "dials"),
    ("lag_max", "most messages not committed"), ("closed_slow", "slow consumers closed"),
)  # fmt: skip
QUANTILES = (("p50", "p50_s"), ("p95", "p95_s"), ("p99", "p99_s"), ("p99.9", "p999_s"))
VERDICTS = {True: ("met", "met"), False: ("MISSED", "missed"), None: ("unknown: too few samples", "unknown")}


def of(run: Seen) -> Iterator[Markup]:
    """Everything that stands before the pictures."""
    yield _head(run)
    yield element("section", element("h2", "Promises"), _promises(run))
    yield element("section", element("h2", "What limits it"), _bottleneck(run), _load(run))
    yield element("section", element("h2", "Traffic"), _traffic(run))
    yield element("section", element("h2", "Delays in figures"), _delays(run))
    yield element("section", element("h2", "Laws"), *_laws(run))
    marks = marks_of(run)
    if marks:
        rows = [(format_duration(round(mark.at_s * 1e9)), mark.text) for mark in marks]
        yield element("section", element("h2", "What went wrong, and when"), table(("simulated time", "what"), rows))


def sources(run: Seen) -> Iterator[Markup]:
    """What stands at the end: the summary as a terminal shows it, and the topology with every key."""
    for key, title in (("summary", "The summary as text"), ("topology", "The topology, with every key")):
        text = run.manifest.get(key)
        if isinstance(text, str):
            yield element("details", element("summary", title), element("pre", "\n".join(plain(line) for line in text.splitlines())))


def _head(run: Seen) -> Markup:
    """What was run, how, and whether to the end."""
    seed, wall, window = run.number("seed"), run.number("wall_s"), run.number("window_s")
    told = [f"{_duration(run.simulated_s)} simulated", f"in {_duration(wall)}", f"window {_duration(window)}", f"seed {seed or 0:.0f}"]
    told += [f"simfabric {plain(run.words('version'))}", f"digest {plain(run.words('digest'))}"]
    partial = [element("p", "PARTIAL: the run was interrupted.", class_="missed")] if run.find("partial") is True else []
    return element("header", element("h1", plain(run.name)), element("p", ", ".join(told), class_="muted"), *partial)


def _promises(run: Seen) -> Markup:
    rows = []
    for promise in run.rows("slo"):
        at = promise if isinstance(promise, dict) else {}
        name, met = plain(str(at.get("name", "?"))), at.get("met")
        word, kind = VERDICTS[met if isinstance(met, bool) else None]
        bound = "at most" if "p99" in name else "at least"
        value = "never" if at.get("value") is None and met is False else _promised(name, at.get("value"))
        rows.append((name, f"{bound} {_promised(name, at.get('target'))}", value, element("span", word, class_=kind)))
    return table(("promise", "target", "value", "verdict"), rows)


def _promised(name: str, value: object) -> str:
    """A value of a promise: a duration where the promise is a quantile, else a share."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    return _duration(float(value)) if "p99" in name else f"{value:.4%}"


def _bottleneck(run: Seen) -> Markup:
    weakest, used = plain(run.words("bottleneck", "component")), run.number("bottleneck", "utilisation")
    if not used:
        return element("p", "Nothing had anything to do.")
    headroom = run.number("bottleneck", "headroom") or 0.0
    told = "it is saturated" if headroom == 0 else f"it is saturated at {1 + headroom:.3g} times this load"
    return element("p", "Bottleneck: ", element("strong", weakest), f". Its busiest row works {used:.1%} of the time; {told}.")


def _load(run: Seen) -> Markup:
    parts = sorted(run.parts("components"), key=lambda name: -(run.number("busiest", name) or 0.0))
    rows = []
    for name in parts:
        counted = (run.number("components", name, key) for key in ("rows", "servers"))
        shares = (run.number(key, name) for key in ("utilisation", "busiest"))
        work = run.number("components", name, "work_s")
        rows.append((plain(str(name)), *(_count(n) for n in counted), *(_share(x) for x in shares), _duration(work)))
    return table(("component", "rows", "servers in each", "mean", "busiest row", "work"), rows, "Utilisation after the warm-up; work of the whole run.")


def _traffic(run: Seen) -> Markup:
    rows = [(label, _count(run.number(key))) for key, label in TRAFFIC]
    rows += [(f"{label} per second", "-" if (rate := run.number(key)) is None else format_rate(rate)) for key, label in
             (("published_per_s", "messages published"), ("delivered_per_s", "deliveries"))]  # fmt: skip
    for figure, label in (("dropped", "dropped"), ("tried_in_vain", "tried in vain")):
        rows += [(f"{label}: {plain(str(reason)).replace('_', ' ')}", _count(n)) for reason in run.parts(figure) if (n := run.number(figure, reason))]
    return table(("what", "count"), rows)


def _delays(run: Seen) -> Markup:
    rows = [("delivery", *(_duration(run.number("delay", key)) for _, key in QUANTILES))]
    for stage in run.parts("stages"):
        cells = [run.number("stages", stage, key) for _, key in QUANTILES]
        if any(cell is not None for cell in cells):
            rows.append((plain(str(stage)).replace("_", " "), *(_duration(cell) for cell in cells)))
    return table(("stage", *(name for name, _ in QUANTILES)), rows, "A dash: too few samples to bound the quantile.")


def _laws(run: Seen) -> Iterator[Markup]:
    checked, unknown, broken = (run.rows("laws", key) for key in ("checked", "unknown", "broken"))
    points = run.number("laws", "checkpoints") or 0
    valid = len(checked) - len(broken)
    yield element("p", element("span", f"{valid} valid", class_="met"), f" at {points:.0f} checkpoints; {len(unknown)} were not exercised.")
    for law in broken:
        at = law if isinstance(law, dict) else {}
        yield element("p", f"BROKEN: {plain(str(at.get('law')))}: {plain(str(at.get('detail')))} at {plain(str(at.get('at_s')))} s", class_="missed")
    names = [*((plain(str(law)), "checked") for law in checked), *((plain(str(law)), "not exercised") for law in unknown)]
    yield element("details", element("summary", "every law"), table(("law", "verdict"), names))


def _duration(s: float | None) -> str:
    return "-" if s is None else format_duration(float(f"{s * 1e9:.4g}"))


def _count(n: float | None) -> str:
    return "-" if n is None else format_count(n)


def _share(x: float | None) -> str:
    return "-" if x is None else f"{x:.1%}"
