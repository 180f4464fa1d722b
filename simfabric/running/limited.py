"""What limits refused and delayed in a run, by reason, and by tenant where tenants are limited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from simfabric.components.limits import tenants_of
from simfabric.kernels.limits import ASKED, BY_TENANT, BY_USER, COUNTS, WAITED, WAITED_FOR, Limits
from simfabric.units import format_count, format_duration

KINDS = ("publish", "subscribe")
MOST_TENANTS = 100  # In the figures, those with the most refusals.
TOLD = 3  # Of them in the summary.


def limited(limits: Limits, gateways: int) -> dict[str, dict[str, Any]]:
    """Of each kind of request: how many were asked, refused by the bucket of a user or of a tenant, delayed and by how much in the mean [s].

    `tenants` has (number, asked, refused) of those that were refused most. Nothing where nothing was asked of a bucket.
    """
    counts = limits.counts.sum(axis=0).reshape(len(KINDS), COUNTS)
    by_tenant = tenants_of(limits, gateways)
    found: dict[str, dict[str, Any]] = {}
    for kind, name in enumerate(KINDS):
        asked, waited = int(counts[kind, ASKED]), int(counts[kind, WAITED])
        if asked:
            table = by_tenant[kind]
            worst = np.argsort(-table[:, 1], kind="stable")[:MOST_TENANTS]
            found[name] = {
                "asked": asked,
                "refused": {"user": int(counts[kind, BY_USER]), "tenant": int(counts[kind, BY_TENANT])},
                "delayed": waited,
                "mean_delay_s": int(counts[kind, WAITED_FOR]) / waited / 1e9 if waited else None,
                "tenants": [(int(tenant), *table[tenant].tolist()) for tenant in worst if table[tenant, 1] > 0],
            }
    return found


def lines(figures: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The same in words, for the summary."""
    for name, one in figures.items():
        refused = ", ".join(f"{format_count(n)} by the limit of a {whose}" for whose, n in one["refused"].items() if n) or "none"
        delayed = f", {format_count(one['delayed'])} delayed by {format_duration(round(one['mean_delay_s'] * 1e9))} in the mean" if one["delayed"] else ""
        yield f"limits        {name}: {format_count(one['asked'])} asked, refused {refused}{delayed}"
        if one["tenants"]:
            told = ", ".join(f"{tenant} ({refused / asked:.0%} of {format_count(asked)})" for tenant, asked, refused in one["tenants"][:TOLD])
            yield f"              refused most: tenants {told}"
