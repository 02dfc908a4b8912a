"""A digest of a graph, equal for graphs that compute the same in the same way, in any process."""

from __future__ import annotations

from hashlib import sha256
from types import NoneType
from typing import Any

import numpy as np

from engine.ir.graph import Graph, TensorType, Value

_PLAIN = frozenset((int, float, bool, str, bytes, NoneType))


def fingerprint(graph: Graph) -> str | None:
    """The digest; None where a node has an attribute whose content cannot be told.

    Origins and the names of values do not count: nothing that is computed depends on them.
    """
    known: dict[Value, int] = {}
    types: dict[TensorType, str] = {}
    parts: list[str] = []
    found = sha256()

    def enter(value: Value) -> str:
        text = types.get(value.type)
        if text is None:
            text = types[value.type] = f"{value.type.dtype.str}{value.type.shape}"
        known[value] = len(known)
        return text

    parts += [enter(value) for value in graph.inputs]
    for value, array in graph.constants.items():
        numbers = np.asarray(array)
        parts.append(f"{enter(value)}{numbers.strides}")
        found.update(numbers.tobytes())
    for node in graph.nodes:
        if not _is_plain(node.attrs):
            return None
        inputs = [known[value] for value in node.inputs]
        parts.append(f"{node.op.name}{inputs}{node.attrs!r}")
        for value in node.outputs:
            known[value] = len(known)
    parts.append(f"{[known[value] for value in graph.outputs]}{graph.updates}")
    found.update("\n".join(parts).encode())
    return found.hexdigest()


def _is_plain(value: Any) -> bool:
    """Whether `repr` tells all of it."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if kind in (tuple, list):
        return all(map(_is_plain, value))
    if kind is slice:
        return _is_plain((value.start, value.stop, value.step))
    return isinstance(value, np.dtype | np.integer | np.floating | np.bool_)
