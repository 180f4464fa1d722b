"""A section of a topology: a frozen model whose every key has a kind, a default and a sentence.

    class Run(Section):
        duration: int = leaf(Quantity(DURATION, "1ns", "7d"), "60s", "Simulated time of the run.")

One declaration serves the reading, the errors, `explain` and the schema. A section also states the laws that tie its own keys together
(`laws`); those between sections stand in `whole`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from simfabric.errors import Refusal, Refusals
from simfabric.topology.kinds import Kind


@dataclass(frozen=True)
class Key:
    """What is known of one key: its kind (of a leaf) or its model (of a section or of a list of them), and its default as text."""

    says: str
    kind: Kind | None = None
    model: type[Section] | None = None
    many: bool = False
    most: int = 0
    default: str | None = None
    required: bool = False

    @property
    def optional(self) -> bool:
        """Whether the key may be absent for good: its value is then None."""
        return self.default is None and not self.required and not self.many

    @property
    def wanted(self) -> str:
        """What the value must be, for people."""
        if self.model is None:
            return self.kind.range if self.kind else ""
        names = ", ".join(self.model.declared())
        return f"a list of at most {self.most} items, each with keys among {names}" if self.many else f"a section with keys among {names}"


def leaf(kind: Kind, default: str | None, says: str) -> Any:
    """A leaf. Without default it is optional and None when not given."""
    value = None if default is None else kind.read(default)
    return Field(default=value, description=says, json_schema_extra=_extra(Key(says, kind, default=default)))


def required(kind: Kind, says: str) -> Any:
    """A leaf that must be given."""
    return Field(description=says, json_schema_extra=_extra(Key(says, kind, required=True)))


def section(model: type[Section], says: str, optional: bool = False) -> Any:
    """A mapping of keys; an optional one is None when not given."""
    known = Key(says, model=model, default=None if optional else "")
    if optional:
        return Field(default=None, description=says, json_schema_extra=_extra(known))
    return Field(default_factory=model, description=says, json_schema_extra=_extra(known))


def items(model: type[Section], most: int, says: str, default: tuple[Mapping[str, str], ...] = ()) -> Any:
    """A list of mappings, inside a tuple."""
    known = Key(says, model=model, many=True, most=most, default="")
    return Field(default_factory=lambda: tuple(model.model_validate(item) for item in default), description=says, json_schema_extra=_extra(known))


def _extra(known: Key) -> Any:
    return {"key": known}


class Section(BaseModel):
    """A mapping of keys, each declared with `leaf`, `required`, `section` or `items`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)

    @classmethod
    @cache
    def declared(cls) -> Mapping[str, Key]:
        """Every key of the section, in order."""
        return {name: cast(Any, field.json_schema_extra)["key"] for name, field in cls.model_fields.items()}

    def laws(self) -> Iterator[Refusal]:
        """The broken laws between the keys of this section."""
        return iter(())

    def implied(self) -> frozenset[str]:
        """The keys whose value is only what other keys make of it when they are not given."""
        return frozenset()

    @model_validator(mode="before")
    @classmethod
    def _not_given(cls, data: Any) -> Any:
        """A known key without value is one that is not given; an unknown one is unknown all the same."""
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in cls.model_fields}

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """The value of a key, as its kind reads it."""
        known = cls.declared()[str(info.field_name)]
        if value is None and known.optional:
            return None
        if known.kind is not None:
            if isinstance(value, Mapping | list) and not known.kind.nested:
                raise Refusal(f"must be one value, not {'a mapping' if isinstance(value, Mapping) else 'a list'}", f"give {known.wanted}")
            return known.kind.read(value)
        if known.many:
            if not isinstance(value, list | tuple):
                raise Refusal("must be a list", f"give {known.wanted}")
            if len(value) > known.most:
                raise Refusal(f"must be a list of at most {known.most} items, not {len(value)}", "take some away")
            return tuple(value)
        if not isinstance(value, Mapping | Section):
            raise Refusal("must be a section: a mapping of keys", f"give {known.wanted}")
        return value

    @model_validator(mode="after")
    def _obey(self) -> Section:
        broken = list(self.laws())
        if broken:
            raise Refusals(broken)
        return self


def as_text(part: Section, implied: bool = True) -> dict[str, Any]:
    """A section as nested dictionaries and lists of text, which reads back to an equal section; what is None (or only implied) is left out."""
    left_out = frozenset() if implied else part.implied()
    text: dict[str, Any] = {}
    for name, known in part.declared().items():
        value = getattr(part, name)
        if (value is None and known.optional) or name in left_out:
            continue
        if known.kind is not None:
            text[name] = known.kind.write(value)
        elif known.many:
            text[name] = [as_text(item, implied) for item in value]
        else:
            text[name] = as_text(value, implied)
    return text
