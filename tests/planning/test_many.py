"""Many runs: the same results on one process and on two, nothing lost when a worker dies, and what is done kept at Ctrl-C."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from simfabric.errors import SimfabricError
from simfabric.planning.many import Interrupted, LostWorkersError, process_pool, run_many
from tests.helpers import topology_of
from tests.planning import dying

SMALL = "run: {duration: 1s, warmup: 200ms}\nclients: {count: 20}\n"


def replications(count, **changes):
    """Replications 0, 1, … of a small topology."""
    return [topology_of(SMALL, run__replication=number, **changes) for number in range(count)]


@pytest.fixture(scope="module")
def digests():
    return run_many(replications(4), dying.digest, processes=1)


def test_replications_differ_and_the_same_one_is_the_same(digests):
    assert len(set(digests)) == 4
    assert run_many(replications(4)[2:3], dying.digest, processes=1) == digests[2:3]


def test_two_processes_give_the_digests_of_one_in_the_order_asked(digests):
    told = []
    assert run_many(replications(4), dying.digest, processes=2, tell=lambda done, asked: told.append((done, asked))) == digests
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_any_executor_will_do(digests):
    with ThreadPoolExecutor(1) as executor:
        assert run_many(replications(4), dying.digest, executor=executor) == digests


def test_nothing_asked_is_nothing_done():
    assert run_many([], dying.digest) == []


def test_what_a_dead_worker_took_with_it_is_run_again(tmp_path):
    assert run_many(replications(3, description=tmp_path / "died"), dying.dies_once, processes=2) == [0, 1, 2]
    assert (tmp_path / "died").exists()


def test_a_worker_that_dies_each_time_is_told_with_what_is_done():
    with pytest.raises(LostWorkersError, match=r"(?s)1 of 2 runs \(numbers 1\): BrokenProcessPool.*cure: fewer processes") as told:
        run_many(replications(2), dying.always_dies, processes=2)
    assert told.value.done == {0: 0}


def test_a_broken_executor_of_somebody_else_is_told():
    with process_pool(1) as executor, pytest.raises(LostWorkersError):
        run_many(replications(2)[1:], dying.always_dies, executor=executor)


def test_an_error_that_cannot_travel_is_told_in_its_words():
    with pytest.raises(SimfabricError, match="LocalError: replication 0"):
        run_many(replications(1), dying.refuses, processes=1)


def test_an_interrupt_keeps_what_is_done():
    def stop(done, asked):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="after 2 of 4 runs") as told:
        run_many(replications(4), dying.replication, processes=1, tell=stop)
    assert told.value.done == {0: 0, 1: 1}


def test_a_run_that_was_cut_short_is_an_interrupt_and_not_a_result(monkeypatch):
    from simfabric.planning import many

    class Cut:
        partial = True

    monkeypatch.setattr(many, "run", lambda topology: Cut())
    with pytest.raises(Interrupted, match="after 0 of 1 runs"):
        run_many(replications(1), dying.replication, processes=1)
