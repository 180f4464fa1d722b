"""The noisy tenant: with the limit the others hardly notice, without it all of them wait for seconds; the flood is refused, and nobody else."""

from pathlib import Path

import numpy as np
import pytest

from simfabric.fabric import Fabric
from simfabric.kernels.state import APPENDED_AT, FATE, LIMITED, PUBLISHED_AT, PUBLISHER
from simfabric.topology import load
from tests.helpers import drive

FILE = Path(__file__).parents[2] / "topologies" / "noisy_tenant.yaml"
NOISY = 7


def ran(*sets):
    """How long messages of the other tenants took to the log [s]; how many were refused, of the noisy one and of the others."""
    fabric = Fabric(load(FILE, sets=["run.duration=30s", *sets]), True)
    drive(fabric)
    rows = fabric.columns.log.rows[: fabric.columns.messages]
    noisy = fabric.columns.who.tenant[fabric.columns.crowd.client[rows[:, PUBLISHER]]] == NOISY
    logged = rows[~noisy & (rows[:, APPENDED_AT] > 0)]
    refused = rows[:, FATE] == LIMITED
    delays = (logged[:, APPENDED_AT] - logged[:, PUBLISHED_AT]) / 1e9
    return np.quantile(delays, [0.5, 0.99]), int((refused & noisy).sum()), int((refused & ~noisy).sum())


def test_a_limit_of_each_tenant_keeps_a_flood_from_the_others():
    with_limit, flood, others = ran()
    print(with_limit, flood, others)
    assert with_limit[1] < 0.5 and flood > 4_000 and others == 0


@pytest.mark.parametrize("users_too", [True, False])
def test_without_it_everybody_waits_whether_users_are_limited_or_not(users_too):
    sets = [] if users_too else ["limits.publish.per_user.rate=unlimited"]
    without, flood, others = ran("limits.publish.per_tenant.rate=unlimited", *sets)
    print(without, flood, others)
    assert without[0] > 2 and without[1] > 8 and others == 0


def test_without_the_flood_nobody_is_refused():
    quiet, flood, others = ran("traffic[1].rate=0/s")
    print(quiet, flood, others)
    assert quiet[1] < 0.3 and flood == others == 0
