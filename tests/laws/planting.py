"""Bugs planted in the history of a good run, each so that one law fails: what a law catches, it must catch alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simfabric.history import KINDS, History
from simfabric.laws.records import Evidence, bounds
from simfabric.laws.records.groups import _same_pool
from simfabric.laws.records.healing import _bound
from simfabric.running import Result
from tests.laws.watched import calm, rows, watched

SECOND = 1_000_000_000
PLANTED: dict[str, tuple[Callable[[], History], Callable[[], Result]]] = {}


Tables = tuple[str, np.ndarray]


def planted(law: str, of: Callable[[], Result] = watched) -> Callable[[Callable[[], Tables | list[Tables]]], None]:
    """Enter a bug for a law: a function that answers which tables are changed, and the changed tables; `of` is the good run."""

    def enter(bug: Callable[[], Tables | list[Tables]]) -> None:
        def history() -> History:
            changed = bug()
            whole = of().history
            assert whole is not None
            for kind, table in changed if isinstance(changed, list) else [changed]:
                assert not np.array_equal(table, whole.tables[kind]), "void: nothing was changed"
                whole = whole.with_table(kind, table)
            return whole

        PLANTED[law] = (history, of)

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


@planted("S9")
def a_consumer_commits_what_it_has_not_fetched():
    table = rows("consumer.lag")
    table[40, column("consumer.lag", "committed")] = table[40, column("consumer.lag", "fetched")] + 1
    return "consumer.lag", table


@planted("S10")
def a_message_is_routed_twice_without_a_reason():
    table = rows("gateway.frame")
    again = table[np.flatnonzero(table[:, 0] > 9 * SECOND)[0]].copy()
    again[0] += 1_000
    return "gateway.frame", np.vstack([table, again])


@planted("S13")
def a_message_goes_to_a_life_that_ended_long_ago():
    table = rows("gateway.frame")
    late = np.flatnonzero((table[:, 0] > 28 * SECOND) & (table[:, column("gateway.frame", "gateway")] == 1))
    table[late[0], column("gateway.frame", "incarnation")] = 0
    return "gateway.frame", table


@planted("S14")
def a_router_forgets_a_gateway_and_the_log_makes_up_for_it():
    frames, received, caught = rows("gateway.frame"), rows("client.receive"), rows("client.caught_up")
    known = sequence_of()
    number, gateway = next(row[1:3] for row in frames[frames[:, 0] > 30 * SECOND].tolist() if known[row[1]][1] > 0)
    frames = frames[(frames[:, 1] != number) | (frames[:, 2] != gateway)]
    its = (received[:, 2] == number) & (received[:, 3] == gateway)
    assert its.any(), "void"
    return [
        ("gateway.frame", frames), ("client.receive", received[~its]), ("client.caught_up", np.vstack([caught, received[its][:, :3]])),
    ]  # fmt: skip


@planted("S15")
def a_gateway_writes_to_a_client_of_another():
    table = rows("client.receive")
    one = np.flatnonzero(table[:, -1] == 3)[4]
    table[one, 3] = (table[one, 3] + 1) % 3
    return "client.receive", table


@planted("S16")
def a_gateway_is_told_the_opposite_of_what_is_true():
    table = rows("presence.update")
    table[9, column("presence.update", "online")] ^= 1
    return "presence.update", table


@planted("S19")
def a_client_that_comes_back_is_sent_elsewhere():
    history, table = watched().history, rows("balancer.pick")
    assert history is not None
    changes = [(row[0], row[3] + bounds.back_after(watched().topology)) for row in rows("fault").tolist() if row[1] == 0]
    before = _same_pool(Evidence(history, watched().topology), table[:, 0], changes)
    one = np.flatnonzero(before >= 0)[0]
    table[one, 2] = (table[one, 2] + 1) % 3
    return "balancer.pick", table


@planted("S20")
def a_client_dials_again_at_once():
    table, failures = rows("client.due"), rows("client.refused")
    for failed_at, client in failures[:, :2].tolist():
        following = np.flatnonzero((table[:, 1] == client) & (table[:, 0] > failed_at))
        if len(following):
            table[following[0], 0] = failed_at + 1_000_000
            return "client.due", table
    raise AssertionError("void")


@planted("S22")
def a_client_dials_without_a_token():
    table = rows("client.token")
    return "client.token", table[table[:, 1] != table[0, 1]]


@planted("L1", calm)
def a_client_does_not_come_back():
    table = rows("subscription", calm())
    table[0, column("subscription", "connected")] = 0
    return "subscription", table


@planted("L2")
def a_partition_is_never_read_again():
    table = rows("consumer.lag")
    behind = np.flatnonzero((table[:, 0] == 21 * SECOND) & (table[:, column("consumer.lag", "fetched")] < table[:, column("consumer.lag", "visible")]))
    table[behind[0], column("consumer.lag", "visible")] += 1000
    return "consumer.lag", table


@planted("L5", calm)
def a_client_comes_back_from_a_deploy_much_too_late():
    history = calm().history
    assert history is not None
    bound, _ = _bound(Evidence(history, calm().topology))
    opened, received, caught, ready, resumed = (rows(f"client.{kind}", calm()) for kind in ("open", "receive", "caught_up", "ready", "resumed"))
    client, late = opened[0, 1], 6 * SECOND + (bound or 0)
    assert late < history.end - SECOND, "void"
    early = (received[:, 1] == client) & (opened[0, 0] < received[:, 0]) & (received[:, 0] < late + 3_000_000)
    opened[0, 0] = late
    ready[ready[:, 1] == client, 0] = late + 1_000_000
    resumed[resumed[:, 1] == client, 0] = late + 1_500_000
    shown = received[early][:, :3]
    shown[:, 0] = np.maximum(late + 2_000_000, shown[:, 0])
    caught[caught[:, 1] == client, 0] = late + 2_000_000
    return [
        ("client.open", opened), ("client.ready", ready), ("client.resumed", resumed), ("client.receive", received[~early]),
        ("client.caught_up", np.vstack([caught, shown])),
    ]  # fmt: skip
