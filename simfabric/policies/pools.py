"""Pools: what a balancing policy sees. A batch of dials as columns, the gateways as columns, and one pure question.

    dials (who knocks, in time order) + pool (who may answer) ──▶ pick ──▶ one gateway index per dial, -1 when nobody may answer

The caller keeps all memory: it counts the answers into `open`, numbers the dials and keeps each client's cookie. Then a stream of dials
gets the same answers however it is cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simfabric.compiling import plain

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]
Form = Callable[[Callable[..., Any]], Callable[..., Any]]  # `plain` or `compiled` of simfabric.compiling.


@dataclass(frozen=True, slots=True, eq=False)
class Dials:
    """A batch of dials in time order; every column int64 and of the same length."""

    client: Integers
    user: Integers
    tenant: Integers
    address: Integers  # The source address that the balancer sees: clients behind one NAT share it.
    cookie: Integers  # The gateway of the client's previous connection, -1 for none.
    n: Integers  # The number of the dial, counted over the whole run: the address of its chance.
    at: Integers  # When it reaches the balancer [ns].

    def __len__(self) -> int:
        return len(self.n)

    def part(self, rows: slice | Integers | Flags) -> Dials:
        """These rows only."""
        return Dials(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The gateways as the balancer believes them to be, one row each."""

    eligible: Flags  # Healthy and not draining: may be given a dial.
    open: Integers  # Connections open, as far as the balancer knows. A policy counts on in a copy of its own.
    weight: Floats  # Share of its normal load that a gateway should take now: below 1 while it warms up (slow start).
    key: int  # Decision key of the balancer's chance (`chance.decision_key`): also what its hash functions are salted with.
    turn: int = 0  # Dials that were given a gateway so far: whose turn it is.

    def members(self) -> Integers:
        """The indices of the eligible gateways, ascending."""
        return np.flatnonzero(self.eligible)


class Balancing(Protocol):
    """A balancing policy: frozen, one decision."""

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """The gateway of every dial, -1 when none is eligible.

        `form` is how loops that must go dial by dial are run: `plain` or `compiled`; the answers are the same. `kept` holds gateways
        already settled (by a cookie, -1 elsewhere; all eligible): they are the answer, and count as open in their turn.
        """
        ...


def unsettled(dials: Dials, pool: Pool, kept: Integers | None) -> Integers:
    """The answers before a policy has spoken: a fresh column with what is kept, -1 elsewhere."""
    if kept is None:
        return np.full(len(dials), -1, np.int64)
    assert pool.eligible[kept[kept >= 0]].all(), "a dial is kept on a gateway that is not eligible"
    return kept.astype(np.int64)


def settled(kept: Integers | None, answer: Integers) -> Integers:
    """The answer of a policy that looks at no loads, except where something was kept."""
    if kept is None:
        return answer
    return np.where(kept >= 0, kept, answer)
