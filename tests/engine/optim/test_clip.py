"""Clipping against NumPy."""

import numpy as np
import pytest

from engine.errors import GradientError
from engine.optim import clip_by_norm, clip_by_value, global_norm
from engine.tensor import Tensor


def tensors(dtype: str = "float64") -> list[Tensor]:
    rng = np.random.default_rng(0)
    return [Tensor(rng.normal(size=shape).astype(dtype)) for shape in [(3, 2), (4,), ()]]


def norm_of(tensors: list[Tensor]) -> float:
    return float(np.linalg.norm(np.concatenate([t.numpy().ravel() for t in tensors])))


def test_the_norm_is_that_of_all_gradients_together() -> None:
    assert float(global_norm(tensors()).numpy()) == pytest.approx(norm_of(tensors()))


def test_gradients_above_the_limit_are_scaled_to_it() -> None:
    clipped, norm = clip_by_norm(tensors(), 0.5)
    assert float(norm.numpy()) == pytest.approx(norm_of(tensors()))
    assert norm_of(clipped) == pytest.approx(0.5)
    for before, after in zip(tensors(), clipped, strict=True):
        np.testing.assert_allclose(after.numpy() * norm_of(tensors()), before.numpy() * 0.5)


def test_gradients_below_the_limit_stay_as_they_are() -> None:
    clipped, _ = clip_by_norm(tensors("float32"), 100.0)
    for before, after in zip(tensors("float32"), clipped, strict=True):
        assert after.numpy().tobytes() == before.numpy().tobytes()


def test_no_gradient_at_all_stays_zero() -> None:
    clipped, norm = clip_by_norm([Tensor(np.zeros(3))], 1.0)
    assert float(norm.numpy()) == 0.0
    np.testing.assert_array_equal(clipped[0].numpy(), 0.0)


def test_a_norm_that_is_not_a_number_shows() -> None:
    clipped, norm = clip_by_norm([Tensor(np.array([1.0, np.nan])), Tensor(np.ones(2))], 1.0)
    assert np.isnan(norm.numpy())
    assert np.isnan(clipped[1].numpy()).all()


def test_values_are_held_between_the_limits() -> None:
    (found,) = clip_by_value([Tensor(np.array([-3.0, -0.1, 0.2, 9.0]))], 0.5)
    np.testing.assert_array_equal(found.numpy(), [-0.5, -0.1, 0.2, 0.5])


def test_limits_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_norm"):
        clip_by_norm(tensors(), 0.0)
    with pytest.raises(ValueError, match="limit"):
        clip_by_value(tensors(), float("nan"))
    with pytest.raises(GradientError, match="at least one"):
        global_norm([])
