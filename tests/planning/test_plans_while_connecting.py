"""Plans of runs in which everybody dials: handshakes, subscriptions, and what each client catches up on."""

from __future__ import annotations

import pytest

from simfabric.planning import Plan, plan
from simfabric.topology import loads
from tests.planning.measuring import Measured, measured

DIALLING = """
version: 1
run: {duration: 10s, warmup: 1s}
clients: {count: 800, subscriptions: 4, start: 4s, delay: 1ms}
channels: {count: 100, popularity: zipf(0.4), given: [{name: hall, members: 10%}]}
traffic:
  - {name: chat, rate: 24/min, arrivals: regular}
  - {name: notices, to: hall, per: all, rate: 4/s, arrivals: regular}
  - {name: news, kind: producers, rate: 10/s, arrivals: regular}
gateways: {count: 3, cores: 2, work: {handshake: 2ms, subscribe: 200us, frame_in: 200us, delivery: 100us}}
balancer: {handshake: 3ms}
"""


@pytest.fixture(scope="module")
def case() -> tuple[Plan, Measured]:
    topology = loads(DIALLING)
    return plan(topology), measured(topology)


def test_every_client_dials_once_and_catches_up_at_most_once(case: tuple[Plan, Measured]) -> None:
    foretold, did = case
    assert did.frames["balancer"] == 80.0
    assert foretold.load("balancer").frames == 80.0
    assert foretold.load("replay").frames < 80.0
    assert did.frames["replay"] == pytest.approx(foretold.load("replay").frames, rel=0.05)  # Who lacks nothing asks for nothing.


@pytest.mark.parametrize("name", ["balancer", "token_api", "bootstrap_api", "gateways", "replay", "storage"])
def test_what_connecting_costs_is_foretold(case: tuple[Plan, Measured], name: str) -> None:
    foretold, did = case
    assert did.utilisation[name] == pytest.approx(foretold.utilisation[name], rel=0.05)


def test_who_is_not_connected_does_not_publish(case: tuple[Plan, Measured]) -> None:
    foretold, did = case
    assert did.half_width <= 0.025
    assert did.publications == pytest.approx(foretold.publications, rel=0.05)
    assert did.deliveries == pytest.approx(foretold.deliveries, rel=0.05)
    assert foretold.publications == pytest.approx(0.8 * 320 + 0.8 * 4 + 10, rel=0.01)
