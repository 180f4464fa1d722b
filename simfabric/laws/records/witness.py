"""Witness: the records that show a broken law, as a sequence chart; and what was at the same clients just before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.analysis.sequence_chart import LOST, Step, text
from simfabric.history import KINDS
from simfabric.laws.records.evidence import Evidence
from simfabric.laws.records.finding import MOST_TOLD, Anomaly

Fields = dict[str, int]
OUTCOMES = ("", " again", ", held", ", transient")


def drawn(e: Evidence, anomaly: Anomaly) -> str:
    """The chart of an anomaly's records, at most eight."""
    steps = []
    for kind, row in anomaly.records[:MOST_TOLD]:
        table = e.history.tables[kind][row].tolist()
        steps += STEPS.get(kind, _note)(e, kind, dict(zip(("at", *KINDS[kind]), table)))
    return text(steps, order=("client", "gateway", "router", "log"), width=110, fold=False) if steps else ""


def _note(e: Evidence, kind: str, f: Fields) -> list[Step]:
    """A record that is nobody's message: a note at its client or component."""
    who = f"client {f['client']}" if "client" in f else f"gateway {f['gateway']}" if "gateway" in f else "fabric"
    what = ", ".join(f"{name} {value}" for name, value in f.items() if name not in ("at", "client"))
    return [Step(f["at"], f["at"], who, who, f"{kind.split('.')[-1]} {what}".strip())]


def _message(e: Evidence, kind: str, f: Fields) -> list[Step]:
    publisher = f"client {f['publisher']}" if f["publisher"] >= 0 else "back end"
    name = f"m{f['message']} c{f['channel']}" + (f" #{f['sequence']}" if f["sequence"] else "")
    arrives = max(f["appended_at"], f["at"]) if f["appended_at"] > 0 else LOST
    return [Step(f["at"], arrives, publisher, "log", f"publishes {name}")]


def _receive(e: Evidence, kind: str, f: Fields) -> list[Step]:
    sent = f["at"] - _delay(e, f["client"])
    return [Step(sent, f["at"], f"gateway {f['gateway']}", f"client {f['client']}", _named(e, f["message"]) + OUTCOMES[f["outcome"]])]


def _caught_up(e: Evidence, kind: str, f: Fields) -> list[Step]:
    return [Step(f["at"] - _delay(e, f["client"]), f["at"], "log", f"client {f['client']}", _named(e, f["message"]))]


def _drop(e: Evidence, kind: str, f: Fields) -> list[Step]:
    why = {5: "the connection ends before", 6: "its buffer is full", 7: "nothing passes", 8: "its buffer is full"}.get(f["why"], str(f["why"]))
    return [Step(f["at"], LOST, f"gateway {f['gateway']}", f"client {f['client']}", f"{_named(e, f['message'])}: {why}")]


def _frame(e: Evidence, kind: str, f: Fields) -> list[Step]:
    hop = e.topology.network.hop
    return [Step(f["at"] - hop, f["at"], "router", f"gateway {f['gateway']}", f"{_named(e, f['message'])} for life {f['incarnation']}")]


def _fault(e: Evidence, kind: str, f: Fields) -> list[Step]:
    who = f"{('gateway', 'router')[f['component']]} {f['number']}"
    return [Step(max(f["at"], 0), max(f["at"], 0), who, who, "restarted" if f["planned"] else "dies"), Step(f["until"], f["until"], who, who, "up again")]


def _delay(e: Evidence, client: int) -> int:
    its = e.history["client"]
    return int(its["delay"][its["client"] == client].sum())


def _named(e: Evidence, message: int) -> str:
    place = int(e.place(np.array([message]))[0])
    if place < 0:
        return f"m{message}"
    return f"m{message} c{e.messages['channel'][place]}" + (f" #{e.messages['sequence'][place]}" if e.messages["sequence"][place] else "")


STEPS: dict[str, Callable[[Evidence, str, Fields], list[Step]]] = {
    "message": _message, "client.receive": _receive, "client.caught_up": _caught_up, "gateway.drop": _drop, "gateway.frame": _frame, "fault": _fault,
}  # fmt: skip
