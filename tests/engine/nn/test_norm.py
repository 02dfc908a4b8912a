"""Batch norm over several batches; norms against their formulas."""

import numpy as np
import pytest

import engine
from engine import nn
from engine.ir.trace import trace
from engine.tensor import Tensor

RNG = np.random.default_rng(0)
BATCHES = RNG.normal(3.0, 2.0, size=(5, 4, 3, 6)).astype(np.float32)


@pytest.mark.parametrize("momentum", [0.1, 0.4, None])
def test_running_statistics_follow_the_batches(momentum: float | None) -> None:
    layer = nn.BatchNorm1d(3, momentum=momentum).init()
    mean, variance = np.zeros(3), np.ones(3)
    for number, batch in enumerate(BATCHES, 1):
        layer(Tensor(batch))
        share = 1 / number if momentum is None else momentum
        rows = batch.transpose(1, 0, 2).reshape(3, -1).astype(float)
        mean = (1 - share) * mean + share * rows.mean(1)
        variance = (1 - share) * variance + share * rows.var(1, ddof=1)
        np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.data, variance, rtol=1e-5)
    assert int(layer.num_batches_tracked.data) == 5


def test_evaluation_uses_and_keeps_the_running_statistics() -> None:
    layer = nn.BatchNorm1d(3).init().eval()
    layer.running_mean.data[...] = [1.0, 2.0, 3.0]
    layer.running_var.data[...] = [4.0, 1.0, 0.25]
    before = layer.state_dict()
    y = layer(Tensor(BATCHES[0])).numpy()
    expected = (BATCHES[0] - [[1], [2], [3]]) / np.sqrt(np.array([[4], [1], [0.25]]) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_statistics_have_no_gradient_and_keep_no_tape() -> None:
    layer = nn.BatchNorm1d(3).init()
    layer(Tensor(BATCHES[0], requires_grad=True)).sum().backward()
    assert layer.running_mean.grad is None
    assert layer.running_mean.node is None


def test_a_trace_gives_the_statistics_back_as_updates() -> None:
    layer = nn.BatchNorm1d(3).init()
    graph = trace(layer, Tensor(BATCHES[0]).type)
    assert len(graph.updates) == 3
    assert len(trace(layer.eval(), Tensor(BATCHES[0]).type).updates) == 0


def normal(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def test_norms_are_their_formulas() -> None:
    x = RNG.normal(2.0, 3.0, size=(4, 6, 5, 3))
    cases: list[tuple[nn.Module, np.ndarray]] = [
        (nn.BatchNorm2d(6), normal(x, (0, 2, 3))),
        (nn.InstanceNorm2d(6), normal(x, (2, 3))),
        (nn.LayerNorm((5, 3)), normal(x, (2, 3))),
        (nn.LayerNorm(3), normal(x, (3,))),
        (nn.GroupNorm(2, 6), normal(x.reshape(4, 2, 3, 5, 3), (2, 3, 4)).reshape(x.shape)),
        (nn.RMSNorm(3), x / np.sqrt((x**2).mean(3, keepdims=True) + 1e-6)),
    ]
    for layer, expected in cases:
        found = layer.to("float64").init()(Tensor(x)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_one_value_a_channel_is_refused_in_training_only() -> None:
    layer = nn.BatchNorm1d(3).init()
    with pytest.raises(engine.errors.ShapeError, match="more than one value per channel"):
        layer(Tensor(np.zeros((1, 3), np.float32)))
    assert layer.eval()(Tensor(np.zeros((1, 3), np.float32))).shape == (1, 3)
