"""Removing what no output needs."""

from engine.dispatch import apply
from engine.ir.passes.dead import remove_dead
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def test_what_no_output_needs_is_gone_and_inputs_stay() -> None:
    def f(x: Tensor, unused: Tensor) -> Tensor:
        x.exp().sum()
        unused.tanh()
        return x.tanh()

    graph = remove_dead(trace(f, *p.types([(3,), (2,)])))
    assert [node.op.name for node in graph.nodes] == ["tanh"]
    assert [value.name for value in graph.inputs] == ["x", "unused"]


def test_one_used_output_keeps_a_node_with_several() -> None:
    def f(x: Tensor) -> Tensor:
        _y, _mean, variance = apply("layer_norm", x, dims=1, eps=0.0)
        return variance

    graph = remove_dead(trace(f, *p.types([(2, 5)])))
    assert [len(node.outputs) for node in graph.nodes] == [3]


def test_constants_that_nothing_uses_go_too() -> None:
    def f(x: Tensor) -> Tensor:
        x * 3.0
        return x + 2.0

    assert [a.item() for a in remove_dead(trace(f, *p.types([(3,)]))).constants.values()] == [2.0]
