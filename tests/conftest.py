"""Which tests coverage does not watch: kernels that run as plain Python are several times slower under it, so long statistics and comparisons pause it.

The others reach nearly all branches. Without --cov this does nothing.
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
LONG_WORDS = ("window", "compil", "swarm", "storm")  # In the name of a test or its file.


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
