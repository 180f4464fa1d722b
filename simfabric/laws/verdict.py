"""Verdicts: valid, invalid or unknown, with the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a law says: `exercised` counts the cases in which it could have failed, `detail` shows the numbers of a failure, or why it does not tell."""

    law: str
    verdict: Literal["valid", "invalid", "unknown"]
    exercised: int
    detail: str = ""
    at: int = 0  # Instant of the first failure [ns].
    witness: str = ""  # The fewest records that show it, as a sequence chart; of laws that need a history.


def equal(law: str, at: int, exercised: int, left: int, right: int, meaning: str) -> Verdict:
    """The law that two counts, made independently, are the same."""
    if left != right:
        return Verdict(law, "invalid", exercised, f"{meaning}: {left} != {right} (difference {left - right})", at)
    return Verdict(law, "valid" if exercised else "unknown", exercised)


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for a whole run: the first failure, else valid if it was exercised anywhere."""
    for verdict in verdicts:
        if verdict.verdict == "invalid":
            return verdict
    exercised = sum(verdict.exercised for verdict in verdicts)
    return Verdict(verdicts[0].law, "valid" if exercised else "unknown", exercised)
