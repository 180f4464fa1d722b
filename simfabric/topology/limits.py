"""The limits: how fast one user and one tenant may publish and subscribe."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

from simfabric.errors import Refusal
from simfabric.policies.admission import interval_of
from simfabric.topology.kinds import COUNT, RATE, Choice, Quantity
from simfabric.topology.section import Section, leaf, section
from simfabric.units import write_count, write_duration

LONGEST = 30 * 86_400 * 1_000_000_000  # A bucket fills within so long [ns]: its times then fit in 64 bits, whatever the run.
MOST_BUCKETS = 20_000_000  # Of tenants on gateways: 160 MB for each kind of request.


class Bucket(Section):
    """A bucket of tokens: each request takes one, and it fills evenly."""

    rate: float | None = leaf(
        Quantity(RATE, "1/d", "100M/s", MappingProxyType({"unlimited": None})), "unlimited", "Requests per time that are admitted for ever."
    )
    burst: int = leaf(Quantity(COUNT, "1", "100M"), "20", "Requests that are admitted at once after a pause: the tokens of a full bucket.")
    policy: Literal["token_bucket", "leaky_bucket"] = leaf(
        Choice(("token_bucket", "leaky_bucket")),
        "token_bucket",
        "token_bucket: what finds a token goes on at once; leaky_bucket: it waits, and goes on evenly spaced. Both refuse what exceeds the burst.",
    )

    @property
    def interval(self) -> int:
        """Time between two tokens [ns], 0 = no limit."""
        return 0 if self.rate is None else interval_of(self.rate)

    def share(self, gateways: int) -> tuple[int, int]:
        """Interval [ns] and burst of the bucket on one of so many gateways."""
        return self.interval, self.burst

    def laws(self) -> Iterator[Refusal]:
        if self.interval * self.burst > LONGEST:
            yield Refusal("a bucket must fill within 30 days", "lower burst or raise rate", ("burst",), write_count(self.burst))


class TenantBucket(Bucket):
    """The bucket of a tenant, on each gateway."""

    scope: Literal["gateway", "fabric"] = leaf(
        Choice(("gateway", "fabric")),
        "gateway",
        "gateway: each gateway admits the whole rate; fabric: each has its even share of rate and burst, so that all together admit no more.",
    )

    def share(self, gateways: int) -> tuple[int, int]:
        if self.scope == "gateway" or self.rate is None:
            return self.interval, self.burst
        return interval_of(self.rate / gateways), max(1, self.burst // gateways)


class Requests(Section):
    """Limits of one kind of request; each takes tokens from both buckets or from none."""

    per_user: Bucket | None = section(Bucket, "For all connections that a user has with a gateway; not given: no limit.", optional=True)
    per_tenant: TenantBucket | None = section(TenantBucket, "For all users of a tenant on a gateway; not given: no limit.", optional=True)


def are_limited(requests: Requests) -> bool:
    """Whether any bucket stands before these requests."""
    return any(bucket is not None and bucket.rate is not None for bucket in (requests.per_user, requests.per_tenant))


class Limits(Section):
    """What a gateway refuses (error.rate_limited, with advice when to try again) because there was too much of it."""

    publish: Requests = section(Requests, "How fast clients may publish.")
    subscribe: Requests = section(Requests, "How fast clients may subscribe; each channel is one request.")


def laws(gateways: int, tenants: int, channels: int, patience: int, limits: Limits) -> Iterator[Refusal]:
    """Between the limits and the rest: `channels` is the most that one client subscribes to, `patience` how long it waits for the reply [ns]."""
    reads = ("clients.tenants", "gateways.count")
    for name, requests in (("publish", limits.publish), ("subscribe", limits.subscribe)):
        tenant = requests.per_tenant
        if tenant is not None and tenant.rate is not None and gateways * tenants > MOST_BUCKETS:
            yield Refusal(
                f"every gateway keeps a bucket for each tenant, and all of them must be at most {write_count(MOST_BUCKETS)}; "
                f"here {write_count(gateways)} gateways x {write_count(tenants)} tenants",
                "limit per_user instead, or lower clients.tenants or gateways.count",
                ("limits", name, "per_tenant"),
                reads=(f"limits.{name}", *reads),
            )
    for name, bucket in (("per_user", limits.subscribe.per_user), ("per_tenant", limits.subscribe.per_tenant)):
        if bucket is not None and bucket.rate is not None:
            interval, burst = bucket.share(gateways)
            path, written = ("limits", "subscribe", name, "burst"), write_count(bucket.burst)
            here = f" (each gateway has {write_count(burst)} of the fabric's)" if burst != bucket.burst else ""
            if burst < channels:
                yield Refusal(
                    f"a client that connects asks for all its channels at once, here up to {write_count(channels)}; a smaller burst never admits it{here}",
                    f"raise burst by at least {write_count(channels - burst)} on each gateway",
                    path,
                    written,
                    reads=("limits.subscribe", "clients.subscriptions", "channels.given", "gateways.count"),
                )
            if bucket.policy == "leaky_bucket" and 2 * burst * interval > patience:
                yield Refusal(
                    f"a client waits for the reply to its subscribes no longer than clients.connect_timeout, {write_duration(patience)}; the queue must "
                    f"drain in half of that, and takes {write_duration(burst * interval)}",
                    "lower burst, raise rate, or write token_bucket",
                    path,
                    written,
                    reads=("limits.subscribe", "clients.connect_timeout", "gateways.count"),
                )
