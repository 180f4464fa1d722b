"""Columns: who the clients are and what they subscribe to, drawn by the client's number; inboxes and the conductor that everything rests on."""

import numpy as np
import pytest

from simfabric.compiling import plain
from simfabric.components.columns import delays_of, identities, spread
from simfabric.components.conductor import Conductor, lookahead
from simfabric.fabric import Fabric
from simfabric.kernels.fanout import warm
from simfabric.kernels.frames import DELIVER, KIND_SHIFT, NEVER, WIDTH
from simfabric.kernels.inbox import BUCKET, Inbox, PastError
from simfabric.kernels.subscriptions import subscription_of
from simfabric.world import World
from tests.components.watching import simulate
from tests.helpers import topology_of

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
BASE = """
run: {duration: 2s, warmup: 0s, compiled: never}
clients: {count: 1000, subscriptions: 4, tenants: 50, devices_per_user: 2, behind_nat: 30%, nat_size: 25}
channels: {count: 40, popularity: zipf(1), given: [{name: few, members: 7}, {name: half, members: 50%}]}
gateways: {count: 3}
"""


def world_of(**changes):
    return World(topology_of(BASE, **changes), False)


# Identities


def test_devices_of_one_user_share_its_tenant_and_region():
    who = identities(world_of(clients__regions="[{name: a, share: 70%}, {name: b, share: 30%}]"))
    assert (who.user == np.arange(1000) // 2).all()
    for column in (who.tenant, who.region):
        assert (column[0::2] == column[1::2]).all()
    assert np.bincount(who.region) / 1000 == pytest.approx([0.7, 0.3], abs=0.06)
    assert len(np.unique(who.tenant)) == 50


def test_tenants_may_be_as_unequal_as_zipf_says():
    sizes = np.bincount(identities(world_of(clients__tenant_popularity="1", clients__count="20_000")).tenant, minlength=50)
    expected = 1 / np.arange(1, 51)
    expected *= 20_000 / expected.sum()
    assert (np.abs(sizes - expected) < 8 * np.sqrt(expected)).all(), "users come in pairs"


def test_the_stated_share_of_clients_sits_behind_shared_addresses_of_the_stated_size():
    _, sizes = np.unique(identities(world_of()).address, return_counts=True)
    assert sizes[sizes > 1].tolist() == [25] * 12 and (sizes == 1).sum() == 700
    assert (np.unique(identities(world_of(clients__behind_nat="0%")).address, return_counts=True)[1] == 1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 97, 1000, 1_000_000])
def test_a_spread_visits_every_number_once(count):
    assert len(set((np.arange(min(count, 5000)) * spread(count) % count).tolist())) == min(count, 5000)


def test_delays_are_drawn_once_for_each_client_by_region_and_never_below_the_floor():
    regions = "[{name: a, share: 50%, delay: 3ms}, {name: b, share: 50%, delay: 'exponential(20ms)'}]"
    world = world_of(clients__regions=regions, clients__delay_floor="2ms")
    who = identities(world)
    delay = delays_of(world, who)
    assert (delay[who.region == 0] == 3 * MILLISECOND).all()
    far = delay[who.region == 1]
    assert far.min() == 2 * MILLISECOND and far.mean() == pytest.approx(20 * MILLISECOND, rel=0.15)
    assert np.array_equal(delay[:400], delays_of(*_with(world_of(clients__regions=regions, clients__delay_floor="2ms", clients__count="400"))))


def _with(world):
    return world, identities(world)


# Subscriptions


def test_given_channels_have_exactly_their_members_and_everybody_has_as_many_others_as_stated():
    crowd = Fabric(topology_of(BASE), False).columns.crowd
    assert crowd.members[:2].tolist() == [7, 500] and crowd.members.sum() == 4 * 1000 + 507
    for seat in range(1000):
        channels = crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist()
        assert len(set(channels)) == len(channels) and sum(channel >= 2 for channel in channels) == 4


def test_who_subscribes_to_what_does_not_depend_on_gateways_or_policy():
    def told(**changes):
        crowd = Fabric(topology_of(BASE, **changes), False).columns.crowd
        return {int(crowd.client[s]): crowd.channels[crowd.start[s] : crowd.start[s + 1]].tolist() for s in range(1000)}

    assert told() == told(gateways__count="7", balancer__policy="random") == told(clients__start="1s")


def test_a_client_may_subscribe_to_all_channels_however_rare_some_are():
    """Popularity alone would draw the last one for a long time."""
    crowd = Fabric(topology_of(BASE, clients__count="20", channels__popularity="zipf(3)", clients__subscriptions="40"), False).columns.crowd
    for seat in range(20):
        assert set(range(2, 42)) <= set(crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist())


def test_a_channel_that_a_seat_does_not_have_is_found_nowhere():
    crowd = Fabric(topology_of(BASE), False).columns.crowd
    assert plain(subscription_of)(0, 999, crowd) == -1
    assert plain(subscription_of)(0, int(crowd.channels[2]), crowd) == 2


def test_touching_memory_ahead_changes_nothing():
    """`warm` reads what the frames will need; compiled runs call it, and every column stays as it was."""
    fabric = Fabric(topology_of(BASE), False)
    columns = fabric.columns
    frames = np.zeros((5, WIDTH), np.int64)
    frames[:, 1] = DELIVER << KIND_SHIFT
    frames[:, 4] = [0, 3, -1, 7, 2]
    before = [array.copy() for array in (*columns.book, *columns.crowd)]
    assert isinstance(plain(warm)(frames, 0, 5, columns.book, columns.crowd), int)
    assert all(np.array_equal(one, other) for one, other in zip(before, (*columns.book, *columns.crowd)))


# Inboxes


def frames_at(*times):
    frames = np.zeros((len(times), WIDTH), np.int64)
    frames[:, 0] = times
    frames[:, 1] = np.arange(len(times))
    return frames


def test_an_inbox_gives_frames_in_order_of_time_and_name_whatever_the_order_in_which_they_came():
    rng = np.random.default_rng(5)
    inbox = Inbox(world_of(), "test")
    times = rng.integers(0, 20 * BUCKET, 3000)
    for part in np.array_split(frames_at(*times.tolist()), 7):
        inbox.put(part, len(part))
    assert inbox.earliest() == times.min() and len(inbox.waiting()) == 3000
    got = []
    for end in range(BUCKET // 2, 21 * BUCKET, BUCKET // 2):
        frames, count = inbox.take(end)
        got += [tuple(row) for row in frames[:count, :2].tolist()]
        assert inbox.earliest() >= end
    assert got == sorted((at, n) for n, at in enumerate(times.tolist()))
    assert inbox.earliest() == NEVER and inbox.account[0] == 3000


def test_an_inbox_with_rows_gives_them_row_by_row():
    inbox = Inbox(world_of(), "test", rows=4)
    frames = frames_at(*range(100))
    frames[:, 2] = np.arange(100) * 7 % 4
    inbox.put(frames, 100)
    out, count = inbox.take(1000)
    assert count == 100 and out[:count, 2].tolist() == sorted(frames[:, 2].tolist()) and inbox.starts.tolist() == [0, 25, 50, 75, 100]
    assert all((np.diff(out[a:b, 0]) > 0).all() for a, b in zip(inbox.starts, inbox.starts[1:]))


def test_many_far_frames_come_back_together():
    """One bucket with more frames than the inbox has room for."""
    inbox = Inbox(world_of(), "test")
    for start in range(0, 1000, 250):
        inbox.put(frames_at(*range(5 * BUCKET + start, 5 * BUCKET + start + 250)), 250)
    assert inbox.take(5 * BUCKET)[1] == 0 and inbox.earliest() == 5 * BUCKET
    assert inbox.take(6 * BUCKET)[1] == 1000


def test_a_frame_in_the_past_is_refused_and_told():
    inbox = Inbox(world_of(), "test")
    inbox.take(SECOND)
    with pytest.raises(PastError, match=r"test: a frame for 999999999 ns arrived at clock 1000000000 ns"):
        inbox.put(frames_at(SECOND - 1), 1)
    inbox.world.tolerance = 5
    inbox.put(frames_at(SECOND - 5), 1)
    with pytest.raises(PastError):
        inbox.put(frames_at(SECOND - 6), 1)


# The conductor


@pytest.mark.parametrize(("changes", "expected"), [({}, 2_000_000), ({"network.hop": "100us"}, 400_000), ({"network.bus_hop": "5ms"}, 11_000_000)])
def test_the_lookahead_is_the_shortest_loop_of_hops(changes, expected):
    """Gateway, storage and back, bus, consumer, router, gateway: four hops; or through the client, whose way takes at least a millisecond."""
    components = Fabric(topology_of(BASE, **changes), False).components
    client_loop = 2 * MILLISECOND
    assert lookahead(components) == min(expected, client_loop)


def test_a_stretch_without_work_is_skipped():
    busy, idle = (Fabric(topology_of(BASE, run__duration="20s", traffic=f"[{{name: chat, per: all, rate: {rate}}}]"), False) for rate in ("10/s", "0/s"))
    for fabric in (busy, idle):
        simulate(fabric, fabric.topology)
    assert idle.conductor.rounds <= 100 < busy.conductor.rounds < 20 * 1000 // 2


def test_a_conductor_knows_whether_its_window_is_exact():
    fabric = Fabric(topology_of(BASE), False)
    conductors = [Conductor(fabric.world, fabric.components, window) for window in (None, fabric.conductor.lookahead, fabric.conductor.lookahead + 1)]
    assert [conductor.exact for conductor in conductors] == [True, True, False]
    assert conductors[0].window == fabric.conductor.lookahead and fabric.world.tolerance == fabric.conductor.lookahead + 1
