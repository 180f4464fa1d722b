"""Bugs planted on purpose in the fabric, one at a time, and how many seeds the swarm needs to notice each.

    python -m tests.planning.planted              every bug, up to 60 seeds each (some minutes)
    python -m tests.planning.planted --bug 3

A bug is a change of the text of one function, so it is what a hurried hand might have written. Numbers are those of the list of bugs that a
simulator of such a fabric must notice. Not here: 7, 9 (the protocol's: tests/protocol/test_mutants_*.py), 16 (tests/engine), 21, 22 (analysis:
tests/running, tests/oracles), 23 (tests/engine/test_determinism.py), 24 (every seed of the swarm runs in other windows); 18, 19 and 25 have no line.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from simfabric.planning.swarm import drawn, tried

QUIETLY = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not compil", "--no-header", "--tb=no", "--show-capture=no")


@dataclass(frozen=True)
class Bug:
    """One wrong line: in `where` (module:function), `old` has become `new`."""

    number: int
    says: str
    where: str
    old: str
    new: str
    test: str = ""  # Where it is noticed, if recovery hides it from the swarm: fetching what is missing heals it, or nothing is ever missing.


BUGS = (
    Bug(
        1,
        "the window of what is a duplicate is one too small",
        "kernels.fanout:fan_out",
        "if sequence == cursor + 1:",
        "if cursor >= 0 and cursor <= sequence <= cursor + 1:",
    ),
    Bug(
        2,
        "a client resumes one message too far",
        "kernels.leaving:hand_back",
        "cursor if cursor >= 0",
        "cursor + 1 if cursor >= 1",
    ),
    Bug(
        3,
        "offsets are committed before the work is done",
        "components.bus:Consumers._uncommitted",
        "return np.asarray(frames[",
        "return np.asarray(frames[:0]) if self else np.asarray(frames[",
        "tests/components/test_group.py",
    ),
    Bug(
        4,
        "a subscribe is answered before its route is visible",
        "kernels.gateways:subscribe",
        "registered = passes_at(",
        "registered = 3_000_000_000 + passes_at(",
    ),
    Bug(
        5,
        "an eviction strikes the life that has come back",
        "components.routers:Routers.evicting",
        "self.evict(gateway, life)",
        "self.evict(gateway, life + 1)",
    ),
    Bug(
        6,
        "nobody asks of which life a frame is",
        "kernels.serving:serve_frame",
        " and frames[f, 3] // WIDE == ticket_of(gateway, frames[f, 3] & LOW, nodes, crowd)",
        "",
        "tests/components/test_leaving.py",
    ),
    Bug(
        8,
        "what the log has let go of is told as recovered",
        "kernels.asking:has_expired",
        "return bool(",
        "return False and bool(",
    ),
    Bug(
        10,
        "a router that is back reads beside the new owner",
        "components.group:Group._hand_over",
        "owner_of[partition] = taker",
        "owner_of[partition] = -1",
        "tests/components/test_group.py",
    ),
    Bug(
        11,
        "who unsubscribes takes another one's row away",
        "kernels.leaving:take_out",
        "book.slots[slot, SIZE] - 1",
        "max(1, book.slots[slot, SIZE] - 1) - 1",
    ),
    Bug(
        12,
        "a session leaves twice, by its end and by its lease",
        "kernels.presence:serve_presence",
        " and entries.ticket[seat] == extra",
        "",
    ),
    Bug(
        13,
        "a gateway waits for a slow client's buffer",
        "kernels.fanout:fan_out",
        "            tally.counters[OVERFLOWN] += 1\n",
        "            tally.counters[OVERFLOWN] += 1\n            nodes.free_at[core] = wired\n",
        "tests/components/test_slow_consumers.py",
    ),
    Bug(
        14,
        "a drop is counted twice",
        "kernels.gateways:publish",
        "tally.counters[LOST_OBLIGATIONS] +=",
        "tally.counters[LOST_OBLIGATIONS] += 2 *",
    ),
    Bug(
        15,
        "failed attempts are never forgotten",
        "protocol.rules:attempt_after",
        "return 0",
        "return attempt",
    ),
    Bug(
        17,
        "jitter goes beyond its bound",
        "protocol.rules:backoff",
        "return int(delay * (1.0 + jitter",
        "return int(delay * (1.0 + 2.0 * jitter",
    ),
    Bug(
        20,
        "a connection's buffer has no bound",
        "kernels.fanout:fan_out",
        "wired - now > buffer * pace",
        "wired - now > (buffer << 30) * pace",
        "tests/components/test_slow_consumers.py",
    ),
)


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The bug is in place, wherever the function has been imported, until the end of the block."""
    module_name, name = bug.where.split(":")
    module = import_module(f"simfabric.{module_name}")
    owner, _, attribute = name.rpartition(".")
    holder: Any = getattr(module, owner) if owner else module
    honest = getattr(holder, attribute or name)
    plain = getattr(honest, "__wrapped__", getattr(honest, "py_func", honest))
    source = textwrap.dedent(inspect.getsource(plain))
    assert source.count(bug.old) == 1, f"bug {bug.number}: {source.count(bug.old)} places in {bug.where}"
    source = "from __future__ import annotations\n" + source.replace(bug.old, bug.new)
    made: dict[str, Any] = {}
    exec(compile(source, f"<bug {bug.number}>", "exec"), vars(module), made)
    wrong = made[attribute or name]
    places = [(holder, attribute or name)]
    if not owner:
        places = [(m, key) for n, m in sys.modules.items() if n.startswith("simfabric.") for key, value in vars(m).items() if value is honest]
    for place, key in places:
        setattr(place, key, wrong)
    try:
        yield
    finally:
        for place, key in places:
            setattr(place, key, honest)


def noticed(bug: Bug, seeds: int) -> tuple[int, str]:
    """How many seeds it took, and by what: the law that broke first, what the run raised, or the test that failed. (0, "") if none did."""
    with planted(bug):
        if bug.test:
            return 0, f"{bug.test} fails" if pytest.main([*QUIETLY, bug.test]) else ""
        for seed in range(seeds):
            try:
                found = tried(drawn(seed), seed)
            except Exception as error:  # A bug may well end in an error.
                return seed + 1, f"{type(error).__name__}: {error}"[:60]
            if found.broken:
                return seed + 1, found.broken[0].law
    return 0, ""


def main() -> None:
    """Print a table, and the median."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--bug", type=int)
    asked = parser.parse_args()
    took = []
    for bug in BUGS:
        if asked.bug in (None, bug.number):
            began = time.process_time()
            seeds, law = noticed(bug, asked.seeds)
            print(f"{bug.number:3} {bug.says:70} {seeds or '':>4} {law or 'NOT NOTICED'}  ({time.process_time() - began:.0f} s)", flush=True)
            took += [seeds] if seeds else []
    if took:
        print(f"{len(took)} of the bugs are noticed by the swarm, the median one after {statistics.median(took):g} seeds")


if __name__ == "__main__":
    main()
