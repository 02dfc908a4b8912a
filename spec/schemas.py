"""The JSON Schema (2020-12) of the job spec, for editors, clients and forms."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from spec import graph
from spec.jobs import JobSpec
from spec.layers import KINDS, Arguments, layer
from spec.layers.kinds import required

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES = {layer.PLACEHOLDER: "#/$defs/Layer", graph.PLACEHOLDER: "#/$defs/Node"}


@cache
def _schema() -> dict[str, Any]:
    models = [(JobSpec, "validation"), *((kind, "validation") for kind in KINDS.values())]
    references, combined = models_json_schema(models, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    names = {kind: references[KINDS[kind], "validation"] for kind in KINDS}
    definitions = combined["$defs"]
    job = definitions.pop(references[JobSpec, "validation"]["$ref"].rsplit("/", 1)[-1])
    definitions["Layer"] = _layer(names, definitions)
    definitions["Node"] = _node(names, definitions)
    found: dict[str, Any] = _resolved({"$schema": DIALECT, **job, "$defs": definitions})
    return found


def schema() -> dict[str, Any]:
    """The schema that every valid job follows; what it cannot say, `parse` and `plan` check."""
    return dict(_schema())


def _layer(names: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    single = {kind: one for kind, one in KINDS.items() if not one.merges}
    return {
        "title": "Layer",
        "description": "A layer's name, or its name with its main argument or all its arguments.",
        "examples": ["relu", {"linear": 128}, {"linear": {"out_features": 128, "bias": False}}],
        "anyOf": [
            {"enum": [kind for kind, one in single.items() if not required(one)]},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {
                    kind: _value(one, names[kind], definitions) for kind, one in single.items()
                },
            },
        ],
    }


def _value(kind: type[Arguments], full: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """What may stand after a layer's name."""
    ways = [full] if required(kind) else [full, {"type": "null"}]
    if kind.main is not None:
        arguments = definitions[full["$ref"].rsplit("/", 1)[-1]]
        ways.insert(0, arguments["properties"][kind.main])
    return {"description": kind.__doc__, "anyOf": ways}


def _node(names: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "string", "description": "The name of an input or node."}
    sources = {"type": "array", "items": source, "minItems": 2}
    properties: dict[str, Any] = {"from": {"anyOf": [source, sources]}}
    for kind, one in KINDS.items():
        value = _value(one, names[kind], definitions)
        value["anyOf"] += [sources] if one.merges else []
        properties[kind] = value
    return {
        "title": "Node",
        "description": "A layer, and the input or node that it takes.",
        "examples": [{"linear": 64, "from": "age"}, {"concat": ["h1", "h2"]}],
        "type": "object",
        "minProperties": 1,
        "maxProperties": 2,
        "additionalProperties": False,
        "properties": properties,
    }


def _resolved(value: Any) -> Any:
    """The same schema with references in place of the placeholders."""
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    for placeholder, reference in _REFERENCES.items():
        if placeholder in value:
            return {"$ref": reference}
    return {key: _resolved(item) for key, item in value.items()}
