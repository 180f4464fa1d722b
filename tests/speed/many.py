"""What a second process gains: 100 runs of stage_b on one process and on two, alternately, and the ratio of the fastest of each.

    python -m tests.speed.many            about three minutes
    python -m tests.speed.many --runs 20

Nothing else should run on the machine meanwhile.
"""

import argparse
import os
import time
from pathlib import Path

from simfabric.planning.many import run_many
from simfabric.running import Result
from simfabric.topology import Topology, load

STAGE_B = Path(__file__).parents[2] / "topologies" / "stage_b.yaml"


def digest(result: Result) -> str:
    """What travels back from a run here."""
    return result.digest


def took(topologies: list[Topology], processes: int) -> tuple[float, list[str]]:
    """Wall time [s], and the digests."""
    began = time.perf_counter()
    digests = run_many(topologies, digest, processes=processes)
    return time.perf_counter() - began, digests


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--times", type=int, default=1)
    asked = parser.parse_args()
    base = load(STAGE_B)
    topologies = [base.with_({"run.seed": seed}) for seed in range(asked.runs)]
    best = {1: float("inf"), 2: float("inf")}
    seen = []
    for processes in (1, 2) * asked.times:
        wall, digests = took(topologies, processes)
        best[processes] = min(best[processes], wall)
        seen.append(digests)
        print(f"{asked.runs} runs on {processes}: {wall:.1f} s", flush=True)
    assert all(digests == seen[0] for digests in seen), "results depend on the number of processes"
    print(f"two processes are {best[1] / best[2]:.2f} times as fast ({os.cpu_count()} cores); same digests")


if __name__ == "__main__":
    main()
