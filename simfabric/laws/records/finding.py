"""What a law over records finds: how often it was exercised, and where it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from simfabric.laws.records.evidence import Evidence

Array = np.ndarray[Any, Any]
Records = tuple[tuple[str, int], ...]  # Kind and row of each record of a witness.
MOST_TOLD = 8  # Anomalies that are told, and records of a witness.


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One case in which a law does not hold: when [ns], in words, and the records that show it."""

    at: int
    told: str
    records: Records


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a law: cases in which it could have failed, how many did, the first of them, or why it does not tell."""

    exercised: int
    broken: int = 0
    anomalies: tuple[Anomaly, ...] = ()
    why: str = ""  # Why it does not tell, where the reason is not that nothing happened.
    note: str = ""  # What is excused, or worth to be known beside the verdict.


def found(exercised: int, places: Sequence[int] | Array, tell: Callable[[int], Anomaly]) -> Finding:
    """The finding of these places (rows of whatever a law looked at), of which the first by time are told."""
    told = sorted((tell(int(place)) for place in places[:64]), key=lambda anomaly: anomaly.at)[:MOST_TOLD]
    return Finding(max(int(exercised), len(places)), len(places), tuple(told))


class Law(NamedTuple):
    """One law of the list: its number, what it says, when it counts as exercised, the kinds of records that it needs, and how it is checked."""

    number: str
    sentence: str
    exercised: str
    needs: tuple[str, ...]
    check: Callable[[Evidence], Finding] | None  # None: nothing in the fabric can break it; `exercised` says why.
