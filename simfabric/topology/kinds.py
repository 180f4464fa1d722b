"""Kinds of value: what the text of a key may say, and what the program gets.

A kind reads text (or a value that is typed already) within a range, writes the value back as text, and tells its unit and range to
people and to editors. The model decides the type, never YAML: `017`, `no` and `1:30` have no meaning of their own.
"""

from __future__ import annotations

import abc
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from simfabric import units
from simfabric.chance import Law
from simfabric.errors import Refusal, did_you_mean
from simfabric.topology.writing import Words

LONGEST_LAW = 2**60  # [ns or bytes] the farthest draw of a law: eight of them still add up within 64 bits.
FARTHEST_DRAW = 1.0 - 2.0**-47


class Kind(abc.ABC):
    """What a key's value may be: one scalar, or, where the kind is `nested`, also a mapping or a list."""

    nested: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def unit(self) -> str:
        """The unit, or what stands instead of one, for people."""

    @property
    @abc.abstractmethod
    def range(self) -> str:
        """The values that are allowed, for people."""

    @abc.abstractmethod
    def read(self, value: object) -> Any:
        """The program's value of what was written (or of a value that is typed already); raises Refusal."""

    @abc.abstractmethod
    def write(self, value: Any) -> str:
        """The text that `read` turns into `value`."""

    @abc.abstractmethod
    def schema(self) -> dict[str, Any]:
        """What an editor may check (JSON Schema)."""

    def editor(self, text: str) -> object:
        """A text as an editor's own YAML reader sees it: a number where the schema says number."""
        return text


@dataclass(frozen=True)
class Measure:
    """A family of quantities: how they are read, written and described."""

    what: str
    parse: Callable[[str], Any]
    write: Callable[[Any], str]
    unit: str
    pattern: str
    whole: bool = True


NUMBER = r"[0-9](_?[0-9])*(\.[0-9](_?[0-9])*)?"


def _with_units(names: Mapping[str, int]) -> str:
    return rf"^(0|{NUMBER} ?({'|'.join(name for name in names if name)}))$"


DURATION = Measure("a duration", units.parse_duration, units.write_duration, "duration (ns, us, ms, s, min, h, d); inside: ns", _with_units(units.DURATIONS))
SIZE = Measure("a size", units.parse_size, units.write_size, "size (B, KB, MB, GB, KiB, MiB, GiB); inside: bytes", _with_units(units.SIZES))
COUNT = Measure("a whole number", units.parse_count, units.write_count, "whole number (suffixes k, M, G)", rf"^{NUMBER} ?[kMG]?$")
NUMERIC = Measure("a number", units.parse_number, units.write_number, "number", rf"^{NUMBER}$", whole=False)
RATE = Measure(
    "a rate", units.parse_rate, units.write_rate, "rate (per s, min, h or d); inside: per second", rf"^(0|{NUMBER} ?[kMG]? ?/ ?(s|min|h|d))$", whole=False
)
SHARE = Measure("a share", units.parse_share, units.write_share, "share (20% or 0.2)", rf"^{NUMBER} ?%?$", whole=False)
BANDWIDTH = Measure(
    "a bandwidth",
    units.parse_bandwidth,
    units.write_bandwidth,
    "bandwidth (bit/s, kbit/s, Mbit/s, Gbit/s, or unlimited); inside: bit/s, 0 = unlimited",
    rf"^(unlimited|0|{NUMBER} ?(bit|kbit|Mbit|Gbit)/s)$",
)
TIME_PER_BYTE = Measure(
    "a duration per byte", units.parse_time_per_byte, units.write_time_per_byte, "duration per byte; inside: ns", _with_units(units.DURATIONS), whole=False
)


@dataclass(frozen=True)
class Quantity(Kind):
    """A number of some measure within a range that is itself written as text; words may stand for special values (`exact`, `connected`)."""

    measure: Measure
    least: str
    most: str
    words: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def _bounds(self) -> tuple[Any, Any]:
        return self.measure.parse(self.least), self.measure.parse(self.most)

    @property
    def unit(self) -> str:
        return f"{self.measure.unit}{''.join(f', or {word}' for word in self.words)}"

    @property
    def range(self) -> str:
        return f"from {self.least} to {self.most}{''.join(f', or {word}' for word in self.words)}"

    def read(self, value: object) -> Any:
        if isinstance(value, str):
            word = value.strip(" ")
            if word in self.words:
                return self.words[word]
            try:
                number = self.measure.parse(value)
            except Refusal as refusal:
                raise Refusal(refusal.law + "".join(f", or '{word}'" for word in self.words), refusal.cure) from None
        elif any(value is special for special in self.words.values()):
            return value
        else:
            number = self._typed(value)
        if not self._bounds[0] <= number <= self._bounds[1]:
            raise Refusal(f"must be {self.measure.what} {self.range}", f"give a value {self.range}")
        return number

    def _typed(self, value: object) -> int | float:
        """A number that comes from the program, not from text."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or (self.measure.whole and value != int(value)):
            raise Refusal(f"must be {self.measure.what}", f"give a value {self.range}")
        return int(value) if self.measure.whole else float(value)

    def write(self, value: Any) -> str:
        for word, special in self.words.items():
            if value == special:
                return word
        return self.measure.write(value)

    def schema(self) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string", "pattern": self.measure.pattern}
        choices: list[dict[str, Any]] = [text]
        if self.measure not in (COUNT, NUMERIC, SHARE):
            choices.append({"const": 0})
        if self.measure in (COUNT, NUMERIC, SHARE):
            number = "integer" if self.measure is COUNT else "number"
            choices.append({"type": number, "minimum": self.measure.parse(self.least), "maximum": self.measure.parse(self.most)})
        if self.words:
            choices.append({"enum": list(self.words)})
        return {"anyOf": choices}

    def editor(self, text: str) -> object:
        return json_number(text) if self.measure in (COUNT, NUMERIC) else text


@dataclass(frozen=True)
class LawOf(Kind):
    """A law of chance over durations or sizes; `least` and `most` bound each of its quantities."""

    measure: Measure
    least: str
    most: str

    @property
    def _measure(self) -> units.Measure:
        return "size" if self.measure is SIZE else "duration"

    @property
    def unit(self) -> str:
        return f"law of {self.measure.unit}: one of {units.LAW_EXAMPLES}" if self.measure is DURATION else f"law of {self.measure.unit}"

    @property
    def range(self) -> str:
        return f"each {self._measure} from {self.least} to {self.most}"

    def read(self, value: object) -> Law:
        if isinstance(value, str):
            name, parameters = units.parse_law(value, self._measure)
            law = Law(name, parameters)
        elif isinstance(value, Law):
            law = value
            units.parse_law(units.write_law(law.name, law.parameters, self._measure), self._measure)
        else:
            raise Refusal(f"must be {self.measure.what} or a law of chance", f"give one such as {units.LAW_EXAMPLES}")
        least, most = self.measure.parse(self.least), self.measure.parse(self.most)
        if not all(least <= quantity <= most for quantity in self._quantities(law)):
            raise Refusal(f"must be a law of chance with {self.range}", f"give {self._measure}s from {self.least} to {self.most}")
        if law.quantile(FARTHEST_DRAW) > LONGEST_LAW:
            raise Refusal("must be a law whose farthest draw (one in 2^47) fits in 60 bits", "give it a lighter tail (a larger shape, a smaller p99)")
        return law

    def _quantities(self, law: Law) -> tuple[float, ...]:
        if law.name == "quantiles":
            return law.parameters[1::2]
        return tuple(value for value, (_, measured) in zip(law.parameters, units.LAW_PARAMETERS[law.name]) if measured)

    def write(self, value: Any) -> str:
        return units.write_law(value.name, value.parameters, self._measure)

    def schema(self) -> dict[str, Any]:
        names = "|".join([*units.LAW_PARAMETERS, "quantiles"])
        return {"anyOf": [{"type": "string", "pattern": rf"{self.measure.pattern}|^({names}) ?\(.+\)$"}, {"const": 0}]}


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words; `other` holds other spellings of them."""

    options: tuple[str, ...]
    other: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def unit(self) -> str:
        return "word"

    @property
    def range(self) -> str:
        others = f" (also written {', '.join(self.other)})" if self.other else ""
        return f"one of {', '.join(self.options)}{others}"

    def read(self, value: object) -> str:
        word = value.strip(" ") if isinstance(value, str) else str(value)
        word = self.other.get(word, word)
        if word not in self.options:
            raise Refusal(f"must be {self.range}", did_you_mean(word, self.options) or f"write one of {', '.join(self.options)}")
        return word

    def write(self, value: Any) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": [*self.options, *self.other, *[int(word) for word in self.other if word.lstrip("-").isdigit()]]}


@dataclass(frozen=True)
class Flag(Kind):
    """true or false, and no other spelling of them."""

    @property
    def unit(self) -> str:
        return "true or false"

    @property
    def range(self) -> str:
        return "true or false"

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            raise Refusal("must be true or false", "write true or false (yes, no, on and off are not read)")
        return value == "true"

    def write(self, value: Any) -> str:
        return "true" if value else "false"

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def editor(self, text: str) -> object:
        return text == "true"


@dataclass(frozen=True)
class Text(Kind):
    """Words for people: Unicode in normal form; one line for a name, several for a description."""

    most: int
    lines: bool = False
    empty: bool = False

    @property
    def unit(self) -> str:
        return "text"

    @property
    def range(self) -> str:
        return f"{'at most' if self.empty else '1 to'} {self.most} characters{'' if self.lines else ', on one line'}"

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise Refusal(f"must be text, {self.range}", "write it in quotes")
        text = unicodedata.normalize("NFC", value)
        if len(text) > self.most or not (text.strip() or self.empty):
            raise Refusal(f"must be text of {self.range}", "give it a short name" if not text.strip() else "shorten it")
        if not self.lines and any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in text):
            raise Refusal("must be text on one line without control or formatting characters", "write plain letters")
        return text

    def write(self, value: Any) -> str:
        return Words(value)

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean"], "minLength": 0 if self.empty else 1, "maxLength": self.most}


@dataclass(frozen=True)
class FileName(Kind):
    """The name of a file, relative to the topology's folder and under it."""

    @property
    def unit(self) -> str:
        return "file name relative to the topology's folder"

    @property
    def range(self) -> str:
        return "a relative name under the topology's folder"

    def read(self, value: object) -> str:
        return relative_name(value)

    def write(self, value: Any) -> str:
        return Words(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^/~\\:$%]"}


def json_number(text: str) -> object:
    """A text in plain digits as the number that other YAML readers take it for."""
    if text.isascii() and text.isdigit():
        return int(text)
    return float(text) if text.replace(".", "", 1).isdigit() else text


def relative_name(value: object) -> str:
    """A file name that is safe to look up: relative, no URL, no drive, no home, no variable; whether it stays under its folder is asked of the disk."""
    law, cure = "must be a relative file name", "give a name relative to the topology's folder, such as traces/day.csv"
    if not isinstance(value, str) or not 1 <= len(value) <= 255 or not value.strip():
        raise Refusal(f"{law} of 1 to 255 characters", cure)
    if any(unicodedata.category(c)[0] == "C" for c in value):
        raise Refusal(f"{law} without control characters", cure)
    for sign, meaning in (("\\", "a backslash"), (":", "a colon (a drive or a URL)"), ("$", "a variable"), ("%", "a variable"), ("*", "a wildcard")):
        if sign in value:
            raise Refusal(f"{law}, without {meaning}", cure)
    if value.startswith(("/", "~")):
        raise Refusal(f"{law}, not an absolute one", cure)
    return value
