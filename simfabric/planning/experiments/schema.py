"""The JSON Schema of an experiment's file, for editors, from the declarations that the reader obeys."""

from __future__ import annotations

from typing import Any

from simfabric.planning.experiments.form import Form
from simfabric.topology.json_schema import schema_of


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an experiment's file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "simfabric experiment", **schema_of(Form)}
