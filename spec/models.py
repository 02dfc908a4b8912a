"""The `model` part of a job spec: exactly one of a list of layers, a graph and a blueprint."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from core.errors import Problem
from spec.blueprints import Blueprint
from spec.graph import GraphSpec
from spec.layers import Layer
from spec.parts import MAX_LIST, Part, conflict, given, together

WAYS = ("layers", "graph", "blueprint")


class ModelSpec(Part):
    """The network: `layers` in order, or a `graph` of named nodes, or a `blueprint` by name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"layers": ["flatten", {"linear": 64}, "relu", {"linear": 10}]},
                {"blueprint": {"name": "convnet", "channels": [32, 64]}},
            ],
            "oneOf": [given(way) for way in WAYS],
        }
    )

    layers: Annotated[list[Layer], Field(min_length=1, max_length=MAX_LIST)] | None = Field(
        default=None,
        description="The layers in order. What a layer takes in follows from what comes before it.",
        examples=[["flatten", {"linear": 64}, "relu", {"linear": 10}]],
    )
    graph: GraphSpec | None = Field(default=None, description="Named nodes, for several inputs.")
    blueprint: Blueprint | None = Field(
        default=None,
        description="A model known by name, fitted to the data.",
        examples=["mlp", {"name": "convnet", "channels": [32, 64]}],
    )

    @classmethod
    def conflicts(cls, written: dict[str, Any]) -> list[Problem]:
        ways = together(written, *WAYS)
        if len(ways) == 1:
            return []
        if ways:
            detail = f"give exactly one of {', '.join(WAYS)}, not {' and '.join(ways)}"
            return [conflict(way, detail, "remove the others") for way in ways[1:]]
        hint = "a blueprint is the shortest: blueprint: mlp"
        return [conflict("", f"exactly one of {', '.join(WAYS)} is needed", hint)]
