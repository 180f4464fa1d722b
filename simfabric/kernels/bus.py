"""What the bus does with a record: batch it at the producer, append it at the partition's leader, hand it out when consumers fetch."""

from __future__ import annotations

from typing import Any

from simfabric.chance import draw, word
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.log import append
from simfabric.kernels.servers import free_first
from simfabric.kernels.state import (
    ALIVE,
    BYTES,
    CHANNEL,
    DIES_AT,
    FATE,
    INCARNATION,
    LIFE,
    LOST_AFTER_SAVE,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    PUBLISHED_AT,
    RECEIVED_AT,
    SAVED_AT,
    SERVED,
    SERVED_AT,
    STAGE_ACK,
    STAGE_BUS,
    VISIBLE_AT,
    WORK,
    Crowd,
    Log,
    Nodes,
    Tally,
)  # fmt: skip

OPENED_AT, BATCH_BYTES, LEADER, MARK = 0, 1, 2, 3  # Columns of an accumulator's open batch.
LAST_BATCH_AT, LAST_PRODUCER, BATCHES, APPENDED_UPTO, VISIBLE_UPTO, END_OFFSET = range(6)  # Columns of a partition.
PARTITION_COLUMNS = 6


def batch(
    frames: Any, count: int, end: int, linger: int, limit: int, hop: int, partitions: int, partition_of: Any, accumulators: Any, mark: int, scratch: Any,
    crowd: Crowd, log: Log, nodes: Nodes, out: Any, kept: Any, tally: Tally
) -> int:  # fmt: skip
    """Close the batches that are full, or have lingered long enough, before `end`; records of open batches are kept and looked at again.

    An accumulator is one producer (row) and one partition; `mark` is new in each call, so nothing needs clearing. scratch: int64[count, 2],
    the leader of each record's batch and when that batch closes. Returns the records sent; see `counters` of the caller for those lost;
    kept[-1, 0] tells how many are kept.
    """
    for f in range(count):
        at = frames[f, 0]
        row = frames[f, 3] - log.base[0]
        a = frames[f, 2] * partitions + partition_of[log.rows[row, CHANNEL]]
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
            tally.counters[LOST_OBLIGATIONS] += crowd.members[log.rows[row, CHANNEL]]
            continue
        out[sent, 0] = closes + hop
        out[sent, 1] = frames[f, 1]
        out[sent, 2] = partition_of[log.rows[message - log.base[0], CHANNEL]]
        out[sent, 3] = message
        out[sent, 4] = frames[f, 2]
        sent += 1
    kept[len(kept) - 1, 0] = held
    return sent


def append_records(
    frames: Any, count: int, threads: int, leader_of: Any, partition: Any, free_at: Any, busy: Any, law: Any, per_byte: int, replica: Any, replicated: int,
    keys: Any, acks: int, warmup: int, hop: int, log: Log, out: Any, tally: Tally
) -> None:  # fmt: skip
    """The leaders append what producers sent; a record is visible to consumers once all in-sync replicas have it (high watermark).

    A batch is what came from one producer to one partition at one instant; its first record pays the batch's work. per_byte: work per
    byte [2^-20 ns]. Each record leaves as a frame to the fetch stage at the time it becomes visible, row = broker, extra = partition.
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
        done = max(at, free_at[thread]) + work
        free_at[thread] = done
        busy[broker] += work
        appended = max(done, partition[p, APPENDED_UPTO])
        partition[p, APPENDED_UPTO] = appended
        partition[p, END_OFFSET] += 1
        append(message, appended, log)
        visible = appended
        if replicated == 1:
            visible += draw(replica, word(keys[1], p, partition[p, BATCHES]))
        visible = max(visible, partition[p, VISIBLE_UPTO])
        partition[p, VISIBLE_UPTO] = visible
        log.rows[row, VISIBLE_AT] = visible
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        tally.counters[WORK] += work
        if log.rows[row, PUBLISHED_AT] >= warmup:
            entered = max(log.rows[row, SAVED_AT], max(log.rows[row, RECEIVED_AT], log.rows[row, PUBLISHED_AT]))
            tally.stages[STAGE_BUS, bin_of(visible - entered)] += 1
            if log.rows[row, SAVED_AT] == 0 and acks > 0:  # Without storage the bus acknowledges: 1 = the leader, 2 = all in-sync replicas.
                tally.stages[STAGE_ACK, bin_of((visible if acks == 2 else appended) + hop - log.rows[row, PUBLISHED_AT])] += 1
        out[f, 0] = visible
        out[f, 1] = (14 << 56) | (partition[p, END_OFFSET] << 17) | p  # From here on, frames of one instant go in the log's order.
        out[f, 2] = broker
        out[f, 3] = message
        out[f, 4] = p


RECORD_AT, RECORD_MESSAGE, RECORD_PARTITION, RECORD_BYTES, RECORD_ID = range(5)  # Columns of a broker's visible records.
NEXT_RECORD, RESPONDED_AT = 0, 1  # Columns of a consumer's reading of one broker.


def fetch(
    end: int, broker: int, records: Any, first: int, count: int, reading: Any, consumers: int, owner_of: Any, alive: Any, minimum: int, maximum: int, max_wait: int, turn: int, hop: int,
    earliest: Any, out: Any, progress: Any
) -> int:  # fmt: skip
    """Every consumer fetches from one broker, again and again: a fetch is answered when `minimum` bytes are there or `max_wait` is over.

    records: int64[.., 5] with absolute numbers first .. first + count, in the order in which they became visible; owner_of[p] is the
    consumer of a partition, or -1 when every consumer reads all. A response that is not certain before `end` waits. `turn` is the time from
    a response to the arrival of the next fetch. Returns the frames written to `out` (row = consumer), stops when it is full (then call again).
    """
    sent = 0
    for consumer in range(consumers):
        if alive[consumer] == 0:
            continue
        i = reading[consumer, broker, NEXT_RECORD]
        responded = reading[consumer, broker, RESPONDED_AT]
        while i < first + count:
            if owner_of[records[i - first, RECORD_PARTITION]] >= 0 and owner_of[records[i - first, RECORD_PARTITION]] != consumer:
                i += 1
                continue
            asks = responded + turn
            arrives = records[i - first, RECORD_AT]
            if arrives > asks + max_wait:  # Empty responses, one after the other, until the record is there.
                asks += ((arrives - asks - 1) // (max_wait + turn)) * (max_wait + turn)
                if arrives > asks + max_wait:
                    asks += max_wait + turn
            gathered = 0
            answers = asks + max_wait
            for j in range(i, first + count):
                if records[j - first, RECORD_AT] > answers:
                    break
                p = records[j - first, RECORD_PARTITION]
                if owner_of[p] < 0 or owner_of[p] == consumer:
                    gathered += records[j - first, RECORD_BYTES]
                    if gathered >= minimum:
                        answers = max(asks, records[j - first, RECORD_AT])
                        break
            if answers >= end:
                earliest[0] = min(earliest[0], answers)
                break
            gathered = 0
            while i < first + count and records[i - first, RECORD_AT] <= answers and gathered < maximum:
                p = records[i - first, RECORD_PARTITION]
                if owner_of[p] < 0 or owner_of[p] == consumer:
                    if sent >= len(out):
                        break
                    out[sent, 0] = answers + hop
                    out[sent, 1] = records[i - first, RECORD_ID]
                    out[sent, 2] = consumer
                    out[sent, 3] = records[i - first, RECORD_MESSAGE]
                    out[sent, 4] = p
                    sent += 1
                    gathered += records[i - first, RECORD_BYTES]
                    progress[consumer, p] += 1
                i += 1
            if sent >= len(out) and i < first + count and records[i - first, RECORD_AT] <= answers:
                # The room is used up inside a response: the rest of it leaves at the same time in the next call.
                reading[consumer, broker, NEXT_RECORD] = i
                reading[consumer, broker, RESPONDED_AT] = answers - turn
                return sent
            responded = answers
        reading[consumer, broker, NEXT_RECORD] = i
        reading[consumer, broker, RESPONDED_AT] = responded
    return sent
