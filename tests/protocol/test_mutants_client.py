"""Clients with one law broken: each must be caught by the test that is named for the law."""

import pytest

from simfabric.protocol import client, client_state, cursors, outbox, recovery, rules, stream, transports
from tests.protocol import test_client_connection as connection
from tests.protocol import test_client_publish as publish
from tests.protocol import test_client_recovery as recovered


def generations_unchecked(patch):
    patch.setattr(client_state.ClientState, "lane_by_dial", lambda self, generation: self.primary)


def tickets_unchecked(patch):
    patch.setattr(recovery, "ticket_of", lambda session, number, ticket, missing: (session.channels or {}).get(number))


def doubles_shown(patch):
    verdict_of = cursors.classify

    def classify(sequence, epoch, seen, known):
        verdict = verdict_of(sequence, epoch, seen, known)
        return cursors.DELIVER if verdict == cursors.DUPLICATE else verdict

    patch.setattr(stream, "classify", classify)


def epochs_ignored(patch):
    verdict_of = cursors.classify
    patch.setattr(stream, "classify", lambda sequence, epoch, seen, known: verdict_of(sequence, known or epoch, seen, known))


def epochs_of_replies_ignored(patch):
    verdict_of = cursors.sub_verdict
    patch.setattr(rules, "sub_verdict", lambda seq, epoch, top, now, floor: verdict_of(seq, now, top, now, floor))


def old_snapshots_taken(patch):
    patch.setattr(rules, "snapshot_ok", lambda epoch, seq, want_epoch, cur_epoch, cur_seq: True)


def attempts_forgotten_on_open(patch):
    opened = client.ClientSession.handle

    def handle(self, given, now):
        answer = opened(self, given, now)
        if type(given).__name__ == "TransportOpened":
            self.attempt = 0
        return answer

    patch.setattr(client.ClientSession, "handle", handle)


def waits_without_jitter(patch):
    spread = transports.backoff
    patch.setattr(transports, "backoff", lambda session, u: spread(session, 0.5))


def draws_start_anew(patch):
    draw = client_state.ClientState.draw

    def first(self, decision):
        self.draws = None
        return draw(self, decision)

    patch.setattr(client_state.ClientState, "draw", first)


def unacked_forgotten(patch):
    patch.setattr(outbox, "resend_unacked", lambda session: None)


MUTANTS = [
    (generations_unchecked, connection.test_case_43_a_late_open_of_an_old_socket_is_closed_and_its_frames_are_ignored),
    (tickets_unchecked, recovered.test_case_14_a_replay_that_was_under_way_at_the_close_is_called_off),
    (doubles_shown, recovered.test_case_18_the_same_event_twice_is_shown_once),
    (epochs_ignored, recovered.test_case_1_an_event_of_another_epoch_on_a_live_connection_does_the_same),
    (epochs_of_replies_ignored, recovered.test_case_1_a_reply_of_another_epoch_is_a_reset_even_if_it_says_recovered),
    (old_snapshots_taken, recovered.test_case_17_a_snapshot_older_than_the_cursor_is_refused_and_asked_for_again),
    (attempts_forgotten_on_open, connection.test_case_49_a_connection_that_is_accepted_and_closed_does_not_reset_the_attempts),
    (waits_without_jitter, connection.test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life),
    (draws_start_anew, connection.test_waits_are_the_rule_with_the_addressed_draws_of_the_clients_life),
    (unacked_forgotten, publish.test_case_31_after_a_lost_ack_the_send_goes_again_with_the_same_key),
]


@pytest.mark.parametrize(("mutant", "catcher"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_a_client_with_a_broken_law_is_caught(mutant, catcher, monkeypatch):
    catcher()
    with monkeypatch.context() as patch:
        mutant(patch)
        with pytest.raises(AssertionError):
            catcher()
    catcher()
