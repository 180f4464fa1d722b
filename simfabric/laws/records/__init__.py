"""Laws of histories: each is a small function of records and topology, so a stored history can be judged again by a newer law.

A law answers valid, invalid or unknown. What was not exercised is unknown, and so is a law whose records found no room, unless they break it.
"""

from __future__ import annotations

from simfabric.history import History
from simfabric.laws.records.evidence import Evidence
from simfabric.laws.records.finding import Anomaly, Finding, Law
from simfabric.laws.records.table import LAWS
from simfabric.laws.records.witness import drawn
from simfabric.laws.verdict import Verdict
from simfabric.topology import Topology

__all__ = ["LAWS", "Anomaly", "Evidence", "Finding", "Law", "judge_history"]


def judge_history(history: History, topology: Topology) -> tuple[Verdict, ...]:
    """The verdict of every law in the list, the broken ones with their witness."""
    evidence = Evidence(history, topology)
    return tuple(_judged(law, evidence) for law in LAWS)


def _judged(law: Law, evidence: Evidence) -> Verdict:
    name = f"{law.number} {law.sentence}"
    if law.check is None:
        return Verdict(name, "unknown", 0, law.exercised)
    finding = law.check(evidence)
    if finding.broken:
        first = finding.anomalies[0]
        more = f" ({finding.broken} cases)" if finding.broken > 1 else ""
        return Verdict(name, "invalid", finding.exercised, first.told + more, first.at, drawn(evidence, first))
    cut = [kind for kind in law.needs if kind in evidence.history.cut]
    if cut:
        return Verdict(name, "unknown", 0, f"the history was cut: {', '.join(cut)}")
    if finding.why or not finding.exercised:
        return Verdict(name, "unknown", 0, finding.why or f"there was not {law.exercised}")
    return Verdict(name, "valid", finding.exercised, finding.note)
