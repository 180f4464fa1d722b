"""The speed benchmark: everything side by side in one run, as ratios, since machines differ.

    python -m tests.speed                 all but the ten million (about three minutes)
    python -m tests.speed --ten-million   those too (needs 8 GB)
    python -m tests.speed --limits        what limits cost that nobody meets

Costs are wall time per delivery of the whole run without set-up, unless it says last hop: that is the gateways' kernel alone.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from simfabric.components.gateways import Gateways
from simfabric.recorder import TIMELINE
from simfabric.running import Result, run
from simfabric.topology import Topology, load, loads
from tests.helpers import setting
from tests.reference.fabric import Reference

TOPOLOGIES = Path(__file__).parents[2] / "topologies"

THOUSAND = """
version: 1
name: 10^3 clients
run: {duration: 5s, warmup: 1s, compiled: always}
clients: {count: 1000, subscriptions: 5, delay: 20ms}
channels: {count: 50, popularity: uniform}
gateways: {count: 2, work: {delivery: 5us}}
traffic: [{name: chat, per: all, rate: 2k/s}]
"""

CROWD = """
version: 1
run: {duration: 5s, warmup: 1s, window: 100ms, compiled: always, checkpoints: 1, messages: 1000}
clients: {count: 20_000, subscriptions: 10, bandwidth: 1Gbit/s}
channels: {count: 400, popularity: uniform}
gateways: {count: 4, cores: 16, work: {delivery: 1us}}
traffic: [{name: chat, per: all, rate: 20k/s}]
storage: {shards: 64, work: 100us}
bus: {brokers: 6, partitions: 64, work: 10us}
fanout: {routers: 16}
"""


class LastHop:
    """Measures the wall time inside the gateways' kernel."""

    def __enter__(self) -> "LastHop":
        self.spent = 0.0
        self._original = Gateways._part
        original, spent = self._original, self

        def timed(*arguments: object) -> None:
            began = time.perf_counter()
            original(*arguments)  # type: ignore[arg-type]  # Passed on as they came.
            spent.spent += time.perf_counter() - began

        Gateways._part = timed  # type: ignore[method-assign]  # A clock around it, only here.
        return self

    def __exit__(self, *_: object) -> None:
        Gateways._part = self._original  # type: ignore[method-assign]  # As it was.


def measured(topology: Topology, times: int = 3) -> tuple[Result, float, float]:
    """The last result, and the medians of the run's and of the last hop's cost [ns per delivery]; a first run compiles and does not count."""
    run(topology.with_({"run.duration": "2s", "run.warmup": "1s"}))
    whole, hop = [], []
    for _ in range(times):
        with LastHop() as last_hop:
            result = run(topology)
        whole.append(1e9 * (result.wall_s - result.setup_s) / result.delivered)
        hop.append(1e9 * last_hop.spent / result.delivered)
    return result, statistics.median(whole), statistics.median(hop)


def reference_cost(topology: Topology) -> float:
    """Nanoseconds per delivery of the plain-SimPy fabric."""
    fabric = Reference(topology, setting(topology))
    began = time.perf_counter()
    fabric.run()
    return 1e9 * (time.perf_counter() - began) / len(fabric.arrivals)


def told(what: str, value: str, target: str = "", reached: bool | None = None) -> None:
    """One line of the table."""
    mark = {True: "reached", False: "MISSED", None: ""}[reached]
    print(f"{what:66} {value:>16}   {target:24} {mark}", flush=True)


def costs() -> None:
    """Cost per delivery against the reference and against Cimba."""
    from tests.speed.cimba_hop import cost as cimba_cost

    thousand = loads(THOUSAND)
    reference = reference_cost(thousand)
    told("reference (plain SimPy), 10^3 clients, per delivery", f"{reference:.0f} ns")
    _, same, _ = measured(thousand)
    told("the same topology, per delivery", f"{same:.1f} ns", "<= 1/50 of reference", same <= reference / 50)
    _, small, small_hop = measured(loads(CROWD))
    told("2x10^4 connections, per delivery", f"{small:.1f} ns", "<= 1/1000 of reference", small <= reference / 1000)
    told("2x10^4 connections, last hop", f"{1e3 / small_hop:.1f} M/s", ">= 20 M/s per core", small_hop <= 50)
    cimba = cimba_cost()
    told("Cimba, last hop, per delivery", f"{cimba:.0f} ns")
    told("2x10^4 connections, last hop, per delivery", f"{small_hop:.1f} ns", "<= 1/10 of Cimba", small_hop <= cimba / 10)
    large_crowd = ["clients.count=1M", "gateways.count=100", "channels.count=2k", "traffic.chat.rate=400/s", "clients.subscriptions=20"]
    million = loads(CROWD, sets=large_crowd)
    _, large, large_hop = measured(million)
    told("10^6 connections on 100 gateways, per delivery", f"{large:.1f} ns", "<= 1/300 of reference", large <= reference / 300)
    told("10^6 connections on 100 gateways, last hop", f"{1e3 / large_hop:.1f} M/s", ">= 8 M/s per core", large_hop <= 125)
    _, small_channels, small_channels_hop = measured(million.with_({"channels.count": "20k", "traffic.chat.rate": "4k/s"}))
    told("  the same with 10 readers of a channel on a gateway, not 100", f"{small_channels:.1f} ns")
    told("  the same, last hop", f"{1e3 / small_channels_hop:.1f} M/s")


def two_cores() -> None:
    """One worker against two, the same digest."""
    topology = loads(CROWD, sets=["clients.count=200k", "gateways.count=20", "channels.count=4k", "run.window=100ms"])
    alone, pair = run(topology), run(topology.with_({"run.workers": 2}))
    with_advance = [advance_seconds(topology.with_({"run.workers": n})) for n in (1, 2)]
    ratio = with_advance[0] / with_advance[1]
    told("two workers against one, gateways", f"{ratio:.2f} x", ">= 1.7 x", ratio >= 1.7)
    told("the same digest", str(alone.digest == pair.digest), "True", alone.digest == pair.digest)


def advance_seconds(topology: Topology) -> float:
    """Wall time that the gateways component takes in a run; the median of three."""
    original, spent = Gateways.advance, []
    for _ in range(3):
        total = [0.0]

        def timed(self: Gateways, end: int, total: list[float] = total) -> None:
            began = time.perf_counter()
            original(self, end)
            total[0] += time.perf_counter() - began

        Gateways.advance = timed  # type: ignore[method-assign]  # A clock around it, only here.
        try:
            run(topology)
        finally:
            Gateways.advance = original  # type: ignore[method-assign]  # As it was.
        spent.append(total[0])
    return statistics.median(spent)


def stages(ten_million: bool) -> None:
    """The topologies that the project ships."""
    command = [sys.executable, "-m", "simfabric", "run", str(TOPOLOGIES / "stage_a.yaml"), "--quiet"]
    subprocess.run(command, check=True)
    began = time.perf_counter()
    subprocess.run(command, check=True)
    wall = time.perf_counter() - began
    told("stage_a from the prompt to the summary, warm", f"{wall:.2f} s", "<= 2 s", wall <= 2)
    result, cost, _ = measured(load(TOPOLOGIES / "stage_c.yaml"))
    speed = result.simulated / 1e9 / (result.wall_s - result.setup_s)
    told("stage_c, set-up of 10^6 connections and 2x10^7 subscriptions", f"{result.setup_s:.1f} s", "<= 15 s", result.setup_s <= 15)
    told("stage_c against real time", f"{speed:.1f} x", ">= 20 x", speed >= 20)
    told("stage_c, per delivery", f"{cost:.0f} ns")
    if ten_million:
        result = run(load(TOPOLOGIES / "stage_c_10m.yaml"))
        speed = result.simulated / 1e9 / (result.wall_s - result.setup_s)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        told("stage_c_10m against real time", f"{speed:.2f} x", "> 1 x", speed > 1)
        told("stage_c_10m, resident", f"{peak:.2f} GB", "<= 8 GB", peak <= 8)
        told("stage_c_10m, set-up", f"{result.setup_s:.0f} s")


STORM = (
    "clients.count=1_000_000", "clients.subscriptions=20", "channels.count=200_000", "gateways.count=100", "gateways.cores=1", "balancer.servers=400",
    "replay.servers=500", "replay.work=1ms", "run.duration=90s", "run.checkpoints=1",
)  # fmt: skip


def storm() -> None:
    """A million clients through a full storm: token, dial, upgrade, 20 subscriptions and their replay each."""
    run(load(TOPOLOGIES / "reconnect_storm.yaml", sets=["clients.count=1000", "run.compiled=always"]))
    result = run(load(TOPOLOGIES / "reconnect_storm.yaml", sets=list(STORM)))
    back = result.timeline[-1, TIMELINE.index("openings")]
    told("a storm of 10^6 clients, 20 subscriptions each", f"{result.wall_s:.1f} s", "<= 30 s", result.wall_s <= 30 and back == 1_000_000)


LIMITS = {
    "limits.publish.per_user": {"rate": "5/s", "burst": "20"},
    "limits.publish.per_tenant": {"rate": "500/s", "burst": "2k"},
    "limits.subscribe.per_user": {"rate": "20/s", "burst": "400"},
    "clients.tenants": 1000,
}


def limits() -> None:
    """What limits cost that nobody meets: stage C with a bucket for each user and for each tenant on each gateway, against none."""
    stage_c = load(TOPOLOGIES / "stage_c.yaml").with_({"clients.tenants": 1000})
    result, without, hop = measured(stage_c)
    limited, cost, limited_hop = measured(stage_c.with_(LIMITS))
    told("stage_c with limits against without, per delivery", f"{cost / without:.3f} x", "<= 1.02 x", cost <= 1.02 * without)
    told("  the same, last hop", f"{limited_hop / hop:.3f} x")
    told("  set-up with limits against without", f"{limited.setup_s:.2f} / {result.setup_s:.2f} s")
    told("  the same digest", str(limited.digest == result.digest), "True", limited.digest == result.digest)


def ten_million_cost() -> None:
    """Cost per delivery at 10^7 connections against 10^4: as many connections on a gateway, 100 readers of a channel on each."""
    base = ["clients.subscriptions=10"]
    small = loads(CROWD, sets=[*base, "clients.count=10k", "gateways.count=1", "channels.count=1000", "traffic.chat.rate=4k/s"])
    large = loads(CROWD, sets=[*base, "clients.count=10M", "gateways.count=1000", "channels.count=1000", "traffic.chat.rate=40/s"])
    _, low, _ = measured(small)
    _, high, _ = measured(large, times=1)
    told("10^7 connections, per delivery", f"{high:.1f} ns")
    told("10^7 against 10^4 connections", f"{high / low:.2f} x", "<= 4 x", high <= 4 * low)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ten-million", action="store_true")
    parser.add_argument("--storm", action="store_true", help="only the reconnect storm")
    parser.add_argument("--limits", action="store_true", help="only what limits cost")
    arguments = parser.parse_args()
    if arguments.limits:
        limits()
        raise SystemExit
    if arguments.storm:
        storm()
        raise SystemExit
    costs()
    two_cores()
    stages(arguments.ten_million)
    if arguments.ten_million:
        ten_million_cost()
