"""Folding of constants."""

import numpy as np

import engine
from engine.ir.graph import TensorType
from engine.ir.passes.dead import remove_dead
from engine.ir.passes.fold import FOLDED_BYTES, fold
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def names(graph: object) -> list[str]:
    return [node.op.name for node in remove_dead(graph).nodes]  # type: ignore[arg-type]


def test_what_depends_on_constants_only_is_computed_now() -> None:
    def f(x: Tensor) -> Tensor:
        return x + engine.arange(3).to("float32").exp() * 2.0

    graph = remove_dead(fold(trace(f, *p.types([(3,)]))))
    assert names(graph) == ["add"]
    p.same(
        p.interpret(graph, [np.zeros(3, "float32")]),
        [np.exp(np.arange(3, dtype="float32")) * np.float32(2)],
    )


def test_large_results_are_left_to_run_time() -> None:
    size = FOLDED_BYTES // 4 + 1

    def f(x: Tensor) -> Tensor:
        return x + engine.full(size, value=1.0)

    assert names(fold(trace(f, *p.types([(size,)])))) == ["full", "add"]


def test_draws_are_never_folded() -> None:
    def f(x: Tensor) -> Tensor:
        seed = Tensor(x.data.graph.constant(np.asarray(1, "uint64")))
        with engine.random.stream(seed, seed):
            return x + engine.rand(3)

    assert names(fold(trace(f, *p.types([(3,)])))) == ["uniform", "add"]


def test_a_folded_view_keeps_the_strides_of_the_view() -> None:
    def f(x: Tensor) -> Tensor:
        return x @ engine.arange(12).to("float32").reshape(3, 4).transpose(0, 1)

    graph = fold(trace(f, TensorType((2, 4), np.dtype("float32"))))
    used = graph.nodes[-1].inputs[1]
    assert graph.constants[used].strides == (4, 16)
