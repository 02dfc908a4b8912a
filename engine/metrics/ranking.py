"""Metrics of how scores rank examples, and of how probable they make the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import ShapeError
from engine.metrics.metric import (
    Metric,
    State,
    array,
    by_class,
    checked_labels,
    ratio,
    same_shape,
)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log(exp(s) / sum(exp(s))) over the last axis, float64."""
    wide = scores.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


class _Ranked(Metric):
    """Keeps every score and label, since a rank needs them all: 16 bytes an example and class.

    outputs [N, C] with labels 0 to C - 1: one class against the rest, the mean over classes that
    have examples on both sides; logits are turned into probabilities first. outputs [N] or [N, 1]
    with labels 0 and 1: scores of class 1, logits or probabilities alike. [N, 2] counts as binary.
    """

    def __init__(self, *, from_logits: bool = True) -> None:
        self.from_logits = from_logits
        super().__init__()

    def zero(self) -> State:
        return {"scores": np.zeros((0, 0)), "labels": np.zeros(0, np.int64)}

    def combine(self, name: str, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        if mine.ndim > 1 and mine.size and theirs.size and mine.shape[1] != theirs.shape[1]:
            raise ShapeError(
                f"{type(self).__name__}: scores of {theirs.shape[1]} columns, before that "
                f"{mine.shape[1]}"
            )
        return np.concatenate([mine, theirs]) if mine.size else theirs

    def update(self, outputs: Any, targets: Any) -> None:
        kind = type(self).__name__
        scores, labels = array(outputs), array(targets)
        if scores.ndim == 2 and scores.shape[1] > 1:
            scores, labels = by_class(kind, scores, labels)
            checked_labels(kind, labels, scores.shape[1])
            wide = scores.astype(np.float64)
            if scores.shape[1] == 2:
                columns = wide[:, 1:] - wide[:, :1]
            else:
                columns = np.exp(log_softmax(wide)) if self.from_logits else wide
        else:
            scores, labels = same_shape(kind, scores, labels)
            columns = scores.reshape(-1, 1).astype(np.float64)
            checked_labels(kind, labels.astype(np.int64), 2)
        self.add(scores=columns, labels=labels.reshape(-1).astype(np.int64))

    def compute(self) -> float:
        scores, labels = self._totals["scores"], self._totals["labels"]
        if np.isnan(scores).any():
            return float("nan")
        if scores.shape[1] == 1:
            return self.binary(scores[:, 0], labels == 1)
        found = [self.binary(scores[:, c], labels == c) for c in range(scores.shape[1])]
        known = [value for value in found if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def binary(self, scores: np.ndarray, truth: np.ndarray) -> float:
        raise NotImplementedError


class AUROC(_Ranked):
    """Area under the receiver operating characteristic, equal scores counted half.

    It is the chance that a positive scores above a negative: Mann and Whitney (1947). NaN where
    one side is missing.
    """

    def binary(self, scores: np.ndarray, truth: np.ndarray) -> float:
        positives = int(truth.sum())
        negatives = truth.size - positives
        if not positives or not negatives:
            return float("nan")
        _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
        wins = float(ranks[truth].sum()) - positives * (positives + 1) / 2.0
        return wins / (positives * negatives)


class AveragePrecision(_Ranked):
    """sum of (R_n - R_(n-1)) * P_n over falling thresholds, without interpolation.

    NaN where there is no positive.
    """

    def binary(self, scores: np.ndarray, truth: np.ndarray) -> float:
        positives = int(truth.sum())
        if not positives:
            return float("nan")
        order = np.argsort(-scores, kind="stable")
        ranked, falling = truth[order], scores[order]
        ends = np.flatnonzero(np.append(np.diff(falling) != 0.0, True))
        hits = np.cumsum(ranked)[ends]
        precision = hits / (ends + 1.0)
        gained = np.diff(np.concatenate([[0], hits])) / positives
        return float((gained * precision).sum())


class LogLoss(Metric):
    """Mean of -log p(target), in nats.

    outputs [N, C, ...] and classes [N, ...], or scores of class 1 with the shape of the targets,
    which may then be probabilities too. from_logits: whether the outputs are logits or, clipped to
    [eps, 1 - eps] with the eps of float64 as in scikit-learn, probabilities.
    """

    def __init__(self, *, from_logits: bool = True) -> None:
        self.from_logits = from_logits
        super().__init__()

    def zero(self) -> State:
        return {"sum": np.zeros(()), "count": np.zeros((), np.int64)}

    def update(self, outputs: Any, targets: Any) -> None:
        scores, labels = array(outputs), array(targets)
        if scores.ndim == labels.ndim + 1 and scores.shape[1] > 1:
            losses = self._of_classes(scores, labels)
        else:
            losses = self._of_one(*same_shape("LogLoss", scores, labels))
        self.add(sum=losses.sum(), count=losses.size)

    def _of_classes(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        scores, labels = by_class("LogLoss", outputs, targets)
        checked_labels("LogLoss", labels, scores.shape[1])
        logs = log_softmax(scores) if self.from_logits else np.log(_clipped(scores))
        return -np.take_along_axis(logs, labels[:, None], axis=1)[:, 0]

    def _of_one(self, scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
        s, y = scores.astype(np.float64), truth.astype(np.float64)
        if self.from_logits:
            return np.asarray(np.logaddexp(0.0, s) - y * s)
        p = _clipped(s)
        return np.asarray(-(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)))

    def compute(self) -> float:
        return ratio(self.total("sum"), self.total("count"))


def _clipped(probabilities: np.ndarray) -> np.ndarray:
    eps = np.finfo(np.float64).eps
    return np.clip(probabilities.astype(np.float64), eps, 1.0 - eps)
