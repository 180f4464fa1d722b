"""Reconnect profiles, against the table of their waits: the shortest and the longest wait of each attempt, in seconds."""

import pytest

from simfabric.protocol import profiles
from simfabric.protocol.parameters import SECOND, Parameters
from simfabric.protocol.profiles import AT_ONCE, PROFILES, REDIAL, STOP
from simfabric.protocol.rules import backoff

LAST_U = 1 - 2**-53

# Shortest and longest waits of attempts 0, 1, … written out from the sources.
WAITS = {
    "simfabric": [(0.8, 1.2), (1.6, 2.4), (3.2, 4.8), (6.4, 9.6), (12.8, 19.2), (24, 36), (24, 36), (24, 36)],
    "centrifuge-js": [(0.5, 1), (0.5, 1.5), (0.5, 2.5), (0.5, 4.5), (0.5, 8.5), (0.5, 16.5), (0.5, 20), (0.5, 20)],
    "phoenix": [(s, s) for s in (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 5)],
    "pusher-js": [(1, 1)] * 12,
    "socket.io": [(0.5, 1.5), (1, 3), (2, 5), (4, 5), (5, 5), (5, 5)],
    "signalr": [(0, 0), (2, 2), (10, 10), (30, 30)],
    "ably-js": [(0, 0), (12, 15), (16, 20), (20, 25), (24, 30), (24, 30), (24, 30)],
    "mattermost": [(3, 5)] * 7 + [(192, 194), (243, 245), (300, 302), (300, 302)],
    "nats.py": [(2, 2)] * 12,
}


def test_every_profile_is_written_out_here():
    assert set(WAITS) == set(PROFILES)
    assert profiles.DEFAULT == "simfabric"


@pytest.mark.parametrize("name", WAITS)
def test_the_waits_of_each_client_lie_between_its_shortest_and_its_longest(name):
    for attempt, (shortest, longest) in enumerate(WAITS[name]):
        assert PROFILES[name].wait(attempt, 0.0) == pytest.approx(shortest * SECOND, abs=1)
        assert PROFILES[name].wait(attempt, LAST_U) == pytest.approx(longest * SECOND, abs=1)
        waits = [PROFILES[name].wait(attempt, i / 64) for i in range(64)]
        assert waits == sorted(waits)


def test_the_default_profile_is_the_protocols_own_backoff():
    p = Parameters()
    for attempt in range(12):
        for u in (0.0, 0.1, 0.37, 0.5, 0.9, LAST_U):
            own = backoff(attempt, p.reconnect_first, p.reconnect_factor, p.reconnect_cap, p.reconnect_jitter, u)
            assert PROFILES["simfabric"].wait(attempt, u) == own
    assert not PROFILES["simfabric"].reset_on_open


def test_only_the_protocols_own_profile_keeps_its_backoff_over_a_short_success():
    assert [name for name, profile in PROFILES.items() if not profile.reset_on_open] == ["simfabric"]


def test_an_ably_client_that_is_down_for_two_minutes_dials_every_30_s_without_jitter():
    ably = PROFILES["ably-js"]
    assert ably.wait(3, 0.0, 120 * SECOND - 1) == 20 * SECOND
    assert {ably.wait(attempt, u, 120 * SECOND) for attempt in (0, 1, 9) for u in (0.0, 0.5, LAST_U)} == {30 * SECOND}


def test_signalr_stops_after_four_dials_nats_after_sixty_and_the_others_never():
    assert [PROFILES["signalr"].gives_up(attempt) for attempt in (3, 4, 5)] == [False, True, True]
    assert [PROFILES["nats.py"].gives_up(attempt) for attempt in (59, 60)] == [False, True]
    assert [name for name, profile in PROFILES.items() if profile.gives_up(10**6)] == ["signalr", "nats.py"]
    assert [name for name, profile in PROFILES.items() if not profile.retries_first_dial] == ["signalr"]


def test_pusher_obeys_close_code_classes_at_their_edges():
    pusher = PROFILES["pusher-js"]
    codes = (1006, 3999, 4000, 4099, 4100, 4199, 4200, 4299, 4300, 4999)
    assert [pusher.reaction(code) for code in codes] == [REDIAL, REDIAL, STOP, STOP, REDIAL, REDIAL, AT_ONCE, AT_ONCE, STOP, STOP]
    assert PROFILES["phoenix"].reaction(4401) == REDIAL
