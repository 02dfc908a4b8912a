"""Convolutions that take over what follows them: fewer nodes, the same numbers within rounding."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.backend.cpu import toolchain
from engine.compile import TrainStep
from engine.ir.graph import Graph, TensorType
from engine.ir.passes.conv_epilogue import end_convolutions
from engine.ir.passes.fuse import fuse
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.optim import SGD
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import close, interpreted, run, widened

SCALE, MEAN = (6, 1, 1), (1, 6, 1, 1)


def ended(function: Any, *shapes: tuple[int, ...], seed: int = 0) -> Graph:
    """The graph with convolutions ended, after a look at its numbers, interpreted and in C."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    graph = simplify(trace(function, *[TensorType(a.shape, a.dtype) for a in arrays]))
    made = end_convolutions(fuse(graph))
    wide = simplify(trace(function, *[TensorType(a.shape, np.dtype("float64")) for a in arrays]))
    expected = interpreted(wide, widened(arrays))
    for found in (interpreted(made, arrays), run(made, arrays)):
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    return made


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if node.op.name != "reshape"]


def attrs(graph: Graph) -> tuple[tuple[str, ...], bool]:
    (node,) = [node for node in graph.nodes if node.op.name == "fused_conv"]
    return node.attrs["after"], node.attrs["relu"]


@pytest.fixture(autouse=True)
def _compiler() -> None:
    if toolchain.find() is None:
        pytest.skip("no C compiler on this machine")


def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
    return engine.conv(x, weight, bias, padding=1, **options)


#: x, weight, options: one for each way of convolving.
KERNELS = {
    "flat": ((2, 3, 20, 20), (6, 3, 3, 3), {}),
    "windows": ((3, 9, 5, 5), (6, 9, 2, 2), {"stride": 2}),
    "tiles": ((3, 16, 33, 17), (24, 16, 3, 3), {}),
    "few tiles": ((1, 16, 14, 11), (40, 16, 3, 3), {}),
    "depthwise": ((2, 6, 9, 21), (6, 1, 3, 3), {"groups": 6}),
    "pairs": ((2, 12, 9, 9), (6, 2, 3, 3), {"groups": 6, "stride": 2}),
    "groups": ((2, 12, 30, 30), (24, 4, 3, 3), {"groups": 3}),
    "one axis": ((2, 3, 300), (6, 3, 5), {}),
    "one pixel": ((1, 7, 1, 1), (5, 7, 3, 3), {}),
}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_scales_shifts_adds_and_bends(name: str, relu: bool) -> None:
    x, weight, options = KERNELS[name]
    axes = len(x) - 2
    pads = ((1, 1),) * axes
    made = engine.ops.conv.conv(  # only its shape is wanted
        Tensor(np.zeros(x, "f")), Tensor(np.zeros(weight, "f")), padding=pads, **options
    ).shape
    each = (weight[0], *(1,) * axes)

    def f(x: Tensor, weight: Tensor, bias: Tensor, *rest: Tensor) -> Tensor:
        mean, scale, shift, more = rest
        y = (conv(x, weight, bias, **options) - mean) * scale + shift + more
        return y.relu() if relu else y

    graph = ended(f, x, weight, weight[:1], each, each, each, made)
    roles = ("scale", "shift", "more")
    assert attrs(graph) == (roles[:2] if name == "one pixel" else roles, relu)


@pytest.mark.parametrize("name", KERNELS)
def test_relu_of_a_convolution(name: str) -> None:
    x, weight, options = KERNELS[name]
    graph = ended(lambda x, w: conv(x, w, **options).relu(), x, weight)
    assert names(graph) == ["fused_conv"]
    assert attrs(graph) == ((), True)


def test_bias_and_relu() -> None:
    graph = ended(lambda x, w, b: conv(x, w, b).relu(), (1, 3, 9, 9), (6, 3, 3, 3), (6,))
    assert names(graph) == ["fused_conv"]
    assert attrs(graph) == (("shift",), True)


def test_numbers_may_be_constants() -> None:
    graph = ended(lambda x, w: 3.0 - conv(x, w) * 2.0, (1, 3, 9, 9), (6, 3, 3, 3))
    assert attrs(graph) == (("scale", "shift"), False)


def test_a_shift_that_is_taken_away() -> None:
    shapes = (1, 3, 9, 9), (6, 3, 3, 3), SCALE, MEAN
    graph = ended(lambda x, w, s, m: (s - conv(x, w) / m).relu(), *shapes)
    assert attrs(graph) == (("scale", "shift"), True)


def test_two_convolutions_are_added_without_another_operation() -> None:
    def f(x: Tensor, one: Tensor, other: Tensor, scale: Tensor) -> Tensor:
        return (conv(x, one) * scale + conv(x, other)).relu()

    graph = ended(f, (1, 3, 9, 9), (6, 3, 3, 3), (6, 3, 3, 3), SCALE)
    assert names(graph) == ["fused_conv", "fused_conv"]

    def g(x: Tensor, one: Tensor, other: Tensor, scale: Tensor) -> Tensor:
        return (conv(x, one) * scale + conv(x, other) * scale).relu()

    graph = ended(g, (1, 3, 9, 9), (6, 3, 3, 3), (6, 3, 3, 3), SCALE)
    assert names(graph) == ["fused_conv", "fused_conv"]


def test_what_is_added_is_made_whole_first() -> None:
    shapes = (2, 3, 9, 9), (6, 3, 3, 3), (2, 6, 9, 9)
    graph = ended(lambda x, w, z: (conv(x, w) + z.tanh()).relu(), *shapes)
    assert sorted(names(graph)) == ["fused", "fused_conv"]
    assert attrs(graph) == (("more",), True)


def test_what_is_added_may_have_other_strides() -> None:
    shapes = (2, 3, 9, 9), (6, 3, 3, 3), (9, 9, 6, 2)
    graph = ended(lambda x, w, z: conv(x, w) + z.permute(3, 2, 0, 1), *shapes)
    assert attrs(graph) == (("more",), False)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, w, z: [y := conv(x, w), y.relu()],  # somebody else reads it
        lambda x, w, z: conv(x, w) * conv(x, w),  # no line
        lambda x, w, z: conv(x, w) * z,  # a scale for each place
        lambda x, w, z: conv(x, w).tanh(),
        lambda x, w, z: conv(x, w) + z[:1, :, :, :1],  # less than all places
    ],
)
def test_others_stay_as_they_are(f: Any) -> None:
    graph = ended(f, (2, 3, 9, 9), (6, 3, 3, 3), (2, 6, 9, 9))
    assert "fused_conv" not in names(graph)


def test_not_a_number_stays_so_through_relu() -> None:
    x, weight = np.full((1, 16, 18, 18), np.nan, "f"), np.ones((16, 16, 3, 3), "f")
    types = [TensorType(a.shape, a.dtype) for a in (x, weight)]
    graph = end_convolutions(fuse(simplify(trace(lambda x, w: conv(x, w).relu(), *types))))
    assert np.isnan(run(graph, [x, weight])[0]).all()


def test_networks_without_normalisation_learn_the_same() -> None:
    def trained(mode: Any) -> list[float]:
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 20, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 4),
        ).init(seed=1)  # fmt: skip
        step = TrainStep(
            model,
            lambda model, batch: engine.cross_entropy(model(batch["x"]), batch["y"]),
            SGD(model.named_parameters()),
            mode=mode,
            threads=2,
        )
        rng = np.random.default_rng(0)
        batch = {"x": rng.standard_normal((8, 3, 12, 12), np.float32), "y": np.arange(8) % 4}
        ended = [one.name for one in step.plan(batch).launches].count("fused_conv")
        assert ended == (2 if mode == "graph" else 0)
        return [step(batch, step=n, lr=0.1)["loss"] for n in range(8)]

    np.testing.assert_allclose(trained("graph"), trained("interpreter"), rtol=1e-4)
