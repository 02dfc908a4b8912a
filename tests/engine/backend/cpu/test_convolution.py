"""Convolution in C: samples, odd shapes, both gradients, strided inputs, plans of whole steps."""

import numpy as np
import pytest

from engine import nn, optim
from engine.backend.convolution import Geometry
from engine.backend.cpu.native import Native
from engine.compile.interpreter import Interpreter
from engine.compile.plan import make_plan
from engine.compile.step import TrainStep
from engine.testing.samples import samples
from tests.engine.backend.cpu.programs import (
    check,
    close,
    compiler,
    interpreted,
    of_function,
    of_op,
    run,
    widened,
)

NAMES = ("conv", "conv_input_grad", "conv_weight_grad")

#: images, channels, size, outputs, kernel, stride, padding, dilation, groups
SHAPES = {
    "first layer": (4, 3, (32, 32), 32, 3, 1, 1, 1, 1),
    "strided": (3, 64, (17, 13), 70, 3, 2, 1, 1, 1),
    "dilated": (5, 16, (8,), 33, 3, 3, 1, 2, 1),
    "long kernel": (2, 1, (801,), 16, 80, 4, 38, 1, 1),
    "small images": (2, 130, (4, 4), 130, 3, 1, 1, 1, 1),
    "groups": (2, 12, (9, 9), 24, 3, 1, 1, 1, 4),
    "depthwise": (2, 12, (9, 21), 24, 3, 2, 1, 1, 12),
    "one pixel": (1, 7, (1, 1), 5, 1, 1, 0, 1, 1),
    "pointwise strided": (3, 20, (7, 7), 40, 1, 2, 0, 1, 1),
    "three axes": (2, 5, (5, 6, 7), 9, 3, 2, 1, 1, 1),
    "many outputs": (2, 6, (50,), 600, 5, 1, 2, 1, 1),
    "cropped": (2, 8, (30, 30), 8, 3, 1, -1, 1, 1),
    "depthwise, cropped": (2, 4, (30, 30), 4, 3, 1, -1, 1, 4),
    "depthwise, shrinking": (2, 12, (9, 9), 6, 3, 1, 1, 1, 6),
    "few windows": (70, 16, (4, 4), 129, 3, 1, 1, 1, 1),
    "few tiles": (2, 18, (7, 9), 21, 3, 1, 1, 1, 1),
    "one small image": (1, 130, (7, 5), 70, 3, 1, 1, 1, 1),
    "one image": (1, 32, (16, 16), 70, 3, 1, 1, 1, 1),
    "two vectors of tiles": (1, 100, (18, 23), 40, 3, 1, 0, 1, 1),
    "strided, cropped": (2, 8, (12, 12), 8, 3, 2, -1, 1, 1),
    "wide channels": (3, 66, (19, 11), 67, 3, 1, 1, 1, 1),
    "uncovered rows": (2, 33, (10, 23), 48, 2, 3, 0, 1, 1),
    "audio, first layer": (3, 1, (1600,), 12, 80, 4, 38, 1, 1),
    "audio": (3, 7, (501,), 10, 3, 1, 1, 1, 1),
    "audio, dilated": (2, 5, (640,), 8, 5, 1, 8, 4, 1),
    "long rows in groups": (2, 6, (700,), 10, 7, 3, 2, 1, 2),
    "phases of two axes": (2, 3, (61, 67), 17, 5, 2, 2, 3, 1),
    "phases of three axes": (2, 2, (21, 30, 35), 5, 3, 2, 1, 1, 1),
    "cropped rows": (2, 3, (40, 41), 9, 3, 1, -2, 1, 1),
    "step beyond the kernel": (2, 3, (50, 61), 9, 2, 5, 0, 1, 1),
}


def case(name: str) -> list[tuple[str, list[np.ndarray], dict]]:
    n, channels, size, outputs, kernel, stride, padding, dilation, groups = SHAPES[name]
    axes = len(size)
    taps, pads = (kernel,) * axes, ((padding, padding),) * axes
    geometry = Geometry(size, taps, (stride,) * axes, pads, (dilation,) * axes)
    attrs = {
        "stride": (stride,) * axes,
        "padding": pads,
        "dilation": (dilation,) * axes,
        "groups": groups,
    }
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n, channels, *size), np.float32)
    weight = rng.standard_normal((outputs, channels // groups, *taps), np.float32)
    bias = rng.standard_normal(outputs, np.float32)
    y = rng.standard_normal((n, outputs, *geometry.output), np.float32)
    return [
        ("conv", [x, weight, bias], attrs),
        ("conv_input_grad", [y, weight], {"size": size, **attrs}),
        ("conv_weight_grad", [x, y], {"kernel": taps, **attrs}),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    for arrays, attrs in samples()[name]:
        check(name, [a.astype(np.float32) for a in arrays], **attrs)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_and_both_gradients(shape):
    for name, arrays, attrs in case(shape):
        check(name, arrays, **attrs)


def test_strided_inputs_are_made_dense_first():
    name, (x, weight, bias), attrs = case("wide channels")[0]

    def f(x, weight, bias):
        from engine.dispatch import single

        turned = single("transpose", x, axes=(0, 1, 3, 2))
        return single(name, turned, weight, bias, **attrs)

    arrays = [np.ascontiguousarray(x.swapaxes(2, 3)), weight, bias]
    (found,) = run(of_function(f, arrays), arrays)
    wide = widened(arrays)
    close(found, interpreted(of_function(f, wide), wide)[0])


def test_halves_and_doubles_are_left_to_the_reference():
    name, arrays, attrs = case("one pixel")[0]
    wide = [a.astype(np.float64) for a in arrays]
    runner = Native(make_plan(of_op(name, wide, **attrs)), {}, chain=compiler())
    assert runner.compiled == 0
    close(runner.run(wide)[0], interpreted(of_op(name, wide, **attrs), wide)[0])


def test_a_network_learns_the_same_in_c():
    def losses(native: bool) -> list[float]:
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 20, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(20, 4),
        ).init(seed=1)
        optimizer = optim.SGD(model.named_parameters(), lr=0.1)
        loss = nn.CrossEntropyLoss()
        step = TrainStep(model, lambda m, b: loss(m(b["x"]), b["y"]), optimizer, mode="interpreter")
        if native:
            step._runners.backend.bind = lambda plan, residents, arena: Native(
                plan, residents, arena, chain=compiler(), threads=2
            )
        rng = np.random.default_rng(0)
        batch = {
            "x": rng.standard_normal((16, 3, 12, 12), np.float32),
            "y": rng.integers(0, 4, 16),
        }
        found = [step(batch, step=i, lr=0.1)["loss"] for i in range(8)]
        (runner,) = step._runners._ready.values()
        assert isinstance(runner, Native if native else Interpreter)
        return found

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)
