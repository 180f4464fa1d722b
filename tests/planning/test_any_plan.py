"""Every topology that can be run has a plan, whatever its laws, policies and patterns."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings

from simfabric.planning import plan, problems, text, warnings
from simfabric.topology import Topology
from tests.engine.small_topologies import small_topologies


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(small_topologies())
def test_every_small_topology_has_a_plan_that_makes_sense(topology: Topology) -> None:
    foretold = plan(topology)
    assert len(text(foretold).splitlines()) <= 40
    assert problems(foretold, 1e12) == []
    assert all(isinstance(note, str) for note in warnings(foretold))
    for load in foretold.loads:
        assert all(math.isfinite(number) and number >= 0 for number in (load.frames, load.work, load.utilisation))
        assert load.busiest >= load.utilisation * (1 - 1e-9)  # The busiest row is at least as busy as the mean one.
    assert foretold.fullest >= 1 and foretold.slots <= foretold.subscriptions * (1 + 1e-9)
    assert all(flow.reach <= min(topology.gateways.count, flow.fan_out) + 1e-9 for flow in foretold.flows)
    assert sum(foretold.time(True)) > 0 and sum(foretold.time(False)) > 0
