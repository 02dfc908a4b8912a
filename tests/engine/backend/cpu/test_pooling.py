"""Pooling in C against its references."""

import numpy as np
import pytest

from engine.ops.registry import OPS
from engine.testing.samples import samples
from tests.engine.backend.cpu.programs import check, of_op, run

#: shape, kernel, stride, padding
SHAPES = (
    ((3, 5, 33, 31), 3, 2, 1),
    ((2, 3, 16, 16), 2, 2, 0),
    ((2, 3, 7, 9), 3, 1, 1),
    ((2, 2, 5), 2, 2, 0),
    ((2, 2, 5, 6, 7), 2, 1, 0),
    ((1, 3, 8, 8), 3, 3, 0),
    ((1, 40, 7, 7), 7, 7, 0),
    ((3, 2, 17, 35), 2, 2, 0),
    ((2, 3, 67), 4, 4, 0),
    ((2, 2, 5, 6, 7), 2, 2, 0),
    ((2, 3, 19, 20), 3, 3, -1),
)


def attributes(shape, kernel, stride, padding):
    axes = len(shape) - 2
    return {
        "kernel": (kernel,) * axes,
        "stride": (stride,) * axes,
        "padding": ((padding, padding),) * axes,
    }


@pytest.mark.parametrize("name", ["max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad"])
def test_samples(name):
    for arrays, attrs in samples()[name]:
        check(name, [a.astype(np.float32) for a in arrays], **attrs)


@pytest.mark.parametrize("given", SHAPES)
def test_the_largest_and_its_gradient(given):
    attrs = {**attributes(*given), "dilation": (1,) * (len(given[0]) - 2)}
    rng = np.random.default_rng(0)
    x = rng.permutation(int(np.prod(given[0]))).reshape(given[0]).astype(np.float32)
    y = OPS["max_pool"].ref(x, **attrs)
    check("max_pool", [x], **attrs)
    check("max_pool_grad", [rng.standard_normal(y.shape, np.float32), x, y], **attrs)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("given", SHAPES)
def test_the_mean_and_its_gradient(given, include):
    axes = len(given[0]) - 2
    attrs = {**attributes(*given), "extra": (0,) * axes, "count_include_pad": include}
    rng = np.random.default_rng(0)
    x = rng.standard_normal(given[0], np.float32)
    y = OPS["avg_pool"].ref(x, **attrs)
    check("avg_pool", [x], **attrs)
    g = rng.standard_normal(y.shape, np.float32)
    check("avg_pool_grad", [g], size=given[0][2:], **attrs)


def test_of_equals_the_first_gets_the_gradient():
    attrs = {**attributes((1, 1, 4), 2, 2, 0), "dilation": (1,)}
    x, y = np.ones((1, 1, 4), np.float32), np.ones((1, 1, 2), np.float32)
    arrays = [np.array([[[3, 5]]], np.float32), x, y]
    (found,) = run(of_op("max_pool_grad", arrays, **attrs), arrays)
    np.testing.assert_array_equal(found, [[[3, 0, 5, 0]]])


@pytest.mark.parametrize("stride", [1, 2])
def test_of_equals_in_many_windows_the_first_gets_the_gradient(stride):
    attrs = {**attributes((2, 3, 9, 40), 2, stride, 0), "dilation": (1, 1)}
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 9, 40)).astype(np.float32)
    y = OPS["max_pool"].ref(x, **attrs)
    g = np.random.default_rng(1).standard_normal(y.shape, np.float32)
    check("max_pool_grad", [g, x, y], **attrs)


def test_nan_is_the_largest():
    attrs = {**attributes((1, 1, 4), 2, 2, 0), "dilation": (1,)}
    x = np.array([[[np.nan, 1, 2, np.nan]]], np.float32)
    (found,) = run(of_op("max_pool", [x], **attrs), [x])
    assert np.isnan(found).all()


@pytest.mark.parametrize("stride", [2, 3])
def test_nan_is_the_largest_of_many(stride):
    attrs = {**attributes((1, 2, 12, 50), 3, stride, 0), "dilation": (1, 1)}
    x = np.random.default_rng(0).standard_normal((1, 2, 12, 50), np.float32)
    x[x > 1.2] = np.nan
    (found,) = run(of_op("max_pool", [x], **attrs), [x])
    np.testing.assert_array_equal(found, OPS["max_pool"].ref(x, **attrs))
