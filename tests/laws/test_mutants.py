"""Rules of the fabric broken on purpose, one at a time, in a real run: the laws that need a history notice."""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from simfabric.components.bus import Consumers
from simfabric.kernels import asking, catching_up, clients, gateways, leaving, lifecycle, routing
from simfabric.running import run
from tests.laws.watched import topology, verdicts


def mutated(function: Callable[..., object], old: str, new: str) -> Callable[..., object]:
    """The function with a piece of its source changed."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    assert source.count(old) == 1, f"void: {old!r} stands {source.count(old)} times in {function.__name__}"
    scope = dict(inspect.unwrap(function).__globals__)
    exec(compile(source.replace("@inlined\n", "").replace(old, new), "<mutant>", "exec"), scope)
    changed = scope[function.__name__]
    assert isinstance(changed, types.FunctionType)
    return changed


def blind(honest: Callable[..., bool]) -> Callable[..., bool]:
    """A router that does not see who has come back since."""

    def visible(slot, view, book, evicted_at):
        return honest(slot, view, book, evicted_at) and not (slot >= book.pool[2] and slot % 2)

    return visible


class Mutant(NamedTuple):
    """One rule broken: where it is called from, by which name, the broken one (made of the honest one), and the laws of which one must notice."""

    module: object
    name: str
    broken: Callable[[Callable[..., Any]], Callable[..., Any]]
    laws: set[str]
    changes: Mapping[str, str] = MappingProxyType({})


SLOW = {"clients__bandwidth": "40kbit/s", "gateways__buffer": "1KB"}
YOUNG = {"apis__token__ttl": "3s", "apis__token__margin": "1s"}
MUTANTS: dict[str, Mutant] = {
    "a gap is not noticed": Mutant(gateways, "fan_out", lambda f: mutated(f, "if sequence == cursor + 1:", "if sequence > cursor >= 0:"), {"S1"}, SLOW),
    "duplicates are shown": Mutant(gateways, "fan_out", lambda f: mutated(f, "if sequence == cursor + 1:", "if sequence <= cursor + 1:"), {"S4"}),
    "who comes back goes on from more than was shown": Mutant(leaving, "hand_back", lambda f: mutated(f, "= cursor if", "= cursor + 1 if"), {"S1", "S2"}),
    "a replay leaves its last message out": Mutant(catching_up, "join", lambda f: mutated(f, "[i], reached, log)", "[i], max(0, reached - 1), log)"), {"S1"}),
    "what is gone from the log is said to be recovered": Mutant(asking, "has_expired", lambda f: lambda *_: False, {"S24"}),
    "waits grow out of their interval": Mutant(lifecycle, "backoff", lambda f: lambda *arguments: 3 * f(*arguments), {"S20"}),
    "old tokens are used": Mutant(clients, "token_fresh", lambda f: lambda *_: True, {"S22"}, YOUNG),
    "leases never end": Mutant(routing, "visible", lambda f: mutated(f, "view < evicted_at[book.slots[slot, GATEWAY], life]", "view >= 0"), {"S13"}),
    "a router does not see who has come back": Mutant(routing, "visible", blind, {"S14"}),
    "nothing is ever committed": Mutant(Consumers, "_uncommitted", lambda f: lambda self, frames: frames, {"S10"}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_noticed(mutant, monkeypatch):
    planted = MUTANTS[mutant]
    monkeypatch.setattr(planted.module, planted.name, planted.broken(getattr(planted.module, planted.name)))
    found = verdicts(run(topology(**planted.changes), laws=True))
    assert planted.laws & {law for law, verdict in found.items() if verdict == "invalid"}
