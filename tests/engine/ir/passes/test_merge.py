"""Merging of equal computations."""

import numpy as np
import pytest

import engine
from engine.ir.graph import Graph, TensorType
from engine.ir.passes.merge import frozen, merge
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p

WORD = TensorType((), np.dtype("uint64"))


def count(graph: Graph, name: str) -> int:
    return sum(node.op.name == name for node in graph.nodes)


def test_equal_computations_become_one() -> None:
    def f(x: Tensor) -> Tensor:
        return (x * 2.0).tanh() + (x * 2.0).tanh()

    graph = merge(trace(f, *p.types([(3,)])))
    assert (count(graph, "mul"), count(graph, "tanh")) == (1, 1)


def test_attributes_and_signs_of_zero_keep_computations_apart() -> None:
    def f(x: Tensor) -> list[Tensor]:
        return [x.sum(0), x.sum(1), x + 0.0, x + -0.0]

    graph = merge(trace(f, *p.types([(3, 3)])))
    assert (count(graph, "sum"), count(graph, "add")) == (2, 2)


def test_draws_are_merged_only_where_their_key_is_the_same() -> None:
    def f(x: Tensor, seed: Tensor, step: Tensor) -> list[Tensor]:
        with engine.random.stream(seed, step):
            first, second = engine.dropout(x, 0.5), engine.dropout(x, 0.5)
        with engine.random.stream(seed, step):
            again = engine.dropout(x, 0.5)
        with engine.random.stream(seed, step + 1):
            later = engine.dropout(x, 0.5)
        return [first, second, again, later]

    graph = merge(trace(f, *p.types([(8,)]), WORD, WORD))
    assert count(graph, "dropout") == 3
    first, second, again, later = graph.outputs
    assert first is again
    assert len({first, second, later}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1, 1.0),
        (1, True),
        ((1, 2), [1, 2]),
        (slice(0, 2), slice(0, 3)),
        (np.zeros(2), np.zeros(2, "float32")),
        (np.zeros(2), np.zeros((2, 1))),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_different_attributes_differ(one: object, other: object) -> None:
    assert frozen(one) != frozen(other)
    assert frozen(one) == frozen(one)


def test_an_attribute_that_cannot_be_compared_merges_nothing() -> None:
    with pytest.raises(TypeError):
        frozen({1, 2})
