"""The laws that need a history, one line each: number, what it says, when it counts as exercised, the records that it needs, and how it is checked.

A law without a check is one of whose subject this fabric has nothing, or keeps no record: it is unknown, and its line says why.
"""

from __future__ import annotations

from simfabric.laws.records import connections, delivery, fanout, groups, healing, positions
from simfabric.laws.records.finding import Law

SHOWN = ("message", "client.receive", "client.caught_up")
COVERED = (*SHOWN, "client.snapshot", "client.gap")
COURSE = ("client.open", "client.disconnect", "client.leave", "client.ready")

LAWS: tuple[Law, ...] = (
    Law("S1", "no silent loss", "an obligation with a final read", COVERED, delivery.no_silent_loss),
    Law("S2", "recovered means recovered", "a resume that had missed something", (*COVERED, "client.resumed"), delivery.recovered),
    Law("S3", "what arrives was published", "a receive", SHOWN, delivery.integrity),
    Law("S4", "a user sees a message once", "a duplicate on the wire", SHOWN, delivery.once),
    Law("S5", "a user sees a channel in order", "two deliveries of one channel", SHOWN, delivery.in_order),
    Law("S6", "a producer's order is kept", "a publication after an acknowledged one", ("message",), positions.producer_order),
    Law("S7", "one position for each message", "two appends", ("message",), positions.position_integrity),
    Law("S8", "committed prefix", "leaders do not change, and replicas have no records of their own", (), None),
    Law("S9", "a group's commits are sane", "a commit", ("consumer.lag",), groups.group_safety),
    Law("S10", "redelivery is bounded", "a router that died with uncommitted work", ("gateway.frame",), fanout.redelivery_bound),
    Law("S11", "permission", "the fabric grants and revokes nothing", (), None),
    Law("S12", "only what is subscribed arrives (channels belong to no tenant here)", "two channels with traffic", SHOWN, delivery.only_subscribed),
    Law("S13", "no zombie routes", "a later publication in channels of a dead gateway", ("message", "gateway.frame"), fanout.no_zombie_routes),
    Law("S14", "routes are complete", "a subscription older than its registration, with traffic", ("gateway.frame", *COURSE), fanout.route_completeness),
    Law("S15", "one connection at a time", "a client that connected again", ("client.receive", *COURSE), connections.fencing),
    Law("S16", "presence has its cause", "an update after somebody came and somebody went", ("presence.told", "presence.update"), groups.presence_truth),
    Law("S17", "bounded queues", "queues are counted (C2, C5), their instants are not recorded", (), None),
    Law("S18", "a slow consumer is isolated", "it takes two runs", (), None),
    Law("S19", "affinity and health", "a second pick in an unchanged pool, or one while a gateway is dead", ("balancer.pick", *COURSE), groups.affinity),
    Law("S20", "waits between dials", "two failures in a row", ("client.due", "client.refused", *COURSE), connections.backoff_contract),
    Law("S21", "no effect before its cause", "a message", ("message",), positions.time_sanity),
    Law("S22", "no dial with an old token (no bad one is presented here)", "a dial", ("client.dial", "client.token"), connections.fresh_token),
    Law("S23", "poison and schema", "messages have no content", (), None),
    Law("S24", "the log says what it has let go of", "a request for what is gone", (*COVERED, "client.resumed"), delivery.honest_retention),
    Law("S25", "no leak", "a living gateway keeps the routes of channels without subscribers (counted as wasted)", (), None),
    Law("C1*", "every obligation is in one state (of those watched)", "an obligation", (*COVERED, "subscription"), delivery.obligations),
    Law("C11", "waits, services and links make the delay", "a live delivery", (*SHOWN, "gateway.frame"), positions.delays_add_up),
    Law("L1", "everybody is back and lacks nothing", "a client that lost its connection", ("message", "subscription"), healing.convergence),
    Law("L2", "lag drains", "a router that died with work before it", ("consumer.lag",), groups.lag_drains),
    Law("L3", "tables heal", "leases and registrations are laws of their own: S13, S14", (), None),
    Law("L4", "no loop at one instant", "a record", (), positions.no_zero_time_loop),
    Law("L5", "deploys end", "a gateway that ends by plan, long enough before the end", COURSE, healing.deploys_end),
)
