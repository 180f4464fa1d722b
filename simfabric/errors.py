"""Errors for people: where it stands, what stands there, which law it breaks, and the cure.

A `Refusal` says no to one value (law and cure; raised where the value is understood). A `Problem` is a refusal with its place. A
`TopologyError` holds every problem of a topology at once, so that a file is mended in one round.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN = 80  # Characters of a value that an error repeats.
MOST_PROBLEMS = 50  # Problems that are told one by one.


class SimfabricError(Exception):
    """What every error that simfabric raises on purpose is."""


class LocalProtocolError(SimfabricError):
    """A driver misused a session. What the other side does wrong is an effect, never an exception."""


class Refusal(ValueError):  # noqa: N818 - it is an answer that is collected, not an error that ends something.
    """One value is refused: the law it breaks and the cure.

    `path` leads from the section that refuses to the key, `value` is as written; `reads` names what a law between sections depends on.
    """

    def __init__(self, law: str, cure: str, path: tuple[str | int, ...] = (), value: str | None = None, reads: tuple[str, ...] = ()) -> None:
        super().__init__(f"{law}; {cure}")
        self.reads = reads
        self.law = law
        self.cure = cure
        self.path = path
        self.value = value


class Refusals(ValueError):  # noqa: N818 - as above.
    """Several refusals of one section."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(str(refusal) for refusal in refusals))
        self.refusals = tuple(refusals)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: its place ('file:line:column' or '--set a.b'), the key's path, the value (cut and escaped), law and cure."""

    place: str
    path: str
    value: str
    law: str
    cure: str

    def __str__(self) -> str:
        at = f" {self.path}:" if self.path and not self.place.endswith(f" {self.path}") else ""
        shown = f" '{self.value}':" if self.value else ""
        return f"{self.place}:{at}{shown} {self.law}\n    cure: {self.cure}"


class TopologyError(SimfabricError):
    """A topology that cannot be run: its problems, and how many more there are than are told."""

    def __init__(self, problems: Iterable[Problem], more: int = 0) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.more = max(0, more)
        super().__init__(self.problems, self.more)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MOST_PROBLEMS]]
        more = self.more + max(0, len(self.problems) - MOST_PROBLEMS)
        if more > 0:
            lines.append(f"and {more} more")
        return "\n".join(lines)


def shown(text: str, most: int = SHOWN) -> str:
    """A value as an error repeats it: cut to `most` characters, and nothing in it that could move a terminal's cursor or turn its text."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    escaped = "".join(_shown_character(c) for c in cut)
    return escaped if len(escaped) <= most else escaped[: most - 1] + "…"


def _shown_character(c: str) -> str:
    if c == " " or (unicodedata.category(c)[0] not in "CZ"):
        return c
    return c.encode("unicode_escape").decode("ascii") if c.isascii() else f"\\u{{{ord(c):x}}}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean x?' when one of the known words is close to `word`, else ''."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:SHOWN].lower(), list(by_lower), n=1, cutoff=0.6)
    return f"did you mean '{by_lower[close[0]]}'?" if close else ""
