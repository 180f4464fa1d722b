"""Characters that no topology holds: they move a cursor, turn the text around, or end a line where nobody sees it."""

from __future__ import annotations

import re

# Allowed: tab, line ends and printable characters. Not allowed among those: bidirectional controls, line separators, byte-order marks.
FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]",
)


def forbidden(text: str, start: int = 0) -> int | None:
    """Where the first forbidden character stands, if there is one."""
    match = FORBIDDEN.search(text, start)
    return match.start() if match else None
