"""Gateways that are too busy refuse, clients that get no answer in time give up and leave, and everybody's books stay right."""

import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.clients import BREAKS, BUSY, OVERDUE
from simfabric.kernels.frames import DIAL, HANDSHAKE, LEAVE, NOTICE, OPENED, REFUSED, SUBSCRIBED
from simfabric.kernels.state import DELAY, OPEN, TURNED_AWAY_BUSY
from simfabric.running import run as run_whole
from tests.components.watching import Heard
from tests.helpers import differences, drive, run, topology_of

SECOND = 1_000_000_000
STORM = """
run: {duration: 40s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: "uniform(5ms, 40ms)"}
channels: {count: 6}
traffic: [{name: chat, kind: producers, per: all, rate: 20/s}]
gateways: {count: 2, cores: 1, work: {handshake: 100ms}, accept_timeout: 300ms}
balancer: {policy: round_robin, handshake: 10us, health: {interval: 200ms, timeout: 100ms, fall: 1, rise: 1}}
faults: [{at: 5s, down: 500ms, target: {gateway: all}}]
"""
SLOW = {"gateways__accept_timeout": "1h", "gateways__work__handshake": "1ms", "gateways__work__subscribe": "200ms", "clients__connect_timeout": "2s"}


def watched(**changes):
    topology = topology_of(STORM, **changes)
    fabric = Fabric(topology, False)
    heard = {name: Heard(getattr(fabric, name)) for name in ("clients", "gateways", "balancer")}
    drive(fabric)
    return fabric, heard


def test_a_dial_that_would_wait_too_long_for_its_core_is_refused_at_once_and_the_others_wait_no_longer():
    fabric, heard = watched()
    busy = [row for row in heard["clients"].frames(REFUSED).tolist() if row[2] == BUSY]
    arrived = {}
    for row in heard["gateways"].frames(HANDSHAKE).tolist():
        arrived.setdefault(row[3], []).append(row[0])
    link = fabric.columns.crowd.link
    assert len(busy) == sum(int(w.tally.counters[TURNED_AWAY_BUSY]) for w in fabric.gateways.workers) > 20
    assert all(at - int(link[seat, DELAY]) in arrived[seat] for at, _, _, seat, _ in busy)
    for at, _, _, seat, _ in heard["clients"].frames(OPENED).tolist():
        came = max(t for t in arrived[seat] if t < at)
        assert 100_000_000 <= at - int(link[seat, DELAY]) - came <= 400_000_000


def test_who_was_refused_by_a_busy_gateway_waits_as_advised():
    _, heard = watched(balancer__retry_after="6s", balancer__retry_spread="2s")
    dials = {}
    for row in heard["balancer"].frames(DIAL).tolist():
        dials.setdefault(row[3], []).append(row[0])
    busy = [row for row in heard["clients"].frames(REFUSED).tolist() if row[2] == BUSY]
    waits = [min((t for t in dials[seat] if t > at), default=None) for at, _, _, seat, _ in busy]
    assert len(busy) > 20 and all(then is None or then >= at + 6 * SECOND for then, (at, *_) in zip(waits, busy))


@pytest.mark.parametrize("changes", [{}, SLOW], ids=["busy", "slow"])
def test_the_balancer_counts_as_open_what_the_gateways_have_open(changes):
    """Once all is quiet: everybody who was turned away, or left, was counted out again."""
    fabric, _ = watched(**changes, run__duration="6min", traffic__chat__rate="0/s")
    assert fabric.balancer.open.tolist() == fabric.gateways.nodes.state[:, OPEN].tolist() and fabric.balancer.open.sum() > 30


def test_a_client_that_is_not_told_in_time_gives_up_at_the_deadline_and_leaves():
    fabric, heard = watched(**SLOW)
    link = fabric.columns.crowd.link
    opened = {}
    for at, _, _, seat, _ in heard["clients"].frames(OPENED).tolist():
        opened.setdefault(seat, []).append(at)
    overdue = [row for row in heard["clients"].frames(NOTICE).tolist() if row[2] == OVERDUE and row[0] < 39 * SECOND]
    assert len(overdue) > 20
    left = {(at, item & 0xFFFFFFFF) for at, _, _, item, _ in heard["gateways"].frames(LEAVE).tolist()}
    told = heard["clients"].frames(SUBSCRIBED).tolist()
    for at, _, _, seat, _ in overdue:
        assert at - 2 * SECOND in opened[seat]
        assert (at + int(link[seat, DELAY]), seat) in left
        assert not any(at - 2 * SECOND < t <= at and s == seat for t, _, _, s, _ in told)
    for at, _, _, seat, _ in told:
        assert any(t < at <= t + 2 * SECOND for t in opened[seat])
    assert fabric.clients.tally.counters[BREAKS] >= len(overdue) + 60


def test_an_answer_at_the_deadline_itself_is_in_time():
    """One nanosecond decides: a single client, whose answer comes exactly connect_timeout after its opening."""
    one = {"clients__count": 1, "gateways__count": 1, "clients__delay": "20ms", "gateways__work__subscribe": "300ms", "gateways__accept_timeout": "1h"}
    topology = topology_of(STORM, **one)
    steps = 2 * 20_000_000 + 3 * 300_000_000 + topology.routing.store_delay + topology.network.hop + 2 * topology.network.hop
    for timeout, gives_up in ((steps, False), (steps - 1, True)):
        _, heard = watched(**one, clients__connect_timeout=f"{timeout}ns")
        assert any(row[2] == OVERDUE for row in heard["clients"].frames(NOTICE).tolist()) == gives_up
        assert (len(heard["clients"].frames(SUBSCRIBED)) > 0) == (not gives_up)


@pytest.mark.parametrize("changes", [{}, SLOW], ids=["busy", "slow"])
def test_the_laws_hold(changes):
    result = run_whole(topology_of(STORM, **changes))
    assert [v for v in result.laws if v.verdict == "invalid"] == [] and result.end.replayed > 0


@pytest.mark.parametrize("changes", [{}, SLOW, {**SLOW, "balancer__policy": "least_connections"}], ids=["busy", "slow", "least connections"])
def test_neither_the_window_nor_compiling_changes_anything(changes):
    topology = topology_of(STORM, **changes)
    whole = run(topology)
    for other in (run(topology.with_({"run.window": "300us"})), run(topology, by_numba=True)):
        assert differences(whole, other) == []


def test_without_a_timeout_nobody_is_refused():
    topology = topology_of(STORM)
    assert topology_of(STORM.replace(", accept_timeout: 300ms", "")).gateways.accept_timeout is None and topology.gateways.accept_timeout == 300_000_000
    _, heard = watched(gateways__accept_timeout="1h")
    assert not any(row[2] == BUSY for row in heard["clients"].frames(REFUSED).tolist())
