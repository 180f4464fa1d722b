"""The schema: every kind of record and its columns, int64; `at` [ns] comes first in each.

Times of one message stand together in its `message`: publish.invoke (published_at), log.append and sequence.assign (appended_at), visibility, routing,
and what became of it (fate). The total order of the records is (at, place of the kind in this list, the other columns).

Leaves out: what nobody decides in this fabric (leader changes, truncation, tokens with names, tabs, checkpoints).
"""

from __future__ import annotations

MESSAGE = (
    "message", "channel", "publisher", "bytes", "sequence", "previous", "received_at", "saved_at", "appended_at", "visible_at", "routed_at", "fate", "lane",
    "source", "owed", "hot",
)  # fmt: skip

KINDS: dict[str, tuple[str, ...]] = {
    # Who there is, at = 0; gateway: at the start, -1 = none.
    "client": (
        "client",
        "user",
        "tenant",
        "delay",
        "gateway",
        "own_policy",
    ),  # own_policy: 1 = a column, by the topology's numbers.
    # What goes wrong: of a gateway (component 0), a router (1) or else (2, number = kind of fault), until when, by plan or not.
    # at = -1: it is not there as the run begins.
    "fault": ("component", "number", "until", "planned"),
    "message": MESSAGE,  # at = when it was published.
    # The course of a connection.
    "client.due": ("client",),  # The user opens the page, or a wait is over: the client starts an attempt.
    "client.token": ("client",),  # The token API's answer.
    "client.dial": ("client", "number"),  # The dial reaches the balancer.
    "balancer.pick": ("client", "gateway", "incarnation"),  # The balancer's choice reaches the gateway.
    "client.refused": ("client", "by", "reason"),  # A call or a dial came to nothing; `by`, `reason`: see kernels/clients.py.
    "client.open": ("client", "gateway", "ticket"),
    "gateway.subscribe": ("client", "gateway", "ticket"),
    "client.ready": ("client", "ticket", "behind"),  # It has been told where its channels stand.
    "client.disconnect": ("client", "ticket", "why"),  # It notices the end of its connection, or gives it up.
    "client.leave": ("client", "ticket"),  # The user closes the page.
    "client.silence": ("client", "ticket"),  # Nothing passes any more, and the client does not know.
    "client.struck": ("client", "why", "until"),  # A fault breaks the connection that it has; see kernels/striking.py.
    "gateway.close": ("client", "gateway", "ticket", "why"),  # why: 0 closed by the client, 1 nothing passes any more, 2 given up by the gateway.
    # Fan-out.
    "gateway.frame": ("message", "gateway", "incarnation", "follows"),  # A router's frame arrives; `incarnation` is the life that it is for.
    "gateway.drop": ("client", "message", "gateway", "why"),  # why: see kernels/noting.py.
    "client.resumed": ("client", "channel", "start", "head", "recovered"),  # recovered: 1 a replay can bring it, 0 it cannot, -1 the log could not.
    "client.snapshot": ("client", "channel", "start", "upto"),  # It stands in place of all after `start`.
    "client.gap": ("client", "channel", "start", "count"),  # So many after `start` were no longer in the log.
    "client.receive": ("client", "message", "gateway", "outcome"),  # On the wire: 0 in its turn, 1 duplicate, 2 held, 3 transient; see kernels/noting.py.
    "client.caught_up": ("client", "message"),  # Shown as a part of the log's answer, or when what it had waited for came.
    # The consumer group, once a second: records visible, committed and fetched of a partition, by a consumer.
    "consumer.lag": ("consumer", "partition", "owner", "visible", "committed", "fetched"),
    # Presence: what the store is told (40 joined, 41 parted, 42 lease over, 43 debounce over), and what it tells gateways.
    "presence.told": ("client", "what", "ticket"),
    "presence.update": ("client", "gateway", "place", "online", "due"),
    # At the end: how far each subscription has come.
    "subscription": ("client", "channel", "cursor", "connected"),
}
