from typing import Any

import numpy as np
import pytest
from scipy import special

import engine
from engine.errors import AxisError, DtypeError, EngineError, GradientError, ShapeError
from engine.testing import gradcheck


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def share(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(0.1, 0.9, shape)


X, T = array(4, 3), array(4, 3, seed=1)
TARGET = np.array([[0, 2], [1, -100], [3, 0]])


def _soft(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -(special.log_softmax(x, 1) * t).sum(1)


def test_pointwise_losses_are_their_formulas() -> None:
    x, t, d = engine.tensor(X), engine.tensor(T), X - T
    cases: list[tuple[Any, np.ndarray]] = [
        (engine.mse_loss, d**2),
        (engine.l1_loss, abs(d)),
        (engine.huber_loss, special.huber(1.0, d)),
        (engine.smooth_l1_loss, special.huber(1.0, d)),
        (engine.log_cosh_loss, np.log(np.cosh(d))),
        (engine.quantile_loss, abs(d) / 2),
    ]
    for loss, expected in cases:
        assert loss(x, t).item() == pytest.approx(expected.mean(), rel=1e-12)
        assert loss(x, t, reduction="sum").item() == pytest.approx(expected.sum(), rel=1e-12)
        np.testing.assert_allclose(loss(x, t, reduction="none").numpy(), expected, rtol=1e-10)
    assert engine.smooth_l1_loss(x, t, 0.5).item() == pytest.approx(
        special.huber(0.5, d).mean() * 2
    )
    assert engine.smooth_l1_loss(x, t, 0.0).item() == pytest.approx(abs(d).mean())
    pinball = np.where(d < 0, -0.9 * d, 0.1 * d).mean()
    assert engine.quantile_loss(x, t, 0.9).item() == pytest.approx(pinball)


def test_the_reduction_must_be_known() -> None:
    with pytest.raises(EngineError, match="reduction 'average' is not known; say 'mean'"):
        engine.mse_loss(engine.tensor(X), engine.tensor(T), reduction="average")


def test_predictions_and_targets_must_agree_in_shape() -> None:
    with pytest.raises(ShapeError, match=r"mse_loss: predictions .*4, 3.* targets .*4.* differ"):
        engine.mse_loss(engine.tensor(X), engine.ones(4))


def test_binary_losses_agree_with_each_other() -> None:
    t, weight, positive = share(4, 3), share(4, 3), np.array([2.0, 1.0, 0.5])
    p = special.expit(X)
    plain = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    x, goal = engine.tensor(X), engine.tensor(t)
    got = engine.binary_cross_entropy(engine.tensor(p), goal, reduction="none")
    np.testing.assert_allclose(got.numpy(), plain, rtol=1e-10)
    got = engine.binary_cross_entropy_with_logits(x, goal, reduction="none")
    np.testing.assert_allclose(got.numpy(), plain, rtol=1e-10)
    got = engine.binary_cross_entropy_with_logits(x, goal, engine.tensor(weight), reduction="sum")
    assert got.item() == pytest.approx((plain * weight).sum())
    got = engine.binary_cross_entropy_with_logits(x, goal, pos_weight=engine.tensor(positive))
    expected = -(positive * t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert got.item() == pytest.approx(expected)


def test_certain_probabilities_give_a_finite_loss() -> None:
    p = engine.tensor([0.0, 1.0], requires_grad=True)
    loss = engine.binary_cross_entropy(p, engine.tensor([1.0, 0.0]))
    assert loss.item() == 100.0


def test_divergences() -> None:
    t = share(4, 3)
    logs = special.log_softmax(X, 1)
    expected = t * (np.log(t) - logs)
    x = engine.tensor(logs)
    assert engine.kl_div(x, engine.tensor(t), reduction="sum").item() == pytest.approx(
        expected.sum()
    )
    got = engine.kl_div(x, engine.tensor(np.log(t)), log_target=True, reduction="batchmean")
    assert got.item() == pytest.approx(expected.sum() / 4)
    certain = engine.kl_div(x, engine.tensor(np.eye(4, 3)), reduction="none")
    assert np.isfinite(certain.numpy()).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_means_over_the_weights_that_count(smoothing: float, weighted: bool) -> None:
    x, weight = array(3, 4, 2), np.array([0.5, 1.0, 2.0, 4.0])
    scale = weight if weighted else np.ones(4)
    total = counted = 0.0
    for n, k in np.ndindex(3, 2):
        goal = TARGET[n, k]
        if goal != -100:
            t = np.full(4, smoothing / 4)
            t[goal] += 1 - smoothing
            total += -(special.log_softmax(x[n, :, k]) * t * scale).sum()
            counted += scale[goal]
    given = engine.tensor(weight) if weighted else None
    got = engine.cross_entropy(engine.tensor(x), TARGET, given, label_smoothing=smoothing)
    assert got.item() == pytest.approx(total / counted, rel=1e-12)


def test_cross_entropy_of_probabilities() -> None:
    x, t, weight = array(3, 4), special.softmax(array(3, 4, seed=2), 1), np.arange(1.0, 5)
    got = engine.cross_entropy(engine.tensor(x), engine.tensor(t))
    assert got.item() == pytest.approx(_soft(x, t).mean())
    smooth = engine.cross_entropy(engine.tensor(x), engine.tensor(t), label_smoothing=0.1)
    assert smooth.item() == pytest.approx(_soft(x, 0.9 * t + 0.025).mean())
    heavy = engine.cross_entropy(engine.tensor(x), engine.tensor(t), engine.tensor(weight))
    assert heavy.item() == pytest.approx(_soft(x, t * weight).mean())
    gradcheck(engine.cross_entropy, [x, t])


def test_cross_entropy_of_one_example_and_against_nll() -> None:
    x = array(3, 4)
    one = engine.cross_entropy(engine.tensor(x[0]), 2)
    assert one.shape == ()
    assert one.item() == pytest.approx(-special.log_softmax(x[0])[2])
    target = np.array([1, 3, -1])
    logs = engine.log_softmax(engine.tensor(x), 1)
    for weight in (None, engine.tensor(np.arange(1.0, 5))):
        for reduction in ("mean", "sum"):
            first = engine.cross_entropy(engine.tensor(x), target, weight, -1, reduction)
            second = engine.nll_loss(logs, target, weight, -1, reduction)
            assert first.item() == pytest.approx(second.item(), rel=1e-12)


def test_large_scores_do_not_overflow() -> None:
    x = engine.tensor([[1e4, 0.0], [0.0, -1e4]], requires_grad=True)
    loss = engine.cross_entropy(x, [1, 1])
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0.5, -0.5], [0.5, -0.5]])


def test_where_everything_is_ignored_the_mean_is_not_a_number_and_the_sum_is_zero() -> None:
    x, ignored = engine.tensor(array(2, 3)), [-100, -100]
    assert np.isnan(engine.cross_entropy(x, ignored).item())
    assert engine.cross_entropy(x, ignored, reduction="sum").item() == 0.0


def test_class_weights_have_no_gradient() -> None:
    weight = engine.ones(3).requires_grad_()
    loss = engine.cross_entropy(engine.ones(2, 3), [0, 1], weight, reduction="sum")
    with pytest.raises(GradientError, match="the class weights have no gradient"):
        loss.backward()


def test_what_does_not_fit_is_named() -> None:
    x = engine.ones(2, 3)
    with pytest.raises(AxisError, match="class 3 is not among the 3 classes"):
        engine.cross_entropy(x, [0, 3])
    with pytest.raises(AxisError, match="class -1 is not among"):
        engine.cross_entropy(x, [0, -1])
    with pytest.raises(ShapeError, match=r"must be integers \[2\], not int64\[3\]"):
        engine.cross_entropy(x, [0, 1, 2])
    with pytest.raises(DtypeError, match="must be integers"):
        engine.cross_entropy(x, [True, False])
    with pytest.raises(ShapeError, match="must have 3 numbers"):
        engine.cross_entropy(x, [0, 1], engine.ones(2))
