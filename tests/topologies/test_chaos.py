"""Every file of topologies/chaos: its fault does something, every law holds, and at the end everybody has everything that is not excused."""

from pathlib import Path

import pytest

from simfabric.planning.swarm import complete
from simfabric.running import run
from simfabric.topology import load

CHAOS = Path(__file__).parents[2] / "topologies" / "chaos"
FILES = sorted(path.stem for path in CHAOS.glob("*.yaml") if path.stem != "base")
# Files that are bound to lose or not to recover have tests of their own.
DOOMED: frozenset[str] = frozenset()


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
