"""Slopes kept beside products: the same numbers within rounding, and less left to the gradient."""

from collections.abc import Callable

import numpy as np
import pytest

import engine
from engine.ir.graph import Graph
from engine.ir.passes.differentiate import gradients
from engine.ir.passes.fuse import fuse
from engine.ir.passes.simplify import simplify
from engine.ir.passes.slopes import keep_slopes
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p

SHAPES = [(3, 5, 4), (6, 4), (6,), (4, 6)]
Activation = Callable[[Tensor], Tensor]


def step(activation: Activation, *, show: bool = False) -> Graph:
    """Gradients of a layer of two products, for all that goes in."""

    def loss(x: Tensor, up: Tensor, bias: Tensor, down: Tensor) -> list[Tensor]:
        z = engine.linear(x, up, bias)
        y = engine.linear(activation(z), down)
        total = (y * y).sum()
        found = gradients(total.data, [t.data for t in (x, up, bias, down)])
        return [total, *([z] if show else []), *(Tensor(v) for v in found if v is not None)]

    return simplify(trace(loss, *p.types(SHAPES)))


def same(made: Graph, graph: Graph) -> None:
    given = p.arrays(SHAPES)
    for one, other in zip(p.interpret(made, given), p.interpret(graph, given), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize("activation", [engine.gelu, engine.gelu_tanh, engine.silu, engine.mish])
def test_an_activation_keeps_its_slope_and_not_what_it_was_given(activation: Activation) -> None:
    graph = step(activation)
    made = fuse(graph)
    same(made, graph)
    assert not any(".d0" in name for name in names(made))
    first = next(node for node in made.nodes if node.op.name == "fused_product")
    assert len(first.outputs) == 2
    times = [node for node in made.nodes if node.op.name == "fused_product"][1]
    assert [root.op for root in times.attrs["roots"]] == ["mul"]


def test_what_others_read_is_kept_as_it_is() -> None:
    graph = step(engine.gelu, show=True)
    made = keep_slopes(graph)
    same(made, graph)
    assert "gelu.d0[0,2]" in names(made)


def test_a_cheap_slope_is_made_again() -> None:
    graph = step(engine.relu)
    made = keep_slopes(graph)
    same(made, graph)
    assert "fused" not in names(made)


def test_what_follows_a_product_is_done_before_its_change_of_shape() -> None:
    def f(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return (a @ b).reshape((3, 5, 4)) * c

    shapes = [(15, 6), (6, 4), (3, 5, 4)]
    graph = simplify(trace(f, *p.types(shapes)))
    made = fuse(graph)
    assert names(made) == ["reshape", "fused_product", "reshape"]
    given = p.arrays(shapes)
    np.testing.assert_allclose(p.interpret(made, given)[0], p.interpret(graph, given)[0], rtol=1e-5)


def test_a_product_that_others_read_in_its_shape_is_left() -> None:
    def f(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        y = (a @ b).reshape((3, 5, 4))
        return y * c, y

    graph = simplify(trace(f, *p.types([(15, 6), (6, 4), (3, 5, 4)])))
    assert names(keep_slopes(graph)) == names(graph)
