"""What outlives a connection: logs by epoch and retention, keys, tokens; and the answers of the HTTP calls as text."""

import pytest

from simfabric.live import answers
from simfabric.live.backend import Backend
from simfabric.protocol.forms import MalformedFrame
from simfabric.protocol.inputs import Bootstrapped, LogRead
from simfabric.protocol.parameters import SECOND, Parameters

CHANNEL = 7


def written(count, **settings):
    backend = Backend((CHANNEL, 8), **settings)
    for key in range(count):
        backend.append(0, CHANNEL, 1, key, 10, key)
    return backend


def test_a_log_counts_from_1_and_its_epoch_comes_with_the_first_event():
    backend = written(0)
    assert backend.read(CHANNEL, 5, 0, 10) == LogRead(CHANNEL, 5, 0, 0, 1)
    settled, event = backend.append(3, CHANNEL, 1, 99, 10, 50)
    assert (settled.correlation, settled.sequence, settled.epoch, settled.duplicate) == (3, 1, 1, False)
    assert (event.sequence, event.epoch, event.client_message_id, event.ts) == (1, 1, 99, 50)


def test_the_same_key_of_the_same_user_is_written_once_and_answered_with_the_first_result():
    backend = written(0)
    first, _ = backend.append(1, CHANNEL, 1, 99, 10, 0)
    again, event = backend.append(2, CHANNEL, 1, 99, 10, 1)
    assert event is None
    assert again.duplicate and (again.event, again.sequence) == (first.event, first.sequence)
    other, event = backend.append(2, CHANNEL, 2, 99, 10, 1)
    assert not other.duplicate and event.sequence == 2


def test_a_key_is_forgotten_after_its_window():
    backend = written(0)
    window = backend.parameters.idempotency_window
    backend.append(1, CHANNEL, 1, 99, 10, 0)
    assert backend.append(1, CHANNEL, 1, 99, 10, window)[0].duplicate
    assert not backend.append(1, CHANNEL, 1, 99, 10, window + 1)[0].duplicate


def test_a_replay_gives_pages_until_nothing_is_left():
    backend = written(10)
    page = backend.replay(CHANNEL, 1, 3, 4)
    assert ([event.sequence for event in page.events], page.top, page.more, page.truncated) == ([4, 5, 6, 7], 10, True, False)
    page = backend.replay(CHANNEL, 1, 7, 4)
    assert ([event.sequence for event in page.events], page.more) == ([8, 9, 10], False)
    assert backend.replay(CHANNEL, 1, 10, 4).events == ()


@pytest.mark.parametrize(("epoch", "after"), [(2, 9), (1, 5)])
def test_a_replay_of_another_epoch_or_before_the_floor_is_truncated(epoch, after):
    backend = written(10)
    backend.logs[CHANNEL].truncate(8)
    page = backend.replay(CHANNEL, epoch, after, 100)
    assert page.truncated and not page.events


def test_at_the_top_nothing_is_missing_even_if_retention_has_passed_it():
    backend = written(10)
    backend.logs[CHANNEL].truncate(11)
    page = backend.replay(CHANNEL, 1, 10, 100)
    assert not page.truncated and not page.events
    assert backend.read(CHANNEL, 1, 10, 5).floor == 11


def test_a_log_that_was_lost_begins_a_newer_epoch_at_1():
    backend = written(10)
    backend.logs[CHANNEL].new_epoch()
    event = backend.append(0, CHANNEL, 1, 77, 10, 0)[1]
    assert (event.epoch, event.sequence) == (2, 1)


def test_retention_keeps_the_newest_events():
    backend = written(10, retention=4)
    read = backend.read(CHANNEL, 1, 6, 100)
    assert (read.top, read.floor, [event.sequence for event in read.events]) == (10, 7, [7, 8, 9, 10])
    assert backend.read(CHANNEL, 1, 5, 100).events == ()


def test_a_token_says_whose_it_is_until_when_and_under_which_revocation_version():
    backend = written(0, parameters=Parameters(token_ttl=60 * SECOND))
    secret = backend.issue(3, 1000)
    backend.revisions[3] = 1
    backend.denied.add((3, 8))
    accepted = backend.accept(secret, 2)
    assert (accepted.user, accepted.expires_at, accepted.revision, accepted.revoked, accepted.allowed) == (3, 1000 + 60 * SECOND, 0, 1, (7,))
    assert backend.accept("another", 2) is None


def test_answers_read_back_as_they_were_written():
    backend = written(5)
    replay, snapshot = backend.replay(CHANNEL, 1, 2, 2, ticket=9), backend.snapshot(CHANNEL, ticket=9)
    assert answers.read_replay(answers.write_replay(replay), 9, CHANNEL) == replay
    assert answers.read_snapshot(answers.write_snapshot(snapshot), 9, CHANNEL) == snapshot
    assert answers.read_token(answers.write_token("abc", 61_500_000_000)) == ("abc", 61_500_000_000)
    body = answers.write_bootstrap("ws://127.0.0.1:1/x", (7, 8), ((7, 1, 5),), 1, 2)
    assert answers.read_bootstrap(body, 9) == ("ws://127.0.0.1:1/x", Bootstrapped(9, (7, 8), ((7, 1, 5),)))


NOT_EVENTS = b'{"epoch":1,"top":1,"events":[{"type":"ping","t":1}]}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"epoch":1e999}', b'{"epoch":NaN}', b'{"epoch":-1,"top":0,"events":[]}', NOT_EVENTS], ids=range(8)
)
def test_an_answer_that_is_none_is_refused(body):
    with pytest.raises(MalformedFrame):
        answers.read_replay(body, 1, CHANNEL)


def test_the_advice_of_a_close_travels_in_its_reason():
    reason = answers.write_reason("x" * 200, 1_500_000_000, 30 * SECOND)
    assert len(reason.encode()) <= 123
    assert answers.read_reason(reason) == (1_500_000_000, 30 * SECOND)
    assert answers.read_reason(answers.write_reason("restart", -1, 0)) == (-1, 0)
    assert answers.read_reason("retry_after=1.2.3 spread=9") == (-1, 0)
    assert answers.read_retry_after({"retry-after": "12"}) == 12 * SECOND
    assert answers.read_retry_after({"retry-after": "soon"}) == -1


def test_a_page_of_a_replay_fits_into_a_frame():
    backend = written(400)
    page = backend.replay(CHANNEL, 1, 0, 10_000)
    assert 0 < len(page.events) <= backend.parameters.page_events and page.more
    assert len(answers.write_replay(page)) <= backend.parameters.max_frame
