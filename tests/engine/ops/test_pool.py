from typing import Any

import numpy as np
import pytest

import engine
from engine.errors import ShapeError
from engine.testing import gradcheck


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def windows(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> list[tuple[int, int]]:
    """Start and end of every window along one axis, in unpadded places."""
    starts = range(-padding, size + padding - kernel + 1, stride)
    found = [(start, start + kernel) for start in starts]
    after = found[-1][0] + stride
    if ceil and found[-1][1] < size + padding and after < size:  # one more, over the edge
        found.append((after, after + kernel))
    return found


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("size", [6, 7])
def test_maxima_and_means_are_those_of_their_windows(
    kernel: int, stride: int, padding: int, ceil: bool, size: int
) -> None:
    x = image(2, 3, size)
    spans = windows(size, kernel, stride, padding, ceil)
    inside = [x[..., max(0, a) : b] for a, b in spans]
    tensor = engine.tensor(x)
    top = engine.max_pool(tensor, kernel, stride, padding, ceil_mode=ceil)
    np.testing.assert_array_equal(top.numpy(), np.stack([w.max(-1) for w in inside], -1))
    for include in (True, False):
        got = engine.avg_pool(tensor, kernel, stride, padding, ceil, include)
        counts = [
            min(b, size + padding) - a if include else min(b, size) - max(0, a) for a, b in spans
        ]
        means = [w.sum(-1) / n for w, n in zip(inside, counts, strict=True)]
        np.testing.assert_allclose(got.numpy(), np.stack(means, -1), rtol=1e-12)


def test_the_first_of_equals_gets_the_gradient() -> None:
    x = engine.ones(1, 1, 2, 2).requires_grad_()
    engine.max_pool(x, 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_overlapping_windows_add_up_their_gradients() -> None:
    x = engine.tensor([[[0.0, 5.0, 1.0, 2.0]]], requires_grad=True)
    engine.max_pool(x, 3, 1).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0, 0.0]]]


def test_many_images_are_worked_through_in_parts() -> None:
    x = image(50, 40, 16, 16).astype("f")
    got = engine.max_pool(engine.tensor(x), 2).numpy()
    np.testing.assert_array_equal(got, x.reshape(50, 40, 8, 2, 8, 2).max((3, 5)))
    mean = engine.avg_pool(engine.tensor(x), 2).numpy()
    np.testing.assert_allclose(mean, x.reshape(50, 40, 8, 2, 8, 2).mean((3, 5)), atol=1e-6)


@pytest.mark.parametrize("target", [1, 2, 3, (4, 3), (None, 2)])
def test_adaptive_pools_cut_into_even_bins(target: Any) -> None:
    x = image(2, 3, 7, 6)
    sizes = [target, target] if isinstance(target, int) else list(target)
    sizes = [n if t is None else t for n, t in zip(x.shape[2:], sizes, strict=True)]
    bins = [[(i * n // t, -(-(i + 1) * n // t)) for i in range(t)]
            for n, t in zip(x.shape[2:], sizes, strict=True)]  # fmt: skip
    for run, fold in ((engine.adaptive_avg_pool, np.mean), (engine.adaptive_max_pool, np.max)):
        got = run(engine.tensor(x), target).numpy()
        for i, (a, b) in enumerate(bins[0]):
            for j, (c, d) in enumerate(bins[1]):
                expected = fold(x[:, :, a:b, c:d], axis=(2, 3))
                np.testing.assert_allclose(got[:, :, i, j], expected, rtol=1e-12)


def test_adaptive_pools_differentiate() -> None:
    gradcheck(lambda x: engine.adaptive_avg_pool(x, (3, 2)), [image(1, 2, 5, 5)])
    gradcheck(lambda x: engine.adaptive_max_pool(x, (3, 2)), [image(1, 2, 5, 5)])


def test_global_pools() -> None:
    x = image(2, 3, 4, 5)
    np.testing.assert_allclose(engine.global_avg_pool(engine.tensor(x)).numpy(), x.mean((2, 3)))
    np.testing.assert_allclose(engine.global_max_pool(engine.tensor(x)).numpy(), x.max((2, 3)))


def test_integers_have_a_maximum_too() -> None:
    x = np.arange(-8, 8).reshape(1, 1, 4, 4)
    got = engine.max_pool(engine.tensor(x), 3, 2, 1)
    assert got.tolist() == [[[[-3, -1], [5, 7]]]]


def test_what_does_not_fit_is_named() -> None:
    x = engine.ones(1, 1, 4, 4)
    with pytest.raises(ShapeError, match=r"the window \[5, 5\] is larger than \[4, 4\]"):
        engine.max_pool(x, 5)
    with pytest.raises(ShapeError, match="padding beyond half of the window"):
        engine.avg_pool(x, 2, padding=2)
    with pytest.raises(ShapeError, match=r"\[2, 2, 2\] for 2 axes"):
        engine.max_pool(x, (2, 2, 2))
