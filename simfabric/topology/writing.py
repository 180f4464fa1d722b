"""Writing a topology as YAML that our reader, and any other, reads back."""

from __future__ import annotations

import json
import re
from typing import Any

# What stands without quotes: no indicator, no colon, no hash; of names, not one of the words that other readers take for something else.
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.%/]*(?:,? [A-Za-z0-9_.%/()]+|\([A-Za-z0-9_.%/]*\)?)*")
WORDS = re.compile(r"[A-Za-z][A-Za-z_]*(?: [A-Za-z_]+)*")
AMBIGUOUS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


class Words(str):
    """Text for people: other readers must not take it for a number, a date or a truth value."""

    __slots__ = ()


def yaml_text(content: dict[str, Any]) -> str:
    """Nested dictionaries and lists of text as a YAML document."""
    return "\n".join(_lines(content, 0)) + "\n"


def _lines(content: dict[str, Any], depth: int) -> list[str]:
    lines: list[str] = []
    indent = "  " * depth
    for name, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, depth + 1)]
        elif isinstance(value, list) and value:
            lines.append(f"{indent}{name}:")
            for item in value:
                inner = _lines(item, depth + 2)
                lines += [f"{indent}  - {inner[0].lstrip(' ')}", *inner[1:]]
        else:
            lines.append(f"{indent}{name}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    is_safe = WORDS.fullmatch(value) and value.lower() not in AMBIGUOUS if isinstance(value, Words) else SAFE.fullmatch(value)
    if is_safe:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
