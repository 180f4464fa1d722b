"""Leaving: how a connection ends at its gateway while the gateway lives on."""

from __future__ import annotations

from simfabric.kernels.state import CURSOR, GHOSTS, INCARNATION, LIFE, LOW, OPEN, SEAT, SIZE, START, WIDE, Book, Crowd, Nodes, Outs
from simfabric.kernels.subscriptions import bury, find_slot, row_of
from simfabric.kernels.tickets import TURNS, life_of


def leave(gateway: int, item: int, nodes: Nodes, book: Book, crowd: Crowd) -> None:
    """A client closed its connection: its rows leave the slots, and the cursors go back to it."""
    seat = item & LOW
    if crowd.subscribed[seat] == 1:
        for i in range(crowd.start[seat], crowd.start[seat + 1]):
            slot = find_slot(crowd.channels[i], gateway, nodes.state[gateway, INCARNATION], book)
            r = row_of(seat, slot, book)
            hand_back(i, r, book, crowd)
            take_out(r, slot, book)
    nodes.state[gateway, OPEN] -= 1
    let_go(seat, crowd)


def become_ghost(at: int, gateway: int, item: int, given_up_at: int, nodes: Nodes, book: Book, crowd: Crowd, outs: Outs) -> None:
    """Nothing passes any more: the client will go on from the cursors that it has, and the gateway writes on to rows that stand for nobody."""
    seat = item & LOW
    subscribed = crowd.subscribed[seat]
    if subscribed == 1:
        for i in range(crowd.start[seat], crowd.start[seat + 1]):
            slot = find_slot(crowd.channels[i], gateway, nodes.state[gateway, INCARNATION], book)
            r = row_of(seat, slot, book)
            hand_back(i, r, book, crowd)
            book.rows[r, SEAT] = -2 - seat
            book.rows[r, CURSOR] = 0
    nodes.state[gateway, GHOSTS] += 1
    let_go(seat, crowd)
    n = outs.sent[2]
    outs.sent[2] = n + 1
    outs.ask[n, 0] = given_up_at
    outs.ask[n, 1] = (28 << 56) | seat
    outs.ask[n, 2] = gateway
    outs.ask[n, 3] = item
    outs.ask[n, 4] = subscribed


def drop_ghost(gateway: int, item: int, subscribed: int, nodes: Nodes, book: Book, crowd: Crowd) -> None:
    """The gateway's own heartbeat ends a half-open connection, unless the gateway died meanwhile."""
    seat = item & LOW
    incarnation = nodes.state[gateway, INCARNATION]
    if life_of(item // WIDE) != gateway * LIFE + incarnation:
        return
    if subscribed == 1:
        for i in range(crowd.start[seat], crowd.start[seat + 1]):
            slot = find_slot(crowd.channels[i], gateway, incarnation, book)
            take_out(row_of(-2 - seat, slot, book), slot, book)
    nodes.state[gateway, OPEN] -= 1
    nodes.state[gateway, GHOSTS] -= 1


def let_go(seat: int, crowd: Crowd) -> None:
    """The seat has no connection any more; what is still said to the one it had is of an earlier turn."""
    crowd.home[seat] = -1
    crowd.subscribed[seat] = 0
    crowd.turn[seat] = (crowd.turn[seat] + 1) % TURNS


def hand_back(i: int, r: int, book: Book, crowd: Crowd) -> None:
    """Subscription i takes the cursor of its row with it; one that was catching up resumes from where it was."""
    cursor = book.rows[r, CURSOR]
    crowd.resume_cursor[i] = cursor if cursor >= 0 else -(cursor + 1)


def take_out(r: int, slot: int, book: Book) -> None:
    """Row r leaves its slot; the last one takes its place."""
    last = book.slots[slot, START] + book.slots[slot, SIZE] - 1
    book.rows[r, SEAT] = book.rows[last, SEAT]
    book.rows[r, CURSOR] = book.rows[last, CURSOR]
    bury(last, book)
    book.slots[slot, SIZE] -= 1
