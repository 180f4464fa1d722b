"""Presence: who is online, by leases; who is told when somebody comes or goes; and to whom it is shown."""

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels import looking, presence
from simfabric.kernels.frames import KIND_SHIFT
from simfabric.kernels.presence import CALM, JOIN, LAPSE, PART
from simfabric.running import run
from simfabric.running.facts import tallies
from tests.helpers import check_invariance, drive, topology_of

SECOND = 1_000_000_000
BASE = """
run: {duration: 60s, warmup: 0s, compiled: never}
clients: {count: 60, subscriptions: 3, delay: "uniform(3ms, 40ms)"}
channels: {count: 12}
gateways: {count: 3}
traffic: []
presence: {enabled: true}
"""
CHURN = """[{name: office, share: 50%, stays: exponential(10s), ends: close, away: exponential(6s)},
 {name: mobile, share: 30%, stays: exponential(20s), ends: silent}]"""
ALL = "[{at: 10s, kind: restart_node, down: 1s, target: {gateway: all}}]"
CRASH = "[{at: 10s, down: 1s, target: {gateway: 1}}]"


def ended(**changes):
    fabric = Fabric(topology_of(BASE, **changes), False)
    heard = []
    put = fabric.presence.inbox.put
    fabric.presence.inbox.put = lambda frames, count: (heard.extend(frames[:count].tolist()), put(frames, count))[1]
    drive(fabric)
    return fabric, heard


def said(fabric, *names):
    return [int(fabric.presence.counters[name]) for name in names]


def counted(fabric, *names):
    return [int(tallies(fabric)["gateways"].counters[name]) for name in names]


class Store:
    """The store in dictionaries: it is told of connections one by one, and looks at every timer by hand."""

    def __init__(self, fabric, connected):
        self.debounce = fabric.topology.presence.debounce
        self.user_of = fabric.columns.who.user[fabric.columns.crowd.client]
        self.held = {seat: ticket for seat, ticket in enumerate(connected) if ticket >= 0}
        self.shown = set(self.users())
        self.gone, self.told = {}, []

    def users(self):
        return {int(self.user_of[seat]) for seat in self.held}

    def hear(self, at, kind, seat, ticket):
        user, before = int(self.user_of[seat]), self.users()
        if kind == JOIN:
            self.held[seat] = ticket
        elif self.held.get(seat) == ticket:
            del self.held[seat]
        if user in before and user not in self.users():
            self.gone[user] = at
        if user in self.users():
            self.gone.pop(user, None)
        self.look(at)

    def look(self, at):
        """What is to be told by now."""
        for user, since in sorted(self.gone.items()):
            if at >= since + self.debounce:
                self.told.append((since + self.debounce, user, 0))
                self.shown.discard(user)
                del self.gone[user]
        for user in sorted(self.users() - self.shown):
            self.told.append((at, user, 1))
            self.shown.add(user)


@pytest.mark.parametrize("debounce", ["0s", "2s"])
@pytest.mark.parametrize("devices", [1, 3])
def test_the_store_does_what_dictionaries_do(debounce, devices):
    faults = "[{at: 10s, down: 5s, target: {gateway: all}}, {at: 40s, kind: restart_node, down: 3s, target: {gateway: 1}}]"
    changes = {
        "presence.debounce": debounce, "presence.work": "0s", "clients.churn": CHURN, "clients.devices_per_user": devices, "faults": faults,
        "presence.lease": "12s", "presence.heartbeat": "4s", "clients.heartbeat_interval": "5s",
    }  # fmt: skip
    fabric, heard = ended(**changes)
    store = Store(fabric, fabric.columns.crowd.belief * 0 + Fabric(fabric.topology, False).columns.crowd.belief)
    for at, name, _, seat, ticket in sorted(frame for frame in heard if frame[0] < 60 * SECOND):
        store.look(at - 1)
        if name >> KIND_SHIFT != CALM:
            store.hear(at, name >> KIND_SHIFT, seat, ticket)
        else:
            store.look(at)
    entries = fabric.presence.entries
    assert len(store.told) == said(fabric, presence.PUBLISHED)[0] > 20
    assert {user for user, shown in enumerate(entries.shown.tolist()) if shown} == store.shown
    assert {seat: ticket for seat, ticket in enumerate(entries.ticket.tolist()) if ticket >= 0} == store.held
    assert sorted(store.gone) == np.flatnonzero(entries.gone_at >= 0).tolist()


def test_at_rest_online_are_those_who_are_connected():
    changes = {"clients.churn": CHURN, "faults": ALL, "clients.heartbeat_interval": "5s", "clients.devices_per_user": 2}
    result = run(topology_of(BASE, **changes))
    assert all(law.verdict != "invalid" for law in result.laws)
    assert sum(law.law.startswith("P") and law.verdict == "valid" for law in result.laws) == 5
    quiet, _ = ended(faults=ALL)
    assert quiet.presence.online == 60 == (quiet.columns.crowd.home >= 0).sum()


def test_a_restart_of_all_is_told_twice_of_everybody_or_of_nobody():
    at_once, _ = ended(faults=ALL, presence__debounce="0s")
    later, _ = ended(faults=ALL, presence__debounce="1h")
    assert said(at_once, presence.JOINED, presence.PARTED, presence.PUBLISHED, presence.SUPPRESSED) == [60, 60, 120, 0]
    assert said(later, presence.JOINED, presence.PARTED, presence.PUBLISHED, presence.SUPPRESSED) == [60, 60, 0, 120]


def test_who_stays_away_longer_than_the_debounce_is_told_of_when_it_is_over():
    changes = {"clients.churn": "[{name: a, share: 100%, stays: exponential(5s), ends: close, away: 1h}]", "presence.debounce": "3s", "presence.work": "0s"}
    fabric, heard = ended(**changes)
    parted = {frame[3]: frame[0] for frame in heard if frame[1] >> KIND_SHIFT == PART}
    calm = {frame[3]: frame[0] for frame in heard if frame[1] >> KIND_SHIFT == CALM}
    assert calm == {seat: at + 3 * SECOND for seat, at in parted.items()} and len(calm) == 60
    assert not fabric.presence.entries.shown.any()
    hop = fabric.topology.network.hop
    assert sorted(fabric.presence.entries.last_seen.tolist()) == sorted(at - hop for at in parted.values())


def test_users_of_a_crashed_gateway_who_do_not_come_back_go_when_its_leases_end():
    changes = {"faults": "[{at: 10s, down: 1h, target: {gateway: all}}]", "presence.lease": "20s", "presence.heartbeat": "5s", "presence.debounce": "0s"}
    fabric, heard = ended(**changes)
    lapses = sorted({frame[0] for frame in heard if frame[1] >> KIND_SHIFT == LAPSE})
    assert len(lapses) == 3 and all(25 * SECOND < at <= 30 * SECOND for at in lapses)
    assert fabric.presence.online == 0 and said(fabric, presence.LAPSED, presence.PUBLISHED) == [60, 60]
    assert set((fabric.presence.entries.last_seen + 20 * SECOND).tolist()) == set(lapses)


def test_users_of_a_crashed_gateway_who_are_back_before_its_leases_end_never_went():
    fabric, _ = ended(faults=CRASH, presence__debounce="0s")
    assert said(fabric, presence.RENEWED, presence.PARTED, presence.PUBLISHED, presence.LAPSED) == [20, 0, 0, 0]
    assert fabric.presence.online == 60


def test_a_user_with_a_second_device_stays_online():
    changes = {"faults": "[{at: 10s, kind: restart_node, down: 1s, target: {gateway: 1}}]", "presence.debounce": "0s"}
    one, _ = ended(**changes)
    three, _ = ended(**changes, clients__devices_per_user=3)
    assert said(one, presence.PARTED)[0] == 20 > said(three, presence.PARTED)[0]


def test_an_update_is_shown_only_to_those_who_look():
    def shown(share):
        return counted(ended(faults=ALL, presence__debounce="0s", presence__looking=share)[0], looking.SHOWN, looking.MEMBERS)

    (nobody, _), (half, members), (all_, same) = shown("0%"), shown("50%"), shown("100%")
    assert nobody == 0 and members == same and 0.4 < half / all_ < 0.6 and all_ <= members


def test_looking_by_number_does_not_grow_with_the_channel():
    def each(count):
        changes = {"clients.count": count, "clients.subscriptions": 1, "channels.count": 1, "presence.looking": 10, "presence.debounce": "0s"}
        fabric, _ = ended(faults=CRASH.replace("down: 1s", "kind: restart_node, down: 1s"), **changes)
        return counted(fabric, looking.SHOWN)[0] / said(fabric, presence.PUBLISHED)[0]

    assert 4 < each(60) < 16 and 4 < each(240) < 16


def test_an_update_goes_to_the_first_channels_of_the_user():
    def sent(channels):
        fabric, _ = ended(faults=ALL, presence__debounce="0s", presence__channels=channels, gateways__count=1, clients__churn=CHURN)
        return said(fabric, presence.SENT)[0] / said(fabric, presence.PUBLISHED)[0]

    assert sent(1) <= 1 < sent(2) <= 2 < sent(3) == sent(1000) <= 3


def test_a_busy_store_keeps_what_it_does_not_tell():
    changes = {"presence.debounce": "0s", "presence.servers": 1, "presence.work": "100ms", "presence.queue_timeout": "1s"}
    fabric, _ = ended(faults=ALL, **changes)
    untold, told, most = said(fabric, presence.UNTOLD, presence.PUBLISHED, presence.WAITED_MOST)
    assert untold > 30 and told > 10 and untold + told == 120 and most > SECOND
    assert fabric.presence.online == 60 and (fabric.presence.entries.shown == 1).all()


def test_a_full_buffer_drops_presence_first():
    changes = {"clients.bandwidth": "20kbit/s", "gateways.buffer": "8KB", "gateways.transients_upto": "25%", "presence.size": "2KB", "presence.looking": "100%"}
    fabric, _ = ended(faults=ALL, presence__debounce="0s", **changes)
    assert min(counted(fabric, looking.SHOWN_FULL, looking.SHOWN)) > 50


@pytest.mark.parametrize("policy", ["strict", "weighted"])
def test_with_lanes_presence_is_transient_and_is_dropped_when_it_waits_too_long(policy):
    changes = {"lanes.policy": policy, "lanes.patience": "1ms", "gateways.work.delivery": "2ms", "presence.looking": "100%", "presence.debounce": "0s"}
    result = run(topology_of(BASE, faults=ALL, **changes))
    assert result.presence["waited_too_long"] > 20 and result.presence["delivered"] > 20
    assert all(law.verdict != "invalid" for law in result.laws)


def test_presence_that_is_not_kept_changes_nothing():
    without = BASE.replace("presence: {enabled: true}", "")
    off = run(topology_of(BASE, faults=ALL, presence__enabled="false", presence__debounce="0s"))
    assert off.digest == run(topology_of(without, faults=ALL)).digest and off.presence == {}


def test_presence_that_nobody_looks_at_changes_no_delivery():
    chat = {"traffic": "[{name: chat, rate: 10/min}]", "faults": ALL, "clients.churn": CHURN, "gateways.work.frame_in": "0s"}
    off, on = run(topology_of(BASE, presence__enabled="false", **chat), trail=True), run(topology_of(BASE, presence__looking="0%", **chat), trail=True)
    assert len(off.trail) > 500 and np.array_equal(off.trail, on.trail)


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
@pytest.mark.parametrize("policy", ["fifo", "weighted"])
@pytest.mark.parametrize("by_numba", [False, True])
def test_windows_and_compilation_change_nothing(pattern, policy, by_numba):
    faults = (
        "[{at: 4s, down: 2s, target: {gateway: all}}, {at: 9s, down: 1s, target: {gateway: 2}}, {at: 14s, kind: restart_node, down: 3s, target: {gateway: 1}}]"
    )
    churn = "[{name: a, share: 40%, stays: exponential(3s), ends: close, away: exponential(2s)}, {name: b, share: 40%, stays: 4s, ends: silent}]"
    changes = {
        "run.duration": "20s", "clients.churn": churn, "faults": faults, "clients.heartbeat_interval": "2s", "clients.heartbeat_timeout": "1s",
        "presence.debounce": "1s", "presence.lease": "3s", "presence.heartbeat": "1s", "presence.work": "exponential(3ms)", "presence.looking": "60%",
        "traffic": "[{name: chat, rate: 20/min}, {name: typing, rate: 20/min, lane: transient}]", "lanes.policy": policy,
    }  # fmt: skip
    whole = check_invariance(topology_of(BASE, fanout__pattern=pattern, **changes), by_numba)
    assert min(said(whole.fabric, presence.PUBLISHED, presence.SUPPRESSED, presence.LAPSED, presence.RENEWED)) > 5, "void"


def test_workers_change_nothing():
    changes = {"run.compiled": "always", "clients.churn": CHURN, "faults": ALL, "presence.debounce": "0s"}
    assert len({run(topology_of(BASE, run__workers=workers, **changes)).digest for workers in (1, 3)}) == 1


def test_compiled_and_plain_give_the_same_digest():
    changes = {"clients.churn": CHURN, "faults": ALL, "presence.debounce": "1s", "run.duration": "30s"}
    assert len({run(topology_of(BASE, run__compiled=compiled, **changes)).digest for compiled in ("always", "never")}) == 1


def test_the_summary_tells_of_presence():
    result = run(topology_of(BASE, faults=ALL, presence__debounce="0s"))
    text, figures = result.summary(), result.figures()["presence"]
    assert (figures["published"], figures["wait_at_most_s"] > 0, figures["p50_s"] > 0.003) == (120, True, True)
    assert "60 online; 60 came, 60 went: 120 updates told" in text and "deliveries to those who look" in text
