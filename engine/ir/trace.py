"""Tracing: a Python function of tensors, run once on symbols, becomes a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from engine.dispatch import as_value, tracing
from engine.ir.graph import Graph, Origin, TensorType, Value
from engine.ir.structure import build, flatten
from engine.nn.module import scope
from engine.random import stream
from engine.tape import recording
from engine.tensor import Tensor

#: The part of a training step that runs now: "forward", "backward" or "update".
phase: ContextVar[str] = ContextVar("phase", default="forward")


def trace(
    function: Callable[..., Any],
    *types: Any,
    bound: Mapping[str, Tensor] | None = None,
) -> Graph:
    """The graph of `function` applied to tensors of the given types.

    types: a tree (dictionaries, lists, tuples) for each argument whose leaves are `TensorType`,
        tensors or arrays, of which only shape and dtype count; numbers and None are passed as is.
    bound: tensors that the function reaches by other ways, such as the parameters of a model.
        They become the last inputs of the graph. Those that the function gives a new value become
        its last outputs, and `graph.updates` tells which. A module brings its own.

    TracingError where the function asks a symbol for a number.
    """
    held = dict(_leaves_of(function) if bound is None else bound)
    graph = Graph(origin=_origin)
    arguments = _arguments(graph, function, types)
    values = [graph.input(tensor.type, name) for name, tensor in held.items()]
    with enter(graph), bind(list(held.values()), values):
        result = function(*arguments)
        _return(graph, result)
        _return_state(graph, held, values, first=len(graph.inputs) - len(values))
    graph.closed = True
    return graph


def abstract(function: Callable[..., Any], *types: Any) -> Any:
    """The types that `function` would return: shapes and dtypes, with no numbers computed.

    A module may be uninitialised. Random draws need no stream of their own.
    """

    def drawing(seed: Tensor, *arguments: Any) -> Any:
        with stream(seed):
            return function(*arguments)

    word = TensorType((), np.dtype("uint64"))
    graph = trace(drawing, word, *types, bound=dict(_leaves_of(function)))
    return build(graph.form, iter([value.type for value in graph.outputs]))


@contextmanager
def bind(tensors: Sequence[Tensor], datas: Sequence[Any]) -> Iterator[None]:
    """Give tensors other data for a while; whatever happens, they get their own back."""
    held = [tensor.data for tensor in tensors]
    try:
        for tensor, data in zip(tensors, datas, strict=True):
            tensor.data = data
        yield
    finally:
        for tensor, data in zip(tensors, held, strict=True):
            tensor.data = data


@contextmanager
def enter(graph: Graph) -> Iterator[None]:
    """Let operations without inputs be written into `graph`."""
    token = tracing.set(graph)
    try:
        yield
    finally:
        tracing.reset(token)


@contextmanager
def entering(name: str) -> Iterator[None]:
    """Mark the operations applied inside as belonging to a phase of the step."""
    token = phase.set(name)
    try:
        yield
    finally:
        phase.reset(token)


def type_of_leaf(leaf: Any) -> TensorType:
    if isinstance(leaf, TensorType):
        return leaf
    return leaf.type if isinstance(leaf, Tensor) else TensorType(tuple(leaf.shape), leaf.dtype)


def _origin() -> Origin:
    return _origin_of(scope.get(), phase.get(), not recording.get())


_origin_of = lru_cache(1024)(Origin)


def _leaves_of(function: Any) -> Iterator[tuple[str, Tensor]]:
    if hasattr(function, "named_parameters"):
        yield from function.named_parameters()
        yield from function.named_buffers()


def _arguments(graph: Graph, function: Callable[..., Any], types: tuple[Any, ...]) -> list[Any]:
    arguments = []
    for name, tree in zip(_names(function, len(types)), types, strict=True):
        leaves, names, form = flatten(tree, name=name)
        values = [
            graph.input(type_of_leaf(leaf), dotted)
            for leaf, dotted in zip(leaves, names, strict=True)
        ]
        arguments.append(build(form, iter([Tensor(value) for value in values])))
    return arguments


def _names(function: Any, count: int) -> list[str]:
    called = function.forward if hasattr(function, "named_parameters") else function
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"x{i}" for i in range(count)]


def _return(graph: Graph, result: Any) -> None:
    leaves, graph.names, graph.form = flatten(result)
    graph.outputs = [_output(graph, leaf) for leaf in leaves]


def _output(graph: Graph, leaf: Any) -> Value:
    return as_value(graph, leaf.data if isinstance(leaf, Tensor) else np.asarray(leaf))


def _return_state(
    graph: Graph, held: Mapping[str, Tensor], values: Sequence[Value], *, first: int
) -> None:
    for index, (name, tensor) in enumerate(held.items()):
        if tensor.data is not values[index]:
            graph.updates[first + index] = len(graph.outputs)
            graph.names.append(name)
            graph.outputs.append(as_value(graph, tensor.data))
