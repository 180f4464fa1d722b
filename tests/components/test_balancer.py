"""The balancer: admission as a queue of TLS servers, picks by policy, health checks at their exact times."""

import heapq
import random

import numpy as np
import pytest

from simfabric.chance import below, draw, word
from simfabric.fabric import Fabric
from simfabric.kernels.clients import DIALS, OPENINGS, REFUSALS
from simfabric.kernels.frames import DIAL, HANDSHAKE, OPENED, REFUSED
from simfabric.kernels.state import DELAY, OPEN, TURNED_AWAY
from simfabric.policies.balancing import BALANCING
from simfabric.running import run
from tests.components.watching import Heard, simulate, watched
from tests.helpers import topology_of

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BASE = """
run: {duration: 12s, warmup: 1s, compiled: never}
clients: {count: 60, subscriptions: 2, start: 2s, devices_per_user: 2, tenants: 20, behind_nat: 50%, nat_size: 6}
channels: {count: 10}
traffic: [{name: chat, per: all, rate: 4/s}]
gateways: {count: 3}
balancer: {health: {interval: 500ms, timeout: 200ms, fall: 2, rise: 2}}
routing: {heartbeat: 1s, ttl: 3s}
faults: [{target: {gateway: 1}, at: 4s, down: 3s}]
"""


def ran(topology):
    """The fabric of a topology, after its run."""
    fabric = Fabric(topology, False)
    simulate(fabric, topology)
    return fabric


# Policies


@pytest.mark.parametrize("policy", sorted(BALANCING))
def test_every_policy_places_all_clients_and_all_laws_hold_with_a_killed_gateway(policy):
    result = run(topology_of(BASE, balancer__policy=policy))
    assert [v.law for v in result.laws if v.verdict != "valid"] == []
    assert result.end.connections == 60 and result.end.away == 0
    breaks = result.figures()["breaks"]
    assert breaks > 0 and result.figures()["dials"] >= 60 + breaks


@pytest.mark.parametrize(
    ("policy", "key", "same"),
    [
        ("consistent_hash", "user", "user"),
        ("consistent_hash", "tenant", "tenant"),
        ("rendezvous", "user", "user"),
        ("maglev", "tenant", "tenant"),
        ("source_ip", "user", "address"),
    ],
)
def test_clients_with_the_same_key_share_a_gateway_and_come_back_to_it(policy, key, same):
    fabric = ran(topology_of(BASE, balancer__policy=policy, balancer__key=key, faults="[]"))
    crowd, keys = fabric.columns.crowd, getattr(fabric.columns.who, same)
    homes = {}
    for seat, client in enumerate(crowd.client.tolist()):
        homes.setdefault(int(keys[client]), set()).add(int(crowd.home[seat]))
    assert all(len(gateways) == 1 for gateways in homes.values()) and len(set().union(*homes.values())) == 3
    killed = ran(topology_of(BASE, balancer__policy=policy, balancer__key=key))
    before = dict(zip(crowd.client.tolist(), crowd.home.tolist()))
    after = dict(zip(killed.columns.crowd.client.tolist(), killed.columns.crowd.home.tolist()))
    assert all(after[client] == gateway for client, gateway in before.items() if gateway != 1), "a connection that stands is never moved"
    assert any(after[client] != 1 for client, gateway in before.items() if gateway == 1), "who dialled while it was away has another one"


def test_a_cookie_leads_back_to_the_gateway_of_the_last_connection():
    """A gateway that is back before its clients dial again gets them all; by turns they would have been spread."""
    soon = {"faults": "[{target: {gateway: 1}, at: 4s, down: 100ms}]", "clients.reconnect": "{first: 2s}"}
    sticky, spread = (ran(topology_of(BASE, **{"balancer.policy": policy} | soon)) for policy in ("cookie", "round_robin"))
    assert np.bincount(sticky.columns.crowd.home).tolist() == [20, 20, 20]
    assert np.bincount(spread.columns.crowd.home).tolist() != [20, 20, 20]


def test_without_a_start_everybody_is_connected_by_the_policys_answer_to_all_of_them():
    fabric = Fabric(topology_of(BASE, clients__start="connected", balancer__policy="round_robin"), False)
    crowd = fabric.columns.crowd
    assert dict(zip(crowd.client.tolist(), crowd.home.tolist())) == {client: client % 3 for client in range(60)}
    assert fabric.balancer.open.tolist() == fabric.gateways.nodes.state[:, OPEN].tolist() == [20, 20, 20]


# Admission


@pytest.mark.parametrize(("servers", "law"), [(1, "2ms"), (4, "10ms"), (3, "exponential(8ms)"), (2, "0s")])
def test_tls_servers_are_one_queue_first_come_first_served(servers, law):
    """M/G/c against a naive version, to the nanosecond."""
    sets = {"balancer.servers": servers, "balancer.handshake": law, "clients.start": "250ms", "clients.count": 200, "faults": "[]"}
    topology = topology_of(BASE, **sets)
    fabric = Fabric(topology, False)
    dials, handed_over = Heard(fabric.balancer), Heard(fabric.gateways)
    simulate(fabric, topology)
    table, key = fabric.world.table(topology.balancer.handshake), fabric.world.key("balancer")
    free, expected = [0] * servers, []
    for at, _, _, seat, _ in dials.frames(DIAL).tolist():
        work = draw(table, word(key, int(fabric.columns.crowd.client[seat]), at))
        done = max(at, heapq.heappop(free)) + work
        heapq.heappush(free, done)
        expected.append((done + topology.network.hop, seat))
    found = handed_over.frames(HANDSHAKE)
    assert [(at, seat) for at, _, _, seat, _ in found.tolist()] == sorted(expected) and len(found) == 200
    waited = [done - topology.network.hop - at for (done, _), (at, *_) in zip(expected, dials.frames(DIAL).tolist())]
    assert law == "0s" or max(waited) > 3 * draw(table, 1 << 63), "void: nobody waited"


def test_a_dial_takes_the_way_there_the_queue_the_handshakes_and_the_way_back():
    topology = topology_of(BASE, clients__start="2s", balancer__handshake="3ms", gateways__work__handshake="5ms", faults="[]", clients__count="3")
    fabric = Fabric(topology, False)
    dials, answers = Heard(fabric.balancer), Heard(fabric.clients)
    simulate(fabric, topology)
    hop = topology.network.hop
    arrived = {int(seat): int(at) for at, _, _, seat, _ in dials.frames(DIAL)}
    for at, _, _, seat, _ in answers.frames(OPENED).tolist():
        assert at == arrived[seat] + 3 * MILLISECOND + hop + 5 * MILLISECOND + fabric.columns.crowd.link[seat, DELAY]
    assert len(arrived) == 3


def test_a_full_gateway_refuses_and_its_limit_is_never_passed():
    """Two gateways with room for 45 of 60 clients each: while one is dead, 15 clients are turned away again and again."""
    full = {"gateways.count": 2, "gateways.connections": 45, "balancer.policy": "round_robin", "clients.start": "connected", "run.duration": "2min"}
    topology = topology_of(BASE, **full)
    fabric = Fabric(topology, False)
    answers = Heard(fabric.clients)
    most = []

    def watch():
        while True:
            most.append(fabric.gateways.nodes.state[:, OPEN].max())
            yield fabric.world.env.timeout(SECOND // 4)

    fabric.world.env.process(watch())
    simulate(fabric, topology)
    refused = answers.frames(REFUSED)
    assert max(most) == 45 and len(refused) == fabric.gateways.workers[0].tally.counters[TURNED_AWAY] >= 15
    assert set(refused[:, 4].tolist()) <= {0, 1}, "the refusal names the gateway"
    assert (fabric.columns.crowd.home >= 0).all(), "when the other gateway was back, all found a place"


def test_round_robin_goes_on_in_turn_over_the_dials_of_a_run():
    """Also with a number of gateways that divides what dials are numbered by: the turn is one of dials, not of clients."""
    fabric = ran(topology_of(BASE, gateways__count="4", balancer__policy="round_robin", faults="[]"))
    assert np.bincount(fabric.columns.crowd.home).tolist() == [15, 15, 15, 15]


# Health


def checked(deaths, phase, interval, timeout, fall, rise, until):
    """When a gateway leaves and returns, check by check."""
    eligible, failed, good, changes = True, 0, 0, []
    for at in range(phase, until, interval):
        dead = any(died < at <= back for died, back in deaths)
        failed, good = (failed + 1, 0) if dead else (0, good + 1)
        if eligible and failed >= fall:
            eligible = False
            changes.append((at + timeout, False))
        elif not eligible and good >= rise:
            eligible = True
            changes.append((at, True))
    return [change for change in changes if change[0] < until]


HEALTH = {
    "one failed check and one good one": ((10, 5, 1, 1), [(4000, 1000)]),
    "three of each": ((500, 200, 3, 3), [(4000, 4000)]),
    "slow checks": ((2000, 1000, 2, 1), [(3000, 9000)]),
    "back before anybody noticed": ((2000, 1000, 3, 2), [(4000, 300)]),
    "down to the end": ((500, 500, 4, 2), [(4000, 60_000)]),
    "two deaths, each noticed": ((300, 100, 2, 2), [(3000, 2000), (9000, 3000)]),
    "two short deaths, neither noticed": ((1000, 100, 3, 1), [(3000, 1500), (5000, 1500)]),
    "a second death before the checks of the first have run out": ((1000, 100, 3, 1), [(3000, 1200), (4700, 4000)]),
    "two short deaths without a good check between them": ((2000, 100, 3, 1), [(3000, 2900), (6000, 3900)]),
    "dead again before it was believed to be back": ((1000, 100, 2, 4), [(3000, 4000), (8500, 2000)]),
    "dead again for a moment that no check may see": ((1000, 100, 2, 4), [(3000, 4000), (8500, 5)]),
    "up for a moment that no check may see": ((1000, 100, 6, 1), [(3000, 2500), (5505, 2500)]),
    "back before the last check has timed out": ((1000, 1000, 2, 2), [(3000, 1900)]),
}


def check_health(settings, deaths, seed):
    """The moments at which the gateway leaves and returns are those of a naive version that makes every check."""
    interval, timeout, fall, rise = settings
    health = f"{{interval: {interval}ms, timeout: {timeout}ms, fall: {fall}, rise: {rise}}}"
    faults = "[" + ", ".join(f"{{target: {{gateway: 1}}, at: {at}ms, down: {down}ms}}" for at, down in deaths) + "]"
    few = {"clients.count": 1, "clients.tenants": 1, "traffic.chat.rate": "0/s", "run.duration": "60s"}
    topology = topology_of(BASE, run__seed=seed, balancer__health=health, faults=faults, **few)
    fabric = Fabric(topology, False)
    fabric.balancer.eligible = watched(fabric, fabric.balancer.eligible)
    simulate(fabric, topology)
    interval *= MILLISECOND
    phase = int(below(fabric.world.key("balancer/health"), 1, 0, min(interval, 2**31)))
    times = [(at * MILLISECOND, (at + down) * MILLISECOND) for at, down in deaths]
    expected = checked(times, phase, interval, timeout * MILLISECOND, fall, rise, 60 * SECOND)
    assert [(at, value) for at, _, value in fabric.balancer.eligible.changes] == expected
    assert {index for _, index, _ in fabric.balancer.eligible.changes} <= {1}


@pytest.mark.parametrize("case", HEALTH)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_gateway_leaves_and_returns_at_the_checks_that_tip_the_balance(case, seed):
    check_health(*HEALTH[case], seed)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_deaths_every_check_counts(seed):
    """Deaths and returns of any length, also such that no check sees."""
    drawn = random.Random(seed)
    interval, spans, deaths, at = drawn.choice([100, 300, 1000, 2000]), [3, 50, 400, 1500, 4000], [], 1000
    for _ in range(drawn.randint(1, 6)):
        at += drawn.choice(spans)
        deaths.append((at, drawn.choice(spans)))
        at += deaths[-1][1]
    check_health((interval, drawn.randint(1, interval), drawn.randint(1, 4), drawn.randint(1, 4)), deaths, seed)


def test_until_the_checks_have_failed_dials_go_to_the_dead_gateway_and_are_refused():
    sets = {"balancer.policy": "round_robin", "clients.reconnect": "{first: 100ms}", "clients.start": "connected"}
    slow, quick = (ran(topology_of(BASE, balancer__health=f"{{interval: {interval}, timeout: 10ms, fall: 2}}", **sets)) for interval in ("2s", "20ms"))
    assert slow.clients.tally.counters[REFUSALS] > 3 * quick.clients.tally.counters[REFUSALS]
    assert slow.clients.tally.counters[REFUSALS] == slow.gateways.workers[0].tally.counters[TURNED_AWAY]


@pytest.mark.parametrize("policy", ["least_connections", "two_choices"])
def test_a_slow_start_gives_a_gateway_that_came_back_fewer_picks_at_first(policy):
    sets = {"balancer.policy": policy, "clients.count": 400, "clients.start": "16s", "run.duration": "16s", "traffic.chat.rate": "0/s"}
    sets["faults"] = "[{target: {gateway: 1}, at: 3s, down: 2s}]"
    picks = {}
    for slow_start in ("0s", "20s"):
        topology = topology_of(BASE, balancer__slow_start=slow_start, **sets)
        fabric = Fabric(topology, False)
        counts = []

        def look(fabric=fabric, counts=counts):
            for until in (5 * SECOND, 9 * SECOND):
                yield fabric.world.env.timeout(until - fabric.world.now)
                counts.append(int(fabric.balancer.picks[1]))

        fabric.world.env.process(look())
        simulate(fabric, topology)
        picks[slow_start] = counts[1] - counts[0]
        if slow_start != "0s":
            assert 0.1 < fabric.balancer.weight[1] < 1.0 and fabric.balancer.weight[[0, 2]].tolist() == [1.0, 1.0]
    assert 0 < picks["20s"] < 0.7 * picks["0s"]


def test_the_weight_of_a_slow_start_grows_in_steps_to_one():
    topology = topology_of(BASE, balancer__slow_start="4s", balancer__health="{interval: 100ms, timeout: 10ms, rise: 1, fall: 1}")
    fabric = Fabric(topology, False)
    fabric.balancer.weight = watched(fabric, fabric.balancer.weight)
    simulate(fabric, topology)
    changes = fabric.balancer.weight.changes
    begins = changes[0][0]
    assert 7 * SECOND < begins <= 7.1 * SECOND, "the first good check after the return"
    steps = [(200 * MILLISECOND * step, max(0.1, (step + 1) / 20)) for step in range(20)]
    assert [(at - begins, value) for at, _, value in changes] == [*steps, (4 * SECOND, 1.0)]


def test_a_slow_start_is_taken_over_by_the_next_one():
    """Out and in again while it still warmed up: one weight, growing from the second return on."""
    faults = "[{target: {gateway: 1}, at: 2s, down: 1s}, {target: {gateway: 1}, at: 4s, down: 700ms}]"
    health = "{interval: 100ms, timeout: 10ms, rise: 1, fall: 1}"
    few = {"clients.count": 3, "clients.tenants": 1, "run.duration": "50s"}
    topology = topology_of(BASE, balancer__slow_start="40s", balancer__health=health, faults=faults, **few)
    fabric = Fabric(topology, False)
    fabric.balancer.weight = watched(fabric, fabric.balancer.weight)
    simulate(fabric, topology)
    weights = [value for _, _, value in fabric.balancer.weight.changes]
    assert weights == [0.1, *(max(0.1, step / 20) for step in range(1, 21)), 1.0]


def test_dials_that_the_dead_gateway_refused_are_not_believed_to_be_open():
    """Least connections sends the dead gateway every dial until it is out: back again, it is empty, and as good as the others."""
    sets = {"clients.start": "8s", "clients.count": 90, "faults": "[{target: {gateway: 1}, at: 3s, down: 3s}]"}
    fabric = ran(topology_of(BASE, balancer__policy="least_connections", **sets))
    assert fabric.gateways.workers[0].tally.counters[TURNED_AWAY] > 10
    assert fabric.balancer.open.tolist() == fabric.gateways.nodes.state[:, OPEN].tolist()
    assert fabric.balancer.open[1] > 15


# Nobody to go to


def test_without_an_eligible_gateway_dials_are_refused_and_the_backoff_goes_on():
    """S20: the waits of one client are 1, 2, 4, … s ± 20 %, whoever refused."""
    faults = "[{target: {gateway: 0}, at: 3s, down: 30s}]"
    sets = {"gateways.count": 1, "clients.start": "connected", "faults": faults, "run.duration": "80s", "apis.token.ttl": "0s"}
    topology = topology_of(BASE, balancer__health="{interval: 100ms, timeout: 50ms, fall: 1, rise: 1}", **sets)
    fabric = Fabric(topology, False)
    dials, answers = Heard(fabric.balancer), Heard(fabric.clients)
    simulate(fabric, topology)
    refused = answers.frames(REFUSED)
    assert set(refused[:, 4].tolist()) == {-1}, "the reason: nobody was there to be picked"
    counters = fabric.clients.tally.counters
    assert counters[REFUSALS] == len(refused) and counters[DIALS] == counters[REFUSALS] + counters[OPENINGS]
    assert (fabric.columns.crowd.home == 0).all() and counters[OPENINGS] == 60
    assert set(fabric.columns.crowd.attempt.tolist()) <= {5, 6}, "kept until a connection that was stable ends"
    frames, hop = dials.frames(DIAL), topology.network.hop
    for seat in range(60):
        delay = int(fabric.columns.crowd.link[seat, DELAY])
        sent = frames[frames[:, 3] == seat, 0] - delay - hop
        ended = np.concatenate([[3 * SECOND + delay], refused[refused[:, 3] == seat, 0]])
        waits = sent - ended
        for attempt, wait in enumerate(waits.tolist()):
            middle = min(30, 2**attempt) * SECOND
            assert 0.8 * middle <= wait <= 1.2 * middle
        assert len(waits) >= 5 and frames[frames[:, 3] == seat, 4].tolist() == list(range(len(waits)))


def test_a_run_that_refused_says_so_in_its_promise_of_connections():
    result = run(topology_of(BASE, gateways__count="1", faults="[{target: {gateway: 0}, at: 4s, down: 3s}]"))
    (promise,) = (o for o in result.slo if o.name == "connect success")
    assert promise.value is not None and promise.value < 0.999 and promise.met is False
    assert result.lawful
