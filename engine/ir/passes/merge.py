"""Computing the same thing once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from engine.ir.graph import Graph, Node, Value
from engine.ir.rewrite import Rewrite, Rule, rewrite

#: Constants up to this many bytes are compared by content.
COMPARED_BYTES = 1 << 10


def merge(graph: Graph) -> Graph:
    """One node for all that apply the same operation to the same values with the same attributes.

    Draws are functions of the seed, step and place that they are given, so two are one only where
    all of these agree.
    """
    return rewrite(graph, merging())


def merging() -> Rule:
    """A rule that remembers every node it has seen, for one rewriting."""
    seen: dict[Hashable, Sequence[Value]] = {}

    def merge_node(new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        inputs = tuple([_canonical(new, value, seen) for value in inputs])
        try:
            key = (node.op, inputs, frozen(node.attrs))
            known = seen.get(key)
        except TypeError:  # an attribute that cannot be compared
            return new.copy(node, inputs)
        if known is None:
            known = seen[key] = new.copy(node, inputs)
        return known

    return merge_node


def frozen(attribute: Any) -> Hashable:
    """An attribute as something that can be compared; TypeError where it cannot."""
    if isinstance(attribute, dict):
        return tuple((name, frozen(value)) for name, value in attribute.items())
    if isinstance(attribute, list | tuple):
        return (type(attribute), *[frozen(value) for value in attribute])
    if isinstance(attribute, slice):
        return ("slice", frozen(attribute.start), frozen(attribute.stop), frozen(attribute.step))
    if isinstance(attribute, float):
        return ("float", attribute.hex())  # 0.0 and -0.0 differ
    if isinstance(attribute, np.ndarray):
        if attribute.nbytes > COMPARED_BYTES:
            raise TypeError("too large to compare")
        return (attribute.shape, attribute.dtype, attribute.tobytes())
    hash(attribute)
    return (type(attribute), attribute)


def _canonical(new: Rewrite, value: Value, seen: dict[Hashable, Sequence[Value]]) -> Value:
    """The first constant with the same content, layout and type."""
    array = new.target.constants.get(value)
    if array is None or value.type.nbytes > COMPARED_BYTES or not isinstance(array, np.ndarray):
        return value
    key = ("constant", value.type, array.strides, array.tobytes())
    return seen.setdefault(key, [value])[0]
