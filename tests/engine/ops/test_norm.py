from typing import Any

import numpy as np
import pytest

import engine
from engine.dispatch import apply
from engine.errors import DtypeError, ShapeError
from engine.testing import gradcheck, gradgradcheck


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


NORMS: list[tuple[str, Any, tuple[int, ...], tuple[int, ...]]] = [
    ("batch", lambda x, w, b: engine.batch_norm(x, w, b)[0], (4, 3, 2, 2), (3,)),
    ("group", lambda x, w, b: engine.group_norm(x, 2, w, b), (2, 4, 3), (4,)),
    ("layer", lambda x, w, b: engine.layer_norm(x, w, b, dims=2), (2, 3, 4), (3, 4)),
    ("rms", lambda x, w, b: engine.rms_norm(x, w) + b, (2, 3, 4), (4,)),
]


@pytest.mark.parametrize(("name", "run", "shape", "weight"), NORMS)
def test_both_orders_of_gradient(name: str, run: Any, shape: Any, weight: Any) -> None:
    inputs = array(*shape), array(*weight, seed=1), array(*weight, seed=2)
    if name in ("batch", "group"):
        gradcheck(run, inputs)
        gradgradcheck(run, inputs)
    else:
        gradcheck(run, inputs)
        gradgradcheck(run, inputs, wanted=[0, 1])


def test_statistics_carry_gradients() -> None:
    gradcheck(lambda x: engine.batch_norm(x)[1:], [array(4, 3, 2)])
    gradgradcheck(lambda x: engine.batch_norm(x)[2], [array(4, 3, 2)])
    gradcheck(lambda x: apply("rms_norm", x, dims=1, eps=0.0)[2], [array(2, 3)])


def test_a_large_mean_costs_no_accuracy() -> None:
    x = array(64, 8, 16, 16) + 300
    wide = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    got = engine.batch_norm(engine.tensor(x.astype("f")))[0].numpy()
    np.testing.assert_allclose(got, wide, atol=2e-4)


def test_inference_uses_the_statistics_it_is_given() -> None:
    x, mean, var = array(2, 3, 4), array(3, seed=1), array(3, seed=2) ** 2
    w, b = array(3, seed=3), array(3, seed=4)
    got = engine.batch_norm_inference(*map(engine.tensor, (x, mean, var, w, b)), eps=1e-3)
    line = [a[:, None] for a in (mean, var, w, b)]
    expected = (x - line[0]) / np.sqrt(line[1] + 1e-3) * line[2] + line[3]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    gradcheck(lambda *ts: engine.batch_norm_inference(*ts), [x, mean, var, w, b])


def test_float16_keeps_its_statistics_in_float32() -> None:
    x = (array(512, 64) * 50).astype("f2")
    got = engine.layer_norm(engine.tensor(x))
    assert got.dtype == np.float16
    wide = engine.layer_norm(engine.tensor(x.astype("f")))
    np.testing.assert_allclose(got.numpy(), wide.numpy(), atol=2e-3)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ShapeError, match=r"the channels of .* do not part into 3 groups"):
        engine.group_norm(engine.ones(2, 4, 5), 3)
    with pytest.raises(ShapeError, match=r"layer_norm: the weight .* must have the shape \[4\]"):
        engine.layer_norm(engine.ones(2, 4), engine.ones(3))
    with pytest.raises(ShapeError, match="one value a channel; a variance needs two"):
        engine.batch_norm(engine.ones(1, 4))
    with pytest.raises(DtypeError, match=r"layer_norm: int64.* holds no floats"):
        engine.layer_norm(engine.arange(4))
