"""Kinds of value that only experiments have: changes of a topology, values to vary, and lists of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from simfabric.errors import Refusal, did_you_mean
from simfabric.planning.metrics import METRICS
from simfabric.topology.kinds import Kind

MOST_CHANGES = 100
MOST_VALUES = 100
MOST_NAMES = 30
LONGEST_NAME = 60


@dataclass(frozen=True)
class Changes(Kind):
    """Keys of a topology with their values, as `--set` takes them: {gateways.count: 8}."""

    nested: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return "keys of a topology with values"

    @property
    def range(self) -> str:
        return f"at most {MOST_CHANGES} keys such as gateways.count, each with a value"

    def read(self, value: object) -> dict[str, object]:
        if not isinstance(value, Mapping):
            raise Refusal("must be a mapping of topology keys to values", "write one such as gateways.count: 8 on a line of its own")
        if len(value) > MOST_CHANGES:
            raise Refusal(f"must be at most {MOST_CHANGES} keys", "put them in a topology that extends this one")
        return dict(value)

    def write(self, value: Any) -> str:
        return ", ".join(f"{key}={each}" for key, each in value.items())

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "maxProperties": MOST_CHANGES}


@dataclass(frozen=True)
class Varied(Kind):
    """Keys of a topology, each with the list of values that it takes."""

    nested: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return "keys of a topology, each with a list of values"

    @property
    def range(self) -> str:
        return f"keys such as gateways.count, each with 1 to {MOST_VALUES} values in brackets"

    def read(self, value: object) -> dict[str, tuple[object, ...]]:
        if not isinstance(value, Mapping):
            raise Refusal("must be a mapping of topology keys to lists of values", "write one such as gateways.count: [1, 10, 100]")
        for key, values in value.items():
            if not isinstance(values, list | tuple) or not 1 <= len(values) <= MOST_VALUES:
                raise Refusal(f"must be a list of 1 to {MOST_VALUES} values", f"write {key}: [first, second]", (key,))
        return {str(key): tuple(values) for key, values in value.items()}

    def write(self, value: Any) -> str:
        return ", ".join(f"{key}={list(values)}" for key, values in value.items())

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "array", "minItems": 1, "maxItems": MOST_VALUES}}


@dataclass(frozen=True)
class Names(Kind):
    """A list of names, each once."""

    nested: ClassVar[bool] = True

    @property
    def unit(self) -> str:
        return "list of names"

    @property
    def range(self) -> str:
        return f"1 to {MOST_NAMES} names in brackets"

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_NAMES or not all(isinstance(name, str) for name in value):
            raise Refusal(f"must be a list of {self.range}", "write [first, second]")
        for i, name in enumerate(value):
            self.known(name, i)
            if name in value[:i]:
                raise Refusal("must be named once", "take one of the two out", (i,), name)
        return tuple(value)

    def known(self, name: str, place: int) -> None:
        """Refuse a name that there is not; any is known here."""

    def write(self, value: Any) -> str:
        return ", ".join(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_NAMES, "uniqueItems": True}


@dataclass(frozen=True)
class MetricNames(Names):
    """A list of metrics."""

    def known(self, name: str, place: int) -> None:
        if name not in METRICS:
            families = ", ".join(dict.fromkeys(each.split(".")[0] for each in METRICS))
            raise Refusal("there is no metric of this name", f"{did_you_mean(name, METRICS)} families: {families}".strip(), (place,), name)

    def schema(self) -> dict[str, Any]:
        return {**super().schema(), "items": {"enum": list(METRICS)}}
