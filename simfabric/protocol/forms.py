"""Forms: how one value of the core stands in JSON, and how an untrusted one is read back.

A number of the core gets a name of one spelling only, so two names never mean one channel; an `eventId` has a fixed width, so that the
lexical order of names is the numeric one. Durations and times are seconds as exact decimals of nanoseconds: a number that passes
through floating point would come back as another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX_TEXT = 256  # Characters of a reason or of a type.
LARGEST = 2**63 - 1
LARGEST_SEQUENCE = 2**53 - 1  # What a browser can count.
SECOND = 1_000_000_000
DECIMAL = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")


class MalformedFrame(ValueError):  # noqa: N818 - it says what the text is.
    """A text that is no frame: where, and which law it breaks."""

    def __init__(self, place: str, law: str) -> None:
        super().__init__(f"{place}: {law}")
        self.place = place
        self.law = law


class Literal(str):
    """A number as it stands in the text, kept exact until its form is known."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a value of the core stands in JSON: `read` takes the value and its place."""

    write: Callable[[Any], Any]
    read: Callable[[Any, str], Any]


def whole(least: int, most: int) -> Form:
    """A whole number within bounds; true and false are no numbers."""

    def read(value: Any, place: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise MalformedFrame(place, f"must be a whole number within {least} … {most}")
        return int(value)

    return Form(int, read)


def named(letter: str, width: int = 0) -> Form:
    """A number of the core as a name: the letter and the number, which has one spelling only."""
    pattern = re.compile(f"{letter}[0-9]{{{width}}}" if width else f"{letter}(0|[1-9][0-9]{{0,18}})")

    def read(value: Any, place: str) -> int:
        if type(value) is not str or not pattern.fullmatch(value) or int(value[1:]) > LARGEST:
            raise MalformedFrame(place, f"must be a name such as {letter}{7:0{width}d}")
        return int(value[1:])

    return Form(lambda number: f"{letter}{number:0{width}d}", read)


def write_seconds(nanoseconds: int) -> Literal:
    """Nanoseconds as seconds, exactly."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return Literal(f"{seconds}.{rest:09d}".rstrip("0") if rest else str(seconds))


def read_seconds(value: Any, place: str) -> int:
    """Seconds, not negative, as the nearest whole nanoseconds."""
    text = str(value) if type(value) is int else value if isinstance(value, Literal) else ""
    if DECIMAL.fullmatch(text):
        number = Decimal(text)
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        shift = exponent + 9
        amount = int("".join(map(str, digits)))
        amount = int(amount * 10**shift) if shift >= 0 else (2 * amount + 10**-shift) // (2 * 10**-shift)
        if amount <= LARGEST and not (sign and amount):
            return amount
    raise MalformedFrame(place, "must be seconds: a number from 0 on that fits in 64 bits as nanoseconds")


def read_text(value: Any, place: str) -> str:
    """Printable text of bounded length."""
    if type(value) is str and len(value) <= MAX_TEXT and value.isprintable():
        return value
    raise MalformedFrame(place, f"must be printable text of at most {MAX_TEXT} characters")


def read_flag(value: Any, place: str) -> bool:
    """true or false."""
    if type(value) is not bool:
        raise MalformedFrame(place, "must be true or false")
    return value


def listed(value: Any, place: str) -> list[Any]:
    """The value, which must be a list."""
    if type(value) is not list:
        raise MalformedFrame(place, "must be a list")
    return value


CHANNEL, USER, EVENT, KEY = named("c"), named("u"), named("e", 19), named("m")
CONNECTION, SESSION, GATEWAY = named("k"), named("s"), named("g")
SEQUENCE = whole(0, LARGEST_SEQUENCE)
VERSION = whole(1, 1_000_000)
SECONDS = Form(write_seconds, read_seconds)
TEXT = Form(str, read_text)
FLAG = Form(bool, read_flag)
