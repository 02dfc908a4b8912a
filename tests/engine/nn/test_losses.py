"""Every loss, walked: the formula in NumPy, its gradient, its reductions, PyTorch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

from engine import nn
from engine.errors import EngineError
from engine.ir.graph import TensorType
from engine.ir.trace import abstract
from engine.tensor import Tensor

RNG = np.random.default_rng(0)
N, C = 6, 4
SCORES = RNG.normal(size=(N, C)) * 2
MAPS = RNG.normal(size=(2, C, 3, 5))
CLASSES = np.array([0, 3, 1, 2, 3, 0])
PLACES = RNG.integers(0, C, (2, 3, 5))
SOFT = RNG.dirichlet(np.ones(C), N)
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])
GOAL = RNG.normal(size=(N, C)) * 2
CHANCES = special.expit(SCORES)
ANSWERS = RNG.integers(0, 2, (N, C)).astype(float)


def picked(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.take_along_axis(special.log_softmax(x, 1), t[:, None], 1)[:, 0]


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(abs(d) < delta, d**2 / 2, delta * (abs(d) - delta / 2))


def logits(x: np.ndarray, t: np.ndarray, positive: Any = 1.0) -> np.ndarray:
    p = special.expit(x)
    return -(positive * t * np.log(p) + (1 - t) * np.log(1 - p))


def smoothed(x: np.ndarray, t: np.ndarray, s: float, w: np.ndarray) -> np.ndarray:
    logs = special.log_softmax(x, 1)
    return -(1 - s) * w[t] * picked(x, t) - s / C * (logs * w).sum(1)


class Case(NamedTuple):
    """`formula` gives the loss of each place; `mean` what "mean" is, where not their mean."""

    kind: str
    options: dict[str, Any]
    x: np.ndarray
    target: np.ndarray
    formula: Callable[[np.ndarray, np.ndarray], np.ndarray]
    mean: Callable[[np.ndarray], float] = np.mean
    torch: bool = True


CASES = [
    Case("MSELoss", {}, SCORES, GOAL, lambda x, t: (x - t) ** 2),
    Case("L1Loss", {}, SCORES, GOAL, lambda x, t: abs(x - t)),
    Case("SmoothL1Loss", {"beta": 0.5}, SCORES, GOAL, lambda x, t: huber(x - t, 0.5) / 0.5),
    Case("SmoothL1Loss", {"beta": 0.0}, SCORES, GOAL, lambda x, t: abs(x - t)),
    Case("HuberLoss", {"delta": 0.7}, SCORES, GOAL, lambda x, t: huber(x - t, 0.7)),
    Case(
        "QuantileLoss",
        {"q": 0.9},
        SCORES,
        GOAL,
        lambda x, t: np.maximum(0.9 * (t - x), -0.1 * (t - x)),
        torch=False,
    ),
    Case("LogCoshLoss", {}, SCORES, GOAL, lambda x, t: np.log(np.cosh(x - t)), torch=False),
    Case(
        "BCELoss",
        {},
        CHANCES,
        ANSWERS,
        lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
    ),
    Case("BCEWithLogitsLoss", {}, SCORES, ANSWERS, logits),
    Case("BCEWithLogitsLoss", {}, SCORES, SOFT, logits),
    Case(
        "BCEWithLogitsLoss",
        {"pos_weight": WEIGHT, "weight": WEIGHT + 1},
        SCORES,
        ANSWERS,
        lambda x, t: logits(x, t, WEIGHT) * (WEIGHT + 1),
    ),
    Case("CrossEntropyLoss", {}, SCORES, CLASSES, lambda x, t: -picked(x, t)),
    Case("CrossEntropyLoss", {}, MAPS, PLACES, lambda x, t: -picked(x, t)),
    Case(
        "CrossEntropyLoss",
        {"weight": WEIGHT, "label_smoothing": 0.1},
        SCORES,
        CLASSES,
        lambda x, t: smoothed(x, t, 0.1, WEIGHT),
        lambda each: each.sum() / WEIGHT[CLASSES].sum(),
    ),
    Case(
        "CrossEntropyLoss",
        {"ignore_index": 3},
        SCORES,
        CLASSES,
        lambda x, t: np.where(t == 3, 0.0, -picked(x, t)),
        lambda each: each.sum() / (CLASSES != 3).sum(),
    ),
    Case(
        "CrossEntropyLoss",
        {},
        SCORES,
        SOFT,
        lambda x, t: -(t * special.log_softmax(x, 1)).sum(1),
    ),
    Case(
        "NLLLoss",
        {"weight": WEIGHT, "ignore_index": 0},
        special.log_softmax(SCORES, 1),
        CLASSES,
        lambda x, t: np.where(t == 0, 0.0, -WEIGHT[t] * x[np.arange(N), t]),
        lambda each: each.sum() / WEIGHT[CLASSES][CLASSES != 0].sum(),
    ),
    Case(
        "KLDivLoss",
        {},
        special.log_softmax(SCORES, 1),
        SOFT,
        lambda x, t: t * (np.log(t) - x),
    ),
    Case(
        "KLDivLoss",
        {"log_target": True},
        special.log_softmax(SCORES, 1),
        np.log(SOFT),
        lambda x, t: np.exp(t) * (t - x),
    ),
    Case(
        "FocalLoss",
        {"gamma": 1.5, "weight": WEIGHT, "ignore_index": 2},
        SCORES,
        CLASSES,
        lambda x, t: np.where(
            t == 2, 0.0, -WEIGHT[t] * (1 - np.exp(picked(x, t))) ** 1.5 * picked(x, t)
        ),
        lambda each: each.sum() / (CLASSES != 2).sum(),
        torch=False,
    ),
    Case("FocalLoss", {"gamma": 0.0}, MAPS, PLACES, lambda x, t: -picked(x, t), torch=False),
    Case(
        "SigmoidFocalLoss",
        {},
        SCORES,
        ANSWERS,
        lambda x, t: (
            np.where(t == 1, 0.25, 0.75)
            * (1 - np.where(t == 1, special.expit(x), special.expit(-x))) ** 2
            * logits(x, t)
        ),
        torch=False,
    ),
    Case(
        "SigmoidFocalLoss",
        {"alpha": None, "gamma": 1.0},
        SCORES,
        ANSWERS,
        lambda x, t: (1 - np.where(t == 1, special.expit(x), special.expit(-x))) * logits(x, t),
        torch=False,
    ),
]


def name_of(case: Case) -> str:
    return f"{case.kind}({', '.join(f'{k}={v}' for k, v in case.options.items())})"


WALK = pytest.mark.parametrize("case", CASES, ids=name_of)


def test_the_cases_walk_every_loss() -> None:
    losses = {name for name in nn.__all__ if name.endswith("Loss")}
    assert {case.kind for case in CASES} == losses


@WALK
def test_a_loss_is_its_formula_however_reduced(case: Case) -> None:
    each = case.formula(case.x, case.target)
    for reduction, expected in (
        ("none", each),
        ("sum", each.sum()),
        ("mean", case.mean(each)),
    ):
        loss = getattr(nn, case.kind)(reduction=reduction, **case.options)
        found = loss(Tensor(case.x), Tensor(case.target))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@WALK
def test_float32_stays_float32_and_traces(case: Case) -> None:
    x = case.x.astype(np.float32)
    target = case.target.astype(np.float32) if case.target.dtype.kind == "f" else case.target
    loss = getattr(nn, case.kind)(**case.options)
    types = [TensorType(a.shape, a.dtype) for a in (x, target)]
    assert abstract(loss, *types) == TensorType((), np.dtype("float32"))
    found = loss(Tensor(x), Tensor(target))
    expected = case.mean(case.formula(case.x, case.target))
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5)


@WALK
def test_its_gradient_is_that_of_differences(case: Case) -> None:
    loss = getattr(nn, case.kind)(**case.options)
    x = Tensor(case.x.copy(), requires_grad=True)
    target = Tensor(case.target)
    loss(x, target).backward()
    assert x.grad is not None
    way = np.random.default_rng(1).normal(size=case.x.shape)
    step = 1e-6
    above = loss(Tensor(case.x + step * way), target).item()
    below = loss(Tensor(case.x - step * way), target).item()
    slope = float((x.grad.numpy() * way).sum())
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("case", [c for c in CASES if c.torch], ids=name_of)
def test_it_is_the_loss_of_pytorch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    options = {
        k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in case.options.items()
    }
    for reduction in ("none", "sum", "mean"):
        theirs = getattr(torch.nn, case.kind)(reduction=reduction, **options)
        ours = getattr(nn, case.kind)(reduction=reduction, **case.options)
        expected = theirs(torch.tensor(case.x), torch.tensor(case.target)).numpy()
        found = ours(Tensor(case.x), Tensor(case.target)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_divergence_over_a_batch() -> None:
    logs = special.log_softmax(SCORES, 1)
    found = nn.KLDivLoss("batchmean")(Tensor(logs), SOFT).item()
    assert found == pytest.approx(special.rel_entr(SOFT, np.exp(logs)).sum() / N)


@pytest.mark.parametrize("kind", ["BCEWithLogitsLoss", "SigmoidFocalLoss", "LogCoshLoss"])
def test_huge_scores_give_finite_losses_and_gradients(kind: str) -> None:
    x = Tensor(np.array([800.0, -800.0, 800.0]), requires_grad=True)
    loss = getattr(nn, kind)(reduction="sum")(x, np.array([1.0, 0.0, 0.0]))
    loss.backward()
    assert np.isfinite(loss.item())
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_certain_answer_gives_a_focal_loss_a_finite_gradient(gamma: float) -> None:
    x = Tensor(np.array([[500.0, 0.0], [0.0, 0.0]]), requires_grad=True)
    nn.FocalLoss(gamma)(x, np.array([0, 1])).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()


def test_weights_of_a_loss_are_no_part_of_the_state() -> None:
    assert nn.CrossEntropyLoss(weight=[1, 2]).state_dict() == {}


@pytest.mark.parametrize("kind", ["MSELoss", "L1Loss", "HuberLoss", "BCEWithLogitsLoss"])
def test_shapes_that_would_broadcast_by_accident_are_refused(kind: str) -> None:
    with pytest.raises(EngineError, match=r"float32\[4, 1\].*float32\[4\]"):
        getattr(nn, kind)()(Tensor(np.zeros((4, 1), np.float32)), np.zeros(4, np.float32))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("MSELoss", {"reduction": "average"}, "reduction must be one of mean, sum, none"),
        ("CrossEntropyLoss", {"label_smoothing": 1.5}, "label_smoothing must be"),
        ("HuberLoss", {"delta": 0.0}, "delta must be above 0"),
        ("QuantileLoss", {"q": 1.0}, "q must be between"),
        ("FocalLoss", {"gamma": -1.0}, "gamma must be 0 or more"),
        ("SigmoidFocalLoss", {"alpha": 2.0}, "alpha must be"),
    ],
)
def test_options_out_of_range_are_refused(kind: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(nn, kind)(**options)
