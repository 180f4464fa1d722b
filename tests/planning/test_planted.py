"""Bugs that are planted on purpose are noticed; see planted.py for all of them and the command."""

import importlib
import inspect

import pytest

from tests.planning.planted import BUGS, noticed, planted

FAST = (5, 11, 17)  # Noticed by the first seeds.


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: str(bug.number))
def test_a_bug_of_the_list_is_still_one_line_of_the_code(bug) -> None:
    module, name = bug.where.split(":")
    holder = importlib.import_module(f"simfabric.{module}")
    for part in name.split("."):
        holder = getattr(holder, part)
    assert inspect.getsource(holder).count(bug.old) == 1


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.number in FAST], ids=lambda bug: str(bug.number))
def test_the_swarm_notices_it_within_the_first_seeds(bug) -> None:
    seeds, law = noticed(bug, 3)
    assert 0 < seeds <= 3
    assert law


def test_what_was_planted_is_gone_afterwards() -> None:
    from simfabric.kernels import leaving, serving

    before = leaving.take_out, serving.leave
    with planted(next(bug for bug in BUGS if bug.number == 11)):
        assert leaving.take_out is not before[0]
    assert (leaving.take_out, serving.leave) == before
