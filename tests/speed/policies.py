"""What each policy costs, and a hot channel with a million members, at 10^6 connections.

    python -m tests.speed.policies            every policy against none (some minutes)

Cost is the wall time of the run without set-up; the ratio is that of the fastest of three runs to the fastest of three with no policy, run alternately.
"""

from __future__ import annotations

import sys

from simfabric.running import run
from simfabric.topology import loads

MILLION = """
version: 1
run: {duration: 10s, warmup: 2s, window: 10ms, compiled: always, checkpoints: 1, messages: 1000}
clients: {count: 1_000_000, subscriptions: 5}
channels: {count: 200_000, popularity: uniform, given: [{name: hall, members: 100%}]}
gateways: {count: 100, cores: 16, work: {delivery: 1us}}
storage: {shards: 64, work: 1ms}
bus: {brokers: 6, partitions: 64, work: 10us}
fanout: {routers: 16}
traffic:
  - {name: chat, per: all, rate: 20k/s}
  - {name: hall, kind: producers, to: hall, rate: 2/s}
  - {name: typing, per: all, rate: 2k/s, lane: transient, size: 64B}
"""
HALL = {"traffic.hall.rate": "10/s", "traffic.chat.rate": "1k/s", "traffic.typing.rate": "0/s"}
POLICIES: dict[str, dict[str, object]] = {
    "none": {},
    "limits": {
        "limits.publish.per_user": {"rate": "5/s", "burst": "20"},
        "limits.publish.per_tenant": {"rate": "50k/s", "burst": "50k"},
        "limits.subscribe.per_user": {"rate": "20/s", "burst": "400"},
    },
    "presence": {"presence.enabled": "true", "presence.looking": "5%"},
    "lanes strict": {"lanes.policy": "strict"},
    "lanes weighted": {"lanes.policy": "weighted"},
    "hot batch": {"hot.policy": "batch"},
    "hot cap": {"hot.policy": "cap"},
    "hot coalesce": {"hot.policy": "coalesce"},
    "hot shards": {"hot.shards": "8"},
    "hot partitions": {"hot.partitions": "4"},
    "overflow disconnect": {"gateways.overflow": "disconnect"},
    "shed": {"backpressure.policy": "shed"},
    "pull": {"backpressure.policy": "pull"},
    "credits": {"backpressure.policy": "credits"},
    "protection": {"backpressure.protection.queue": "500ms"},
}


def cost(changes: dict[str, object]) -> tuple[float, int]:
    """Wall seconds of one run without set-up, and its deliveries."""
    result = run(loads(MILLION).with_(changes))
    assert result.lawful, result.laws
    return result.wall_s - result.setup_s, result.delivered


def main(wanted: list[str]) -> None:
    """Print the table, or the rows asked for."""
    cost({"run.duration": "3s"})  # Compiles.
    for name, changes in POLICIES.items():
        if wanted and name not in wanted:
            continue
        cost({**changes, "run.duration": "3s"})
        pairs = [(cost({})[0], cost(changes)[0]) for _ in range(3)]  # Alternately: machines are quicker at one time than at another.
        none, spent = min(without for without, _ in pairs), min(of_it for _, of_it in pairs)
        print(f"{name:22}{spent:8.2f} s{spent / none:8.2f} x", flush=True)
    spent, delivered = cost(HALL)
    print(f"a channel with 10^6 members, 10 messages a second: {10 / spent:.2f} x real time, {delivered / spent / 1e6:.1f} M deliveries per second")


if __name__ == "__main__":
    main(sys.argv[1:])
