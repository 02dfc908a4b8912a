"""Fusing: fewer nodes, the same numbers within rounding."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import engine
from engine.ir.graph import Graph
from engine.ir.passes.fuse import MOST_INPUTS, fuse
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def fused(function: Any, *shapes: tuple[int, ...]) -> Graph:
    """The fused graph, after a look at its numbers."""
    graph = simplify(trace(function, *p.types(shapes)))
    made = fuse(graph)
    given = p.arrays(shapes)
    close(p.interpret(made, given), p.interpret(graph, given))
    return made


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        scale = np.abs(other).max(initial=0) + 1.0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


@settings(max_examples=50, deadline=None)
@given(p.programs, p.inputs)
def test_random_programs_keep_their_numbers(
    program: p.Program, shapes: list[tuple[int, ...]]
) -> None:
    graph = simplify(trace(p.function(program), *p.types(shapes)))
    arrays = p.arrays(shapes)
    before = p.interpret(graph, arrays)
    if not all(np.isfinite(a).all() and np.abs(a).max(initial=0) < 1e6 for a in before):
        return
    close(p.interpret(fuse(graph), arrays), before)
    assert len(fuse(graph).nodes) <= len(graph.nodes)


@settings(max_examples=50, deadline=None)
@given(p.programs, p.inputs)
def test_random_gradients_keep_their_numbers(
    program: p.Program, shapes: list[tuple[int, ...]]
) -> None:
    from engine.ir.passes.differentiate import gradients

    def sloped(*tensors: Tensor) -> list[Tensor]:
        (total,) = p.function(program, scalar=True)(*tensors)
        found = gradients(total.data, [t.data for t in tensors])
        return [Tensor(v) for v in found if v is not None]

    graph = simplify(trace(sloped, *p.types(shapes)))
    arrays = p.arrays(shapes)
    before = p.interpret(graph, arrays)
    if not all(np.isfinite(a).all() and np.abs(a).max(initial=0) < 1e4 for a in before):
        return
    close(p.interpret(fuse(graph), arrays), before)


def test_a_chain_becomes_one_operation() -> None:
    graph = fused(lambda x, y: ((x + y) * x).tanh() - y, (5, 4), (4,))
    assert names(graph) == ["fused"]
    assert len(graph.nodes[0].inputs) == 2


def test_what_others_read_is_made_beside() -> None:
    def f(x: Tensor) -> tuple[Tensor, ...]:
        y = x.sigmoid()
        return y * x, y, y.sum(0)

    graph = fused(f, (5, 4))
    assert names(graph) == ["fused", "sum"]
    assert len(graph.nodes[0].outputs) == 2


def test_a_value_that_is_read_in_between_is_not_held_back() -> None:
    def f(x: Tensor, w: Tensor) -> Tensor:
        y = x.tanh()
        return y * (y @ w)

    graph = fused(f, (4, 4), (4, 4))
    assert names(graph) == ["tanh", "fused_product"]


@pytest.mark.parametrize("how", ["sum", "amax", "mean"])
def test_a_reduction_takes_in_what_it_alone_reads(how: str) -> None:
    graph = fused(lambda x, y: getattr((x - y).square(), how)((0, 1)), (6, 5), (5,))
    assert names(graph)[0] == "fused_reduce"
    assert len(graph.nodes) <= 2


def test_products_take_in_what_follows() -> None:
    def f(x: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        z = engine.linear(x, w, b)
        return engine.gelu(z), z

    graph = fused(f, (3, 5, 4), (6, 4), (6,))
    assert names(graph) == ["fused_product"]
    assert len(graph.nodes[0].outputs) == 2
    assert names(fused(lambda a, b: (a @ b).relu() * 2.0, (4, 3), (3, 5))) == ["fused_product"]


def test_a_product_does_not_take_in_its_own_factors() -> None:
    def f(x: Tensor, w: Tensor) -> Tensor:
        y = x.tanh()
        return (y @ w) * y

    assert names(fused(f, (4, 4), (4, 4))) == ["tanh", "fused_product"]


def test_squares_for_a_norm_are_not_stored() -> None:
    graph = fused(lambda a, b: ((a @ b), (a @ b).square().sum()), (4, 3), (3, 5))
    assert names(graph) == ["matmul", "fused_reduce"]


def test_rows_added_up_by_place_take_in_what_they_alone_read() -> None:
    index = np.array([2, 0, 2])

    def f(x: Tensor, y: Tensor) -> Tensor:
        return engine.index_add(engine.zeros((4, 5)), 0, Tensor(index), x * y)

    graph = fused(f, (3, 5), (3, 1))
    assert "fused_rows" in names(graph)
    assert "mul" not in names(graph)


def test_rows_that_somebody_else_reads_are_stored() -> None:
    index = np.array([2, 0, 2])

    def f(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        rows = x * y
        return engine.index_add(engine.zeros((4, 5)), 0, Tensor(index), rows), rows

    assert "fused_rows" not in names(fused(f, (3, 5), (3, 1)))


def test_conditions_and_casts_of_them_are_part_of_it() -> None:
    graph = fused(lambda x, y: engine.where(x > y, x, 0.0) * (x > 1.0).to("float32"), (7,), (7,))
    assert names(graph) == ["fused"]


def test_other_dtypes_and_shapes_stay_apart() -> None:
    graph = fused(lambda x: (x.to("float64").exp().to("float32") + 1.0) * x[:1].tanh(), (4, 4))
    assert names(graph).count("cast") == 2


def test_groups_are_of_bounded_size() -> None:
    def f(*xs: Tensor) -> Tensor:
        total = xs[0]
        for x in xs[1:]:
            total = total + x
        return total

    graph = fused(f, *[(3,)] * 60)
    assert all(len(node.inputs) <= MOST_INPUTS for node in graph.nodes)
    assert len(graph.nodes) == 3
    deep = fused(lambda x: _deep(x, 300), (3,))
    assert 2 <= len(deep.nodes) < 20


def _deep(x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = (x * 0.5).tanh()
    return x


def test_origins_are_kept() -> None:
    graph = fused(lambda x: (x * 2.0).tanh(), (3,))
    assert graph.nodes[0].origin.phase == "forward"
