"""Products of which slices read some columns are made of these."""

from typing import Any

import numpy as np

import engine
from engine.ir.graph import Graph
from engine.ir.passes.differentiate import gradients
from engine.ir.passes.narrow import narrow_products
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def narrowed(function: Any, *shapes: tuple[int, ...]) -> Graph:
    """The new graph, after a look at its numbers."""
    graph = simplify(trace(function, *p.types(shapes)))
    made = narrow_products(graph)
    given = p.arrays(shapes)
    for one, other in zip(p.interpret(made, given), p.interpret(graph, given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    return made


def products(graph: Graph) -> list[tuple[int, ...]]:
    return [node.outputs[0].type.shape for node in graph.nodes if node.op.name == "matmul"]


def test_columns_that_nobody_reads_are_left_out() -> None:
    def f(x: Tensor, w: Tensor) -> list[Tensor]:
        y = x @ w
        return [y[:, 2:4] * 2.0, y[:, 3:7].relu()]

    assert products(narrowed(f, (5, 6), (6, 9))) == [(5, 5)]


def test_of_many_matrices_too() -> None:
    graph = narrowed(lambda x, w: (x @ w)[:, :, 1:3] + 1.0, (3, 5, 6), (3, 6, 9))
    assert products(graph) == [(3, 5, 2)]


def test_whatever_else_reads_it_needs_all() -> None:
    def whole(x: Tensor, w: Tensor) -> list[Tensor]:
        y = x @ w
        return [y[:, 2:4] * 2.0, y.sum()]

    def stepped(x: Tensor, w: Tensor) -> Tensor:
        return (x @ w)[:, ::2] * 2.0

    def rows(x: Tensor, w: Tensor) -> Tensor:
        return (x @ w)[1:3, 1:3] * 2.0

    def given(x: Tensor, w: Tensor) -> list[Tensor]:
        y = x @ w
        return [y, y[:, 2:4] * 2.0]

    for function in (whole, stepped, rows, given):
        assert products(narrowed(function, (5, 6), (6, 9))) == [(5, 9)]


def test_all_columns_in_pieces_stay_one_product() -> None:
    def f(x: Tensor, w: Tensor) -> list[Tensor]:
        y = x @ w
        return [y[:, :4] * 2.0, y[:, 4:].relu()]

    assert products(narrowed(f, (5, 6), (6, 9))) == [(5, 9)]


def test_data_beside_what_is_learned_gets_no_gradient() -> None:
    def step(table: Tensor, numbers: Tensor, weight: Tensor) -> list[Tensor]:
        x = engine.cat([table.relu(), numbers], 1)
        loss = engine.linear(x, weight).square().sum()
        found = gradients(loss.data, [table.data, weight.data])
        return [Tensor(value) for value in found if value is not None]

    graph = narrowed(step, (6, 4), (6, 3), (5, 7))
    assert sorted(products(graph)) == [(5, 7), (6, 4)]
