"""Chance: addressed, not consumed.

A draw is a function of its address (seed, replication, decision, entity, n): a few rounds of integer mixing give a 64-bit word, and
one table turns the word into a value. No draw depends on which draws came before it, so results do not depend on window, order or
process count, an idle client changes nobody's luck, and two designs that differ in one policy see the same luck.

Every law is its quantile function, tabulated once and interpolated with additions and multiplications only: the same bits in plain
Python, numpy and compiled code. The grid is even within each octave of both tails (32 cells an octave), so that the relative error of
the mean stays below 1e-4 and the tails go on to probability 2^-46.

Source of the mixing rounds: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), variant 13 of Stafford.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from simfabric.compiling import MASK, to_number, to_word

GOLDEN = 0x9E3779B97F4A7C15
ODD = 0xD1B54A32D192ED03
CELLS = 32  # Grid cells in one octave of a tail.
FIRST = 6  # The smallest octave of a tail that is told apart: probability 2^-47.
SIDE = (52 - FIRST) * CELLS + 1  # Entries of one tail.
UNIT = 1.0 / 9007199254740992.0  # 2^-53.

LawName = Literal["constant", "uniform", "exponential", "lognormal", "weibull", "pareto", "quantiles"]


def mixed(x: Any) -> Any:
    """One round of 64-bit mixing (bijective)."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def word(key: Any, entity: Any, n: Any) -> Any:
    """The 64-bit word at address (key, entity, n), each an integer or an array of integers; `key` comes from `decision_key`."""
    inner = mixed((to_word(key) + ((to_word(entity) * GOLDEN) & MASK)) & MASK)
    return mixed((inner + ((to_word(n) * ODD) & MASK)) & MASK)


def uniform(key: Any, entity: Any, n: Any) -> Any:
    """A uniform number on [0, 1) with 53 bits, by its address."""
    return (word(key, entity, n) >> 11) * UNIT


def below(key: Any, entity: Any, n: Any, count: Any) -> Any:
    """A whole number on [0, count), by its address; count < 2^32, so the bias is below 2^-21."""
    return ((word(key, entity, n) >> 32) * to_word(count)) >> 32


def decision_key(seed: int, replication: int, decision: str) -> int:
    """The key of a named decision ("clients/backoff") in one replication of one seed, as a signed 64-bit number that every form takes."""
    name = int.from_bytes(hashlib.blake2b(decision.encode(), digest_size=8).digest(), "big")
    return int(np.array(word(name, seed, replication), np.uint64).astype(np.int64))


def bit_length(v: int) -> int:
    """Bits of a whole number 0 <= v < 2^63: five comparisons, since compiled code has no better word that plain Python has too."""
    bits = 0
    if v >= 4294967296:
        v >>= 32
        bits = 32
    if v >= 65536:
        v >>= 16
        bits += 16
    if v >= 256:
        v >>= 8
        bits += 8
    if v >= 16:
        v >>= 4
        bits += 4
    if v >= 4:
        v >>= 2
        bits += 2
    if v >= 2:
        return bits + 2
    return bits + v


def draw(table: Any, w: Any) -> int:
    """The value [whole ns or bytes] of the law tabulated in `table` (from `tabulated`) at the word `w`."""
    if len(table) == 1:
        return int(table[0] + 0.5)
    k = to_number(w >> 11)
    start = 0
    if k >= 4503599627370496:  # 2^52: the upper half is the mirror image.
        k = 9007199254740991 - k
        start = SIDE
    if k < 64:
        k = 64
    shift = bit_length(k) - 6
    at = start + (shift - 1) * CELLS + ((k >> shift) - CELLS)
    part = (k - ((k >> shift) << shift)) / (1 << shift)
    low = table[at]
    return int(low + (table[at + 1] - low) * part + 0.5)


@dataclass(frozen=True, slots=True)
class Law:
    """A law of chance: its name and parameters [ns or bytes]; see PARAMETERS for their meaning and order."""

    name: LawName
    parameters: tuple[float, ...]

    def quantile(self, p: float) -> float:
        """The value below which a share `p` in [0, 1] lies."""
        return float(QUANTILES[self.name](p, *self.parameters))

    @property
    def mean(self) -> float:
        """The mean; infinite for a Pareto law of shape <= 1."""
        return float(MEANS[self.name](*self.parameters))

    @property
    def constant(self) -> bool:
        """Whether every draw is the same."""
        return self.name == "constant"

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{p:g}' for p in self.parameters)})"


def constant(value: float) -> Law:
    """The law that always answers `value`."""
    return Law("constant", (float(value),))


def tabulated(law: Law) -> Any:
    """The law as `draw` reads it: float64[1] for a constant, else both tails [2 * SIDE]."""
    if law.constant:
        return np.array([law.parameters[0]])
    octave = np.arange(SIDE) // CELLS + FIRST
    tail = np.ldexp(CELLS + np.arange(SIDE) % CELLS, octave - 5 - 53)
    lower = [law.quantile(float(p)) for p in tail]
    upper = [law.quantile(1.0 - float(p)) for p in tail]
    return np.array(lower + upper)


def _lognormal_sigma(median: float, p99: float) -> float:
    return math.log(p99 / median) / NormalDist().inv_cdf(0.99)


def _pieces(p: float, *points: float) -> float:
    return float(np.interp(p, points[0::2], points[1::2]))


PARAMETERS: dict[str, str] = {
    "constant": "value",
    "uniform": "low, high",
    "exponential": "mean",
    "lognormal": "median, p99",
    "weibull": "scale, shape",
    "pareto": "minimum, shape",
    "quantiles": "share: value, share: value, …",
}

QUANTILES: dict[str, Any] = {
    "constant": lambda p, value: value,
    "uniform": lambda p, low, high: low + (high - low) * p,
    "exponential": lambda p, mean: -mean * math.log1p(-p),
    "lognormal": lambda p, median, p99: median * math.exp(_lognormal_sigma(median, p99) * NormalDist().inv_cdf(p)),
    "weibull": lambda p, scale, shape: scale * (-math.log1p(-p)) ** (1.0 / shape),
    "pareto": lambda p, minimum, shape: minimum * (1.0 - p) ** (-1.0 / shape),
    "quantiles": _pieces,
}

MEANS: dict[str, Any] = {
    "constant": lambda value: value,
    "uniform": lambda low, high: (low + high) / 2,
    "exponential": lambda mean: mean,
    "lognormal": lambda median, p99: median * math.exp(_lognormal_sigma(median, p99) ** 2 / 2),
    "weibull": lambda scale, shape: scale * math.gamma(1 + 1 / shape),
    "pareto": lambda minimum, shape: minimum * shape / (shape - 1) if shape > 1 else math.inf,
    "quantiles": lambda *points: sum((q1 - q0) * (v0 + v1) / 2 for q0, v0, q1, v1 in zip(points[0::2], points[1::2], points[2::2], points[3::2])),
}
