"""How good a model's outputs are: the metrics of a split, counted batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.metrics import AUROC, F1, MAE, MSE, R2, Accuracy, AveragePrecision, Mean, TopK
from spec.data.fitted import Fitted
from spec.data.numbers import NumberTargetEncoder
from spec.metrics import TOP, names


class Scores:
    """The metrics of a target, by name. Errors of numbers are in the target's own units."""

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._loss = Mean()
        self._metrics = _metrics(fitted.classes)

    def update(self, outputs: np.ndarray, target: np.ndarray, losses: np.ndarray) -> None:
        """Outputs (rows, width), target as it was encoded, and the loss of every row."""
        self._loss.update(losses)
        encoder = self._fitted.target
        if isinstance(encoder, NumberTargetEncoder):
            outputs, target = (
                encoder.scale.undo(np.asarray(one, np.float64).reshape(-1))
                for one in (outputs, target)
            )
        for metric in self._metrics.values():
            metric.update(outputs, target)

    def compute(self) -> dict[str, float]:
        found = {"loss": self._loss, **self._metrics}
        return {name: float(metric.compute()) for name, metric in found.items()}


def _metrics(classes: list[Any] | None) -> dict[str, Any]:
    if classes is None:
        return {"mse": MSE(), "mae": MAE(), "r2": R2()}
    made: dict[str, Any] = {
        "accuracy": Accuracy(),
        "f1": F1(len(classes)),
        "auroc": AUROC(),
        "average_precision": AveragePrecision(),
        "top5_accuracy": TopK(TOP),
    }
    return {name: made[name] for name in names("category", len(classes)) if name in made}
