"""Memory of a run: the plan counts the columns as they are, and knows the machine's limits."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.credits import Credits
from simfabric.kernels.presence import Entries
from simfabric.kernels.state import Book, Crowd, Log
from simfabric.planning import free_memory, memory, plan, problems
from simfabric.planning.machine import available, group_room
from simfabric.planning.miniature import miniature
from simfabric.topology import Topology, load, loads

FOLDER = Path(__file__).parents[2] / "topologies"


def topology_of(*sets: str) -> Topology:
    text = (
        "version: 1\nclients: {count: 5_000, subscriptions: 6}\nchannels: {count: 800, given: [{name: hall, members: 50%}]}\ngateways: {count: 6, cores: 2}\n"
    )
    return loads(text, sets=["run.duration=2s", "run.warmup=0s", *sets])


def test_every_column_is_counted() -> None:
    clients = {*memory.CLIENT, *memory.AWAY_CLIENT, *memory.SUBSCRIPTION, *memory.AWAY_SUBSCRIPTION}
    crowd = clients | {*memory.CHANNEL, *memory.REFUSING, *memory.STRIKES, *memory.SLOWED}
    assert crowd & set(Crowd._fields) == set(Crowd._fields)
    assert {*memory.SLOT, *memory.ROW, *memory.LATE, *memory.INDEX, *memory.CHANNEL, *memory.FIXED} & set(Book._fields) == set(Book._fields)
    assert {*memory.PRESENCE_CLIENT, *memory.PRESENCE_USER} == set(Entries._fields)
    assert {*memory.CREDIT, *memory.WANTED, "settings"} == set(Credits._fields)
    assert {*memory.MESSAGE, *memory.CHANNEL, *memory.FIXED} & set(Log._fields) == set(Log._fields)


def test_the_parts_are_as_large_as_the_columns_of_a_real_fabric() -> None:
    topology = topology_of()
    columns = Fabric(topology, by_numba=False).columns
    parts = {part.what: part.size for part in plan(topology).parts}
    crowd, book, who = columns.crowd, columns.book, columns.who
    clients = sum(getattr(crowd, name).nbytes for name in memory.CLIENT) + columns.seat_of.nbytes
    clients += who.user.nbytes + who.tenant.nbytes + who.address.nbytes + who.region.nbytes
    assert parts["clients"] == pytest.approx(clients, rel=0.01)
    assert parts["subscriptions"] == pytest.approx(crowd.channels.nbytes + book.rows.nbytes, rel=0.03)
    assert parts["slots (channel on a gateway)"] == pytest.approx(book.slots.nbytes, rel=0.05)


def test_presence_is_counted_where_it_is_kept() -> None:
    changes = ("presence.enabled=true", "clients.devices_per_user=2")
    presence = Fabric(topology_of(*changes), by_numba=False).presence
    assert presence is not None
    parts = {part.what: part.size for part in plan(topology_of(*changes)).parts}
    assert parts["presence"] == sum(column.nbytes for column in presence.entries)
    assert "presence" not in {part.what for part in plan(topology_of()).parts}


def test_credits_are_counted_where_routers_have_them():
    changes = ("backpressure={policy: credits, window: 50}", "fanout.routers=3", "faults=[{at: 1s, target: {gateway: 0}}]")
    credit = Fabric(topology_of(*changes), by_numba=False).gateways.credits
    parts = {part.what: part.size for part in plan(topology_of(*changes)).parts}
    assert parts["credits of routers"] == credit.sent.nbytes + credit.back.nbytes + credit.back_at.nbytes == 8 * 3 * 6 * 3 * 52
    assert "credits of routers" not in {part.what for part in plan(topology_of()).parts}


def test_the_messages_of_the_run_are_counted_as_long_as_the_log_keeps_them() -> None:
    def size(*sets: str) -> float:
        return next(part.size for part in plan(topology_of("run.duration=2h", *sets)).parts if part.what == "messages in the log")

    assert size("bus.retention=2h") == pytest.approx(2 * size("bus.retention=1h"))
    assert size("bus.retention=2h") == pytest.approx(7200 * 500 * 128)  # 5 000 clients, six a minute each.


@pytest.mark.parametrize("change", ["clients.start=1s", "faults=[{at: 1s}]"])
def test_clients_that_dial_need_columns_that_others_leave_untouched(change: str) -> None:
    few, many = plan(topology_of()), plan(topology_of(change))
    assert {part.what for part in many.parts} - {part.what for part in few.parts} == {
        "clients that dial",
        "subscriptions that come back",
        "growing room for them",
    }
    assert many.memory > few.memory


def test_what_does_not_fit_is_refused_with_the_arithmetic() -> None:
    foretold = plan(load(FOLDER / "stage_c_10m.yaml"))
    assert foretold.fits(foretold.memory) and not foretold.fits(foretold.memory - 1)
    assert problems(foretold, 1e12) == []
    (problem,) = problems(foretold, 2e9)
    for word in ("needs about", "210M subscriptions x ", "10M clients x ", "slots", "for the rest", "has 2GB free", "cure:", "clients.count", "--allow-large"):
        assert word in problem
    assert sum(part.size for part in foretold.parts) == foretold.memory


def test_a_run_of_days_is_refused_with_the_arithmetic() -> None:
    (problem,) = problems(plan(topology_of("run.duration=7d", "traffic.chat.rate=20/s", "clients.delay=1ms")), 1e15)
    for word in ("takes about", "messages", "deliveries", "windows", "cure:"):
        assert word in problem


def test_a_plan_of_ten_million_clients_allocates_next_to_nothing() -> None:
    topology = load(FOLDER / "stage_c_10m.yaml")
    tracemalloc.start()
    try:
        foretold = plan(topology)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 0.05 * foretold.memory


def test_a_plan_of_the_largest_topology_can_be_made() -> None:
    sets = ["clients.count=100M", "clients.subscriptions=1000", "clients.tenants=100M", "channels.count=100M", "gateways.count=100k", "gateways.cores=256"]
    sets += ["balancer.policy=consistent_hash", "balancer.virtual_nodes=10000", "bus.partitions=100k", "bus.brokers=10k", "fanout.routers=10k"]
    foretold = plan(loads("version: 1\n", sets=sets))
    assert foretold.memory > 1e12
    assert problems(foretold, 8e9)


def test_the_miniature_has_the_lookahead_of_the_fabric() -> None:
    for sets in ([], ["fanout.pattern=broadcast", "network.hop=90us"], ["fanout.pattern=direct", "network.storage_hop=30us"], ["run.window=7ms"]):
        topology = topology_of("clients.count=50", *sets)
        large, small = Fabric(topology, by_numba=False).conductor, miniature(topology).conductor
        assert (small.lookahead, small.window) == (large.lookahead, large.window)


def test_the_available_memory_is_read_from_the_system(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemAvailable:    9000000 kB\n", "ascii")
    assert available(tmp_path / "proc/meminfo") == 9_000_000 * 1024
    assert free_memory(tmp_path) == 9_000_000 * 1024


def test_a_control_group_limits_it(tmp_path: Path) -> None:
    folder = tmp_path / "sys/fs/cgroup"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n", "ascii")
    assert group_room(folder) is None
    (folder / "memory.max").write_text("2000000000\n", "ascii")
    (folder / "memory.current").write_text("500000000\n", "ascii")
    assert group_room(folder) == free_memory(tmp_path) == 1_500_000_000


def test_a_control_group_of_the_first_version_limits_it_too(tmp_path: Path) -> None:
    folder = tmp_path / "sys/fs/cgroup/memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n", "ascii")  # What it says when there is no limit.
    assert group_room(folder) is None
    (folder / "memory.limit_in_bytes").write_text("1000000\n", "ascii")
    assert free_memory(tmp_path) == 1_000_000


def test_a_system_that_tells_nothing_is_assumed_to_have_some(tmp_path: Path) -> None:
    assert free_memory(tmp_path) > 0
