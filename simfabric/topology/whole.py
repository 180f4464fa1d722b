"""Laws between the sections of a topology."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simfabric.errors import Refusal, did_you_mean
from simfabric.topology import limits
from simfabric.topology.clients import repeated
from simfabric.topology.fault_laws import bus_faults_have_their_bus, surges_have_their_traffic
from simfabric.topology.traffic import TO_WORDS
from simfabric.units import write_count, write_duration

if TYPE_CHECKING:
    from simfabric.topology.model import Topology

HOPS = ("reorder_packets", "duplicate_packets", "delay_packets", "lose_packets")  # Faults of the hop from routers to gateways.
NO_SESSIONS = frozenset({"sleep_clients", "old_clients", "reorder_packets"})  # What they do to a client, a session does not do the same way.
MOST_CREDITS = 50_000_000  # 400 MB.


def laws(topology: Topology) -> Iterator[Refusal]:
    """Every broken law between sections."""
    yield from clients_fit(topology)
    yield from subscriptions_fit(topology)
    yield from members_exist(topology)
    yield from sources_are_named_once(topology)
    yield from publications_have_a_channel(topology)
    yield from tenants_exist(topology)
    yield from faults_strike_someone(topology)
    yield from bus_faults_have_their_bus(topology)
    yield from surges_have_their_traffic(topology)
    yield from faults_find_what_they_need(topology)
    yield from some_gateway_is_there(topology)
    yield from faults_suit_the_clients(topology)
    yield from hops_are_there(topology)
    yield from direct_fan_out_has_its_log(topology)
    yield from hot_channels_have_their_place(topology)
    yield from credits_have_routers(topology)
    most = len(topology.channels.given) + topology.clients.subscriptions
    yield from limits.laws(topology.gateways.count, topology.clients.tenants, most, topology.clients.connect_timeout, topology.limits)


def clients_fit(topology: Topology) -> Iterator[Refusal]:
    """The gateways together may hold all clients."""
    gateways = topology.gateways
    each = min(gateways.connections, gateways.descriptors)
    if topology.clients.count > gateways.count * each:
        needed = -(-topology.clients.count // each)
        yield Refusal(
            f"the gateways must have room for all clients: {write_count(gateways.count)} gateways x {write_count(each)} connections",
            f"raise gateways.count to {write_count(needed)}, or gateways.connections and gateways.descriptors",
            ("clients", "count"),
            write_count(topology.clients.count),
            reads=("clients.count", "gateways.count", "gateways.connections", "gateways.descriptors"),
        )


def subscriptions_fit(topology: Topology) -> Iterator[Refusal]:
    """A client subscribes to each channel at most once."""
    if topology.clients.subscriptions > topology.channels.count:
        yield Refusal(
            f"a client cannot subscribe to more channels than there are, {write_count(topology.channels.count)}",
            "lower clients.subscriptions or raise channels.count",
            ("clients", "subscriptions"),
            write_count(topology.clients.subscriptions),
            reads=("clients.subscriptions", "channels.count"),
        )


def members_exist(topology: Topology) -> Iterator[Refusal]:
    """A given channel has no more members than there are clients."""
    for i, channel in enumerate(topology.channels.given):
        if (channel.members_count or 0) > topology.clients.count:
            yield Refusal(
                f"a channel cannot have more members than there are clients, {write_count(topology.clients.count)}",
                "lower members, or write 100%",
                ("channels", "given", i, "members"),
                write_count(channel.members_count or 0),
                reads=("channels.given", "clients.count"),
            )


def sources_are_named_once(topology: Topology) -> Iterator[Refusal]:
    """No two sources of traffic have the same name."""
    for refusal in repeated([source.name for source in topology.traffic], "traffic", "source"):
        refusal.reads = ("traffic",)
        yield refusal


def publications_have_a_channel(topology: Topology) -> Iterator[Refusal]:
    """`to` is a way to pick a channel, or the name of a given one."""
    known = [*TO_WORDS, *(channel.name for channel in topology.channels.given)]
    for i, source in enumerate(topology.traffic):
        if source.to not in known:
            listed = f"write one of {', '.join(TO_WORDS)}, or the name of a channel in channels.given"
            yield Refusal(
                "must be a way to pick a channel, or the name of a given channel",
                f"{did_you_mean(source.to, known)} {listed}".strip(),
                ("traffic", i, "to"),
                source.to,
                reads=("traffic", "channels.given"),
            )


def tenants_exist(topology: Topology) -> Iterator[Refusal]:
    """The tenant of a source is one of those that there are."""
    for i, source in enumerate(topology.traffic):
        if source.tenant is not None and source.tenant >= topology.clients.tenants:
            yield Refusal(
                f"must be the number of a tenant, from 0 to {topology.clients.tenants - 1}",
                "give a smaller number, or raise clients.tenants",
                ("traffic", i, "tenant"),
                str(source.tenant),
                reads=("traffic", "clients.tenants"),
            )


def faults_strike_someone(topology: Topology) -> Iterator[Refusal]:
    """A fault comes while the run lasts, to a node that there is."""
    for i, fault in enumerate(topology.faults):
        if fault.at is not None and fault.at >= topology.run.duration:
            yield Refusal(
                f"a fault must come before the run's end, {write_duration(topology.run.duration)}",
                "let it come earlier, or lengthen run.duration",
                ("faults", i, "at"),
                write_duration(fault.at),
                reads=("faults", "run.duration"),
            )
        if fault.kind == "degrade_store" and not topology.storage.enabled:
            yield Refusal("there is no storage", "write storage.enabled: true", ("faults", i, "kind"), fault.kind, reads=("faults", "storage.enabled"))
        if isinstance(fault.target.gateway, int) and fault.target.gateway >= topology.gateways.count:
            yield Refusal(
                f"must be the number of a gateway, from 0 to {topology.gateways.count - 1}",
                "give a smaller number, or write one",
                ("faults", i, "target", "gateway"),
                str(fault.target.gateway),
                reads=("faults", "gateways.count"),
            )
        zone, zones = fault.target.zone, topology.gateways.zones
        if isinstance(zone, int) and zone >= zones:
            yield Refusal(
                f"must be the number of a zone, from 0 to {zones - 1}",
                "give a smaller number, or raise gateways.zones",
                ("faults", i, "target", "zone"),
                str(zone),
                reads=("faults", "gateways.zones"),
            )
        router, routers = fault.target.router, topology.fanout.routers
        if router is not None and (topology.fanout.pattern != "targeted" or (isinstance(router, int) and router >= routers)):
            yield Refusal(
                f"must be the number of a router, from 0 to {routers - 1}, and only fanout.pattern targeted has any",
                "give a smaller number, write one, or strike a gateway",
                ("faults", i, "target", "router"),
                str(router),
                reads=("faults", "fanout.routers", "fanout.pattern"),
            )


def longest_pause(topology: Topology) -> int:
    """How long a gateway may say nothing before anybody but the balancer and the routing table takes it for dead [ns]."""
    presence = topology.presence
    lease = presence.lease - presence.heartbeat if presence.enabled else topology.clients.heartbeat_timeout
    return min(topology.clients.heartbeat_timeout, lease)


def faults_find_what_they_need(topology: Topology) -> Iterator[Refusal]:
    """A fault of routes needs routes, one of tokens needs tokens, and a client that a gateway refuses for its token must know what to do."""
    for i, fault in enumerate(topology.faults):
        place, kind = ("faults", i, "kind"), fault.kind
        if kind in ("corrupt_routes", "fail_over_store") and topology.fanout.pattern == "broadcast":
            yield Refusal("with broadcast there are no routes", "take fanout.pattern targeted or direct", place, kind, ("fanout.pattern",))
        if kind == "fail_tokens" and topology.apis.token.ttl == 0:
            yield Refusal("clients need no token", "lengthen apis.token.ttl", place, kind, ("apis.token.ttl",))
        if kind == "flush_caches" and (topology.fanout.pattern == "broadcast" or topology.routing.cache == 0):
            yield Refusal("no router has a cache", "take another fanout.pattern, and lengthen routing.cache", place, kind, ("fanout.pattern", "routing.cache"))
        if kind == "limit_api" and fault.api == "replay" and fault.errors:
            yield Refusal("the replay service answers all that it is asked", "leave errors out, or write factor", ("faults", i, "errors"), str(fault.errors))
        if kind == "pause_node" and fault.length >= longest_pause(topology):
            law = f"a pause must be shorter than {write_duration(longest_pause(topology))}, or clients and the presence store would take the node for dead"
            cure = "shorten length, lengthen clients.heartbeat_timeout or presence.lease, or write kind: kill_node"
            reads = ("clients.heartbeat_timeout", "presence.lease", "presence.heartbeat")
            yield Refusal(law, cure, ("faults", i, "length"), write_duration(fault.length), reads)
        if fault.expire and topology.clients.fleet:
            law, cure = "only the protocol's own clients are known to fetch a new token at once", "leave expire or clients.fleet out"
            yield Refusal(law, cure, ("faults", i, "expire"), "true", ("clients.fleet",))


def faults_suit_the_clients(topology: Topology) -> Iterator[Refusal]:
    """What a fault does with clients, these clients can do."""
    for i, fault in enumerate(topology.faults):
        if fault.kind in NO_SESSIONS and topology.clients.sessions != 0:
            yield Refusal(
                f"{fault.kind} is for clients that are columns",
                "write clients.sessions: 0, or take another kind of fault",
                ("faults", i, "kind"),
                fault.kind,
                reads=("faults", "clients.sessions"),
            )


def hops_are_there(topology: Topology) -> Iterator[Refusal]:
    """What happens between routers and gateways needs routers, and frames that stand for themselves."""
    for i, fault in enumerate(topology.faults):
        where = ("faults", i, "kind")
        if fault.kind in (*HOPS, "split_network", "split_one_way") and topology.backpressure.policy == "credits":
            yield Refusal(
                f"{fault.kind} does not know what becomes of credits on their way",
                "write another backpressure.policy, or take another kind of fault", where, fault.kind, ("faults", "backpressure.policy"),
            )  # fmt: skip
        if fault.kind in HOPS and topology.fanout.pattern == "broadcast":
            law, cure = f"{fault.kind} strikes frames from routers, and with broadcast there are none", "write fanout.pattern: targeted or direct"
            yield Refusal(law, cure, where, fault.kind, ("faults", "fanout.pattern"))
        if fault.kind in HOPS and topology.hot.policy != "none":
            law, cure = f"{fault.kind} strikes frames that hold one message each", "write hot.policy: none, or take another kind of fault"
            yield Refusal(law, cure, where, fault.kind, ("faults", "hot.policy"))


def some_gateway_is_there(topology: Topology) -> Iterator[Refusal]:
    """A rolling deploy restarts no more gateways than there are, and scale-outs leave one for the start of the run."""
    left = topology.gateways.count
    for i, fault in enumerate(topology.faults):
        count, most = fault.count, topology.gateways.count
        if fault.kind == "scale_out" and fault.at:
            count, most = 1 if count is None else count, left - 1
            left -= count
        if count is not None and count > most:
            rest = ", since one must be there at the start" if fault.kind == "scale_out" else ""
            yield Refusal(
                f"must be at most {write_count(most)}, of {write_count(topology.gateways.count)} gateways{rest}",
                "give a smaller count, or raise gateways.count",
                ("faults", i, "count"),
                write_count(count),
                reads=("faults", "gateways.count"),
            )


def direct_fan_out_has_its_log(topology: Topology) -> Iterator[Refusal]:
    """Without a bus the storage is the log, and everything is published through gateways."""
    if topology.fanout.pattern != "direct":
        return
    if not topology.storage.enabled:
        yield Refusal(
            "direct fan-out has no bus, so the storage must be the log",
            "write storage.enabled: true, or fanout.pattern: targeted",
            ("storage", "enabled"),
            "false",
            reads=("storage.enabled", "fanout.pattern"),
        )
    for i, source in enumerate(topology.traffic):
        if source.kind == "producers":
            yield Refusal(
                "direct fan-out has no bus that back-end producers could write to",
                "write kind: users, or fanout.pattern: targeted",
                ("traffic", i, "kind"),
                "producers",
                reads=("traffic", "fanout.pattern"),
            )


def hot_channels_have_their_place(topology: Topology) -> Iterator[Refusal]:
    """Windows are the routers' business, partitions the bus's, and some partitions and gateways are left for the others."""
    hot, pattern, partitions = topology.hot, topology.fanout.pattern, topology.bus.partitions
    reads = ("fanout.pattern", "bus.partitions")
    if hot.policy != "none" and pattern == "broadcast":
        yield Refusal(
            "with broadcast no router sees a message", "take fanout.pattern targeted or direct, or hot.policy none", ("hot", "policy"), hot.policy, reads
        )
    if pattern == "direct" and (hot.partitions > 0 or hot.shards > 1):
        yield Refusal(
            "with direct there is no bus with partitions", "take fanout.pattern targeted, or leave hot.partitions and hot.shards out", ("hot",), None, reads
        )
    elif hot.partitions >= partitions or hot.shards > partitions:
        where = "partitions" if hot.partitions >= partitions else "shards"
        cure = f"raise bus.partitions or lower hot.{where}"
        yield Refusal(f"the bus has {write_count(partitions)} partitions, and the other channels need one", cure, ("hot", where), None, reads)
    if hot.gateways >= topology.gateways.count:
        yield Refusal(
            f"there are {write_count(topology.gateways.count)} gateways, and the subscribers of other channels need one",
            "raise gateways.count or lower hot.gateways", ("hot", "gateways"), write_count(hot.gateways), ("gateways.count",),
        )  # fmt: skip


def credits_have_routers(topology: Topology) -> Iterator[Refusal]:
    """Credits are what routers have with gateways; they are served in order; and each leaves a time behind until it is taken again."""
    if topology.backpressure.policy != "credits":
        return
    place, pattern = ("backpressure", "policy"), topology.fanout.pattern
    if pattern != "targeted":
        cure = "take fanout.pattern targeted, or backpressure.policy shed" + (" or pull" if pattern == "broadcast" else "")
        yield Refusal(f"credits lie between routers and gateways, and with {pattern} there are no routers", cure, place, "credits", ("fanout.pattern",))
    if topology.lanes.policy != "fifo":
        cure = "take lanes.policy fifo, or backpressure.policy shed or pull"
        yield Refusal("credits are for routers that take messages in their order, not by lanes", cure, place, "credits", ("lanes.policy",))
    times = topology.gateways.count * topology.fanout.routers * topology.backpressure.window
    if times > MOST_CREDITS:
        yield Refusal(
            f"there are at most {write_count(MOST_CREDITS)} credits, of all routers and gateways together, here {write_count(times)}",
            "lower backpressure.window or fanout.routers", ("backpressure", "window"), write_count(topology.backpressure.window),
            ("gateways.count", "fanout.routers"),
        )  # fmt: skip
