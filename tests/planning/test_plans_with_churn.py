"""Plans of runs in which clients come and go, against what the runs did: to first order."""

from __future__ import annotations

import pytest

from simfabric.planning import plan
from simfabric.topology import loads
from simfabric.topology.expected import online_share
from tests.planning.measuring import measured

CHURN = """
version: 1
run: {duration: 120s, warmup: 1s, checkpoints: 1}
clients:
  count: 600
  subscriptions: 4
  delay: 1ms
  heartbeat_interval: 4s
  heartbeat_timeout: 2s
  churn:
    - {name: office, share: 50%, stays: exponential(20s), away: exponential(10s)}
    - {name: mobile, share: 20%, stays: exponential(30s), ends: silent}
channels: {count: 100, given: [{name: hall, members: 10%}]}
traffic:
  - {name: chat, rate: 12/min, arrivals: regular}
  - {name: news, kind: producers, rate: 10/s, arrivals: regular}
gateways: {count: 3, cores: 2, work: {handshake: 2ms, subscribe: 200us, frame_in: 200us, delivery: 100us}}
"""


@pytest.mark.slow
def test_dials_bootstraps_and_what_is_caught_up_with_are_foretold_to_first_order() -> None:
    topology = loads(CHURN)
    foretold, did = plan(topology), measured(topology)
    for name, tolerance in (("balancer", 0.15), ("bootstrap_api", 0.15), ("token_api", 0.25), ("replay", 0.25), ("gateways", 0.15), ("storage", 0.1)):
        assert did.frames[name] == pytest.approx(foretold.load(name).frames, rel=tolerance), name
    assert did.frames["bootstrap_api"] > 3 and did.frames["replay"] > 5


def test_the_share_online_and_the_memory_follow_the_churn() -> None:
    topology, quiet = loads(CHURN), loads(CHURN, sets=["clients.churn=[]"])
    assert online_share(quiet) == 1.0
    assert online_share(topology) == pytest.approx(1 - 0.5 / 3 - 0.2 * 5 / 35)
    more = {part.what for part in plan(topology).parts} - {part.what for part in plan(quiet).parts}
    assert more == {"clients that dial", "subscriptions that come back", "growing room for them"}
    assert plan(topology).load("snapshot_api").frames == plan(quiet).load("bootstrap_api").frames == plan(quiet).load("replay").frames == 0
