"""A model as a graph of named nodes, for several inputs or ways that part and meet again."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from core.errors import Problem
from spec.layers import KINDS, Arguments
from spec.layers.kinds import dump, known_kinds, plain
from spec.layers.layer import Layer, arguments_of
from spec.parts import MAX_LIST, Part
from spec.problems import count_layer, did_you_mean, pointer, show, unknown, wrong_type
from spec.validation import carried

#: Stands in pydantic's schemas where `spec.schemas` puts the reference to the nodes.
PLACEHOLDER = "node-of-a-graph"
NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"


@dataclass(frozen=True, slots=True)
class Node:
    """A layer and where its input comes from: `{linear: 64, from: age}`, `{concat: [h1, h2]}`."""

    layer: Layer
    sources: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        arguments = {} if plain(type(self.layer.arguments)) else dump(self.layer.arguments)
        merges = self.layer.arguments.merges
        sources: Any = list(self.sources) if merges else self.sources[0]
        return {self.layer.kind: arguments, "from": sources}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(Node.document)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {PLACEHOLDER: True}


def _read(value: Any) -> Node:
    if isinstance(value, Node):
        return value
    count_layer()
    if not isinstance(value, dict):
        hint = "write linear: 64 and from: the name of an input or node"
        carried([wrong_type("", "a mapping of a layer to its arguments, and from", value, hint)])
    kinds = [key for key in value if key != "from"]
    if len(kinds) != 1:
        detail = f"a node needs one layer and from, not the keys {', '.join(map(str, value))}"
        carried([Problem("", "one_layer", detail, got=show(value), hint=_one_layer(kinds))])
    return _node(value, str(kinds[0]))


def _one_layer(kinds: list[Any]) -> str:
    found = [kind for kind in kinds if kind in KINDS]
    others = [kind for kind in kinds if kind not in KINDS]
    if len(found) == 1 and all(did_you_mean(other, ["from"]) for other in others):
        return "did you mean from?"
    if len(found) == 1:
        return f"put the arguments under the name: {found[0]}: {{…}}"
    return "give each layer a node of its own, or use sequential"


def _node(value: dict[str, Any], kind: str) -> Node:
    place = pointer((kind,))
    if kind not in KINDS:
        carried([unknown(place, "layer", kind, known_kinds())])
    merges, written = KINDS[kind].merges, value[kind]
    sources, problems = _sources(value, kind, merges)
    if merges and not isinstance(written, dict):
        written = None  # it was the list of inputs
    layer = arguments_of(kind, written, place)
    if not isinstance(layer, Layer):
        carried([*layer, *problems])
    if problems:
        carried(problems)
    return Node(layer, tuple(sources))


def _sources(value: dict[str, Any], kind: str, merges: bool) -> tuple[list[str], list[Problem]]:
    short = merges and value[kind] is not None and not isinstance(value[kind], dict)
    place = pointer((kind,)) if short else "/from"
    if short and "from" in value:
        detail = f"the inputs of {kind} are given twice"
        return [], [Problem("/from", "conflict", detail, hint="leave out from")]
    if not short and "from" not in value:
        hint = "add from: the name of an input or of another node"
        return [], [Problem("/from", "missing", "from is needed", hint=hint)]
    written = value[kind] if short else value["from"]
    return _named(written, kind, merges, place)


def _named(written: Any, kind: str, merges: bool, place: str) -> tuple[list[str], list[Problem]]:
    if not merges:
        good = isinstance(written, str)
        hint = "use concat or add to put several inputs together"
        expected = "the name of one input or node"
        return ([written], []) if good else ([], [wrong_type(place, expected, written, hint)])
    if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
        return [], [wrong_type(place, "a list of names of inputs or nodes", written)]
    if not 2 <= len(written) <= MAX_LIST:
        expected = f"2 to {MAX_LIST} inputs"
        detail = f"{kind} needs {expected}, not {len(written)}"
        return [], [Problem(place, "wrong_length", detail, expected=expected)]
    return written, []


class GraphSpec(Part):
    """Named nodes: each takes the output of an input or of another node."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "nodes": {
                        "h1": {"linear": 64, "from": "age"},
                        "h2": {"embedding": 8, "from": "job"},
                        "both": {"concat": ["h1", "h2"]},
                        "out": {"linear": 2, "from": "both"},
                    },
                    "output": "out",
                }
            ]
        }
    )

    nodes: Annotated[
        dict[Annotated[str, Field(pattern=NAME)], Node], Field(min_length=1, max_length=MAX_LIST)
    ] = Field(
        description="Nodes by name, in any order: a layer, and in `from` the input or node that "
        "it takes.",
    )
    output: str = Field(description="The node whose output is the model's.", examples=["out"])


def faults(graph: GraphSpec, inputs: list[str]) -> list[Problem]:
    """Names that do not exist, are taken twice or lead nowhere, and cycles."""
    names = [*inputs, *graph.nodes]
    found = [problem for name in graph.nodes for problem in _unknown_sources(graph, name, names)]
    for name in graph.nodes:
        if name in inputs:
            detail = f"{name} is the name of an input of the data already"
            found.append(Problem(pointer(("nodes", name)), "conflict", detail, hint="rename it"))
    if graph.output not in graph.nodes:
        found.append(unknown("/output", "node", graph.output, list(graph.nodes)))
    cycle = _cycle(graph)
    if cycle:
        detail = f"the nodes feed each other in a circle: {' → '.join(cycle)}"
        place = pointer(("nodes", cycle[0], "from"))
        found.append(Problem(place, "cycle", detail, hint="let one of them take another input"))
    return found or _unused(graph, inputs)


def _unknown_sources(graph: GraphSpec, name: str, names: list[str]) -> list[Problem]:
    node = graph.nodes[name]
    wrong = [source for source in node.sources if source not in names]
    return [
        Problem(
            pointer(("nodes", name, "from")),
            "unknown_name",
            f"node {name} takes {show(source)}, which is no input and no node",
            expected=names,
            got=show(source),
            hint=did_you_mean(source, names),
        )
        for source in wrong
    ]


def _cycle(graph: GraphSpec) -> list[str]:
    try:
        TopologicalSorter(_edges(graph)).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _edges(graph: GraphSpec) -> dict[str, list[str]]:
    return {
        name: [source for source in node.sources if source in graph.nodes]
        for name, node in graph.nodes.items()
    }


def _unused(graph: GraphSpec, inputs: list[str]) -> list[Problem]:
    """Nodes and inputs from which no way leads to the output."""
    used, ahead = set(), [graph.output]
    while ahead:
        name = ahead.pop()
        if name not in used:
            used.add(name)
            ahead.extend(graph.nodes[name].sources if name in graph.nodes else ())
    unused = [
        Problem(
            pointer(("nodes", name)),
            "unused",
            f"no way leads from node {name} to the output {graph.output}",
            hint="remove it, or let another node take it",
        )
        for name in graph.nodes
        if name not in used
    ]
    return unused + [
        Problem(
            "/nodes",
            "unused",
            f"no node takes the input {name}, or no way leads from it to the output",
            hint=f"use from: {name} in a node, or remove the input from data",
        )
        for name in inputs
        if name not in used
    ]


def in_order(graph: GraphSpec) -> list[str]:
    """The nodes, each after those that it takes; the same order for the same document."""
    return list(TopologicalSorter(_edges(graph)).static_order())


__all__ = ["Arguments", "GraphSpec", "Node", "faults", "in_order"]
