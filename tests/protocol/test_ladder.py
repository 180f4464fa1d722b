"""The ladder websocket, sse, long poll, by counted evidence: cases 77, 78 and 81."""

import pytest

from simfabric.chance import decision_key
from simfabric.protocol.inputs import LONG_POLL, SSE, WEBSOCKET
from simfabric.protocol.ladder import Ladder
from simfabric.protocol.rules import CONTROL_FRAME, DURABLE_EVENT, TRANSIENT_EVENT

S = 10**9
KEY = decision_key(1, 0, "clients/ws_retry")


def reachable():
    ladder = Ladder(KEY, 5)
    ladder.call_worked()
    return ladder


def in_fallback(now=0):
    ladder = reachable()
    for _ in range(3):
        ladder.failed(WEBSOCKET, False, now)
    return ladder


def test_case_77_a_blocked_websocket_gives_way_to_sse_at_the_third_counted_failure():
    ladder = reachable()
    assert [ladder.failed(WEBSOCKET, False, 0) for _ in range(3)] == [WEBSOCKET, WEBSOCKET, SSE]
    assert ladder.next_kind() == SSE


def test_case_77_a_websocket_that_worked_and_now_fails_is_first_a_network_fault():
    ladder = reachable()
    ladder.opened(WEBSOCKET, 0)
    ladder.connection_lost()
    assert [ladder.failed(WEBSOCKET, False, 0) for _ in range(10)] == [WEBSOCKET] * 10
    ladder.call_worked()
    assert [ladder.failed(WEBSOCKET, False, 0) for _ in range(6)] == [WEBSOCKET] * 5 + [SSE]


def test_a_failure_after_a_byte_arrived_is_no_evidence():
    ladder = reachable()
    assert [ladder.failed(WEBSOCKET, True, 0) for _ in range(10)] == [WEBSOCKET] * 10


def test_failures_before_a_success_are_forgotten():
    ladder = reachable()
    ladder.failed(WEBSOCKET, False, 0)
    ladder.failed(WEBSOCKET, False, 0)
    ladder.opened(WEBSOCKET, 0)
    assert [ladder.failed(WEBSOCKET, False, 0) for _ in range(5)] == [WEBSOCKET] * 5


def test_case_78_in_fallback_a_websocket_is_due_every_5_to_10_minutes():
    waits = []
    for client in range(50):
        ladder = Ladder(KEY, client)
        ladder.call_worked()
        for _ in range(3):
            ladder.failed(WEBSOCKET, False, 0)
        now = 0
        for _ in range(4):
            waits.append(ladder.retry_at - now)
            now = ladder.retry_at
            assert ladder.retry_due(now, ready=True)
    assert min(waits) >= 300 * S and max(waits) <= 600 * S
    assert len(set(waits)) == len(waits)


def test_case_78_the_rung_in_use_is_kept_while_a_websocket_is_tried_and_left_when_it_works():
    ladder = in_fallback()
    ladder.opened(SSE, 1 * S)
    due = ladder.retry_at
    assert ladder.retry_due(due, ready=True)
    assert ladder.kind == SSE
    ladder.failed(WEBSOCKET, False, due + S)
    assert ladder.kind == SSE and ladder.retry_at > due
    ladder.opened(WEBSOCKET, ladder.retry_at)
    assert ladder.kind == WEBSOCKET and ladder.retry_at is None
    assert not ladder.retry_due(due + 700 * S, ready=True)


def test_case_78_a_retry_that_comes_due_without_a_connection_makes_the_next_dial_a_websocket_once():
    ladder = in_fallback()
    assert not ladder.retry_due(ladder.retry_at, ready=False)
    assert ladder.next_kind() == WEBSOCKET
    ladder.failed(WEBSOCKET, False, ladder.retry_at)
    assert ladder.next_kind() == SSE


def test_case_78_a_page_that_is_loaded_anew_starts_with_a_websocket():
    assert in_fallback().next_kind() == SSE
    assert Ladder(KEY, 5).next_kind() == WEBSOCKET


def test_case_81_sse_without_a_first_byte_twice_gives_way_to_long_poll_which_stays():
    ladder = in_fallback()
    assert [ladder.failed(SSE, False, 0) for _ in range(2)] == [SSE, LONG_POLL]
    assert [ladder.failed(LONG_POLL, False, 0) for _ in range(10)] == [LONG_POLL] * 10
    assert ladder.retry_at is not None


def test_case_81_an_sse_that_worked_in_between_starts_its_count_anew():
    ladder = in_fallback()
    ladder.failed(SSE, False, 0)
    ladder.opened(SSE, 0)
    assert ladder.failed(SSE, False, 0) == SSE


@pytest.mark.parametrize("kind", [WEBSOCKET, SSE])
def test_websocket_and_sse_carry_everything(kind):
    ladder = reachable() if kind == WEBSOCKET else in_fallback()
    assert all(ladder.carries(frames, near) for frames in (CONTROL_FRAME, DURABLE_EVENT, TRANSIENT_EVENT) for near in (False, True))


def test_a_long_poll_carries_control_and_durable_events_of_near_channels():
    ladder = in_fallback()
    ladder.failed(SSE, False, 0)
    ladder.failed(SSE, False, 0)
    carried = [(frames, near) for frames in (CONTROL_FRAME, DURABLE_EVENT, TRANSIENT_EVENT) for near in (False, True) if ladder.carries(frames, near)]
    assert carried == [(CONTROL_FRAME, False), (CONTROL_FRAME, True), (DURABLE_EVENT, True)]
