"""Every metric, walked: scikit-learn's number, in one batch or many, merged or restored."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from engine import metrics
from engine.errors import ShapeError, StateError
from engine.metrics import (
    AUROC,
    F1,
    MAE,
    MSE,
    R2,
    RMSE,
    Accuracy,
    AveragePrecision,
    ConfusionMatrix,
    LogLoss,
    Mean,
    Metric,
    Perplexity,
    Precision,
    Recall,
    TopK,
)
from engine.tensor import Tensor

RNG = np.random.default_rng(0)
N, C = 200, 5
LABELS = RNG.choice(C, N, p=[0.4, 0.3, 0.15, 0.1, 0.05])
LOGITS = (RNG.normal(size=(N, C)) + 1.5 * np.eye(C)[LABELS]).round(1).astype(np.float32)
PROBABILITIES = np.exp(LOGITS.astype(float)) / np.exp(LOGITS.astype(float)).sum(1, keepdims=True)
BINARY = RNG.integers(0, 2, N)
SCORES = (RNG.normal(size=N) + BINARY).round(1)  # rounded: many scores are equal
CHANCES = 1 / (1 + np.exp(-SCORES))
WANTED = RNG.normal(1e4, 3.0, size=N)
GUESSED = WANTED + RNG.normal(size=N)
COLUMNS = RNG.normal([0, 50, -1e3], [1, 2, 3], size=(N, 3))
NEAR = COLUMNS + RNG.normal(size=(N, 3))

Case = tuple[Callable[[], Any], np.ndarray, np.ndarray, Callable[[], float]]
CASES: dict[str, Case] = {
    "accuracy": (Accuracy, LOGITS, LABELS, lambda: sk.accuracy_score(LABELS, LOGITS.argmax(1))),
    "binary accuracy": (Accuracy, SCORES, BINARY, lambda: sk.accuracy_score(BINARY, SCORES > 0)),
    "accuracy of probabilities": (
        lambda: Accuracy(threshold=0.3),
        CHANCES,
        BINARY,
        lambda: sk.accuracy_score(BINARY, CHANCES > 0.3),
    ),
    "accuracy of classes": (
        Accuracy,
        LOGITS.argmax(1),
        LABELS,
        lambda: sk.accuracy_score(LABELS, LOGITS.argmax(1)),
    ),
    "accuracy ignoring": (
        lambda: Accuracy(ignore_index=0),
        LOGITS,
        LABELS,
        lambda: sk.accuracy_score(LABELS[LABELS > 0], LOGITS[LABELS > 0].argmax(1)),
    ),
    "top 1": (lambda: TopK(1), LOGITS, LABELS, lambda: float((LOGITS.argmax(1) == LABELS).mean())),
    "top 3": (
        lambda: TopK(3),
        RNG.permuted(np.tile(np.arange(C), (N, 1)), axis=1),
        LABELS,
        lambda: sk.top_k_accuracy_score(LABELS, CASES["top 3"][1], k=3),
    ),
    "confusion": (
        lambda: ConfusionMatrix(C),
        LOGITS,
        LABELS,
        lambda: sk.accuracy_score(LABELS, LOGITS.argmax(1)),
    ),
    **{
        f"{average} {kind.__name__}": (
            lambda kind=kind, average=average: kind(C, average=average),
            LOGITS,
            LABELS,
            lambda score=score, average=average: score(
                LABELS, LOGITS.argmax(1), average=average, zero_division=0
            ),
        )
        for kind, score in [
            (Precision, sk.precision_score),
            (Recall, sk.recall_score),
            (F1, sk.f1_score),
        ]
        for average in ("macro", "weighted", "micro")
    },
    "AUROC": (AUROC, SCORES, BINARY, lambda: sk.roc_auc_score(BINARY, SCORES)),
    "AUROC of a column": (
        AUROC,
        SCORES[:, None],
        BINARY[:, None],
        lambda: sk.roc_auc_score(BINARY, SCORES),
    ),
    "AUROC of two columns": (
        AUROC,
        np.stack([0 * SCORES, SCORES], 1),
        BINARY,
        lambda: sk.roc_auc_score(BINARY, SCORES),
    ),
    "AUROC of classes": (
        AUROC,
        LOGITS,
        LABELS,
        lambda: sk.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr"),
    ),
    "average precision": (
        AveragePrecision,
        SCORES,
        BINARY,
        lambda: sk.average_precision_score(BINARY, SCORES),
    ),
    "average precision of classes": (
        lambda: AveragePrecision(from_logits=False),
        PROBABILITIES,
        LABELS,
        lambda: sk.average_precision_score(np.eye(C)[LABELS], PROBABILITIES),
    ),
    "log loss": (LogLoss, LOGITS, LABELS, lambda: sk.log_loss(LABELS, PROBABILITIES)),
    "log loss of probabilities": (
        lambda: LogLoss(from_logits=False),
        PROBABILITIES,
        LABELS,
        lambda: sk.log_loss(LABELS, PROBABILITIES),
    ),
    "binary log loss": (LogLoss, SCORES, BINARY, lambda: sk.log_loss(BINARY, CHANCES)),
    "binary log loss of probabilities": (
        lambda: LogLoss(from_logits=False),
        CHANCES,
        BINARY,
        lambda: sk.log_loss(BINARY, CHANCES),
    ),
    "MSE": (MSE, GUESSED, WANTED, lambda: sk.mean_squared_error(WANTED, GUESSED)),
    "RMSE": (RMSE, GUESSED, WANTED, lambda: sk.root_mean_squared_error(WANTED, GUESSED)),
    "MAE": (MAE, GUESSED[:, None], WANTED, lambda: sk.mean_absolute_error(WANTED, GUESSED)),
    "R2": (R2, GUESSED, WANTED, lambda: sk.r2_score(WANTED, GUESSED)),
    "R2 of columns": (R2, NEAR, COLUMNS, lambda: sk.r2_score(COLUMNS, NEAR)),
    "mean": (Mean, SCORES, np.ones(N), lambda: float(SCORES.mean())),
    "weighted mean": (
        Mean,
        SCORES,
        CHANCES,
        lambda: float(np.average(SCORES, weights=CHANCES)),
    ),
    "perplexity": (Perplexity, CHANCES, np.ones(N), lambda: float(np.exp(CHANCES.mean()))),
}


def batches(case: str, sizes: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    _, outputs, targets, _ = CASES[case]
    edges = np.cumsum([0, *sizes])
    assert edges[-1] == N
    return [(outputs[a:b], targets[a:b]) for a, b in pairwise(edges)]


def counted(case: str, sizes: list[int]) -> Metric:
    metric = CASES[case][0]()
    for outputs, targets in batches(case, sizes):
        metric.update(outputs, targets)
    return metric


def test_the_cases_below_walk_every_metric() -> None:
    kinds = {k for k in vars(metrics).values() if isinstance(k, type) and issubclass(k, Metric)}
    assert {type(make()) for make, *_ in CASES.values()} == kinds - {Metric}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sizes", [[N], [1, 99, 37, 63]], ids=["whole", "batches"])
def test_a_metric_is_scikit_learns(case: str, sizes: list[int]) -> None:
    assert counted(case, sizes).compute() == pytest.approx(CASES[case][3](), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_merged_halves_are_the_whole(case: str) -> None:
    first, second = batches(case, [120, 80])
    one, two = CASES[case][0](), CASES[case][0]()
    one.update(*first)
    two.update(*second)
    merged = CASES[case][0]().merge(one.state()).merge(two.state())
    assert merged.compute() == pytest.approx(CASES[case][3](), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_a_restored_metric_goes_on_to_the_same_number(case: str) -> None:
    whole = counted(case, [120, 80])
    first, second = batches(case, [120, 80])
    one = CASES[case][0]()
    one.update(*first)
    held = one.state()
    one.update(*second)  # a state is a copy: this must not reach it
    two = CASES[case][0]()
    two.update(*second)
    two.restore(held)
    two.update(*second)
    assert two.compute() == whole.compute() == one.compute()


@pytest.mark.parametrize("case", CASES)
def test_before_the_first_example_it_is_nan_and_reset_goes_back_there(case: str) -> None:
    assert np.isnan(CASES[case][0]().compute())
    assert np.isnan(counted(case, [N]).reset().compute())


@pytest.mark.parametrize("case", CASES)
def test_tensors_count_like_arrays(case: str) -> None:
    make, outputs, targets, expected = CASES[case]
    metric = make()
    metric.update(Tensor(outputs), Tensor(targets))
    assert metric.compute() == pytest.approx(expected(), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_state_of_something_else_is_refused_and_changes_nothing(case: str) -> None:
    metric = counted(case, [N])
    before = metric.compute()
    with pytest.raises(StateError, match="keeps"):
        metric.restore({"nothing": np.zeros(1)})
    assert metric.compute() == before


def test_the_matrix_has_targets_in_rows() -> None:
    metric = ConfusionMatrix(C)
    metric.update(LOGITS, LABELS)
    np.testing.assert_array_equal(metric.matrix, sk.confusion_matrix(LABELS, LOGITS.argmax(1)))


def test_scores_of_every_class_are_told() -> None:
    metric = ConfusionMatrix(C)
    metric.update(LOGITS, LABELS)
    expected = sk.precision_recall_fscore_support(LABELS, LOGITS.argmax(1), zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(metric.scores()[name], values)


def test_a_class_that_never_occurs_is_left_out_of_the_average() -> None:
    metric = ConfusionMatrix(9)
    metric.update(LOGITS, LABELS)
    expected = sk.f1_score(LABELS, LOGITS.argmax(1), average="macro")
    assert metric.f1() == pytest.approx(expected)


def test_positions_count_as_examples() -> None:
    scores = RNG.normal(size=(3, 4, 7, 2))
    labels = RNG.integers(0, 4, (3, 7, 2))
    metric = Accuracy()
    metric.update(scores, labels)
    assert metric.compute() == pytest.approx(float((scores.argmax(1) == labels).mean()))


def test_a_rank_with_one_side_only_is_nan() -> None:
    metric = AUROC()
    metric.update(np.array([0.1, 0.2]), np.array([1, 1]))
    assert np.isnan(metric.compute())


def test_a_score_that_is_nan_is_no_success() -> None:
    top = TopK(1)
    top.update(np.array([[np.nan, 1.0]]), np.array([0]))
    assert top.compute() == 0.0
    area = AUROC()
    area.update(np.array([np.nan, 0.0]), np.array([1, 0]))
    assert np.isnan(area.compute())


def test_targets_that_do_not_vary_are_met_or_not() -> None:
    met, missed = R2(), R2()
    met.update(np.ones(3), np.ones(3))
    missed.update(np.zeros(3), np.ones(3))
    assert met.compute() == 1.0
    assert missed.compute() == 0.0


@pytest.mark.parametrize(
    ("make", "outputs", "targets", "message"),
    [
        (Accuracy, np.zeros((3, 2)), np.zeros(4, int), "Accuracy: expected outputs"),
        (Accuracy, np.zeros(3), np.zeros(4), "Accuracy: outputs"),
        (lambda: TopK(2), np.zeros((2, 3)), np.array([0, 3]), "class 3 is not one of 0 to 2"),
        (lambda: ConfusionMatrix(2), np.array([0, 1]), np.array([0, -1]), "class -1"),
        (AUROC, np.zeros((2, 3)), np.array([0, 5]), "class 5"),
        (LogLoss, np.zeros((2, 3)), np.array([0.5, 0.5]), "whole numbers"),
        (MSE, np.zeros((2, 3)), np.zeros(2), "MSE: outputs"),
    ],
)
def test_shapes_and_classes_that_do_not_fit_are_refused(
    make: Callable[[], Any], outputs: np.ndarray, targets: np.ndarray, message: str
) -> None:
    metric = make()
    with pytest.raises(ShapeError, match=message):
        metric.update(outputs, targets)
    assert np.isnan(metric.compute())


@pytest.mark.parametrize("make", [lambda: TopK(0), lambda: ConfusionMatrix(1)])
def test_options_out_of_range_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="or more"):
        make()


def test_an_unknown_average_is_refused() -> None:
    with pytest.raises(ValueError, match="macro, weighted or micro"):
        F1(C, average="harmonic")  # type: ignore[arg-type]
