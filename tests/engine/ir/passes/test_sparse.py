"""Products of matrices with many zeros are known by the graph alone."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.ir.graph import Graph
from engine.ir.passes.differentiate import gradients
from engine.ir.passes.fuse import fuse
from engine.ir.passes.simplify import simplify
from engine.ir.passes.sparse import mark_sparse
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def marked(function: Any, *shapes: tuple[int, ...]) -> Graph:
    """The marked graph, after a look at its numbers."""
    graph = fuse(simplify(trace(function, *p.types(shapes))))
    made = mark_sparse(graph)
    given = p.arrays(shapes)
    for one, other in zip(p.interpret(made, given), p.interpret(graph, given), strict=True):
        np.testing.assert_array_equal(one, other)
    return made


def marks(graph: Graph) -> list[tuple[bool, bool]]:
    """Of the products, in order."""
    products = ("matmul", "linear", "fused_product")
    return [n.attrs.get("sparse", (False, False)) for n in graph.nodes if n.op.name in products]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.relu(),
        engine.relu6,
        lambda x: engine.where(x > 0.5, x, 0.0) * 2.0,
        lambda x: (-x.relu()).reshape(3, 2, 6),
        lambda x: x * (x > 0).astype("float32"),
    ],
)
def test_functions_that_make_zeros(function: Any) -> None:
    graph = marked(lambda x, w: function(x) @ w, (6, 6), (6, 5))
    assert marks(graph) == [(True, False)]


@pytest.mark.parametrize("function", [engine.tanh, engine.gelu, lambda x: x.relu() + 1.0])
def test_functions_that_make_none(function: Any) -> None:
    assert marks(marked(lambda x, w: function(x) @ w, (6, 6), (6, 5))) == [(False, False)]


def test_a_step_of_a_perceptron() -> None:
    def step(x: Tensor, first: Tensor, second: Tensor, third: Tensor) -> list[Tensor]:
        y = engine.linear(engine.linear(engine.linear(x, first).relu(), second).relu(), third)
        found = gradients((y * y).sum().data, [t.data for t in (first, second, third)])
        return [Tensor(v) for v in found if v is not None]

    graph = marked(step, (5, 4), (6, 4), (7, 6), (3, 7))
    forward, backward = marks(graph)[:3], marks(graph)[3:]
    assert forward == [(False, False), (True, False), (True, False)]
    # of the weights, from the last: y' h2, h2' h1, h1' x, and of the activations between them
    assert sorted(backward) == sorted(
        [(False, True), (False, False), (True, True), (True, False), (True, False)]
    )


def test_dropout_that_drops_little_is_not_worth_a_look() -> None:
    def f(share: float) -> Any:
        return lambda x, w, seed, step: (
            engine.dispatch.single(
                "dropout", x, seed.astype("uint64"), step.astype("uint64"), draw=1, p=share
            )
            @ w
        )

    shapes = ((6, 6), (6, 5), (), ())
    assert marks(marked(f(0.5), *shapes)) == [(True, False)]
    assert marks(marked(f(0.1), *shapes)) == [(False, False)]
