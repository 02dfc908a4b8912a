"""A static program: values in single assignment, and the nodes that make them, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from engine.errors import TracingError

if TYPE_CHECKING:
    from engine.ops.registry import OpDef


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of a tensor before it has numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Value:
    """One tensor of a graph, assigned once."""

    __slots__ = ("graph", "id", "index", "name", "node", "type")

    def __init__(
        self, graph: Graph, id: int, type: TensorType, *, node: Node | None, index: int, name: str
    ) -> None:
        self.graph = graph
        self.id = id
        self.type = type
        self.node = node  # None for an input or a constant
        self.index = index  # which output of its node
        self.name = name

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TracingError(
            f"NumPy was given {self!r}, which has no numbers while tracing; "
            "use the engine's operations on the tensor instead"
        )

    def __repr__(self) -> str:
        return f"%{self.name or self.id}: {self.type}"


class Origin(NamedTuple):
    """Where a node comes from.

    scope: dotted path of the module that was running.
    phase: "forward", "backward" or "update".
    passive: made where gradients were switched off; none passes through.
    """

    scope: str = ""
    phase: str = "forward"
    passive: bool = False


UNKNOWN = Origin()


@dataclass(eq=False, slots=True)
class Node:
    """One operation of a graph."""

    op: OpDef
    inputs: tuple[Value, ...]
    attrs: dict[str, Any]
    outputs: tuple[Value, ...] = ()
    origin: Origin = UNKNOWN


@dataclass(eq=False)
class Graph:
    """Inputs, nodes in execution order, outputs. `constants` maps a value to its array.

    origin: asked for the origin of every node that is appended.
    names: one name for each output, where they have names.
    updates: from the index of an input to the index of the output that is its next value.
    form: how the outputs are nested, see `engine.ir.structure`.
    closed: no node may be added any more; a symbol that is used then has outlived its trace.
    """

    inputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[Value, Any] = field(default_factory=dict)
    origin: Callable[[], Origin] = Origin
    names: list[str] = field(default_factory=list)
    updates: dict[int, int] = field(default_factory=dict)
    form: Any = None
    closed: bool = False
    _count: int = 0
    _known: dict[int, Value] = field(default_factory=dict)

    def _value(
        self, type: TensorType, node: Node | None = None, index: int = 0, name: str = ""
    ) -> Value:
        self._count += 1
        return Value(self, self._count, type, node=node, index=index, name=name)

    def input(self, type: TensorType, name: str = "") -> Value:
        value = self._value(type, name=name)
        self.inputs.append(value)
        return value

    def constant(self, array: Any) -> Value:
        """The value of an array; the same array gives the same value."""
        known = self._known.get(id(array))
        if known is None:
            known = self._value(TensorType(tuple(array.shape), array.dtype))
            self._known[id(array)] = known  # `constants` keeps the array, and so its id, alive
            self.constants[known] = array
        return known

    def emit(
        self,
        op: OpDef,
        inputs: Sequence[Value],
        attrs: dict[str, Any],
        types: Sequence[TensorType],
        origin: Origin | None = None,
    ) -> tuple[Value, ...]:
        """Append a node and return its outputs."""
        if self.closed:
            raise TracingError(
                f"{op.name} was applied to a symbol of a trace that has ended; "
                "return tensors from the traced function instead of keeping them elsewhere"
            )
        node = Node(op, tuple(inputs), attrs, origin=origin or self.origin())
        node.outputs = tuple(self._value(type, node, index) for index, type in enumerate(types))
        self.nodes.append(node)
        return node.outputs

    def readers(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, in order; values that no node reads are not there."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                found.setdefault(value, []).append(node)
        return found

    @contextmanager
    def originating(self, origin: Callable[[], Origin]) -> Iterator[None]:
        """Ask `origin` instead for the nodes appended inside."""
        held, self.origin = self.origin, origin
        try:
            yield
        finally:
            self.origin = held

    def is_constant(self, value: Value) -> bool:
        return value in self.constants

    def __str__(self) -> str:
        from engine.ir.printer import text  # the printer reads graphs; graphs only know its name

        return text(self)
