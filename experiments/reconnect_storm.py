"""Reconnect storms: who comes back when, and who shows "offline", by policy and by the time N/C that the edge needs for everybody.

    python experiments/reconnect_storm.py            both tables (a few minutes)
    python experiments/reconnect_storm.py --small    a fifth of the clients, three columns

Half of the topology is fixed: N clients lose their connections at one instant, the edge shakes C hands a second and refuses who would wait
longer than 100 ms. Every cell is one run of topologies/reconnect_storm.yaml with other numbers; all share their luck.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from simfabric.kernels.histogram import bin_edges
from simfabric.kernels.state import STAGE_NAMES
from simfabric.recorder import TIMELINE
from simfabric.running import Result, run
from simfabric.topology import load

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "reconnect_storm.yaml"
SERVERS = 40  # Handshakes at the same time; their work sets the admissions.
POLICIES = {
    "default: cap, then jitter": (),
    "jitter, then cap": ("clients.reconnect.jitter_order=jitter_first",),
    "refusals advise U(0, N/C)": ("balancer.retry_after=0s", "balancer.retry_spread={drain:.0f}s"),
    "planned, advised U(0, 30 s)": ("faults[0].kind=restart_node", "gateways.drain.spread=30s"),
    "planned, advised U(0, N/C)": ("faults[0].kind=restart_node", "gateways.drain.spread={drain:.0f}s"),
    "an edge that never refuses": ("balancer.queue_timeout=1h",),
    "the same, clients wait 1 min": ("balancer.queue_timeout=1h", "clients.connect_timeout=1min"),
    "centrifuge-js": ("clients.fleet=[{{profile: centrifuge-js, share: 100%}}]",),
    "phoenix": ("clients.fleet=[{{profile: phoenix, share: 100%}}]",),
    "pusher-js": ("clients.fleet=[{{profile: pusher-js, share: 100%}}]",),
}


def storm(clients: int, drain: float, policy: str) -> Result:
    """One storm of `clients` at an edge that needs `drain` seconds for all of them."""
    work_us = SERVERS * 1e6 * drain / clients
    sets = [setting.format(drain=drain) for setting in POLICIES[policy]]
    fixed = [f"clients.count={clients}", "gateways.count=10", f"balancer.servers={SERVERS}", f"balancer.handshake={work_us:.0f}us"]
    return run(load(TOPOLOGY, sets=[*fixed, "clients.subscriptions=1", "traffic=[]", "run.duration=10min", "run.compiled=always", *sets]))


def back_after(result: Result, share: float, clients: int) -> float | None:
    """When this share of the clients was back [s]; None if it was not within the run."""
    counts = result.stages[STAGE_NAMES.index("connect")].cumsum()
    if counts[-1] < share * clients:
        return None
    return float(bin_edges()[int((counts >= share * clients).argmax()) + 1]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description="Tables of reconnect storms.")
    parser.add_argument("--small", action="store_true", help="a fifth of the clients, three columns")
    small = parser.parse_args().small
    clients = 10_000 if small else 50_000
    drains = (5, 50, 100) if small else (5, 25, 42, 50, 62, 71, 83, 100)
    print(f"{clients:,} clients; each cell: share that met the banner | 99 % back after | most dials in a second, as a multiple of what is admitted\n")
    print(f"{'N/C [s]':28}" + "".join(f"{drain:>24}" for drain in drains))
    for policy in POLICIES:
        cells = []
        for drain in drains:
            result = storm(clients, drain, policy)
            offline = result.timeline[-1, TIMELINE.index("offline")] / clients
            dials = result.timeline[:, TIMELINE.index("dials")]
            peak = (dials[1:] - dials[:-1]).max() * drain / clients
            after = back_after(result, 0.99, clients)
            cells.append(f"{offline:6.1%} | {'never' if after is None else f'{after:.0f} s':>5} | {peak:5.1f}x")
        print(f"{policy:28}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
