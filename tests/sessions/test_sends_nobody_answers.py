"""What a user sends and no answer settles: a session neither stops sending for it, nor goes deaf to the gateway's refusals."""

import numpy as np

from simfabric.kernels.clients import PUBLISHED
from simfabric.kernels.state import FATE, LANE, LIMITED, TRANSIENT
from simfabric.planning.swarm import LOUD, TYPING, topology_of
from tests.sessions.comparing import differing, ran

SLOW_LINK = {
    "run.seed": "1020", "clients.count": "1", "clients.links": "[{name: cell, share: 50%, bandwidth: 60kbit/s}]", "traffic": f"[{LOUD}, {TYPING}]",
    "faults": "[{kind: kill_node, at: 11s, down: 300ms, target: {gateway: 0}}]",
}  # fmt: skip
TOO_MUCH = {
    "run.seed": "1039", "clients.churn": "[{name: phone, share: 60%, stays: exponential(8s), ends: silent}]",
    "limits.publish": "{per_user: {rate: 20/min, burst: 3, policy: leaky_bucket}}",
    "traffic": f"[{{name: chat, per: all, rate: 12/s, until: 24s}}, {TYPING}]",
    "faults": "[{kind: degrade_store, at: 4s, length: 3s, factor: 0}]",
}  # fmt: skip


def both(changes):
    _, columns = ran(topology_of(changes))
    _, sessions = ran(topology_of({**changes, "clients.sessions": "all"}))
    return columns, sessions


def test_echoes_that_a_slow_link_keeps_back_do_not_stop_the_author():
    columns, sessions = both(SLOW_LINK)
    assert differing(columns, sessions) == []
    published = int(sessions["clients counters"][PUBLISHED])
    assert published > 200 + len(sessions["trail"]), "void"  # More than an outbox of the protocol holds are without an echo.
    assert np.count_nonzero(sessions["messages"][:, FATE] == 0) == 0


def test_a_refused_transient_is_a_sign_of_life_like_any_other_refusal():
    columns, sessions = both(TOO_MUCH)
    assert differing(columns, sessions) == []
    refused = sessions["messages"][:, FATE] == LIMITED
    assert np.count_nonzero(refused & (sessions["messages"][:, LANE] == TRANSIENT)) > 5, "void"
