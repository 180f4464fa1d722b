"""Which tests are longer studies (`pytest -m slow`), and which ones coverage does not watch.

Kernels that run as plain Python are several times slower under coverage, so long statistics and comparisons pause it; the others reach nearly all
branches. Without --cov that does nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONG_FILES = (
    "oracles", "sessions", "reference", "engine", "topologies", "experiments", "docs", "speed", "topology/test_topology_hostile.py",
    "topology/test_topology_errors.py", "planning/test_any_plan.py", "planning/test_plans_with_churn.py", "planning/test_plans_agree.py",
    "planning/test_plans_while_connecting.py", "planning/test_capacity.py", "planning/test_comparing.py", "components/test_churn.py",
    "components/test_limits.py", "protocol/test_client_any.py", "protocol/test_small_scope.py",
)  # fmt: skip
LONG_WORDS = ("window", "compil", "swarm", "storm", "sound_topology")  # In the name of a test or its file.

# Studies of minutes in all: variations of what the other tests of their files show. One line, so that the time of a run is a decision in one place.
SLOW = (
    "test_compiled_lanes_are_the_plain_ones", "test_shared_addresses_widen", "test_the_command_finds_the_least_shards", "TestPlainStorm",
    "test_a_planted_bug_is_found_and_shrunk", "test_what_sessions_do_does_not_depend_on_the_window", "test_a_storm_without_a_limit_is_over_sooner",
    "test_a_small_rolling_deploy_leaves_the_slope", "with_a_killed_gateway[broadcast]", "with_a_killed_gateway[direct]",
    "by_every_key[.nan]", "by_every_key[5 parsec]", "by_every_key[junk3]", "is_refused[a list]", "changes_anything[deaths]",
    "test_one_answer_to_a_fetch_carries_all", "columns[typing beside messages]", "columns[presence that comes and goes]", "columns[links that fall silent]",
    "columns[slow links that overflow]", "columns[services that fail now and then]", "columns[replies that come too late]",
    "columns[more missed than a replay brings]", "columns[busy gateways that advise]", "columns[subscribes that queue]",
    "columns[more published than a user may]", "columns[clients that give up waiting]", "columns[a token API that refuses]",
    "columns[services that refuse with advice]", "columns[broadcast]", "test_no_more_channels_are_subscribed_than_a_tenant",
    "test_the_load_that_a_single_store_bears", "test_the_fan_out_is_measured_well_enough", "test_every_choice_is_one_that_some_topology_takes",
    "test_a_transient_storm_makes_no_durable", "test_a_channel_spread_over_partitions",
    "changes_anything[slow readers]", "changes_anything[random work and pauses]", "changes_anything[errors everywhere]",
    "changes_anything[snapshots only]", "changes_anything[one core for all]", "changes_anything[a policy that looks", "changes_anything[everybody dials first]",
    "changes_anything[busy gateways]", "change_nothing[False-weighted", "where_plain_simpy_says[by twos", "where_plain_simpy_says[they join in turn",
    "by_every_key[-1]", "test_the_command_says_what_it_looked_at", "test_devices_of_a_user_share_a_bucket", "columns[holes behind gaps]",
    "test_the_laws_of_buckets_are_told_where", "columns[slow consumers that are cut off]", "test_what_a_user_sends_into_the_silence",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longer studies get their mark."""
    for item in items:
        if any(name in item.nodeid for name in SLOW):
            item.add_marker(pytest.mark.slow)


def long(item: pytest.Item) -> bool:
    """Whether coverage pauses while it runs."""
    path = item.path.relative_to(TESTS).as_posix()
    return path.startswith(LONG_FILES) or any(word in item.nodeid.lower() for word in LONG_WORDS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Setup, test and teardown of a long test go unwatched."""
    watcher = getattr(item.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    if watcher is None or not long(item):
        return (yield)
    watcher.pause()
    try:
        return (yield)
    finally:
        watcher.resume()
