"""Backpressure: where messages wait when gateways cannot keep up, what is dropped, and that nothing durable is lost."""

import pytest

from simfabric.errors import TopologyError
from simfabric.fabric import Fabric
from simfabric.kernels.state import GAPPED, HELD, LIVE, REPLAYED_COUNT, SHED, SHED_FRAMES, STAGE_OUT, THROTTLED_COUNT
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, differences, drive, topology_of
from tests.helpers import run as outcome_of

# Each gateway can write 400 messages a second to its 30 clients, and gets 700 for four seconds of twenty.
BASE = """
run: {duration: 20s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 1, delay: 10ms}
channels: {count: 4, given: [{name: hall, members: 100%}]}
gateways: {count: 2, cores: 2, work: {delivery: 4ms}}
traffic:
  - {name: hall, kind: producers, to: hall, rate: 5/s, bursts: {every: 15s, length: 4s, times: 5}}
  - {name: typing, per: all, rate: 6/s, lane: transient, size: 64B}
"""


def ended(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    most = [0, 0]

    def watching():
        while True:
            yield fabric.world.env.timeout(50_000_000)
            most[0] = max(most[0], int(fabric.pressure.behind().max()))
            most[1] = max(most[1], fabric.consumers.backlog())

    fabric.world.env.process(watching())
    drive(fabric)
    return fabric, tallies(fabric)["gateways"], most


@pytest.mark.parametrize("pattern", ["targeted", "broadcast"])
def test_with_pull_messages_wait_in_the_bus_and_all_of_them_arrive(pattern):
    small = {"fanout.pattern": pattern, "run.duration": "14s", "bus.fetch.max_bytes": "2KB"}
    _, plain, (queue, lag) = ended(**small)
    fabric, pulled, (shorter, longer) = ended(backpressure="{policy: pull, queue: 300ms, resume: 100ms, check: 20ms}", **small)
    assert queue > 1_000_000_000 and shorter < 700_000_000 and longer > lag + 10 and fabric.pressure.paused > 0
    assert pulled.counters[LIVE] == plain.counters[LIVE]


def test_with_shed_no_message_waits_longer_than_the_queue_and_clients_fetch_what_they_lack():
    _, plain, _ = ended(run__duration="14s")
    _, shed, (queue, _) = ended(backpressure="{policy: shed, queue: 300ms}", run__duration="14s")
    assert shed.counters[SHED_FRAMES] > 5 and shed.counters[SHED] > 0 and queue < 700_000_000
    assert shed.counters[GAPPED] + shed.counters[HELD] > 0 and shed.counters[REPLAYED_COUNT] > 50
    assert shed.counters[LIVE] + shed.counters[REPLAYED_COUNT] >= plain.counters[LIVE] - 3 * 60  # The last ones are on their way.
    assert shed.stages[STAGE_OUT].sum() > 0


def test_protection_refuses_what_is_transient_while_a_measure_is_high_and_lets_go_later():
    fabric, counted, _ = ended(backpressure="{protection: {queue: 300ms}}", traffic__typing__rate="40/s")
    switched = [what for _, what in fabric.pressure.events]
    assert counted.counters[THROTTLED_COUNT] > 20 and switched[:2] == ["protection on", "protection off"]
    ons = [at for at, what in fabric.pressure.events if what == "protection on"]
    assert len(ons) <= 6  # Two bursts: it does not flap.


@pytest.mark.parametrize("rule", ["{lag: 4}", "{cpu: 95%}"])
def test_protection_looks_at_lag_and_at_cores_too(rule):
    fabric, _, _ = ended(backpressure=f"{{policy: pull, protection: {rule}}}")
    assert ("protection on" in [what for _, what in fabric.pressure.events]) and fabric.pressure.paused > 0


def test_bounds_that_nothing_reaches_change_nothing():
    plain = outcome_of(topology_of(BASE, run__duration="8s"))
    for lenient in ("{policy: shed, queue: 1h}", "{policy: pull, queue: 1h}", "{protection: {queue: 1h}}"):
        assert differences(plain, outcome_of(topology_of(BASE, backpressure=lenient, run__duration="8s"))) == []


@pytest.mark.parametrize("policy", ["shed", "pull"])
def test_the_window_changes_nothing_with_backpressure(policy):
    topology = topology_of(BASE, backpressure=f"{{policy: {policy}, queue: 100ms, resume: 50ms, protection: {{queue: 80ms}}}}", run__duration="3s")
    assert differences(check_invariance(topology), outcome_of(topology, by_numba=True)) == []


@pytest.mark.parametrize("policy", ["shed", "pull"])
def test_every_law_holds_with_backpressure_over_a_crash(policy):
    result = run(topology_of(BASE, backpressure=f"{{policy: {policy}, queue: 200ms}}", faults="[{at: 4s, down: 2s, target: {gateway: 0}}]"))
    assert [law for law in result.laws if law.verdict == "invalid"] == []


def test_to_go_on_later_than_one_stopped_is_refused():
    with pytest.raises(TopologyError, match="goes on"):
        topology_of(BASE, backpressure="{policy: pull, queue: 100ms, resume: 200ms}")


QUIET = {"traffic__hall__rate": "0/s", "traffic__typing__rate": "0/s", "run__duration": "3s", "backpressure__check": "50ms"}


def test_routers_stop_for_any_gateway_that_is_behind_and_go_on_when_it_has_nothing_to_do():
    fabric = Fabric(topology_of(BASE, **QUIET, backpressure__policy="pull", backpressure__queue="100ms", backpressure__resume="0s"), False)
    fabric.gateways.nodes.free_at[:2] = 1_000_000_000  # Both cores of the first gateway; the other gateway is idle.
    drive(fabric, 900_000_000)
    assert fabric.consumers.paused.all()
    drive(fabric, 1_100_000_000)
    assert not fabric.consumers.paused.any()


def test_protection_looks_at_the_busiest_gateway():
    fabric = Fabric(topology_of(BASE, **QUIET, backpressure__protection="{cpu: 90%}"), False)
    fabric.gateways.nodes.busy[0] = 2 * 50_000_000  # All of its two cores' time until the first check.
    drive(fabric, 200_000_000)
    assert [text for _, text in fabric.faults.events] == ["protection on", "protection off"]
