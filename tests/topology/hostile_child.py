"""Reads hostile files under limits of the operating system; run by `test_topology_hostile` in a process of its own.

Arguments: `corpus` or a number of mutants, and `libyaml` or `pure` (the parser). Prints one JSON object: per file the first place and law, or what
else happened. The limits end the process: memory 128 MiB above what the imports use, CPU time for all files, and CPU time for each.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from topology_corpus import BROKEN, GOOD, HOSTILE

from simfabric.errors import TopologyError
from simfabric.topology import load, reading

MEMORY = 128 * 2**20  # [bytes] beyond what the imports took.
CPU_ALL = 60  # [s]
CPU_EACH = 5.0  # [s]; what is allowed to a slow machine. On an ordinary one the worst file takes 0.6 s.
TOKENS = (
    "&a ", "*a", "<<: ", "!!int ", "!x ", "---\n", "...\n", "[", "]", "{", "}", ": ", "- ", "? ", "#", "|\n", ">\n", "'", '"', "\\", "%", "@", "`", "\t", "\n",
    "\x00", "\x1b", "\u202e", "\ufeff", "\x85", "0x", "1e999", ".nan", "-", "9" * 30, "~", "null", "true", ",", "extends: ../../etc/passwd\n", "é",
)  # fmt: skip


def limit() -> None:
    """Set the limits; from here on the process cannot do harm."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_ALL, CPU_ALL + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGVTALRM, too_long)


def too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {CPU_EACH} s of CPU time")


def corpus() -> Iterator[tuple[str, bytes]]:
    """What is hostile, and what is only wrong."""
    yield from ((name, content) for name, (content, _) in HOSTILE.items())
    yield from ((name, text.encode()) for name, (text, *_) in BROKEN.items() if name != "extends without a folder")


def mutants(count: int) -> Iterator[tuple[str, bytes]]:
    """The good file with a few things done to it, by chance but always the same."""
    chance = random.Random(20240229)
    good = GOOD.encode()
    for i in range(count):
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            mutate(content, chance)
        yield f"mutant {i}", bytes(content)


def mutate(content: bytearray, chance: random.Random) -> None:
    """One change of a file's bytes, lines or tokens."""
    at = chance.randrange(len(content) + 1)
    end = min(len(content), at + chance.choice((1, 1, 4, 30, 200)))
    what = chance.randrange(7)
    if what == 0 and at < len(content):
        content[at] = chance.randrange(256)
    elif what == 1:
        del content[at:end]
    elif what == 2:
        content[at:at] = content[at:end] * chance.choice((1, 2, 50))
    elif what in (3, 4):
        content[at:at] = chance.choice(TOKENS).encode()
    elif what == 5:
        lines = content.split(b"\n")
        chance.shuffle(lines)
        content[:] = b"\n".join(lines)
    else:
        content[:] = content[:at] if at else b"x"


def outcome(path: Path) -> list[str]:
    """['error', place, law], ['read'], or ['other', exception]."""
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_EACH)
    try:
        load(path)
        return ["read"]
    except TopologyError as error:
        if len(error.problems) > 50 or len(str(error)) > 100_000:
            return ["other", f"{len(error.problems)} problems in {len(str(error))} characters"]
        return ["error", error.problems[0].place, error.problems[0].law]
    except Exception as error:
        return ["other", repr(error)[:300]]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def main() -> None:
    files, parser = sys.argv[1:]
    if parser == "pure":
        reading.WITH_LIBYAML, reading.LARGEST_FILE = False, 2**17
    prepared = list(corpus() if files == "corpus" else mutants(int(files)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        (Path(folder) / "traces").mkdir()
        (Path(folder) / "traces" / "day.csv").write_text("at_s,channel\n")
        limit()
        answers = {}
        for name, content in prepared:
            path.write_bytes(content)
            answers[name] = outcome(path)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
