"""Graphs as text."""

import numpy as np

from engine import nn
from engine.ir.graph import TensorType
from engine.ir.passes.differentiate import differentiate
from engine.ir.trace import trace


def test_a_graph_reads_like_a_program() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    graph = trace(
        lambda x: {"total": (model(x) * 2.0).sum(1)},
        TensorType((2, 4), np.dtype("float32")),
        bound=dict(model.named_parameters()),
    )
    assert str(graph).splitlines() == [
        "graph(%x: float32[2, 4], %0.weight: float32[3, 4], %0.bias: float32[3]):",
        "  %4: float32[2, 3] = linear(%x, %0.weight, %0.bias)  # 0",
        "  %5: float32[2, 3] = tanh(%4)  # 1",
        "  %7: float32[2, 3] = mul(%5, 2.0:float32)",
        "  %8: float32[2] = sum(%7, axes=(1,), keepdims=False)",
        "  return total=%8",
    ]


def test_larger_constants_are_told_by_their_type() -> None:
    table = np.arange(6.0).reshape(2, 3)
    graph = trace(lambda x: x + table, TensorType((2, 3), np.dtype("float64")))
    assert "%2: float64[2, 3] = constant float64[2, 3]" in str(graph)


def test_backward_nodes_say_so() -> None:
    graph = differentiate(trace(lambda x: (x * x).sum(), TensorType((2,), np.dtype("float32"))))
    assert "# backward" in str(graph)
    assert str(graph).endswith("d x=%9") or "d x=%" in str(graph).splitlines()[-1]
