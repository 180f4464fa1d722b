"""Publishers: when, by whom, to which channel and how large; for every source of the topology.

    publishers ──▶ clients ──▶ gateways        users, channels, traces
        └────────▶ producers of the bus        back-end producers

Each source is a stream of numbered candidates with addressed draws: candidate n has its own interval, publisher, channel and size, and is
thinned to the rate of its moment (bursts, daily curve) by a draw of its own (Lewis & Shedler 1979). Publications are made a little ahead,
in stretches of fixed length, merged by time and numbered in that order.

Leaves out: conversations (a publication causes no other), and whether a publisher to a given channel is a member of it.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfabric.chance import Law, below, uniform
from simfabric.components.columns import Columns
from simfabric.components.component import Component
from simfabric.errors import Problem, TopologyError
from simfabric.kernels import draws
from simfabric.kernels.frames import KIND_SHIFT, NEVER, PUBLICATION, PUBLISH, WIDTH
from simfabric.kernels.tallying import new_tally
from simfabric.policies import popularity
from simfabric.topology.traffic import Source
from simfabric.world import SECOND, Array, World

STRETCH = 250_000_000  # Publications are made for so long at a time [ns].
BLOCK = 4096  # Candidates drawn at a time at most.
DAY = 86_400 * SECOND


@dataclass(frozen=True, eq=False)
class Publications:
    """Publications in time order: when [ns], channel, publisher (a seat, or -1 for a back end) and size [bytes]."""

    at: Array
    channel: Array
    publisher: Array
    size: Array


def rate_at(source: Source, at: Array) -> Array:
    """The rate at these times, relative to the source's stated rate."""
    rate = np.ones(len(at))
    if source.bursts:
        rate = np.where(at % source.bursts.every < source.bursts.length, source.bursts.times, 1.0)
    if source.daily:
        phase = (at + source.daily.starts_at - source.daily.peak_at) % DAY / DAY
        swing = min(1.0, source.daily.peak_to_mean - 1.0)
        rate = rate * (1.0 + swing * np.cos(2.0 * math.pi * phase)) * _sharper(source.daily.peak_to_mean, phase)
    return rate


def _sharper(peak_to_mean: float, phase: Array) -> Array:
    """A cosine reaches twice its mean at most; higher peaks are the power of one, scaled so that the mean of the day stays 1."""
    if peak_to_mean <= 2.0:
        return np.ones(len(phase))
    power = _power_for(peak_to_mean)
    base = (1.0 + np.cos(2.0 * math.pi * phase)) / 2.0
    return peak_to_mean * base**power / np.maximum(2.0 * base, 1e-12)


def _power_for(peak_to_mean: float) -> float:
    """The power p of (1 + cos)/2 whose peak is so many times its mean: mean = Γ(p + ½)/(√π Γ(p + 1))."""
    low, high = 1.0, 64.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = math.exp(math.lgamma(middle + 0.5) - math.lgamma(middle + 1.0)) / math.sqrt(math.pi)
        low, high = (middle, high) if 1.0 / mean < peak_to_mean else (low, middle)
    return low


class Stream:
    """One source: its candidates so far, and the publications not yet handed out."""

    def __init__(self, world: World, columns: Columns, source: Source, place: int = 0) -> None:
        topology = world.topology
        self.world = world
        self.place = place  # Of the source in the topology.
        self.columns = columns
        self.source = source
        users = -(-topology.clients.count // topology.clients.devices_per_user)
        channels = len(topology.channels.given) + topology.channels.count
        self.rate = (source.rate or 0.0) * {"user": users, "channel": channels, "all": 1}[source.per]
        self.top = (source.bursts.times if source.bursts else 1.0) * (source.daily.peak_to_mean if source.daily else 1.0)
        self.candidates = 0
        self.last = 0  # Time of the last candidate [ns].
        self.ready = np.empty(0, np.int64)  # Times of candidates drawn and not handed out; the last of them is at `last`.
        self.interval = Law("exponential" if source.arrivals == "poisson" else "constant", (SECOND / (self.rate * self.top),)) if self.rate > 0 else None
        self.until = NEVER if source.until is None else source.until
        self.members = None if source.tenant is None else np.flatnonzero(columns.who.tenant == source.tenant)
        if self.members is not None and len(self.members) == 0:  # A tenant of nobody publishes nothing.
            self.interval = None
        self._table = world.table(self.interval) if self.interval else None
        self._size = world.table(source.size)
        self._popularity = popularity.guide(popularity.zipf(topology.channels.count, topology.channels.popularity)) if source.to == "popularity" else None

    def upto(self, end: int) -> Publications:
        """The publications before `end` that were not handed out yet."""
        if self._table is None:
            return Publications(*(np.empty(0, np.int64) for _ in range(4)))
        end = min(end, self.until)
        parts = [self.ready]
        while self.last < end:
            parts.append(self._more(min(BLOCK, 16 + int((end - self.last) * self.rate * self.top / SECOND))))
        times = np.concatenate(parts)
        cut = int(np.searchsorted(times, end))
        self.ready = times[cut:]
        first = self.candidates - len(times)
        return self._publications(first, times[:cut])

    def _more(self, count: int) -> Array:
        intervals = np.empty(count, np.int64)
        key = self._key("interval")
        self.world.kernel(draws.draw_sequence)(self._table, key, 0, self.candidates, intervals)
        times = self.last + np.cumsum(intervals)
        self.candidates += count
        self.last = int(times[-1])
        return times

    def _publications(self, first: int, at: Array) -> Publications:
        n = np.arange(first, first + len(at), dtype=np.int64)
        kept = self._kept(n, at)
        n, at = n[kept], at[kept]
        topology = self.world.topology
        client = below(self._key("client"), 0, n, topology.clients.count if self.members is None else len(self.members)).astype(np.int64)
        client = client if self.members is None else self.members[client]
        seat = self.columns.seat_of[client].astype(np.int64)
        size = np.empty(len(n), np.int64)
        self.world.kernel(draws.draw_column)(self._size, self._key("size"), n, 0, 1, size)
        publisher = np.full(len(n), -1, np.int64) if self.source.kind == "producers" else seat
        return Publications(at, self._channels(n, seat), publisher, size)

    def _kept(self, n: Array, at: Array) -> Array | slice:
        """Which candidates the rates of their moments let through."""
        if not (self.source.bursts or self.source.daily):
            return slice(None)
        return np.asarray(uniform(self._key("thin"), 0, n) * self.top < rate_at(self.source, at))

    def _channels(self, n: Array, seat: Array) -> Array:
        topology = self.world.topology
        given = [channel.name for channel in topology.channels.given]
        key = self._key("channel")
        if self.source.to in given:
            return np.full(len(n), given.index(self.source.to), np.int64)
        if self.source.to == "subscribed" and topology.clients.subscriptions:
            crowd = self.columns.crowd
            own = topology.clients.subscriptions  # The given channels come first in each seat's list; they have sources of their own.
            return np.asarray(crowd.channels[crowd.start[seat + 1] - own + below(key, 0, n, own).astype(np.int64)], np.int64)
        if self._popularity:
            channel = np.empty(len(n), np.int64)
            self.world.kernel(draws.find_column)(*self._popularity, key, n, 0, channel)
            return channel + len(given)
        return np.asarray(below(key, 0, n, len(given) + topology.channels.count), np.int64)

    def _key(self, decision: str) -> int:
        return self.world.key(f"traffic/{self.source.name}/{decision}")


class Trace(Stream):
    """A source whose publications are the rows of a file: at_s, channel and, if given, client and size_bytes."""

    def __init__(self, world: World, columns: Columns, source: Source, place: int = 0) -> None:
        super().__init__(world, columns, source, place)
        self.rows = trace_rows(world.topology, source)
        self.given_out = 0

    def upto(self, end: int) -> Publications:
        """The rows before `end` that were not handed out yet."""
        first = self.given_out
        self.given_out = int(np.searchsorted(self.rows[:, 0], min(end, self.until)))
        at, channel, client, size = self.rows[first : self.given_out].T
        n = np.arange(first, self.given_out, dtype=np.int64)
        drawn = below(self._key("client"), 0, n, self.world.topology.clients.count).astype(np.int64)
        sizes = np.empty(len(n), np.int64)
        self.world.kernel(draws.draw_column)(self._size, self._key("size"), n, 0, 1, sizes)
        seat = self.columns.seat_of[np.where(client < 0, drawn, client)].astype(np.int64)
        return Publications(at, channel, seat, np.where(size < 0, sizes, size))


def trace_rows(topology: Any, source: Source) -> Array:
    """Read a trace: int64[rows, 4] of time [ns], channel, client (-1 = any) and size (-1 = drawn), in time order. Every bad row is told."""
    path = topology.file(source.file)
    given = {channel.name: i for i, channel in enumerate(topology.channels.given)}
    channels = len(given) + topology.channels.count
    rows: list[tuple[int, int, int, int]] = []
    problems: list[Problem] = []
    cure = f"at_s in seconds, channel a given name or a number below {channels}, client a number below {topology.clients.count} or empty"
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        while True:
            row: dict[Any, Any] = {}
            try:
                row = next(reader)
                name = (row.get("channel") or "").strip()
                channel = given[name] if name in given else int(name)
                at = round(float(row.get("at_s") or "") * SECOND)
                client, size = (int(row.get(key) or -1) for key in ("client", "size_bytes"))
                if not (0 <= at < 7 * DAY and 0 <= channel < channels and -1 <= client < topology.clients.count and -1 <= size <= 1 << 24):
                    raise ValueError
            except StopIteration:
                break
            except (ValueError, OverflowError, csv.Error) as error:
                place = f"{source.file}:{reader.line_num + isinstance(error, csv.Error)}:1"  # What csv itself refuses, it has not counted.
                problems.append(Problem(place, f"traffic.{source.name}.file", str(list(row.values()))[:80], "a row of a trace must be readable", cure))
                continue
            rows.append((at, channel, client, size))
    if problems:
        raise TopologyError(problems)
    table = np.array(rows, np.int64).reshape(-1, 4)
    return table[np.argsort(table[:, 0], kind="stable")]


class Publishers(Component):
    """All sources; see the module."""

    name = "publishers"

    def __init__(self, world: World, columns: Columns) -> None:
        super().__init__(world)
        self.columns = columns
        sources = enumerate(world.topology.traffic)
        self.streams = [(Trace if source.kind == "trace" else Stream)(world, columns, source, place) for place, source in sources]
        self.tally = new_tally(0)
        self.made_upto = 0
        self.clients: Component
        self.producers: Component | None = None

    def advance(self, end: int) -> None:
        """Make the stretches that begin before `end`."""
        horizon = self.world.topology.run.duration
        while self.streams and self.made_upto < min(end, horizon):
            upto = min(self.made_upto + STRETCH, horizon)
            self._make(upto)
            self.made_upto = upto

    def earliest(self) -> int:
        """The next stretch."""
        return self.made_upto if self.streams and self.made_upto < self.world.topology.run.duration else NEVER

    def _make(self, end: int) -> None:
        parts = [stream.upto(end) for stream in self.streams]
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at, kind="stable")  # Of one instant, the earlier source goes first.
        source = np.repeat([stream.place for stream in self.streams], [len(part.at) for part in parts])[order]
        columns = [np.concatenate([getattr(part, name) for part in parts])[order] for name in ("at", "channel", "publisher", "size")]
        columns.append(source)
        messages = self.columns.add_messages(*columns)
        backend = columns[2] < 0
        self._put(self.clients, columns[0][~backend], PUBLICATION, messages[~backend], 0, 0)
        if backend.any():
            assert self.producers is not None
            rows = self.world.topology.gateways.count + source[backend]
            self._put(self.producers, columns[0][backend], PUBLISH, messages[backend], rows, -1)

    def _put(self, receiver: Component, at: Array, kind: int, messages: Array, row: Any, extra: int) -> None:
        frames = np.empty((len(at), WIDTH), np.int64)
        frames[:, 0], frames[:, 1], frames[:, 2], frames[:, 3], frames[:, 4] = at, (kind << KIND_SHIFT) | messages, row, messages, extra
        receiver.inbox.put(frames, len(frames))
