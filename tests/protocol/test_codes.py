"""Close codes and HTTP statuses: every code has a class, known or not."""

import pytest

from simfabric.protocol import codes, inputs, machine

KNOWN = {
    **dict.fromkeys((1001, 1012), codes.AWAY),
    **dict.fromkeys((1002, 1003, 1007, 1010), codes.FAULT),
    1009: codes.TOO_BIG,
    **dict.fromkeys((1013, 4129), codes.OVERLOAD),
    4101: codes.STALE_TOKEN,
    **dict.fromkeys(range(4400, 4500), codes.TERMINAL),
}


@pytest.mark.parametrize("thousand", [1, 2, 3, 4])
def test_every_close_code_has_the_class_of_the_table_or_of_its_range(thousand):
    for code in range(1000 * thousand, 1000 * thousand + 1000):
        assert codes.close_class(code) == KNOWN.get(code, codes.FAIL), code


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1008, 1011, 1014, 1015, 4000, 4508, 3000, 4399, 4500, 4999, 0, 5000])
def test_what_is_not_planned_overload_stale_or_terminal_is_dialled_again_after_the_backoff(code):
    assert codes.close_class(code) == codes.FAIL


def test_the_terminal_range_has_its_edges_at_4400_and_4499():
    assert [codes.close_class(code) for code in (4399, 4400, 4499, 4500)] == [codes.FAIL, codes.TERMINAL, codes.TERMINAL, codes.FAIL]


def test_a_class_that_is_an_input_of_the_table_has_its_number_and_the_others_have_numbers_of_their_own():
    assert (codes.FAIL, codes.AWAY, codes.STALE_TOKEN, codes.TERMINAL) == (machine.FAIL, machine.AWAY, machine.STALE_TOKEN, machine.TERMINAL)
    assert len(codes.CLASS_NAMES) == 8
    assert all(number >= len(machine.INPUT_NAMES) for number in (codes.OVERLOAD, codes.FAULT, codes.TOO_BIG, codes.ACCESS_REVOKED))


@pytest.mark.parametrize(
    ("code", "reason"),
    [(4401, "auth"), (4403, "auth"), (4409, "replaced"), (4426, "upgrade"), (4400, "fault"), (4450, "fault"), (1002, "fault"), (1010, "fault")],
)
def test_a_terminal_close_has_a_reason_and_an_unknown_one_does_not_lead_to_login(code, reason):
    assert codes.REASON_NAMES[codes.reason_of(code)] == reason


@pytest.mark.parametrize("fetch", range(4))
def test_overload_of_any_call_waits_as_advised(fetch):
    assert codes.status_class(429, fetch) == codes.status_class(503, fetch) == codes.OVERLOAD


def test_case_53_a_forbidden_token_ends_in_signed_out_and_a_failed_or_silent_one_in_the_backoff():
    for fetch in (inputs.BOOTSTRAP, inputs.TOKEN):
        assert codes.status_class(401, fetch) == codes.status_class(403, fetch) == codes.TERMINAL
        assert {codes.status_class(status, fetch) for status in (0, 500, 502, 504, 404, 410)} == {codes.FAIL}


def test_a_forbidden_snapshot_or_replay_revokes_that_channel_only():
    for fetch in (inputs.REPLAY, inputs.SNAPSHOT):
        assert codes.status_class(403, fetch) == codes.ACCESS_REVOKED
        assert {codes.status_class(status, fetch) for status in (0, 401, 404, 500, 504)} == {codes.FAIL}
