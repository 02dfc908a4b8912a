from typing import Any

import numpy as np
import pytest

import engine
from engine.errors import EngineError, ShapeError
from engine.testing import gradcheck


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def linear(line: np.ndarray, target: int, corners: bool) -> np.ndarray:
    """One row resized by NumPy's interpolation between the centres of the pixels."""
    n = len(line)
    if corners:
        places = np.linspace(0, n - 1, target)
    else:
        places = (np.arange(target) + 0.5) * n / target - 0.5
    return np.interp(places, np.arange(n), line)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("target", [1, 3, 5, 8, 11])
def test_linear_is_numpys_interpolation(corners: bool, target: int) -> None:
    x = image(5)
    got = engine.interpolate(
        engine.tensor(x[None, None]), target, mode="linear", align_corners=corners
    )
    expected = x[:1] if corners and target == 1 else linear(x, target, corners)
    np.testing.assert_allclose(got.numpy()[0, 0], expected, rtol=1e-12)


def test_bilinear_works_an_axis_at_a_time() -> None:
    x = image(4, 6)
    got = engine.interpolate(engine.tensor(x[None, None]), (7, 9), mode="bilinear").numpy()[0, 0]
    rows = np.stack([linear(row, 9, False) for row in x])
    np.testing.assert_allclose(got, np.stack([linear(c, 7, False) for c in rows.T], 1), rtol=1e-12)


def test_nearest_repeats_pixels() -> None:
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    got = engine.interpolate(engine.tensor(x), scale=2)
    np.testing.assert_array_equal(got.numpy()[0, 0], np.kron(x[0, 0], np.ones((2, 2))))
    assert engine.interpolate(engine.tensor(image(1, 1, 5)), 3).shape == (1, 1, 3)


def test_area_averages() -> None:
    x = image(1, 2, 4, 4)
    got = engine.interpolate(engine.tensor(x), 2, mode="area")
    np.testing.assert_allclose(got.numpy(), x.reshape(1, 2, 2, 2, 2, 2).mean((3, 5)), rtol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
def test_every_mode_differentiates(mode: str) -> None:
    gradcheck(lambda x: engine.interpolate(x, (5, 3), mode=mode), [image(1, 1, 3, 4)])


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, ShapeError, "either a size or a scale"),
        ({"size": 4, "scale": 2}, ShapeError, "either a size or a scale"),
        ({"size": 4, "mode": "linear"}, EngineError, "mode 'linear' does not fit"),
        ({"size": (1, 2, 3)}, ShapeError, r"to the size \[1, 2, 3\]"),
        ({"size": 0}, ShapeError, r"to the size \[0, 0\]"),
    ],
)
def test_what_does_not_fit_is_named(options: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        engine.interpolate(engine.ones(1, 1, 3, 3), **options)
