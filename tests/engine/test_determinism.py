"""Chance is addressed: the same address gives the same luck, and what nobody asks about changes nothing."""

import os
import subprocess
import sys

import numpy as np

from tests.engine.small_topologies import BASE
from tests.helpers import differences, run, topology_of


def test_a_run_repeats_itself():
    topology = topology_of(BASE)
    assert differences(run(topology), run(topology)) == []


def test_another_process_with_another_hash_seed_repeats_it():
    script = "from tests.helpers import run, topology_of; from tests.engine.small_topologies import BASE; print(run(topology_of(BASE)).digest)"
    digests = {
        subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": "."}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert digests == {f"{run(topology_of(BASE)).digest}\n".encode()}


def test_another_seed_or_replication_is_another_run():
    digests = {run(topology_of(BASE, **changes)).digest for changes in ({}, {"run.seed": "2"}, {"run.replication": "1"})}
    assert len(digests) == 3


def test_two_designs_see_the_same_publications():
    targeted, broadcast = (run(topology_of(BASE, fanout__pattern=pattern, gateways__count=count)) for pattern, count in (("targeted", 3), ("broadcast", 5)))
    told = [outcome.facts["messages"][:, [0, 1, 3]] for outcome in (targeted, broadcast)]  # When, to which channel, how large.
    assert np.array_equal(*told)
    crowds = [outcome.fabric.columns for outcome in (targeted, broadcast)]
    publishers = [columns.crowd.client[outcome.facts["messages"][:, 2]] for outcome, columns in zip((targeted, broadcast), crowds)]
    back_end = targeted.facts["messages"][:, 2] < 0
    assert np.array_equal(publishers[0][~back_end], publishers[1][~back_end])


def test_a_source_that_is_added_leaves_the_others_alone():
    alone = run(topology_of(BASE))
    joined = run(topology_of(BASE.replace("traffic:\n", "traffic:\n  - {name: extra, rate: 1/s}\n")))
    mine = {tuple(row) for row in alone.facts["messages"][:, [0, 1, 2, 3]].tolist()}
    theirs = {tuple(row) for row in joined.facts["messages"][:, [0, 1, 2, 3]].tolist()}
    assert len(theirs) > len(mine)
    assert mine < theirs
