"""The kinds of faults: what each is, which keys it takes, what it may degrade and what it must not.

One line of the table is one kind; its effect stands in `components/`, under the name of the family. A fault is survived when the laws hold and
nothing but what may degrade has degraded.
"""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS = frozenset({"kind", "at", "every", "p"})  # Keys that every kind takes.


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault, in words, and the keys of a fault that mean something for it besides those of every kind."""

    says: str
    takes: frozenset[str]
    may: str  # What may degrade.
    must_not: str
    dies: bool = False  # Whether it is a death of nodes, which the columns know ahead; see components/faults.py and group.py.
    strikes: str = "gateway"  # What its target is: gateway, router or broker.


def _takes(*keys: str) -> frozenset[str]:
    return ALWAYS | set(keys)


NODES: dict[str, FaultKind] = {
    "kill_node": FaultKind(
        "the node dies at once, with all its connections and all it holds (a router: with what it has fetched and not sent)",
        _takes("target", "down"),
        "its connections, frames on their way to it, presence until its lease ends",
        "lose a durable message that was acknowledged",
        dies=True,
    ),
    "restart_node": FaultKind(
        "the node ends by plan, with the advice of gateways.drain, and is back empty",
        _takes("target", "down"),
        "delay while its clients come back and its caches warm",
        "reuse a route or a session of the life before",
        dies=True,
    ),
    "drain_node": FaultKind(
        "the gateway takes no new connections, closes those that it has after `grace` with the advice of gateways.drain, and is back empty after `down`",
        _takes("target", "grace", "down"),
        "a reconnect of each client",
        "take a connection while it drains, close before the grace is over, count as a failed attempt",
        dies=True,
    ),
    "crash_loop_node": FaultKind(
        "the gateway dies `times` times: it is down, up for `pause`, and dies again",
        _takes("target", "times", "down", "pause"),
        "the capacity of that node",
        "bring storms by its clients, keep health checks flapping afterwards",
        dies=True,
    ),
    "lose_region": FaultKind(
        "every gateway of a zone dies at once, and every router of it where routers share the bus's partitions; they are back empty after `down`",
        _takes("target", "down"),
        "connections to it, which move to the other zones",
        "hurt clients of other zones, deliver twice to a user",
        dies=True,
    ),
    "pause_node": FaultKind(
        "the gateway stands still for a while with all its cores (a collection, a steal): it answers no check and renews no lease",
        _takes("target", "length"),
        "delay of its clients; routes to it, when its leases end meanwhile, until it goes on",
        "break connections, lose what was routed meanwhile",
    ),
    "slow_node": FaultKind(
        "the gateway has only `cpu` of the time of its cores for a while; the rest of every 100 ms is stolen",
        _takes("target", "length", "cpu"),
        "delay of its clients, and of what they publish",
        "delay what passes other nodes alone, fail health checks",
    ),
    "stall_loop": FaultKind(
        "one core of the gateway, an event loop, stands still for a while, and the others work on",
        _takes("target", "length"),
        "delay of that core's connections",
        "change the order on a connection",
    ),
    "exhaust_descriptors": FaultKind(
        "for a while the gateway may have at most `limit` connections",
        _takes("target", "length", "limit"),
        "new dials to it, which are refused",
        "hurt open connections",
    ),
    "push_bad_config": FaultKind(
        "until it is rolled back every gateway has a wrong `setting`: each piece of work takes `factor` times as long, or `limit` is the most connections",
        _takes("length", "setting", "factor", "limit"),
        "what the setting governs",
        "hurt anything once it is rolled back",
    ),
    "rolling_deploy": FaultKind(
        "one batch of gateways after the other is restarted by plan",
        _takes("down", "count", "batch", "pause"),
        "a reconnect of each client, balance afterwards",
        "lose a message, last for ever",
        dies=True,
    ),
    "scale_out": FaultKind(
        "the last gateways are not there before, and join empty",
        _takes("count"),
        "balance, keys that hash policies move to them",
        "move keys between other gateways",
        dies=True,
    ),
}
NETWORK: dict[str, FaultKind] = {
    "reset_connections": FaultKind(
        "the connections of a `share` of the clients break within `spread`, and both ends are told",
        _takes("share", "spread"),
        "those connections, what is on its way over them, the load of those who come back",
        "lose a message or a cursor",
    ),
    "half_open": FaultKind(
        "on the connections of a `share` of the clients nothing passes any more, and nobody is told until heartbeats find it",
        _takes("share", "spread"),
        "those connections, silently, until heartbeats find them",
        "stay open for longer than clients.heartbeat_interval and heartbeat_timeout, lose what was acknowledged",
    ),
    "reorder_packets": FaultKind(
        "a `share` of the frames from routers to gateways come up to `most` later, so that others overtake them",
        _takes("length", "share", "most"),
        "the order on the wire, delay; clients hold what comes too early",
        "change the order that users see",
    ),
    "duplicate_packets": FaultKind(
        "a `share` of the frames from routers to gateways come a second time, up to `most` later",
        _takes("length", "share", "most"),
        "what is on the wire, the work of gateways",
        "show a user a message twice",
    ),
    "delay_packets": FaultKind(
        "all frames from routers to gateways come later by `most`",
        _takes("length", "most"),
        "delay",
        "change the order on a connection",
    ),
    "lose_packets": FaultKind(
        "a `share` of the packets from routers to gateways is lost; TCP sends them again, and what follows waits behind them",
        _takes("length", "share"),
        "delay, by 200 ms and more",
        "leave a hole in a connection",
    ),
    "split_network": FaultKind(
        "gateways and the services behind them (storage, bus, routers, routing store, health checks) cannot reach each other for a while",
        _takes("target", "length"),
        "what the clients of those gateways get and send, until after the heal",
        "lose what was acknowledged, let one that was evicted go on under its old incarnation",
    ),
    "split_one_way": FaultKind(
        "the same in one direction, the `way`, only",
        _takes("target", "length", "way"),
        "what goes that way until after the heal",
        "lose what was acknowledged, hold up other gateways",
    ),
    "cap_bandwidth": FaultKind(
        "the downlinks of a `share` of the clients have no more than `bandwidth` for a while",
        _takes("share", "length", "bandwidth"),
        "delay, buffers up to their bound, what a full buffer does",
        "let a buffer grow beyond its bound, delay other clients",
    ),
    "clog_link": FaultKind(
        "the downlinks of a `share` of the clients hold what they have for a while, and then it comes in a burst",
        _takes("share", "length"),
        "delay, then a burst; what a full buffer does",
        "change the order on a connection, overflow without a record",
    ),
    "rebind_address": FaultKind(
        "a `share` of the clients go on from another address: their connections break, and their gateways are not told",
        _takes("share"),
        "those connections, which gateway a policy by address picks",
        "change who a client is, or what a policy by cookie or user picks",
    ),
}
CLIENTS: dict[str, FaultKind] = {
    "storm_reconnect": FaultKind(
        "a `share` of the clients lose their connections at once, or within `spread`, and all come back",
        _takes("share", "spread"),
        "how long they take to connect, replays, the load of balancer and gateways",
        "break the connections of others, lose an acknowledged message, never calm down",
    ),
    "stale_dns": FaultKind(
        "a `share` of the dials goes to addresses where nobody is any more, and fails when clients.connect_timeout is over",
        _takes("share", "length"),
        "how long clients take to connect",
        "hurt open connections, dial again without a backoff",
    ),
    "old_clients": FaultKind(
        "a `share` of the clients wait before they dial as older versions or other libraries do, their `profile`",
        _takes("share", "length", "profile"),
        "how fast they come back, peaks of dials",
        "hurt others, never come back",
    ),
    "slow_clients": FaultKind(
        "a `share` of the clients read only as much as `reads` says, for a while",
        _takes("share", "length", "reads"),
        "those clients: drops of transient messages, full buffers and what they do",
        "delay neighbours, lose a durable message in silence",
    ),
    "sleep_clients": FaultKind(
        "a `share` of the clients fall asleep without a word, and wake `length` later, within `spread`",
        _takes("share", "spread", "length"),
        "what they miss meanwhile, which a replay or a snapshot brings",
        "leave a gap that nobody is told",
    ),
    "flood_clients": FaultKind(
        "one user, or all users of a `tenant`, publish `factor` times as much as they do",
        _takes("length", "factor", "tenant"),
        "the abuser: limits refuse what is too much",
        "what others get, where limits are set",
    ),
}
EDGE: dict[str, FaultKind] = {
    "limit_api": FaultKind(
        "for a while the service `api` (replay, snapshot or bootstrap) works `factor` times slower (0: not at all), and `errors` of its answers are errors "
        "(of replay: none)",
        _takes("length", "api", "factor", "errors"),
        "how long clients take to catch up, snapshots",
        "call a hole recovered, let clients ask again without a wait",
    ),
    "slow_handshakes": FaultKind(
        "for a while the balancer's TLS handshakes take `factor` times as long; with factor 0 it does none",
        _takes("length", "factor"),
        "how long clients take to connect, the balancer's queue",
        "hurt open connections",
    ),
    "lose_balancer": FaultKind(
        "for a while the balancer shakes no hands; its table of open connections is gone until it is back, and that of cookies for ever",
        _takes("length"),
        "how long clients take to connect, balance, affinity by cookie",
        "break connections, send dials to gateways that are known to be dead",
    ),
    "stale_balancer": FaultKind(
        "what the balancer's checks find meanwhile takes effect `late` too late",
        _takes("length", "late"),
        "dials, which go to gateways that are dead and are refused",
        "let clients dial without a backoff",
    ),
    "flap_health": FaultKind(
        "for a while a `share` of the health checks of the gateways that are struck get lost, each by chance",
        _takes("target", "length", "share"),
        "placement",
        "break connections, keep gateways flapping afterwards",
    ),
    "bad_canary": FaultKind(
        "for a while the gateways that are struck refuse a `share` of the dials that reach them, each by chance",
        _takes("target", "length", "share"),
        "those dials, which are tried again elsewhere",
        "hurt open connections, win dials since few connections are open",
    ),
    "fail_tokens": FaultKind(
        "for a while the token API works `factor` times slower (0: not at all), `errors` of its answers are errors, and with `expire` the tokens that it "
        "gave before are void: gateways refuse them, and clients fetch a new one at once",
        _takes("length", "factor", "errors", "expire"),
        "new connections",
        "end open connections, which outlive their token; accept void tokens",
    ),
}
BUS: dict[str, FaultKind] = {
    "restart_broker": FaultKind(
        "the broker ends by plan: its partitions are without a leader for bus.election, then led by others, and by it again after `down`",
        _takes("target", "down"),
        "delay of publications and deliveries of its partitions",
        "lose a record, delay other partitions",
        strikes="broker",
    ),
    "elect_unclean": FaultKind(
        "the broker dies, and who leads its partitions next lacks what had not been replicated; needs bus.acks leader or none",
        _takes("target", "down"),
        "records that were not replicated: lost, and counted as unclean",
        "lose what replicas had, be silent about the loss",
        strikes="broker",
    ),
    "shrink_replicas": FaultKind(
        "only `in_sync` copies of each partition are in sync; with acks all and fewer than bus.min_in_sync, publications wait",
        _takes("length", "in_sync"),
        "delay of publications while there are too few copies",
        "acknowledge what too few copies have",
    ),
    "crash_consumer": FaultKind(
        "a router dies; mode after_work: it had committed what it had routed, and the rest goes out again; commit_first: it had committed what it had fetched, "
        "and the rest never goes out",
        _takes("target", "down", "mode"),
        "repetitions that clients drop; with commit_first live deliveries, of which clients find all but the last of a channel missing",
        "lose anything after_work",
        dies=True,
        strikes="router",
    ),
    "rebalance_group": FaultKind(
        "a router is late to ask for records: its group goes on without it and it joins again after `down`; at both times partitions stand still for `pause`, "
        "those that move (mode cooperative) or all (eager)",
        _takes("target", "down", "pause", "mode"),
        "lag, and what the late router had not committed goes out again",
        "two readers of a partition, loss",
        dies=True,
        strikes="router",
    ),
    "expire_log": FaultKind(
        "all that the log holds expires at once",
        _takes(),
        "what clients lack by then: a gap is told and a snapshot stands for it",
        "a silent jump",
    ),
    "poison_record": FaultKind(
        "a `share` of the records that are published while it lasts cannot be read: after `attempts`, each of attempt_time, the router sets them aside",
        _takes("length", "share", "attempts", "attempt_time"),
        "those records go out to nobody (who has a later one of the channel finds them missing, and reads them from the log); others wait for the attempts",
        "stop a partition",
    ),
    "burst_channel": FaultKind(
        "one channel gets `factor` times as many publications",
        _takes("length", "factor", "channel"),
        "delay, that of the hot channel first",
        "order, any acknowledged message",
    ),
}
STATE: dict[str, FaultKind] = {
    "degrade_store": FaultKind(
        "the storage works `factor` times slower for a while; with factor 0 it does not work at all",
        _takes("length", "factor"),
        "delay of publications and their acknowledgements",
        "lose what was acknowledged",
    ),
    "corrupt_routes": FaultKind(
        "the routes of `share` of the channels on the gateways that are struck are lost until the next heartbeat of each registers them again",
        _takes("target", "share"),
        "messages to these gateways, which clients fetch from the log when they see the gap",
        "lack a route for longer than it takes to register it; keep a gap after the next message",
    ),
    "flush_caches": FaultKind(
        "what routers have cached of the routes of a `share` of the channels is gone",
        _takes("share"),
        "delay, and the load of the store of routes, until the caches are warm",
        "lose a message, collapse",
    ),
    "fail_over_store": FaultKind(
        "the store of routes goes on with a copy that is behind: routes registered in the last `lost` are gone until the next heartbeat of their gateway",
        _takes("lost"),
        "messages to gateways that were new to a channel, which clients fetch from the log when they see the gap",
        "lose durable messages; lack a route for longer than it takes to register it",
    ),
}
KINDS: dict[str, FaultKind] = {**NODES, **NETWORK, **CLIENTS, **EDGE, **BUS, **STATE}


def told() -> str:
    """Every kind: what it is, the keys that it takes, what may degrade and what must not; a few lines each, for `explain`."""
    pages = []
    for name, kind in KINDS.items():
        keys = ", ".join(sorted(kind.takes - ALWAYS)) or "none of its own"
        pages.append(f"{name}: {kind.says}\n    keys      {keys}\n    may       degrade {kind.may}\n    must not  {kind.must_not}")
    return "\n".join(pages)
