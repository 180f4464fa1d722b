"""Fit the service costs of topologies/kafkorama_125k.yaml to the published 125 000-client run, and to nothing else.

    python experiments/kafkorama_fit.py            fits, prints the chosen values and what is left over (about a quarter of an hour)
    python experiments/kafkorama_fit.py --check    takes the values of the topology as they stand, and prints what is left over
    python experiments/kafkorama_fit.py --compare topologies/kafkorama_500k.yaml    fits nothing: a whole topology beside its own published rows

The idea: five parameters, each moved mainly by rows of its own, are found by damped least squares (Levenberg 1944) over simulated runs. All
runs share their luck (the same seeds), so that a difference between two of them is the parameters' doing. The measured delays are whole
milliseconds between two clocks' ticks: simulated delays go through the same rounding before they are compared.

What is simulated in the fit is one core's share of the gateway, 31 250 clients on one core: a message finds as many subscribers on that core
as on each core of the whole, so delays and load are the same at a quarter of the work. Rows above p99.9 are printed and not fitted: in the
21 minutes that were measured, only a handful of pauses stand behind them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simfabric.kernels.histogram import bin_edges
from simfabric.running import Result, run
from simfabric.topology import Topology, load

Array = np.ndarray[Any, Any]

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "kafkorama_125k.yaml"
ONE_CORE = ("clients.count=31_250", "gateways.cores=1")
SLIM = ("run.window=20ms", "run.messages=0", "bus.retention=30s", "run.checkpoints=20")  # What does not change the delays.
MEASURED_S = 1243  # Length of the published measurement.

# Rows of the 125 000-client run: name, delay [ms], deliveries that took at most so long, of 155 333 013.
MEASURED = 155_333_013
FITTED_ROWS = (
    ("p75", 3, 128_076_182),
    ("p87.5", 4, 141_355_227),
    ("p93.75", 6, 145_626_928),
    ("p96.875", 13, 150_692_777),
    ("p98.4375", 22, 153_053_740),
    ("p99.21875", 34, 154_144_727),
    ("p99.609375", 53, 154_734_314),
    ("p99.90234375", 88, 155_185_134),
)
OTHER_ROWS = (("p99.993896", 191, 155_323_936),)
MEAN_MS = 3.68
CPU = 0.697
STEP = 0.05  # For derivatives, in the logarithm of a parameter.
MOST_TRIES = 3  # Steps tried from one point, each shorter.
HEAVY = 10.0  # Weight of mean and CPU, each known to three digits, beside a row of the histogram.

# The five parameters: name in the topology, how its value is written, and the rows that move it most.
PARAMETERS = (
    ("gateways.work.delivery", "{:.3g}us", "cpu_process_pct"),
    ("network.bus_hop", "{:.3g}us", "latency_p50_ms, latency_p75_ms and the mean"),
    ("gateways.pauses.every", "exponential({:.3g}ms)", "latency_p87.5_ms to latency_p96.875_ms"),
    ("gateways.pauses.length, scale", "weibull({:.3g}ms, {:.3g})", "latency_p96.875_ms to latency_p99.21875_ms"),
    ("gateways.pauses.length, shape", "", "latency_p99.609375_ms and latency_p99.90234375_ms"),
)

# Where the search begins: the published CPU time per delivery; a quarter of the median, since producing, waiting for a fetch and being fetched take
# three hops in the mean; pauses that look like the tail's slope by eye.
START = (22.3, 750.0, 80.0, 1.5, 0.5)


@dataclass(frozen=True, eq=False)
class Delays:
    """A histogram of delays as the published clock shows them: the receipt's whole millisecond minus the sending's.

    A delay d so becomes floor(d + u) for a tick's phase u that is uniform on [0, 1): right in the mean, and spread over two values.
    """

    histogram: Array

    def share_above(self, ms: int) -> float:
        """Share of the deliveries that show more than so many milliseconds."""
        edges = bin_edges() / 1e6
        middle = (edges[:-1] + edges[1:]) / 2
        return float((self.histogram * np.clip(middle - ms, 0.0, 1.0)).sum() / self.histogram.sum())

    def quantile(self, share: float) -> int:
        """The least number of milliseconds that so large a share does not exceed."""
        low, high = -1, 1 << 20
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if 1.0 - self.share_above(middle) >= share else (middle, high)
        return high

    @property
    def most(self) -> int:
        """The largest delay that is shown for at least one delivery in expectation."""
        return self.quantile(1.0 - 1.0 / float(self.histogram.sum()))

    @property
    def mean(self) -> float:
        """Mean [ms]."""
        edges = bin_edges() / 1e6
        return float((self.histogram * (edges[:-1] + edges[1:]) / 2).sum() / self.histogram.sum())

    @property
    def deviation(self) -> float:
        """Standard deviation [ms]; the clock's rounding, a sixth of a square millisecond, is left out."""
        edges = bin_edges() / 1e6
        square = float((self.histogram * ((edges[:-1] + edges[1:]) / 2) ** 2).sum() / self.histogram.sum())
        return float(np.sqrt(square - self.mean**2))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What runs of one topology say together: delays, and the share of the gateway's cores that was busy."""

    delays: Delays
    cpu: float


def shown(result: Result) -> Delays:
    """The delays of a run on the published clock."""
    return Delays(result.delays[1].sum(axis=0))


def settings(values: Sequence[float]) -> list[str]:
    """The five values as changes of the topology."""
    delivery, hop, every, scale, shape = values
    written = (PARAMETERS[0][1].format(delivery), PARAMETERS[1][1].format(hop), PARAMETERS[2][1].format(every), PARAMETERS[3][1].format(scale, shape))
    return [f"{name.split(',')[0]}={text}" for (name, _, _), text in zip(PARAMETERS, written)]


def values_of(topology: Topology) -> list[float]:
    """The five values that a topology has."""
    assert topology.gateways.pauses is not None
    work, pauses = topology.gateways.work.delivery.parameters[0], topology.gateways.pauses
    scale, shape = pauses.length.parameters
    return [work / 1e3, (topology.network.bus_hop or 0) / 1e3, pauses.every.parameters[0] / 1e6, scale / 1e6, shape]


def predict(values: Sequence[float], seconds: int, replications: int) -> Prediction:
    """Simulate one core's share with these values, several times with independent luck."""
    histogram, cpu = np.zeros(1, np.int64), 0.0
    for replication in range(replications):
        sets = [*ONE_CORE, *SLIM, *settings(values), f"run.duration={seconds}s", f"run.replication={replication}"]
        result = run(load(TOPOLOGY, sets=sets))
        assert result.lawful, result.laws
        histogram = histogram + shown(result).histogram
        cpu += result.utilisation["gateways"] / replications
    return Prediction(Delays(histogram), cpu)


def residuals(found: Prediction) -> Array:
    """What is left over: logarithms of predicted to published, of each row's share above its delay, of the mean and of the CPU."""
    rows = [np.log(found.delays.share_above(ms) / (1 - count / MEASURED)) for _, ms, count in FITTED_ROWS]
    return np.array([*rows, HEAVY * np.log(found.delays.mean / MEAN_MS), HEAVY * np.log(found.cpu / CPU)])


def fit(start: Sequence[float], seconds: int, replications: int, rounds: int) -> list[float]:
    """Damped least squares in the logarithms of the parameters, with derivatives from runs that share their luck."""

    def left_at(logarithms: Array) -> Array:
        return residuals(predict(np.exp(logarithms).tolist(), seconds, replications))

    at = np.log(np.array(start))
    left = left_at(at)
    damping = 0.01
    for turn in range(rounds):
        slopes = np.column_stack([(left_at(at + STEP * unit) - left) / STEP for unit in np.eye(len(at))])
        square = slopes.T @ slopes
        for _ in range(MOST_TRIES):
            step = np.linalg.solve(square + damping * np.diag(np.diag(square)), -slopes.T @ left)
            tried = left_at(at + step)
            if (tried**2).sum() < (left**2).sum():
                at, left, damping = at + step, tried, damping / 10
                break
            damping *= 10
        else:
            print(f"round {turn + 1}: no step improves", flush=True)
            break
        print(f"round {turn + 1}: sum of squares {(left**2).sum():.4f}, {' '.join(settings(np.exp(at).tolist()))}", flush=True)
    return [float(value) for value in np.exp(at)]


def compare(path: Path, seconds: int, replications: int) -> str:
    """A whole topology beside what was published of it, on the published clock; nothing is fitted."""
    histogram, cpu = np.zeros(1, np.int64), 0.0
    for replication in range(replications):
        result = run(load(path, sets=[*SLIM, f"run.duration={seconds}s", f"run.replication={replication}"]))
        assert result.lawful, result.laws
        histogram = histogram + shown(result).histogram
        cpu += result.utilisation["gateways"] / replications
    published, found = result.topology.published, Delays(histogram)
    assert published is not None
    lines = ["", result.topology.name, f"{'row':16}{'published':>12}{'predicted':>12}{'ratio':>8}"]
    for point in published.quantiles:
        theirs, ours = point.delay / 1e6, found.quantile(point.quantile)
        lines.append(f"{f'p{100 * point.quantile:.8g}':16}{theirs:>9g} ms{ours:>9} ms{ours / theirs:>8.2f}")
    lines += [f"{'max':16}{'':12}{found.most:>9} ms", f"{'mean':16}{'':12}{found.mean:>9.2f} ms", f"{'sd':16}{'':12}{found.deviation:>9.2f} ms"]
    lines.append(f"{'CPU':16}{published.cpu or 0:>12.1%}{cpu:>12.1%}")
    return "\n".join([*lines, published.note])


def report(values: Sequence[float], found: Prediction) -> str:
    """The chosen values with the rows that they come from, and predicted beside published."""
    lines = ["", "chosen"]
    written = dict(setting.split("=") for setting in settings(values))
    for name, _, rows in PARAMETERS:
        key = name.split(",")[0]
        lines.append(f"  {name:32}{written[key]:26}from {rows}")
    lines += ["", f"{'row':16}{'published':>12}{'predicted':>12}{'share above it':>24}{'ratio':>8}"]
    for name, ms, count in (*FITTED_ROWS, *OTHER_ROWS):
        ours, theirs = found.delays.share_above(ms), 1 - count / MEASURED
        predicted = found.delays.quantile(float(name[1:]) / 100)
        lines.append(f"{name:16}{ms:>9} ms{predicted:>9} ms{theirs:>12.4%}{ours:>12.4%}{ours / theirs:>8.2f}")
    lines.append(f"{'max':16}{314:>9} ms{found.delays.most:>9} ms")
    lines.append(f"{'p50':16}{3:>9} ms{found.delays.quantile(0.5):>9} ms")
    lines.append(f"{'mean':16}{MEAN_MS:>9} ms{found.delays.mean:>9.2f} ms{'':24}{found.delays.mean / MEAN_MS:>8.2f}")
    lines.append(f"{'CPU':16}{CPU:>12.1%}{found.cpu:>12.1%}{'':24}{found.cpu / CPU:>8.2f}")
    every, scale, shape = values[2:]
    for length in (20, 40):
        rate = 1e3 / every * np.exp(-((length / scale) ** shape))
        lines.append(f"pauses longer than {length} ms: {rate:.3f} a second (published: 0.055 collections a second, of 20 ms at first and 55 ms later)")
    return "\n".join(lines)


def main() -> None:
    """Fit, or check what stands in the topology."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fit nothing: take the topology's values")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="fit nothing: run this topology as a whole beside its published rows")
    parser.add_argument("--seconds", type=int, default=MEASURED_S // 3, help="simulated time of each run")
    parser.add_argument("--replications", type=int, default=3, help="runs with independent luck for each candidate")
    parser.add_argument("--rounds", type=int, default=4, help="most steps of the fit")
    options = parser.parse_args()
    if options.compare:
        print(compare(options.compare, options.seconds, options.replications))
        return
    values = values_of(load(TOPOLOGY))
    if not options.check:
        values = fit(START, options.seconds, options.replications, options.rounds)
    print(report(values, predict(values, options.seconds, options.replications)))


if __name__ == "__main__":
    main()
