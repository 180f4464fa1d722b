"""Who is typing: shown from the first event on, and ended by time when nobody says that it is over."""

import pytest

from simfabric.protocol.frames import PRESENCE, TYPING, Envelope
from simfabric.protocol.indicator import Indicator
from tests.protocol.playing import MS, Play, S


def typing(user):
    return Envelope(0, 0, 0, 9, TYPING, user=user)


@pytest.mark.parametrize(("waited", "shown"), [(6 * S - 1, (3,)), (6 * S, ())])
def test_case_70_a_lost_end_of_typing_ends_by_itself_after_6_s(waited, shown):
    indicator = Indicator()
    indicator.heard(typing(3), S)
    assert indicator.next_deadline() == 7 * S
    assert indicator.typing(S + waited) == shown
    assert (indicator.next_deadline() is None) is (shown == ())


def test_case_70_one_refresh_that_is_lost_does_not_end_it():
    indicator = Indicator()
    for at in (0, 3, 9):  # The one at 6 s is lost.
        assert at == 0 or indicator.typing(at * S - 1) == (3,)
        indicator.heard(typing(3), at * S)
    assert indicator.typing(15 * S - 1) == (3,) and indicator.typing(15 * S) == ()


def test_who_sends_what_was_typed_types_no_more_and_others_go_on():
    indicator = Indicator()
    indicator.heard(typing(3), 0)
    indicator.heard(typing(4), 1)
    indicator.heard(Envelope(0, 0, 0, 9, PRESENCE, user=4), 2)
    indicator.heard(Envelope(0, 1, 1, 9, user=3), 2)
    assert indicator.typing(2) == (4,) and indicator.next_deadline() == 1 + 6 * S


def test_case_70_the_indicator_lives_on_what_a_session_delivers():
    play, indicator = Play().live(0), Indicator()
    play.event(0, epoch=0, type=TYPING, user=3)
    play.wait(50 * MS)
    for event in play.made[0].events:
        indicator.heard(event, play.now)
    assert indicator.typing(play.now) == (3,) and indicator.typing(play.now + 6 * S) == ()
