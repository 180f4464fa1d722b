"""The machine: how much memory a run may take here."""

from __future__ import annotations

import os
from pathlib import Path

UNKNOWN = 4_000_000_000  # Assumed where nothing tells [bytes].


def free_memory(root: Path = Path("/")) -> int:
    """Memory that a new process may take [bytes]: what the system has available, within the limits of its control group."""
    limits = [available(root / "proc/meminfo"), *(group_room(folder) for folder in (root / "sys/fs/cgroup", root / "sys/fs/cgroup/memory"))]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else installed() or UNKNOWN


def available(path: Path) -> int | None:
    """What /proc/meminfo says is available [bytes]."""
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable" and rest.split()[:1] and rest.split()[0].isdigit():
            return int(rest.split()[0]) * 1024
    return None


def group_room(folder: Path) -> int | None:
    """What a control group still has room for [bytes]; None where it has no limit."""
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        most, now = _text(folder / limit).strip(), _text(folder / used).strip()
        if most.isdigit() and int(most) < 1 << 60:
            return max(0, int(most) - (int(now) if now.isdigit() else 0))
    return None


def installed() -> int | None:
    """The machine's memory [bytes], where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
