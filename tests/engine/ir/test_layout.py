"""Where views lie, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings

from engine.dispatch import apply
from engine.ir.graph import TensorType
from engine.ir.layout import Layouts, c_strides, extent, is_contiguous
from engine.ir.trace import trace
from engine.ops.registry import register
from engine.tensor import Tensor
from tests.engine.ir import programs as p

VIEWS = [
    kind
    for kind, made in enumerate(p.INSTRUCTIONS)
    if made in (p._transpose, p._reshape, p._slice, p._expand)
]


@settings(max_examples=150, deadline=None)
@given(p.programs, p.inputs)
def test_layouts_are_those_of_numpy(program: p.Program, shapes: list[tuple[int, ...]]) -> None:
    program = [(VIEWS[kind % len(VIEWS)], a, b, c) for kind, a, b, c in program]
    arrays = p.arrays(shapes)
    found = p.function(program)(*map(Tensor, arrays))
    graph = trace(p.function(program), *p.types(shapes))
    layouts = Layouts()
    for tensor, value in zip(found, graph.outputs, strict=True):
        root, offset, strides = layouts.of(value)
        array = tensor.numpy()
        if array.size > 1:
            long = [n > 1 for n in array.shape]
            assert [s for s, n in zip(strides, long, strict=True) if n] == [
                s for s, n in zip(array.strides, long, strict=True) if n
            ]
        if root in graph.inputs:
            base = arrays[graph.inputs.index(root)]
            assert np.shares_memory(base, array) or not array.size
            start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            assert offset == start
        else:
            assert not any(np.shares_memory(base, array) for base in arrays)


def test_huge_views_are_laid_out_without_memory() -> None:
    huge = TensorType((1 << 20, 1 << 12, 4), np.dtype("float32"))
    graph = trace(lambda x: x.permute(2, 0, 1).reshape(4, 1 << 32)[:, ::-1], huge)
    assert [node.op.name for node in graph.nodes] == ["transpose", "reshape", "slice"]
    layouts = Layouts()
    assert layouts.of(graph.nodes[0].outputs[0]).strides == (4, 1 << 16, 16)
    assert layouts.of(graph.outputs[0]).root is graph.inputs[0]
    assert layouts.of(graph.outputs[0]).strides == (4, -16)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4), (5, 0, 2)])
def test_c_strides_are_contiguous(shape: tuple[int, ...]) -> None:
    kind = TensorType(shape, np.dtype("float64"))
    assert is_contiguous(kind, c_strides(kind))
    if kind.size:
        assert c_strides(kind) == np.empty(shape).strides
        assert extent(kind, c_strides(kind)) == (0, kind.nbytes)


def test_extents_reach_both_ways() -> None:
    array = np.zeros((4, 3), "float32")[::-1]
    assert extent(TensorType(array.shape, array.dtype), array.strides) == (-36, 12)


def test_a_view_that_copies_owns_its_memory() -> None:
    def sorted_rows(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        return np.sort(x, axis=0) if out is None else np.copyto(out, np.sort(x, axis=0))

    copying = register("sorted_for_layout_tests", lambda x: x, sorted_rows, view=True, into=True)
    graph = trace(lambda x: apply(copying, x), *p.types([(4, 3)]))
    assert Layouts().of(graph.outputs[0]) == (graph.outputs[0], 0, (12, 4))
    (x,) = p.arrays([(4, 3)])
    p.same(p.interpret(graph, [x]), [np.sort(x, axis=0)])
