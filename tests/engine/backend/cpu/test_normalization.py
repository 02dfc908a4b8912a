"""Normalisation in C against its references."""

import numpy as np
import pytest

from engine.dispatch import apply
from engine.testing.samples import samples
from tests.engine.backend.cpu.programs import check, close, interpreted, of_function, of_op, run

FAMILIES = ("batch_norm", "layer_norm", "rms_norm", "group_norm")
SHAPES = ((8, 15, 16, 16), (7, 5, 3), (100, 35), (5, 5, 2111), (3, 5, 1, 1))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("name", [n + end for n in FAMILIES for end in ("", "_grad")])
def test_samples(name):
    for arrays, attrs in samples()[name]:
        check(name, [a.astype(np.float32) for a in arrays], **attrs)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape):
    x, channels = numbers(*shape) + 3, shape[1]
    axes = (0, *range(2, len(shape)))
    statistics = x.mean(axes), x.var(axes)
    weights = numbers(channels, seed=1), numbers(channels, seed=2)
    g = numbers(*shape, seed=3)
    check("batch_norm", [x, *weights], eps=1e-5)
    check("batch_norm", [x], eps=1e-5)
    check("batch_norm_grad", [g, x, *statistics, *weights], eps=1e-5)
    check("batch_norm_grad", [g, x, *statistics], eps=1e-5)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_group_norm(shape):
    x, channels = numbers(*shape) + 3, shape[1]
    parts = x.reshape(shape[0], 5, -1)
    statistics = parts.mean(2), parts.var(2)
    weights = numbers(channels, seed=1), numbers(channels, seed=2)
    g = numbers(*shape, seed=3)
    check("group_norm", [x, *weights], eps=1e-5, groups=5)
    check("group_norm_grad", [g, x, *statistics, *weights], eps=1e-5, groups=5)
    check("group_norm_grad", [g, x, *statistics], eps=1e-5, groups=5)


@pytest.mark.parametrize("shape", [(7, 5, 3), (100, 35), (5, 5, 2111), (64, 2)])
def test_layer_and_rms_norm(shape):
    x, length = numbers(*shape) + 3, shape[-1]
    weight, bias, g = numbers(length, seed=1), numbers(length, seed=2), numbers(*shape, seed=3)
    mean, variance, square = x.mean(-1), x.var(-1), (x * x).mean(-1)
    check("layer_norm", [x, weight, bias], eps=1e-5, dims=1)
    check("layer_norm_grad", [g, x, mean, variance, weight, bias], eps=1e-5, dims=1)
    check("rms_norm", [x, weight], eps=1e-5, dims=1)
    check("rms_norm_grad", [g, x, mean * 0, square, weight], eps=1e-5, dims=1)


@pytest.mark.parametrize("dims", [1, 2])
def test_rows_that_repeat_or_stand_apart(dims):
    """As the gradient of a mean over positions, and one position of many."""
    x, g = numbers(6, 5, 3, 40), numbers(6, 1, 3, 40, seed=1)
    wide, kept = numbers(6, 5, 6, 40, seed=2), x.shape[: 4 - dims]
    axes = tuple(range(4 - dims, 4))
    mean, variance = (f(axes).reshape(kept) for f in (x.mean, x.var))
    shape = x.shape[4 - dims :]
    weight, bias = numbers(*shape, seed=3), numbers(*shape, seed=4)

    def f(x, g, wide, mean, variance, weight, bias):
        repeated, apart = g.expand(x.shape), wide[:, :, :3]
        attrs = {"eps": 1e-5, "dims": dims}
        found = apply("layer_norm_grad", repeated, x, mean, variance, weight, bias, **attrs)
        turned = apply("layer_norm", x.transpose(0, 1), weight, bias, **attrs)
        return (*found, *turned, *apply("layer_norm", apart, weight, bias, **attrs))

    arrays = [x, g, wide, mean, variance, weight, bias]
    graph = of_function(f, arrays)
    for one, other in zip(run(graph, arrays), interpreted(graph, arrays), strict=True):
        close(one, other)


def test_the_mean_may_be_far_from_zero():
    x = numbers(64, 4, 32) + 1000
    y, mean, variance = run(of_op("batch_norm", [x], eps=1e-5), [x])
    wide = x.astype(np.float64)
    close(variance, wide.var((0, 2)), 1e-4)
    close(mean, wide.mean((0, 2)), 1e-6)
    assert abs(y.mean()) < 1e-3
