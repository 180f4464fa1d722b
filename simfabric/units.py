"""Units: how people write durations, sizes, rates, shares and laws of chance, and how the program counts them.

Inside, a duration is a whole number of nanoseconds, a size a whole number of bytes, a rate a float per second, a share a float on
[0, 1]. Text becomes numbers through exact fractions, so `0.1s` is 100 000 000 ns and nothing else. Three families:

- `parse_*` read text; what they do not accept they refuse with a law and a cure, in bounded time whatever the text;
- `format_*` write for people: four significant digits;
- `write_*` write so that `parse_*` reads the same number back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, NamedTuple

from simfabric.errors import Refusal, did_you_mean, shown

LARGEST = 2**63 - 1
LONGEST = 60  # Characters of one quantity; more is refused before anything is computed.

DURATIONS: Mapping[str, int] = MappingProxyType(
    {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9},
)
SIZES: Mapping[str, int] = MappingProxyType(
    {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
)
BANDWIDTHS: Mapping[str, int] = MappingProxyType({"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9})
COUNTS: Mapping[str, int] = MappingProxyType({"": 1, "k": 10**3, "M": 10**6, "G": 10**9})
PERIODS: Mapping[str, int] = MappingProxyType({"s": 1, "min": 60, "h": 3600, "d": 86400})

OTHER_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "µs": "us", "μs": "us", "usec": "us", "msec": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "m": "min", "mins": "min",
        "minute": "min", "minutes": "min", "hour": "h", "hours": "h", "day": "d", "days": "d", "bytes": "B", "byte": "B", "b": "B", "K": "KB",
        "M": "MB", "G": "GB", "Ki": "KiB", "Mi": "MiB", "Gi": "GiB", "bps": "bit/s", "kbps": "kbit/s", "Mbps": "Mbit/s", "Gbps": "Gbit/s",
    },
)  # fmt: skip

DIGITS = r"[0-9](?:_?[0-9])*"
QUANTITY = re.compile(rf"({DIGITS})(?:\.({DIGITS}))?[ ]?([^0-9_.\s-][^\s]*|)")


def _split(text: str, what: str, example: str) -> tuple[Fraction, str]:
    """The number and the unit of a quantity."""
    cure = f"give {what} such as {example}"
    stripped = text.strip(" ")
    if len(stripped) > LONGEST:
        raise Refusal(f"must be {what}, at most {LONGEST} characters long", cure)
    if stripped.startswith("-"):
        raise Refusal("must not be negative", cure)
    if re.match(r"0[xX]|0[oObB][0-9]|[0-9_.]+[eE][+-]?[0-9]", stripped):
        raise Refusal(f"must be {what} in plain decimal digits", f"{cure} (no hexadecimal, octal or exponent)")
    match = QUANTITY.fullmatch(stripped)
    if match is None:
        raise Refusal(f"must be {what}", cure)
    whole, part, unit = match.group(1).replace("_", ""), (match.group(2) or "").replace("_", ""), match.group(3)
    return Fraction(int(whole + part), 10 ** len(part)), unit


def _factor(unit: str, number: Fraction, units: Mapping[str, int], what: str) -> int:
    """What one of `unit` is worth; a bare zero needs no unit."""
    if unit in units:
        return units[unit]
    listed = ", ".join(name for name in units if name)
    if not unit:
        if number == 0:
            return 1
        likely = "s" if "s" in units else "B" if "B" in units else "Mbit/s"
        raise Refusal(f"must be {what} with a unit", f"write {_plain(number)}{likely} if that is meant (units: {listed})")
    better = OTHER_SPELLINGS.get(unit)
    hint = f"did you mean '{better}'? " if better in units else did_you_mean(unit, [name for name in units if name])
    raise Refusal(f"must be {what} with a known unit; '{shown(unit, 20)}' is none", f"{hint.strip()} units: {listed}".strip())


def _whole(value: Fraction, least_unit: str, what: str) -> int:
    if value.denominator != 1:
        raise Refusal(f"must be {what}, a whole number of {least_unit}", f"round it to whole {least_unit}")
    return _bounded(value.numerator, what)


def _bounded(value: int, what: str) -> int:
    if value > LARGEST:
        raise Refusal(f"must be {what} that fits in 64 bits", "give a smaller number")
    return value


def _plain(value: Fraction | float) -> str:
    """A number in plain decimal digits, without exponent; of a float, the shortest that reads back the same."""
    number = Decimal(value.numerator) / Decimal(value.denominator) if isinstance(value, Fraction) else Decimal(repr(float(value)))
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# ------------------------------------------------------------------------------------------------------------------------ reading


def parse_duration(text: str) -> int:
    """'25s', '500us', '1.5ms', '2h', '1d' -> whole nanoseconds."""
    number, unit = _split(text, "a duration", "25s, 1.5ms or 2h")
    return _whole(number * _factor(unit, number, DURATIONS, "a duration"), "nanoseconds", "a duration")


def parse_size(text: str) -> int:
    """'512B', '64KB' (64 000), '64KiB' (65 536) -> whole bytes."""
    number, unit = _split(text, "a size", "512B, 64KB or 1MiB")
    return _whole(number * _factor(unit, number, SIZES, "a size"), "bytes", "a size")


def parse_count(text: str) -> int:
    """'7', '1_000_000', '10k', '1.5M' -> a whole number."""
    number, unit = _split(text, "a whole number", "4, 10k or 1_000_000")
    if unit not in COUNTS:
        raise Refusal("must be a whole number without a unit", "give a number such as 4, 10k or 1_000_000 (suffixes: k, M, G)")
    return _whole(number * COUNTS[unit], "units", "a whole number")


def parse_number(text: str) -> float:
    """'1.5' -> a float."""
    number, unit = _split(text, "a number", "1.5")
    if unit:
        raise Refusal("must be a number without a unit", f"write {_plain(number)}")
    _bounded(int(number), "a number")
    return float(number)


def parse_rate(text: str) -> float:
    """'800/s', '10k/s', '3/min', '0.5/h' -> a float per second."""
    what, example = "a rate", "10k/s, 3/min or 0.5/h"
    number, unit = _split(text, what, example)
    suffix, slash, period = unit.partition("/")
    suffix, period = suffix.strip(" "), period.strip(" ")
    if not unit and number == 0:
        return 0.0
    if not slash:
        raise Refusal("must be a rate: so many per period of time", f"write {_plain(number)}/s if per second is meant")
    if suffix not in COUNTS:
        raise Refusal(f"must be a rate; '{shown(suffix, 20)}' is no suffix of a number", f"give a rate such as {example} (suffixes: k, M, G)")
    value = number * COUNTS[suffix] / _factor(period or "?", number, PERIODS, what)
    _bounded(int(value), what)
    return float(value)


def parse_share(text: str) -> float:
    """'20%' or '0.2' -> 0.2."""
    number, unit = _split(text, "a share", "20% or 0.2")
    if unit not in ("", "%"):
        raise Refusal("must be a share, with % or without a unit", "give a share such as 20% or 0.2")
    value = number / 100 if unit else number
    _bounded(int(value), "a share")
    return float(value)


def parse_bandwidth(text: str) -> int:
    """'10Mbit/s', '1Gbit/s' -> whole bits per second; 'unlimited' -> 0."""
    if text.strip(" ") == "unlimited":
        return 0
    number, unit = _split(text, "a bandwidth", "20Mbit/s, 1Gbit/s or unlimited")
    return _whole(number * _factor(unit, number, BANDWIDTHS, "a bandwidth"), "bits per second", "a bandwidth")


def parse_time_per_byte(text: str) -> float:
    """'0.5ns' -> nanoseconds per byte, which need not be whole."""
    number, unit = _split(text, "a duration", "1ns or 0.5ns")
    value = number * _factor(unit, number, DURATIONS, "a duration")
    _bounded(int(value), "a duration")
    return float(value)


# --------------------------------------------------------------------------------------------------------------- writing for people


def _formatted(value: float, units: list[tuple[str, int]], base: str) -> str:
    """`value` in the largest unit that leaves at least one, with four significant digits."""
    if value < 0:
        return "-" + _formatted(-value, units, base)
    for name, worth in units:
        number = Decimal(f"{value / worth:.4g}")
        if number >= 1:
            return f"{_plain(Fraction(number))}{name}"
    return f"{_plain(float(f'{value:.4g}'))}{base}"


def _descending(units: Mapping[str, int], names: str) -> list[tuple[str, int]]:
    return [(name, units[name]) for name in names.split()]


def format_duration(ns: float) -> str:
    """1_500_000 -> '1.5ms'."""
    return _formatted(ns, _descending(DURATIONS, "d h min s ms us ns"), "ns") if ns else "0s"


def format_size(size: float) -> str:
    """64_000 -> '64KB'."""
    return _formatted(size, _descending(SIZES, "GB MB KB B"), "B")


def format_rate(per_s: float) -> str:
    """10_000.0 -> '10k/s'."""
    return _formatted(per_s, [("G/s", 10**9), ("M/s", 10**6), ("k/s", 10**3), ("/s", 1)], "/s")


def format_count(n: float) -> str:
    """12_345 -> '12.35k'; below ten thousand whole numbers stay whole."""
    if abs(n) < 10_000 and n == int(n):
        return str(int(n))
    return _formatted(n, [("G", 10**9), ("M", 10**6), ("k", 10**3), ("", 1)], "")


# --------------------------------------------------------------------------------------------------------- writing to be read again


def write_duration(ns: int) -> str:
    """The same duration, to be read again: '25s', '1.5ms', '2h'."""
    for name in ("d", "h", "min"):
        if ns and ns % DURATIONS[name] == 0:
            return f"{ns // DURATIONS[name]}{name}"
    for name in ("s", "ms", "us"):
        if ns >= DURATIONS[name]:
            return f"{_plain(Fraction(ns, DURATIONS[name]))}{name}"
    return f"{ns}ns" if ns else "0s"


def write_size(size: int) -> str:
    """The same size, to be read again: '64KB', '64KiB', '1500B'."""
    for name in ("GB", "GiB", "MB", "MiB", "KB", "KiB"):
        if size and size % SIZES[name] == 0:
            return f"{size // SIZES[name]}{name}"
    return f"{size}B"


def write_count(n: int) -> str:
    """The same number, to be read again: '100', '1_000_000'."""
    return f"{n:_}" if n >= 10_000 else str(n)


def write_number(value: float) -> str:
    """The same float, to be read again."""
    return _plain(value)


def write_rate(per_s: float) -> str:
    """The same rate, to be read again: '0.05/s'."""
    return f"{_plain(per_s)}/s"


def write_share(share: float) -> str:
    """The same share, to be read again: '20%'."""
    return f"{format(Decimal(_plain(share)).scaleb(2).normalize(), 'f')}%"


def write_bandwidth(bits_per_s: int) -> str:
    """The same bandwidth, to be read again: '20Mbit/s'."""
    if bits_per_s == 0:
        return "unlimited"
    for name in ("Gbit/s", "Mbit/s", "kbit/s"):
        if bits_per_s % BANDWIDTHS[name] == 0:
            return f"{bits_per_s // BANDWIDTHS[name]}{name}"
    return f"{bits_per_s}bit/s"


def write_time_per_byte(ns: float) -> str:
    """The same time per byte, to be read again: '0.5ns'."""
    return f"{_plain(ns)}ns"


# ------------------------------------------------------------------------------------------------------------------ laws of chance

Measure = Literal["duration", "size"]
LawName = Literal["constant", "uniform", "exponential", "lognormal", "weibull", "pareto", "quantiles"]


class LawText(NamedTuple):
    """A law of chance as it was written: the name and parameters of `chance.Law`, which stands on the same rung and is not imported here."""

    name: LawName
    parameters: tuple[float, ...]


# The parameters of each law: (name, is it a quantity of the law's measure or a bare number).
LAW_PARAMETERS: Mapping[LawName, tuple[tuple[str, bool], ...]] = MappingProxyType(
    {
        "constant": (("value", True),),
        "uniform": (("low", True), ("high", True)),
        "exponential": (("mean", True),),
        "lognormal": (("median", True), ("p99", True)),
        "weibull": (("scale", True), ("shape", False)),
        "pareto": (("minimum", True), ("shape", False)),
    },
)
LAW_EXAMPLES = (
    "5ms, uniform(1ms, 2ms), exponential(1ms), lognormal(median 20ms, p99 150ms), weibull(scale 1ms, shape 1.5), pareto(minimum 1ms, shape 2.5), "
    "quantiles(0:1ms, 50%:3ms, 100%:314ms)"
)
MOST_POINTS = 100  # Points of a quantiles law.
SHAPES = (0.1, 100.0)
CALL = re.compile(r"([A-Za-z_]{1,40})[ ]*\((.*)\)", re.DOTALL)


def parse_law(text: str, unit: Measure) -> LawText:
    """'lognormal(median 20ms, p99 150ms)' -> its name and parameters [ns or bytes]; a plain quantity is a constant."""
    read: Callable[[str], float] = parse_time_per_byte if unit == "duration" else lambda value: float(parse_size(value))
    stripped = text.strip(" \n\t")
    if not stripped or "(" not in stripped:
        if stripped and stripped[0].isalpha():
            raise _unknown_law(stripped)
        return LawText("constant", (read(stripped),))
    match = CALL.fullmatch(stripped)
    if match is None:
        cut = "put it in quotes (a comma ends a value inside { } and [ ])" if ")" not in stripped else f"give one such as {LAW_EXAMPLES}"
        raise Refusal("must be a law of chance: a name and its parameters in brackets", cut)
    name, arguments = match.group(1), [part.strip(" \n\t") for part in match.group(2).split(",")]
    if name == "quantiles":
        return LawText("quantiles", _points(arguments, read))
    for known, signature in LAW_PARAMETERS.items():
        if name == known:
            return LawText(known, _checked(known, _parameters(known, signature, arguments, read)))
    raise _unknown_law(name)


def _unknown_law(name: str) -> Refusal:
    names = [*LAW_PARAMETERS, "quantiles"]
    return Refusal("must be a quantity or a known law of chance", f"{did_you_mean(name, names)} give one of {', '.join(names)}, such as {LAW_EXAMPLES}".strip())


def _parameters(name: str, signature: tuple[tuple[str, bool], ...], arguments: list[str], read: Callable[[str], float]) -> tuple[float, ...]:
    """The arguments in the signature's order: all by position ('20ms, 150ms') or all by name ('p99 150ms, median 20ms')."""
    wanted = ", ".join(key for key, _ in signature)
    cure = f"write {name}({wanted})"
    if len(arguments) != len(signature):
        raise Refusal(f"the law {name} takes {len(signature)} parameters: {wanted}", cure)
    named: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        words = re.fullmatch(r"([A-Za-z_][A-Za-z_0-9]{0,40})(?:[ ]+|[ ]?=[ ]?)(.+)", argument)
        key, value = words.groups() if words else (signature[position][0], argument)
        if key not in wanted.split(", ") or key in named:
            raise Refusal(f"the law {name} takes the parameters {wanted}, each once", f"{did_you_mean(key, wanted.split(', '))} {cure}".strip())
        named[key] = value
    return tuple(read(named[key]) if measured else parse_number(named[key]) for key, measured in signature)


def _checked(name: LawName, parameters: tuple[float, ...]) -> tuple[float, ...]:
    """The parameters, if they make a law."""
    if name == "uniform" and parameters[0] > parameters[1]:
        raise Refusal("a uniform law goes from low to high", "swap the two")
    if name == "lognormal" and not 0 < parameters[0] <= parameters[1]:
        raise Refusal("a lognormal law needs 0 < median <= p99", "give the smaller value first, such as lognormal(median 20ms, p99 150ms)")
    if name in ("weibull", "pareto"):
        if parameters[0] <= 0:
            raise Refusal(f"a {name} law needs a {'scale' if name == 'weibull' else 'minimum'} above zero", "give a value above zero")
        if not SHAPES[0] <= parameters[1] <= SHAPES[1]:
            raise Refusal(f"the shape of a {name} law must lie between {SHAPES[0]:g} and {SHAPES[1]:g}", "give a shape such as 1.5")
    return parameters


def _points(arguments: list[str], read: Callable[[str], float]) -> tuple[float, ...]:
    """The points of a quantiles law, as (share, value, share, value, …)."""
    cure = "write quantiles(0:1ms, 50%:3ms, 99%:34ms, 100%:314ms)"
    if not 2 <= len(arguments) <= MOST_POINTS:
        raise Refusal(f"a quantiles law takes 2 to {MOST_POINTS} points", cure)
    points: list[float] = []
    for argument in arguments:
        share, colon, value = argument.partition(":")
        if not colon:
            raise Refusal("each point of a quantiles law is a share, a colon and a value", cure)
        points += [parse_share(share), read(value)]
    shares, values = points[0::2], points[1::2]
    if shares[0] != 0.0 or shares[-1] != 1.0:
        raise Refusal("a quantiles law starts at 0 and ends at 100%", cure)
    if any(b <= a for a, b in pairwise(shares)) or any(b < a for a, b in pairwise(values)):
        raise Refusal("the shares of a quantiles law rise and its values do not fall", cure)
    return tuple(points)


def write_law(name: str, parameters: tuple[float, ...], unit: Measure) -> str:
    """The same law, to be read again."""

    def quantity(value: float) -> str:
        if value == int(value):
            return write_duration(int(value)) if unit == "duration" else write_size(int(value))
        return f"{_plain(value)}{'ns' if unit == 'duration' else 'B'}"

    if name == "constant":
        return quantity(parameters[0])
    if name == "quantiles":
        return f"quantiles({', '.join(f'{write_share(q)}:{quantity(v)}' for q, v in zip(parameters[0::2], parameters[1::2]))})"
    signature = next(keys for known, keys in LAW_PARAMETERS.items() if known == name)
    return f"{name}({', '.join(f'{key} {quantity(value) if measured else _plain(value)}' for (key, measured), value in zip(signature, parameters))})"
