"""Every run checks itself, and a planted bug does not pass."""

import dataclasses

import pytest

from simfabric.kernels import gateways, serving
from simfabric.kernels.state import CURSOR, SIZE, START
from simfabric.laws import ALWAYS
from simfabric.running import run
from simfabric.topology import loads

KILLED = """
version: 1
run: {duration: 20s, warmup: 1s, compiled: never}
clients: {count: 120, behind_nat: 50%, nat_size: 10, regions: [{name: near, share: 70%}, {name: far, share: 30%, delay: 90ms}]}
channels: {count: 12, given: [{name: all, members: 100%}]}
gateways: {count: 3, cores: 2}
traffic:
  - {name: chat, rate: 6/min}
  - {name: news, kind: channels, per: all, rate: 2/s, to: all}
faults:
  - {target: {gateway: 1}, at: 6s, down: 4s}
"""


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
def test_all_laws_hold_and_are_exercised_with_a_killed_gateway(pattern):
    result = run(loads(KILLED, sets=[f"fanout.pattern={pattern}"]))
    assert [v.law for v in result.laws if v.verdict != "valid"] == []
    assert len(result.laws) == len(ALWAYS) and len(result.checkpoints) == 10
    assert result.figures()["breaks"] > 0 and result.end.replayed > 0


def test_published_times_subscribers_is_accounted_for_at_every_checkpoint():
    result = run(loads(KILLED))
    for c in result.checkpoints:
        in_flight = c.upstream + c.logged - c.cursors - c.away_lacks
        assert c.owed == c.live + c.replayed + sum(c.dropped.values()) + in_flight + c.away_lacks


def test_after_a_quiet_end_nothing_is_in_flight_or_offline(tmp_path):
    (tmp_path / "trace.csv").write_text("at_s,channel,client\n" + "".join(f"{0.05 * i:.2f},{i % 5},{i % 7}\n" for i in range(160)))
    text = "version: 1\nclients: {count: 50}\ngateways: {count: 2}\ntraffic: [{name: replayed, kind: trace, file: trace.csv}]\n"
    faults = "run: {duration: 40s}\nfaults: [{target: {gateway: 0}, at: 4s, down: 1s}]\n"
    result = run(loads(text + faults, folder=tmp_path))
    end = result.end
    assert end.away_lacks == 0 and end.upstream == 0 and end.logged == end.cursors
    assert result.lawful and end.replayed > 0


def planted(monkeypatch, name, bug):
    """Run with a bug planted in the plain form of a gateway kernel."""
    monkeypatch.setattr(gateways if name in ("fan_out", "finish") else serving, name, bug)
    return run(loads(KILLED))


def broken(result):
    return {v.law.split()[0] for v in result.laws if v.verdict == "invalid"}


def test_one_delivery_that_is_skipped_without_a_reason_breaks_a_law(monkeypatch):
    original, calls = gateways.fan_out, []

    def one_short(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally):
        calls.append(message)
        if len(calls) != 50:
            return original(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally)
        book.slots[slot, SIZE] -= 1
        original(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally)
        book.slots[slot, SIZE] += 1
        return None

    assert "C10" in broken(planted(monkeypatch, "fan_out", one_short))


def test_one_cursor_that_moves_without_a_delivery_breaks_a_law(monkeypatch):
    original, calls = gateways.fan_out, []

    def moved(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally):
        original(message, row, at, gateway, slot, follows, late, nodes, book, crowd, log, outs, tally)
        calls.append(message)
        if len(calls) == 50:
            book.rows[book.slots[slot, START], CURSOR] += 1

    assert {"C1d", "C1"} <= broken(planted(monkeypatch, "fan_out", moved))


def test_one_publication_that_vanishes_on_its_way_breaks_a_law(monkeypatch):
    original, calls = serving.publish, []

    def swallowed(at, gateway, message, life, nodes, crowd, log, outs, tally):
        calls.append(message)
        if len(calls) != 20:
            original(at, gateway, message, life, nodes, crowd, log, outs, tally)

    assert "C1b" in broken(planted(monkeypatch, "publish", swallowed))


def test_work_that_is_given_twice_breaks_a_law(monkeypatch):
    original = gateways.finish

    def twice(gateway, core, begins, now, nodes, tally):
        original(gateway, core, begins, now, nodes, tally)
        nodes.busy[gateway] += now - begins

    assert "C6" in broken(planted(monkeypatch, "finish", twice))


def test_a_connection_that_is_accepted_and_not_counted_breaks_a_law(monkeypatch):
    original = serving.shake_hands

    def uncounted(at, gateway, seat, incarnation, nodes, crowd, outs, tally):
        before = nodes.state[gateway, 2]
        original(at, gateway, seat, incarnation, nodes, crowd, outs, tally)
        nodes.state[gateway, 2] = before

    assert "C4" in broken(planted(monkeypatch, "shake_hands", uncounted))


def test_a_frame_that_changes_its_time_in_a_queue_breaks_a_law(monkeypatch):
    from simfabric.kernels import frames

    original, calls = frames.take, []

    def late(pending, held, end, due, account):
        count = original(pending, held, end, due, account)
        calls.append(count)
        if count and len(calls) > 2000 and not any(c < 0 for c in calls):
            due[0, 0] += 1
            calls.append(-1)
        return count

    monkeypatch.setattr(frames, "take", late)
    assert "C5" in broken(run(loads(KILLED)))


def test_a_law_that_was_never_exercised_is_unknown_not_valid():
    checkpoint = run(loads(KILLED)).end
    idle = dataclasses.replace(checkpoint, expected=0, tried=dict.fromkeys(checkpoint.tried, 0))
    from simfabric.laws.conservation import fan_out

    assert fan_out(idle).verdict == "unknown"


def test_one_lost_delivery_in_a_million_fails_a_compiled_run(monkeypatch):
    """The planted bug as a kernel of its own: compiled like the real one, it hides one subscriber once in 10^6 deliveries."""
    from tests.running import leaky

    topology = loads(
        """
version: 1
run: {duration: 30s, warmup: 1s, compiled: always, window: 20ms, checkpoints: 3}
clients: {count: 2000}
channels: {count: 10, popularity: uniform}
traffic: [{name: chat, per: all, rate: 40/s}]
"""
    )
    honest = run(topology)
    assert honest.lawful and honest.delivered > 1_000_000
    monkeypatch.setattr("simfabric.components.gateways.kernels.serve", leaky.serve)
    leaking = run(topology)
    assert leaking.end.expected - sum(leaking.end.tried.values()) == 1
    assert broken(leaking) == {"C10"}
