"""The history of a run: it changes nothing, it is the same in any window and form, it is bounded, and it can be stored."""

from __future__ import annotations

import numpy as np
import pytest

from simfabric.errors import SimfabricError
from simfabric.fabric import Fabric
from simfabric.history import KINDS, HistoryBuilder, HistoryError, load_history, save_history
from simfabric.laws import judge_history
from simfabric.planning.swarm import drawn, topology_of
from simfabric.running import run
from simfabric.running.observing import Observer
from tests.helpers import drive
from tests.laws.watched import topology, watched


@pytest.mark.parametrize("seed", [3, 7, 11, 19])
def test_watching_changes_no_bit_of_the_run(seed):
    drawn_one = topology_of(drawn(seed))
    watched_run = run(drawn_one, laws=True)
    assert run(drawn_one).digest == watched_run.digest
    assert watched_run.history is not None and len(watched_run.history) > 100


def test_a_history_does_not_depend_on_the_window_or_on_compiling():
    whole = watched().history
    half = run(topology(run__window=f"{watched().window // 3}ns"), laws=True).history
    compiled = run(topology(run__compiled="always"), laws=True).history
    assert whole is not None and half is not None and compiled is not None
    assert [kind for kind in KINDS if not np.array_equal(whole.tables[kind], half.tables[kind])] == []
    assert whole.digest == half.digest == compiled.digest


def test_the_deliveries_of_a_history_are_those_of_the_trail():
    one, other = run(topology(), trail=True), run(topology(), trail=True, laws=True)
    assert one.trail is not None and other.trail is not None and len(one.trail) > 1000
    assert np.array_equal(one.trail, other.trail)


def test_of_many_clients_whole_ones_are_watched_with_all_messages_of_their_channels():
    fabric = Fabric(topology(clients__count="300", run__duration="6s", faults="[]"), by_numba=False)
    observer = Observer(fabric, most_clients=200, sample=40)
    drive(fabric)
    observer.keep(0, fabric.columns.log.rows[: fabric.columns.messages])
    history = observer.history()
    clients = set(history["client"]["client"].tolist())
    assert history.every == 8 and 20 < len(clients) < 60 and not history.everybody
    assert set(history["client.receive"]["client"].tolist()) == set(history["subscription"]["client"].tolist()) == clients
    verdicts = {verdict.law.split()[0]: verdict for verdict in judge_history(history, fabric.topology)}
    assert verdicts["S1"].verdict == verdicts["C1*"].verdict == "valid" and verdicts["S1"].exercised > 500


def test_a_history_that_finds_no_room_says_from_when_on():
    fabric = Fabric(topology(run__duration="8s", faults="[]"), by_numba=False)
    observer = Observer(fabric, builder=HistoryBuilder(most=50))
    drive(fabric)
    history = observer.history()
    assert len(history["client.receive"]["at"]) == 50 and history.cut["client.receive"] > 0
    assert max(len(table) for table in history.tables.values()) <= 50


def test_a_stored_history_comes_back_and_a_changed_one_is_refused(tmp_path):
    history = watched().history
    assert history is not None
    save_history(history, tmp_path)
    again = load_history(tmp_path)
    assert again.digest == history.digest and again.end == history.end and again.everybody
    (tmp_path / "client.due.parquet").unlink()
    with pytest.raises(HistoryError, match="law: a history is a folder that --history wrote"):
        load_history(tmp_path)


def test_the_table_of_a_history_has_a_row_for_each_record_in_order_of_time():
    table = watched().table("history")
    history = watched().history
    assert history is not None and len(table) == len(history) == len(list(history.rows()))
    assert (np.diff(table["at_s"]) >= 0).all() and {"kind", "client", "message"} <= set(table.columns)
    with pytest.raises(SimfabricError, match="kept no history"):
        run(topology(run__duration="2s", faults="[]")).table("history")
