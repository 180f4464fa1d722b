"""What storage does with a publication: persist it on its channel's shard, then let the gateway acknowledge and publish it."""

from __future__ import annotations

from typing import Any

from simfabric.chance import draw, word
from simfabric.kernels.histogram import bin_of
from simfabric.kernels.log import append
from simfabric.kernels.state import (
    ALIVE,
    CHANNEL,
    DELAY,
    DIES_AT,
    FATE,
    INCARNATION,
    LIFE,
    LOST_AFTER_SAVE,
    LOST_OBLIGATIONS,
    LOST_PUBLICATIONS,
    OWED,
    PUBLISHED_AT,
    PUBLISHER,
    SAVED_AT,
    SEQUENCE,
    SERVED,
    SERVED_AT,
    STAGE_ACK,
    STAGE_STORAGE,
    WORK,
    Crowd,
    Log,
    Nodes,
    Tally,
)  # fmt: skip


def persist(
    frames: Any,
    count: int,
    free_at: Any,
    busy: Any,
    law: Any,
    key: int,
    hop: int,
    logs: int,
    warmup: int,
    crowd: Crowd,
    log: Log,
    nodes: Nodes,
    out: Any,
    tally: Tally,
) -> int:
    """Serve the frames; `logs` = 1 when the storage itself is the log (no bus). Returns the frames written to `out`, for the bus or the routers."""
    sent = 0
    for f in range(count):
        at = frames[f, 0]
        shard = frames[f, 2]
        message = frames[f, 3]
        life = frames[f, 4]
        row = message - log.base[0]
        begins = max(at, free_at[shard])
        work = draw(law, word(key, message, 0))
        done = begins + work
        free_at[shard] = done
        busy[shard] += work
        log.rows[row, SAVED_AT] = done
        tally.counters[SERVED] += 1
        tally.counters[SERVED_AT] = (tally.counters[SERVED_AT] + at) & 4611686018427387903
        tally.counters[WORK] += work
        if logs == 1:
            append(message, done, log)
        back = done + hop
        if log.rows[row, PUBLISHED_AT] >= warmup:
            tally.stages[STAGE_STORAGE, bin_of(done - at)] += 1
        gateway = life // LIFE
        if nodes.state[gateway, ALIVE] == 0 or nodes.state[gateway, INCARNATION] != life % LIFE or back >= nodes.state[gateway, DIES_AT]:
            if logs == 0:
                log.rows[row, FATE] = LOST_AFTER_SAVE
                tally.counters[LOST_PUBLICATIONS] += 1
                tally.counters[LOST_OBLIGATIONS] += log.rows[row, OWED]
            continue
        if log.rows[row, PUBLISHED_AT] >= warmup:
            publisher = log.rows[row, PUBLISHER]
            tally.stages[STAGE_ACK, bin_of(back + crowd.link[publisher, DELAY] - log.rows[row, PUBLISHED_AT])] += 1
        out[sent, 0] = back
        out[sent, 1] = (13 << 56) | message
        if logs == 1:  # From here on, frames of one instant go in the log's order.
            out[sent, 1] = (14 << 56) | ((log.rows[row, SEQUENCE] & 4294967295) << 24) | (log.rows[row, CHANNEL] & 16777215)
        out[sent, 2] = gateway
        out[sent, 3] = message
        out[sent, 4] = life
        sent += 1
    return sent
