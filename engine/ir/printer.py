"""A graph as text that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.ir.graph import Graph, Node, Value


def text(graph: Graph) -> str:
    """One line a node: what it makes, of what, and the module that asked for it."""
    inputs = ", ".join(map(repr, graph.inputs))
    lines = [f"graph({inputs}):"]
    lines += [
        f"  {value!r} = {_array(array)}"
        for value, array in graph.constants.items()
        if value.type.size > 1
    ]
    lines += [f"  {_node(graph, node)}" for node in graph.nodes]
    lines.append(f"  return {', '.join(_returned(graph))}")
    return "\n".join(lines)


def attributes(attrs: dict[str, Any]) -> str:
    """`axis=1, keepdims=False`; arrays by their type only."""
    return ", ".join(f"{name}={_attribute(value)}" for name, value in attrs.items())


def _node(graph: Graph, node: Node) -> str:
    made = ", ".join(map(repr, node.outputs))
    given = ", ".join(_operand(graph, value) for value in node.inputs)
    attrs = attributes(node.attrs)
    line = f"{made} = {node.op.name}({', '.join(part for part in (given, attrs) if part)})"
    place = " ".join(
        part
        for part in (node.origin.phase if node.origin.phase != "forward" else "", node.origin.scope)
        if part
    )
    return f"{line}  # {place}" if place else line


def _operand(graph: Graph, value: Value) -> str:
    if value in graph.constants and value.type.size == 1:
        return _array(graph.constants[value])
    return f"%{value.name or value.id}"


def _array(array: Any) -> str:
    if array.size == 1:
        return f"{np.asarray(array).item()!r}:{array.dtype.name}"
    return f"constant {array.dtype.name}{list(array.shape)}"


def _attribute(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.dtype):
        return value.name
    return getattr(value, "__name__", None) or repr(value)


def _returned(graph: Graph) -> Sequence[str]:
    names = graph.names or [""] * len(graph.outputs)
    return [
        f"{name}={_operand(graph, value)}" if name else _operand(graph, value)
        for name, value in zip(names, graph.outputs, strict=True)
    ]
