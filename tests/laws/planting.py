"""Bugs planted in the history of a good run, each so that one law fails: what a law catches, it must catch alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.history import KINDS, History
from tests.laws.watched import rows, watched

SECOND = 1_000_000_000
PLANTED: dict[str, Callable[[], History]] = {}


def planted(law: str) -> Callable[[Callable[[], tuple[str, np.ndarray]]], None]:
    """Enter a bug for a law: a function that answers which table is changed, and the changed table."""

    def enter(bug: Callable[[], tuple[str, np.ndarray]]) -> None:
        def history() -> History:
            kind, table = bug()
            whole = watched().history
            assert whole is not None and not np.array_equal(table, whole.tables[kind]), "void: nothing was changed"
            return whole.with_table(kind, table)

        PLANTED[law] = history

    return enter


def column(kind: str, name: str) -> int:
    """The place of a column in a table."""
    return ("at", *KINDS[kind]).index(name)


def message(name: str) -> int:
    return column("message", name)


def sequence_of() -> dict[int, tuple[int, int]]:
    """Channel and sequence of each message."""
    table = rows("message")
    return {row[message("message")]: (row[message("channel")], row[message("sequence")]) for row in table.tolist()}


def in_turn(table: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """By client and channel the rows of what it received in its turn, in time order."""
    known, found = sequence_of(), {}
    for i, (_, client, number, _, outcome) in enumerate(table.tolist()):
        if outcome == 0:
            found.setdefault((client, known[number][0]), []).append(i)
    return found


@planted("S1")
def a_message_is_passed_over():
    table = rows("client.receive")
    its = next(its for its in in_turn(table).values() if len(its) > 20)
    return "client.receive", np.delete(table, its[8], axis=0)


@planted("S2")
def a_client_resumes_from_what_it_has_not_got():
    table = rows("client.resumed")
    start, head = column("client.resumed", "start"), column("client.resumed", "head")
    behind = np.flatnonzero((table[:, head] > table[:, start] + 1) & (table[:, -1] == 1))
    table[behind[0], start] += 1
    return "client.resumed", table


@planted("S3")
def a_refused_message_arrives():
    table = rows("message")
    table[np.flatnonzero(table[:, message("sequence")] == 3)[0], message("fate")] = 7
    return "message", table


@planted("S4")
def a_message_is_shown_twice():
    table = rows("client.receive")
    again = table[next(iter(in_turn(table).values()))[5]].copy()
    again[0] += 1
    return "client.receive", np.vstack([table, again])


@planted("S5")
def two_messages_change_places():
    table = rows("client.receive")
    its = max(in_turn(table).values(), key=len)
    table[its[4], 0] = table[its[5], 0] + 1
    return "client.receive", table


@planted("S6")
def a_later_message_of_a_producer_stands_first():
    table = rows("message")
    channel, sequence, publisher = (table[:, message(name)] for name in ("channel", "sequence", "publisher"))
    a = int(np.flatnonzero((sequence == 29) & (publisher >= 0))[0])
    b = int(np.flatnonzero((sequence == 30) & (channel == channel[a]))[0])
    table[b, message("publisher")] = table[a, message("publisher")]
    earlier = 2 * SECOND + table[b, 0] - table[a, 0]
    for name in ("at", "received_at", "saved_at"):
        table[b, message(name)] -= earlier
    return "message", table


@planted("S7")
def a_message_is_appended_after_the_next_one():
    table = rows("message")
    one = np.flatnonzero(table[:, message("sequence")] == 4)[0]
    for name in ("appended_at", "visible_at", "routed_at"):
        table[one, message(name)] += 4 * SECOND
    return "message", table


@planted("S12")
def a_client_receives_from_a_channel_of_others():
    table, known = rows("client.receive"), sequence_of()
    mine = {(client, channel) for _, client, channel, *_ in rows("subscription").tolist()}
    transient = [number for number, (_, sequence) in known.items() if sequence == 0 and number in table[:, 2]]
    for i in np.flatnonzero((table[:, -1] == 3) & (table[:, 0] > 20 * SECOND)):
        for number in transient[:8]:
            if (table[i, 1], known[number][0]) not in mine:
                table[i, 2] = number
                return "client.receive", table
    raise AssertionError("void")


@planted("S21")
def a_message_is_saved_before_it_came():
    table = rows("message")
    one = np.flatnonzero(table[:, message("saved_at")] > 0)[7]
    table[one, message("saved_at")] = table[one, message("received_at")]
    return "message", table


@planted("S24")
def a_client_is_not_told_what_is_gone():
    table = np.array([[30 * SECOND, *rows("subscription")[0, 1:3], 0, 1]])
    return "client.gap", table


@planted("C1*")
def a_cursor_runs_ahead():
    table = rows("subscription")
    table[0, column("subscription", "cursor")] -= 1
    return "subscription", table


@planted("C11")
def a_message_arrives_before_its_frame():
    table, published = rows("client.receive"), {row[1]: row[0] for row in rows("message").tolist()}
    one = next(its[0] for its in in_turn(table).values())
    table[one, 0] = published[int(table[one, 2])] + 1
    return "client.receive", table


@planted("L4")
def a_client_goes_round_in_circles():
    table = rows("client.token")
    return "client.token", np.vstack([table, np.repeat(table[:1], 10_000, axis=0)])
