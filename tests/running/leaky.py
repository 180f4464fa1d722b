"""A gateway kernel with a planted bug: when the millionth delivery goes by, the slot's last subscriber is passed over."""

from simfabric.kernels.serving import serve as honest
from simfabric.kernels.state import EXPECTED, SIZE


def serve(frames, first, count, nodes, book, crowd, log, outs, tally, limits, credit):
    done = first
    while done < count:
        before = tally.counters[EXPECTED]
        slot = frames[done, 4]
        due = frames[done, 1] >> 56 == 14 and before < 1_000_000 <= before + book.slots[slot, SIZE]
        if due:
            book.slots[slot, SIZE] -= 1
        upto = honest(frames, done, done + 1, nodes, book, crowd, log, outs, tally, limits, credit)
        if due:
            book.slots[slot, SIZE] += 1
            tally.counters[EXPECTED] += 1
        if upto == done:
            return done
        done = upto
    return done
