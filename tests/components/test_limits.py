"""Limits at the gateways: what a user and a tenant get of a flood, who is told, and that a limit which nobody meets changes nothing."""

from collections import defaultdict

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.limits import BY_TENANT, BY_USER
from simfabric.kernels.state import CHANNEL, DELAY, FATE, LIMITED, PUBLISHED_AT, PUBLISHER, RECEIVED_AT, SEQUENCE, UNSENT
from simfabric.running import run
from tests.components.watching import simulate
from tests.helpers import drive, topology_of
from tests.helpers import run as outcome_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 20s, warmup: 0s, compiled: never}
clients: {count: 40, subscriptions: 3, tenants: 4}
channels: {count: 8}
traffic: [{name: chat, per: all, rate: 160/s}]
gateways: {count: 3, cores: 2}
balancer: {policy: random}
"""
RATE, BURST = 2, 5


def ran(**changes):
    """The fabric after its run."""
    fabric = Fabric(topology_of(BASE, **changes), False)
    simulate(fabric, fabric.topology)
    return fabric


def messages(fabric):
    """The rows of what was published."""
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    return rows[(rows[:, FATE] != UNSENT) & (rows[:, PUBLISHED_AT] < fabric.world.now)]


def arrivals(fabric, rows, of):
    """When admitted publications reached their gateway, by (gateway, what `of` says of the publisher)."""
    crowd, found = fabric.columns.crowd, defaultdict(list)
    for row in rows[rows[:, FATE] != LIMITED].tolist():
        seat = row[PUBLISHER]
        at = row[PUBLISHED_AT] + int(crowd.link[seat, DELAY])
        if at < fabric.world.now:
            found[int(crowd.home[seat]), int(of[crowd.client[seat]])].append(at)
    return {key: sorted(at) for key, at in found.items()}


def within(at, rate, burst):
    """Whether in no window more came than burst + rate x time, exactly."""
    at, n = np.array(at), np.arange(len(at))
    ahead = n * SECOND - rate * at  # The k-th after the i-th: k - i + 1 <= burst + rate (at_k - at_i).
    return bool((ahead - np.minimum.accumulate(ahead) <= (burst - 1) * SECOND).all())


@pytest.mark.parametrize("policy", ["token_bucket", "leaky_bucket"])
@pytest.mark.parametrize("devices", [1, 3])
def test_no_user_gets_more_than_the_burst_and_the_rate_in_any_window(policy, devices):
    fabric = ran(limits__publish=f"{{per_user: {{rate: {RATE}/s, burst: {BURST}, policy: {policy}}}}}", clients__devices_per_user=devices)
    rows = messages(fabric)
    counts, refused = fabric.gateways.limits.counts, int((rows[:, FATE] == LIMITED).sum())
    assert counts[:, BY_USER].sum() == refused > 500 and counts[:, BY_TENANT].sum() == 0
    by_user = arrivals(fabric, rows, fabric.columns.who.user)
    assert all(within(at, RATE, BURST) for at in by_user.values())
    busy = [at for at in by_user.values() if len(at) > 20]
    assert len(busy) > 8 and not all(within(at, RATE, BURST - 1) for at in busy), "void: the bound is not tight"


@pytest.mark.parametrize(("scope", "rate"), [("gateway", 12), ("fabric", 4)])
def test_no_tenant_gets_more_than_the_gateway_allows_it(scope, rate):
    fabric = ran(limits__publish=f"{{per_tenant: {{rate: 12/s, burst: 9, scope: {scope}}}}}")
    burst = 9 if scope == "gateway" else 3
    rows = messages(fabric)
    by_tenant = arrivals(fabric, rows, fabric.columns.who.tenant)
    assert all(within(at, rate, burst) for at in by_tenant.values()) and len(by_tenant) == 12
    counts, told = fabric.gateways.limits.counts, fabric.gateways.limits.by_tenant[0]
    assert counts[:, BY_TENANT].sum() == told[:, 1].sum() > 100 and told[:, 0].sum() >= told[:, 1].sum()


def test_a_queue_lets_a_users_messages_go_on_evenly_spaced():
    fabric = ran(limits__publish=f"{{per_user: {{rate: {RATE}/s, burst: {BURST}, policy: leaky_bucket}}}}", gateways__work__frame_in="0s")
    rows = messages(fabric)
    rows = rows[(rows[:, FATE] != LIMITED) & (rows[:, RECEIVED_AT] > 0)]
    for seat in range(40):
        went_on = np.sort(rows[rows[:, PUBLISHER] == seat, RECEIVED_AT])
        assert (np.diff(went_on) >= SECOND // RATE).all() and len(went_on) > 20


def test_what_is_refused_gets_no_sequence_and_costs_a_core_its_reading():
    fabric, free = ran(limits__publish="{per_user: {rate: 1/s, burst: 1}}"), ran()
    refused = messages(fabric)[messages(fabric)[:, FATE] == LIMITED]
    assert len(refused) > 1000 and not refused[:, SEQUENCE].any() and (refused[:, RECEIVED_AT] > 0).all()
    assert 0.2 * free.gateways.nodes.busy.sum() < fabric.gateways.nodes.busy.sum() < free.gateways.nodes.busy.sum()
    assert len(messages(free)) == len(messages(fabric)) and set(refused[:, CHANNEL]) == set(range(8))


def test_devices_of_a_user_share_a_bucket_on_their_gateway_and_only_there():
    fabric = ran(limits__publish="{per_user: {rate: 2/s}}", clients__devices_per_user=4, clients__count=200)
    crowd, limits, shared = fabric.columns.crowd, fabric.gateways.limits, 0
    for first in range(0, 200, 4):
        seats = [int(fabric.columns.seat_of[client]) for client in range(first, first + 4)]
        rows = defaultdict(set)
        for seat in seats:
            rows[int(crowd.home[seat])].add(int(limits.row[seat]))
        assert all(len(found) == 1 for found in rows.values()) and len({next(iter(found)) for found in rows.values()}) == len(rows)
        assert {row for found in rows.values() for row in found} <= set(range(first, first + 4))
        shared += len(rows) < 4
    assert shared > 40


def test_buckets_stay_apart_while_devices_move_from_gateway_to_gateway():
    faults = ", ".join(f"{{at: {at}s, down: 1s, target: {{gateway: {at % 3}}}}}" for at in range(1, 18, 2))
    changes = {"clients.devices_per_user": 3, "clients.reconnect.first": "100ms", "balancer.health": "{interval: 100ms, timeout: 50ms, fall: 2}"}
    fabric = ran(limits__publish="{per_user: {rate: 1/s, burst: 2}}", faults=f"[{faults}]", **changes)
    crowd, limits = fabric.columns.crowd, fabric.gateways.limits
    owner = defaultdict(set)
    for seat in np.flatnonzero(crowd.home >= 0):
        owner[int(limits.row[seat])].add(int(crowd.home[seat]))
        assert limits.life[limits.row[seat]] // 1024 == crowd.home[seat]
    assert all(len(homes) == 1 for homes in owner.values()) and crowd.dials.sum() > 60


@pytest.mark.parametrize(
    "neutral",
    [
        "{}",
        "{publish: {per_user: {rate: unlimited, burst: 1}, per_tenant: {rate: unlimited}}, subscribe: {per_user: {rate: unlimited, burst: 1}}}",
        "{publish: {per_user: {rate: 1M/s, burst: 1k}, per_tenant: {rate: 1M/s, burst: 1k, policy: leaky_bucket}}, subscribe: {per_user: {rate: 1k/s}}}",
    ],
)
def test_a_limit_that_nobody_meets_changes_nothing(neutral):
    faults = "[{at: 5s, down: 2s, target: {gateway: 0}}]"
    few = {"run.duration": "9s", "traffic[0].rate": "60/s", "faults": faults}
    without, limited = run(topology_of(BASE, **few)), run(topology_of(BASE, **few, limits=neutral))
    assert limited.digest == without.digest and limited.lawful


def test_a_gateway_that_dies_takes_what_waits_for_its_slot_with_it():
    changes = {"limits.publish": "{per_user: {rate: 30/min, burst: 8, policy: leaky_bucket}}", "faults": "[{at: 10s, down: 2s, target: {gateway: 0}}]"}
    result = run(topology_of(BASE, **changes))
    assert result.lawful and result.end.dropped["gateway_died_before_save"] > 100 and result.end.dropped["limited"] > 1000


def storm(monkeypatch, bucket, **changes):
    """(arrival, channels) of every client's subscribes that were admitted, after all gateways went away at once; and the fabric."""
    from simfabric.kernels import limiting

    original, admitted = limiting.subscribe_within, []

    def watched(at, gateway, item, *rest):
        then = original(at, gateway, item, *rest)
        if then >= at:
            admitted.append((gateway, at, 3))
        return then

    monkeypatch.setattr("simfabric.kernels.serving.subscribe_within", watched)
    fault = "[{at: 2s, down: 1s, target: {gateway: all}}]"
    fabric = ran(limits__subscribe=bucket, clients__tenants="1", clients__count="200", faults=fault, run__duration="40s", **changes)
    return admitted, fabric


def test_no_more_channels_are_subscribed_than_a_tenant_may_and_everybody_gets_in(monkeypatch):
    admitted, fabric = storm(monkeypatch, "{per_tenant: {rate: 12/s, burst: 9}}")
    crowd, counts = fabric.columns.crowd, fabric.gateways.limits.counts
    assert len(admitted) == 200 and (crowd.subscribed == 1).all() and counts[:, 6 + BY_TENANT].sum() > 200
    for gateway in range(3):
        at = np.repeat([when for where, when, _ in admitted if where == gateway], 3)
        assert within(at, 12, 9) and not within(at, 12, 8)
    assert max(when for _, when, _ in admitted) - 3 * SECOND > (200 // 3 - 3) * 3 * SECOND / 12 * 0.8  # It takes as long as the bucket says.


def test_a_storm_without_a_limit_is_over_sooner_and_nobody_is_refused(monkeypatch):
    admitted, fabric = storm(monkeypatch, "{per_tenant: {rate: 10k/s, burst: 900}}")
    assert len(admitted) == 200 and max(when for _, when, _ in admitted) < 8 * SECOND
    assert not fabric.gateways.limits.counts[:, [6 + BY_USER, 6 + BY_TENANT]].any()


def test_the_result_tells_refusals_by_reason_and_tenant():
    changes = {"clients.tenant_popularity": "2", "limits.publish": "{per_user: {rate: 3/s, burst: 5}, per_tenant: {rate: 12/s, burst: 9}}"}
    result = run(topology_of(BASE, **changes))
    found = result.figures()["limits"]["publish"]
    refused = found["refused"]
    assert refused["user"] > 50 and refused["tenant"] > 50 and refused["user"] + refused["tenant"] == result.end.limited
    assert sum(row[2] for row in found["tenants"]) == result.end.limited and found["tenants"][0][2] > found["tenants"][-1][2]
    summary = result.summary()
    assert "by the limit of a user" in summary and "refused most: tenants" in summary and "limited" in summary


def test_a_session_hears_that_it_was_too_much_and_does_not_send_again():
    topology = topology_of(BASE, limits__publish="{per_user: {rate: 1/s, burst: 1}}", clients__sessions=1, clients__count=6)
    fabric = Fabric(topology, False)
    assert fabric.clients.sessions is not None
    fabric.clients.sessions.trace.kept = True
    drive(fabric)
    (seat,) = fabric.clients.sessions.seated
    steps = [step for step in fabric.clients.sessions.trace.steps() if "rate_limited" in " ".join(map(str, step))]
    rows = messages(fabric)
    assert len(steps) >= int(((rows[:, PUBLISHER] == seat) & (rows[:, FATE] == LIMITED)).sum()) - 1 > 20


def test_the_laws_of_buckets_are_told_where_there_are_buckets():
    without, limited = run(topology_of(BASE)), run(topology_of(BASE, limits__publish="{per_tenant: {rate: 5/s}}"))
    mine = [(verdict.law.split()[0], verdict.verdict) for verdict in limited.laws[len(without.laws) :]]
    assert mine == [("C12a", "valid"), ("C12b", "valid")]


def test_the_law_of_buckets_notices_one_that_gives_too_much(monkeypatch):
    def generous(now, full_at, interval, burst, cost):
        return True, max(now, full_at) + cost * interval, 0

    monkeypatch.setattr("simfabric.kernels.limits.token_bucket", generous)
    result = run(topology_of(BASE, limits__publish="{per_user: {rate: 1/s, burst: 1}}"))
    assert [verdict.law.split()[0] for verdict in result.laws if verdict.verdict == "invalid"] == ["C12a"]


def test_a_window_changes_nothing_where_limits_refuse_and_delay():
    changes = {"run.duration": "5s", "limits.publish": "{per_user: {rate: 1/s, burst: 3, policy: leaky_bucket}, per_tenant: {rate: 8/s, burst: 4}}"}
    whole, short = (outcome_of(topology_of(BASE, **changes, run__window=window)) for window in ("exact", "130us"))
    assert all(np.array_equal(fact, short.facts[name]) for name, fact in whole.facts.items())
