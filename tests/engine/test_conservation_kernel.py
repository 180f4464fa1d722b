"""Kernels against slow, obvious versions of themselves: nothing is lost, nothing is invented, everything in its order, however time is cut."""

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.chance import constant, tabulated
from simfabric.compiling import plain
from simfabric.fabric import Fabric
from simfabric.kernels import bus, log, servers, subscriptions
from simfabric.kernels.histogram import BINS, bin_edges, bin_of
from simfabric.kernels.inbox import BUCKET, Inbox
from simfabric.kernels.state import BYTES, CHANNEL, CURSOR, GATEWAY, INCARNATION_OF, SEAT, SIZE, SLOTS_FIRST, START, Log
from simfabric.kernels.tallying import new_tally
from simfabric.world import World
from tests.helpers import topology_of

quickly = settings(max_examples=60, deadline=None, derandomize=True, database=None)
WORLD = World(topology_of(""), False)
NOBODY = -1  # Extra of a frame that comes from no gateway.


def table_of(frames):
    return np.array(frames, np.int64).reshape(-1, 5)


def log_of(channels, sizes, count=1):
    """Messages 0, 1, … of these channels and sizes, none of them appended."""
    rows = np.zeros((len(channels), 12), np.int64)
    rows[:, CHANNEL], rows[:, BYTES] = channels, sizes
    return Log(rows, np.zeros(1, np.int64), np.full(count, -1, np.int64), np.zeros(count, np.int64))


# Inboxes.

QUARTER = BUCKET // 4  # A coarse grid of times, so that frames meet each other, the ends of steps and the edges of buckets.
PUTS = st.lists(st.tuples(st.integers(0, 12).map(QUARTER.__mul__), st.integers(0, 3), st.integers(0, 2)), max_size=12)


@quickly
@given(st.lists(st.tuples(PUTS, st.integers(0, 5).map(QUARTER.__mul__)), max_size=8), st.sampled_from([0, 3]))
def test_an_inbox_gives_every_frame_once_in_order_of_time_and_name(steps, rows):
    inbox, waiting, clock, sums = Inbox(WORLD, "inbox", rows), [], 0, 0
    for puts, step in steps:
        frames = [(clock + at, name, row, len(waiting) + i, 7) for i, (at, name, row) in enumerate(puts)]
        inbox.put(table_of(frames), len(frames))
        waiting += frames
        sums += sum(frame[0] for frame in frames)
        assert inbox.earliest() == min((frame[0] for frame in waiting), default=inbox.earliest())
        clock += step
        taken, count = inbox.take(clock)
        due = [frame for frame in waiting if frame[0] < clock]
        waiting = [frame for frame in waiting if frame[0] >= clock]
        by_name = {(frame[0], frame[1], frame[2]) for frame in due}
        order = sorted(due, key=lambda frame: (frame[2] if rows else 0, frame[0], frame[1]))
        found = [tuple(frame) for frame in taken[:count].tolist()]
        assert sorted(found) == sorted(due)
        if len(by_name) == len(due):  # Without frames of one name, which have no order.
            assert [frame[:2] for frame in found] == [frame[:2] for frame in order]
        if rows:
            assert [inbox.starts[row + 1] - inbox.starts[row] for row in range(rows)] == [sum(f[2] == row for f in due) for row in range(rows)] or count == 0
        assert sorted(map(tuple, inbox.waiting().tolist())) == sorted(waiting)
    assert (inbox.account[0], inbox.account[1]) == (sum(len(puts) for puts, _ in steps), sums)


# Servers.


@quickly
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), min_size=1, max_size=40), st.integers(1, 4))
def test_one_queue_and_several_servers_start_whom_the_first_free_server_meets(jobs, count):
    at = np.cumsum([gap for gap, _ in jobs])
    frames = table_of([(t, i, 0, i, 0) for i, t in enumerate(at)])
    law, key, client = tabulated(constant(25)), 5, np.arange(len(jobs))
    free_at, busy, done, counters = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(len(jobs), np.int64), np.zeros(4, np.int64)
    refused = np.zeros(len(jobs), np.int8)
    plain(servers.handshakes)(frames, len(jobs), free_at, busy, law, key, 10**12, client, done, refused, counters)
    running, expected = [0] * count, []
    for t in at.tolist():
        begins = max(t, heapq.heappop(running))
        expected.append(begins + 25)
        heapq.heappush(running, begins + 25)
    assert done.tolist() == expected
    assert counters.tolist() == [len(jobs), int(at.sum()), 25 * len(jobs), 0] and not refused.any()
    assert busy.sum() == 25 * len(jobs)


def test_who_would_wait_too_long_is_refused_when_that_time_is_over_and_takes_no_work():
    frames = table_of([(0, i, 0, i, 0) for i in range(5)])
    free_at, busy, done, counters = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(5, np.int64), np.zeros(4, np.int64)
    refused = np.zeros(5, np.int8)
    plain(servers.handshakes)(frames, 5, free_at, busy, tabulated(constant(25)), 5, 50, np.arange(5), done, refused, counters)
    assert done.tolist() == [25, 50, 75, 50, 50] and refused.tolist() == [0, 0, 0, 1, 1]
    assert counters.tolist() == [5, 0, 75, 2] and busy.tolist() == [75]


# Batches.


def naive_batches(frames, sizes, partition_of, linger, limit):
    """When the batch of each record closes, by walking through time."""
    closes, open_batches = {}, {}
    for at, _, row, message, _ in frames:
        key = (row, partition_of[message])
        if key in open_batches and at >= open_batches[key][0] + linger:
            del open_batches[key]
        opened, members = open_batches.setdefault(key, (at, []))
        members.append(message)
        for member in members:
            closes[member] = opened + linger
        if sum(sizes[member] for member in members) >= limit:
            for member in members:
                closes[member] = at
            del open_batches[key]
    return closes


@quickly
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1), st.integers(0, 2), st.integers(1, 50)), min_size=1, max_size=40),
    st.integers(0, 100),
    st.integers(1, 120),
    st.lists(st.integers(1, 80), min_size=1, max_size=20),
)
def test_a_batch_closes_when_it_is_full_or_has_lingered(records, linger, limit, steps):
    at = np.cumsum([gap for gap, *_ in records])
    frames = [(int(t), (13 << 56) | i, row, i, NOBODY) for i, (t, (_, row, _, _)) in enumerate(zip(at, records))]
    messages = log_of([channel for _, _, channel, _ in records], [size for *_, size in records])
    partition_of = np.array([0, 1, 1], np.int32)
    expected = naive_batches(frames, messages.rows[:, BYTES].tolist(), partition_of[messages.rows[:, CHANNEL]].tolist(), linger, limit)
    fabric = Fabric(topology_of("clients: {count: 1}"), False)
    accumulators, mark, waiting, found, clock = np.zeros((4, 4), np.int64), 0, [], {}, 0
    for step in [*steps, 10_000]:
        taken = [*waiting, *(frame for frame in frames if clock <= frame[0] < clock + step)]
        clock += step
        if not taken:
            continue
        mark += 1
        out, kept = np.zeros((len(taken), 5), np.int64), np.zeros((len(taken) + 1, 5), np.int64)
        scratch = np.zeros((len(taken), 2), np.int64)
        sent = plain(bus.batch)(
            table_of(taken), len(taken), clock, linger, limit, 7, 2, 0, partition_of, np.ones(3, np.int32), accumulators, mark, scratch, messages,
            fabric.gateways.nodes, out, kept, new_tally(0),
        )  # fmt: skip
        waiting = [tuple(frame) for frame in kept[: kept[-1, 0]].tolist()]
        assert not found.keys() & set(out[:sent, 3].tolist()), "a record was sent twice"
        found |= dict(zip(out[:sent, 3].tolist(), (out[:sent, 0] - 7).tolist()))
    assert waiting == []
    assert found == expected


# Fetches.


def naive_answers(records, mine, minimum, maximum, max_wait, turn, until):
    """Walk from fetch to fetch: records are (visible at, message, partition, bytes) in the order in which they became visible."""
    left, asks, answers = [record for record in records if mine(record[2])], 0, []
    while left and asks <= until:
        for n in range(1, len(left) + 1):
            enough = max(asks, left[n - 1][0])
            if enough > asks + max_wait:
                at = asks + max_wait
                break
            if sum(record[3] for record in left[:n]) >= minimum:
                at = enough
                break
        else:
            at = asks + max_wait
        gathered = 0
        while left and left[0][0] <= at and gathered < maximum:
            gathered += left[0][3]
            answers.append((left.pop(0)[1], at))
        asks = at + turn
    return answers


@quickly
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(5, 20),
    st.integers(0, 150),
    st.integers(1, 30),
    st.booleans(),
    st.lists(st.integers(1, 120), min_size=1, max_size=20),
)
def test_a_fetch_is_answered_when_there_is_enough_or_it_has_waited_long_enough(records, minimum, maximum, max_wait, turn, everyone, steps):
    at = np.cumsum([gap for gap, *_ in records]).tolist()
    visible = [(t, i, partition, size) for i, (t, (_, partition, size)) in enumerate(zip(at, records))]
    messages = log_of([partition for _, partition, _ in records], [size for *_, size in records])
    owner_of = np.array([-1, -1, -1] if everyone else [0, 1, 0], np.int32)
    reading = np.zeros((2, 1, 2), np.int64)
    reading[:, :, bus.RESPONDED_AT] = -turn
    shelf = bus.Shelf(
        np.zeros((1, 64, 5), np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(3, np.int64), reading, np.zeros((2, 3), np.int64),
        owner_of, np.ones(2, np.int8), np.zeros((2, 1), np.int8),
    )  # fmt: skip
    found, clock = [], 0
    for step in [*steps, 100_000]:
        frames = table_of([(t, i, 0, i, partition) for t, i, partition, _ in visible if clock <= t < clock + step])
        clock += step
        plain(bus.put_on_shelf)(frames, len(frames), messages, shelf)
        out, earliest = np.zeros((128, 5), np.int64), np.array([2**62], np.int64)
        sent = plain(bus.fetch)(clock, minimum, maximum, max_wait, turn, 3, shelf, earliest, out)
        assert earliest[0] >= clock, "an answer that was certain was held back"
        plain(bus.clear_shelf)(shelf)
        found += [(int(f[2]), int(f[3]), int(f[0]) - 3) for f in out[:sent]]
    expected = []
    for consumer in (0, 1):
        mine = naive_answers(visible, lambda p, consumer=consumer: owner_of[p] in (-1, consumer), minimum, maximum, max_wait, turn, 100_000)
        expected += [(consumer, message, answered) for message, answered in mine]
    assert sorted(found) == sorted(expected)
    assert shelf.held[0] == 0


# The log.


@quickly
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30), st.integers(0, 2), st.integers(0, 60), st.integers(0, 10))
def test_the_log_of_a_channel_counts_without_a_hole_and_knows_its_head_at_any_time(appended, channel, time, forgotten):
    messages = log_of([c for c, _ in appended], [1] * len(appended), count=3)
    at = np.cumsum([gap for _, gap in appended], dtype=np.int64)
    for message, t in enumerate(at.tolist()):
        plain(log.append)(message, t, messages)
    mine = [message for message, (c, _) in enumerate(appended) if c == channel]
    assert [int(messages.rows[message, 4]) for message in mine] == list(range(1, len(mine) + 1))
    base = min(forgotten, len(appended))
    kept = messages._replace(rows=np.vstack([messages.rows[base:], np.zeros((1, 12), np.int64)]), base=np.array([base], np.int64))
    answer = plain(log.head_at)(channel, time, kept)
    before = [message for message in mine if at[message] < time or message < base]
    last = before[-1] if before and before[-1] >= base else -1
    assert (answer >> 32, answer & 0xFFFFFFFF) == (last, len(before))


# Subscriptions.

BOOK = "clients: {count: 12, subscriptions: 2}\nchannels: {count: 4, popularity: uniform}\ngateways: {count: 3}\nbalancer: {policy: random}"


def told(book):
    """Who subscribes, read off the book: (channel, gateway, life) -> [(seat, cursor)], in order."""
    answer = {}
    for channel in range(len(book.channel_more)):
        s, late = plain(subscriptions.next_slot)(channel, -1, book), []
        while s >= 0:
            gateway, start, size = (int(book.slots[s, column]) for column in (GATEWAY, START, SIZE))
            life = 0 if s < book.pool[SLOTS_FIRST] else int(book.late[s - book.pool[SLOTS_FIRST], INCARNATION_OF])
            assert (channel, gateway, life) not in answer, "two slots for one channel on one life of a gateway"
            answer[channel, gateway, life] = [(int(row[SEAT]), int(row[CURSOR])) for row in book.rows[start : start + size]]
            assert size == 0 or plain(subscriptions.find_slot)(channel, gateway, life, book) == s
            late += [(gateway, life)] if s >= book.pool[SLOTS_FIRST] else []
            s = plain(subscriptions.next_slot)(channel, s, book)
        assert late == sorted(late), "routers walk late slots by gateway and life, whoever came first"
    return {slot: rows for slot, rows in answer.items() if rows}


@quickly
@given(st.lists(st.one_of(st.tuples(st.just("dies"), st.integers(0, 2), st.just(0)), st.tuples(st.just("joins"), st.integers(0, 11), st.integers(0, 2)))))
def test_the_book_has_everybody_where_they_subscribed_in_the_order_in_which_they_came(deeds):
    columns = Fabric(topology_of(BOOK), False).columns
    crowd = columns.crowd
    home, lives, cursors, naive = crowd.home.tolist(), [0, 0, 0], {}, {}
    channels_of = [crowd.channels[crowd.start[seat] : crowd.start[seat + 1]].tolist() for seat in range(len(home))]
    for seat, gateway in enumerate(home):
        for channel in channels_of[seat]:
            naive.setdefault((channel, gateway, 0), []).append((seat, 0))
    assert told(columns.book) == naive
    for number, (deed, who, where) in enumerate(deeds, 1):
        if deed == "dies":
            rows = plain(subscriptions.collect_gateway)(who, columns.book, crowd)
            gone = [slot for slot in naive if slot[1] == who]
            assert rows == sum(len(naive[slot]) for slot in gone)
            for slot in gone:
                cursors |= {(seat, slot[0]): cursor for seat, cursor in naive.pop(slot)}
            home = [-1 if gateway == who else gateway for gateway in home]
            lives[who] += 1
        elif home[who] < 0:
            home[who] = where
            while columns.book.pool[0] + plain(subscriptions.rows_needed)(who, where, lives[where], columns.book, crowd) > len(columns.book.rows):
                columns.grow_book()
            for channel in channels_of[who]:
                plain(subscriptions.append_row)(channel, where, lives[where], who, number, 0, columns.book)
                naive.setdefault((channel, where, lives[where]), []).append((who, number))
        assert told(columns.book) == naive
    totals = np.zeros(2, np.int64)
    plain(subscriptions.sum_cursors)(columns.book.rows, int(columns.book.pool[0]), totals)
    assert totals.tolist() == [sum(map(len, naive.values())), sum(cursor for rows in naive.values() for _, cursor in rows)]
    for (seat, channel), cursor in cursors.items():
        place = plain(subscriptions.subscription_of)(seat, channel, crowd)
        if home[seat] < 0:
            assert crowd.resume_cursor[place] == cursor


# Histograms.


@quickly
@given(st.integers(0, 2**62 - 1))
def test_a_duration_lies_within_its_bin_which_is_narrow(value):
    edges, place = bin_edges(), bin_of(value)
    assert 0 <= place < BINS
    assert edges[place] <= value < edges[place + 1]
    assert edges[place + 1] - edges[place] <= max(1.0, value / 128)
