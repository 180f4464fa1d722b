"""Stickiness: how evenly connections lie, who has to move, and what gateways must set up anew, by policy and by what happens.

    python experiments/stickiness.py            all tables (about ten minutes)
    python experiments/stickiness.py --small    a fifth of the clients, half as many tenants and channels

Every cell is one run of topologies/rolling_deploy.yaml with other numbers; all share their luck: the same users come, go and break in all of them
as far as the policies let them. In the calm case nothing happens but that 40 % of the users come and go.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from simfabric.recorder import TIMELINE
from simfabric.running import Result, run
from simfabric.topology import load

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "rolling_deploy.yaml"
POLICIES = {
    "cookie, else in turn": "policy=cookie",
    "source address": "policy=source_ip",
    "ring, by user": "policy=consistent_hash",
    "ring, by tenant": "policy=consistent_hash key=tenant",
    "bounded ring, by user": "policy=bounded_hash",
    "bounded ring, by tenant": "policy=bounded_hash key=tenant",
    "maglev, by user": "policy=maglev",
    "rendezvous, by user": "policy=rendezvous",
    "least connections": "policy=least_connections",
    "two choices": "policy=two_choices",
    "round robin": "policy=round_robin",
    "random": "policy=random",
}
CASES = {
    "calm": ("faults=[]",),
    "deploy": (),
    "deploy, clients wait until it is back": ("gateways.drain.retry_after=20s",),
    "crash of one, away for 1 min": ("faults=[{target: {gateway: 3}, at: 30s, down: 60s}]",),
    "scale-out from 6 to 8": ("faults=[{kind: scale_out, count: 2, at: 60s}]",),
}
SMALL = ("clients.count=2_000", "clients.tenants=150", "channels.count=10_000")


def placed(policy: str, case: str, small: bool) -> Result:
    """One run of a policy through what happens."""
    sets = [f"balancer.{setting}" for setting in POLICIES[policy].split()]
    return run(load(TOPOLOGY, sets=[*(SMALL if small else ()), "run.window=20ms", "run.compiled=always", *CASES[case], *sets]))


def row(result: Result) -> str:
    """Imbalance before, at worst and at the end; dials per client; of them moved; what was set up anew, per client."""
    clients, placement, told = result.topology.clients.count, result.imbalance, result.rehydration
    levels = [f"{level.highest:.2f}" if level else "" for level in (placement.before, placement.worst, placement.end)]
    dials = result.timeline[-1, TIMELINE.index("dials")]
    cells = [*levels, f"{dials / clients:.2f}", f"{told['moved'] / max(1, told['accepted']):.0%}", f"{told['routes'] / clients:.2f}", f"{told['tenants']:,}"]
    return " | ".join(f"{cell:>8}" for cell in cells)


def main() -> None:
    """Print a table for every case."""
    parser = argparse.ArgumentParser(description="Tables of stickiness.")
    parser.add_argument("--small", action="store_true", help="a fifth of the clients")
    small = parser.parse_args().small
    heads = ("before", "worst", "end", "dials", "moved", "channels", "tenants")
    for case in CASES:
        print(f"\n{case}: fullest gateway over the mean | dials per client, of them to another gateway | channels per client, tenants new to their gateway")
        print(f"{'':24}" + " | ".join(f"{head:>8}" for head in heads))
        for policy in POLICIES:
            print(f"{policy:24}" + row(placed(policy, case, small)), flush=True)


if __name__ == "__main__":
    main()
