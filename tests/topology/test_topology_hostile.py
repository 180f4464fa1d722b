"""Hostile files end in an error with a place: never in another exception, and within stated memory and time.

They are read in child processes whose memory and CPU time the operating system bounds (see `hostile_child`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from topology_corpus import BROKEN, GOOD, HOSTILE

import simfabric
from simfabric.errors import TopologyError
from simfabric.topology import loads, reading

CHILD = Path(__file__).with_name("hostile_child.py")
PLACE = re.compile(r".*a\.yaml:\d+:\d+")


def outcomes(files: str, parser: str) -> dict[str, list[str]]:
    """What the child process says of each file."""
    root = str(Path(next(iter(simfabric.__path__))).parent)
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.run([sys.executable, str(CHILD), files, parser], capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert child.returncode == 0, child.stderr[-2000:]
    answers: dict[str, list[str]] = json.loads(child.stdout)
    return answers


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")


@pytest.mark.parametrize("parser", ["libyaml", "pure"])
def test_every_hostile_or_broken_file_is_refused_at_a_place(parser: str) -> None:
    answers = outcomes("corpus", parser)
    assert len(answers) == len(HOSTILE) + len(BROKEN) - 1 > 120
    for name, answer in answers.items():
        assert answer[0] == "error", (name, answer)
        assert PLACE.fullmatch(answer[1]), (name, answer)
    if parser == "libyaml" and reading.WITH_LIBYAML:
        assert {name: answers[name][2] for name, (_, law) in HOSTILE.items() if law not in answers[name][2]} == {}


@pytest.mark.parametrize(("parser", "count"), [("libyaml", 1200), ("pure", 300)])
def test_a_thousand_mutants_are_read_or_refused_at_a_place(parser: str, count: int) -> None:
    answers = outcomes(str(count), parser)
    counts = Counter(answer[0] for answer in answers.values())
    assert counts["read"] + counts["error"] == len(answers) == count, [answer for answer in answers.values() if answer[0] == "other"][:3]
    assert counts["read"] > count / 40 and counts["error"] > count / 2  # The mutants are neither all harmless nor all hopeless.
    assert all(PLACE.fullmatch(answer[1]) for answer in answers.values() if answer[0] == "error")


def test_an_alias_bomb_is_refused_where_a_plain_load_would_make_ten_million_values_of_it() -> None:
    """The bomb is real, and the reader stops at its first anchor."""
    bomb = "a: &k0 [x, x]\n" + "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9)}]\n" for i in range(1, 8))
    value, leaves = yaml.safe_load(bomb)["k7"], 1
    while isinstance(value, list):
        value, leaves = value[0], leaves * len(value)
    assert leaves > 9_000_000 > 1000 * len(bomb)
    with pytest.raises(TopologyError, match=r"<text>:1:4: a: '&k0': anchors are not read"):
        loads(bomb)


def test_both_parsers_build_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    with_c = reading.read_text(GOOD, "a", reading.Budget())
    monkeypatch.setattr(reading, "WITH_LIBYAML", False)
    assert reading.read_text(GOOD, "a", reading.Budget()) == with_c
