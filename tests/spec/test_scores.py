"""Scores of a part are those that scikit-learn finds, whatever the batches."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics as reference

from spec import metrics
from spec.data.config import DataSpec
from spec.data.prepare import Prepared, prepare
from spec.data.tables import numbers
from spec.scores import Scores
from tests.spec.tables import table

DRAW = np.random.default_rng(3)


def prepared(target: dict[str, object], values: np.ndarray) -> Prepared:
    data = {"dataset": "d", "inputs": {"x": {"type": "number"}}, "target": target}
    columns = {"x": numbers(DRAW.normal(size=len(values))), "y": numbers(values)}
    return prepare(table(columns), DataSpec.model_validate(data))


def scored(found: Prepared, outputs: np.ndarray, target: np.ndarray, size: int) -> dict[str, float]:
    scores = Scores(found.fitted)
    for start in range(0, len(outputs), size):
        part = slice(start, start + size)
        losses = -log_softmax(outputs[part], axis=1)[:, 0]
        scores.update(outputs[part], target[part], losses)
    return scores.compute()


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_categories(classes: int, size: int) -> None:
    labels = np.arange(300) % classes
    outputs = DRAW.normal(size=(300, classes)).astype(np.float32)
    outputs[np.arange(300), labels] += 1
    found = scored(prepared({"type": "category", "column": "y"}, labels), outputs, labels, size)
    assert list(found) == metrics.names("category", classes)
    best = outputs.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, best))
    assert found["f1"] == pytest.approx(reference.f1_score(labels, best, average="macro"))
    assert found["loss"] == pytest.approx(-log_softmax(outputs, axis=1)[:, 0].mean(), rel=1e-5)
    if classes == 2:
        second = outputs[:, 1] - outputs[:, 0]
        assert found["auroc"] == pytest.approx(reference.roc_auc_score(labels, second))
        expected = reference.average_precision_score(labels, second)
        assert found["average_precision"] == pytest.approx(expected)
    if classes == 12:
        top = reference.top_k_accuracy_score(labels, outputs, k=5)
        assert found["top5_accuracy"] == pytest.approx(top)


@pytest.mark.parametrize("normalize", ["none", "standard", "minmax"])
def test_numbers_in_their_own_units(normalize: str) -> None:
    values = DRAW.normal(50, 20, size=200)
    found = prepared({"type": "number", "column": "y", "normalize": normalize}, values)
    target = found.train.arrays()["target"]
    outputs = target + DRAW.normal(0, 0.1, size=target.shape).astype(np.float32)
    scale = found.fitted.target.scale  # type: ignore[union-attr]
    own, guess = scale.undo(target), scale.undo(outputs)
    got = scored(found, outputs, target, 64)
    assert list(got) == metrics.names("number", None)
    assert got["mse"] == pytest.approx(reference.mean_squared_error(own, guess), rel=1e-6)
    assert got["mae"] == pytest.approx(reference.mean_absolute_error(own, guess), rel=1e-6)
    assert got["r2"] == pytest.approx(reference.r2_score(own, guess), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("validation/loss", "min"),
        ("validation/mae", "min"),
        ("validation/accuracy", "max"),
        ("validation/top5_accuracy", "max"),
        ("validation/auroc", "max"),
        ("validation/r2", "max"),
    ],
)
def test_which_way_is_better(metric: str, direction: str) -> None:
    assert metrics.direction(metric) == direction
