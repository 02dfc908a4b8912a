"""Operations run as C beside their references."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.backend.cpu import toolchain
from engine.backend.cpu.native import Native
from engine.compile.interpreter import Interpreter
from engine.compile.plan import Plan, make_plan
from engine.dispatch import apply
from engine.ir.graph import Graph, TensorType
from engine.ir.trace import trace
from engine.ops.registry import outputs_of
from engine.tensor import Tensor

Attrs = dict[str, Any]


@cache
def compiler() -> toolchain.Toolchain:
    """A compiler; without one, nothing here can be tested."""
    for command in (("cc",), ("clang",)):
        found = toolchain.probe(command)
        if found is not None:
            return found
    pytest.skip("no C compiler on this machine")


def of_op(name: str, arrays: Sequence[np.ndarray], **attrs: Any) -> Graph:
    """One operation, on inputs of the types of the arrays."""

    def f(*tensors: Tensor) -> tuple[Tensor, ...]:
        return outputs_of(apply(name, *tensors, **attrs))

    return trace(f, *[TensorType(a.shape, a.dtype) for a in arrays])


def of_function(function: Any, arrays: Sequence[np.ndarray]) -> Graph:
    return trace(function, *[TensorType(a.shape, a.dtype) for a in arrays])


def native(plan: Plan, threads: int = 1) -> Native:
    return Native(plan, {}, chain=compiler(), threads=threads)


def run(graph: Graph, arrays: Sequence[np.ndarray], *, whole: bool = True) -> list[np.ndarray]:
    """The results in C; 1 and 3 threads give the same bytes. whole: all of it must be C."""
    plan = make_plan(graph)
    runner = native(plan)
    if whole:
        assert [plan.launches[index].name for index in runner.code.references] == []
    found = [np.array(a) for a in runner.run(arrays)]
    again = [np.array(a) for a in native(plan, threads=3).run(arrays)]
    assert [a.tobytes() for a in found] == [a.tobytes() for a in again]
    return found


def interpreted(graph: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.array(a) for a in Interpreter(make_plan(graph), {}).run(arrays)]


def widened(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Of one type and shape, and within the tolerance in the relative L2 norm, NaN alike."""
    assert found.shape == expected.shape
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    one, other = found.astype(np.float64), expected.astype(np.float64)
    odd = ~np.isfinite(other)
    np.testing.assert_array_equal(one[odd], other[odd])
    difference = np.linalg.norm(one[~odd] - other[~odd])
    assert difference <= tolerance * np.linalg.norm(other[~odd]) + 1e-30


def check(name: str, arrays: Sequence[np.ndarray], tolerance: float = 1e-5, **attrs: Any) -> None:
    """An operation in C against its reference in float64."""
    found = run(of_op(name, arrays, **attrs), arrays)
    wide = widened(arrays)
    expected = interpreted(of_op(name, wide, **attrs), wide)
    for one, other in zip(found, expected, strict=True):
        close(one, other, tolerance)
