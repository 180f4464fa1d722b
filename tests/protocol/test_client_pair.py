"""The client's half and the gateway's half over a virtual network: whatever happens to it, what the user sees is the log, in order, once, or a
reset in between; and when it heals, everything is there within a bound."""

import pytest
from hypothesis import settings

from simfabric.protocol import effects as do
from simfabric.protocol import machine
from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.client import ClientSession
from simfabric.protocol.parameters import Parameters
from tests.protocol.network import SECOND
from tests.protocol.pair import Pair
from tests.protocol.worlds import Storm


class ClientPair(Pair):
    def new_client(self, seed):
        return ClientSession(0, seed, parameters=self.parameters)


class ClientStorm(Storm):
    def make(self, parameters, seed, retain, wire):
        return ClientPair(parameters, seed, retain=retain, wire=wire)


ClientStorm.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None, derandomize=True)
TestClientStorm = ClientStorm.TestCase


def begun(**named):
    pair = ClientPair(**named)
    pair.start()
    pair.run(2 * SECOND)
    assert pair.client.state == machine.LIVE
    return pair


def test_a_calm_day_shows_every_event_once():
    pair = begun()
    pair.say(0, 5)
    pair.publish(1, 7)
    pair.run(2 * SECOND)
    assert pair.shown[0].items == [("event", 1, at) for at in range(1, 6)]
    assert pair.shown[1].keys == [7] and pair.settled == {7: ["sent"]}


def test_a_cut_that_nobody_sees_is_found_and_caught_up_by_replay():
    pair = begun()
    pair.cut(seen=False)
    pair.say(0, 3)
    pair.publish(1, 7)
    pair.run(60 * SECOND)
    assert pair.behind() == {} and pair.shown[0].items == [("event", 1, at) for at in range(1, 4)] and pair.settled == {7: ["sent"]}


def test_a_drained_gateway_is_left_without_a_gap_and_without_reconnecting_being_shown():
    pair = begun()
    first = len(pair.dials)
    home = pair.links[1].gateway
    pair.drain(home)
    for _ in range(70):
        pair.say(0)
        pair.run(SECOND)
    assert len(pair.dials) == first + 1 and pair.shown[0].items == [("event", 1, at) for at in range(1, 71)]
    assert pair.client.state == machine.LIVE and pair.client.attempt == 0


def test_a_lost_log_is_a_reset_and_the_new_one_goes_on():
    pair = begun()
    pair.say(0, 3)
    pair.run(SECOND)
    pair.new_epoch(0)
    pair.say(0, 2)
    pair.run(10 * SECOND)
    assert pair.shown[0].items[:3] == [("event", 1, at) for at in (1, 2, 3)] and pair.shown[0].items[3][0] == "reset" and pair.behind() == {}


def test_a_revoked_user_is_signed_out_and_stays_so():
    pair = begun()
    pair.revoke_user()
    pair.run(100 * SECOND)
    assert pair.client.state == machine.SIGNED_OUT and pair.client.next_deadline() is None


def asked_for(pair, kind):
    """How often the client called this interface."""
    return sum(isinstance(effect, kind) for _, effect in pair.log_of_effects)


def moved(log, epoch):
    """The channel's log at another partition, which has none of its old events: in the old epoch it goes on counting, in a new one it starts anew."""
    other = ChannelLog(log.channel, first_epoch=epoch)
    other.appended, other.keys = log.appended, log.keys
    if epoch == log.epoch:
        other.top, other.floor = log.top, log.top + 1
    return other


def test_case_25_a_channel_that_moves_to_another_partition_goes_on_counting():
    pair = begun()
    pair.say(0, 3)
    pair.run(SECOND)
    pair.logs[0] = moved(pair.logs[0], epoch=1)
    pair.say(0, 2)
    pair.run(60 * SECOND)
    assert pair.shown[0].items == [("event", 1, at) for at in range(1, 6)] and pair.behind() == {}
    assert asked_for(pair, do.FetchReplay) == asked_for(pair, do.FetchSnapshot) == 0


def test_case_25_a_channel_that_cannot_go_on_counting_begins_a_new_epoch():
    pair = begun()
    pair.say(0, 3)
    pair.run(SECOND)
    pair.logs[0] = moved(pair.logs[0], epoch=2)
    pair.say(0, 5)
    pair.run(60 * SECOND)
    assert [item for item in pair.shown[0].items if item[1] == 1] == [("event", 1, at) for at in (1, 2, 3)]
    assert pair.shown[0].items[3][:2] == ("reset", 2) and pair.behind() == {} and asked_for(pair, do.FetchSnapshot) == 1


@pytest.mark.parametrize("away", [10 * SECOND, 600 * SECOND])
def test_case_29_what_is_sent_to_a_receiver_who_is_away_waits_in_the_log_and_comes_by_replay(away):
    pair = begun()
    pair.say(0)
    pair.run(SECOND)
    pair.weather.up = False
    pair.cut()
    pair.run(away // 2)
    pair.say(0, 4)
    pair.run(away // 2)
    assert pair.shown[0].items == [("event", 1, 1)]
    pair.weather.up = True
    pair.run(pair.silence)
    assert pair.shown[0].items == [("event", 1, at) for at in range(1, 6)] and pair.behind() == {}
    assert asked_for(pair, do.FetchReplay) >= 1 and asked_for(pair, do.FetchSnapshot) == 0


@pytest.mark.parametrize("seen", [True, False])
def test_case_86_the_loss_of_a_gateway_that_is_still_routed_is_found_by_the_client_and_what_it_swallowed_comes_by_replay(seen):
    pair = begun()
    home = pair.gateways[pair.links[1].gateway]
    pair.kill(home.number, seen)
    assert home.routes[0] == [1]  # Publishers still send to it.
    pair.say(0, 4)
    began = pair.now
    pair.run(0 if seen else 32 * SECOND)
    assert pair.client.state == (machine.BACKOFF if seen else machine.LIVE)
    while pair.behind() and pair.now < began + 60 * SECOND:
        pair.run(SECOND)
    assert pair.behind() == {} and pair.now - began <= (5 if seen else 40) * SECOND
    assert pair.shown[0].items == [("event", 1, at) for at in range(1, 5)] and asked_for(pair, do.FetchSnapshot) == 0


def test_what_is_revoked_is_shown_no_more_within_the_bound():
    pair = begun()
    pair.say(0)
    pair.run(SECOND)
    pair.revoke(0)
    revoked = pair.now
    for _ in range(100):
        pair.say(0)
        pair.say(1)
        pair.run(SECOND // 10)
    shown = {channel: [at for at, effect in pair.log_of_effects if isinstance(effect, do.Deliver) and effect.channel == channel] for channel in (0, 1)}
    assert shown[0] and max(shown[0]) <= revoked + pair.parameters.revocation_bound < max(shown[1])


@pytest.mark.parametrize("delay", [0, 30 * SECOND])
def test_a_slow_user_interface_loses_nothing(delay):
    pair = begun(parameters=Parameters(queue_cap=20))
    pair.consumer_delay = delay
    for _ in range(30):
        pair.say(0, 4)
        pair.run(SECOND)
    pair.consumer_delay = 0
    pair.run(pair.silence)
    pair.say(0)
    pair.run(pair.silence)
    assert pair.behind() == {}
