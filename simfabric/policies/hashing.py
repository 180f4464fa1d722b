"""Hashing: balancing by who knocks. The same client gets the same gateway, without memory, as long as that gateway is eligible.

All hash functions are the mixing words of `chance`, salted with the pool's key: another seed is another ring. Tables are built once per
set of eligible gateways and kept.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from simfabric.chance import ODD, mixed, word
from simfabric.compiling import plain, to_word
from simfabric.policies.pools import Dials, Flags, Form, Integers, Pool, Words, settled, unsettled

Column = TypeVar("Column", bound=np.ndarray[Any, Any])
By = Literal["client", "user", "tenant", "address"]
CLIENT = -1  # Number of the word that is a client's own hash; the words 0, 1, … at its address belong to gateways and their points.
MILLION = 1_000_000
BLOCK = 1 << 15  # Clients scored at once by rendezvous: the scores stay in cache.


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """The hash of the source address, modulo the number of eligible gateways: clients behind one address (NAT) stay together.

    A changed set moves nearly everybody: (n - 1)/n of the addresses when one of n leaves.
    Source: HAProxy manual, `balance source` with `hash-type map-based`.
    Leaves out: address prefixes (NGINX `ip_hash` takes the /24), weights.
    """

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        members = pool.members()
        if len(members) == 0:
            return np.full(len(dials), -1, np.int64)
        return settled(kept, members[word(pool.key, dials.address, CLIENT) % np.uint64(len(members))])


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """A ring of hashes with `points` points per gateway; a client goes to the next point clockwise.

    When a gateway leaves, its clients move and nobody else. Its share of the ring varies: CV = sqrt((n - 1)/(n points + 1)).
    Source: Karger et al., "Consistent hashing and random trees" (1997); libketama.
    Leaves out: weights.
    """

    by: By = "client"
    points: int = 100

    def __post_init__(self) -> None:
        _check_points(self.points)

    def table(self, eligible: Flags, key: int) -> tuple[Words, Integers]:
        """The ring: the points in order, and the gateway of each."""
        return ring(eligible.tobytes(), key, self.points)

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        if not pool.eligible.any():
            return np.full(len(dials), -1, np.int64)
        points, owners = self.table(pool.eligible, pool.key)
        return settled(kept, owners[_next_point(points, word(pool.key, getattr(dials, self.by), CLIENT))])


@dataclass(frozen=True, slots=True)
class BoundedHash:
    """Consistent hashing with bounded loads: a gateway that already has (1 + excess) times the average is passed by, clockwise.

    With m connections on n eligible gateways, the new one counted, the bound is ceil((1 + excess) m / n), in whole numbers (in floating
    point 1.1 · 1000 has the ceiling 1101). As long as nobody leaves, no gateway is ever above it.
    Source: Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350 (2016); HAProxy manual, `hash-balance-factor`.
    Leaves out: moving clients that are connected when the bound falls.
    """

    by: By = "client"
    points: int = 100
    excess: float = 0.25

    def __post_init__(self) -> None:
        _check_points(self.points)
        if not 1e-6 <= self.excess <= 1000:
            raise ValueError(f"bounded_hash: excess = {self.excess}, but it must be within 1e-6 … 1000 (0.25 allows 25 % above the average)")

    def table(self, eligible: Flags, key: int) -> tuple[Words, Integers]:
        """The ring: the points in order, and the gateway of each."""
        return ring(eligible.tobytes(), key, self.points)

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        answers = unsettled(dials, pool, kept)
        members = pool.members()
        if len(members) == 0 or len(dials) == 0:
            return answers
        points, owners = self.table(pool.eligible, pool.key)
        start = _next_point(points, word(pool.key, getattr(dials, self.by), CLIENT))
        factor = MILLION + round(self.excess * MILLION)
        form(first_with_room)(answers, start, owners, pool.open.copy(), len(members), int(pool.open[members].sum()), factor)
        return answers


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Highest random weight: every pair of client and gateway has a hash, and the highest among the eligible wins.

    As even as chance allows, moves only the clients of a gateway that leaves, needs no table; costs a hash per client and gateway.
    Source: Thaler, Ravishankar, "Using name-based mappings to increase hit rates" (1998).
    Leaves out: weights.
    """

    by: By = "client"

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        members = pool.members()
        if len(members) == 0:
            return np.full(len(dials), -1, np.int64)
        hashes = word(pool.key, getattr(dials, self.by), CLIENT)
        answer = np.empty(len(dials), np.int64)
        for start in range(0, len(dials), BLOCK):
            answer[start : start + BLOCK] = members[_highest(hashes[start : start + BLOCK], members)]
        return settled(kept, answer)


@dataclass(frozen=True, slots=True)
class Maglev:
    """A table of `size` slots that the eligible gateways fill in turn, each in an order of its own; a client's hash names its slot.

    Shares differ by one slot at most. When a gateway leaves, its clients move and a few others.
    Source: Eisenbud et al., "Maglev: a fast and reliable software network load balancer" (2016), section 3.4.
    Leaves out: weights; the connection table in front of it.
    """

    by: By = "client"
    size: int = 65537

    def __post_init__(self) -> None:
        if self.size < 2 or any(self.size % divisor == 0 for divisor in range(2, int(self.size**0.5) + 1)):
            raise ValueError(f"maglev: size = {self.size}, but it must be a prime (251, 65537, 655373), or an order may miss slots")

    def table(self, eligible: Flags, key: int, form: Form = plain) -> Integers:
        """The gateway of every slot."""
        return maglev(eligible.tobytes(), key, self.size, form)

    def pick(self, dials: Dials, pool: Pool, form: Form = plain, kept: Integers | None = None) -> Integers:
        """See `pools.Balancing`."""
        if not pool.eligible.any():
            return np.full(len(dials), -1, np.int64)
        table = self.table(pool.eligible, pool.key, form)
        return settled(kept, table[word(pool.key, getattr(dials, self.by), CLIENT) % np.uint64(self.size)])


@functools.lru_cache(maxsize=16)
def ring(eligible: bytes, key: int, count: int) -> tuple[Words, Integers]:
    """The ring of `count` points per eligible gateway: the points in ascending order, and the gateway of each."""
    members = np.flatnonzero(np.frombuffer(eligible, np.bool_))
    owners = np.repeat(members, count)
    points = word(key, owners, np.tile(np.arange(count), len(members)))
    order = np.argsort(points, kind="stable")
    return _frozen(points[order]), _frozen(owners[order])


@functools.lru_cache(maxsize=16)
def maglev(eligible: bytes, key: int, size: int, form: Form = plain) -> Integers:
    """Maglev's table of `size` slots (a prime) for these gateways."""
    members = np.flatnonzero(np.frombuffer(eligible, np.bool_))
    offset = (word(key, members, 0) % np.uint64(size)).astype(np.int64)
    skip = (word(key, members, 1) % np.uint64(size - 1)).astype(np.int64) + 1
    table = np.full(size, -1, np.int64)
    form(fill_in_turn)(table, offset, skip)
    return _frozen(members[table])


def fill_in_turn(table: Integers, slot: Integers, skip: Integers) -> None:
    """The members, in turn, each take the next free slot of their own order slot, slot + skip, … modulo the size of the table."""
    size = len(table)
    filled = 0
    while True:
        for member in range(len(slot)):
            at = slot[member]
            while table[at] >= 0:
                at = (at + skip[member]) % size
            table[at] = member
            slot[member] = at
            filled += 1
            if filled == size:
                return


def first_with_room(answers: Integers, start: Integers, owners: Integers, connections: Integers, count: int, total: int, factor: int) -> None:
    """From its point on the ring, every dial walks on to the first gateway below the bound; answers already there only count.

    The bound is ceil(factor/10^6 · total/count) with this dial in the total, so there is always one below it.
    """
    size = len(owners)
    for i in range(len(answers)):
        total += 1
        gateway = answers[i]
        if gateway < 0:
            bound = -(-factor * total // (count * 1_000_000))
            at = start[i]
            while connections[owners[at]] >= bound:
                at += 1
                if at == size:
                    at = 0
            gateway = owners[at]
            answers[i] = gateway
        connections[gateway] += 1


def _next_point(points: Words, hashes: Words) -> Integers:
    """The first point at or after each hash, clockwise."""
    at = np.searchsorted(points, hashes)
    at[at == len(points)] = 0
    return at


def _highest(hashes: Words, members: Integers) -> Integers:
    """Which member has the highest score with each hash; of equals, the first."""
    steps = to_word(members) * np.uint64(ODD)
    best = np.zeros(len(hashes), np.uint64)
    answer = np.zeros(len(hashes), np.int64)
    for at, step in enumerate(steps):
        score = mixed(hashes + step)
        answer[score > best] = at
        np.maximum(best, score, out=best)
    return answer


def _frozen(array: Column) -> Column:
    array.setflags(write=False)
    return array


def _check_points(points: int) -> None:
    if points < 1:
        raise ValueError(f"consistent hashing: points = {points}, but a gateway needs at least 1 point on the ring")
