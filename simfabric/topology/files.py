"""Files that a topology names: relative to a folder, and never outside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from simfabric.errors import Refusal
from simfabric.topology.kinds import relative_name


def inside(root: Path, folder: Path, name: object) -> Path:
    """The file `name` (seen from `folder`), if it is a regular file under `root` after every link is followed; raises Refusal."""
    try:
        resolved = (folder / relative_name(name)).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, Refusal):
            raise
        raise Refusal("must name a file that can be found", "mend the name, or the links on its way") from None
    if not resolved.is_relative_to(root):
        raise Refusal("must name a file under the topology's folder, links followed", "move the file there")
    if not os.path.lexists(resolved):
        raise Refusal("must name a file that exists", "mend the name, relative to the topology's folder")
    if not resolved.is_file():
        raise Refusal("must name a regular file", "name a file, not a folder or a device")
    return resolved


def content(path: Path, most: int) -> bytes:
    """At most `most` + 1 bytes of a regular file; raises Refusal. Never waits, as a pipe would make it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "bad name"
        raise Refusal(f"must be a file that can be read: {reason}", "mend the name of the file, or its permissions") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refusal("must be a regular file", "name a file, not a folder or a device")
        try:
            return file.read(most + 1)
        except OSError as error:
            raise Refusal(f"must be a file that can be read: {error.strerror}", "look at the disk") from None
