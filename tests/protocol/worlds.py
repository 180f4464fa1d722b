"""What may happen to a pair, as rules of a state machine that both the plain and the real client are put through."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simfabric.protocol.parameters import Parameters
from tests.protocol.network import MILLISECOND, SECOND

CHANNELS = st.integers(0, 1)
GATEWAYS = st.integers(0, 1)
PARAMETERS = (Parameters(), Parameters(inline_recovery=20, replay_max=40, page_events=5))


class Storm(RuleBasedStateMachine):
    """Faults in any order, then healing: safe all the time, live within the bound afterwards."""

    def make(self, parameters, seed, retain, wire):
        raise NotImplementedError  # Each pair of client and gateway is a machine of its own.

    @initialize(parameters=st.sampled_from(PARAMETERS), seed=st.integers(0, 99), retain=st.sampled_from([-1, 6]), wire=st.booleans(), old=st.booleans())
    def begin(self, parameters, seed, retain, wire, old):
        self.pair = self.make(parameters, seed, retain, wire)
        self.pair.schema = 1 if old else 2
        self.key = 0
        self.pair.start()
        self.pair.run(2 * SECOND)

    @rule(channel=CHANNELS, count=st.integers(1, 8))
    def others_write(self, channel, count):
        self.pair.say(channel, count)

    @rule(channel=CHANNELS)
    def the_user_writes(self, channel):
        self.key += 1
        self.pair.publish(channel, self.key)

    @rule(duration=st.sampled_from([MILLISECOND, 30 * MILLISECOND, 400 * MILLISECOND, 3 * SECOND, 40 * SECOND]))
    def time_passes(self, duration):
        self.pair.run(duration)

    @rule(seen=st.booleans())
    def the_connection_breaks(self, seen):
        self.pair.cut(seen)

    @rule(up=st.booleans(), calls=st.booleans())
    def the_network_changes(self, up, calls):
        self.pair.weather.up, self.pair.weather.calls = up, calls

    @rule(duplicate=st.sampled_from([0, 0.3]), reorder=st.sampled_from([0, 0.3]), lose=st.sampled_from([0, 0.2]), delay=st.sampled_from([1, 20, 900]))
    def the_weather_changes(self, duplicate, reorder, lose, delay):
        weather = self.pair.weather
        weather.duplicate, weather.reorder, weather.lose_fanout, weather.delay = duplicate, reorder, lose, delay * MILLISECOND
        weather.hold_back = 500 * MILLISECOND

    @rule(lagging=st.booleans())
    def a_replica_answers_the_calls(self, lagging):
        self.pair.weather.lagging_replica = lagging

    @rule(number=GATEWAYS, seen=st.booleans())
    def a_gateway_dies(self, number, seen):
        if self.pair.gateways[number].alive:
            self.pair.kill(number, seen)

    @rule(number=GATEWAYS)
    def a_gateway_starts(self, number):
        if not self.pair.gateways[number].alive:
            self.pair.restart(number)

    @rule(number=GATEWAYS)
    def a_gateway_drains(self, number):
        if self.pair.gateways[number].alive and self.pair.gateways[number].draining is None:
            self.pair.drain(number)

    @rule(channel=CHANNELS)
    def the_log_is_lost(self, channel):
        self.pair.new_epoch(channel)

    @rule(channel=CHANNELS)
    def retention_moves(self, channel):
        log = self.pair.logs[channel]
        log.truncate(log.top - 1)

    @invariant()
    def time_does_not_stand_still(self):
        if hasattr(self, "pair"):
            deadline = self.pair.client.next_deadline()
            assert deadline is None or deadline > self.pair.now

    def teardown(self):
        if hasattr(self, "pair"):
            self.pair.heal()
            self.pair.run(self.pair.silence)
            self.pair.say(0)
            self.pair.say(1)
            self.pair.run(self.pair.silence)
            assert self.pair.behind() == {}
            self.check_publications()

    def check_publications(self):
        """Every send ends, once; what is shown as sent is in the log, and in no incarnation of it twice."""
        for key in range(1, self.key + 1):
            (outcome,) = self.pair.settled[key]
            epochs = self.pair.appended.get(key, [])
            assert len(epochs) == len(set(epochs))
            assert epochs or outcome != "sent"
