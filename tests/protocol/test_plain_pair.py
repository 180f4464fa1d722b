"""The gateway's half under storms, with the least client that is right: what it lacks, the gateway must not need."""

from hypothesis import settings

from tests.protocol.network import SECOND
from tests.protocol.pair import Pair
from tests.protocol.plain_client import PlainClient
from tests.protocol.worlds import Storm


class PlainPair(Pair):
    def new_client(self, seed):
        return PlainClient(self.parameters)


class PlainStorm(Storm):
    def make(self, parameters, seed, retain, wire):
        return PlainPair(parameters, seed, retain=retain, wire=wire)


PlainStorm.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None, derandomize=True)
TestPlainStorm = PlainStorm.TestCase


def test_a_calm_day_shows_every_event_once():
    pair = PlainPair()
    pair.start()
    pair.run(2 * SECOND)
    pair.say(0, 5)
    pair.publish(1, 7)
    pair.run(2 * SECOND)
    assert pair.shown[0].items == [("event", 1, at) for at in range(1, 6)]
    assert pair.shown[1].keys == [7] and pair.settled == {7: ["sent"]}
