"""The published benchmark, rebuilt: what its files say, what was fitted, and how near the prediction comes.

Bands are those of the published measurements' own rules: CPU within 3 points, mean within 15 %, p99 within a factor of 1.5, p99.9 within 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import kafkorama_fit as fit
from simfabric.kernels.histogram import BINS, count_durations
from simfabric.running import Result, run
from simfabric.topology import Topology, load, loads

FOLDER = Path(__file__).parents[2] / "topologies"
NAMES = ("kafkorama_125k", "kafkorama_500k")


def read(name: str, *sets: str) -> Topology:
    return load(FOLDER / f"{name}.yaml", sets=list(sets))


@pytest.fixture(scope="module")
def core() -> Result:
    """A minute and a half of one core's share of the gateway: 31 250 clients, 2.8 million deliveries."""
    return run(read("kafkorama_125k", *fit.ONE_CORE, "run.duration=92s"))


def delays(*durations: int) -> fit.Delays:
    histogram = np.zeros(BINS, np.int64)
    count_durations(histogram, np.array(durations, np.int64))
    return fit.Delays(histogram)


@pytest.mark.parametrize("name", NAMES)
def test_a_published_run_loads_and_reads_back_from_its_own_text(name: str) -> None:
    topology = read(name)
    assert loads(topology.to_yaml()) == topology
    assert topology.published is not None
    assert [point.quantile for point in topology.published.quantiles] == sorted(point.quantile for point in topology.published.quantiles)


def test_the_larger_run_changes_only_what_its_inputs_state() -> None:
    small, large = (flat(read(name).model_dump(mode="json")) for name in NAMES)
    changed = {
        path for path in small.keys() | large.keys() if small.get(path) != large.get(path) and not path.startswith(("published.", "name", "description"))
    }
    assert changed == {"clients.count", "gateways.cores", "gateways.memory"}


def test_the_prediction_of_the_small_run_stays_within_the_bands(core: Result) -> None:
    found = fit.shown(core)
    assert found.quantile(0.5) == 3
    assert found.mean == pytest.approx(fit.MEAN_MS, rel=0.15)
    assert core.utilisation["gateways"] == pytest.approx(fit.CPU, abs=0.03)
    assert 34 / 1.5 <= found.quantile(0.9921875) <= 34 * 1.5
    assert 88 / 2 <= found.quantile(0.9990234375) <= 88 * 2


def test_no_delivery_of_the_small_run_is_lost(core: Result) -> None:
    conservation = {verdict.law: verdict.verdict for verdict in core.laws if verdict.law.startswith("C1")}
    assert core.lawful and len(conservation) >= 6 and set(conservation.values()) == {"valid"}
    assert not any(core.end.dropped.values())
    assert not any(count for outcome, count in core.end.tried.items() if outcome != "live")
    assert 0 < core.end.owed - core.delivered == core.figures()["in_flight"] < 0.001 * core.end.owed


def test_the_summary_prints_predicted_beside_published(core: Result) -> None:
    assert "predicted beside published" in core.summary()
    assert "gateway CPU" in core.summary()


def test_the_long_window_of_the_published_runs_changes_no_bit() -> None:
    sets = ("clients.count=1000", "channels.count=320", "gateways.cores=2", "traffic.publisher.rate=400/s", "run.duration=1s", "run.warmup=100ms")
    assert read("kafkorama_125k", *sets).run.window == 20_000_000
    long, exact = (run(read("kafkorama_125k", *sets, f"run.window={window}")) for window in ("20ms", "exact"))
    assert exact.window == exact.lookahead < long.window
    assert long.digest == exact.digest


def test_one_core_has_the_delays_of_the_whole_gateway() -> None:
    sets = ("gateways.pauses=null", "run.duration=4s", "run.warmup=1s")
    one, whole = (run(read("kafkorama_125k", *sets, *share)) for share in (fit.ONE_CORE, ()))
    for q in (0.5, 0.9, 0.99):
        ours, theirs = one.delay(q), whole.delay(q)
        assert ours is not None and ours == pytest.approx(theirs, rel=0.05)
    assert one.utilisation["gateways"] == pytest.approx(whole.utilisation["gateways"], abs=0.01)


def test_the_published_clock_spreads_a_delay_over_two_whole_milliseconds() -> None:
    found = delays(2_250_000)
    assert found.share_above(1) == 1.0
    assert found.share_above(2) == pytest.approx(0.25, abs=0.01)
    assert found.share_above(3) == 0.0
    assert (found.quantile(0.5), found.quantile(0.8)) == (2, 3)


def test_the_published_clock_keeps_the_mean() -> None:
    found = delays(300_000, 2_250_000, 7_600_000)
    shown = sum(found.share_above(ms) for ms in range(-1, 20)) - 1
    assert shown == pytest.approx(found.mean, rel=0.005)


def test_at_most_five_values_are_fitted_and_each_names_its_rows() -> None:
    assert len(fit.PARAMETERS) == len(fit.values_of(read("kafkorama_125k"))) <= 5
    assert all(rows for _, _, rows in fit.PARAMETERS)


def test_the_values_of_the_topology_survive_being_written_as_settings() -> None:
    topology = read("kafkorama_125k")
    assert read("kafkorama_125k", *fit.settings(fit.values_of(topology))) == topology


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    return {inner: leaf for name, each in value.items() for inner, leaf in flat(each, f"{path}.{name}" if path else name).items()}
