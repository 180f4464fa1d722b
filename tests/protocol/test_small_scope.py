"""Small scope, exhaustively: every order of what can happen to a client, two gateways, one log and a few messages, with the faults that they survive.

pytest -m slow tests/protocol/test_small_scope.py      more messages and faults (minutes)
"""

import pytest

from tests.protocol.small_scope import SmallWorld, explore
from tests.protocol.test_mutants_client import doubles_shown
from tests.protocol.test_mutants_server import position_unchecked


@pytest.mark.parametrize(("messages", "faults", "states"), [(3, 0, 258), (1, 1, 900)])
def test_in_every_order_the_user_sees_every_message_once_and_in_order(messages: int, faults: int, states: int) -> None:
    found, ends = explore(lambda: SmallWorld(messages, faults))
    assert found >= states
    assert ends >= 1


@pytest.mark.parametrize("mutant", [doubles_shown, position_unchecked])
def test_a_planted_bug_is_found(mutant, monkeypatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError, match=r"after \("):
        explore(lambda: SmallWorld(1, 1), 4000)


@pytest.mark.slow
@pytest.mark.parametrize(("messages", "faults", "most"), [(2, 1, 100_000), (3, 1, 100_000), (1, 2, 200_000), (3, 2, 200_000)])
def test_with_more_messages_and_faults_too(messages: int, faults: int, most: int) -> None:
    found, ends = explore(lambda: SmallWorld(messages, faults), most)
    assert ends >= 60
    assert found >= 10_000
