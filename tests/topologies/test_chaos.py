"""Every file of topologies/chaos: its fault does something, every law holds, and at the end everybody has everything that is not excused."""

from pathlib import Path

import pytest

from simfabric.kernels.state import FATE, LOST_UNCLEAN
from simfabric.planning.swarm import complete
from simfabric.running import run
from simfabric.topology import load

CHAOS = Path(__file__).parents[2] / "topologies" / "chaos"
FILES = sorted(path.stem for path in CHAOS.glob("*.yaml") if path.stem != "base")
# Files that are bound to lose or not to recover have tests of their own.
DOOMED = frozenset({"metastable", "unclean"})


def test_the_base_is_calm() -> None:
    assert not any(run(load(CHAOS / "base.yaml")).end.dropped.values())


@pytest.mark.parametrize("name", [name for name in FILES if name not in DOOMED])
def test_a_fault_that_is_survived_changes_the_run_and_breaks_no_law(name: str) -> None:
    topology = load(CHAOS / f"{name}.yaml")
    result = run(topology)
    assert result.lawful, [verdict for verdict in result.laws if verdict.verdict == "invalid"]
    assert result.digest != run(topology.model_copy(update={"faults": ()})).digest, "the fault does nothing"
    assert complete(result).verdict != "invalid", complete(result).detail


@pytest.mark.parametrize("name", FILES)
def test_a_comment_says_what_happens_and_what_to_look_for(name: str) -> None:
    comment = (CHAOS / f"{name}.yaml").read_text(encoding="utf-8").split("\n\n", 1)[0]
    assert "What to look for:" in comment


def test_an_unclean_election_loses_acknowledged_messages_and_says_how_many() -> None:
    """Rate of the partitions x replica delay is 2.4 at most; a Poisson count of that mean is below 10 but once in ten thousand."""
    result = run(load(CHAOS / "unclean.yaml"))
    assert result.lawful
    assert complete(result).verdict == "valid"
    lost = int((result.messages[:, 1 + FATE] == LOST_UNCLEAN).sum())
    assert 0 < lost < 10
    assert f"{lost} acknowledged records lost" in " ".join(text for _, text in result.events)
    assert f"unclean {result.end.dropped['unclean']}" in result.summary()
    clean = run(load(CHAOS / "unclean.yaml", sets=["bus.acks=all", "faults[0].kind=restart_broker"]))
    assert not any(clean.end.dropped.values())


def test_a_metastable_fabric_does_not_recover_as_it_says_and_one_that_waits_longer_does() -> None:
    doomed = run(load(CHAOS / "metastable.yaml"))
    assert doomed.lawful
    assert doomed.end.connections < 20
    verdict = next(verdict for verdict in doomed.laws if verdict.law.startswith("L8"))
    assert (verdict.verdict, verdict.exercised) == ("valid", 80)
    patient = run(load(CHAOS / "metastable.yaml", sets=["clients.reconnect.first=8s", "clients.reconnect.cap=8s"]))
    assert [verdict.law for verdict in patient.laws if verdict.verdict == "invalid"] == ["L8 it does not recover, as it says"]
    calm = run(load(CHAOS / "metastable.yaml", sets=["faults=[]"]))
    assert calm.end.connections == 80
