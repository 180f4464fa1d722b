"""The log of a channel: contiguous, once per key, honest about what is gone."""

import pytest

from simfabric.protocol.channel_log import ChannelLog
from simfabric.protocol.codec import HEAD, wire_size

SECOND = 1_000_000_000


def filled(count, **settings):
    log = ChannelLog(3, **settings)
    for at in range(count):
        log.append(user=1, key=at, size=100, now=at * SECOND)
    return log


def test_sequences_are_contiguous_from_one_and_an_empty_log_has_no_epoch():
    log = ChannelLog(3)
    assert (log.epoch, log.top, log.floor) == (0, 0, 1)
    assert [log.append(1, key, 10, 0)[0].sequence for key in range(3)] == [1, 2, 3]
    assert (log.epoch, log.top, log.floor) == (1, 3, 1)


def test_case_31_a_key_that_comes_twice_gets_its_first_result():
    log = filled(3)
    first = log.events[1]
    assert log.append(1, 1, 100, 5 * SECOND) == (first, True)
    assert log.append(2, 1, 100, 5 * SECOND)[1] is False
    assert log.top == 4


def test_case_37_a_key_is_remembered_for_the_window_and_no_longer():
    log = ChannelLog(3, window=10 * SECOND)
    log.append(1, 7, 100, 0)
    assert log.append(1, 7, 100, 10 * SECOND)[1] is True
    assert log.append(1, 7, 100, 10 * SECOND + 1)[1] is False
    assert log.find(1, 7).sequence == 2


def test_a_page_ends_at_its_limit_or_at_its_bytes_but_brings_one_event_at_least():
    log = filled(10)
    assert [event.sequence for event in log.read(2, 3).events] == [3, 4, 5] and log.read(2, 3).more
    assert not log.read(2, 8).more and len(log.read(2, 8).events) == 8
    size = HEAD + 100
    assert [len(log.read(0, 10, most_bytes=room).events) for room in (0, size - 1, size, 2 * size - 1, 2 * size)] == [1, 1, 1, 1, 2]
    assert wire_size(log.events[0]) == size


@pytest.mark.parametrize(("after", "truncated"), [(0, True), (4, True), (5, False), (9, False), (10, False), (11, False)])
def test_case_4_a_cursor_below_the_floor_is_truncated(after, truncated):
    log = filled(10, retain_events=5)
    page = log.read(after, 300)
    assert log.floor == 6 and page.truncated is truncated
    assert len(page.events) == (max(0, 10 - after) if not truncated else 0)


def test_case_6_a_cursor_at_the_top_misses_nothing_even_when_retention_has_passed_it():
    log = filled(10)
    log.truncate(99)
    assert (log.floor, log.top, log.epoch) == (11, 10, 1)
    assert not log.read(10, 300).truncated and log.read(9, 300).truncated


def test_retention_by_age_keeps_the_last_instants():
    log = filled(10, retain_for=3 * SECOND)
    assert [event.ts // SECOND for event in log.events] == [6, 7, 8, 9]
    log.retain(11 * SECOND)
    assert [event.ts // SECOND for event in log.events] == [8, 9]


def test_case_1_a_new_epoch_starts_at_one_and_truncates_every_old_cursor():
    log = filled(4)
    ids = [event.event for event in log.events]
    log.new_epoch()
    assert log.epoch == 0 and log.read(4, 300, epoch=1).truncated
    event, duplicate = log.append(1, 0, 100, 0)
    assert (event.epoch, event.sequence, duplicate) == (2, 1, False)
    assert event.event not in ids
    assert log.read(0, 300, epoch=1).truncated and not log.read(0, 300, epoch=2).truncated


def test_case_26_the_last_sequence_is_below_2_to_53_and_no_event_comes_after_it():
    log = ChannelLog(3)
    log.top = 2**53 - 2
    assert log.append(1, -1, 10, 0)[0].sequence == 2**53 - 1
    with pytest.raises(ValueError, match="sequence <= 9007199254740991; here another event after 9007199254740991 in channel 3"):
        log.append(1, -1, 10, 0)
    assert log.top == 2**53 - 1


def test_the_clock_of_the_log_does_not_go_back():
    log = ChannelLog(3)
    assert [log.append(1, -1, 10, now)[0].ts for now in (5, 3, 9)] == [5, 5, 9]


def test_case_5_a_lost_tail_gives_its_sequences_again_to_other_events():
    log = filled(4)
    lost = log.events[-1]
    log.lose_tail(1)
    event, duplicate = log.append(1, 3, 100, 9 * SECOND)
    assert event.sequence == lost.sequence and event.event != lost.event and not duplicate
