"""The plan in words: a page that fits the screen, and what to know before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from simfabric.planning import Plan, plan, text, warnings
from simfabric.planning.clock import COMPILED, PLAIN, Work, rounds_of, run_time, setup_time
from simfabric.topology import load, loads

FOLDER = Path(__file__).parents[2] / "topologies"
COMPONENTS = ("gateways", "storage", "bus", "routers", "balancer", "token_api", "bootstrap_api", "snapshot_api", "replay")


def plan_of(*sets: str) -> Plan:
    return plan(loads("version: 1\n", sets=sets))


@pytest.mark.parametrize("name", ["stage_a", "stage_b", "stage_c", "stage_c_10m"])
def test_the_page_fits_the_screen_and_names_every_component(name: str) -> None:
    page = text(plan(load(FOLDER / f"{name}.yaml")))
    assert len(page.splitlines()) <= 40
    assert max(map(len, page.splitlines())) <= 120
    for word in (
        *COMPONENTS,
        "connections",
        "subscriptions",
        "publications",
        "deliveries",
        "fan-out",
        "bottleneck: storage",
        "memory: about",
        "real time",
        "window",
    ):
        assert word in page


def test_the_page_of_stage_c_says_what_its_comment_says() -> None:
    page = text(plan(load(FOLDER / "stage_c.yaml")))
    for words in (
        "1M on 100 gateways, 10k each",
        "21M to 200k channels",
        "on 66.3 of 100 gateways (targeted)",
        "all-hands: 1M clients, 530ms of work for each core",
    ):
        assert words in page


@pytest.mark.parametrize("pattern", ["targeted", "broadcast", "direct"])
def test_each_pattern_has_its_components(pattern: str) -> None:
    foretold = plan_of(f"fanout.pattern={pattern}", "storage.enabled=true")
    gone = {"targeted": set(), "broadcast": {"routers"}, "direct": {"bus"}}[pattern]
    assert set(foretold.utilisation) == set(COMPONENTS) - gone
    assert text(foretold)


def test_a_fabric_without_traffic_has_a_plan_too() -> None:
    foretold = plan_of("traffic=[]", "storage.enabled=false")
    assert (foretold.deliveries, foretold.fan_out, foretold.bottleneck.busiest, warnings(foretold)) == (0.0, 0.0, 0.0, [])
    assert "bottleneck" not in text(foretold)


def test_no_markup_is_read_into_a_name() -> None:
    page = text(plan(loads('version: 1\nname: "[bold]A[/bold]"\n')))
    assert page.startswith("[bold]A[/bold]: 1min simulated")


def test_a_saturated_component_is_told() -> None:
    (note,) = warnings(plan_of("storage.work=800ms", "storage.shards=4", "channels.popularity=uniform", "channels.count=4000"))
    assert note.startswith("storage: the busiest shard would be 2") and "grows without bound" in note


def test_a_hot_shard_is_told_even_where_the_mean_is_fine() -> None:
    foretold = plan_of("storage.work=500ms", "channels.popularity=3")
    assert foretold.load("storage").utilisation < 1 < foretold.load("storage").busiest
    (note,) = warnings(foretold)
    assert "the mean of all is 62.5 %" in note


def test_handshakes_that_come_too_fast_are_told() -> None:
    (note,) = warnings(plan_of("clients.count=20_000", "clients.start=1s", "traffic=[]"))
    assert note.startswith("balancer: 250 % busy while clients.start lasts")


def test_a_gateway_that_cannot_hold_its_connections_is_told() -> None:
    (note,) = warnings(plan_of("gateways.memory=2MB", "traffic=[]"))
    assert "would hold 100 connections and has room for 66" in note


def test_a_downlink_that_is_too_narrow_is_told() -> None:
    notes = warnings(plan_of("clients.bandwidth=10kbit/s", "traffic.chat.size=4KB"))
    assert any("of its downlink" in note for note in notes)


def test_a_long_log_is_told() -> None:
    notes = warnings(plan_of("run.duration=7d", "bus.retention=30d", "clients.count=1000", "traffic.chat.rate=2/min"))
    assert any("the log keeps 20.2M messages" in note for note in notes)


def test_bursts_and_the_day_show_in_the_peak() -> None:
    steady, bursting = plan_of("traffic.chat.rate=6/min"), plan_of("traffic.chat.bursts={every: 20s, length: 5s, times: 5}")
    assert [steady.publications, steady.peak] == pytest.approx([10.0, 10.0])
    assert [bursting.publications, bursting.peak] == pytest.approx([20.0, 50.0])
    day = plan_of("run.duration=1d", "traffic.chat.daily={peak_to_mean: 1.8}")
    assert [day.publications, day.peak] == pytest.approx([10.0, 18.0], rel=1e-3)


def test_a_pareto_law_without_a_mean_still_has_a_load() -> None:
    assert 0.0 < plan_of("storage.work=pareto(minimum 1us, shape 1)").load("storage").work < 1e9
    assert plan_of("storage.work=pareto(minimum 1ns, shape 0.85)").load("storage").work > 1_000


def test_windows_without_work_are_skipped() -> None:
    assert rounds_of(60_000_000_000, 2_000_000, 10) == pytest.approx(40, rel=0.01)
    assert rounds_of(60_000_000_000, 2_000_000, 10**9) == pytest.approx(30_000)


def test_more_work_takes_more_time() -> None:
    base = Work(clients=1e4, subscriptions=1e5, channels=1e3, messages=1e4, frames=1e5, deliveries=1e6, scattered=1e6, rounds=1e4, touched=1e6)
    for costs in (COMPILED, PLAIN):
        for name in ("clients", "subscriptions", "channels"):
            assert setup_time(Work(**{**_columns(base), name: 1e9}), costs) > setup_time(base, costs)
        for name in ("messages", "frames", "deliveries", "rounds"):
            assert run_time(Work(**{**_columns(base), name: 1e9}), costs) > run_time(base, costs)
    assert run_time(Work(**{**_columns(base), "touched": 1e9}), COMPILED) > run_time(base, COMPILED)
    assert setup_time(base, PLAIN) < setup_time(base, COMPILED)  # A small run is not worth compiling.
    assert run_time(base, PLAIN) > 5 * run_time(base, COMPILED)


def _columns(work: Work) -> dict[str, float]:
    return {name: getattr(work, name) for name in Work.__dataclass_fields__}
