"""The table of layers: one class a kind, which holds its arguments and makes its engine module.

    @layer("linear", main="out_features")
    class Linear(Arguments):
        out_features: Width
        bias: bool = True
        def make(self, x): return nn.Linear(x.shape[-1], self.out_features, bias=self.bias)

What a layer takes in is known when it is made, so no spec says how wide its input is. An input
that does not fit raises Misfit, which says what would fit and how to get there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, TypeVar

import numpy as np

from engine.dtypes import float32, is_float
from engine.ir.graph import TensorType
from engine.nn import Module
from spec.parts import Part

KINDS: dict[str, type[Arguments]] = {}

Shape = tuple[int, ...]
Kind = TypeVar("Kind", bound="type[Arguments]")


@dataclass(frozen=True, slots=True)
class Signal:
    """What runs between layers: one row's shape, its dtype, and for codes how many there are."""

    shape: Shape
    dtype: np.dtype = float32
    codes: int | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def batch(self, rows: int) -> TensorType:
        return TensorType((rows, *self.shape), self.dtype)

    def __str__(self) -> str:
        return str(list(self.shape)) if is_float(self.dtype) else f"codes {list(self.shape)}"


class Misfit(Exception):
    """The input of a layer does not fit it."""

    def __init__(self, wanted: str, got: object, hint: str | None = None) -> None:
        super().__init__(f"input is {got}; {wanted}")
        self.wanted = wanted
        self.got = str(got)
        self.hint = hint


class Arguments(Part):
    """What a layer is told."""

    #: The name in the spec.
    kind: ClassVar[str] = ""
    #: The argument that the short form gives: `{linear: 128}`.
    main: ClassVar[str | None] = None
    #: Takes several inputs (in a graph) in place of one.
    merges: ClassVar[bool] = False

    def make(self, x: Signal) -> Module:
        """The engine's module for such an input; Misfit where it does not fit."""
        raise NotImplementedError(self.kind)

    def join(self, inputs: Sequence[Signal]) -> Module:
        """As `make`, for a kind that merges several inputs."""
        raise NotImplementedError(self.kind)

    def outcome(self) -> Shape | None:
        """The shape that comes out whatever goes in, where there is one."""
        return None


def layer(kind: str, *, main: str | None = None) -> Callable[[Kind], Kind]:
    """Enter the class below into the table."""

    def enter(arguments: Kind) -> Kind:
        arguments.kind = kind
        arguments.main = main
        KINDS[kind] = arguments
        return arguments

    return enter


def required(arguments: type[Arguments]) -> list[str]:
    return [name for name, field in arguments.model_fields.items() if field.is_required()]


def plain(arguments: type[Arguments]) -> bool:
    """Whether the kind has no arguments at all."""
    return not arguments.model_fields


def known_kinds(*, merging: bool | None = None) -> list[str]:
    return [kind for kind, one in KINDS.items() if merging is None or one.merges is merging]


def dump(arguments: Arguments) -> dict[str, Any]:
    return arguments.model_dump(mode="json", by_alias=True, exclude_none=True)
