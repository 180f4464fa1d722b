"""What a measurement says: for one key of a topology its value, the figures it was made of, and the field they stood in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simfabric.errors import Refusal, shown
from simfabric.topology import files
from simfabric.units import write_duration
from simfabric.world import SECOND

LARGEST_FILE = 64 * 2**20  # [bytes]
LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One key and its value as a topology says it; `field`: where in the file it stood."""

    key: str
    value: str
    field: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: its name and the SHA-256 of its content."""

    name: str
    digest: str
    text: str


def source(path: Path) -> Source:
    """A file of measurements; raises Refusal if it cannot be read, is too large, or is no text in UTF-8."""
    try:
        content = files.content(path, LARGEST_FILE)
    except Refusal as refusal:
        raise Refusal(refusal.law, refusal.cure, value=shown(str(path), 200)) from None
    if len(content) > LARGEST_FILE:
        raise Refusal(f"a file of measurements must be at most {LARGEST_FILE // 2**20} MiB", "export less", value=shown(str(path), 200))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal("a file of measurements must be text in UTF-8", "export it as text", value=shown(str(path), 200)) from None
    return Source(path.name, hashlib.sha256(content).hexdigest(), text)


def duration_s(value: object, field: str, per_second: float = 1.0) -> float:
    """A duration [s] from a number of 1/per_second seconds; raises Refusal unless it is a number from 0 to an hour."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    if not 0.0 <= number <= LONGEST_S * per_second:
        raise Refusal("a duration must be a number from 0 to an hour", f"look at {shown(field)}", value=shown(str(value)))
    return float(number) / per_second


def law_of(quantiles: Mapping[float, float]) -> str:
    """A law from measured quantiles [s]: constant from one, lognormal from median and p99 where both are there, else from all of them."""
    known = {q: max(at, 1e-9) for q, at in sorted(quantiles.items()) if at >= 0.0}
    if not known:
        raise Refusal("a law needs at least one quantile", "export percentiles too")
    if any(b < a for a, b in zip(list(known.values()), list(known.values())[1:])):
        raise Refusal("quantiles must not fall as the share grows", "look whether the columns are those of one row", value=", ".join(f"{q:g}" for q in known))
    median, tail = known.get(0.5), known.get(0.99)
    if median is not None and tail is not None and median < tail:
        return f"lognormal(median {shown_s(median)}, p99 {shown_s(tail)})"
    if median is not None and 0.95 in known and median < known[0.95]:
        tail = median * (known[0.95] / median) ** (2.3263478740408408 / 1.6448536269514722)  # The p99 of the lognormal law through median and p95.
        return f"lognormal(median {shown_s(median)}, p99 {shown_s(tail)})"
    return shown_s(median if median is not None else next(iter(known.values())))


def shown_s(seconds: float) -> str:
    """Seconds as a topology's duration, to three digits."""
    return write_duration(max(0, round(float(f"{seconds * SECOND:.3g}"))))


def numbers(cells: Mapping[str, str], names: Sequence[str]) -> dict[str, float]:
    """The named cells of a row that hold a number."""
    found = {}
    for name in names:
        try:
            value = float(cells.get(name) or "nan")
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            found[name] = value
    return found
