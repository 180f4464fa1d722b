"""The table of the client's connection, against the same rows spelled a second time."""

import itertools

import pytest

from simfabric.protocol import machine
from simfabric.protocol.machine import EFFECT_NAMES, EFFECTS, INPUT_NAMES, LISTED, STATE_NAMES, TABLE, effect_names

TRYING = "bootstrap token dialing subscribing replaying live syncing"
ROWS = [
    ("idle signed_out", "START", "bootstrap", "ZERO_ATTEMPT NEW_GEN FETCH_BOOT ARM_CONNECT"),
    ("bootstrap", "BOOT_OK", "token", "FETCH_TOKEN ARM_CONNECT"),
    ("token", "TOKEN_OK", "dialing", "DIAL ARM_CONNECT"),
    ("dialing", "OPENED", "subscribing", "SEND_SUBS ARM_HEARTBEAT ARM_CONNECT"),
    ("subscribing", "SUBS_OK", "live", "STOP_CONNECT ARM_STABLE RESEND_UNACKED"),
    ("subscribing", "SUBS_BEHIND", "replaying", "STOP_CONNECT ARM_STABLE RESEND_UNACKED FETCH_BEHIND ARM_PATIENCE"),
    ("replaying syncing", "CAUGHT_UP", "live", "STOP_PATIENCE"),
    ("replaying", "PATIENCE", "syncing", ""),
    ("live", "BEHIND", "syncing", "FETCH_BEHIND"),
    ("replaying", "BEHIND", "replaying", "FETCH_BEHIND"),
    ("syncing", "BEHIND", "syncing", "FETCH_BEHIND"),
    (TRYING, "FAIL", "backoff", "NEW_GEN CLOSE STOP_ALL ARM_RETRY COUNT_ATTEMPT"),
    (TRYING, "FAIL_LIMIT", "offline", "NEW_GEN CLOSE STOP_ALL ARM_SLOW"),
    ("replaying live syncing", "AWAY", "backoff", "NEW_GEN CLOSE STOP_ALL ARM_ADVISED"),
    ("dialing subscribing replaying live syncing", "STALE_TOKEN", "token", "NEW_GEN CLOSE STOP_ALL DROP_TOKEN FETCH_TOKEN ARM_CONNECT"),
    (f"idle {TRYING} backoff offline", "TERMINAL", "signed_out", "NEW_GEN CLOSE STOP_ALL CLEAR_LOCAL TELL_TABS"),
    ("backoff offline", "RETRY", "bootstrap", "NEW_GEN FETCH_BOOT ARM_CONNECT"),
    ("backoff", "POKE", "backoff", "ARM_SOON"),
    ("offline", "POKE", "offline", "ARM_SOON"),
    *[(state, "POKE", state, "PROBE") for state in ("subscribing", "replaying", "live", "syncing")],
    *[(state, "DRAIN", state, "ARM_STANDBY") for state in ("subscribing", "replaying", "live", "syncing")],
    (f"{TRYING} backoff offline signed_out", "LOGOUT", "idle", "NEW_GEN CLOSE STOP_ALL CLEAR_LOCAL"),
]
EXPECTED = {(state, given): (to, effects) for states, given, to, effects in ROWS for state in states.split()}
PAIRS = list(itertools.product(STATE_NAMES, INPUT_NAMES))


def entry(state, given):
    s, i = STATE_NAMES.index(state), INPUT_NAMES.index(given)
    return STATE_NAMES[TABLE[s][i]], " ".join(effect_names(EFFECTS[s][i]))


@pytest.mark.parametrize(("state", "given"), PAIRS, ids=map("-".join, PAIRS))
def test_every_state_and_input_gives_what_the_protocol_says_and_an_unlisted_pair_changes_nothing(state, given):
    assert entry(state, given) == EXPECTED.get((state, given), (state, ""))


def test_the_listed_pairs_are_known_so_that_the_others_can_be_counted_as_ignored():
    assert {(STATE_NAMES[s], INPUT_NAMES[i]) for s, i in LISTED} == set(EXPECTED)
    assert len(LISTED) == sum(len(states) for states, _, _, _ in machine.TRANSITIONS)  # No pair is listed twice.


def test_states_and_inputs_have_the_codes_that_populations_store():
    states = ["IDLE", "BOOTSTRAP", "TOKEN", "DIALING", "SUBSCRIBING", "REPLAYING", "LIVE", "SYNCING", "BACKOFF", "OFFLINE", "SIGNED_OUT"]
    inputs = "START BOOT_OK TOKEN_OK OPENED SUBS_OK SUBS_BEHIND CAUGHT_UP PATIENCE BEHIND FAIL FAIL_LIMIT AWAY STALE_TOKEN TERMINAL RETRY POKE DRAIN LOGOUT"
    assert [getattr(machine, name) for name in states] == list(range(11))
    assert [name.lower() for name in states] == list(STATE_NAMES)
    assert [getattr(machine, name) for name in inputs.split()] == list(range(18))
    assert inputs.split() == list(INPUT_NAMES)


def test_the_table_fits_eight_bits_and_the_effects_fit_thirty_one():
    assert all(0 <= to < 11 for row in TABLE for to in row)
    assert all(0 <= mask < 1 << 26 for row in EFFECTS for mask in row)
    assert [getattr(machine, name) for name in EFFECT_NAMES] == [1 << bit for bit in range(26)]


def test_a_dead_generation_comes_before_every_close_and_every_dial_of_a_new_life():
    for state, given in itertools.product(range(11), range(18)):
        names = effect_names(EFFECTS[state][given])
        if "CLOSE" in names or "FETCH_BOOT" in names:
            later = [names.index(name) for name in ("CLOSE", "STOP_ALL", "FETCH_BOOT", "FETCH_TOKEN") if name in names]
            assert names.index("NEW_GEN") < min(later)


def test_only_a_start_or_a_timer_leaves_the_resting_states_upwards():
    upwards = {
        INPUT_NAMES[given] for state in (machine.IDLE, machine.SIGNED_OUT, *machine.WAITING) for given in range(18) if TABLE[state][given] == machine.BOOTSTRAP
    }
    assert upwards == {"START", "RETRY"}


def test_a_signed_out_client_never_dials_until_it_is_started_again():
    reached = {machine.SIGNED_OUT}
    for _ in range(11):
        reached |= {TABLE[state][given] for state in reached for given in range(18) if given != machine.START}
    assert reached == {machine.SIGNED_OUT, machine.IDLE}


def test_every_state_is_reachable_and_can_come_back_to_live():
    def closure(start):
        reached = {start}
        for _ in range(11):
            reached |= {to for state in reached for to in TABLE[state]}
        return reached

    assert closure(machine.IDLE) == set(range(11))
    assert all(machine.LIVE in closure(state) for state in range(11))


def test_case_65_a_network_break_takes_the_one_path_through_backoff_back_to_live():
    state, seen = machine.LIVE, []
    for given in (machine.FAIL, machine.RETRY, machine.BOOT_OK, machine.TOKEN_OK, machine.OPENED, machine.SUBS_BEHIND, machine.CAUGHT_UP):
        state = TABLE[state][given]
        seen.append(STATE_NAMES[state])
    assert seen == ["backoff", "bootstrap", "token", "dialing", "subscribing", "replaying", "live"]


def test_the_markdown_table_has_the_rows_of_the_protocol():
    lines = machine.markdown().splitlines()
    assert lines[2] == "| idle, signed_out | START | bootstrap | ZERO_ATTEMPT NEW_GEN FETCH_BOOT ARM_CONNECT |"
    assert "| replaying, syncing | BEHIND | same | FETCH_BEHIND |" in lines
    assert "| replaying | PATIENCE | syncing | - |" in lines
    assert len(lines) == 2 + len(machine.TRANSITIONS)


def test_the_diagram_draws_each_change_of_state_once():
    lines = machine.mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> idle"]
    assert "    live --> backoff: FAIL, AWAY" in lines
    changes = {(state, to) for (state, _), (to, _) in EXPECTED.items() if state != to}
    assert {tuple(line.split(":")[0].split(" --> ")) for line in map(str.strip, lines[2:])} == changes
    assert len(lines) == 2 + len(changes)
