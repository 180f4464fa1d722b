"""What the bus does with a record: batch it at the producer, append it at the partition's leader, hand it out when consumers fetch."""

from __future__ import annotations

from typing import Any, NamedTuple

from simfabric.chance import draw, word
from simfabric.compiling import inlined
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.log import append
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    ALIVE,
    APPENDED_AT,
    BYTES,
    CHANNEL,
    DIES_AT,
    FATE,
    INCARNATION,
    LANE,
    LIFE,
    LOST_AFTER_SAVE,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    OWED,
    PASSED_ON,
    PUBLISHED_AT,
    RECEIVED_AT,
    SAVED_AT,
    SERVED,
    SERVED_AT,
    STAGE_ACK,
    STAGE_BUS,
    TRANSIENT,
    VISIBLE_AT,
    WORK,
    Log,
    Nodes,
    Tally,
)  # fmt: skip

OPENED_AT, BATCH_BYTES, LEADER, MARK = 0, 1, 2, 3  # Columns of an accumulator's open batch.
LAST_BATCH_AT, LAST_PRODUCER, BATCHES, APPENDED_UPTO, VISIBLE_UPTO, END_OFFSET = range(6)  # Columns of a partition.
PARTITION_COLUMNS = 6


@inlined
def partition(message: int, channel: int, partitions: int, own: int, partition_of: Any, shards_of: Any) -> int:
    """The partition of a message: its channel's, or, where that is spread over several, one of those in turn. `own`: see hot.partitions."""
    first = partition_of[channel]
    if shards_of[channel] == 1:
        return int(first)
    low = partitions - own if own > 0 else 0
    return int(low + (first - low + message % shards_of[channel]) % (partitions - low))


def batch(
    frames: Any, count: int, end: int, linger: int, limit: int, hop: int, partitions: int, own: int, partition_of: Any, shards_of: Any,
    accumulators: Any, mark: int, scratch: Any,
    log: Log, nodes: Nodes, out: Any, kept: Any, tally: Tally
) -> int:  # fmt: skip
    """Close the batches that are full, or have lingered long enough, before `end`; records of open batches are kept and looked at again.

    An accumulator is one producer (row) and one partition; `mark` is new in each call, so nothing needs clearing. scratch: int64[count, 2],
    the leader of each record's batch and when that batch closes. Returns the records sent; see `counters` of the caller for those lost;
    kept[-1, 0] tells how many are kept.
    """
    for f in range(count):
        at = frames[f, 0]
        row = frames[f, 3] - log.base[0]
        a = frames[f, 2] * partitions + partition(frames[f, 3], log.rows[row, CHANNEL], partitions, own, partition_of, shards_of)
        if accumulators[a, MARK] != mark or accumulators[a, LEADER] < 0 or at >= accumulators[a, OPENED_AT] + linger:
            accumulators[a, OPENED_AT] = at
            accumulators[a, BATCH_BYTES] = 0
            accumulators[a, LEADER] = f
            accumulators[a, MARK] = mark
            scratch[f, 1] = at + linger
        leader = accumulators[a, LEADER]
        scratch[f, 0] = leader
        accumulators[a, BATCH_BYTES] += log.rows[row, BYTES]
        if accumulators[a, BATCH_BYTES] >= limit:
            scratch[leader, 1] = at
            accumulators[a, LEADER] = -1
    sent = 0
    held = 0
    for f in range(count):
        closes = scratch[scratch[f, 0], 1]
        message = frames[f, 3]
        if closes >= end:
            for j in range(5):
                kept[held, j] = frames[f, j]
            held += 1
            continue
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + frames[f, 0]) & 4611686018427387903
        gateway = frames[f, 4] // LIFE
        if frames[f, 4] >= 0 and (
            nodes.state[gateway, ALIVE] == 0 or nodes.state[gateway, INCARNATION] != frames[f, 4] % LIFE or closes >= nodes.state[gateway, DIES_AT]
        ):
            row = message - log.base[0]
            log.rows[row, FATE] = LOST_AFTER_SAVE
            tally.counters[LOST_PUBLICATIONS] += 1
            tally.counters[LOST_OBLIGATIONS] += log.rows[row, OWED]
            continue
        out[sent, 0] = closes + hop
        out[sent, 1] = (13 << 56) | frames[f, 0]  # The records of a batch, which arrive together, keep the order in which they came to it.
        out[sent, 2] = partition(message, log.rows[message - log.base[0], CHANNEL], partitions, own, partition_of, shards_of)
        out[sent, 3] = message
        out[sent, 4] = frames[f, 2]
        sent += 1
    kept[len(kept) - 1, 0] = held
    return sent


def append_records(
    frames: Any, count: int, threads: int, leader_of: Any, shelf_of: Any, taken_from: Any, partition: Any, free_at: Any, busy: Any, law: Any, per_byte: int,
    replica: Any, replicated: int, keys: Any, acks: int, warmup: int, hop: int, settles: int, log: Log, out: Any, tally: Tally
) -> None:  # fmt: skip
    """The leaders append what producers sent; a record is visible to consumers once all in-sync replicas have it (high watermark).

    A batch is what came from one producer to one partition at one instant; its first record pays the batch's work. per_byte: work per
    byte [2^-20 ns]. Each record leaves as a frame to the fetch stage at the time it becomes visible, row = broker, extra = partition. What came
    before its partition is led (`taken_from`) is as if it came then. With `settles`, the log holds a record for its readers when it is visible,
    and no sooner, and frames[f, ID] becomes the time at which its leader had it.
    """
    for f in range(count):
        at = frames[f, 0]
        p = frames[f, 2]
        message = frames[f, 3]
        row = message - log.base[0]
        broker = leader_of[p]
        work = (log.rows[row, BYTES] * per_byte) >> 20
        first = partition[p, LAST_BATCH_AT] != at or partition[p, LAST_PRODUCER] != frames[f, 4]
        if first:
            work += draw(law, word(keys[0], p, partition[p, BATCHES]))
            partition[p, LAST_BATCH_AT] = at
            partition[p, LAST_PRODUCER] = frames[f, 4]
            partition[p, BATCHES] += 1
        thread = free_first(free_at, broker * threads, threads)
        done = max(max(at, taken_from[p % len(taken_from)]), free_at[thread]) + work
        free_at[thread] = done
        busy[broker] += work
        appended = max(done, partition[p, APPENDED_UPTO])
        partition[p, APPENDED_UPTO] = appended
        partition[p, END_OFFSET] += 1
        visible = appended
        if replicated == 1:
            visible += draw(replica, word(keys[1], p, partition[p, BATCHES]))
        visible = max(visible, partition[p, VISIBLE_UPTO])
        partition[p, VISIBLE_UPTO] = visible
        stands = appended
        if settles == 1:
            frames[f, 1] = appended
            stands = visible
        if log.rows[row, LANE] == TRANSIENT:
            log.rows[row, APPENDED_AT] = stands
            log.rows[row, FATE] = PASSED_ON
        else:
            append(message, stands, log)
        log.rows[row, VISIBLE_AT] = visible
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        tally.counters[WORK] += work
        if log.rows[row, PUBLISHED_AT] >= warmup:
            entered = max(log.rows[row, SAVED_AT], max(log.rows[row, RECEIVED_AT], log.rows[row, PUBLISHED_AT]))
            tally.stages[STAGE_BUS, bin_of(visible - entered)] += 1
            if (
                log.rows[row, SAVED_AT] == 0 and acks > 0 and log.rows[row, LANE] != TRANSIENT
            ):  # Without storage the bus acknowledges: 1 = the leader, 2 = all in-sync replicas.
                tally.stages[STAGE_ACK, bin_of((visible if acks == 2 else appended) + hop - log.rows[row, PUBLISHED_AT])] += 1
        out[f, 0] = visible
        out[f, 1] = (14 << 56) | (partition[p, END_OFFSET] << 17) | p  # From here on, frames of one instant go in the log's order.
        out[f, 2] = shelf_of[p]
        out[f, 3] = message
        out[f, 4] = p


RECORD_AT, RECORD_MESSAGE, RECORD_PARTITION, RECORD_BYTES, RECORD_ID = range(5)  # Columns of a broker's visible records.
RECORD_COLUMNS = 5
PAUSED, ONCE = 1, 2
NEXT_RECORD, RESPONDED_AT = 0, 1  # Columns of a consumer's reading of one broker.


class Shelf(NamedTuple):
    """What consumers read: the visible records of every broker that somebody has not fetched yet, and how far everybody is."""

    records: Any  # int64[brokers, room, 5]: in the order in which they became visible.
    held: Any  # int64[brokers]: records on the shelf.
    first: Any  # int64[brokers]: the number, counted from the start, of the first of them.
    visible: Any  # int64[partitions]: records that became visible, ever.
    reading: Any  # int64[consumers, brokers, 2]: number of the next record, time of the last response [ns].
    fetched: Any  # int64[consumers, partitions]: records handed out.
    owner_of: Any  # int32[partitions]: the consumer of a partition, -1 when every consumer reads all.
    alive: Any  # int8[consumers]: 0 = gone, 1 = it fetches, 2 = dead, and its partitions are still its own.
    paused: Any  # int8[consumers, brokers]: 0, PAUSED, or ONCE: paused after one more answer.


def put_on_shelf(frames: Any, count: int, log: Log, shelf: Shelf) -> None:
    """Records that have become visible; the caller has seen to room."""
    for f in range(count):
        broker = frames[f, 2]
        n = shelf.held[broker]
        shelf.records[broker, n, RECORD_AT] = frames[f, 0]
        shelf.records[broker, n, RECORD_MESSAGE] = frames[f, 3]
        shelf.records[broker, n, RECORD_PARTITION] = frames[f, 4]
        shelf.records[broker, n, RECORD_BYTES] = log.rows[frames[f, 3] - log.base[0], BYTES]
        shelf.records[broker, n, RECORD_ID] = frames[f, 1]
        shelf.held[broker] = n + 1
        shelf.visible[frames[f, 4]] += 1


def clear_shelf(shelf: Shelf) -> None:
    """Take off the records that every living consumer has fetched, and every dead one whose partitions nobody else has taken over."""
    for broker in range(len(shelf.held)):
        upto = shelf.first[broker] + shelf.held[broker]
        for consumer in range(len(shelf.alive)):
            reads = shelf.alive[consumer] != 0
            for p in range(0 if reads else len(shelf.owner_of)):
                reads = reads or shelf.owner_of[p] == consumer
            if reads:
                upto = min(upto, shelf.reading[consumer, broker, NEXT_RECORD])
        gone = upto - shelf.first[broker]
        if gone > 0:
            for n in range(gone, shelf.held[broker]):
                for j in range(5):
                    shelf.records[broker, n - gone, j] = shelf.records[broker, n, j]
            shelf.held[broker] -= gone
            shelf.first[broker] = upto


@inlined
def is_for(consumer: int, partition: int, shelf: Shelf) -> bool:
    """Whether this consumer reads this partition."""
    return bool(shelf.owner_of[partition] < 0 or shelf.owner_of[partition] == consumer)


def answers_at(i: int, consumer: int, broker: int, responded: int, minimum: int, max_wait: int, turn: int, shelf: Shelf) -> int:
    """When the fetch that will carry record i is answered: with `minimum` bytes, or `max_wait` after it was asked; empty answers may precede it."""
    asks = responded + turn
    arrives = shelf.records[broker, i, RECORD_AT]
    if arrives > asks + max_wait:
        asks += ((arrives - asks - 1) // (max_wait + turn)) * (max_wait + turn)
        if arrives > asks + max_wait:
            asks += max_wait + turn
    answers = asks + max_wait
    gathered = 0
    for j in range(i, shelf.held[broker]):
        if shelf.records[broker, j, RECORD_AT] > answers:
            break
        if is_for(consumer, shelf.records[broker, j, RECORD_PARTITION], shelf):
            gathered += shelf.records[broker, j, RECORD_BYTES]
            if gathered >= minimum:
                return int(max(asks, shelf.records[broker, j, RECORD_AT]))
    return int(answers)


def fetch(end: int, minimum: int, maximum: int, max_wait: int, turn: int, hop: int, shelf: Shelf, state: Any, out: Any) -> int:
    """Every consumer fetches from every broker, again and again: a fetch is answered when `minimum` bytes are there or `max_wait` is over.

    A response that is not certain before `end` waits, and state[0] tells when the next one is due. `turn` is the time from a response to
    the arrival of the next fetch. Returns the frames written to `out` (row = consumer); it stops with state[1] = 1 before a response for
    which `out` may have no room.
    """
    sent = 0
    for consumer in range(len(shelf.alive)):
        if shelf.alive[consumer] != 1:
            continue
        for broker in range(len(shelf.held)):
            first = shelf.first[broker]
            i = shelf.reading[consumer, broker, NEXT_RECORD] - first
            responded = shelf.reading[consumer, broker, RESPONDED_AT]
            while i < shelf.held[broker] and shelf.paused[consumer, broker] != PAUSED:
                if not is_for(consumer, shelf.records[broker, i, RECORD_PARTITION], shelf):
                    i += 1
                    continue
                answers = answers_at(i, consumer, broker, responded, minimum, max_wait, turn, shelf)
                if answers >= end:
                    state[0] = min(state[0], answers)
                    break
                if sent + shelf.held[broker] - i > len(out):
                    shelf.reading[consumer, broker, NEXT_RECORD] = first + i
                    shelf.reading[consumer, broker, RESPONDED_AT] = responded
                    state[1] = 1
                    return sent
                gathered = 0
                while i < shelf.held[broker] and shelf.records[broker, i, RECORD_AT] <= answers and gathered < maximum:
                    p = shelf.records[broker, i, RECORD_PARTITION]
                    if is_for(consumer, p, shelf):
                        out[sent, 0] = answers + hop
                        out[sent, 1] = shelf.records[broker, i, RECORD_ID]
                        out[sent, 2] = consumer
                        out[sent, 3] = shelf.records[broker, i, RECORD_MESSAGE]
                        out[sent, 4] = p
                        sent += 1
                        gathered += shelf.records[broker, i, RECORD_BYTES]
                        shelf.fetched[consumer, p] += 1
                    i += 1
                responded = answers
                if shelf.paused[consumer, broker] == ONCE:
                    shelf.paused[consumer, broker] = PAUSED
            shelf.reading[consumer, broker, NEXT_RECORD] = first + i
            shelf.reading[consumer, broker, RESPONDED_AT] = responded
    return sent
