"""The recorder: facts in bounded memory, the same whoever looks, and a watch that changes nothing."""

import threading

import numpy as np
import pytest

from simfabric.chance import mixed
from simfabric.kernels.state import MESSAGE_COLUMNS
from simfabric.recorder import TIMELINE, Recorder
from simfabric.running import Progress, one_run, run
from tests.helpers import topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 10s, warmup: 1500ms, compiled: never}
clients: {count: 30, subscriptions: 2}
channels: {count: 6}
traffic: [{name: chat, per: all, rate: 40/s}]
gateways: {count: 2}
"""


def rows(first, count):
    """Message rows that carry their number, to be told apart."""
    table = np.zeros((count, MESSAGE_COLUMNS), np.int64)
    table[:, 0] = np.arange(first, first + count)
    return table


# Messages


def test_all_messages_are_kept_while_they_are_few():
    recorder = Recorder(most_messages=100)
    recorder.keep(0, rows(0, 60))
    recorder.keep(60, rows(60, 40))
    table = np.concatenate(recorder.messages)
    assert recorder.every == 1 and table[:, 0].tolist() == table[:, 1].tolist() == list(range(100))


@pytest.mark.parametrize("most", [1, 7, 100, 999])
def test_a_sample_never_exceeds_its_bound_and_keeps_one_in_a_power_of_two(most):
    recorder = Recorder(most)
    for first in range(0, 5000, 250):
        recorder.keep(first, rows(first, 250))
        assert sum(len(part) for part in recorder.messages) == recorder.kept <= most
    numbers = np.concatenate(recorder.messages)[:, 0]
    hashed = np.asarray(mixed(np.arange(5000, dtype=np.uint64)))
    assert recorder.every & (recorder.every - 1) == 0
    assert numbers.tolist() == np.flatnonzero(hashed % np.uint64(recorder.every) == 0).tolist()


def test_the_sample_does_not_depend_on_how_the_messages_come():
    """One in so many by a hash of its number: whole, in thousands or one by one."""
    samples = []
    for step in (3000, 1000, 1):
        recorder = Recorder(200)
        for first in range(0, 3000, step):
            recorder.keep(first, rows(first, step))
        samples.append((recorder.every, np.concatenate(recorder.messages).tolist()))
    assert samples[0] == samples[1] == samples[2] and samples[0][0] == 16


def test_a_recorder_that_may_keep_nothing_keeps_nothing():
    recorder = Recorder(0)
    recorder.keep(0, rows(0, 10))
    recorder.keep(10, rows(10, 10))
    assert recorder.messages == [] or sum(len(part) for part in recorder.messages) == 0
    assert len(run(topology_of(BASE, run__messages="0")).messages) == 0


def test_a_run_thins_its_messages_and_the_rest_of_the_result_stays():
    whole, thin = (run(topology_of(BASE, run__messages=most)) for most in ("100k", "50"))
    assert whole.messages_every == 1 and len(whole.messages) == whole.end.published
    assert 10 < len(thin.messages) <= 50 and thin.messages_every >= 8
    kept = set(map(tuple, thin.messages.tolist()))
    assert kept <= set(map(tuple, whole.messages.tolist())) and thin.digest == whole.digest


# Timeline and checkpoints


def test_the_timeline_has_a_row_each_second_one_at_the_end_of_the_warm_up_and_one_at_each_checkpoint():
    result = run(topology_of(BASE, run__checkpoints="4"))
    assert result.timeline[:, 0].tolist() == sorted({*(SECOND * i for i in range(1, 11)), 1_500_000_000, *(2_500_000_000 * i for i in (1, 2, 3, 4))})
    assert [c.at for c in result.checkpoints] == [2_500_000_000 * i for i in (1, 2, 3, 4)]


def test_what_the_timeline_counts_never_falls_and_ends_with_the_totals():
    result = run(topology_of(BASE + "faults: [{target: {gateway: 0}, at: 3s, down: 2s}]\n"))
    for name in ("published", "delivered", "replayed", "dropped", "tried_in_vain", "breaks", "dials", "openings", "refusals", "replays", "frames"):
        assert (np.diff(result.timeline[:, TIMELINE.index(name)]) >= 0).all(), name
    assert result.timeline[-1, TIMELINE.index("delivered")] == result.delivered
    assert result.timeline[-1, TIMELINE.index("published")] == result.end.published
    assert result.timeline[-1, TIMELINE.index("connected")] == result.end.connections
    assert (np.diff(result.busy, axis=0).min(axis=0) >= 0).all()


def test_a_long_run_is_sampled_less_often_than_once_a_second(monkeypatch):
    monkeypatch.setattr(one_run, "MOST_SAMPLES", 3)
    result = run(topology_of(BASE, run__checkpoints="1", run__warmup="0s"))
    assert result.timeline[:, 0].tolist() == [4 * SECOND, 8 * SECOND, 10 * SECOND]


def test_a_run_shorter_than_a_sample_still_has_one():
    result = run(topology_of(BASE, run__duration="300ms", run__warmup="0s", run__checkpoints="1"))
    assert result.timeline[:, 0].tolist() == [300_000_000] and len(result.checkpoints) == 1 and result.lawful


def test_whoever_watches_changes_nothing():
    """M2: checkpoints, history and progress on or off leave the same digest."""
    told = []
    plain = run(topology_of(BASE, run__checkpoints="1"))
    watched = run(topology_of(BASE, run__checkpoints="500"), on_progress=told.append, trail=True)
    assert plain.digest == watched.digest and plain.trail is None
    assert watched.trail is not None and len(watched.trail) == watched.delivered
    assert told and isinstance(told[-1], Progress) and told[-1].simulated_s == told[-1].duration_s == 10.0 and told[-1].speed > 0


def test_progress_is_told_while_the_run_goes_on(monkeypatch):
    """The clock of the wall is made to run fast: then every round has news."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(one_run.time, "perf_counter", lambda: float(next(ticks)))
    told = []
    run(topology_of(BASE, run__duration="2s"), on_progress=told.append)
    simulated = [progress.simulated_s for progress in told]
    assert len(told) > 50 and simulated == sorted(simulated) and told[-1].delivered > told[0].delivered


def test_a_run_may_happen_in_any_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(run(topology_of(BASE))))
    thread.start()
    thread.join()
    assert results[0].digest == run(topology_of(BASE)).digest


# Forms


@pytest.mark.parametrize(("choice", "work", "expected"), [("always", 0.0, True), ("never", 1e12, False), ("auto", 1e12, True), ("auto", 10.0, False)])
def test_kernels_are_compiled_when_asked_or_when_it_pays(monkeypatch, choice, work, expected):
    monkeypatch.setattr(one_run, "expected_work", lambda topology: work)
    assert one_run.compiles(topology_of(BASE, run__compiled=choice)) is expected
