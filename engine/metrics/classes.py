"""Metrics of predicted classes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from engine.metrics.metric import (
    Metric,
    State,
    array,
    by_class,
    checked_labels,
    ratio,
    same_shape,
)

Average = Literal["macro", "weighted", "micro"]
AVERAGES = ("macro", "weighted", "micro")


def predicted(
    kind: str, outputs: Any, targets: Any, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted classes, labels), flat.

    outputs [N, C, ...]: the class of the highest score. Floats of the targets' shape: 1 where
    above the threshold. Whole numbers of the targets' shape: classes already.
    """
    scores, labels = array(outputs), array(targets)
    if scores.ndim == labels.ndim + 1 and scores.shape[1] > 1:
        rows, flat = by_class(kind, scores, labels)
        return rows.argmax(axis=1), flat
    scores, labels = same_shape(kind, scores, labels)
    classes = scores > threshold if scores.dtype.kind == "f" else scores
    return classes.reshape(-1).astype(np.int64), labels.reshape(-1).astype(np.int64)


class Accuracy(Metric):
    """The part of the predictions that are right.

    outputs: scores [N, C, ...] of which the highest counts; or floats of the targets' shape, class
        1 where above `threshold` (0 for logits; give 0.5 for probabilities); or classes.
    ignore_index: targets of this class do not count.
    """

    def __init__(self, *, threshold: float = 0.0, ignore_index: int | None = None) -> None:
        self.threshold = threshold
        self.ignore_index = ignore_index
        super().__init__()

    def zero(self) -> State:
        return {"right": np.zeros((), np.int64), "count": np.zeros((), np.int64)}

    def update(self, outputs: Any, targets: Any) -> None:
        classes, labels = predicted("Accuracy", outputs, targets, self.threshold)
        counted = labels != self.ignore_index
        self.add(right=((classes == labels) & counted).sum(), count=counted.sum())

    def compute(self) -> float:
        return ratio(self.total("right"), self.total("count"))


class TopK(Metric):
    """The part of the targets that are among the k highest scores; outputs [N, C, ...].

    Among equal scores the lower class comes first. A target whose score is NaN is wrong.
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        self.k = k
        super().__init__()

    def zero(self) -> State:
        return {"right": np.zeros((), np.int64), "count": np.zeros((), np.int64)}

    def update(self, outputs: Any, targets: Any) -> None:
        scores, labels = by_class("TopK", outputs, targets)
        checked_labels("TopK", labels, scores.shape[1])
        own = np.take_along_axis(scores, labels[:, None], axis=1)
        earlier = np.arange(scores.shape[1]) < labels[:, None]
        before = (scores > own) | ((scores == own) & earlier)
        right = (before.sum(axis=1) < self.k) & ~np.isnan(own[:, 0])
        self.add(right=right.sum(), count=labels.size)

    def compute(self) -> float:
        return ratio(self.total("right"), self.total("count"))


class ConfusionMatrix(Metric):
    """How often each class was taken for which: matrix[target, prediction].

    outputs and targets are those of Accuracy. `compute()` is the accuracy; `matrix`, `precision`,
    `recall` and `f1` tell more. Averages leave out classes that neither occur nor are predicted,
    and count 0 / 0 as 0, as in scikit-learn.
    """

    def __init__(self, classes: int, *, threshold: float = 0.0) -> None:
        if classes < 2:
            raise ValueError(f"classes must be 2 or more, got {classes}")
        self.classes = classes
        self.threshold = threshold
        super().__init__()

    def zero(self) -> State:
        return {"matrix": np.zeros((self.classes, self.classes), np.int64)}

    def update(self, outputs: Any, targets: Any) -> None:
        found, labels = predicted("ConfusionMatrix", outputs, targets, self.threshold)
        checked_labels("ConfusionMatrix", found, self.classes)
        checked_labels("ConfusionMatrix", labels, self.classes)
        cells = np.bincount(labels * self.classes + found, minlength=self.classes**2)
        self.add(matrix=cells.reshape(self.classes, self.classes))

    @property
    def matrix(self) -> np.ndarray:
        return np.array(self._totals["matrix"])

    def compute(self) -> float:
        return ratio(float(np.trace(self.matrix)), float(self.matrix.sum()))

    def precision(self, average: Average = "macro") -> float:
        """Of what was predicted as a class, the part that is."""
        return self._average(self.scores()["precision"], average)

    def recall(self, average: Average = "macro") -> float:
        """Of what is a class, the part that was predicted so."""
        return self._average(self.scores()["recall"], average)

    def f1(self, average: Average = "macro") -> float:
        """The harmonic mean of precision and recall, class by class, then averaged."""
        return self._average(self.scores()["f1"], average)

    def scores(self) -> dict[str, np.ndarray]:
        """Precision, recall and f1 of every class."""
        matrix = self.matrix
        right = np.diag(matrix).astype(np.float64)
        said, is_ = matrix.sum(axis=0), matrix.sum(axis=1)
        return {
            "precision": right / np.maximum(said, 1),
            "recall": right / np.maximum(is_, 1),
            "f1": 2.0 * right / np.maximum(said + is_, 1),
        }

    def _average(self, scores: np.ndarray, average: Average) -> float:
        matrix = self.matrix
        support = matrix.sum(axis=1)
        if matrix.sum() == 0:
            return float("nan")
        if average == "micro":  # every example has one class, so all three are the accuracy
            return ratio(float(np.trace(matrix)), float(matrix.sum()))
        if average == "weighted":
            return float((scores * support).sum() / support.sum())
        return float(scores[(support + matrix.sum(axis=0)) > 0].mean())


class Precision(ConfusionMatrix):
    """Precision as a metric of its own."""

    average: Average = "macro"

    def __init__(self, classes: int, *, average: Average = "macro", threshold: float = 0.0) -> None:
        super().__init__(classes, threshold=threshold)
        if average not in AVERAGES:
            raise ValueError(f"average must be macro, weighted or micro, got {average!r}")
        self.average = average

    def compute(self) -> float:
        return self._average(self.scores()["precision"], self.average)


class Recall(Precision):
    """Recall as a metric of its own."""

    def compute(self) -> float:
        return self._average(self.scores()["recall"], self.average)


class F1(Precision):
    """F1 as a metric of its own."""

    def compute(self) -> float:
        return self._average(self.scores()["f1"], self.average)
